//! Samples of processes, and the workers' figures of one pass put together. Everything is added, nothing averaged.

use std::collections::BTreeMap;

use super::context::PassContext;
use super::setup_times::SetupTimes;
use super::state::BacklogFigures;
use super::worker::WorkerFigures;
use crate::measure::clock::{self, Nanos};
use crate::measure::pauses::Pause;
use crate::measure::process::CpuTicks;
use crate::measure::recorder::{CellFigures, CellKey, Totals, TimeRange};
use crate::measure::tcp_info::TcpInfo;
use crate::measure::process_tree::{ProcessFigures, Tree};
use crate::record::{self, Cell, Cost, Processes, Setup, Sockets};

/// WorkerFigures of processes and sockets at one instant.
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
        // What is divided by the time comes first, next to the clock.
        let at = clock::now();
        let replies = sum(context, |live| &live.replies);
        let transports = 0..context.endpoints.len();
        let of_all = |transport: usize| context.traffic.iter().map(move |worker| &worker[transport]);
        let bytes = transports.clone().map(|transport| {
            of_all(transport)
                .fold((0, 0), |sum, traffic| (sum.0 + traffic.sent(), sum.1 + traffic.received()))
        });
        let bytes = bytes.collect();
        let (server, generator) = (ProcessFigures::of(server), ProcessFigures::own());
        let ticks = CpuTicks::read(cpus);
        let sockets = transports.map(|transport| {
            let workers = of_all(transport).filter_map(|traffic| traffic.sample());
            workers.reduce(|(number, mut sum), (more, info)| {
                sum.add(&info);
                (number + more, sum)
            })
        });
        Self { at, replies, server, generator, ticks, bytes, sockets: sockets.collect() }
    }

    /// What was spent since `earlier`, sockets left out.
    fn cost_since(&self, earlier: &Self) -> Cost {
        let sent = |sample: &Self| sample.bytes.iter().map(|bytes| bytes.0).sum::<u64>();
        let received = |sample: &Self| sample.bytes.iter().map(|bytes| bytes.1).sum::<u64>();
        let server_cpu_ns = difference(self.server.cpu_ns, earlier.server.cpu_ns);
        let generator_cpu_ns = difference(self.generator.cpu_ns, earlier.generator.cpu_ns);
        let ticks = self.ticks.zip(earlier.ticks);
        // Of a server that is not ours to read nothing is known: what it takes here counts as others'.
        let ours_ns = generator_cpu_ns.map(|generator| generator + server_cpu_ns.unwrap_or(0));
        Cost {
            replies: self.replies - earlier.replies,
            seconds: (self.at - earlier.at) as f64 / clock::SECOND as f64,
            server_cpu_ns,
            generator_cpu_ns,
            steal: ticks.and_then(|(now, then)| now.stolen_since(then)),
            others: ticks.zip(ours_ns).and_then(|((now, then), ours)| now.others_since(then, ours)),
            bytes_sent: sent(self) - sent(earlier),
            bytes_received: received(self) - received(earlier),
            server_rss_kib: self.server.rss_kib,
            generator_rss_kib: self.generator.rss_kib,
            server_processes: processes(&self.server, &earlier.server),
            generator_processes: processes(&self.generator, &earlier.generator),
            sockets: None,
        }
    }

    /// What each transport's sockets carried since `earlier`.
    fn carried_since(&self, earlier: &Self) -> Vec<Carried> {
        let carried = |transport: usize| {
            let (now, then) = (self.bytes[transport], earlier.bytes[transport]);
            let sockets = self.sockets[transport].zip(earlier.sockets[transport]);
            Carried {
                bytes_sent: now.0 - then.0,
                bytes_received: now.1 - then.1,
                sockets: sockets.map(|((sampled, now), (_, then))| Sockets {
                    sampled,
                    bytes_sent: now.bytes_sent - then.bytes_sent,
                    bytes_received: now.bytes_received - then.bytes_received,
                    segments_sent: now.segments_sent - then.segments_sent,
                    segments_received: now.segments_received - then.segments_received,
                    retransmits: now.retransmits - then.retransmits,
                }),
            }
        };
        (0..self.bytes.len()).map(carried).collect()
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
    counter: impl Fn(&crate::measure::recorder::LiveCounters) -> &std::sync::atomic::AtomicU64,
) -> u64 {
    context.live.iter().map(|live| counter(live).load(std::sync::atomic::Ordering::Relaxed)).sum()
}

/// What happened between two samples in one window.
#[derive(Debug, Clone)]
pub struct SampleInterval {
    /// Number of the window.
    pub window: usize,
    /// The transport under load; `None`: all.
    pub transport: Option<u8>,
    /// First instant, in load time.
    pub from: Nanos,
    /// End, in load time.
    pub until: Nanos,
    /// What was spent in it, by all transports under load.
    pub cost: Cost,
    /// What each transport's sockets carried.
    pub carried: Vec<Carried>,
}

/// Samples of two transports in one; what is not known of one is not known of both.
fn with_others(sum: Option<Sockets>, other: Option<Sockets>) -> Option<Sockets> {
    let (mut sum, other) = sum.zip(other)?;
    let sampled = sum.sampled + other.sampled;
    sum.add(&other);
    Some(Sockets { sampled, ..sum })
}

