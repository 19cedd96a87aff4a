//! Requests outside of the load that wait for their replies: while a client is set up, logs in again or leaves.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use twinwire_os::clock::Nanos;

use crate::oracle::texts;
use crate::wire::{Connection, Ended, Endpoint, Reply, ReplyHandler, Traffic, poll_with_timeout};

/// A reply as text.
#[derive(Debug)]
pub(super) struct TimedReply {
    pub(super) text: String,
    pub(super) at: Nanos,
}

#[derive(Debug)]
pub(super) enum NoReply {
    Ended(Ended),
    TimedOut,
}

/// What a server says to a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginReply {
    Success,
    NameTaken,
    /// The server takes no further client now (TCP-6), or took the login for too late (TCP-7).
    NoRoom,
    /// A reply that no correct server gives to a well-formed name.
    Other,
}

impl TimedReply {
    pub(super) fn to_login(&self) -> LoginReply {
        match self.text.as_str() {
            texts::SUCCESS => LoginReply::Success,
            texts::DUPLICATE_USER_NAME => LoginReply::NameTaken,
            texts::SERVER_FULL | texts::LOGIN_TIMEOUT => LoginReply::NoRoom,
            _ => LoginReply::Other,
        }
    }
}

/// Another connection, whose bytes do not count for the load; `None` if the server refuses it.
pub(super) async fn connect(endpoint: &Endpoint, timeout: Duration) -> Option<Connection> {
    endpoint.connect(Arc::<Traffic>::default(), timeout).await.ok()
}

/// Sends one message and waits for its reply.
pub(super) async fn ask(
    connection: &mut Connection,
    message: &[u8],
    timeout: Duration,
) -> Result<TimedReply, NoReply> {
    connection.push(message).map_err(NoReply::Ended)?;
    Ok(replies(connection, timeout).await?.swap_remove(0))
}

/// Writes what is queued and waits for a reply. Returns all replies that came together, in order.
pub(super) async fn replies(
    connection: &mut Connection,
    timeout: Duration,
) -> Result<Vec<TimedReply>, NoReply> {
    let mut buffer = ReplyBuffer::default();
    let step = |cx: &mut Context<'_>| {
        let flushed = connection.flush(cx);
        // A server that no longer reads may have said why.
        let drained = connection.drain(cx, &mut buffer);
        match flushed.and(drained) {
            _ if !buffer.0.is_empty() => Poll::Ready(Ok(std::mem::take(&mut buffer.0))),
            Ok(()) => Poll::Pending,
            Err(ended) => Poll::Ready(Err(NoReply::Ended(ended))),
        }
    };
    poll_with_timeout(timeout, step).await.unwrap_or(Err(NoReply::TimedOut))
}

/// Keeps replies as text. A text of the protocol is a whole reply.
#[derive(Default)]
pub(super) struct ReplyBuffer(Vec<TimedReply>);

impl ReplyBuffer {
    /// The first of them, if any.
    pub(super) fn into_first(self) -> Option<String> {
        self.0.into_iter().next().map(|reply| reply.text)
    }
}

impl ReplyHandler for ReplyBuffer {
    fn is_whole(&self, bytes: &[u8]) -> bool {
        const WHOLE: [&str; 10] = [
            texts::SUCCESS,
            texts::DUPLICATE_USER_NAME,
            texts::DONE,
            texts::UPGRADED,
            texts::UPGRADE_REFUSED,
            texts::STORE_FULL,
            texts::MESSAGE_TOO_LONG,
            texts::EXITING,
            texts::DENIED,
            texts::WRONG_FORMAT,
        ];
        WHOLE.iter().any(|text| text.as_bytes() == bytes)
    }

    fn reply(&mut self, reply: Reply<'_>) {
        self.0.push(TimedReply { text: String::from_utf8_lossy(reply.text).into_owned(), at: reply.at });
    }
}
