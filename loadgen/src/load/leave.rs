//! Ending sessions in order: `q`, its reply, and the server's close.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::ending::{closed, closes_again};
use super::flight::{Asked, Incident};
use super::replies::collect;
use super::shared::Shared;
use super::virtual_user::VirtualUser;
use super::worker::SETUP_CONCURRENCY;
use crate::domain::{Rule, ViolationKind};
use crate::measure::clock::{self, Nanos};
use crate::oracle::{Finding, texts};
use crate::wire::{Connection, Ended};

/// Longest that the reply to `q` may take at the end; a server that is slower has its connection dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How a session was left.
#[derive(Debug)]
pub enum Left {
    /// No reply to `q`: the connection ended before, or (`None`) none came in time.
    Unanswered(Option<Ended>),
    /// A reply.
    Answered {
        /// What it was.
        reply: String,
        /// When it was there.
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
) -> Left {
    for message in std::iter::once("q").chain(behind) {
        if let Err(ended) = connection.push(message.as_bytes()) {
            return Left::Unanswered(Some(ended));
        }
    }
    let mut replies = match collect(connection, 1, reply_timeout).await {
        Ok(replies) => replies.into_iter(),
        Err(ended) => return Left::Unanswered(ended),
    };
    let Some((reply, at)) = replies.next() else { return Left::Unanswered(None) };
    if reply == texts::IDLE_TIMEOUT {
        // It crossed the `q`; the close comes with it.
        return Left::Unanswered(Some(Ended::Closed));
    }
    let at_once = replies.next().map(|(reply, _)| reply);
    // Waiting for the close keeps the server, not us, from having to tell a reset from an end.
    let (closed, later) = closed(connection, close_timeout).await;
    Left::Answered { reply, at, closed, more: at_once.or(later) }
}

/// Ends every session with `q`, so that its name is free and the server sees no resets. Its reply is judged too.
pub async fn all(shared: &Rc<Shared>, users: Vec<VirtualUser>) {
    // A stopped run has replies under way that would be taken for that of `q`: its connections are just dropped.
    let mut waiting = users.into_iter().filter(|_| !shared.stopped());
    let mut tasks = JoinSet::new();
    let patience = if shared.never_closes() {
        Duration::ZERO
    } else {
        shared.context.scenario.timeout.max(CLOSE_TIMEOUT)
    };
    let patience = Rc::new(Cell::new(patience));
    loop {
        while tasks.len() < SETUP_CONCURRENCY
            && let Some(user) = waiting.next()
        {
            tasks.spawn_local(one(shared.clone(), user, patience.clone()));
        }
        let Some(done) = tasks.join_next().await else { break };
        done.expect("closing tasks are neither cancelled nor panic");
    }
}

/// Ends one session.
async fn one(shared: Rc<Shared>, mut user: VirtualUser, patience: Rc<Cell<Duration>>) {
    let (client, role) = (user.client(), user.role());
    let Some(connection) = user.connection() else { return };
    let who = (client, role);
    shared.context.world.set_ending(client);
    let (asked, seen, at) = match quit(connection, None, CLOSE_TIMEOUT, patience.get()).await {
        Left::Answered { reply, at, .. } if reply != texts::EXITING => (Asked::Quit, reply, at),
        Left::Answered { at, more: Some(more), .. } => (Asked::AfterQuit(None), more, at),
        Left::Answered { at, closed: false, .. } if !patience.get().is_zero() => {
            // One is enough, and all of them would take long.
            let waited = patience.replace(Duration::ZERO);
            (Asked::Close, not_closed(waited), at)
        }
        Left::Unanswered(Some(ended))
            if ended.is_close() && closes_again(&shared.context, who, b"q").await =>
        {
            (Asked::Quit, ended.to_string(), clock::now())
        }
        Left::Answered { .. } | Left::Unanswered(_) => return,
    };
    let finding = wrong_leaving(&asked);
    shared.violated(|context| Incident::of_session(context, who, finding, asked, seen.as_bytes(), at));
}

/// What is wrong with how the server let a client go.
pub fn wrong_leaving(asked: &Asked) -> Finding {
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
