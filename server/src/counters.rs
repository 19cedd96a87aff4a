//! What a server counts about itself: connections, requests, refusals, bytes.
//!
//! Each worker has counters of its own and is the only one to write them: a plain load and store, no atomic addition
//! and no cache line that two workers want. Whoever asks adds them up.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::protocol::{Malformed, Reply, Request, Status, Transport};

/// What a message asked for, as far as it is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// The first message of a session, until one is accepted.
    Login,
    /// `put KEY VALUE`
    Put,
    /// `get KEY`
    Get,
    /// `get USER KEY`
    GetOther,
    /// `upgrade`, with a secret or without
    Upgrade,
    /// `q`
    Quit,
    /// A message that is no request.
    Malformed,
}

impl Command {
    /// Every command, in the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::Login, Self::Put, Self::Get, Self::GetOther, Self::Upgrade, Self::Quit, Self::Malformed];

    /// Which one a message was, after the login.
    #[must_use]
    pub fn of(request: &Result<Request<'_>, Malformed>) -> Self {
        match request {
            Ok(Request::Put { .. }) => Self::Put,
            Ok(Request::Get { .. }) => Self::Get,
            Ok(Request::GetOf { .. }) => Self::GetOther,
            Ok(Request::Upgrade { .. }) => Self::Upgrade,
            Ok(Request::Quit) => Self::Quit,
            Err(Malformed) => Self::Malformed,
        }
    }

    /// Its name in figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Put => "put",
            Self::Get => "get",
            Self::GetOther => "get-other",
            Self::Upgrade => "upgrade",
            Self::Quit => "q",
            Self::Malformed => "malformed",
        }
    }
}

/// Why a connection was turned away or ended by the server, other than by the protocol's own `exiting`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There was no seat for it.
    ServerFull,
    /// Its address had as many connections as one may have.
    AddressFull,
    /// Its opening handshake was none.
    Handshake,
    /// It did not get through a TLS handshake.
    TlsHandshake,
    /// Its handshake came from a web page of an origin that is not allowed.
    Origin,
    /// It did not log in within its time.
    LoginTimeout,
    /// It went without a request for too long.
    IdleTimeout,
    /// It took no replies for too long.
    UnsentTimeout,
    /// It answered no ping.
    PingTimeout,
    /// The operator disconnected it.
    Operator,
}

impl Refusal {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::ServerFull,
        Self::AddressFull,
        Self::Handshake,
        Self::TlsHandshake,
        Self::Origin,
        Self::LoginTimeout,
        Self::IdleTimeout,
        Self::UnsentTimeout,
        Self::PingTimeout,
        Self::Operator,
    ];

    /// Its name in figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ServerFull => "server-full",
            Self::AddressFull => "address-full",
            Self::Handshake => "handshake",
            Self::TlsHandshake => "tls-handshake",
            Self::Origin => "origin",
            Self::LoginTimeout => "login-timeout",
            Self::IdleTimeout => "idle-timeout",
            Self::UnsentTimeout => "unsent-timeout",
            Self::PingTimeout => "ping-timeout",
            Self::Operator => "operator",
        }
    }
}

/// The replies that are counted apart: each status, and every value as one.
const REPLIES: usize = Status::ALL.len() + 1;

/// Lines of the log that were dropped since nothing read standard error fast enough. The log is the process's, whatever
/// servers are in it, and so is this.
pub(crate) static LOG_LINES_DROPPED: AtomicU64 = AtomicU64::new(0);

/// A figure that one thread writes and any may read.
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

/// One worker's figures. Only its own thread may call what changes them.
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
    /// Counts a request by what it asked for and what it got.
    pub fn answered(&self, command: Command, reply: &Reply<'_>) {
        let reply = match reply {
            Reply::Status(status) => *status as usize,
            Reply::Value(_) => Status::ALL.len(),
        };
        self.replies[command as usize][reply].add(1);
    }

    /// Counts a connection, open until the guard is dropped.
    pub(crate) fn open(self: &Arc<Self>, transport: Transport) -> OpenConnection {
        self.opened[transport as usize].add(1);
        OpenConnection { counters: Arc::clone(self), transport }
    }

    /// Counts a connection that was turned away or ended.
    pub(crate) fn refused(&self, reason: Refusal) {
        self.refusals[reason as usize].add(1);
    }

    /// Counts bytes that were read from clients.
    pub(crate) fn received(&self, bytes: usize) {
        self.bytes_received.add(bytes as u64);
    }

    /// Counts bytes that were made for clients.
    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes_sent.add(bytes as u64);
    }
}

/// A connection that is counted as open.
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

/// All workers' figures, added up at one time. What happens meanwhile may be in one figure and not yet in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Connections by transport: those that are open, and all that ever were.
    pub connections: Vec<(Transport, u64, u64)>,
    /// Requests by command and by reply (`value` for every value), those that never came left out.
    pub requests: Vec<(Command, &'static str, u64)>,
    /// Connections turned away or ended, by reason.
    pub refusals: Vec<(Refusal, u64)>,
    /// Bytes read from clients.
    pub bytes_received: u64,
    /// Bytes made for clients, written or waiting to be.
    pub bytes_sent: u64,
}

impl Totals {
    /// Adds up what all workers have counted.
    #[must_use]
    pub fn of(workers: &[Arc<Counters>]) -> Self {
        let sum = |figure: &dyn Fn(&Counters) -> &Count| -> u64 {
            workers.iter().map(|worker| figure(worker).get()).fold(0, u64::wrapping_add)
        };
        let connections = Transport::ALL.into_iter().map(|transport| {
            // Closed is read first: a connection that comes and goes meanwhile cannot make the difference negative.
            let closed = sum(&|worker| &worker.closed[transport as usize]);
            let opened = sum(&|worker| &worker.opened[transport as usize]);
            (transport, opened.saturating_sub(closed), opened)
        });
        let replies = Status::ALL.into_iter().map(Status::text).chain(["value"]).enumerate();
        let requests = Command::ALL.into_iter().flat_map(|command| {
            replies.clone().map(move |(index, reply)| {
                (command, reply, sum(&|worker| &worker.replies[command as usize][index]))
            })
        });
        let refusals = Refusal::ALL.into_iter();
        Self {
            connections: connections.collect(),
            requests: requests.filter(|(_, _, count)| *count > 0).collect(),
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
        assert_eq!(
            totals.requests,
            [(Command::Login, "success", 1), (Command::Get, "key not found", 1), (Command::Get, "value", 2)]
        );
        assert_eq!((totals.bytes_received, totals.bytes_sent), (7, 5));
        assert_eq!(totals.connections[2], (Transport::WebSocket, 1, 2));
        assert_eq!(totals.refusals.iter().map(|(_, count)| count).sum::<u64>(), 1);
        assert_eq!(totals.refusals.last(), Some(&(Refusal::Operator, 1)));
    }

    #[test]
    fn every_list_is_in_the_order_of_its_numbers() {
        assert!(Command::ALL.into_iter().enumerate().all(|(at, command)| command as usize == at));
        assert!(Refusal::ALL.into_iter().enumerate().all(|(at, reason)| reason as usize == at));
        assert!(Status::ALL.into_iter().enumerate().all(|(at, status)| status as usize == at));
        assert!(Transport::ALL.into_iter().enumerate().all(|(at, transport)| transport as usize == at));
    }
}
