//! How a session ends that another one follows, and whether its server still serves others.
//!
//! A close where a reply was due is judged by this rule. It is a violation where the server closed in order (not by a
//! reset), the oldest open request was one that must be answered (a malformed command, FORM-1; `q`, LIFE-1), and the
//! server closes on a newcomer that asks the same. Every other end stays an error: a server that crashes, is shut down,
//! runs into a time-out or is told to disconnect a user takes whatever is open with it, and breaks no rule by that.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::context::PassContext;
use super::plan::ending_draw;
use super::replies::{Kept, collect};
use crate::domain::Role;
use crate::oracle::texts;
use crate::wire::{Connection, Traffic, wait};

/// How long after a close a newcomer comes: a dying server closes its connections one by one, its listener perhaps last.
const DEATH_DELAY: Duration = Duration::from_millis(20);

/// Longest wait for a server's close, or its answer to a close frame, where neither is judged.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How a client ends a session to begin its next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By `q`: once the server has closed, the name is free (LIFE-3).
    Quit,
    /// By closing the connection: the name becomes free a while later (LIFE-2).
    Close,
    /// By a reset, likewise.
    Reset,
}

impl Ending {
    /// How this client's session of this number ends: half of them by `q`, the others by close or reset.
    #[must_use]
    pub fn of(context: &PassContext, client: u32, session: u32) -> Self {
        match ending_draw(context.plan.seed, context.plan.number(client), session) % 4 {
            0 => Self::Close,
            1 => Self::Reset,
            _ => Self::Quit,
        }
    }
}

/// Closes a connection as a client does that says nothing before: over WebSocket with a close frame.
pub async fn close(mut connection: Connection) {
    // The answer to a close frame is the framing's business.
    let _ = wait(CLOSE_TIMEOUT, |cx| connection.poll_close(cx, &mut Kept::default())).await;
}

/// Waits for the server's close: whether it came in time, and the first reply that came before it.
pub async fn closed(connection: &mut Connection, timeout: Duration) -> (bool, Option<String>) {
    let mut kept = Kept::default();
    let closed = poll_fn(|cx| match connection.drain(cx, &mut kept) {
        Ok(()) => Poll::Pending,
        Err(_) => Poll::Ready(()),
    });
    let closed = tokio::time::timeout(timeout, closed).await.is_ok();
    (closed, kept.into_first())
}

/// Whether the server that has just closed this client's connection instead of answering this request does it again: a
/// newcomer in the same role asks the same.
pub async fn closes_again(context: &PassContext, (client, role): (u32, Role), request: &[u8]) -> bool {
    tokio::time::sleep(DEATH_DELAY).await;
    let timeout = context.scenario.timeout;
    // No client's name contains a colon.
    let name = format!("{}:", context.world.client(client).name);
    let ask = async {
        let mut newcomer = context.endpoint(client).connect(Arc::<Traffic>::default(), timeout).await.ok()?;
        newcomer.push(name.as_bytes()).ok()?;
        let login = collect(&mut newcomer, 1, timeout).await.ok()?;
        if login[0].0 != texts::SUCCESS {
            return None;
        }
        if role == Role::Manager {
            newcomer.push(b"upgrade").ok()?;
            collect(&mut newcomer, 1, timeout).await.ok()?;
        }
        newcomer.push(request).ok()?;
        collect(&mut newcomer, 1, timeout).await.err().flatten()
    };
    tokio::time::timeout(timeout, ask).await.ok().flatten().is_some_and(|ended| ended.is_close())
}
