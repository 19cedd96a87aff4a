//! What a server is told to do. Made from arguments, or by a program that embeds the server.

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, thread::available_parallelism, time::Duration};

use crate::{
    protocol::{MESSAGE_BYTES_MAX, Origins, Transport},
    registry::{StoreLimits, UpgradePolicy},
    tls::Tls,
};

/// The most that waits unsent for one client by default.
///
/// Four of the largest replies: a pipelining client never notices it, and ten thousand clients that never read
/// cannot hold more than 2.5 GiB between them.
const UNSENT_BYTES_MAX: usize = 256 * 1024;

/// A server's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// What to listen on.
    pub listeners: Vec<Endpoint>,
    /// The certificate and key for listeners that speak TLS, which cannot do without.
    pub tls: Option<Tls>,
    /// By which rule guests become managers.
    pub upgrade: UpgradePolicy,
    /// The most managers at once; `None` for no cap.
    pub managers_max: Option<NonZeroUsize>,
    /// Web pages of which origins may open a WebSocket.
    pub origins: Origins,
    /// Where the operator's socket is to be.
    pub control: Option<PathBuf>,
    /// Where to serve figures for Prometheus: every address of one host, or none.
    pub metrics: Vec<SocketAddr>,
    /// On how many threads, and where.
    pub workers: Workers,
    /// The most connections at once; `None` for as many as there can be descriptors.
    pub connections_max: Option<NonZeroUsize>,
    /// The most connections at once from one IPv4 address, or from one IPv6 network of 64 bits; `None` for no limit.
    pub connections_per_ip_max: Option<NonZeroUsize>,
    /// The longest message in bytes, terminator not counted.
    pub message_bytes_max: usize,
    /// How much may be stored.
    pub stores: StoreLimits,
    /// The most bytes that wait unsent for one client before the server stops reading from it.
    pub unsent_bytes_max: usize,
    /// For how long the server waits for a client.
    pub timeouts: Timeouts,
}

/// Where a transport is to be served: on every address of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// How its connections are to speak.
    pub transport: Transport,
    /// Where; port 0 takes a free one, which is the same for all of them. At least one.
    pub addresses: Vec<SocketAddr>,
}

/// How long the server waits for clients. `None` is for ever.
///
/// They are checked every so often (see [`Self::resolution`]), so that they cost nothing while a client is busy: one
/// never strikes early, and at most three such intervals late. What the server itself stood still for is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the connection to the login (TCP-7).
    pub login: Option<Duration>,
    /// From one request to the next (TCP-7).
    pub idle: Option<Duration>,
    /// Once replies wait that the kernel does not take, before the session's end or after it: until the client has taken
    /// some. It may take a quarter longer, since it is looked at so often.
    pub unsent: Option<Duration>,
    /// For so long a WebSocket may be silent before it is pinged, and as long again before it is dropped.
    pub ping: Option<Duration>,
}

impl Timeouts {
    /// The longest between two looks at them, and between two ticks of the clock that tells how long sessions are idle.
    pub(crate) const COARSEST: Duration = Duration::from_secs(1);

    /// How often they are looked at: an eighth of the shortest, between 10 ms and 1 s. `None` where there is none.
    #[must_use]
    pub fn resolution(&self) -> Option<Duration> {
        const FINEST: Duration = Duration::from_millis(10);
        let shortest = [self.login, self.idle, self.unsent, self.ping].into_iter().flatten().min()?;
        Some((shortest / 8).clamp(FINEST, Self::COARSEST))
    }

    /// The longest that may pass between two looks without being taken for a pause of the server: a quarter more than
    /// [`Self::resolution`], since timers are a little late, and what is cut off is lost to every time-out.
    pub(crate) fn step_max(&self) -> Option<Duration> {
        self.resolution().map(|resolution| resolution + resolution / 4)
    }
}

impl Default for Timeouts {
    /// Half a minute to log in, for people who type; a minute to take replies; a ping each half minute, below what
    /// proxies allow; and no idle time-out, since a session that asks nothing does nothing wrong.
    fn default() -> Self {
        Self {
            login: Some(Duration::from_secs(30)),
            idle: None,
            unsent: Some(Duration::from_mins(1)),
            ping: Some(Duration::from_secs(30)),
        }
    }
}

/// The threads that serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Workers {
    /// So many, wherever the system runs them.
    Floating(NonZeroUsize),
    /// One on each of these CPUs, which must not be empty.
    Pinned(Vec<usize>),
}

impl Workers {
    /// One for each CPU that the process may use.
    #[must_use]
    pub fn for_each_cpu() -> Self {
        Self::Floating(available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Floating(count) => count.get(),
            Self::Pinned(cpus) => cpus.len(),
        }
    }
}

impl Config {
    /// A server on free ports of the loopback address, for tests and embedding: open upgrades, one worker for each
    /// CPU, no web pages, and every limit at its default.
    #[must_use]
    pub fn on_free_ports(transports: &[Transport]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listeners: transports
                .iter()
                .map(|&transport| Endpoint { transport, addresses: vec![address] })
                .collect(),
            tls: None,
            upgrade: UpgradePolicy::Open,
            managers_max: None,
            origins: Origins::default(),
            control: None,
            metrics: Vec::new(),
            workers: Workers::for_each_cpu(),
            connections_max: None,
            connections_per_ip_max: None,
            message_bytes_max: MESSAGE_BYTES_MAX,
            stores: StoreLimits::default(),
            unsent_bytes_max: UNSENT_BYTES_MAX,
            timeouts: Timeouts::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outs_are_looked_at_often_enough_for_the_shortest_and_not_at_all_where_there_is_none() {
        let none = Timeouts { login: None, idle: None, unsent: None, ping: None };
        assert_eq!(none.resolution(), None);
        let resolution = |idle| Timeouts { idle: Some(idle), ..none }.resolution().unwrap();
        assert_eq!(resolution(Duration::from_secs(2)), Duration::from_millis(250));
        assert_eq!(resolution(Duration::from_millis(1)), Duration::from_millis(10));
        assert_eq!(Timeouts::default().resolution(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn looks_that_are_as_late_as_timers_are_lose_no_time() {
        // The runtime's timers tell milliseconds: they may be late by two where they begin and end within one.
        let late = Duration::from_millis(2);
        for shortest in [1, 100, 400, 30_000].map(Duration::from_millis) {
            let timeouts = Timeouts { idle: Some(shortest), ..Timeouts::default() };
            assert!(timeouts.step_max() >= timeouts.resolution().map(|resolution| resolution + late));
        }
    }
}
