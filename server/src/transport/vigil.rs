//! Time-outs, at no cost to connections that are busy.
//!
//! Each worker has a coarse clock, moved on from outside every so often. A busy connection does no more than note
//! what it shows. One that waits has an alarm, an instant and a waker in the worker's list, which is looked through
//! when the clock moves: some dozen bytes and a comparison for each connection, and no timer that a request would
//! have to arm or to reset.
//!
//! The clock goes on by one step at most, however long ago it was last moved: where the server itself stood still (a
//! machine that was paused, a process that was stopped), its clients' requests wait unread, and are not overdue.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use slab::Slab;
use tokio::net::TcpStream;

use super::{Host, patience};
use crate::protocol::Status;

/// A worker's coarse clock and its alarms.
#[derive(Debug)]
pub(crate) struct Watch {
    now: Cell<Instant>,
    /// When it was last moved; with every pause of the server, `now` lags further behind.
    moved_at: Cell<Instant>,
    step: Duration,
    alarms: RefCell<Slab<Alarm>>,
}

#[derive(Debug)]
struct Alarm {
    /// `None` where nothing is waited for that could be overdue.
    due: Option<Instant>,
    waker: Waker,
}

impl Watch {
    /// A clock that shows `now`, and that goes on by at most `step` whenever it is moved.
    pub(crate) fn new(now: Instant, step: Duration) -> Self {
        Self { now: Cell::new(now), moved_at: Cell::new(now), step, alarms: RefCell::default() }
    }

    /// What the clock shows.
    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Moves the clock on, by one step at most, and wakes every connection whose alarm is due.
    pub(crate) fn move_to(&self, instant: Instant) {
        let passed = instant.saturating_duration_since(self.moved_at.replace(instant));
        let now = self.now.get() + passed.min(self.step);
        self.now.set(now);
        for (_, alarm) in self.alarms.borrow().iter() {
            if alarm.due.is_some_and(|due| due <= now) {
                alarm.waker.wake_by_ref();
            }
        }
    }

    /// Wakes every connection, for something that concerns all of them.
    pub(super) fn wake_all(&self) {
        for (_, alarm) in self.alarms.borrow().iter() {
            alarm.waker.wake_by_ref();
        }
    }
}

/// What a connection has waited for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The login or a request: the client is told so.
    Message(Status),
    /// That the client takes replies: there is nobody to tell.
    Reader,
}

/// One connection's waits.
#[derive(Debug)]
pub(super) struct Vigil {
    host: Rc<Host>,
    alarm: Option<usize>,
    due: Option<Instant>,
    /// When the connection began or, once it is logged in, when its last request came.
    active_at: Instant,
    /// While the server does not read from the client, because that takes too little.
    blocked: Option<Blocked>,
}

/// A client whose replies wait.
#[derive(Debug, Clone, Copy)]
struct Blocked {
    /// When it was last known to take any.
    since: Instant,
    /// How many bytes it had taken when last looked at.
    taken: u64,
}

impl Vigil {
    /// The waits of a connection that begins now.
    pub(super) fn start(host: &Rc<Host>) -> Self {
        let active_at = host.watch.now();
        Self { host: Rc::clone(host), alarm: None, due: None, active_at, blocked: None }
    }

    /// Whether it is time to look at the waits. True until [`Self::set_alarm`] is called again.
    pub(super) fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= self.host.watch.now())
    }

    /// Notes that a session has been asked something.
    pub(super) fn note_request(&mut self) {
        self.active_at = self.host.watch.now();
    }

    /// Notes that the server has stopped reading; `true` if it had not before.
    pub(super) fn note_blocked(&mut self) -> bool {
        let is_new = self.blocked.is_none();
        if is_new {
            self.blocked = Some(Blocked { since: self.host.watch.now(), taken: 0 });
        }
        is_new
    }

    /// Notes that the client has taken replies; `true` if the server had stopped reading.
    pub(super) fn note_progress(&mut self) -> bool {
        let was_blocked = self.blocked.take().is_some();
        if was_blocked {
            // Not reading was the server's doing.
            self.note_request();
        }
        was_blocked
    }

    /// Whether the server has stopped reading.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// What the client at the other end of `stream` is overdue with, if it is.
    pub(super) fn overdue(&mut self, is_logged_in: bool, stream: &TcpStream) -> Option<Overdue> {
        let now = self.host.watch.now();
        if let Some(blocked) = &mut self.blocked {
            let taken = patience::taken_bytes(stream);
            if taken > blocked.taken {
                *blocked = Blocked { since: now, taken };
            }
        }
        let deadline = self.deadline(is_logged_in)?;
        let status = if is_logged_in { Status::IdleTimeout } else { Status::LoginTimeout };
        let overdue = if self.is_blocked() { Overdue::Reader } else { Overdue::Message(status) };
        (deadline <= now).then_some(overdue)
    }

    /// Has the connection woken when the next thing may be overdue, `also` included.
    pub(super) fn set_alarm(&mut self, cx: &Context<'_>, is_logged_in: bool, also: Option<Instant>) {
        let timeouts = &self.host.config.timeouts;
        // The login starts another wait, which may be over before the one for the login would have been.
        let after_login = timeouts.idle.filter(|_| !is_logged_in);
        let next = after_login.and_then(|idle| self.after(self.host.watch.now(), idle));
        let look = self.blocked.and(timeouts.unsent);
        let look = look.and_then(|unsent| self.after(self.host.watch.now(), unsent / patience::LOOKS));
        self.due = [self.deadline(is_logged_in), next, look, also].into_iter().flatten().min();
        let mut alarms = self.host.watch.alarms.borrow_mut();
        match self.alarm {
            Some(key) => alarms[key].due = self.due,
            None => self.alarm = Some(alarms.insert(Alarm { due: self.due, waker: cx.waker().clone() })),
        }
    }

    /// Whether an alarm has been set, however late: the connection is woken by its clock from then on.
    pub(super) fn is_watched(&self) -> bool {
        self.alarm.is_some()
    }

    /// `timeout` after `at`, as this clock can tell it: what happened at `at` may have happened any time until the
    /// clock moved on, and no time-out strikes early.
    pub(super) fn after(&self, at: Instant, timeout: Duration) -> Option<Instant> {
        at.checked_add(timeout)?.checked_add(self.host.config.timeouts.step_max()?)
    }

    fn deadline(&self, is_logged_in: bool) -> Option<Instant> {
        let timeouts = &self.host.config.timeouts;
        let (since, timeout) = match (self.blocked, is_logged_in) {
            (Some(blocked), _) => (blocked.since, timeouts.unsent),
            (None, true) => (self.active_at, timeouts.idle),
            (None, false) => (self.active_at, timeouts.login),
        };
        self.after(since, timeout?)
    }
}

impl Drop for Vigil {
    fn drop(&mut self) {
        if let Some(key) = self.alarm {
            self.host.watch.alarms.borrow_mut().remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_on_as_time_does_but_for_pauses() {
        let (start, step) = (Instant::now(), Duration::from_millis(100));
        let watch = Watch::new(start, step);
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
