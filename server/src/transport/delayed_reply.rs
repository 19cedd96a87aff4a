//! A reply that is held back for a while, and with it everything that comes after it (ROLE-8).

use std::{
    future::Future,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use tokio::{
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use super::Host;
use crate::{runtime::Phase, session::Wait};

/// How often it is looked whether the client has hung up: its name is not to be held for it (LIFE-2). The kernel is asked,
/// since what the client has sent before lies unread in front of the end of its stream.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// When a reply may go. There is at most one for each connection, since nothing is read meanwhile; this is the one place
/// where a connection has a timer of its own, for as long as it takes.
#[derive(Debug)]
pub(super) struct Withheld {
    until: Instant,
    next_look: Pin<Box<Sleep>>,
}

impl Withheld {
    pub(super) fn new(delay: Duration) -> Self {
        let now = Instant::now();
        Self { until: now + delay, next_look: Box::pin(sleep_until(now)) }
    }

    /// Ready when the reply may go, and tells how the wait has ended: at once where the server stops, which does not wait
    /// for those who guess. Not to be polled again after that.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, host: &Host, stream: &TcpStream) -> Poll<Wait> {
        if host.phase.get() != Phase::Running {
            return Poll::Ready(Wait::Over);
        }
        loop {
            ready!(self.next_look.as_mut().poll(cx));
            if has_hung_up(stream) {
                return Poll::Ready(Wait::HungUp);
            }
            let now = Instant::now();
            if now >= self.until {
                return Poll::Ready(Wait::Over);
            }
            self.next_look.as_mut().reset(self.until.min(now + LOOK_INTERVAL));
        }
    }
}

/// Whether the client has closed its sending side, or the connection is broken.
fn has_hung_up(stream: &TcpStream) -> bool {
    let mut polled = [PollFd::new(stream.as_fd(), PollFlags::from_bits_retain(libc::POLLRDHUP))];
    // Errors and a broken connection are told unasked.
    matches!(poll(&mut polled, PollTimeout::ZERO), Ok(1..))
}
