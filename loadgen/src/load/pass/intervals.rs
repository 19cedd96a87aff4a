//! A row for each second of each transport, filled while the load runs, so that memory does not grow with the run.

use std::collections::BTreeMap;

use twinwire_os::clock::{self, Nanos};

use super::super::context::PassContext;
use super::super::worker::WorkerSeconds;
use super::sample::SampleInterval;
use crate::domain::{Statistic, Transport};
use crate::measure::recorder::Second;
use crate::record::{Cost, Interval, KindStatistics, Sockets};

type Key = (u8, u32);

#[derive(Debug)]
pub struct Intervals {
    open: BTreeMap<Key, Box<Second>>,
    rows: BTreeMap<Key, Interval>,
    transports: Vec<Transport>,
    /// By worker and transport, the second before which the worker has handed over everything.
    complete: Vec<Vec<u32>>,
}

impl Intervals {
    pub fn new(workers: usize, transports: Vec<Transport>) -> Self {
        let complete = vec![vec![0; transports.len()]; workers];
        Self { open: BTreeMap::new(), rows: BTreeMap::new(), transports, complete }
    }

    /// Adds a worker's share of some seconds, and closes the seconds that every worker has handed over.
    pub fn add(&mut self, share: WorkerSeconds) {
        let WorkerSeconds { worker, transport, before, seconds } = share;
        for (second, figures) in seconds {
            if let Some(row) = self.rows.get_mut(&(transport, second)) {
                // The second is closed: this is counted, but its quantiles are already made.
                row.count(&figures);
                continue;
            }
            self.open.entry((transport, second)).and_modify(|sum| sum.merge(&figures)).or_insert(figures);
        }
        let own = &mut self.complete[worker][usize::from(transport)];
        *own = (*own).max(before);
        let all = self.complete.iter().map(|worker| worker[usize::from(transport)]).min();
        self.close_before(transport, all.unwrap_or(0));
    }

    fn close_before(&mut self, transport: u8, second: u32) {
        let closed: Vec<Key> =
            self.open.range((transport, 0)..(transport, second)).map(|(key, _)| *key).collect();
        for key in closed {
            if let Some(figures) = self.open.remove(&key) {
                let row = || Interval::new(self.transports[usize::from(key.0)], key.1);
                self.rows.entry(key).or_insert_with(row).close(&figures);
            }
        }
    }

    /// All rows of the measured part, up to each transport's length, with what the processes spent in them.
    pub fn finish(
        mut self,
        context: &PassContext,
        sample_intervals: &[SampleInterval],
        lengths: &[Nanos],
    ) -> Vec<Interval> {
        let measured_from = clock::nanos(context.load().warmup);
        let mut rows = Vec::new();
        for (transport, &length) in lengths.iter().enumerate() {
            self.close_before(transport as u8, u32::MAX);
            for second in 0..length.div_ceil(clock::SECOND) as u32 {
                let known = self.rows.remove(&(transport as u8, second));
                let mut row = known.unwrap_or_else(|| Interval::new(self.transports[transport], second));
                let from = u64::from(second) * clock::SECOND;
                row.length_s = (length - from).min(clock::SECOND) as f64 / clock::SECOND as f64;
                let within = measured_from + from..measured_from + from + clock::SECOND;
                let in_it = |interval: &&SampleInterval| {
                    interval.is_of(transport as u8) && within.contains(&interval.middle())
                };
                row.fill(sample_intervals.iter().filter(in_it), transport);
                rows.push(row);
            }
        }
        rows
    }
}

impl Interval {
    fn count(&mut self, figures: &Second) {
        self.offered += figures.offered;
        self.achieved += figures.achieved;
        self.errors += figures.errors;
        self.violations += figures.violations;
    }

    fn close(&mut self, figures: &Second) {
        self.count(figures);
        self.latencies = KindStatistics::of(&figures.latencies, &[Statistic::P50, Statistic::P99]);
        self.dispatch_lag_p99_ns = figures.dispatch_lag.quantile(0.99).map(|latency| latency.ns as u64);
    }

    fn fill<'a>(
        &mut self,
        sample_intervals: impl Iterator<Item = &'a SampleInterval> + Clone,
        transport: usize,
    ) {
        let Some(cost) = Cost::sum(sample_intervals.clone().map(|interval| &interval.cost)) else { return };
        let cores = |ns: Option<u64>| ns.map(|ns| ns as f64 / (cost.seconds * 1e9).max(1.0));
        self.server_cpu = cores(cost.server_cpu_ns);
        self.generator_cpu = cores(cost.generator_cpu_ns);
        self.steal = cost.steal;
        self.server_rss_kib = cost.server_rss_kib;
        self.generator_rss_kib = cost.generator_rss_kib;
        self.server_processes = cost.server_processes;
        self.generator_processes = cost.generator_processes;
        for SampleInterval { carried, .. } in sample_intervals.clone() {
            self.bytes_sent += carried[transport].bytes_sent;
            self.bytes_received += carried[transport].bytes_received;
        }
        self.sockets = Sockets::sum(sample_intervals.map(|interval| interval.carried[transport].sockets));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::LatencyKind;

    fn share(worker: usize, before: u32, seconds: &[(u32, u64)]) -> WorkerSeconds {
        let second = |&(at, offered)| {
            let mut figures = Box::<Second>::default();
            figures.offered = offered;
            (0..offered).for_each(|ns| figures.latencies.response.record(ns + 1));
            (at, figures)
        };
        WorkerSeconds { worker, transport: 0, before, seconds: seconds.iter().map(second).collect() }
    }

    #[test]
    fn a_second_is_closed_once_every_worker_has_said_all_of_it() {
        let mut intervals = Intervals::new(2, vec![Transport::Tcp]);
        intervals.add(share(0, 5, &[(0, 100), (1, 100)]));
        assert!(intervals.rows.is_empty());
        intervals.add(share(1, 1, &[(0, 50)]));
        assert_eq!(intervals.rows.keys().collect::<Vec<_>>(), [&(0, 0)]);
        assert_eq!((intervals.rows[&(0, 0)].offered, intervals.open.len()), (150, 1));
    }

    #[test]
    fn what_comes_too_late_is_counted_and_leaves_the_quantiles_alone() {
        let mut intervals = Intervals::new(1, vec![Transport::Tcp]);
        intervals.add(share(0, 3, &[(0, 100)]));
        let p50 = (LatencyKind::Response, Statistic::P50);
        let median = intervals.rows[&(0, 0)].latencies.get(p50);
        assert!(median.is_some());
        intervals.add(share(0, 4, &[(0, 1)]));
        let row = &intervals.rows[&(0, 0)];
        assert_eq!((row.offered, row.latencies.get(p50)), (101, median));
    }
}
