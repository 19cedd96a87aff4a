//! The binaries as their users meet them, against the embedded server, servers with faults, and programs of their own.
//!
//! One binary, a file for each command or concern: each test binary carries the whole harness in itself.

#![expect(clippy::unwrap_used, reason = "a panic in a test's helper is the report")]

mod calibrate;
mod client;
mod client_tls;
mod completions;
mod conform_outputs;
mod folders;
mod launch;
mod null_target;
mod quick;
mod run;
mod run_faults;
mod run_long;
mod run_memory;
mod run_models;
mod run_ports;
mod run_timing;
mod run_tls;
mod run_violations;
mod signals;
mod support;
mod wire_tls;
