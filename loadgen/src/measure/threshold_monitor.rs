//! Monitors a threshold's metric while the load runs, so that a run that misses it can be stopped.
//!
//! A monitor counts at the instant of the reply: a figure of the last second must not wait for its slowest request.

use super::figures::CellKey;
use crate::domain::{LatencyKind, Op, PerKind, Role};
use crate::record::Latencies;
use crate::scenario::model::{Bound, Metric};

/// The cells that a monitor covers; `None` matches all.
#[derive(Debug, Clone, Copy, Default)]
pub struct CellFilter {
    /// Index of the transport among the pass's.
    pub transport: Option<u8>,
    pub group: Option<u16>,
    /// Role at the time of the request.
    pub role: Option<Role>,
    pub op: Option<Op>,
}

impl CellFilter {
    fn matches(self, key: CellKey) -> bool {
        self.transport.is_none_or(|transport| transport == key.transport)
            && self.group.is_none_or(|group| group == key.group)
            && self.role.is_none_or(|role| role == key.role)
            && self.op.is_none_or(|op| op == key.op)
    }
}

/// What a monitor saw since it was last asked.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The monitored latency.
    pub latencies: Latencies,
    pub replies: u64,
    pub errors: u64,
    pub violations: u64,
}

impl Observed {
    pub fn merge(&mut self, other: &Self) {
        self.latencies.merge(&other.latencies);
        self.replies += other.replies;
        self.errors += other.errors;
        self.violations += other.violations;
    }

    /// The metric's value over this number of seconds: ns for a latency, otherwise a plain number. `None` if there is
    /// no data.
    pub fn value(&self, metric: Metric, seconds: f64) -> Option<f64> {
        match metric {
            Metric::Latency(_, statistic) => self.latencies.statistic_of_few(statistic),
            Metric::Rate => (seconds > 0.0).then(|| self.replies as f64 / seconds),
            Metric::Errors => Some(self.errors as f64),
            Metric::Violations => Some(self.violations as f64),
            // Known only at the load's end, so no threshold on them aborts a run.
            Metric::Unfinished | Metric::Lost => None,
        }
    }
}

/// Whether a value keeps to a bound.
pub fn meets(bound: Bound, value: f64) -> bool {
    match bound {
        Bound::Max(max) => value <= max,
        Bound::Min(min) => value >= min,
    }
}

/// One worker's part of a monitor.
#[derive(Debug)]
pub struct ThresholdMonitor {
    filter: CellFilter,
    kind: Option<LatencyKind>,
    seen: Observed,
}

impl ThresholdMonitor {
    /// Monitors this metric of these cells.
    pub fn new(filter: CellFilter, metric: Metric) -> Self {
        let kind = match metric {
            Metric::Latency(kind, _) => Some(kind),
            Metric::Rate | Metric::Errors | Metric::Violations | Metric::Unfinished | Metric::Lost => None,
        };
        Self { filter, kind, seen: Observed::default() }
    }

    /// A request was answered, with these latencies in ns.
    pub fn replied(&mut self, key: CellKey, ns: PerKind<u64>, good: bool) {
        if !self.filter.matches(key) {
            return;
        }
        self.seen.replies += 1;
        self.seen.violations += u64::from(!good);
        if let Some(kind) = self.kind {
            self.seen.latencies.record(ns[kind]);
        }
    }

    /// The reply to a request turns out to be a violation some time later.
    pub fn violated(&mut self, key: CellKey) {
        self.seen.violations += u64::from(self.filter.matches(key));
    }

    /// A request ended in an error.
    pub fn failed(&mut self, key: CellKey) {
        self.seen.errors += u64::from(self.filter.matches(key));
    }

    /// A request timed out after it had waited this long, in ns, which are lower bounds of its latencies.
    pub fn waited(&mut self, key: CellKey, ns: PerKind<Option<u64>>) {
        if !self.filter.matches(key) {
            return;
        }
        if let Some(ns) = self.kind.and_then(|kind| ns[kind]) {
            self.seen.latencies.record_unfinished(ns);
        }
    }

    /// What was seen since the last call.
    pub fn take(&mut self) -> Observed {
        std::mem::take(&mut self.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Statistic;

    const GUEST_GET: CellKey = CellKey { transport: 0, group: 0, role: Role::Guest, op: Op::Get };

    #[test]
    fn a_monitor_sees_its_own_cells_and_its_own_latency() {
        let filter = CellFilter { role: Some(Role::Guest), op: Some(Op::Get), ..CellFilter::default() };
        let metric = Metric::Latency(LatencyKind::Response, Statistic::Max);
        let ns = |response| PerKind { lag: 1, service: 2, response };
        let mut monitor = ThresholdMonitor::new(filter, metric);
        monitor.replied(GUEST_GET, ns(3_000), true);
        monitor.replied(CellKey { op: Op::Put, ..GUEST_GET }, ns(9_000), true);
        monitor.replied(CellKey { role: Role::Manager, ..GUEST_GET }, ns(9_000), false);
        monitor.failed(GUEST_GET);
        monitor.violated(GUEST_GET);
        monitor.violated(CellKey { op: Op::Put, ..GUEST_GET });
        let seen = monitor.take();
        assert_eq!((seen.replies, seen.errors, seen.violations), (1, 1, 1));
        assert_eq!(seen.value(metric, 1.0).map(|ns| ns as u64 / 10), Some(300));
        assert_eq!(seen.value(Metric::Rate, 2.0), Some(0.5));
        assert_eq!(monitor.take().value(metric, 1.0), None, "nothing seen is not a small latency");
    }

    #[test]
    fn bounds_are_met_from_their_own_side() {
        assert!(meets(Bound::Max(5.0), 5.0) && !meets(Bound::Max(5.0), 5.1));
        assert!(meets(Bound::Min(5.0), 5.0) && !meets(Bound::Min(5.0), 4.9));
    }
}
