//! What a recorder fills: the figures of cells, seconds and windows.

use std::sync::atomic::{AtomicU64, Ordering};

use twinwire_os::clock::Nanos;

use crate::domain::{Op, PerKind, Role};
use crate::record::{Counts, Latencies, Ledger};

/// Where a request's figures go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellKey {
    /// Index of the transport among the pass's.
    pub transport: u8,
    pub group: u16,
    /// Role at the time of the request.
    pub role: Role,
    pub op: Op,
}

/// The instants of a request, in the clock's nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Instants {
    /// When the schedule wanted it sent.
    pub intended: Nanos,
    /// When the generator handled it.
    pub dispatched: Nanos,
    /// When it was handed to the system.
    pub sent: Nanos,
}

/// Why a request ended in an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestError {
    /// Its connection ended.
    Lost,
    /// Its reply could not be read, which is also a violation.
    Broken,
    /// It, or an older request on its connection, was not answered in time. The time that it waited is a lower bound of
    /// its latency.
    TimedOut,
}

/// Figures of one cell.
#[derive(Debug, Default)]
pub struct CellFigures {
    pub counts: Counts,
    pub latencies: PerKind<Latencies>,
}

impl CellFigures {
    pub(super) fn recorder() -> Self {
        Self { counts: Counts::default(), latencies: PerKind::from_fn(|_| Latencies::recorder()) }
    }
}

/// One second of one transport's load.
#[derive(Debug, Default)]
pub struct Second {
    pub offered: u64,
    pub achieved: u64,
    pub errors: u64,
    pub violations: u64,
    /// Service and response by intended instant; lag is not recorded.
    pub latencies: PerKind<Latencies>,
    /// Intended to dispatched.
    pub dispatch_lag: Latencies,
}

impl Second {
    pub fn merge(&mut self, other: &Self) {
        self.offered += other.offered;
        self.achieved += other.achieved;
        self.errors += other.errors;
        self.violations += other.violations;
        self.latencies.merge(&other.latencies);
        self.dispatch_lag.merge(&other.dispatch_lag);
    }
}

/// One role's figures in one window of an interleaved load.
#[derive(Debug, Default)]
pub struct WindowFigures {
    pub requests: u64,
    /// Those of them that were answered.
    pub replies: u64,
    /// Service and response; lag is not recorded.
    pub latencies: PerKind<Latencies>,
}

impl WindowFigures {
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.replies += other.replies;
        self.latencies.merge(&other.latencies);
    }
}

/// Sums over one transport's whole pass.
#[derive(Debug)]
pub struct Totals {
    /// Sums over all requests, warm-up included.
    pub ledger: Ledger,
    /// Intended to dispatched, over the measured part.
    pub dispatch_lag: Latencies,
    /// Requests of the measured part that were never sent because they waited for the server until the end.
    pub never_sent: u64,
    /// Requests of the measured part that were due while their connection had as many outstanding as `in-flight`
    /// allows, or was being renewed: they waited for the server.
    pub waited: u64,
}

impl Totals {
    pub fn recorder() -> Self {
        Self { ledger: Ledger::default(), dispatch_lag: Latencies::recorder(), never_sent: 0, waited: 0 }
    }

    pub fn merge(&mut self, other: &Self) {
        self.ledger.add(&other.ledger);
        self.dispatch_lag.merge(&other.dispatch_lag);
        self.never_sent += other.never_sent;
        self.waited += other.waited;
    }
}

/// Counters that other threads may read while the worker runs. Only the worker writes them.
#[derive(Debug, Default)]
pub struct LiveCounters {
    /// Replies, warm-up included.
    pub replies: AtomicU64,
    /// Errors, warm-up included.
    pub errors: AtomicU64,
    /// Violations, set-up and warm-up included.
    pub violations: AtomicU64,
    /// 99th percentile of the headline latency over the last second.
    pub p99: LiveLatency,
    /// Median of response over the last second.
    pub response_p50: LiveLatency,
    /// Median dispatch lag over the last second.
    pub lag_p50: LiveLatency,
    /// Requests of an open load that are due and not sent.
    pub backlog: AtomicU64,
    /// Clients that have been set up.
    pub ready: AtomicU64,
}

impl LiveCounters {
    /// Adds one, by a load and a store, as there is one writer.
    pub fn count(counter: &AtomicU64) {
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// A latency of the last second, if there was one.
#[derive(Debug, Default)]
pub struct LiveLatency(AtomicU64);

impl LiveLatency {
    pub fn set(&self, latency: Option<Nanos>) {
        // No latency is 0: a reply takes at least a nanosecond.
        self.0.store(latency.unwrap_or(0), Ordering::Relaxed);
    }

    pub fn get(&self) -> Option<Nanos> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&ns| ns > 0)
    }
}

/// A range of time: from `from` until before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    pub from: Nanos,
    pub until: Nanos,
}

impl TimeRange {
    pub fn contains(&self, at: Nanos) -> bool {
        (self.from..self.until).contains(&at)
    }
}
