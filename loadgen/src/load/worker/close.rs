//! Ending every session when the load is over, so that the names are free and the server sees no resets.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use twinwire_os::clock;

use super::super::evidence::{Asked, Evidence, Requester};
use super::super::session::{self, Quit, closes_again, not_closed, quit, wrong_logout};
use super::state::WorkerState;
use super::virtual_user::VirtualUser;
use crate::oracle::texts;

/// Time-out of the reply to `q` at the end. The connection of a slower server is dropped.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// Ends every session with `q`, whose reply is judged too.
pub async fn close_all(state: &Rc<WorkerState>, users: Vec<VirtualUser>) {
    // In a stopped run, open replies would be mistaken for that of `q`, so its connections are just dropped.
    let mut waiting = users.into_iter().filter(|_| !state.stop.is_set());
    let mut tasks = JoinSet::new();
    let close_timeout = (!state.never_closes()).then(|| state.context.scenario.timeout.max(REPLY_TIMEOUT));
    let close_timeout = Rc::new(Cell::new(close_timeout));
    loop {
        while tasks.len() < session::CONCURRENCY
            && let Some(user) = waiting.next()
        {
            tasks.spawn_local(close(state.clone(), user, close_timeout.clone()));
        }
        let Some(done) = tasks.join_next().await else { break };
        done.expect("closing tasks are neither cancelled nor panic");
    }
}

/// Ends one session. Without a `close_timeout` the server's close is not waited for, and not judged.
async fn close(state: Rc<WorkerState>, mut user: VirtualUser, close_timeout: Rc<Cell<Option<Duration>>>) {
    let requester = Requester { client: user.client(), role: user.role() };
    let Some(connection) = user.connection() else { return };
    state.context.reference.set_ending(requester.client);
    let wait = close_timeout.get().unwrap_or_default();
    let (asked, seen, at) = match quit(connection, None, REPLY_TIMEOUT, wait).await {
        Quit::Answered { reply, at, .. } if reply != texts::EXITING => (Asked::Quit, reply, at),
        Quit::Answered { at, more: Some(more), .. } => (Asked::AfterQuit(None), more, at),
        Quit::Answered { at, closed: false, .. } => {
            // One such violation is enough, and waiting for all would take long.
            let Some(waited) = close_timeout.take() else { return };
            (Asked::Close, not_closed(waited), at)
        }
        Quit::Ended(ended) if ended.is_close() && closes_again(&state.context, requester, b"q").await => {
            (Asked::Quit, ended.to_string(), clock::now())
        }
        Quit::Answered { closed: true, .. } | Quit::Ended(_) | Quit::TimedOut => return,
    };
    let finding = wrong_logout(&asked);
    state.violated(|context| Evidence::of_session(context, requester, finding, asked, seen.as_bytes(), at));
}