/// What one transport's sockets carried in a interval.
#[derive(Debug, Clone, Copy)]
pub struct Carried {
    /// Bytes written, framing included.
    pub bytes_sent: u64,
    /// Bytes read.
    pub bytes_received: u64,
    /// A sample of the sockets.
    pub sockets: Option<Sockets>,
}

impl SampleInterval {
    /// The interval between two samples, in a window in which this transport (`None`: all) was under load.
    #[must_use]
    pub fn new(
        window: usize,
        transport: Option<u8>,
        (from, until): (Nanos, Nanos),
        (before, after): (&Sample, &Sample),
    ) -> Self {
        let (cost, carried) = (after.cost_since(before), after.carried_since(before));
        let mut interval = Self { window, transport, from, until, cost, carried };
        let active = (0_u8..).zip(&interval.carried).filter(|(transport, _)| interval.is_of(*transport));
        interval.cost.sockets = active.map(|(_, carried)| carried.sockets).reduce(with_others).flatten();
        interval
    }

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
    /// What waited by transport, the workers' added up: at most that many did at once.
    pub waiting: Vec<BacklogFigures>,
    /// Requests that lost clients had still to send, by transport.
    pub due_of_lost: Vec<u64>,
    /// Every worker's pauses, with the transport under load (`None`: all), in load time.
    pub paused: Vec<(Option<u8>, Pause)>,
}

/// Adds the workers' figures up.
#[must_use]
pub fn sums(context: &PassContext, workers: Vec<WorkerFigures>) -> Sums {
    let transports = context.endpoints.len();
    let mut merged: BTreeMap<CellKey, Box<CellFigures>> = BTreeMap::new();
    let mut sums = Sums {
        cells: vec![Vec::new(); transports],
        totals: std::iter::repeat_with(Totals::recorder).take(transports).collect(),
        lost: vec![0; transports],
        renewals: std::iter::repeat_with(SetupTimes::default).take(transports).collect(),
        waiting: vec![BacklogFigures::default(); transports],
        due_of_lost: vec![0; transports],
        paused: Vec::new(),
    };
    for figures in workers {
        for (transport, totals) in figures.totals.iter().enumerate() {
            sums.totals[transport].merge(totals);
            sums.lost[transport] += figures.outcomes.lost[transport];
            sums.renewals[transport].merge(&figures.outcomes.renewals[transport]);
            sums.waiting[transport].add(&figures.outcomes.waiting[transport]);
            sums.due_of_lost[transport] += figures.outcomes.due_of_lost[transport];
        }
        sums.paused.extend(figures.outcomes.paused);
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
            lag: figures.lag.packed(),
            service: figures.service.packed(),
            response: figures.response.packed(),
        });
    }
    sums
}

/// The pauses that touch what was measured, from this load time on, in their order; those that several workers saw
/// at the same time are one.
#[must_use]
pub fn pauses(paused: impl Iterator<Item = Pause>, measured_from: Nanos) -> Vec<record::Pause> {
    let mut paused: Vec<Pause> = paused.filter(|pause| pause.between.until > measured_from).collect();
    paused.sort_unstable_by_key(|pause| pause.between.from);
    let mut apart: Vec<Pause> = Vec::new();
    for Pause { between, asleep } in paused {
        let from = between.from.max(measured_from);
        match apart.last_mut().filter(|last| from <= last.between.until) {
            Some(last) => {
                last.between.until = last.between.until.max(between.until);
                last.asleep = last.asleep.max(asleep);
            }
            None => apart.push(Pause { between: TimeRange { from, until: between.until }, asleep }),
        }
    }
    let seconds = |ns: Nanos| ns as f64 / clock::SECOND as f64;
    apart
        .into_iter()
        .map(|Pause { between: TimeRange { from, until }, asleep }| record::Pause {
            at_s: seconds(from - measured_from),
            length_s: seconds(until - from + asleep),
        })
        .collect()
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
        quit: times.quit.packed(),
        connect: times.connect.packed(),
        login: times.login.packed(),
        upgrade: times.upgrade.packed(),
        preload: times.preload.packed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_told_once_and_as_far_as_they_touch_what_was_measured() {
        let pause = |from_ms: u64, until_ms: u64, asleep_s: u64| Pause {
            between: TimeRange { from: from_ms * 1_000_000, until: until_ms * 1_000_000 },
            asleep: asleep_s * clock::SECOND,
        };
        // Two workers saw the first, one of them a little earlier; one pause was over before the measured part began.
        let paused = [
            pause(3_000, 4_000, 0),
            pause(100, 900, 0),
            pause(2_950, 3_990, 0),
            pause(5_000, 5_010, 60),
            pause(800, 1_500, 0),
        ];
        let found: Vec<(f64, f64)> = pauses(paused.into_iter(), clock::SECOND)
            .iter()
            .map(|pause| (pause.at_s, pause.length_s))
            .collect();
        assert_eq!(found, [(0.0, 0.5), (1.95, 1.05), (4.0, 60.01)]);
    }
}
