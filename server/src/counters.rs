//! What a server counts about itself: connections, requests, refusals, bytes.
//!
//! Each worker has its own counters and is the only one to write them: a plain load and store, without atomic additions
//! or cache lines that two workers share. A reader adds them up.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::protocol::{Malformed, Reply, Request, Status, Transport};

named_enum! {
    /// What a message asked for, as far as it is counted separately.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Command,
    /// The name in metrics and answers.
    fn name {
        /// The first messages of a session, until one is accepted.
        Login = "login",
        /// `put KEY VALUE`
        Put = "put",
        /// `get KEY`
        Get = "get",
        /// `get USER KEY`
        GetOther = "get-other",
        /// `upgrade`, with a secret or without
        Upgrade = "upgrade",
        /// `q`
        Quit = "q",
        /// A message that is not a request.
        Malformed = "malformed",
    }
}

impl Command {
    /// The command of a message that came after the login.
    pub(crate) fn of(request: &Result<Request<'_>, Malformed>) -> Self {
        match request {
            Ok(Request::Put { .. }) => Self::Put,
            Ok(Request::Get { .. }) => Self::Get,
            Ok(Request::GetOf { .. }) => Self::GetOther,
            Ok(Request::Upgrade { .. }) => Self::Upgrade,
            Ok(Request::Quit) => Self::Quit,
            Err(Malformed) => Self::Malformed,
        }
    }
}

named_enum! {
    /// Why the server turned a connection away or ended it, other than by the protocol's own `exiting`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Refusal,
    /// The name in metrics and answers.
    fn name {
        /// The server has as many connections as it may have.
        ServerFull = "server-full",
        /// Its address has as many connections as it may have.
        AddressFull = "address-full",
        /// Its opening handshake was not valid.
        Handshake = "handshake",
        /// Its TLS handshake failed.
        TlsHandshake = "tls-handshake",
        /// Its handshake came from a web page whose origin is not allowed.
        Origin = "origin",
        LoginTimeout = "login-timeout",
        IdleTimeout = "idle-timeout",
        UnsentTimeout = "unsent-timeout",
        PingTimeout = "ping-timeout",
        Operator = "operator",
    }
}

/// The replies that are counted separately: each status, and all values as one.
const REPLIES: usize = Status::ALL.len() + 1;

/// Log lines that were dropped because standard error was not read fast enough. Like the log itself it belongs to the
/// process, not to one server.
pub(crate) static LOG_LINES_DROPPED: AtomicU64 = AtomicU64::new(0);

/// A number that one thread writes and any may read.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self, more: u64) {
        // Not atomic as a whole, and need not be: only the worker that owns it writes.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One worker's counters. Only its own thread may call what changes them.
#[derive(Debug, Default)]
#[repr(align(128))] // Two cache lines, since processors fetch them in pairs: no neighbour shares them.
pub struct Counters {
    opened: [Count; Transport::ALL.len()],
    closed: [Count; Transport::ALL.len()],
    replies: [[Count; REPLIES]; Command::ALL.len()],
    refusals: [Count; Refusal::ALL.len()],
    bytes_received: Count,
    bytes_sent: Count,
}

impl Counters {
    /// Counts a request by its command and its reply.
    pub(crate) fn answered(&self, command: Command, reply: &Reply<'_>) {
        let reply = match reply {
            Reply::Status(status) => *status as usize,
            Reply::Value(_) => Status::ALL.len(),
        };
        self.replies[command as usize][reply].add(1);
    }

    /// Counts a connection, which is open until the returned guard is dropped.
    pub(crate) fn open(self: &Arc<Self>, transport: Transport) -> OpenConnection {
        self.opened[transport as usize].add(1);
        OpenConnection { counters: Arc::clone(self), transport }
    }

    pub(crate) fn refused(&self, reason: Refusal) {
        self.refusals[reason as usize].add(1);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.bytes_received.add(bytes as u64);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes_sent.add(bytes as u64);
    }
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    counters: Arc<Counters>,
    transport: Transport,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.counters.closed[self.transport as usize].add(1);
    }
}

/// The connections of one transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionTotals {
    pub(crate) transport: Transport,
    pub(crate) open: u64,
    /// All since the start.
    pub(crate) opened: u64,
}

/// The requests with one command and one reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestTotal {
    pub(crate) command: Command,
    /// The reply's text, or `value` for every value.
    pub(crate) reply: &'static str,
    pub(crate) count: u64,
}

/// The sums over all workers. What happens while they are read may be in one number and not yet in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) connections: Vec<ConnectionTotals>,
    /// Those that never occurred are left out.
    pub(crate) requests: Vec<RequestTotal>,
    pub(crate) refusals: Vec<(Refusal, u64)>,
    pub(crate) bytes_received: u64,
    /// Written, or waiting to be.
    pub(crate) bytes_sent: u64,
}

impl Totals {
    pub(crate) fn of(workers: &[Arc<Counters>]) -> Self {
        let sum = |figure: &dyn Fn(&Counters) -> &Count| -> u64 {
            workers.iter().map(|worker| figure(worker).get()).fold(0, u64::wrapping_add)
        };
        let connections = Transport::ALL.into_iter().map(|transport| {
            // Closed is read first: a connection that comes and goes meanwhile cannot make the difference negative.
            let closed = sum(&|worker| &worker.closed[transport as usize]);
            let opened = sum(&|worker| &worker.opened[transport as usize]);
            ConnectionTotals { transport, open: opened.saturating_sub(closed), opened }
        });
        let replies = Status::ALL.into_iter().map(Status::text).chain(["value"]).enumerate();
        let requests = Command::ALL.into_iter().flat_map(|command| {
            replies.clone().map(move |(index, reply)| {
                let count = sum(&|worker| &worker.replies[command as usize][index]);
                RequestTotal { command, reply, count }
            })
        });
        let refusals = Refusal::ALL.into_iter();
        Self {
            connections: connections.collect(),
            requests: requests.filter(|request| request.count > 0).collect(),
            refusals: refusals
                .map(|reason| (reason, sum(&|worker| &worker.refusals[reason as usize])))
                .collect(),
            bytes_received: sum(&|worker| &worker.bytes_received),
            bytes_sent: sum(&|worker| &worker.bytes_sent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_its_parts() {
        let workers = [Arc::<Counters>::default(), Arc::default()];
        workers[0].answered(Command::Get, &Reply::Value("v"));
        workers[1].answered(Command::Get, &Reply::Value("w"));
        workers[1].answered(Command::Get, &Reply::Status(Status::KeyNotFound));
        workers[1].answered(Command::Login, &Reply::Status(Status::Success));
        workers[0].received(3);
        workers[1].received(4);
        workers[1].sent(5);
        workers[0].refused(Refusal::Operator);
        let gone = workers[0].open(Transport::WebSocket);
        let _open = workers[1].open(Transport::WebSocket);
        drop(gone);
        let totals = Totals::of(&workers);
        let requests =
            [(Command::Login, "success", 1), (Command::Get, "key not found", 1), (Command::Get, "value", 2)];
        assert_eq!(
            totals.requests,
            requests.map(|(command, reply, count)| RequestTotal { command, reply, count })
        );
        assert_eq!((totals.bytes_received, totals.bytes_sent), (7, 5));
        let expected = ConnectionTotals { transport: Transport::WebSocket, open: 1, opened: 2 };
        assert_eq!(totals.connections[2], expected);
        assert_eq!(totals.refusals.iter().map(|(_, count)| count).sum::<u64>(), 1);
        assert_eq!(totals.refusals.last(), Some(&(Refusal::Operator, 1)));
    }
}
