//! The harness.

pub mod commands;
pub mod record;
pub mod scenario;
