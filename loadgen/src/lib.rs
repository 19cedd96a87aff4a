//! The harness.

pub mod record;
pub mod scenario;
