//! Measuring: the clock, the recorders of one worker, the figures of processes and sockets, and what the system lets
//! this process have.

pub mod clock;
pub mod cpus;
pub mod figures;
pub mod open_files;
pub mod pauses;
pub mod process;
pub mod process_tree;
pub mod recorder;
pub mod tcp_info;
pub mod threshold_monitor;
