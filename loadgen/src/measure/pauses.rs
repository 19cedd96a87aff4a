//! Finds when a worker stood still: stopped by a signal, frozen, asleep with the whole machine, or without a CPU.
//!
//! The worker monitors itself. It looks at the clock at every wake, and a timer wakes it at least 20 times a second. So
//! in a gap that is much longer than that, it could neither send nor read. A separate thread could starve while the
//! worker runs, and run while the worker starves.

use std::cell::{Cell, RefCell};

use twinwire_os::clock::{Nanos, SECOND};

use super::figures::TimeRange;

/// Shortest gap that counts as a pause. A tenth of a second is twice the time between two wakes of an idle worker, and
/// longer than a scheduler makes a thread wait on a shared CPU. In a load of ten seconds, a pause of this length alone
/// decides the p99. A shorter gap shows in the dispatch lag, which is judged separately.
pub const PAUSE_MIN: Nanos = SECOND / 10;

/// A time in which a worker stood still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// Between these instants of the clock.
    pub between: TimeRange,
    /// How long the machine slept in it, which the clock does not count.
    pub asleep: Nanos,
}

/// When one worker was awake.
#[derive(Debug, Default)]
pub struct Heartbeat {
    last: Cell<Nanos>,
    asleep: Cell<Nanos>,
    latest: Cell<Option<TimeRange>>,
    pauses: RefCell<Vec<Pause>>,
}

impl Heartbeat {
    /// The worker is monitored from this instant on. `asleep` is how long the machine has slept so far.
    pub fn begin(&self, at: Nanos, asleep: Nanos) {
        self.last.set(at);
        self.asleep.set(asleep);
    }

    /// The worker is awake.
    pub fn beat(&self, now: Nanos) {
        let last = self.last.replace(now);
        if now.saturating_sub(last) >= PAUSE_MIN {
            self.note(TimeRange { from: last, until: now }, 0);
        }
    }

    /// The same, with how long the machine has slept so far.
    pub fn beat_with(&self, now: Nanos, asleep: Nanos) {
        let last = self.last.get();
        let slept = asleep.saturating_sub(self.asleep.replace(asleep));
        if slept >= PAUSE_MIN {
            self.last.set(now);
            self.note(TimeRange { from: last.min(now), until: now }, slept);
        } else {
            self.beat(now);
        }
    }

    fn note(&self, between: TimeRange, asleep: Nanos) {
        self.latest.set(Some(between));
        self.pauses.borrow_mut().push(Pause { between, asleep });
    }

    /// The last pause, if it ended after this instant.
    pub fn pause_since(&self, at: Nanos) -> Option<TimeRange> {
        self.latest.get().filter(|pause| pause.until > at)
    }

    /// The pauses since the last call.
    pub fn take(&self) -> Vec<Pause> {
        self.pauses.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn lengths(heartbeat: &Heartbeat) -> Vec<(Nanos, Nanos, Nanos)> {
        heartbeat
            .take()
            .into_iter()
            .map(|Pause { between: TimeRange { from, until }, asleep }| (from / MS, until / MS, asleep / MS))
            .collect()
    }

    #[test]
    fn a_gap_of_a_tenth_of_a_second_is_a_pause_and_a_shorter_one_is_not() {
        let heartbeat = Heartbeat::default();
        heartbeat.begin(1_000 * MS, 0);
        for ms in [1_050, 1_149, 1_200, 1_300, 1_350, 2_350] {
            heartbeat.beat(ms * MS);
        }
        assert_eq!(lengths(&heartbeat), [(1_200, 1_300, 0), (1_350, 2_350, 0)]);
        assert!(lengths(&heartbeat).is_empty(), "each is reported once");
    }

    #[test]
    fn sleep_of_the_machine_is_a_pause_though_the_clock_stands_still() {
        let heartbeat = Heartbeat::default();
        heartbeat.begin(1_000 * MS, 7_000 * MS);
        heartbeat.beat_with(1_050 * MS, 7_000 * MS);
        heartbeat.beat_with(1_100 * MS, 7_099 * MS);
        assert!(lengths(&heartbeat).is_empty());
        heartbeat.beat_with(1_120 * MS, 60_099 * MS);
        assert_eq!(lengths(&heartbeat), [(1_100, 1_120, 53_000)]);
    }

    #[test]
    fn a_window_that_begins_late_began_with_a_pause() {
        let heartbeat = Heartbeat::default();
        heartbeat.begin(1_000 * MS, 0);
        heartbeat.beat(1_400 * MS);
        assert_eq!(lengths(&heartbeat), [(1_000, 1_400, 0)]);
        // Before its beginning there is nothing to wait for.
        heartbeat.begin(9_000 * MS, 0);
        heartbeat.beat(8_980 * MS);
        heartbeat.beat(9_030 * MS);
        assert!(lengths(&heartbeat).is_empty());
    }

    #[test]
    fn the_last_pause_is_known_to_what_was_not_looked_at_since() {
        let heartbeat = Heartbeat::default();
        heartbeat.begin(0, 0);
        heartbeat.beat(300 * MS);
        let pause = heartbeat.pause_since(299 * MS).unwrap();
        assert_eq!((pause.from, pause.until), (0, 300 * MS));
        assert!(heartbeat.pause_since(300 * MS).is_none());
    }
}
