//! A rate limit on log lines that clients can cause at will, so that they cannot fill a disk.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// The shortest time between two lines of one limit.
const INTERVAL: Duration = Duration::from_secs(10);

/// Lets one event through each ten seconds, and counts those that it suppresses.
#[derive(Debug, Default)]
pub(crate) struct LogRateLimit {
    last: Cell<Option<Instant>>,
    suppressed: Cell<u64>,
}

impl LogRateLimit {
    /// If this event is to be logged, returns how many have been suppressed since the last one that was.
    pub(crate) fn pass(&self, now: Instant) -> Option<u64> {
        if self.last.get().is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            self.suppressed.update(|suppressed| suppressed.saturating_add(1));
            return None;
        }
        self.last.set(Some(now));
        Some(self.suppressed.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_passes_and_the_next_after_the_interval_says_how_many_were_suppressed() {
        let (events, start) = (LogRateLimit::default(), Instant::now());
        assert_eq!(events.pass(start), Some(0));
        for _ in 0..3 {
            assert_eq!(events.pass(start + INTERVAL / 2), None);
        }
        assert_eq!(events.pass(start + INTERVAL), Some(3));
        assert_eq!(events.pass(start + INTERVAL), None);
    }
}
