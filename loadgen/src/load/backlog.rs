//! How many requests of an open load are due and not sent: a counter of what is due, less what was taken.
//!
//! The schedules are repeated here, apart from the clients that follow them, so that what is due is known though a
//! client waits. It costs O(1) memory a client and one step a request.

use std::cell::{Cell, RefCell};

use super::schedule::Open;
use crate::measure::clock::Nanos;

/// One worker's backlog.
#[derive(Debug, Default)]
pub struct Backlog {
    /// By the client's number within the worker: its transport and its schedule; `None` where it is closed or lost.
    schedules: RefCell<Vec<Option<(u8, Open)>>>,
    due: Cell<u64>,
    taken: Cell<u64>,
}

impl Backlog {
    /// The backlog of these clients.
    #[must_use]
    pub fn new(schedules: Vec<Option<(u8, Open)>>) -> Self {
        Self { schedules: RefCell::new(schedules), due: Cell::new(0), taken: Cell::new(0) }
    }

    /// Nothing is due at or after this instant, until another end is set: it is looked at a little later too.
    pub fn set_end(&self, end: Nanos) {
        self.schedules.borrow_mut().iter_mut().flatten().for_each(|(_, open)| open.set_end(end));
    }

    /// So many requests were sent, or given up.
    pub fn took(&self, count: u64) {
        self.taken.set(self.taken.get() + count);
    }

    /// A client was lost: nothing is due from it any more. What was by `now` has been given up.
    pub fn forget(&self, number: u32, now: Nanos) {
        if let Some((_, mut open)) = self.schedules.borrow_mut()[number as usize].take() {
            self.count(&mut open, now);
        }
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
    use crate::load::curve::Curve;
    use crate::measure::clock::SECOND;
    use crate::scenario::model::{Arrivals, Load, Model, Phase, Rate};

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
    fn a_lost_client_adds_nothing_more_and_another_transports_clients_rest() {
        let backlog = Backlog::new(vec![Some((0, schedule(1))), Some((1, schedule(2))), None]);
        let both = backlog.at(SECOND, None);
        assert_eq!(backlog.at(5 * SECOND, Some(7)), both, "nobody is on that transport");
        backlog.forget(0, SECOND);
        backlog.forget(1, SECOND);
        assert_eq!(backlog.at(9 * SECOND, None), both);
    }
}
