//! A key-value server over TCP and WebSocket, with TLS or without: one store for each connected user, two roles, one process.
//!
//! The way of a request is the way through these modules:
//!
//! | module | what it holds | what it never does |
//! |---|---|---|
//! | [`cli`] | flags and environment → a validated [`config::Config`]; the whole program as one function | serve |
//! | [`config`] | what a server is told to do, in types that admit no nonsense | read arguments |
//! | [`server`] | listeners, worker threads, admission, shutdown | know a byte of the protocol |
//! | [`transport`] | bytes ↔ messages: lines, chunks, WebSocket frames, TLS; back pressure; closing | decide on a reply |
//! | [`tls`] | the certificate and its key: from files to what a handshake needs, again when they are renewed | touch a connection |
//! | [`session`] | one connection's state machine: a message in, a reply and what to do next out | any I/O |
//! | [`protocol`] | words, requests and the exact reply texts | hold state |
//! | [`counters`] | what each worker counts, and their sums | share a cache line between workers |
//! | [`operator`] | the control socket and the metrics, on a thread of their own | touch a worker |
//! | [`registry`] | who is logged in, with which role and which entries: all that threads share | know about connections |
//!
//! The server is thread-per-core. Each worker owns its connections for their whole life, and the registry is the
//! only thing that workers share, so that a request costs one read, one short lock and one write.

#![forbid(unsafe_code)]

mod address;
pub mod cli;
pub mod config;
mod counters;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod operator;
pub mod protocol;
pub mod registry;
mod runtime;
mod server;
pub mod session;
pub mod tls;
mod transport;

pub use config::Config;
pub use protocol::Transport;
pub use runtime::Shutdown;
pub use server::{Listening, Server, StartError};
