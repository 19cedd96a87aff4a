//! The server through its public face: real sockets on free ports, bytes written by hand from the protocol's text.
//!
//! Nothing here uses the server's own framing, so that an error in it cannot hide itself. One binary, a file for
//! each group of rules.

#![expect(clippy::unwrap_used, reason = "a panic in a test is its report")]

mod abuse;
mod abused;
mod atom;
mod batch;
mod binary;
mod certificate;
mod config;
mod disturbance;
mod form;
mod life;
mod limits;
mod log;
mod metrics;
mod notify;
mod operator;
mod program;
mod replies;
mod rules;
mod secret;
mod segments;
mod stop;
mod support;
mod tcp;
mod timeouts;
mod tls;
mod tls_handshake;
mod tls_load;
mod tls_setup;
mod websocket;
