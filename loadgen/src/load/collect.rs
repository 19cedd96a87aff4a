//! Samples of processes, and the workers' figures of one pass put together. Everything is added, nothing averaged.

use std::collections::BTreeMap;

use super::context::PassContext;
use super::setup::SetupTimes;
use super::worker::Figures;
use crate::measure::clock::{self, Nanos};
use crate::measure::process::{self, CpuTicks};
use crate::measure::recorder::{CellFigures, CellKey, Totals};
use crate::record::{Cell, Cost, Setup};

/// Figures of processes and sockets at one instant.
#[derive(Debug, Clone)]
pub struct Sample {
    at: Nanos,
    replies: u64,
    server_cpu_ns: Option<Nanos>,
    generator_cpu_ns: Option<Nanos>,
    ticks: Option<CpuTicks>,
    /// The server's resident memory.
    pub server_rss_kib: Option<u64>,
    /// This process's resident memory.
    pub generator_rss_kib: Option<u64>,
    /// Sent and received, by transport.
    pub bytes: Vec<(u64, u64)>,
}

impl Sample {
    /// Takes one now. `server` is the server's process, where it is ours to read; `cpus` are those in use.
    #[must_use]
    pub fn take(context: &PassContext, server: Option<u32>, cpus: &[usize]) -> Self {
        let bytes = (0..context.endpoints.len()).map(|transport| {
            let traffic = context.traffic.iter().map(|worker| &worker[transport]);
            traffic.fold((0, 0), |sum, traffic| (sum.0 + traffic.sent(), sum.1 + traffic.received()))
        });
        Self {
            at: clock::now(),
            replies: sum(context, |live| &live.replies),
            server_cpu_ns: server.and_then(process::cpu_ns),
            generator_cpu_ns: process::own_cpu_ns(),
            ticks: CpuTicks::read(cpus),
            server_rss_kib: server.and_then(|pid| process::rss_kib(Some(pid))),
            generator_rss_kib: process::rss_kib(None),
            bytes: bytes.collect(),
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
            server_cpu_ns: difference(self.server_cpu_ns, earlier.server_cpu_ns),
            generator_cpu_ns: difference(self.generator_cpu_ns, earlier.generator_cpu_ns),
            steal: self.ticks.zip(earlier.ticks).and_then(|(now, then)| now.stolen_since(then)),
            bytes_sent: sent(self) - sent(earlier),
            bytes_received: received(self) - received(earlier),
        }
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

/// What happened between two samples in one window.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// Number of the window.
    pub window: usize,
    /// The transport under load; `None`: all.
    pub transport: Option<u8>,
    /// First instant, in load time.
    pub from: Nanos,
    /// End, in load time.
    pub until: Nanos,
    /// The sample at its beginning.
    pub before: Sample,
    /// The sample at its end.
    pub after: Sample,
    /// What was spent in it.
    pub cost: Cost,
}

impl Stretch {
    /// Whether this transport was under load.
    #[must_use]
    pub fn is_of(&self, transport: u8) -> bool {
        self.transport.is_none_or(|active| active == transport)
    }

    /// The middle of it, in load time.
    #[must_use]
    pub fn middle(&self) -> Nanos {
        u64::midpoint(self.from, self.until)
    }
}

/// Everything that the workers of a pass measured, added up.
#[derive(Debug)]
pub struct Sums {
    /// By transport, the cells in the order of their keys.
    pub cells: Vec<Vec<Cell>>,
    /// By transport.
    pub totals: Vec<Totals>,
    /// By transport.
    pub lost: Vec<u32>,
    /// By transport.
    pub renewals: Vec<SetupTimes>,
    /// Largest backlogs by transport, the workers' added up: at most that many waited at once.
    pub backlog_max: Vec<u64>,
}

/// Adds the workers' figures up.
#[must_use]
pub fn sums(context: &PassContext, workers: Vec<Figures>) -> Sums {
    let transports = context.endpoints.len();
    let mut merged: BTreeMap<CellKey, Box<CellFigures>> = BTreeMap::new();
    let mut sums = Sums {
        cells: vec![Vec::new(); transports],
        totals: std::iter::repeat_with(Totals::recorder).take(transports).collect(),
        lost: vec![0; transports],
        renewals: std::iter::repeat_with(SetupTimes::default).take(transports).collect(),
        backlog_max: vec![0; transports],
    };
    for figures in workers {
        for (transport, totals) in figures.totals.iter().enumerate() {
            sums.totals[transport].merge(totals);
            sums.lost[transport] += figures.fates.lost[transport];
            sums.renewals[transport].merge(&figures.fates.renewals[transport]);
            sums.backlog_max[transport] += figures.fates.backlog_max[transport];
        }
        for (key, cell) in figures.cells {
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
    for (key, figures) in merged {
        let transport = usize::from(key.transport);
        sums.cells[transport].push(Cell {
            transport: context.endpoints[transport].transport().name().to_owned(),
            group: context.scenario.groups[usize::from(key.group)].name.clone(),
            role: key.role.name().to_owned(),
            op: key.op.name().to_owned(),
            counts: figures.counts,
            lag: figures.lag,
            service: figures.service,
            response: figures.response,
        });
    }
    sums
}

/// One transport's set-up times over all workers.
#[must_use]
pub fn setup(context: &PassContext, workers: &[Vec<SetupTimes>], transport: usize, elapsed_s: f64) -> Setup {
    let mut times = SetupTimes::default();
    for worker in workers {
        times.merge(&worker[transport]);
    }
    record(context, times, transport, elapsed_s)
}

/// Times of setting up, as the record has them.
#[must_use]
pub fn record(context: &PassContext, times: SetupTimes, transport: usize, elapsed_s: f64) -> Setup {
    Setup {
        transport: context.endpoints[transport].transport().name().to_owned(),
        clients: times.clients,
        elapsed_s,
        quit: times.quit,
        connect: times.connect,
        login: times.login,
        upgrade: times.upgrade,
        preload: times.preload,
    }
}
