//! Ending sessions in order: `q`, its reply, and the server's close.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinSet;

use super::flight::{Asked, Incident};
use super::replies::{Kept, collect};
use super::shared::Shared;
use super::virtual_user::VirtualUser;
use super::worker::SETUP_CONCURRENCY;
use crate::measure::clock::Nanos;
use crate::oracle::{Finding, texts};
use crate::wire::Connection;

/// Longest that closing one client may take; a server that is slower has its connection dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How a session was left.
#[derive(Debug, Default)]
pub struct Left {
    /// The reply to `q` and its instant, where one came in time.
    pub reply: Option<(String, Nanos)>,
    /// Whether the server closed then.
    pub closed: bool,
}

/// Ends a session with `q` and waits for the close.
pub async fn quit(connection: &mut Connection, timeout: Duration) -> Left {
    if connection.push(b"q").is_err() {
        return Left::default();
    }
    let Ok(mut replies) = collect(connection, 1, timeout).await else { return Left::default() };
    let reply = Some(replies.swap_remove(0));
    let closed = poll_fn(|cx| match connection.drain(cx, &mut Kept::default()) {
        Ok(()) => Poll::Pending,
        Err(_) => Poll::Ready(()),
    });
    // Waiting for the close keeps the server, not us, from having to tell a reset from an end.
    let closed = tokio::time::timeout(timeout, closed).await.is_ok();
    Left { reply, closed }
}

/// Ends every session with `q`, so that its name is free and the server sees no resets. Its reply is judged too.
pub async fn all(shared: &Rc<Shared>, users: Vec<VirtualUser>) {
    // A stopped run has replies under way that would be taken for that of `q`: its connections are just dropped.
    let mut waiting = users.into_iter().filter(|_| !shared.stopped());
    let mut tasks = JoinSet::new();
    loop {
        while tasks.len() < SETUP_CONCURRENCY
            && let Some(user) = waiting.next()
        {
            tasks.spawn_local(one(shared.clone(), user));
        }
        let Some(done) = tasks.join_next().await else { break };
        done.expect("closing tasks are neither cancelled nor panic");
    }
}

/// Ends one session.
async fn one(shared: Rc<Shared>, mut user: VirtualUser) {
    let client = user.client();
    let Some(connection) = user.connection() else { return };
    shared.context.world.set_ending(client);
    let Left { reply: Some((reply, at)), .. } = quit(connection, CLOSE_TIMEOUT).await else { return };
    if reply != texts::EXITING {
        let finding = Finding::new("wrong reply", "LIFE-1", format!("`{}`", texts::EXITING));
        let who = (client, user.role());
        shared.violated(|context| {
            Incident::of_session(context, who, finding, Asked::Quit, reply.as_bytes(), at)
        });
    }
}
