//! What the harness and the benches ask of Linux, in one place. It knows nothing of the protocol or of either program.
//!
//! | module | what it holds |
//! |---|---|
//! | [`clock`] | nanoseconds of the monotonic clock |
//! | [`cpus`] | which CPUs this process may use, and confining it to some of them |
//! | [`open_files`] | the limit on open files |
//! | [`process`] | CPU time, memory and descriptors of a process; CPU time that the host took |
//! | [`tree`] | the same figures over a tree of processes |
//! | [`tcp_info`] | the kernel's counters of one TCP connection |

#![forbid(unsafe_code)]

pub mod clock;
pub mod cpus;
pub mod open_files;
pub mod process;
pub mod tcp_info;
pub mod tree;
