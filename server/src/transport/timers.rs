//! A connection's time-outs, at no cost while it is busy.
//!
//! A busy connection only notes what its worker's coarse clock shows. One that waits has an alarm with that clock: a few
//! dozen bytes and one comparison for each connection and tick, and no timer that a request would have to set or reset.

use std::{
    net::TcpStream,
    rc::Rc,
    task::Context,
    time::{Duration, Instant},
};

use super::{WorkerContext, write_timeout};
use crate::{protocol::Status, runtime::AlarmKey};

/// How many times within the time-out for replies it is checked whether the client takes any: twice as often as
/// [`write_timeout::CHECKS`], so that a check that is late by one tick is still in time for those.
const CHECKS: u32 = 2 * write_timeout::CHECKS;

/// A time-out that has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timeout {
    Login,
    Idle,
    /// The client takes none of the replies that wait for it.
    Unsent,
}

impl Timeout {
    /// What the client is told; `None` if it would not read it.
    pub(super) fn status(self) -> Option<Status> {
        match self {
            Self::Login | Self::Idle if fault!(TimesOutInSilence) => None,
            Self::Login => Some(Status::LoginTimeout),
            Self::Idle => Some(Status::IdleTimeout),
            Self::Unsent => None,
        }
    }
}

/// One connection's time-outs.
#[derive(Debug)]
pub(super) struct ConnectionTimers {
    worker: Rc<WorkerContext>,
    alarm: Option<AlarmKey>,
    due: Option<Instant>,
    /// When the connection began or, once it is logged in, when its last request came.
    active_at: Instant,
    /// Set while replies wait that the kernel does not take.
    blocked: Option<Blocked>,
}

/// A client whose replies wait.
#[derive(Debug, Clone, Copy)]
struct Blocked {
    /// When it was last known to take some.
    since: Instant,
    /// How many bytes it had acknowledged at the last check.
    acked_bytes: u64,
}

/// The result of a flush.
#[derive(Debug, Clone, Copy)]
pub(super) struct FlushOutcome {
    /// Replies still wait.
    pub(super) is_pending: bool,
    /// The client took some of what waited.
    pub(super) has_progressed: bool,
}

impl ConnectionTimers {
    /// The time-outs of a connection that begins now.
    pub(super) fn start(worker: &Rc<WorkerContext>) -> Self {
        let active_at = worker.clock.now();
        Self { worker: Rc::clone(worker), alarm: None, due: None, active_at, blocked: None }
    }

    /// Whether something may have expired. Stays true until [`Self::set_alarm`] is called again.
    pub(super) fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= self.worker.clock.now())
    }

    pub(super) fn note_request(&mut self) {
        self.active_at = self.worker.clock.now();
    }

    /// Returns `true` if replies have begun to wait, so that an alarm must be set for them.
    pub(super) fn note_flush(&mut self, flush: FlushOutcome, is_logged_in: bool) -> bool {
        let was_waiting = self.blocked.is_some();
        if was_waiting && flush.has_progressed && is_logged_in {
            // Perhaps it was the server that did not read meanwhile. Nothing extends the time for the login.
            self.note_request();
        }
        if !flush.is_pending {
            self.blocked = None;
        } else if flush.has_progressed || !was_waiting {
            let acked_bytes = self.blocked.map_or(0, |blocked| blocked.acked_bytes);
            self.blocked = Some(Blocked { since: self.worker.clock.now(), acked_bytes });
        }
        flush.is_pending && !was_waiting
    }

    /// Whether replies wait that the client does not take.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// The time-out that has expired for the client at the other end of `stream`, if one has.
    pub(super) fn expired(&mut self, is_logged_in: bool, stream: &TcpStream) -> Option<Timeout> {
        let now = self.worker.clock.now();
        if let Some(blocked) = &mut self.blocked {
            let acked_bytes = write_timeout::acked_bytes(stream);
            if acked_bytes > blocked.acked_bytes {
                *blocked = Blocked { since: now, acked_bytes };
            }
        }
        let (deadline, timeout) = self.next_timeout(is_logged_in)?;
        (deadline <= now).then_some(timeout)
    }

    /// Sets the alarm to when the next time-out may have expired, or to `also`, whichever is first.
    pub(super) fn set_alarm(&mut self, cx: &Context<'_>, is_logged_in: bool, also: Option<Instant>) {
        let timeouts = &self.worker.config.timeouts;
        // A login starts the idle time-out, which may expire before the login's own would have.
        let after_login = timeouts.idle.filter(|_| !is_logged_in);
        let idle = after_login.and_then(|idle| self.after(self.worker.clock.now(), idle));
        let check = self.blocked.and(timeouts.unsent);
        let check = check.and_then(|unsent| self.worker.clock.now().checked_add(unsent / CHECKS));
        let deadline = self.next_timeout(is_logged_in).map(|(deadline, _)| deadline);
        self.due = [deadline, idle, check, also].into_iter().flatten().min();
        self.worker.clock.set_alarm(&mut self.alarm, self.due, cx.waker());
    }

    /// Whether an alarm has been set.
    pub(super) fn is_registered(&self) -> bool {
        self.alarm.is_some()
    }

    /// `timeout` after `at`, and one step of the clock more: what is noted as `at` may have happened any time until the
    /// clock moved on, and no time-out may expire early.
    pub(super) fn after(&self, at: Instant, timeout: Duration) -> Option<Instant> {
        at.checked_add(timeout)?.checked_add(self.worker.config.timeouts.step_max()?)
    }

    /// The time-out that expires next, and when.
    fn next_timeout(&self, is_logged_in: bool) -> Option<(Instant, Timeout)> {
        let timeouts = &self.worker.config.timeouts;
        let request = match (is_logged_in, self.blocked) {
            (false, _) if fault!(NeverTimesOutLogins) => None,
            (true, None) if fault!(NeverTimesOutIdlers) => None,
            (false, _) => timeouts.login.map(|login| (login, Timeout::Login)),
            (true, None) => timeouts.idle.map(|idle| (idle, Timeout::Idle)),
            (true, Some(_)) => None,
        };
        let request =
            request.and_then(|(duration, timeout)| Some((self.after(self.active_at, duration)?, timeout)));
        let unsent = self
            .blocked
            .zip(timeouts.unsent)
            .and_then(|(blocked, unsent)| Some((self.after(blocked.since, unsent)?, Timeout::Unsent)));
        [request, unsent].into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
    }
}

