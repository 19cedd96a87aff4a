//! What a server is told to do. Made by [`crate::cli`] from arguments, or by a program that embeds the server.

use std::{net::SocketAddr, num::NonZeroUsize, thread::available_parallelism};

use crate::{registry::UpgradePolicy, server::Listening, transport::Transport};

/// A server's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// What to listen on; port 0 takes a free one.
    pub listeners: Vec<Listening>,
    /// By which rule guests become managers.
    pub upgrade: UpgradePolicy,
    /// On how many threads, and where.
    pub workers: Workers,
    /// The most connections at once; `None` for as many as there can be descriptors.
    pub connections_max: Option<NonZeroUsize>,
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
    /// CPU, no limit of its own.
    #[must_use]
    pub fn on_free_ports(transports: &[Transport]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listeners: transports.iter().map(|&transport| Listening { transport, address }).collect(),
            upgrade: UpgradePolicy::Open,
            workers: Workers::for_each_cpu(),
            connections_max: None,
        }
    }
}
