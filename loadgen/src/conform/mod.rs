//! Conformance: what a server must do, as scripted cases, and what a target supports, as its profile.
//!
//! | module | what it is |
//! |---|---|
//! | [`protocol`] | the protocol's text, rule by rule |
//! | [`case`], [`profile`] | TOML text → validated cases, or profile; [`built_in`] are those of this program |
//! | `frame`, `handshake`, `channel` | WebSocket and lines by hand: the judge must be able to break every rule |
//! | `script` | runs one case once, in one [`cutting`] |
//! | [`servers`], [`suite`] | which case on which server, how many at once, what becomes of a target that dies |
//! | [`verdict`], [`failure`], [`transcript`] | what became of each case |
//! | [`report`] | the same for people and programs |

pub mod built_in;
pub mod case;
mod channel;
pub mod cutting;
pub mod failure;
mod frame;
mod handshake;
pub mod profile;
pub mod protocol;
pub mod report;
mod script;
pub mod servers;
pub mod suite;
pub mod transcript;
pub mod verdict;
