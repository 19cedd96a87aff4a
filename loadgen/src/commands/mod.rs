//! The subcommands of `twinwire`: each has its arguments and what it does with them.

pub mod report;
