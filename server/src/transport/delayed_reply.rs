//! A reply that is delayed, and with it everything that comes after it (ROLE-8).

use std::{
    future::Future,
    net::TcpStream,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use tokio::time::{Instant, Sleep, sleep_until};

use super::WorkerContext;
use crate::{runtime::Phase, session::DelayOutcome};

/// How often to check whether the client has hung up, so that its name is not held for nothing (LIFE-2). The kernel is
/// asked, since unread requests may lie before the end of the stream.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The delay of one reply. A connection has at most one, since nothing is read meanwhile. This is the only timer of the
/// runtime that a connection ever has.
#[derive(Debug)]
pub(super) struct DelayedReply {
    until: Instant,
    next_check: Pin<Box<Sleep>>,
}

impl DelayedReply {
    pub(super) fn new(delay: Duration) -> Self {
        let now = Instant::now();
        Self { until: now + delay, next_check: Box::pin(sleep_until(now)) }
    }

    /// Ready when the reply may be sent, when the client has hung up, or when the server is stopping. Must not be polled
    /// again after that.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
        stream: &TcpStream,
    ) -> Poll<DelayOutcome> {
        if worker.phase.get() != Phase::Running {
            return Poll::Ready(DelayOutcome::Elapsed);
        }
        loop {
            ready!(self.next_check.as_mut().poll(cx));
            if has_hung_up(stream) {
                return Poll::Ready(DelayOutcome::HungUp);
            }
            let now = Instant::now();
            if now >= self.until {
                return Poll::Ready(DelayOutcome::Elapsed);
            }
            self.next_check.as_mut().reset(self.until.min(now + CHECK_INTERVAL));
        }
    }
}

/// Whether the client has closed its sending side, or the connection is broken.
pub(super) fn has_hung_up(stream: &TcpStream) -> bool {
    let mut polled = [PollFd::new(stream.as_fd(), PollFlags::from_bits_retain(libc::POLLRDHUP))];
    // Errors and a broken connection are reported without being asked for.
    matches!(poll(&mut polled, PollTimeout::ZERO), Ok(1..))
}
