//! What the workers and the coordinator of a pass collected → the run record's rows. Everything is added, nothing
//! averaged.

use std::collections::BTreeMap;

use twinwire_os::clock::{self, Nanos};

use super::super::context::PassContext;
use super::super::session::SetupTimes;
use super::super::worker::{ClientOutcomes, TransportOutcomes, WorkerFigures, WorkerPause};
use super::sample::SampleInterval;
use super::{Collected, WindowResult};
use crate::domain::{Role, Statistic, Transport};
use crate::measure::pauses::Pause;
use crate::measure::recorder::{CellFigures, CellKey, TimeRange, Totals, WindowFigures};
use crate::record::{
    self, Backlog, Cell, Cost, KindStatistics, Latencies, Pass, Setup, WindowRole, WindowRow,
};

/// A pass as a whole, for its record.
pub(super) struct PassSummary {
    /// Seconds since the run began.
    pub(super) started_s: f64,
    /// How long setting the clients up took, in seconds.
    pub(super) setup_s: f64,
    pub(super) complete: bool,
}

/// The record's passes: one, or one for each transport of an interleaved load.
pub(super) fn passes(context: &PassContext, collected: Collected, summary: &PassSummary) -> Vec<Pass> {
    let warmup = clock::nanos(context.load().warmup);
    let lengths: Vec<Nanos> = collected.reached.iter().map(|at| at.saturating_sub(warmup)).collect();
    let rows = collected.intervals.finish(context, &collected.sample_intervals, &lengths);
    let Sums { transports, pauses } = sums(context, collected.figures);
    let all: Vec<usize> = (0..context.endpoints.len()).collect();
    let parts: Vec<Vec<usize>> = if context.plan.is_interleaved() {
        all.into_iter().map(|transport| vec![transport]).collect()
    } else {
        vec![all]
    };
    let pass = |part: Vec<usize>| {
        let on: Vec<Transport> = part.iter().map(|&t| context.endpoints[t].transport()).collect();
        let sums = || part.iter().map(|&transport| &transports[transport]);
        let mut totals = Totals::recorder();
        let mut outcomes = TransportOutcomes::default();
        for sum in sums() {
            totals.merge(&sum.totals);
            outcomes.merge(&sum.outcomes);
        }
        let of_part = |interval: &&SampleInterval| part.iter().any(|&t| interval.is_of(t as u8));
        let cost =
            Cost::sum(collected.sample_intervals.iter().filter(of_part).map(|interval| &interval.cost));
        let setup = |&t: &usize| {
            let mut times = SetupTimes::default();
            collected.setup.iter().for_each(|worker| times.merge(&worker[t]));
            setup_record(context, times, t, summary.setup_s)
        };
        let paused = pauses
            .iter()
            .filter(|pause| pause.transport.is_none_or(|transport| part.contains(&usize::from(transport))));
        Pass {
            load: context.load().name.clone(),
            variant: context.variant.clone(),
            trial: context.plan.trial,
            started_s: summary.started_s,
            measured_s: part.iter().map(|&t| lengths[t]).max().unwrap_or(0) as f64 / clock::SECOND as f64,
            complete: summary.complete,
            clients: context.plan.cohort,
            workers: context.live.len() as u32,
            clients_lost: outcomes.lost,
            cells: sums().flat_map(|sum| sum.cells.clone()).collect(),
            setup: part.iter().map(setup).collect(),
            intervals: rows.iter().filter(|row| on.contains(&row.transport)).cloned().collect(),
            ledger: totals.ledger,
            cost: cost.unwrap_or_default(),
            dispatch_lag: totals.dispatch_lag.packed(),
            due_of_lost: outcomes.due_of_lost,
            pauses: measured_pauses(paused.map(|paused| paused.pause), warmup),
            backlog: Backlog {
                waited: totals.waited,
                max: context.load().is_open().then_some(outcomes.backlog.max),
                never_sent: totals.never_sent,
                standing: outcomes.backlog.standing,
                drained_ns: outcomes.backlog.drained,
            },
            renewals: (outcomes.renewals.clients > 0)
                .then(|| setup_record(context, outcomes.renewals, part[0], 0.0)),
            windows: window_rows(context, &collected.windows, &collected.sample_intervals, part[0]),
            transports: on,
        }
    };
    parts.into_iter().map(pass).collect()
}

/// Everything that the workers of a pass measured, added up.
struct Sums {
    transports: Vec<TransportSums>,
    /// Every worker's.
    pauses: Vec<WorkerPause>,
}

