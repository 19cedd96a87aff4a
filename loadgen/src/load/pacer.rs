//! Wakes clients at absolute instants: one timerfd for a whole worker.
//!
//! The runtime's own timers round up to a millisecond, which would be most of a latency here. Deadlines are absolute,
//! so a late wake does not move the next one.

mod timerfd;

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::rc::Rc;
use std::task::Waker;

use twinwire_os::clock::{self, Nanos};

/// The longest time by which the timer is set before a deadline. A wake is late by about the time that the system takes
/// to wake an idle CPU (tens of microseconds in a virtual machine), so a timer that is set that much earlier brings the
/// median wake to its deadline. After a wake before the deadline, other tasks run until then, for at most this long.
const LEAD_MAX: Nanos = 100_000;

/// The median wake is meant to come this long after its deadline. Most wakes then need not wait, and the worker's CPU
/// stays idle.
const MARGIN: Nanos = 5_000;

/// Step of the running median of the lateness, which a few long preemptions do not move.
const STEP: Nanos = 250;

/// The first step. The n-th step is an n-th of it, but at least [`STEP`], so that a worker that seldom wakes knows its
/// lateness after a handful of wakes.
const STEP_FIRST: Nanos = 40_000;

/// Later than every deadline, so that the comparison with the armed one needs no case of its own.
const NO_DEADLINE: Nanos = Nanos::MAX;

/// Clients of one worker that wait for an instant.
#[derive(Debug)]
pub struct Pacer {
    waiting: RefCell<BinaryHeap<Reverse<(Nanos, u32)>>>,
    clients: RefCell<Vec<Waiter>>,
    timer: timerfd::Timer,
    /// The deadline that the timer is set for; [`NO_DEADLINE`] if there is none.
    armed_for: Cell<Nanos>,
    /// The instant that the timer was set to, if it lay in the future.
    set_to: Cell<Option<Nanos>>,
    lateness: Cell<Lateness>,
}

/// How late the timer wakes this worker: a running median.
#[derive(Debug, Clone, Copy, Default)]
struct Lateness {
    median: Nanos,
    wakes: u32,
}

impl Lateness {
    fn learn(&mut self, late: Nanos) {
        self.wakes = self.wakes.saturating_add(1);
        let step = (STEP_FIRST / Nanos::from(self.wakes)).max(STEP);
        let next = if late > self.median { self.median + step } else { self.median.saturating_sub(step) };
        self.median = next.min(LEAD_MAX + MARGIN);
    }
}

#[derive(Debug, Clone, Default)]
struct Waiter {
    waker: Option<Waker>,
    /// When the pacer last woke it for a deadline.
    woken_at: Nanos,
}

impl Pacer {
    /// A pacer for clients numbered below `clients`.
    pub fn new(clients: usize) -> io::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            waiting: RefCell::new(BinaryHeap::with_capacity(clients)),
            clients: RefCell::new(vec![Waiter::default(); clients]),
            timer: timerfd::Timer::new()?,
            armed_for: Cell::new(NO_DEADLINE),
            set_to: Cell::new(None),
            lateness: Cell::default(),
        }))
    }

    /// Registers the waker of `client`.
    pub fn register(&self, client: u32, waker: &Waker) {
        let slot = &mut self.clients.borrow_mut()[client as usize].waker;
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Wakes `client` at `due`, which is after `now`.
    pub fn wake_at(&self, client: u32, due: Nanos, now: Nanos) -> io::Result<()> {
        self.waiting.borrow_mut().push(Reverse((due, client)));
        if due < self.armed_for.get() {
            self.set(due, now)?;
        }
        Ok(())
    }

    /// Wakes `client` now.
    pub fn wake(&self, client: u32) {
        if let Some(waker) = &self.clients.borrow()[client as usize].waker {
            waker.wake_by_ref();
        }
    }

    /// When the pacer last woke this client for a deadline.
    pub fn woken_at(&self, client: u32) -> Nanos {
        self.clients.borrow()[client as usize].woken_at
    }

    /// Wakes each client at its deadline, for ever.
    pub async fn run(&self) -> io::Result<()> {
        // A window that was cut short may have left deadlines behind.
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
        self.armed_for.set(NO_DEADLINE);
        Ok(())
    }

    fn set(&self, due: Nanos, now: Nanos) -> io::Result<()> {
        let at = due.saturating_sub(self.lateness.get().median.saturating_sub(MARGIN).min(LEAD_MAX));
        self.armed_for.set(due);
        self.set_to.set(Some(at).filter(|&at| at > now));
        self.timer.set(at)
    }

    /// Updates the median lateness of the timer.
    fn learn(&self, now: Nanos) {
        let Some(late) = self.set_to.take().and_then(|at| now.checked_sub(at)) else { return };
        let mut lateness = self.lateness.get();
        lateness.learn(late);
        self.lateness.set(lateness);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handful_of_wakes_teaches_the_lateness_and_a_long_one_does_not_unlearn_it() {
        for true_median in [4_000, 15_000, 37_000, 60_000, 90_000] {
            let mut lateness = Lateness::default();
            // Half a microsecond to either side, and now and then a preemption.
            let mut known = (1..=1_000_u64).map(|wake| {
                let late = true_median + if wake % 2 == 0 { 500 } else { 0 };
                lateness.learn(if wake % 20 == 19 { 5_000_000 } else { late });
                lateness.median.abs_diff(true_median)
            });
            let after_ten = known.nth(9).unwrap();
            assert!(after_ten < 20_000, "{true_median}: {after_ten} off after ten wakes");
            let worst = known.skip(290).max().unwrap();
            assert!(worst < 3_000, "{true_median}: {worst} off after 300");
        }
    }
}
