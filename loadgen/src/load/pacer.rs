//! Wakes clients at absolute instants: one timer for a whole worker, a timerfd where there is one.
//!
//! The runtime's own timers round up to a millisecond, which would be most of a latency here. Deadlines are
//! absolute and never re-anchored, so lateness of one wake does not move the next.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::rc::Rc;
use std::task::Waker;

use crate::measure::clock::{self, Nanos};

/// Name of the mechanism, for the report.
pub const MECHANISM: &str = if cfg!(target_os = "linux") { "timerfd" } else { "tokio timers" };

/// How long before a deadline the timer is set at most. A wake is late by about as long as the system takes to wake an
/// idle CPU (tens of microseconds in a virtual machine), so setting the timer that much earlier brings the median wake
/// to its deadline. What wakes before its deadline lets other tasks run until then, for at most this long.
const LEAD_MAX: Nanos = 100_000;

/// The median wake is aimed so long after its deadline: most wakes then need not wait for it, and the worker's CPU
/// stays idle.
const MARGIN: Nanos = 5_000;

/// The lateness is followed in steps of this size: its running median, which a few long preemptions do not move.
const STEP: Nanos = 250;

/// Clients of one worker that wait for an instant.
#[derive(Debug)]
pub struct Pacer {
    waiting: RefCell<BinaryHeap<Reverse<(Nanos, u32)>>>,
    clients: RefCell<Vec<Waiter>>,
    timer: timer::Timer,
    /// The deadline that the timer is set for.
    armed_for: Cell<Nanos>,
    /// The instant that it is set to, where that was to come.
    set_to: Cell<Option<Nanos>>,
    lateness: Cell<Nanos>,
}

#[derive(Debug, Clone, Default)]
struct Waiter {
    waker: Option<Waker>,
    /// When the pacer last woke it for a deadline.
    woken_at: Nanos,
}

impl Pacer {
    /// A pacer for clients numbered below `clients`.
    ///
    /// # Errors
    /// Where the system gives no timer.
    pub fn new(clients: usize) -> io::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            waiting: RefCell::new(BinaryHeap::with_capacity(clients)),
            clients: RefCell::new(vec![Waiter::default(); clients]),
            timer: timer::Timer::new()?,
            armed_for: Cell::new(Nanos::MAX),
            set_to: Cell::new(None),
            lateness: Cell::new(0),
        }))
    }

    /// Says how to wake `client`; called from its task, whose waker stays the same.
    pub fn register(&self, client: u32, waker: &Waker) {
        let slot = &mut self.clients.borrow_mut()[client as usize].waker;
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Wakes `client` at `due`, which is after `now`.
    ///
    /// # Errors
    /// Where the system refuses to set the timer.
    pub fn wake_at(&self, client: u32, due: Nanos, now: Nanos) -> io::Result<()> {
        self.waiting.borrow_mut().push(Reverse((due, client)));
        if due < self.armed_for.get() {
            self.set(due, now)?;
        }
        Ok(())
    }

    /// Wakes `client` now, for a reason of the caller's.
    pub fn wake(&self, client: u32) {
        if let Some(waker) = &self.clients.borrow()[client as usize].waker {
            waker.wake_by_ref();
        }
    }

    /// When the pacer last woke this client for a deadline.
    #[must_use]
    pub fn woken_at(&self, client: u32) -> Nanos {
        self.clients.borrow()[client as usize].woken_at
    }

    /// Wakes whoever is due, for ever.
    ///
    /// # Errors
    /// Where the timer fails.
    pub async fn run(&self) -> io::Result<()> {
        // What a run that was cut short had armed is armed anew.
        self.rearm(clock::now())?;
        loop {
            self.timer.expired().await?;
            let mut now = clock::now();
            self.learn(now);
            // The deadline may move nearer while other tasks run.
            while now < self.armed_for.get() && self.armed_for.get() - now <= LEAD_MAX {
                tokio::task::yield_now().await;
                now = clock::now();
            }
            self.wake_due(now);
            self.rearm(now)?;
        }
    }

    fn wake_due(&self, now: Nanos) {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(&Reverse((due, client))) = waiting.peek() {
            if due > now {
                break;
            }
            waiting.pop();
            self.clients.borrow_mut()[client as usize].woken_at = now;
            self.wake(client);
        }
    }

    fn rearm(&self, now: Nanos) -> io::Result<()> {
        if let Some(&Reverse((due, _))) = self.waiting.borrow().peek() {
            return self.set(due, now);
        }
        self.armed_for.set(Nanos::MAX);
        Ok(())
    }

    fn set(&self, due: Nanos, now: Nanos) -> io::Result<()> {
        let at = due.saturating_sub(self.lateness.get().saturating_sub(MARGIN).min(LEAD_MAX));
        self.armed_for.set(due);
        self.set_to.set(Some(at).filter(|&at| at > now));
        self.timer.set(at)
    }

    /// Follows the median of how late the timer wakes this worker.
    fn learn(&self, now: Nanos) {
        let Some(late) = self.set_to.take().and_then(|at| now.checked_sub(at)) else { return };
        let median = self.lateness.get();
        let next = if late > median { median + STEP } else { median.saturating_sub(STEP) };
        self.lateness.set(next.min(LEAD_MAX + MARGIN));
    }
}

#[cfg(target_os = "linux")]
#[path = "pacer/timerfd.rs"]
mod timer;
#[cfg(not(target_os = "linux"))]
#[path = "pacer/runtime_timer.rs"]
mod timer;
