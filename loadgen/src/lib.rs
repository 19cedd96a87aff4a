//! The harness: load generator and conformance checker for a key-value service over TCP and WebSocket.
//!
//! Modules follow the way of the data:
//!
//! | module | what it is |
//! |---|---|
//! | [`domain`] | the vocabulary of all others: roles, operations, transports, latencies |
//! | `text` | numbers, lists and durations for people; foreign text made safe to show |
//! | [`scenario`] | TOML text → validated scenario and its variants |
//! | [`conform`] | the protocol, cases and profiles; runs cases against a server |
//! | [`targets`] | the embedded server as a child, launched programs, or addresses |
//! | [`wire`] | the client's side of each transport |
//! | [`oracle`] | what each reply may be; no I/O, no server code |
//! | [`load`] | plan → workers → virtual users |
//! | `measure` | recorders, threshold monitors, pauses of the harness |
//! | [`record`] | everything a run measured, versioned |
//! | `stats` | verdicts and thresholds, from the record |
//! | `chart` | record → specification → SVG and PNG |
//! | `report` | record → tables, CSV, HdrHistogram files, Markdown, JSON |
//! | [`client`] | the key-value client, a program of its own |
//! | [`commands`] | one file for each subcommand; [`cli`] is the command line |

// Denied, not forbidden: one small file needs it (`load/pacer/timerfd.rs`) and says why.
#![deny(unsafe_code)]

pub(crate) mod chart;
pub mod cli;
pub mod client;
pub mod commands;
pub mod conform;
pub mod domain;
pub mod load;
pub(crate) mod measure;
pub mod oracle;
pub mod record;
pub(crate) mod report;
pub mod scenario;
pub(crate) mod stats;
pub mod targets;
pub(crate) mod text;
pub mod wire;
