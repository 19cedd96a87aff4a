//! Ending a session: by `q`, its reply and the server's close, or by the client's own close.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use twinwire_os::clock::Nanos;

use super::super::evidence::Asked;
use super::exchange::{NoReply, ReplyBuffer, replies};
use crate::domain::{Rule, ViolationKind};
use crate::oracle::{Finding, texts};
use crate::wire::{Connection, Ended, poll_with_timeout};

/// Longest wait for a server's close, or for its answer to a close frame, if it is not judged.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What became of a `q`.
#[derive(Debug)]
pub enum Quit {
    /// The connection ended before a reply.
    Ended(Ended),
    TimedOut,
    Answered {
        reply: String,
        at: Nanos,
        /// Whether the server closed then.
        closed: bool,
        /// A reply that came between.
        more: Option<String>,
    },
}

/// Ends a session with `q` and waits for the server's close, each with a time-out of its own. `behind` is sent in the
/// same write and must not be executed (LIFE-1).
pub async fn quit(
    connection: &mut Connection,
    behind: Option<&str>,
    reply_timeout: Duration,
    close_timeout: Duration,
) -> Quit {
    for message in std::iter::once("q").chain(behind) {
        if let Err(ended) = connection.push(message.as_bytes()) {
            return Quit::Ended(ended);
        }
    }
    let mut came = match replies(connection, reply_timeout).await {
        Ok(came) => came,
        Err(NoReply::Ended(ended)) => return Quit::Ended(ended),
        Err(NoReply::TimedOut) => return Quit::TimedOut,
    };
    let more = came.drain(1..).next().map(|reply| reply.text);
    let reply = came.swap_remove(0);
    if reply.text == texts::IDLE_TIMEOUT {
        // It crossed the `q`; the close comes with it.
        return Quit::Ended(Ended::Closed);
    }
    // The server must close first, or it could see a reset.
    let (closed, later) = server_close(connection, close_timeout).await;
    Quit::Answered { reply: reply.text, at: reply.at, closed, more: more.or(later) }
}

/// Waits for the server's close. Returns whether it came in time, and the first reply before it.
async fn server_close(connection: &mut Connection, timeout: Duration) -> (bool, Option<String>) {
    let mut buffer = ReplyBuffer::default();
    let closed = poll_fn(|cx| match connection.drain(cx, &mut buffer) {
        Ok(()) => Poll::Pending,
        Err(_) => Poll::Ready(()),
    });
    let closed = tokio::time::timeout(timeout, closed).await.is_ok();
    (closed, buffer.into_first())
}

/// Closes a connection without a `q`: over WebSocket with a close frame.
pub(super) async fn close(mut connection: Connection) {
    // The framing handles the answer to a close frame.
    let _ =
        poll_with_timeout(CLOSE_TIMEOUT, |cx| connection.poll_close(cx, &mut ReplyBuffer::default())).await;
}

/// What is wrong with how the server ended a session.
pub fn wrong_logout(asked: &Asked) -> Finding {
    let expected = match asked {
        Asked::Close => "`exiting`, then the close",
        Asked::AfterQuit(_) => "nothing after `exiting`",
        _ => "`exiting`",
    };
    Finding::new(ViolationKind::WrongReply, Rule::Life1, expected.to_owned())
}

/// What a server that does not close looked like.
pub fn not_closed(waited: Duration) -> String {
    format!("{}, and no close within {waited:?}", texts::EXITING)
}
