//! The harness.

pub mod commands;
pub mod oracle;
pub mod record;
pub mod scenario;
