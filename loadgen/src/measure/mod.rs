//! Measuring: the clock, the recorders of one worker, and the figures of processes and sockets.

pub mod clock;
pub mod figures;
pub mod process;
pub mod recorder;
pub mod tcp_info;
pub mod tree;
pub mod watch;
