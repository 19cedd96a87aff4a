//! Each client's oldest request, so that time-outs are seen and seconds are known to be complete.

use std::cell::RefCell;

use twinwire_os::clock::Nanos;

use super::super::pacer::Pacer;
use crate::wire::RAW_SILENCE_NS;

/// The oldest request of one client, as instants of the clock.
#[derive(Debug, Clone, Copy)]
pub struct OldestRequest {
    /// When the oldest open request was sent; the end of time where none is open, which every comparison gets right.
    sent: Nanos,
    /// When the oldest request that is open or due was intended; likewise.
    intended: Nanos,
}

impl OldestRequest {
    /// No request is open, and none is due.
    pub const NONE: Self = Self { sent: Nanos::MAX, intended: Nanos::MAX };

    /// `sent` and `intended` are those of the oldest open request, `next` is when the next one is due.
    pub fn new(open: Option<(Nanos, Nanos)>, next: Option<Nanos>) -> Self {
        let (sent, intended) = open.unwrap_or((Nanos::MAX, Nanos::MAX));
        Self { sent, intended: intended.min(next.unwrap_or(Nanos::MAX)) }
    }

    /// Whether a request has been open for this long.
    fn is_open_for(self, length: Nanos, now: Nanos) -> bool {
        self.sent.saturating_add(length) <= now
    }
}

/// The oldest request of each client of a worker, by the client's number within it.
#[derive(Debug)]
pub struct OpenRequests(RefCell<Vec<OldestRequest>>);

impl OpenRequests {
    pub fn new(clients: usize) -> Self {
        Self(RefCell::new(vec![OldestRequest::NONE; clients]))
    }

    pub fn set_oldest(&self, number: u32, oldest: OldestRequest) {
        self.0.borrow_mut()[number as usize] = oldest;
    }

    /// Every request intended before this instant has been answered or has failed, as far as is known at `now`.
    pub fn settled_before(&self, now: Nanos) -> Nanos {
        self.0.borrow().iter().map(|oldest| oldest.intended).fold(now, Nanos::min)
    }

    /// Wakes the clients for which no event comes: on a time-out, and at the end of an odd reply over the raw framing.
    pub fn wake_late(&self, pacer: &Pacer, timeout: Nanos, now: Nanos) {
        let wait = timeout.min(RAW_SILENCE_NS);
        for (number, _) in
            (0..).zip(self.0.borrow().iter()).filter(|(_, oldest)| oldest.is_open_for(wait, now))
        {
            pacer.wake(number);
        }
    }

    pub fn wake_all(&self, pacer: &Pacer) {
        (0..self.0.borrow().len()).for_each(|number| pacer.wake(number as u32));
    }
}