struct TransportSums {
    /// In the order of their keys.
    cells: Vec<Cell>,
    totals: Totals,
    outcomes: TransportOutcomes,
}

fn sums(context: &PassContext, workers: Vec<WorkerFigures>) -> Sums {
    let mut cells: BTreeMap<CellKey, Box<CellFigures>> = BTreeMap::new();
    let mut totals: Vec<Totals> = context.endpoints.iter().map(|_| Totals::recorder()).collect();
    let mut outcomes = ClientOutcomes::new(context.endpoints.len());
    for worker in workers {
        totals.iter_mut().zip(&worker.totals).for_each(|(sum, part)| sum.merge(part));
        outcomes.merge(worker.outcomes);
        for (key, cell) in worker.cells {
            cells
                .entry(key)
                .and_modify(|sum| {
                    sum.counts.add(&cell.counts);
                    sum.latencies.merge(&cell.latencies);
                })
                .or_insert(cell);
        }
    }
    let mut transports: Vec<TransportSums> = totals
        .into_iter()
        .zip(outcomes.transports)
        .map(|(totals, outcomes)| TransportSums { cells: Vec::new(), totals, outcomes })
        .collect();
    for (key, figures) in cells {
        let transport = usize::from(key.transport);
        transports[transport].cells.push(Cell {
            transport: context.endpoints[transport].transport(),
            group: context.scenario.groups[usize::from(key.group)].name.clone(),
            role: key.role,
            op: key.op,
            counts: figures.counts,
            latencies: figures.latencies.map(Latencies::packed),
        });
    }
    Sums { transports, pauses: outcomes.pauses }
}

/// The pauses after this load time, in order. Pauses that several workers saw at the same time are joined.
fn measured_pauses(paused: impl Iterator<Item = Pause>, measured_from: Nanos) -> Vec<record::Pause> {
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

/// Set-up times, for the record.
fn setup_record(context: &PassContext, times: SetupTimes, transport: usize, elapsed_s: f64) -> Setup {
    Setup {
        transport: context.endpoints[transport].transport(),
        clients: times.clients,
        elapsed_s,
        quit: times.quit.packed(),
        connect: times.connect.packed(),
        login: times.login.packed(),
        upgrade: times.upgrade.packed(),
        preload: times.preload.packed(),
    }
}

/// The record's rows for a transport's windows that belong to a pair.
fn window_rows(
    context: &PassContext,
    windows: &[WindowResult],
    sample_intervals: &[SampleInterval],
    transport: usize,
) -> Vec<WindowRow> {
    let first = windows.first().map_or(0, |window| window.at);
    let mut rows = Vec::new();
    for seen in windows {
        let plan = context.plan.windows[seen.index];
        let (Some(pair), true) = (plan.pair, plan.transport == Some(transport as u8)) else { continue };
        let position = context.plan.windows[..seen.index].iter().filter(|w| w.pair == Some(pair)).count();
        let own = sample_intervals.iter().filter(|interval| interval.window == seen.index);
        rows.push(WindowRow {
            pair,
            position: position as u32,
            started_s: (seen.at - first) as f64 / clock::SECOND as f64,
            length_s: plan.length() as f64 / clock::SECOND as f64,
            roles: roles(&seen.roles),
            cost: Cost::sum(own.map(|interval| &interval.cost)).unwrap_or_default(),
        });
    }
    rows
}

fn roles([guests, managers]: &[WindowFigures; 2]) -> Vec<WindowRole> {
    let mut all = WindowFigures::default();
    all.merge(guests);
    all.merge(managers);
    let rows = [(Some(Role::Guest), guests), (Some(Role::Manager), managers), (None, &all)];
    rows.into_iter()
        .filter(|(_, figures)| figures.requests > 0)
        .map(|(of, figures)| role(of, figures))
        .collect()
}

fn role(role: Option<Role>, figures: &WindowFigures) -> WindowRole {
    let quantiles = Statistic::ALL.iter().filter(|statistic| statistic.needs_few_samples());
    let kept: Vec<Statistic> = std::iter::once(&Statistic::Mean).chain(quantiles).copied().collect();
    WindowRole {
        role,
        requests: figures.requests,
        replies: figures.replies,
        latencies: KindStatistics::of(&figures.latencies, &kept),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_listed_once_and_as_far_as_they_touch_what_was_measured() {
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
        let found: Vec<(f64, f64)> = measured_pauses(paused.into_iter(), clock::SECOND)
            .iter()
            .map(|pause| (pause.at_s, pause.length_s))
            .collect();
        assert_eq!(found, [(0.0, 0.5), (1.95, 1.05), (4.0, 60.01)]);
    }
}
