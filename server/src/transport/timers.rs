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
    rc::Rc,
    task::Context,
    time::{Duration, Instant},
};

use tokio::net::TcpStream;

use super::{Host, write_timeout};
use crate::protocol::Status;

/// How often in each time-out it is looked whether a client takes its replies: twice as often as
/// [`write_timeout::LOOKS`], so that a look that is late by one tick of the clock comes in time for those.
const EARLY_LOOKS: u32 = 2 * write_timeout::LOOKS;

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
    /// While replies wait that the kernel does not take.
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

    /// Notes whether replies wait, and whether some have gone just now; `true` where an alarm is to be set for them.
    pub(super) fn note_unsent(&mut self, is_waiting: bool, has_taken: bool, is_logged_in: bool) -> bool {
        let was_waiting = self.blocked.is_some();
        if was_waiting && has_taken && is_logged_in {
            // It was perhaps the server that did not read. Before the login nothing puts the login's time-out off.
            self.note_request();
        }
        if !is_waiting {
            self.blocked = None;
        } else if has_taken || !was_waiting {
            let taken = self.blocked.map_or(0, |blocked| blocked.taken);
            self.blocked = Some(Blocked { since: self.host.watch.now(), taken });
        }
        is_waiting && !was_waiting
    }

    /// Whether replies wait that the client does not take.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// What the client at the other end of `stream` is overdue with, if it is.
    pub(super) fn overdue(&mut self, is_logged_in: bool, stream: &TcpStream) -> Option<Overdue> {
        let now = self.host.watch.now();
        if let Some(blocked) = &mut self.blocked {
            let taken = write_timeout::taken_bytes(stream);
            if taken > blocked.taken {
                *blocked = Blocked { since: now, taken };
            }
        }
        let (deadline, overdue) = self.deadline(is_logged_in)?;
        (deadline <= now).then_some(overdue)
    }

    /// Has the connection woken when the next thing may be overdue, `also` included.
    pub(super) fn set_alarm(&mut self, cx: &Context<'_>, is_logged_in: bool, also: Option<Instant>) {
        let timeouts = &self.host.config.timeouts;
        // The login starts another wait, which may be over before the one for the login would have been.
        let after_login = timeouts.idle.filter(|_| !is_logged_in);
        let next = after_login.and_then(|idle| self.after(self.host.watch.now(), idle));
        let look = self.blocked.and(timeouts.unsent);
        let look = look.and_then(|unsent| self.host.watch.now().checked_add(unsent / EARLY_LOOKS));
        let deadline = self.deadline(is_logged_in).map(|(deadline, _)| deadline);
        self.due = [deadline, next, look, also].into_iter().flatten().min();
        self.host.watch.set_alarm(&mut self.alarm, self.due, cx.waker());
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

    /// Which time-out is the next, and when it strikes.
    fn deadline(&self, is_logged_in: bool) -> Option<(Instant, Overdue)> {
        let timeouts = &self.host.config.timeouts;
        let message = match (is_logged_in, self.blocked) {
            (false, _) => timeouts.login.map(|login| (login, Status::LoginTimeout)),
            (true, None) => timeouts.idle.map(|idle| (idle, Status::IdleTimeout)),
            (true, Some(_)) => None,
        };
        let message = message.and_then(|(timeout, status)| {
            Some((self.after(self.active_at, timeout)?, Overdue::Message(status)))
        });
        let reader = self
            .blocked
            .zip(timeouts.unsent)
            .and_then(|(blocked, unsent)| Some((self.after(blocked.since, unsent)?, Overdue::Reader)));
        [message, reader].into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
    }
}

impl Drop for Vigil {
    fn drop(&mut self) {
        if let Some(key) = self.alarm {
            self.host.watch.remove_alarm(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, task::Waker};

    use tokio::{
        net::TcpListener,
        runtime::{Builder, LocalOptions},
    };

    use super::*;
    use crate::{
        config::{Config, Timeouts},
        registry::{Registry, UpgradePolicy},
        runtime::Departures,
    };

    fn host(timeouts: Timeouts) -> Rc<Host> {
        let config = Config { timeouts, ..Config::on_free_ports(&[]) };
        let registry = Arc::new(Registry::new(UpgradePolicy::Closed));
        Rc::new(Host::new(Arc::new(config), registry, Arc::default(), Departures::new()))
    }

    /// Runs a connection's waits by a clock of the test's own until something is overdue, and tells what, and after
    /// how many of the clock's ticks. `happens` comes before each.
    fn overdue_after(timeouts: Timeouts, mut happens: impl FnMut(&mut Vigil, u32)) -> (Overdue, u32) {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let host = host(timeouts);
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut vigil, cx) = (Vigil::start(&host), Context::from_waker(Waker::noop()));
            vigil.set_alarm(&cx, false, None);
            let (start, tick) = (host.watch.now(), timeouts.resolution().unwrap());
            for ticks in 1..200 {
                happens(&mut vigil, ticks);
                if vigil.is_blocked() && ticks == 1 {
                    vigil.set_alarm(&cx, false, None);
                }
                host.watch.move_to(start + tick * ticks);
                if vigil.is_due() {
                    if let Some(overdue) = vigil.overdue(false, &client) {
                        return (overdue, ticks);
                    }
                    vigil.set_alarm(&cx, false, None);
                }
            }
            panic!("nothing was ever overdue");
        })
    }

    const NONE: Timeouts = Timeouts { login: None, idle: None, unsent: None, ping: None };

    #[test]
    fn who_takes_no_replies_is_overdue_within_what_is_promised() {
        // Eight ticks, a quarter more, and three ticks.
        let timeouts = Timeouts { unsent: Some(Duration::from_secs(2)), ..NONE };
        let (overdue, ticks) = overdue_after(timeouts, |vigil, tick| {
            if tick == 1 {
                assert!(vigil.note_unsent(true, false, false));
            }
        });
        assert_eq!(overdue, Overdue::Reader);
        assert!((8..=8 + 2 + 3).contains(&ticks), "{ticks} ticks");
    }

    #[test]
    fn tcp_7_who_takes_replies_now_and_then_has_no_more_time_to_log_in() {
        let second = Some(Duration::from_secs(1));
        for unsent in [None, second] {
            let (overdue, ticks) =
                overdue_after(Timeouts { login: second, unsent, ..NONE }, |vigil, tick| {
                    vigil.note_unsent(tick % 2 == 1, tick > 1, false);
                });
            assert_eq!(overdue, Overdue::Message(Status::LoginTimeout));
            assert!((8..=8 + 3).contains(&ticks), "{ticks} ticks");
        }
    }
}
