//! Puts the workers' figures of one pass together into the record's form. Everything is added, nothing averaged.

use std::collections::BTreeMap;

use super::context::PassContext;
use super::setup::SetupTimes;
use super::worker::Figures;
use crate::measure::clock::{self, Nanos};
use crate::measure::process::CpuTicks;
use crate::measure::recorder::{CellFigures, CellKey, Second};
use crate::measure::tcp_info::TcpInfo;
use crate::measure::tree::{Figures as ProcessFigures, Tree};
use crate::record::{Cell, Cost, Interval, Latencies, Ledger, Processes, Setup, Sockets};

/// Seconds that are kept open for the other workers' shares after one of them has gone on: all sweep by the same
/// clock, many times a second.
const SECONDS_OPEN: u32 = 3;

/// Rows of seconds, filled as the workers hand their shares over, so that memory does not grow with the run.
#[derive(Debug, Default)]
pub struct Intervals {
    open: BTreeMap<(u8, u32), Box<Second>>,
    rows: BTreeMap<(u8, u32), Interval>,
}

impl Intervals {
    /// Takes a worker's share of some seconds.
    pub fn add(&mut self, seconds: Vec<(u8, u32, Box<Second>)>) {
        let newest = seconds.iter().map(|(_, second, _)| *second).max();
        for (transport, second, share) in seconds {
            self.open.entry((transport, second)).and_modify(|sum| sum.merge(&share)).or_insert(share);
        }
        if let Some(newest) = newest {
            self.close_before(newest.saturating_sub(SECONDS_OPEN));
        }
    }

    fn close_before(&mut self, second: u32) {
        let closed: Vec<_> = self.open.keys().copied().filter(|key| key.1 < second).collect();
        for key in closed {
            if let Some(figures) = self.open.remove(&key) {
                let row = self.rows.entry(key).or_default();
                row.offered += figures.offered;
                row.achieved += figures.achieved;
                row.errors += figures.errors;
                row.violations += figures.violations;
                let quantile = |latencies: &Latencies, q| latencies.quantile(q).map(|latency| latency.ns);
                row.response_p50_ns = quantile(&figures.response, 0.5);
                row.response_p99_ns = quantile(&figures.response, 0.99);
                row.service_p50_ns = quantile(&figures.service, 0.5);
                row.service_p99_ns = quantile(&figures.service, 0.99);
                row.dispatch_lag_p99_ns = quantile(&figures.dispatch_lag, 0.99);
            }
        }
    }

    /// All rows of the first `length` of the measured part, with the samples that were taken at its seconds' ends.
    pub fn finish(mut self, context: &PassContext, samples: &[Sample], length: Nanos) -> Vec<Interval> {
        self.close_before(u32::MAX);
        let seconds = length.div_ceil(clock::SECOND) as u32;
        let mut rows = Vec::new();
        for (transport, endpoint) in context.endpoints.iter().enumerate() {
            for second in 0..seconds {
                let mut row = self.rows.remove(&(transport as u8, second)).unwrap_or_default();
                let from = u64::from(second) * clock::SECOND;
                endpoint.transport().name().clone_into(&mut row.transport);
                row.second = second;
                row.length_s = (length - from).min(clock::SECOND) as f64 / clock::SECOND as f64;
                if let [before, after] = samples.get(second as usize..second as usize + 2).unwrap_or_default()
                {
                    row.fill(before, after, transport);
                }
                rows.push(row);
            }
        }
        rows
    }
}

/// Figures of processes and sockets at one instant.
#[derive(Debug, Clone)]
pub struct Sample {
    at: Nanos,
    replies: u64,
    server: ProcessFigures,
    generator: ProcessFigures,
    ticks: Option<CpuTicks>,
    /// Sent and received, by transport.
    bytes: Vec<(u64, u64)>,
    /// How many are sampled, and what they have counted, by transport.
    sockets: Vec<Option<(u64, TcpInfo)>>,
}

impl Sample {
    /// Takes one now. `server` are the server's processes, where they are ours to read; `cpus` are those in use.
    #[must_use]
    pub fn take(context: &PassContext, server: &[Tree], cpus: &[usize]) -> Self {
        let transports = 0..context.endpoints.len();
        let bytes = transports.clone().map(|transport| {
            let traffic = context.traffic.iter().map(|worker| &worker[transport]);
            traffic.fold((0, 0), |sum, traffic| (sum.0 + traffic.sent(), sum.1 + traffic.received()))
        });
        let sockets = transports.map(|transport| {
            let workers = context.traffic.iter().filter_map(|worker| worker[transport].sample());
            workers.reduce(|(number, mut sum), (more, info)| {
                sum.add(&info);
                (number + more, sum)
            })
        });
        Self {
            at: clock::now(),
            replies: sum(context, |live| &live.replies),
            server: ProcessFigures::of(server),
            generator: ProcessFigures::own(),
            ticks: CpuTicks::read(cpus),
            bytes: bytes.collect(),
            sockets: sockets.collect(),
        }
    }

