//! A key-value server over TCP and WebSocket, with or without TLS: one store for each connected user, two roles, one
//! process.
//!
//! Each module uses only those below it:
//!
//! | module | what it holds | what it never does |
//! |---|---|---|
//! | `cli` | flags, environment and file → a validated configuration; the whole program as one function | serve |
//! | `server` | listeners, worker threads, dispatch of connections, shutdown | know a byte of the protocol |
//! | `operator` | the control socket and the metrics, on a thread of their own | touch a worker |
//! | `transport` | bytes ↔ messages: lines, chunks, WebSocket frames, TLS; back pressure; closing | decide on a reply |
//! | `session` | one connection's state machine: a message in, a reply and what to do next out | any I/O |
//! | `runtime` | what workers run on: executor, fair queue, clock, permits, shutdown, log limit | know what a connection says |
//! | `config` | what a server is told to do, in types that exclude nonsense | read arguments |
//! | `tls` | certificate and key: from files to what a handshake needs, again when they are renewed | touch a connection |
//! | `registry` | who is logged in, with which role and which entries: all that threads share | know about connections |
//! | `counters` | what each worker counts, and the sums | share a cache line between workers |
//! | `protocol` | transports, words, requests and the exact reply texts | hold state |
//! | `address` | which addresses count as one client | |
//! | `small_file` | reads files that options name, up to a limit | |
//! | `named_enum` | a macro for enums of which each variant has one text | |
//!
//! The server is thread-per-core. Each worker owns its connections for their whole life, and the registry is the only
//! thing that workers share, so that a request costs one read, one short lock and one write.

#![forbid(unsafe_code)]

#[macro_use]
mod named_enum;

/// Whether the server has this fault on purpose: never, unless the feature `faults` is on.
#[cfg(feature = "faults")]
macro_rules! fault {
    ($Fault:ident) => {
        $crate::faults::Fault::$Fault.is_active()
    };
}

#[cfg(not(feature = "faults"))]
macro_rules! fault {
    ($Fault:ident) => {
        false
    };
}

mod address;
pub mod cli;
pub mod config;
mod counters;
#[cfg(feature = "faults")]
pub mod faults;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod operator;
pub mod protocol;
pub mod registry;
mod runtime;
mod server;
pub mod session;
mod small_file;
mod tls;
mod transport;

pub use config::Config;
pub use protocol::Transport;
pub use runtime::Shutdown;
pub use server::{Server, StartError};
pub use tls::Tls;
