//! Ending a session: by `q`, its reply and the server's close, or by a close of the client's own.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use twinwire_os::clock::Nanos;

use super::super::evidence::Asked;
use super::exchange::{NoReply, ReplyBuffer, replies};
use crate::domain::{Rule, ViolationKind};
use crate::oracle::{Finding, texts};
use crate::wire::{Connection, Ended, poll_with_timeout};

/// Longest wait for a server's close, or its answer to a close frame, where neither is judged.
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

/// Ends a session with `q` and waits for the close, for each no longer than this. `behind` is sent with it, and must
/// never be run (LIFE-1).
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
    // If we closed first, the server would have to tell a reset from an orderly end.
    let (closed, later) = server_close(connection, close_timeout).await;
    Quit::Answered { reply: reply.text, at: reply.at, closed, more: more.or(later) }
}

/// Waits for the server's close: whether it came in time, and the first reply that came before it.
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
    // The answer to a close frame is the framing's business.
    let _ =
        poll_with_timeout(CLOSE_TIMEOUT, |cx| connection.poll_close(cx, &mut ReplyBuffer::default())).await;
}

/// What is wrong with how the server let a client go.
pub fn wrong_logout(asked: &Asked) -> Finding {
    let expected = match asked {
        Asked::Close => "`exiting`, then the close",
        Asked::AfterQuit(_) => "nothing after `exiting`",
        _ => "`exiting`",
    };
    Finding::new(ViolationKind::WrongReply, Rule::Life1, expected.to_owned())
}

/// What was seen of a server that does not close.
pub fn not_closed(waited: Duration) -> String {
    format!("{}, and no close within {waited:?}", texts::EXITING)
}
