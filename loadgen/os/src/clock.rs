//! The one clock: nanoseconds of `CLOCK_MONOTONIC`, as a plain number.
//!
//! A plain number, so that instants can be scheduled by arithmetic from a fixed origin, handed to a timerfd as
//! they are, and compared between threads.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since some fixed instant in the past.
pub type Nanos = u64;

/// One second.
pub const SECOND: Nanos = 1_000_000_000;

/// A read costs some 25 ns: the kernel answers without a system call.
#[must_use]
#[inline]
pub fn now() -> Nanos {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists everywhere");
    time.tv_sec() as u64 * SECOND + time.tv_nsec() as u64
}

/// How long the machine has slept since it started: what [`now`] leaves out. 0 if the system does not report it.
#[must_use]
pub fn asleep() -> Nanos {
    let monotonic = now();
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map_or(0, |time| (time.tv_sec() as u64 * SECOND + time.tv_nsec() as u64).saturating_sub(monotonic))
}

/// A duration in nanoseconds.
#[must_use]
#[inline]
pub fn nanos(duration: std::time::Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
