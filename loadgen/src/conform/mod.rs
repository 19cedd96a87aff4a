//! Conformance: what a server must do, as scripted cases.
//!
//! [`case`] is their format: TOML text → validated cases. No I/O but reading a file, and nothing about running a case.

pub mod case;
