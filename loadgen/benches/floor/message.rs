//! The messages of the load, the same for every pairing: what is asked, what is answered, and their sizes.

use std::time::Duration;

use crate::redis;

/// Keys of each client. A few, so that a reply is looked up and not merely repeated; one digit, so that every
/// request has the same size.
pub const KEYS: usize = 10;

/// The value under every key of the floor generator: 20 bytes, so that a reply is of the size of a short message.
pub const VALUE: &str = "abcdefghij0123456789";

/// `get` of each key. Our generator names its keys in the same way, and draws them.
pub const GETS: [&str; KEYS] =
    ["get k0", "get k1", "get k2", "get k3", "get k4", "get k5", "get k6", "get k7", "get k8", "get k9"];

/// What client `number` of the floor generator says before the load, with one reply for each: its name, its puts.
pub fn opening(number: usize) -> impl Iterator<Item = String> {
    std::iter::once(format!("floor-{number}")).chain((0..KEYS).map(|key| format!("put k{key} {VALUE}")))
}

/// What our generator asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// What the floor's asks: `get` of its own keys, values of the same size.
    Gets,
    /// What redis-benchmark asks: as many puts as gets, of its size.
    PutsAndGets,
}

/// A scenario in which our generator asks this.
pub fn scenario(
    transport: &str,
    connections: usize,
    warmup: Duration,
    duration: Duration,
    mix: Mix,
) -> String {
    let (warmup_ms, duration_ms) = (warmup.as_millis(), duration.as_millis());
    let (mix, size) = match mix {
        Mix::Gets => ("get = 1", VALUE.len()),
        Mix::PutsAndGets => ("get = 1, put = 1", redis::VALUE_BYTES),
    };
    format!(
        r#"
name = "floor"
transports = ["{transport}"]

[[load]]
name = "closed"
model = "closed"
think = "0ms"
warmup = "{warmup_ms}ms"
duration = "{duration_ms}ms"
trials = 1

[[clients]]
name = "guests"
role = "guest"
count = {connections}
mix = {{ {mix} }}
keys = {{ count = {KEYS}, distribution = "uniform" }}
values = {{ size = {size} }}
"#
    )
}
