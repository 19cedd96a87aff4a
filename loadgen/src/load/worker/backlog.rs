//! How many requests of an open load are due and not sent: those that are due minus those that were taken.
//!
//! The schedules are repeated here, independent of the clients that follow them, so that it is known what is due while
//! a client waits. This costs O(1) memory for each client and one step for each request.

use std::cell::{Cell, RefCell};

use twinwire_os::clock::Nanos;

use super::super::schedule::Open;
use crate::measure::recorder::TimeRange;

/// How many requests of an open load waited to be sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct BacklogFigures {
    /// The largest backlog.
    pub max: u64,
    /// The smallest backlog of each window's last quarter, added up.
    pub standing: u64,
    /// The longest time from a window's end to the end of its last request.
    pub drained: Nanos,
}

impl BacklogFigures {
    pub fn add(&mut self, other: &Self) {
        self.max += other.max;
        self.standing += other.standing;
        self.drained = self.drained.max(other.drained);
    }
}

/// One worker's backlog.
#[derive(Debug, Default)]
pub struct Backlog {
    /// By the client's number within the worker, its transport and its schedule; `None` if its load is closed, or it is
    /// lost.
    schedules: RefCell<Vec<Option<(u8, Open)>>>,
    due: Cell<u64>,
    taken: Cell<u64>,
    /// Schedules of lost clients, from the loss on.
    lost: RefCell<Vec<(u8, Open)>>,
}

impl Backlog {
    pub fn new(schedules: Vec<Option<(u8, Open)>>) -> Self {
        Self { schedules: RefCell::new(schedules), ..Self::default() }
    }

    /// Nothing is due at or after this instant, until another end is set. The backlog is also asked for a little later
    /// than that.
    pub fn set_end(&self, end: Nanos) {
        self.schedules.borrow_mut().iter_mut().flatten().for_each(|(_, open)| open.set_end(end));
    }

    /// Counts requests that were sent or given up.
    pub fn took(&self, count: u64) {
        self.taken.set(self.taken.get() + count);
    }

    /// A client was lost, so no more requests of it become due. Those due by `now` have been given up.
    pub fn forget(&self, number: u32, now: Nanos) {
        if let Some((on, mut open)) = self.schedules.borrow_mut()[number as usize].take() {
            self.count(&mut open, now);
            self.lost.borrow_mut().push((on, open));
        }
    }

    /// By transport, the requests in this part of the load that would have been due from clients after they were lost.
    /// Each transport came as far as `reached`. To be called once, at the end.
    pub fn due_of_lost(&self, part: TimeRange, reached: &[Nanos]) -> Vec<u64> {
        let mut due = vec![0; reached.len()];
        for (on, mut open) in self.lost.take() {
            let end = part.until.min(reached[usize::from(on)]);
            open.set_end(end);
            due[usize::from(on)] +=
                std::iter::from_fn(|| open.take(end)).filter(|&at| at >= part.from).count() as u64;
        }
        due
    }

    /// The backlog at `now` (load time) of the clients on this transport; `None`: on all.
    pub fn at(&self, now: Nanos, transport: Option<u8>) -> u64 {
        for (on, open) in self.schedules.borrow_mut().iter_mut().flatten() {
            if transport.is_none_or(|transport| transport == *on) {
                self.count(open, now);
            }
        }
        self.due.get().saturating_sub(self.taken.get())
    }

    fn count(&self, open: &mut Open, now: Nanos) {
        let mut due = 0;
        while open.take(now).is_some() {
            due += 1;
        }
        self.due.set(self.due.get() + due);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::domain::{Arrivals, Model, Rate};
    use crate::load::schedule::Curve;
    use crate::scenario::model::{Load, Phase};
    use twinwire_os::clock::SECOND;

    fn schedule(seed: u64) -> Open {
        let load = Load {
            name: "load".to_owned(),
            model: Model::Open { rate: Some(Rate::PerSecond(100.0)), arrivals: Arrivals::Poisson },
            in_flight: std::num::NonZeroU32::MIN,
            warmup: Duration::ZERO,
            phases: vec![Phase { duration: Duration::from_secs(10), rate: None, clients: None }],
            trials: 1,
            interleave: None,
            headline: false,
            timing: crate::domain::Timing::Judged,
        };
        let curve = Arc::new(Curve::new(&load, 1, Some(100.0)));
        Open::new(curve.clone(), curve.spans(0), 0, Arrivals::Poisson, seed)
    }

    #[test]
    fn the_backlog_is_exactly_what_the_clients_have_not_taken() {
        let mut clients = [schedule(1), schedule(2)];
        let backlog = Backlog::new(vec![Some((0, schedule(1))), Some((1, schedule(2)))]);
        let mut take = |client: usize, until: Nanos| {
            let taken = std::iter::from_fn(|| clients[client].take(until)).count() as u64;
            backlog.took(taken);
            taken
        };
        let _ = (take(0, SECOND), take(1, SECOND));
        assert_eq!(backlog.at(SECOND, None), 0);
        let waiting = backlog.at(3 * SECOND, None);
        assert!(waiting > 300, "two clients, two seconds, 100 requests/s each: {waiting}");
        assert_eq!(take(0, 3 * SECOND) + take(1, 3 * SECOND), waiting);
        assert_eq!(backlog.at(3 * SECOND, None), 0);
    }

    #[test]
    fn what_is_due_after_a_windows_end_does_not_wait_yet() {
        let backlog = Backlog::new(vec![Some((0, schedule(1)))]);
        backlog.set_end(SECOND);
        let waiting = backlog.at(SECOND - 1, None);
        assert_eq!(backlog.at(2 * SECOND, None), waiting);
        backlog.set_end(3 * SECOND);
        assert!(backlog.at(2 * SECOND, None) > waiting);
    }

    #[test]
    fn what_a_lost_client_would_have_asked_is_known_at_the_end() {
        let part = TimeRange { from: 2 * SECOND, until: 6 * SECOND };
        let between = |from: Nanos, until: Nanos| {
            let mut schedule = schedule(1);
            std::iter::from_fn(|| schedule.take(until - 1)).filter(|&at| at >= from).count() as u64
        };
        // One is lost at the third second, one in the warm-up; a third transport's load was cut before the end.
        let all = [schedule(1), schedule(1), schedule(1)];
        let backlog = Backlog::new((0..).zip(all).map(Some).collect());
        backlog.set_end(4 * SECOND);
        backlog.forget(0, 3 * SECOND);
        backlog.forget(1, SECOND);
        backlog.forget(2, 3 * SECOND);
        let due = backlog.due_of_lost(part, &[8 * SECOND, 8 * SECOND, 5 * SECOND]);
        let expected = [(3, 6), (2, 6), (3, 5)].map(|(from, until)| between(from * SECOND, until * SECOND));
        assert_eq!(due, expected);
        assert!(due.iter().all(|&due| due > 100), "{due:?}");
    }

    #[test]
    fn a_lost_client_adds_nothing_more_and_another_transports_clients_rest() {
        let backlog = Backlog::new(vec![Some((0, schedule(1))), Some((1, schedule(2))), None]);
        let both = backlog.at(SECOND, None);
        assert_eq!(backlog.at(5 * SECOND, Some(7)), both, "no client is on that transport");
        backlog.forget(0, SECOND);
        backlog.forget(1, SECOND);
        assert_eq!(backlog.at(9 * SECOND, None), both);
    }
}
