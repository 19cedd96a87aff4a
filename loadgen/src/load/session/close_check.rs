//! Whether a server that closed where a reply was due still serves others.
//!
//! Such a close is a violation where the server closed in order (not by a reset), the oldest open request was one that
//! must be answered (a malformed command, FORM-1; `q`, LIFE-1), and the server closes on a newcomer that asks the same.
//! Every other end stays an error: a server that crashes, is shut down, runs into a time-out or is told to disconnect a
//! user takes whatever is open with it, and breaks no rule by that.

use std::time::Duration;

use super::super::context::PassContext;
use super::super::evidence::Requester;
use super::exchange::{LoginReply, NoReply, ask, connect, replies};
use crate::domain::Role;

/// How long after a close a newcomer comes: a dying server closes its connections one by one, its listener perhaps
/// last.
const DEATH_DELAY: Duration = Duration::from_millis(20);

/// Whether the server that has just closed this client's connection instead of answering this request does it again: a
/// newcomer in the same role asks the same.
pub async fn closes_again(context: &PassContext, requester: Requester, request: &[u8]) -> bool {
    tokio::time::sleep(DEATH_DELAY).await;
    let timeout = context.scenario.timeout;
    // No client's name contains a colon.
    let name = format!("{}:", context.reference.client(requester.client).name);
    let asked = async {
        let mut newcomer = connect(context.endpoint(requester.client), timeout).await?;
        let login = ask(&mut newcomer, name.as_bytes(), timeout).await.ok()?;
        if login.to_login() != LoginReply::Success {
            return None;
        }
        if requester.role == Role::Manager {
            ask(&mut newcomer, b"upgrade", timeout).await.ok()?;
        }
        newcomer.push(request).ok()?;
        Some(replies(&mut newcomer, timeout).await)
    };
    let asked = tokio::time::timeout(timeout, asked).await.ok().flatten();
    matches!(asked, Some(Err(NoReply::Ended(ended))) if ended.is_close())
}
