//! The transports of a load side by side: statistics instead of histograms, ratios, costs, the harness's own floor.
//!
//! How they are written for people is the business of `figure` and `tables`; what is merged into a row that of
//! [`crate::record::rows`].

use std::ops::Index;

use crate::domain::{LatencyKind, Op, PerKind, Role, Statistic, Timing, Transport};
use crate::record::pairs::Ratio;
use crate::record::rows::{self, Key, Row, Selection};
use crate::record::{
    Cost, Counts, FloorLayout, Latencies, Latency, LoadInfo, Pass, RunRecord, TransportFloor, VerdictLevel,
    WindowRow, is_ceiling, is_within,
};

/// The statistics of one latency; those with too few samples are missing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LatencySummary {
    /// Number of samples.
    pub samples: u64,
    statistics: [Option<Latency>; Statistic::ALL.len()],
}

impl LatencySummary {
    /// The statistics of these samples.
    #[must_use]
    pub fn of(latencies: &Latencies) -> Self {
        let mut summary = Self { samples: latencies.len(), ..Self::default() };
        for &statistic in Statistic::ALL {
            summary.statistics[statistic as usize] = latencies.statistic(statistic);
        }
        summary
    }

    /// All of them, in the order of every file's columns.
    pub fn iter(&self) -> impl Iterator<Item = (Statistic, Option<Latency>)> {
        Statistic::ALL.iter().copied().zip(self.statistics)
    }
}

impl Index<Statistic> for LatencySummary {
    type Output = Option<Latency>;

    fn index(&self, statistic: Statistic) -> &Option<Latency> {
        &self.statistics[statistic as usize]
    }
}

/// The statistics whose ratios between transports are shown.
pub(super) const COMPARED: [Statistic; 2] = [Statistic::P50, Statistic::P99];

/// The counters, the rate and the statistics of one row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    pub counts: Counts,
    /// Answered requests a second.
    pub rate: Option<f64>,
    /// Statistics of each kind of latency.
    pub latencies: PerKind<LatencySummary>,
}

impl Summary {
    /// The summary of this row.
    #[must_use]
    pub fn of(row: &Row) -> Self {
        Self {
            counts: row.counts,
            rate: row.rate(),
            latencies: PerKind::from_fn(|kind| LatencySummary::of(&row.latencies[kind])),
        }
    }
}

/// One role and operation of one load and variant, over every transport.
#[derive(Debug, Clone)]
pub struct ComparisonRow {
    /// The role; `None`: all of them.
    pub role: Option<Role>,
    /// The operation; `None`: all of them.
    pub op: Option<Op>,
    /// One for each of the comparison's transports; `None` if it made no such request.
    pub summaries: Vec<Option<Summary>>,
    /// For each transport, the ratios of the [`COMPARED`] statistics to those of the first.
    pub ratios: Vec<[Option<Ratio>; COMPARED.len()]>,
}

/// The transports side by side, for one variant of one load, trials and groups merged.
#[derive(Debug, Clone)]
pub struct Comparison<'a> {
    pub load: &'a LoadInfo,
    /// The variant's label; empty if nothing is swept.
    pub variant: &'a str,
    /// The transports that ran in it, in the scenario's order. Ratios are against the first.
    pub transports: Vec<Transport>,
    /// Whether they ran at once: the scenario then decides how much each was asked, so nothing can be compared.
    pub is_mixed: bool,
    /// Roles in order, each operation of a role, then all of the role's; everything at the end.
    pub rows: Vec<ComparisonRow>,
    /// What each transport cost.
    pub costs: Vec<Option<CostSummary>>,
    /// How late the generator woke, if each transport ran alone.
    pub lateness: Vec<LatencySummary>,
    /// Each transport's passes.
    passes: Vec<Vec<&'a Pass>>,
    /// The harness's own floor over each transport, if it is known for this machine and placement.
    pub floors: Vec<Option<&'a TransportFloor>>,
}

