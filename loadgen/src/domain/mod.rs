//! The vocabulary of all other modules: roles, operations, transports, models of load, latencies and their statistics,
//! rules.
//!
//! Plain data and its names, which scenarios, flags, records and reports share. It uses no other module.

mod latency;
mod model;
pub(crate) mod named;
mod op;
mod role;
mod setting;
mod side;
mod transport;
mod violation;

pub use latency::{
    LATENCY_METRICS, LatencyKind, Measure, PerKind, SAMPLES_BEYOND_MIN, Statistic, Timing, latency_metric,
};
pub use model::{Arrivals, Model, Rate, Think};
pub use op::Op;
pub use role::Role;
pub use setting::Setting;
pub use side::Side;
pub use transport::{Framing, Transport};
pub use violation::{Rule, ViolationKind};

/// Bytes of the longest message that any server can be configured to take: the upper bound of the reference server's
/// `--message-max`.
pub const MESSAGE_BYTES_MAX: u32 = 16 << 20;

/// Stands for all roles, operations, groups or trials in tables and files.
pub const ALL: &str = "all";
