//! A reply that is held back for a while, and with it everything that comes after it (ROLE-8).

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use super::Host;
use crate::server::Phase;

/// A reply and when it may go. There is at most one for each connection, since nothing is read meanwhile; this is
/// the one place where a connection has a timer of its own, for as long as it takes.
#[derive(Debug)]
pub(super) struct Withheld<R> {
    reply: R,
    until: Pin<Box<Sleep>>,
}

impl<R: Default> Withheld<R> {
    pub(super) fn new(reply: R, delay: Duration) -> Self {
        Self { reply, until: Box::pin(sleep(delay)) }
    }

    /// Ready with the reply when its time has come; at once when the server stops, which does not wait for those
    /// who guess. Not to be polled again after that.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, host: &Host) -> Poll<R> {
        if host.phase.get() == Phase::Running {
            ready!(self.until.as_mut().poll(cx));
        }
        Poll::Ready(std::mem::take(&mut self.reply))
    }
}