impl Comparison<'_> {
    /// All roles and operations, for each transport.
    #[must_use]
    pub fn total(&self) -> &[Option<Summary>] {
        self.rows.last().map_or(&[], |row| &row.summaries)
    }

    /// The ratio to the first transport over the trials of both, of a figure of a pass and a transport.
    pub(super) fn trial_ratio(
        &self,
        i: usize,
        figure: impl Fn(&Pass, Transport) -> Option<f64>,
    ) -> Option<Ratio> {
        if !has_ratios(self.load) {
            return None;
        }
        let (base, other) = (*self.transports.first()?, *self.transports.get(i)?);
        let twin = |pass: &&Pass| self.passes[i].iter().copied().find(|twin| twin.trial == pass.trial);
        let pairs =
            self.passes[0].iter().filter_map(|pass| figure(pass, base).zip(figure(twin(pass)?, other)));
        Ratio::of(pairs.collect::<Vec<_>>())
    }

    /// The ratio of the throughput.
    pub(super) fn rate_ratio(&self, i: usize) -> Option<Ratio> {
        self.trial_ratio(i, |pass, transport| Selection::default().over(transport).row([pass])?.rate())
    }

    pub(super) fn cost_ratio(&self, i: usize, of: impl Fn(&CostSummary) -> Option<f64>) -> Option<Ratio> {
        if self.is_mixed {
            return None;
        }
        self.trial_ratio(i, |pass, _| of(&CostSummary::of(&pass.cost)))
    }

    /// Whether there is a floor to show: it is known for any of the transports, and the load's timing is judged.
    #[must_use]
    pub fn has_floor(&self) -> bool {
        self.load.timing == Timing::Judged && self.floors.iter().any(Option::is_some)
    }

    /// The floor's statistic over the transport at `i`.
    pub(super) fn floor(&self, i: usize, kind: LatencyKind, statistic: Statistic) -> Option<Latency> {
        let ns = (*self.floors.get(i)?)?.paced.latencies[kind].get(statistic);
        ns.map(|ns| Latency { ns, at_least: false })
    }

    /// Whether a latency over the transport at `i` is within the floor. A lower bound may be anything.
    pub(super) fn is_latency_within(
        &self,
        i: usize,
        kind: LatencyKind,
        statistic: Statistic,
        latency: Option<Latency>,
    ) -> bool {
        let ns = |latency: Option<Latency>| latency.map(|latency| latency.ns);
        let exact = latency.filter(|latency| !latency.at_least);
        is_within(ns(exact), ns(self.floor(i, kind, statistic)))
    }

    /// The floor's CPU of both sides over the transport at `i`, under a load of this kind.
    pub(super) fn floor_cost_ns(&self, i: usize) -> Option<f64> {
        let floor = (*self.floors.get(i)?)?;
        if self.load.model.saturates() { floor.saturated.cost.both_ns } else { floor.paced.cost.both_ns }
    }

    /// Whether the CPU of both sides over the transport at `i` is within the floor's.
    pub(super) fn is_cost_within(&self, i: usize) -> bool {
        let both_ns = self.costs.get(i).and_then(|cost| cost.as_ref()?.both_ns);
        is_within(both_ns, self.floor_cost_ns(i))
    }

    /// The highest rate that the harness can offer over the transport at `i`.
    pub(super) fn highest_rate(&self, i: usize) -> Option<f64> {
        (*self.floors.get(i)?)?.saturated.rate
    }

    /// Whether the rate over the transport at `i` may be the harness's limit and not the target's.
    pub(super) fn is_rate_within(&self, i: usize) -> bool {
        let rate = self.total().get(i).and_then(|total| total.as_ref()?.rate);
        is_ceiling(rate, self.highest_rate(i))
    }
}

/// The floor for this run's environment, if it may be shown next to its figures.
pub(super) fn floor(record: &RunRecord) -> Option<&FloorLayout> {
    record.floor.as_ref()?.layout(&record.environment).ok()
}