    /// What was spent since `earlier`.
    #[must_use]
    pub fn cost_since(&self, earlier: &Self) -> Cost {
        let sent = |sample: &Self| sample.bytes.iter().map(|bytes| bytes.0).sum::<u64>();
        let received = |sample: &Self| sample.bytes.iter().map(|bytes| bytes.1).sum::<u64>();
        Cost {
            replies: self.replies - earlier.replies,
            seconds: (self.at - earlier.at) as f64 / clock::SECOND as f64,
            server_cpu_ns: difference(self.server.cpu_ns, earlier.server.cpu_ns),
            generator_cpu_ns: difference(self.generator.cpu_ns, earlier.generator.cpu_ns),
            steal: self.ticks.zip(earlier.ticks).and_then(|(now, then)| now.stolen_since(then)),
            bytes_sent: sent(self) - sent(earlier),
            bytes_received: received(self) - received(earlier),
            server_rss_kib: self.server.rss_kib,
            generator_rss_kib: self.generator.rss_kib,
            server_processes: processes(&self.server, &earlier.server),
            generator_processes: processes(&self.generator, &earlier.generator),
            sockets: (0..self.sockets.len())
                .map(|transport| self.sockets_since(earlier, transport))
                .reduce(|a, b| {
                    let (mut a, b) = (a?, b?);
                    a.add(&b);
                    Some(a)
                })
                .flatten(),
        }
    }

    /// What one transport's sampled sockets counted since `earlier`.
    fn sockets_since(&self, earlier: &Self, transport: usize) -> Option<Sockets> {
        let ((sampled, now), (_, then)) = self.sockets[transport].zip(earlier.sockets[transport])?;
        Some(Sockets {
            sampled,
            bytes_sent: now.bytes_sent.checked_sub(then.bytes_sent)?,
            bytes_received: now.bytes_received.checked_sub(then.bytes_received)?,
            segments_sent: now.segments_sent.checked_sub(then.segments_sent)?,
            segments_received: now.segments_received.checked_sub(then.segments_received)?,
            retransmits: now.retransmits.checked_sub(then.retransmits)?,
        })
    }
}

fn processes(now: &ProcessFigures, then: &ProcessFigures) -> Processes {
    Processes {
        descriptors: now.descriptors,
        voluntary_switches: difference(now.voluntary_switches, then.voluntary_switches),
        involuntary_switches: difference(now.involuntary_switches, then.involuntary_switches),
    }
}

fn difference(now: Option<Nanos>, then: Option<Nanos>) -> Option<Nanos> {
    now?.checked_sub(then?)
}

/// Sums a live counter over the workers.
pub fn sum(
    context: &PassContext,
    counter: impl Fn(&crate::measure::recorder::Live) -> &std::sync::atomic::AtomicU64,
) -> u64 {
    context.live.iter().map(|live| counter(live).load(std::sync::atomic::Ordering::Relaxed)).sum()
}

impl Interval {
    fn fill(&mut self, before: &Sample, after: &Sample, transport: usize) {
        let cost = after.cost_since(before);
        let cores = |ns: Option<u64>| ns.map(|ns| ns as f64 / (after.at - before.at).max(1) as f64);
        self.server_cpu = cores(cost.server_cpu_ns);
        self.generator_cpu = cores(cost.generator_cpu_ns);
        self.steal = cost.steal;
        self.server_rss_kib = after.server.rss_kib;
        self.generator_rss_kib = after.generator.rss_kib;
        self.server_processes = cost.server_processes;
        self.generator_processes = cost.generator_processes;
        self.sockets = after.sockets_since(before, transport);
        self.bytes_sent = after.bytes[transport].0 - before.bytes[transport].0;
        self.bytes_received = after.bytes[transport].1 - before.bytes[transport].1;
    }
}

/// The workers' cells, sums and dispatch lags in one.
pub fn cells(context: &PassContext, workers: Vec<Figures>) -> (Vec<Cell>, Ledger, Latencies) {
    let mut merged: BTreeMap<CellKey, Box<CellFigures>> = BTreeMap::new();
    let mut ledger = Ledger::default();
    let mut dispatch_lag = Latencies::default();
    for figures in workers {
        ledger.add(&figures.recorder.ledger);
        dispatch_lag.merge(&figures.recorder.dispatch_lag);
        for (key, cell) in figures.recorder.into_cells() {
            merged
                .entry(key)
                .and_modify(|sum| {
                    sum.counts.add(&cell.counts);
                    sum.lag.merge(&cell.lag);
                    sum.service.merge(&cell.service);
                    sum.response.merge(&cell.response);
                })
                .or_insert(cell);
        }
    }
    let cells = merged.into_iter().map(|(key, figures)| Cell {
        transport: context.endpoints[usize::from(key.transport)].transport().name().to_owned(),
        group: context.scenario.groups[usize::from(key.group)].name.clone(),
        role: key.role.name().to_owned(),
        op: key.op.name().to_owned(),
        counts: figures.counts,
        lag: figures.lag,
        service: figures.service,
        response: figures.response,
    });
    (cells.collect(), ledger, dispatch_lag)
}

/// The workers' set-up times in one, by transport.
pub fn setup(context: &PassContext, workers: &[Vec<SetupTimes>], elapsed_s: f64) -> Vec<Setup> {
    let transports = context.endpoints.iter().enumerate();
    let merge = |(transport, endpoint): (usize, &crate::wire::Endpoint)| {
        let mut times = SetupTimes::default();
        for worker in workers {
            times.merge(&worker[transport]);
        }
        Setup {
            transport: endpoint.transport().name().to_owned(),
            clients: times.clients,
            elapsed_s,
            connect: times.connect,
            login: times.login,
            upgrade: times.upgrade,
            preload: times.preload,
        }
    };
    transports.map(merge).collect()
}
