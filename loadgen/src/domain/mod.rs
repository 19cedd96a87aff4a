//! The words that every other module speaks in: roles, operations, transports, latencies and their statistics, rules.
//!
//! Plain data and its names, which scenarios, flags and reports share. It uses no other module.

mod latency;
mod op;
mod role;
mod transport;
mod violation;

pub use latency::{LatencyKind, Statistic, Timing};
pub use op::Op;
pub use role::Role;
pub use transport::Transport;
pub use violation::{Rule, ViolationKind};

/// Bytes of the longest message that any server can be told to take: the reference server's `--message-max` goes no higher.
pub const MESSAGE_BYTES_MAX: u32 = 16 << 20;