/// The comparisons of a load, one for each variant that ran, in order.
#[must_use]
pub fn comparisons<'a>(record: &'a RunRecord, load: &'a LoadInfo) -> Vec<Comparison<'a>> {
    let keys: Vec<Key> = rows::keys(record)
        .into_iter()
        .filter(|key| key.load == load.name && key.trial.is_none() && key.group.is_none())
        .collect();
    let mut variants: Vec<&str> = Vec::new();
    for pass in record.passes.iter().filter(|pass| pass.load == load.name) {
        if !variants.contains(&pass.variant.as_str()) {
            variants.push(&pass.variant);
        }
    }
    variants.sort_by_key(|variant| load.variants.iter().position(|known| known.label == *variant));
    // Without any request there is nothing to show.
    let has_requests = |comparison: &Comparison<'_>| !comparison.transports.is_empty();
    variants
        .into_iter()
        .map(|variant| comparison(record, load, variant, &keys))
        .filter(has_requests)
        .collect()
}

fn comparison<'a>(
    record: &'a RunRecord,
    load: &'a LoadInfo,
    variant: &'a str,
    keys: &[Key],
) -> Comparison<'a> {
    let keys: Vec<&Key> = keys.iter().filter(|key| key.variant == variant).collect();
    let here = |transport: &Transport| keys.iter().any(|key| key.transport == *transport);
    let transports: Vec<Transport> = record.transports_run().into_iter().filter(here).collect();
    let mut wanted: Vec<(Option<Role>, Option<Op>)> = keys.iter().map(|key| (key.role, key.op)).collect();
    wanted.sort_by_key(|&(role, op)| (rows::last(role), rows::last(op)));
    wanted.dedup();
    // With one role the lines of all roles would repeat it; operations over all roles are in the CSV files.
    wanted.retain(|(role, op)| role.is_some() || op.is_none());
    let over = |transport| Selection::of(&load.name, variant).over(transport);
    let summary = |role, op, transport| {
        let row = Selection { role, op, ..over(transport) }.row(&record.passes)?;
        Some(Summary::of(&row))
    };
    let passes: Vec<Vec<&Pass>> =
        transports.iter().map(|&transport| over(transport).passes(&record.passes).collect()).collect();
    let rows = wanted
        .into_iter()
        .map(|(role, op)| ComparisonRow {
            role,
            op,
            summaries: transports.iter().map(|&transport| summary(role, op, transport)).collect(),
            ratios: (0..transports.len())
                .map(|i| {
                    let twins = [(transports[0], &passes[0]), (transports[i], &passes[i])];
                    COMPARED.map(|statistic| latency_ratio(load, (role, op), statistic, twins))
                })
                .collect(),
        })
        .collect();
    let costs = transports
        .iter()
        .map(|&transport| over(transport).cost(&record.passes).as_ref().map(CostSummary::of))
        .collect();
    let lateness = transports.iter().map(|&transport| lateness(record, over(transport))).collect();
    let layout = floor(record);
    let floors = transports.iter().map(|&transport| layout?.transport(transport)).collect();
    let is_mixed = passes.iter().flatten().any(|pass| pass.is_mixed());
    Comparison { load, variant, transports, is_mixed, rows, costs, lateness, passes, floors }
}

/// Whether the load's transports may be compared: the measurement must be valid, and the load's timing judged.
fn has_ratios(load: &LoadInfo) -> bool {
    matches!(load.verdict.level, VerdictLevel::Valid | VerdictLevel::Suspect)
}

