//! The configuration of a server, made from arguments or by a program that embeds the server.

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, thread::available_parallelism, time::Duration};

use crate::{
    protocol::{MESSAGE_BYTES_MAX, Origins, Transport},
    registry::{StoreLimits, UpgradePolicy},
    tls::Tls,
};

/// The default limit on unsent bytes for one client.
///
/// Four of the largest replies: a pipelining client never notices it, and ten thousand clients that never read cannot
/// hold more than 2.5 GiB together.
const UNSENT_BYTES_MAX: usize = 256 * 1024;

/// A server's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// What to listen on.
    pub listeners: Vec<Endpoint>,
    /// The certificate and key, which listeners for TLS need.
    pub tls: Option<Tls>,
    /// The policy by which guests become managers.
    pub upgrade: UpgradePolicy,
    /// The most managers at once; `None` for no limit.
    pub managers_max: Option<NonZeroUsize>,
    /// The origins whose web pages may open a WebSocket.
    pub origins: Origins,
    /// The path of the control socket.
    pub control: Option<PathBuf>,
    /// Where to serve metrics for Prometheus: every address of one host, or none.
    pub metrics: Vec<SocketAddr>,
    /// The threads that serve.
    pub workers: Workers,
    /// The most connections at once; `None` for as many as the limit on open files allows.
    pub connections_max: Option<NonZeroUsize>,
    /// The most connections at once from one IPv4 address or one IPv6 /64; `None` for no limit.
    pub connections_per_ip_max: Option<NonZeroUsize>,
    /// The longest message in bytes, without its terminator.
    pub message_bytes_max: usize,
    /// How much may be stored.
    pub stores: StoreLimits,
    /// The most unsent bytes for one client before the server stops reading from it.
    pub unsent_bytes_max: usize,
    /// How long the server waits for a client.
    pub timeouts: Timeouts,
}

/// Where a transport is served: on every address of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// How its connections speak.
    pub transport: Transport,
    /// At least one. Port 0 takes a free port, the same for all of them.
    pub addresses: Vec<SocketAddr>,
}

/// How long the server waits for clients; `None` means without limit.
///
/// They are checked at an interval of an eighth of the shortest, but between 10 ms and 1 s, so that they cost nothing while
/// a client is busy. A time-out never expires early, and at most three intervals late. A standstill of the server itself
/// does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the connection to the login (TCP-7).
    pub login: Option<Duration>,
    /// From one request to the next (TCP-7).
    pub idle: Option<Duration>,
    /// From when replies wait that the kernel does not take, before the session's end or after it, until the client has
    /// taken some. It may get a quarter more, since it is checked four times.
    pub unsent: Option<Duration>,
    /// A WebSocket may be silent for this long before it is pinged, and as long again before it is dropped.
    pub ping: Option<Duration>,
}

impl Timeouts {
    /// The longest time between two checks, and between two ticks of the clock that idle times are taken from.
    pub(crate) const COARSEST: Duration = Duration::from_secs(1);

    /// How often they are checked: an eighth of the shortest, between 10 ms and 1 s. `None` if there are no time-outs.
    pub(crate) fn resolution(&self) -> Option<Duration> {
        const FINEST: Duration = Duration::from_millis(10);
        let shortest = [self.login, self.idle, self.unsent, self.ping].into_iter().flatten().min()?;
        Some((shortest / 8).clamp(FINEST, Self::COARSEST))
    }

    /// The longest time between two checks that is not taken for a standstill of the server: a quarter more than
    /// [`Self::resolution`], since timers are a little late and what is cut off is lost to every time-out.
    pub(crate) fn step_max(&self) -> Option<Duration> {
        self.resolution().map(|resolution| resolution + resolution / 4)
    }
}

impl Default for Timeouts {
    /// Half a minute to log in, for people who type; a minute to take replies; a ping each half minute, below what
    /// proxies allow; and no idle time-out, since a session without requests does no harm.
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
    /// This many, wherever the system runs them.
    Floating(NonZeroUsize),
    /// One on each of these CPUs. Must not be empty.
    Pinned(Vec<usize>),
}

impl Workers {
    /// One for each CPU that the process may use.
    pub(crate) fn for_each_cpu() -> Self {
        Self::Floating(available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// The number of threads.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Floating(count) => count.get(),
            Self::Pinned(cpus) => cpus.len(),
        }
    }
}

impl Config {
    /// A server on free ports of the loopback address, for tests and embedding: open upgrades, one worker for each CPU,
    /// no web pages, and every limit at its default.
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
        // The runtime's timers count milliseconds: they may be late by two if they begin and end within one.
        let late = Duration::from_millis(2);
        for shortest in [1, 100, 400, 30_000].map(Duration::from_millis) {
            let timeouts = Timeouts { idle: Some(shortest), ..Timeouts::default() };
            assert!(timeouts.step_max() >= timeouts.resolution().map(|resolution| resolution + late));
        }
    }
}
