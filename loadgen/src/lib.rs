//! The harness.

pub mod chart;
pub mod record;
pub mod scenario;