/// A statistic's ratio of the second transport to the first: over windows if there are any, else over trials.
fn latency_ratio(
    load: &LoadInfo,
    (role, op): (Option<Role>, Option<Op>),
    statistic: Statistic,
    twins: [(Transport, &Vec<&Pass>); 2],
) -> Option<Ratio> {
    let [(base, ours), (other, theirs)] = twins;
    if base == other || !has_ratios(load) {
        return None;
    }
    let kind = load.headline_kind();
    let twin = |pass: &Pass| theirs.iter().copied().find(|twin| twin.trial == pass.trial);
    let of_window = |window: &WindowRow| {
        let found = window.roles.iter().find(|found| found.role == role)?;
        found.latencies.get((kind, statistic))
    };
    let of_pass = |pass: &Pass, transport| {
        let of = Selection { role, op, ..Selection::default().over(transport) };
        of.latencies([pass], kind).statistic(statistic)
    };
    let mut windows = Vec::new();
    let mut trials = Vec::new();
    for pass in ours {
        let Some(twin) = twin(pass) else { continue };
        for window in pass.windows.iter().filter(|_| op.is_none()) {
            let same = twin.windows.iter().find(|candidate| candidate.pair == window.pair);
            windows.extend(of_window(window).zip(same.and_then(of_window)));
        }
        if let Some((one, two)) = of_pass(pass, base).zip(of_pass(twin, other)) {
            // Leaving out trials with only a lower bound would leave out the slow ones.
            if one.at_least || two.at_least {
                return None;
            }
            trials.push((one.ns, two.ns));
        }
    }
    Ratio::of(windows).or_else(|| Ratio::of(trials))
}

fn lateness(record: &RunRecord, of: Selection<'_>) -> LatencySummary {
    let mut sum = Latencies::default();
    of.unmixed(&record.passes).for_each(|pass| sum.merge(&pass.dispatch_lag));
    LatencySummary::of(&sum)
}

/// What a request cost.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CostSummary {
    /// CPU of both sides for each reply, in nanoseconds.
    pub both_ns: Option<f64>,
    /// The server's part.
    pub server_ns: Option<f64>,
    /// The generator's part.
    pub generator_ns: Option<f64>,
    /// The server's CPU in cores.
    pub server_cores: Option<f64>,
    /// The generator's CPU in cores.
    pub generator_cores: Option<f64>,
    /// Share (0 to 1) of the used CPUs' time that the host took away.
    pub steal: Option<f64>,
    /// Share (0 to 1) of the used CPUs' time that other programs took.
    pub others: Option<f64>,
    /// Bytes on the wire for each reply, both directions, framing included.
    pub bytes: Option<f64>,
    /// The bytes that the clients sent.
    pub bytes_sent: Option<f64>,
    /// The bytes that the clients received.
    pub bytes_received: Option<f64>,
    /// TCP segments for each reply, both directions, acknowledgements included: as many for each byte as the sampled
    /// sockets had.
    pub segments: Option<f64>,
    /// Segments that the sampled sockets sent again.
    pub retransmits: Option<u64>,
    /// The server's context switches for each reply, voluntary and involuntary.
    pub server_switches: Option<f64>,
    pub generator_switches: Option<f64>,
    /// The server's resident memory at the end, in MiB.
    pub server_mib: Option<f64>,
    pub generator_mib: Option<f64>,
}

impl CostSummary {
    /// Each cost divided by the replies, or by the time.
    #[must_use]
    pub fn of(cost: &Cost) -> Self {
        let cores = |ns: u64| (cost.seconds > 0.0).then(|| ns as f64 / 1e9 / cost.seconds);
        let each = cost.for_each_reply();
        Self {
            both_ns: each.cpu_ns,
            server_ns: each.server_cpu_ns,
            generator_ns: each.generator_cpu_ns,
            server_cores: cost.server_cpu_ns.and_then(cores),
            generator_cores: cost.generator_cpu_ns.and_then(cores),
            steal: cost.steal,
            others: cost.others,
            bytes: each.bytes_sent.zip(each.bytes_received).map(|(sent, received)| sent + received),
            bytes_sent: each.bytes_sent,
            bytes_received: each.bytes_received,
            segments: each.segments,
            retransmits: cost.sockets.map(|sockets| sockets.retransmits),
            server_switches: each.server_switches,
            generator_switches: each.generator_switches,
            server_mib: cost.server_rss_kib.map(|kib| kib as f64 / 1024.0),
            generator_mib: cost.generator_rss_kib.map(|kib| kib as f64 / 1024.0),
        }
    }
}
