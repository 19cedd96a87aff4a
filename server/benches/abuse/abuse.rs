//! The abuses: what each is, how large, and what the server is told and allowed.

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
    /// Names that are held and names that are none, pipelined without end on several connections.
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
    /// Their p90 may be so many times the one without the abuse, and no reply may take longer than a second (LIFE-5).
    P90Ratio(f64),
    /// No reply may take longer than this, from when its request was written.
    Longest(Duration),
}

impl Abuse {
    /// As in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::SlowReaders => "slow readers",
            Self::SlowWriters => "slow writers",
            Self::HalfOpen => "half-open peers",
            Self::Resets => "resets in mid-message",
            Self::LoginFlood => "floods of logins",
            Self::Connections => "connections in a row",
            Self::Silent => "opened, left silent",
            Self::LargeStores => "ends of large stores",
            Self::GrowingStores => "stores that grow",
        }
    }

    /// What is counted as served.
    pub fn unit(self) -> &'static str {
        match self {
            Self::SlowReaders => "KiB read",
            Self::SlowWriters => "requests",
            Self::HalfOpen => "sent away",
            Self::Resets | Self::Connections => "sessions",
            Self::LoginFlood => "refusals",
            Self::Silent => "held",
            Self::LargeStores | Self::GrowingStores => "puts",
        }
    }

    /// How many at once; of [`Self::Connections`], how many over all windows.
    pub fn size(self) -> usize {
        match self {
            Self::SlowReaders => 100,
            Self::SlowWriters | Self::HalfOpen => 1000,
            // One over each transport keeps a CPU busy already.
            Self::Resets | Self::GrowingStores => 2,
            Self::LoginFlood => 4,
            Self::Connections => 100_000,
            Self::Silent => 10_000,
            Self::LargeStores => 10,
        }
    }

    /// What its neighbours may notice.
    pub fn bound(self) -> Bound {
        match self {
            Self::LargeStores | Self::GrowingStores => Bound::Longest(Duration::from_millis(50)),
            _ => Bound::P90Ratio(2.0),
        }
    }

    /// The most pairs of windows that it is worth: some take long.
    pub fn pairs_max(self) -> usize {
        match self {
            Self::LargeStores | Self::GrowingStores => 3,
            _ => usize::MAX,
        }
    }

    /// Whether the server has two workers, on one CPU: a neighbour on each, and each a manager that reads an abuser's
    /// store, so that it waits where the store is locked for long.
    pub fn has_managers(self) -> bool {
        self == Self::GrowingStores
    }

    /// Whether [`Self::size`] is how many descriptors it needs.
    pub fn is_crowd(self) -> bool {
        !matches!(self, Self::Connections)
    }

    /// What the server is told beside its defaults.
    pub fn flags(self) -> &'static [&'static str] {
        match self {
            Self::SlowReaders => &["--max-unsent", "64KiB"],
            Self::HalfOpen => &["--idle-timeout", "1s", "--ping-interval", "500ms"],
            _ => &[],
        }
    }

    /// How much memory the server may take while so many of them are there, in KiB.
    ///
    /// 4 MiB for the batches and buffers that any load makes it keep, and for each connection: where it never reads,
    /// its 60 KB of store, what may wait for it and a batch beyond, twice for what the allocator leaves between; where
    /// it has sent half a message, that and the rooms around; else what an idle connection takes.
    pub fn growth_kib_max(self, size: usize) -> u64 {
        let each = match self {
            Self::SlowReaders => 512,
            Self::SlowWriters => 24,
            Self::Connections => return 4096,
            // For each of a million keys, what the limit on all stores counts and as much again.
            Self::LargeStores | Self::GrowingStores => 200 * 1024,
            _ => 8,
        };
        4096 + each * size as u64
    }
}
