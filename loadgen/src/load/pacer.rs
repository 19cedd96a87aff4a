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

/// Clients of one worker that wait for an instant.
#[derive(Debug)]
pub struct Pacer {
    waiting: RefCell<BinaryHeap<Reverse<(Nanos, u32)>>>,
    clients: RefCell<Vec<Waiter>>,
    timer: timer::Timer,
    armed_for: Cell<Nanos>,
}

#[derive(Debug, Clone, Default)]
struct Waiter {
    waker: Option<Waker>,
    /// When the pacer last woke it.
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
        }))
    }

    /// Says how to wake `client`; called from its task, whose waker stays the same.
    pub fn register(&self, client: u32, waker: &Waker) {
        let slot = &mut self.clients.borrow_mut()[client as usize].waker;
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Wakes `client` at `due`. Each client waits for one instant at a time.
    ///
    /// # Errors
    /// Where the system refuses to set the timer.
    pub fn wake_at(&self, client: u32, due: Nanos) -> io::Result<()> {
        self.waiting.borrow_mut().push(Reverse((due, client)));
        if due < self.armed_for.get() {
            self.armed_for.set(due);
            self.timer.set(due)?;
        }
        Ok(())
    }

    /// Wakes `client` now, for a reason of the caller's.
    pub fn wake(&self, client: u32) {
        if let Some(waker) = &self.clients.borrow()[client as usize].waker {
            waker.wake_by_ref();
        }
    }

    /// When the pacer last woke this client.
    #[must_use]
    pub fn woken_at(&self, client: u32) -> Nanos {
        self.clients.borrow()[client as usize].woken_at
    }

    /// Wakes whoever is due, for ever.
    ///
    /// # Errors
    /// Where the timer fails.
    pub async fn run(&self) -> io::Result<()> {
        loop {
            self.timer.expired().await?;
            let now = clock::now();
            let mut waiting = self.waiting.borrow_mut();
            while let Some(&Reverse((due, client))) = waiting.peek() {
                if due > now {
                    break;
                }
                waiting.pop();
                self.clients.borrow_mut()[client as usize].woken_at = now;
                self.wake(client);
            }
            let next = waiting.peek().map_or(Nanos::MAX, |next| next.0.0);
            self.armed_for.set(next);
            if next != Nanos::MAX {
                self.timer.set(next)?;
            }
        }
    }
}

#[cfg(target_os = "linux")]
#[path = "pacer/timerfd.rs"]
mod timer;
#[cfg(not(target_os = "linux"))]
#[path = "pacer/runtime_timer.rs"]
mod timer;
