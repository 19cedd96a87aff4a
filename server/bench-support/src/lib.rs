//! What the benches of both packages share. For benches alone; it knows neither package.
//!
//! A bench is one executable that starts itself once more for each server and each generator of a window.
//!
//! | module | what it holds |
//! |---|---|
//! | [`run`] | the main function of every bench, and the flags of those that measure in rounds |
//! | [`children`] | child processes and what each is to do |
//! | [`paired`] | every window once a round in random order, and the ratios of their costs |
//! | [`window`] | one measured window: requests, and the CPU that they cost |
//! | [`table`] | bars, and how figures are printed |
//! | [`wire`] | messages as bytes over either transport, and a client that checks each reply |
//! | [`load`] | what the generators ask, and what must come back |
//! | [`tcp`] | bare epoll loops: a server, and a generator for one server or several in turn |
//! | [`websocket`] | bare tokio-tungstenite loops |
//! | [`redis`] | redis-server and redis-benchmark, where they are installed |

#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "no public interface: what names do not say is documented")]

pub use twinwire_os::{cpus, open_files, process};
pub use twinwire_statistics::Median;

pub mod children;
pub mod load;
pub mod paired;
pub mod redis;
pub mod run;
pub mod table;
pub mod tcp;
pub mod websocket;
pub mod window;
pub mod wire;
