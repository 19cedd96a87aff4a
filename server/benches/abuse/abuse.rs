//! The abuses: what each is, how large, and what the server is started with and allowed.

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What abusers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Abuse {
    /// Sessions that ask for 60 MB each and read 4 KiB of it every 50 ms.
    SlowReaders,
    /// Sessions that send a byte every 100 ms: half of them short requests, half of them one that does not end.
    SlowWriters,
    /// Peers that have gone without a word, or closed their half: they ask nothing, answer no ping and close nothing,
    /// and come again as soon as they are sent away.
    HalfOpen,
    /// Sessions that are reset in the middle of a message, one after the other over each transport.
    Resets,
    /// Taken names and malformed names, pipelined without end on several connections.
    LoginFlood,
    /// Sessions one after the other, as fast as they go.
    Connections,
    /// Connections that are opened and say nothing, or half a name.
    Silent,
    /// Sessions with a full store each, up to the default limit of keys, that all end at once.
    LargeStores,
    /// Sessions that fill a store up to the default limit of keys, at a rate that leaves the server time.
    GrowingStores,
}

/// How long neighbours may wait.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// Their p90 may be this many times the one without the abuse, and no reply may take longer than a second (LIFE-5).
    P90Ratio(f64),
    /// No reply may take longer than this, from when its request was written.
    Longest(Duration),
}

/// An abuse in figures.
#[derive(Clone, Copy)]
pub struct Spec {
    pub name: &'static str,
    /// What is counted as served.
    pub unit: &'static str,
    /// How many at once; of [`Abuse::Connections`], how many over all windows.
    pub size: usize,
    pub bound: Bound,
    /// The most pairs of windows that it is worth: some take long.
    pub pairs_max: usize,
    /// The server's flags besides its defaults.
    pub flags: &'static [&'static str],
    /// How much memory the server may take for each connection while all are there, in KiB. Where it never reads: its
    /// 60 KB of store, what may wait for it and a batch beyond, twice for what the allocator leaves between; where it
    /// has sent half a message, that and the buffers around; else what an idle connection takes.
    pub growth_kib_each: u64,
}

impl Abuse {
    pub fn spec(self) -> Spec {
        let common = Spec {
            name: "",
            unit: "sessions",
            size: 0,
            bound: Bound::P90Ratio(2.0),
            pairs_max: usize::MAX,
            flags: &[],
            growth_kib_each: 8,
        };
        let stores = Spec {
            unit: "puts",
            bound: Bound::Longest(Duration::from_millis(50)),
            pairs_max: 3,
            // For each of a million keys, what the limit on all stores counts and as much again.
            growth_kib_each: 200 * 1024,
            ..common
        };
        match self {
            Self::SlowReaders => Spec {
                name: "slow readers",
                unit: "KiB read",
                size: 100,
                flags: &["--max-unsent", "64KiB"],
                growth_kib_each: 512,
                ..common
            },
            Self::SlowWriters => {
                Spec { name: "slow writers", unit: "requests", size: 1000, growth_kib_each: 24, ..common }
            }
            Self::HalfOpen => Spec {
                name: "half-open peers",
                unit: "sent away",
                size: 1000,
                flags: &["--idle-timeout", "1s", "--ping-interval", "500ms"],
                ..common
            },
            // One over each transport keeps a CPU busy already.
            Self::Resets => Spec { name: "resets in mid-message", size: 2, ..common },
            Self::LoginFlood => Spec { name: "floods of logins", unit: "refusals", size: 4, ..common },
            Self::Connections => {
                Spec { name: "connections in a row", size: 100_000, growth_kib_each: 0, ..common }
            }
            Self::Silent => Spec { name: "opened, left silent", unit: "held", size: 10_000, ..common },
            Self::LargeStores => Spec { name: "ends of large stores", size: 10, ..stores },
            Self::GrowingStores => Spec { name: "stores that grow", size: 2, ..stores },
        }
    }

    /// Whether the server has two workers, on one CPU: a neighbour on each, and each a manager that reads an abuser's
    /// store, so that it waits where the store is locked for long.
    pub fn has_managers(self) -> bool {
        self == Self::GrowingStores
    }

    /// Whether all of them are connected at once.
    pub fn is_crowd(self) -> bool {
        self != Self::Connections
    }

    /// How much memory the server may take with this many of them, in KiB: 4 MiB for the batches and buffers that any
    /// load makes it keep, and what each connection may take.
    pub fn growth_kib_max(self, size: usize) -> u64 {
        4096 + self.spec().growth_kib_each * size as u64
    }
}
