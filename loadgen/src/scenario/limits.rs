//! The bounds of a scenario, with their reasons.

use std::time::Duration;

use crate::domain::MESSAGE_BYTES_MAX;

/// Longest name of a scenario, load or group; report files are named after them.
pub(crate) const NAME_MAX: usize = 64;
/// Clients of a scenario. Each is a connection on either side; beyond this a load needs several machines.
pub(crate) const CLIENTS_MAX: u32 = 250_000;
/// Keys of a client. The bound over all clients limits memory.
pub(crate) const KEYS_MAX: u32 = 1_000_000;
/// Keys over all clients: each has a register (16 bytes) in the generator's checker, 800 MB at this bound.
pub(crate) const REGISTERS_MAX: u64 = 50_000_000;
/// Bits in which a value names its user and key.
const _: () = assert!(CLIENTS_MAX <= crate::oracle::USERS_MAX && KEYS_MAX <= crate::oracle::KEYS_MAX);
/// Bytes of the tag that names user, key and version, and so of the smallest value.
pub(crate) const TAG_BYTES: u32 = crate::oracle::TAG_BYTES as u32;
/// Longest key that the generator uses.
const KEY_BYTES_MAX: u32 = 16;
/// `put`, two spaces and the key, around a value.
const PUT_OVERHEAD: u32 = 4 + KEY_BYTES_MAX + 1;
/// Bytes of a `put` of this value, at most.
pub(crate) const fn put_bytes(value: u32) -> u32 {
    PUT_OVERHEAD + value
}
/// Largest value whose `put` is a message that a server can take. Servers need not take more than
/// [`MESSAGE_BYTES`](crate::oracle::MESSAGE_BYTES): one that refuses a longer message is reported, but is not wrong.
pub(crate) const VALUE_MAX: u32 = MESSAGE_BYTES_MAX - PUT_OVERHEAD;
/// Largest value whose `put` fits the 1,024 bytes that unframed clients may send.
pub(crate) const RAW_VALUE_MAX: u32 = 1_024 - PUT_OVERHEAD;
/// Variants of a sweep, each of which is a whole run.
pub(crate) const VARIANTS_MAX: usize = 256;
/// Parts that a scenario may list (loads, groups, phases, thresholds).
pub(crate) const PARTS_MAX: usize = 1_000;
/// More outstanding requests on one connection measure nothing but the queue.
pub(crate) const IN_FLIGHT_MAX: i64 = 4_096;
/// Requests a second; a thousand times what one machine does over loopback.
pub(crate) const RATE_MAX: f64 = 1e9;

/// Shortest length of most times.
pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
/// Longest time-out, pause and warm-up.
pub(crate) const HOUR: Duration = Duration::from_hours(1);
/// Longest load; a soak test is run day by day.
pub(crate) const DAY: Duration = Duration::from_hours(24);
