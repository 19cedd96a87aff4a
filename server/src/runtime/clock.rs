//! The coarse clock of all workers: one thread that sleeps nearly always.
//!
//! It is not on the workers' runtimes, since a runtime that has a timer reads the time twice for each round of
//! events instead of once.

use std::{
    cell::{Cell, RefCell},
    io,
    task::Waker,
    thread::{self, Scope},
    time::{Duration, Instant},
};

use slab::Slab;
use tokio::{
    runtime::Builder,
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::shutdown::Shutdown;

/// Moves the clock on each `resolution` until the server stops, on a thread of its own.
pub(crate) fn start_ticking<'scope>(
    scope: &'scope Scope<'scope, '_>,
    resolution: Duration,
    clock: watch::Sender<Instant>,
    shutdown: &'scope Shutdown,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let run = async move {
        let mut ticks = interval(resolution);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            clock.send_replace(Instant::now());
        }
    };
    let run = move || {
        runtime.block_on(async {
            tokio::select! {
                () = run => {}
                () = shutdown.triggered() => {}
            }
        });
    };
    thread::Builder::new().name("clock".into()).spawn_scoped(scope, run)?;
    Ok(())
}

/// A worker's coarse clock and its alarms.
#[derive(Debug)]
pub(crate) struct Watch {
    now: Cell<Instant>,
    /// When it was last moved; with every pause of the server, `now` lags further behind.
    moved_at: Cell<Instant>,
    step: Duration,
    /// When [`Self::now_ms`] was 0, and what that is now.
    origin: Instant,
    now_ms: Cell<u64>,
    alarms: RefCell<Slab<Alarm>>,
}

#[derive(Debug)]
struct Alarm {
    /// `None` where nothing is waited for that could be overdue.
    due: Option<Instant>,
    waker: Waker,
}

impl Watch {
    /// A clock that shows `now`, and that goes on by at most `step` whenever it is moved; beside it one that began at
    /// `origin` and leaves out no pauses.
    pub(crate) fn new(now: Instant, origin: Instant, step: Duration) -> Self {
        let now_ms = Cell::new(milliseconds(origin, now));
        let (moved_at, alarms) = (Cell::new(now), RefCell::default());
        Self { now: Cell::new(now), moved_at, step, origin, now_ms, alarms }
    }

    /// How many milliseconds after its origin it was last moved.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// What the clock shows.
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Moves the clock on, by one step at most, and wakes every connection whose alarm is due.
    pub(crate) fn move_to(&self, instant: Instant) {
        self.now_ms.set(milliseconds(self.origin, instant));
        let passed = instant.saturating_duration_since(self.moved_at.replace(instant));
        let now = self.now.get() + passed.min(self.step);
        self.now.set(now);
        for (_, alarm) in self.alarms.borrow().iter() {
            if alarm.due.is_some_and(|due| due <= now) {
                alarm.waker.wake_by_ref();
            }
        }
    }

    /// Has `waker` woken once the clock shows `due`, by the alarm of this key or by a new one.
    pub(crate) fn set_alarm(&self, alarm: &mut Option<usize>, due: Option<Instant>, waker: &Waker) {
        let mut alarms = self.alarms.borrow_mut();
        match *alarm {
            Some(key) => alarms[key].due = due,
            None => *alarm = Some(alarms.insert(Alarm { due, waker: waker.clone() })),
        }
    }

    /// Forgets an alarm.
    pub(crate) fn remove_alarm(&self, alarm: usize) {
        self.alarms.borrow_mut().remove(alarm);
    }

    /// Wakes every connection, for something that concerns all of them.
    pub(crate) fn wake_all(&self) {
        for (_, alarm) in self.alarms.borrow().iter() {
            alarm.waker.wake_by_ref();
        }
    }
}

fn milliseconds(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_on_as_time_does_but_for_pauses() {
        let (start, step) = (Instant::now(), Duration::from_millis(100));
        let watch = Watch::new(start, start, step);
        let shown = |at: u64| {
            watch.move_to(start + Duration::from_millis(at));
            watch.now().duration_since(start).as_millis()
        };
        assert_eq!([90, 190, 250].map(shown), [90, 190, 250]);
        assert_eq!(shown(3_000), 350, "a pause counts as one step");
        assert_eq!(shown(3_100), 450);
        assert_eq!(shown(2_000), 450, "nor does it go back");
    }
}
