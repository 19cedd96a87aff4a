//! The server's side of the control socket: one line of request, one line of answer, close.
//!
//! `list`, `promote USER`, `demote USER`, `disconnect USER`, `stats`; the answer is an [`Answer`] in JSON. A client
//! that sends nothing, too much or nonsense, or does not read, takes one of [`super::OPERATORS_MAX`] places until
//! another client needs it, and does no other harm.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::{
    AdminState, OPERATORS_MAX,
    answer::{Answer, Connections, Reason, Role, Stats, UserRow},
    connections::BoundedClients,
    socket::ControlSocket,
};
use crate::{
    config::Timeouts,
    counters::{ConnectionTotals, RequestTotal},
    protocol::NAME_BYTES_MAX,
    registry::{Promotion, Registry, Usage},
};

/// The longest request: a command and a name, with room for white space.
const REQUEST_BYTES_MAX: usize = 64 + NAME_BYTES_MAX;

/// How much is read and discarded beyond a request that is too long.
const DISCARDED_BYTES_MAX: u64 = 1 << 20;

/// How long a client may take to send its request, and as long again to take the answer.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a session may take to end before the operator is told that it has not. It takes until its worker polls it
/// next: milliseconds under full load.
const DISCONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Serves until it is dropped; returns only with an error.
pub(super) async fn serve(socket: &ControlSocket, state: Arc<AdminState>) -> io::Result<()> {
    let listener = UnixListener::from_std(socket.listener()?)?;
    let mut clients = BoundedClients::new(OPERATORS_MAX);
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => {
                // Only now: no client gives way to one that may never come.
                clients.wait_for_room().await;
                let state = Arc::clone(&state);
                clients.serve(async move {
                    // A client that has gone, or takes too long, cannot be told anything.
                    let _ = serve_client(stream, &state).await;
                });
            }
            Err(error) => clients.log_and_pause("an operator", error).await,
        }
    }
}

async fn serve_client(stream: UnixStream, state: &AdminState) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = Vec::with_capacity(REQUEST_BYTES_MAX);
    let mut reader = BufReader::with_capacity(REQUEST_BYTES_MAX, reader).take(REQUEST_BYTES_MAX as u64);
    timeout(CLIENT_TIME_MAX, reader.read_until(b'\n', &mut line)).await??;
    let is_whole = line.len() < REQUEST_BYTES_MAX || line.ends_with(b"\n");
    let answer = if is_whole { run(&line, state).await } else { too_long() };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    timeout(CLIENT_TIME_MAX, writer.write_all(&text)).await??;
    writer.shutdown().await?;
    // Unread input would make the close a reset, and the answer would be lost.
    let mut rest = reader.into_inner().take(DISCARDED_BYTES_MAX);
    timeout(CLIENT_TIME_MAX, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await??;
    Ok(())
}

fn too_long() -> Answer {
    let message = format!("a request has at most {REQUEST_BYTES_MAX} bytes, its line feed included");
    Answer::Refused { reason: Reason::BadRequest, message }
}

async fn run(line: &[u8], state: &AdminState) -> Answer {
    let registry = &state.registry;
    // Without its end a request may be the beginning of another one: `demote al` of `demote alice`.
    let text = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
    let mut words = text.unwrap_or_default().split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("list"), None, _) => Answer::Users(users(registry)),
        (Some("stats"), None, _) => Answer::Stats(stats(state)),
        (Some("promote"), Some(user), None) => promote(registry, user),
        (Some("demote"), Some(user), None) => demote(registry, user),
        (Some("disconnect"), Some(user), None) => disconnect(registry, user).await,
        _ => Answer::Refused {
            reason: Reason::BadRequest,
            message: "expected list, promote USER, demote USER, disconnect USER or stats, and a line feed"
                .into(),
        },
    }
}

