//! Measuring: the recorders of one worker, the figures of the system's processes and sockets over time, pauses of the
//! harness.

pub mod figures;
pub mod pauses;
pub mod recorder;
pub mod threshold_monitor;
