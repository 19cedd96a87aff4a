//! When and how a client starts a new session during the load.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use twinwire_os::clock::{Nanos, nanos};

use super::super::session::{BadLogin, ReadyClient, SetupError, StepTimes, renew};
use super::state::WorkerState;
use crate::oracle::SessionModel;
use crate::scenario::model::Reconnect;
use crate::wire::Connection;

/// A new session that is being set up.
pub type Renewing = Pin<Box<dyn Future<Output = Result<ReadyClient, SetupError>>>>;

/// When the next new session is due, in load time.
#[derive(Debug, Clone, Copy)]
pub enum Renewal {
    /// After a number of requests.
    Requests {
        /// Requests of a session.
        every: u32,
        /// Requests that this session may still send.
        left: u32,
    },
    /// After this long.
    Interval {
        /// Length of a session in ns.
        every: Nanos,
        /// When this one ends.
        at: Nanos,
    },
}

impl Renewal {
    /// The first renewal of the client with this rank out of `of`. Sessions that end after a time do not all end at
    /// once, which would be a different load.
    pub fn first(reconnect: Reconnect, rank: u32, of: u32) -> Self {
        match reconnect {
            Reconnect::Requests(every) => Self::Requests { every: every.get(), left: every.get() },
            Reconnect::Interval(every) => {
                let every = nanos(every).max(1);
                let share = f64::from(rank + 1) / f64::from(of.max(1));
                Self::Interval { every, at: (every as f64 * share) as Nanos }
            }
        }
    }

    /// Whether this session must end by `now` (load time).
    pub fn is_due(&self, now: Nanos) -> bool {
        match *self {
            Self::Requests { left, .. } => left == 0,
            Self::Interval { at, .. } => at <= now,
        }
    }

    /// The load time at which it is due, if time decides.
    pub fn due_at(&self) -> Option<Nanos> {
        match *self {
            Self::Requests { .. } => None,
            Self::Interval { at, .. } => Some(at),
        }
    }

    /// Requests that this session may still send, if their number decides.
    pub fn requests_left(&self) -> Option<u32> {
        match *self {
            Self::Requests { left, .. } => Some(left),
            Self::Interval { .. } => None,
        }
    }

    /// Counts requests that were sent.
    pub fn sent(&mut self, count: u32) {
        if let Self::Requests { left, .. } = self {
            *left = left.saturating_sub(count);
        }
    }

    /// A new session begins at `now` (load time).
    pub fn done(&mut self, now: Nanos) {
        match self {
            Self::Requests { every, left } => *left = *every,
            Self::Interval { every, at } => *at = now + *every,
        }
    }

    /// Ends this session and sets a new one up.
    pub fn begin(state: &Rc<WorkerState>, session: &SessionModel, mut connection: Connection) -> Renewing {
        let state = state.clone();
        let client = session.client();
        let end = state.context.plan.session_end(client, session.number());
        let bad_login = BadLogin::of(&state.context, client, session.number());
        Box::pin(async move {
            let transport = usize::from(state.context.plan.clients[client as usize].transport);
            let traffic = state.traffic(transport);
            let mut steps = StepTimes::default();
            if let Some(bad_login) = bad_login {
                bad_login.attempt(&state.context, client, &mut connection).await?;
            }
            let ready = renew(&state.context, client, connection, end, traffic, &mut steps).await?;
            state.renewed(transport, steps);
            Ok(ready)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_session_ends_after_its_requests() {
        let mut renewal = Renewal::first(Reconnect::Requests(NonZeroU32::new(3).unwrap()), 0, 1);
        renewal.sent(2);
        assert!(!renewal.is_due(Nanos::MAX) && renewal.requests_left() == Some(1));
        renewal.sent(1);
        assert!(renewal.is_due(0));
        renewal.done(5);
        assert_eq!(renewal.requests_left(), Some(3));
    }

    #[test]
    fn sessions_that_end_by_time_do_not_end_all_at_once() {
        let every = Reconnect::Interval(Duration::from_micros(1));
        let ends: Vec<_> = (0..4).map(|rank| Renewal::first(every, rank, 4).due_at()).collect();
        assert_eq!(ends, [Some(250), Some(500), Some(750), Some(1000)]);
        let mut renewal = Renewal::first(every, 0, 4);
        assert!(renewal.is_due(250) && !renewal.is_due(249));
        renewal.done(300);
        assert_eq!(renewal.due_at(), Some(1300));
    }
}
