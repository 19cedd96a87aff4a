//! What the benches of both packages share. Only benches use it, and it knows neither package.
//!
//! | module | what it holds |
//! |---|---|
//! | [`run`] | the main function of every bench, its flags, and the size of a measurement |
//! | [`children`] | servers and generators as child processes |
//! | [`paired`] | interleaved rounds, the ratios of their costs, and the bars that these are held against |
//! | [`window`] | one measured window: requests, and the CPU that they cost |
//! | [`wire`] | messages as bytes over either transport, and a client that checks each reply |
//! | [`load`] | what the generators ask, and what must come back |
//! | [`tcp`] | bare epoll loops: a server, and a generator for one server or several in turn |
//! | [`redis`] | redis-server and redis-benchmark, where they are installed |
//! | [`instructions`] | instructions of single functions, counted by callgrind |

#![forbid(unsafe_code)]
#![expect(
    missing_docs,
    clippy::must_use_candidate,
    reason = "only benches use it: what names do not say is documented"
)]

pub use twinwire_os::{cpus, open_files, process};
pub use twinwire_statistics::Median;

pub mod children;
pub mod instructions;
pub mod load;
pub mod paired;
pub mod redis;
pub mod run;
pub mod tcp;
pub mod window;
pub mod wire;
