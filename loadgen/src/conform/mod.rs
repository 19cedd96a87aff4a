//! Conformance: what a server must do, as scripted cases, and what a target supports, as its profile.
//!
//! [`case`] and [`profile`] are their formats: TOML text → validated cases, or profile. No I/O but reading a file, and
//! nothing about running a case.

pub mod case;
mod channel;
pub mod cutting;
mod frame;
mod handshake;
pub mod profile;
pub mod transcript;
