//! The coarse clock that time-outs go by. One thread, which nearly always sleeps, sends the time to each worker, and each
//! worker has a clock of its own with alarms.
//!
//! The ticks do not come from timers of the workers' runtimes: a runtime that has a timer reads the time twice for each
//! round of events instead of once.

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

/// Starts the thread that sends the time to all workers once in each `resolution` until the server stops.
pub(crate) fn start_ticking<'scope>(
    scope: &'scope Scope<'scope, '_>,
    resolution: Duration,
    workers: watch::Sender<Instant>,
    shutdown: &'scope Shutdown,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let run = async move {
        let mut ticks = interval(resolution);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            workers.send_replace(Instant::now());
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
///
/// A tick moves it by one step at most, however long the last tick is ago. After a standstill of the server itself (a
/// paused machine, a stopped process) requests wait unread, and it is not the clients that have let a time-out expire.
#[derive(Debug)]
pub(crate) struct CoarseClock {
    now: Cell<Instant>,
    /// The real time of the last tick. With each standstill of the server `now` falls further behind it.
    moved_at: Cell<Instant>,
    step_max: Duration,
    origin: Instant,
    /// Milliseconds from the origin, standstills included.
    now_ms: Cell<u64>,
    alarms: RefCell<Slab<Alarm>>,
}

#[derive(Debug)]
struct Alarm {
    /// `None` if nothing can expire now.
    due: Option<Instant>,
    waker: Waker,
}

/// Identifies an alarm of one clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AlarmKey(usize);

impl CoarseClock {
    /// A clock that shows `now` and moves by at most `step_max` on each tick. It also counts milliseconds since `origin`,
    /// standstills included.
    pub(crate) fn new(now: Instant, origin: Instant, step_max: Duration) -> Self {
        Self {
            now: Cell::new(now),
            moved_at: Cell::new(now),
            step_max,
            origin,
            now_ms: Cell::new(milliseconds(origin, now)),
            alarms: RefCell::default(),
        }
    }

    /// Milliseconds from the origin to the last tick.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// What the clock shows.
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Handles a tick: moves the clock and wakes every connection whose alarm is due.
    pub(crate) fn advance_to(&self, instant: Instant) {
        self.now_ms.set(milliseconds(self.origin, instant));
        let passed = instant.saturating_duration_since(self.moved_at.replace(instant));
        let now = self.now.get() + passed.min(self.step_max);
        self.now.set(now);
        for (_, alarm) in self.alarms.borrow().iter() {
            if alarm.due.is_some_and(|due| due <= now) {
                alarm.waker.wake_by_ref();
            }
        }
    }

    /// Sets the alarm, and makes it first if there is none: it wakes `waker` on each tick from `due` on.
    pub(crate) fn set_alarm(&self, alarm: &mut Option<AlarmKey>, due: Option<Instant>, waker: &Waker) {
        let mut alarms = self.alarms.borrow_mut();
        match *alarm {
            Some(AlarmKey(key)) => alarms[key].due = due,
            None => *alarm = Some(AlarmKey(alarms.insert(Alarm { due, waker: waker.clone() }))),
        }
    }

    pub(crate) fn remove_alarm(&self, AlarmKey(key): AlarmKey) {
        self.alarms.borrow_mut().remove(key);
    }

    /// Wakes every connection that has an alarm, due or not.
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
    fn the_clock_follows_the_time_except_for_standstills() {
        let (start, step_max) = (Instant::now(), Duration::from_millis(100));
        let clock = CoarseClock::new(start, start, step_max);
        let shown = |at: u64| {
            clock.advance_to(start + Duration::from_millis(at));
            clock.now().duration_since(start).as_millis()
        };
        assert_eq!([90, 190, 250].map(shown), [90, 190, 250]);
        assert_eq!(shown(3_000), 350, "a standstill counts as one step");
        assert_eq!(shown(3_100), 450);
        assert_eq!(shown(2_000), 450, "it never goes back");
    }
}
