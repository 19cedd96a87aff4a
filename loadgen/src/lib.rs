//! The harness.

pub mod commands;
pub mod record;
pub mod report;
pub mod scenario;
pub mod stats;
