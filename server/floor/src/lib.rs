//! What the benches of both packages share: the least that an exchange can cost, and how to compare with it.
//!
//! For benches alone, and knows neither package. A bench is one executable that starts itself once more for each
//! server and each generator of each window.
//!
//! | module | what it holds |
//! |---|---|
//! | [`message`] | what is said over the wire, and what must come back |
//! | [`speech`] | the same for many short sessions, step by step, as bytes |
//! | [`tcp`] | bare epoll loops: a server, a closed generator, and one that keeps a pace |
//! | [`turns`] | a closed generator that asks several servers in turn |
//! | [`websocket`] | bare tokio-tungstenite loops |
//! | [`redis`] | redis-server, where it is installed |
//! | [`roles`] | a child's part: to be one server or one generator, on CPUs of its own |
//! | [`children`] | the parent's part: starting children and ending them, whatever happens |
//! | [`server`] | the reference server as a child |
//! | [`window`] | one measured window: requests, and the CPU that they cost |
//! | [`rounds`] | every window once a round, in an order drawn anew each time |
//! | [`estimate`] | a median, its interval, and the bar that it is held against |
//! | [`table`] | how all that is printed |
//! | [`options`] | the command line that the benches have in common |

#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

pub use twinwire_os::{cpus, open_files, process};

use twinwire_os::clock;

pub mod children;
pub mod estimate;
pub mod message;
pub mod options;
mod paced;
pub mod redis;
pub mod roles;
pub mod rounds;
pub mod server;
pub mod speech;
pub mod table;
pub mod tcp;
pub mod turns;
pub mod websocket;
pub mod window;
