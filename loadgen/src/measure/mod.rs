//! Measuring: the clock, the recorders of one worker, the figures of processes and sockets, and what the system lets
//! this process have.

pub use twinwire_os::{clock, cpus, open_files, process, tcp_info, tree as process_tree};

pub mod figures;
pub mod pauses;
pub mod recorder;
pub mod threshold_monitor;
