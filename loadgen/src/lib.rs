//! The harness.

pub mod oracle;
pub mod record;
pub mod scenario;
