//! Whether a server that closed instead of replying does so again.
//!
//! Such a close is a violation if the server closed in order (not by a reset), the oldest open request was one that
//! must be answered (a malformed command, FORM-1; `q`, LIFE-1), and the server closes on a new client that sends the
//! same. Any other end is an error: a server that crashes, is shut down, enforces a time-out or disconnects a user ends
//! its open requests, and breaks no rule.

use std::time::Duration;

use super::super::context::PassContext;
use super::super::evidence::Requester;
use super::exchange::{LoginReply, NoReply, ask, connect, replies};
use crate::domain::Role;

/// How long after a close the new client connects: a dying server closes its connections one by one, its listener
/// perhaps last.
const DEATH_DELAY: Duration = Duration::from_millis(20);

/// Whether the server that has just closed this client's connection instead of answering this request does so again,
/// when a new client in the same role sends it.
pub async fn closes_again(context: &PassContext, requester: Requester, request: &[u8]) -> bool {
    tokio::time::sleep(DEATH_DELAY).await;
    let timeout = context.scenario.timeout;
    // No client's name contains a colon.
    let name = format!("{}:", context.reference.client(requester.client).name);
    let asked = async {
        let mut new_client = connect(context.endpoint(requester.client), timeout).await?;
        let login = ask(&mut new_client, name.as_bytes(), timeout).await.ok()?;
        if login.to_login() != LoginReply::Success {
            return None;
        }
        if requester.role == Role::Manager {
            ask(&mut new_client, b"upgrade", timeout).await.ok()?;
        }
        new_client.push(request).ok()?;
        Some(replies(&mut new_client, timeout).await)
    };
    let asked = tokio::time::timeout(timeout, asked).await.ok().flatten();
    matches!(asked, Some(Err(NoReply::Ended(ended))) if ended.is_close())
}