fn users(registry: &Registry) -> Vec<UserRow> {
    let mut users = Vec::with_capacity(registry.len());
    registry.for_each(|user, info| {
        users.push(UserRow {
            user: user.to_owned(),
            role: if info.is_manager { Role::Manager } else { Role::Guest },
            keys: info.usage.keys,
            bytes: info.usage.bytes,
            connected_s: info.since.elapsed().as_secs(),
            idle_s: idle(registry, info.active_ms).as_secs(),
            transport: info.peer.transport.name().to_owned(),
            peer: info.peer.address.to_string(),
        });
    });
    users.sort_unstable_by(|one, other| one.user.cmp(&other.user));
    users
}

/// How long a session with this last activity has had no request, rounded down by the longest tick of the clock, so
/// that a busy session does not look idle.
fn idle(registry: &Registry, active_ms: u64) -> Duration {
    let since = Duration::from_millis(active_ms) + Timeouts::COARSEST;
    registry.started().elapsed().saturating_sub(since)
}

fn promote(registry: &Registry, user: &str) -> Answer {
    if fault!(PromotesNobody) {
        return changed(user, Role::Manager, true);
    }
    match registry.find(user, |user| registry.promote(user)) {
        Some(Promotion::Granted) => changed(user, Role::Manager, true),
        Some(Promotion::Already) => changed(user, Role::Manager, false),
        Some(Promotion::Full) => Answer::Refused {
            reason: Reason::ManagersFull,
            message: format!(
                "{} is still a guest: there are as many managers as --max-managers allows ({}); demote one first",
                user.escape_debug(),
                registry.managers()
            ),
        },
        Some(Promotion::Gone) | None => unknown(user),
    }
}

fn demote(registry: &Registry, user: &str) -> Answer {
    if fault!(DemotesNobody) {
        return changed(user, Role::Guest, true);
    }
    registry
        .find(user, |user| registry.demote(user))
        .map_or_else(|| unknown(user), |was_manager| changed(user, Role::Guest, was_manager))
}

async fn disconnect(registry: &Registry, user: &str) -> Answer {
    if fault!(DisconnectsNobody) {
        return Answer::Disconnected { user: user.to_owned() };
    }
    let Some(ended) = registry.disconnect(user) else { return unknown(user) };
    if timeout(DISCONNECT_TIME_MAX, ended.wait()).await.is_ok() {
        tracing::info!(user, "disconnected by the operator");
        return Answer::Disconnected { user: user.to_owned() };
    }
    Answer::Refused {
        reason: Reason::NotYet,
        message: format!(
            "the session of {} was asked to end but has not ended within {} s",
            user.escape_debug(),
            DISCONNECT_TIME_MAX.as_secs()
        ),
    }
}

fn changed(user: &str, role: Role, changed: bool) -> Answer {
    if changed {
        tracing::info!(user, ?role, "role changed by the operator");
    }
    Answer::Role { user: user.to_owned(), role, changed }
}

fn unknown(user: &str) -> Answer {
    let message = format!("no user named {} is logged in", user.escape_debug());
    Answer::Refused { reason: Reason::UnknownUser, message }
}

fn stats(admin: &AdminState) -> Stats {
    let totals = admin.totals();
    let Usage { keys, bytes } = admin.stored();
    let mut stats = Stats {
        uptime_s: admin.started.elapsed().as_secs(),
        users: admin.registry.len(),
        managers: admin.registry.managers(),
        keys,
        bytes,
        connections: totals
            .connections
            .into_iter()
            .map(|ConnectionTotals { transport, open, opened }| {
                (transport.name().to_owned(), Connections { open, total: opened })
            })
            .collect(),
        requests: BTreeMap::new(),
        refusals: totals.refusals.into_iter().map(|(why, count)| (why.name().to_owned(), count)).collect(),
        bytes_received: totals.bytes_received,
        bytes_sent: totals.bytes_sent,
    };
    for RequestTotal { command, reply, count } in totals.requests {
        stats.requests.entry(command.name().to_owned()).or_default().insert(reply.to_owned(), count);
    }
    stats
}
