//! Log lines that clients can cause at will, and must not be able to fill a disk with.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// How often such a line is written by each of those who watch for it.
const INTERVAL: Duration = Duration::from_secs(10);

/// Lets one event pass each ten seconds, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Sparingly {
    last: Cell<Option<Instant>>,
    missed: Cell<u64>,
}

impl Sparingly {
    /// How many events were not told since the last that was, if this one is to be.
    pub(crate) fn pass(&self, now: Instant) -> Option<u64> {
        if self.last.get().is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            self.missed.update(|missed| missed.saturating_add(1));
            return None;
        }
        self.last.set(Some(now));
        Some(self.missed.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_passes_and_the_next_after_the_interval_tells_how_many_did_not() {
        let (events, start) = (Sparingly::default(), Instant::now());
        assert_eq!(events.pass(start), Some(0));
        for _ in 0..3 {
            assert_eq!(events.pass(start + INTERVAL / 2), None);
        }
        assert_eq!(events.pass(start + INTERVAL), Some(3));
        assert_eq!(events.pass(start + INTERVAL), None);
    }
}