impl Drop for ConnectionTimers {
    fn drop(&mut self) {
        if let Some(key) = self.alarm {
            self.worker.clock.remove_alarm(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::Arc, task::Waker};

    use super::*;
    use crate::{
        config::{Config, Timeouts},
        registry::{Registry, UpgradePolicy},
        runtime::{ClosingPermits, block_on},
    };

    fn worker(timeouts: Timeouts) -> Rc<WorkerContext> {
        let config = Config { timeouts, ..Config::on_free_ports(&[]) };
        let registry = Arc::new(Registry::new(UpgradePolicy::Closed));
        Rc::new(WorkerContext::new(Arc::new(config), registry, Arc::default(), ClosingPermits::new()))
    }

    /// Runs a connection's time-outs by a clock of the test's own until one expires; returns it and the number of ticks.
    /// `happens` is called before each tick.
    fn first_expired(
        timeouts: Timeouts,
        mut happens: impl FnMut(&mut ConnectionTimers, u32),
    ) -> (Timeout, u32) {
        block_on(async {
            let worker = worker(timeouts);
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut timers, cx) = (ConnectionTimers::start(&worker), Context::from_waker(Waker::noop()));
            timers.set_alarm(&cx, false, None);
            let (start, tick) = (worker.clock.now(), timeouts.resolution().unwrap());
            for ticks in 1..200 {
                happens(&mut timers, ticks);
                if timers.is_blocked() && ticks == 1 {
                    timers.set_alarm(&cx, false, None);
                }
                worker.clock.advance_to(start + tick * ticks);
                if timers.is_due() {
                    if let Some(expired) = timers.expired(false, &client) {
                        return (expired, ticks);
                    }
                    timers.set_alarm(&cx, false, None);
                }
            }
            panic!("nothing ever expired");
        })
    }

    const NONE: Timeouts = Timeouts { login: None, idle: None, unsent: None, ping: None };

    #[test]
    fn a_client_that_takes_no_replies_times_out_within_the_stated_bounds() {
        // Eight ticks, a quarter more, and three ticks.
        let timeouts = Timeouts { unsent: Some(Duration::from_secs(2)), ..NONE };
        let (expired, ticks) = first_expired(timeouts, |timers, tick| {
            if tick == 1 {
                assert!(timers.note_flush(FlushOutcome { is_pending: true, has_progressed: false }, false));
            }
        });
        assert_eq!(expired, Timeout::Unsent);
        assert!((8..=8 + 2 + 3).contains(&ticks), "{ticks} ticks");
    }

    #[test]
    fn tcp_7_taking_replies_now_and_then_does_not_extend_the_time_to_log_in() {
        let second = Some(Duration::from_secs(1));
        for unsent in [None, second] {
            let (expired, ticks) =
                first_expired(Timeouts { login: second, unsent, ..NONE }, |timers, tick| {
                    let flush = FlushOutcome { is_pending: tick % 2 == 1, has_progressed: tick > 1 };
                    timers.note_flush(flush, false);
                });
            assert_eq!(expired, Timeout::Login);
            assert!((8..=8 + 3).contains(&ticks), "{ticks} ticks");
        }
    }
}
