//! Measuring: the recorders of one worker, monitors of thresholds, and pauses of the harness.

pub mod figures;
pub mod pauses;
pub mod recorder;
pub mod threshold_monitor;
