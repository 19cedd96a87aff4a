//! Each client's oldest request, so that time-outs are seen and seconds are known to be complete.

use std::cell::RefCell;

use twinwire_os::clock::Nanos;

use super::super::pacer::Pacer;
use crate::wire::RAW_SILENCE_NS;

/// A client's oldest request; `Nanos::MAX` stands for none.
#[derive(Debug, Clone, Copy)]
pub struct Oldest {
    /// When the oldest open one was sent.
    pub sent: Nanos,
    /// When the oldest one that is open or due was intended.
    pub intended: Nanos,
}

impl Oldest {
    /// None open, none due.
    pub const NONE: Self = Self { sent: Nanos::MAX, intended: Nanos::MAX };
}

/// The oldest request of each client of a worker.
#[derive(Debug)]
pub struct OpenRequests(RefCell<Vec<Oldest>>);

impl OpenRequests {
    pub fn new(clients: usize) -> Self {
        Self(RefCell::new(vec![Oldest::NONE; clients]))
    }

    /// Notes the oldest request of the client of this number within the worker.
    pub fn set_oldest(&self, number: u32, oldest: Oldest) {
        self.0.borrow_mut()[number as usize] = oldest;
    }

    /// Every request intended before this instant of the clock has had its end, as far as `now` knows.
    pub fn settled_before(&self, now: Nanos) -> Nanos {
        self.0.borrow().iter().map(|oldest| oldest.intended).fold(now, Nanos::min)
    }

    /// Wakes the clients that have something to do which no event shows: a time-out, or the end of an odd reply over the
    /// raw framing. All of them where `all` is set.
    pub fn wake_late(&self, pacer: &Pacer, timeout: Nanos, now: Nanos, all: bool) {
        let wait = timeout.min(RAW_SILENCE_NS);
        for (number, oldest) in self.0.borrow().iter().enumerate() {
            if all || oldest.sent != Nanos::MAX && oldest.sent + wait <= now {
                pacer.wake(number as u32);
            }
        }
    }
}
