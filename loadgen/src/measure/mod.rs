//! Measuring: the clock, the recorders of one worker, and the figures of processes.

pub mod clock;
pub mod figures;
pub mod process;
pub mod recorder;
pub mod watch;
