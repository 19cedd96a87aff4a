//! Whether a load's figures may be trusted, with the reasons in numbers.
//!
//! The generator is judged only by its own part: the time from an intended instant until it woke for it. Waiting behind
//! a slow server is the server's doing and never counts here.

use crate::domain::{Side, Timing, Transport};
use crate::record::lateness;
use crate::record::rows::{Row, Selection};
use crate::record::{
    Cell, Cost, Counts, Latencies, Ledger, LoadInfo, Pass, Pause, Probe, RunRecord, Verdict, VerdictLevel,
};
use crate::text::micros;

/// Share of the offered requests that a server which keeps up has answered a second after the load's end.
const ANSWERED_SHARE_MIN: f64 = 0.99;

/// Share of the offered requests that must have been dispatched.
const DISPATCHED_SHARE_MIN: f64 = 0.99;

/// The generator's p99 lateness in terms of the p99 response: tails are allowed more than medians, for both are rare
/// and seldom fall on the same request.
const LAG_P99_SHARE_MAX: f64 = 0.25;

/// Share of CPU time that the host may steal.
const STEAL_SHARE_MAX: f64 = 0.02;

/// Share of the used CPUs' time that other programs may take. It is larger than that of stolen time because it includes
/// what the kernel does on its own and between two programs.
const OTHERS_SHARE_MAX: f64 = 0.10;

/// Share of all the machine's CPUs that may be busy if only the server's address is known: beyond it no CPU is free for
/// a generator that has to wake at once.
const BUSY_SHARE_MAX: f64 = 0.95;

/// Largest difference between the halves of a run: more is a trend, not one level.
const HALVES_RATIO_MAX: f64 = 1.20;

/// Standard deviations of chance (of two Poisson counts) that the halves may differ by anyway, so that a short
/// run of few requests is not called unsteady.
const HALVES_SIGMAS: f64 = 4.0;

/// A side that used this share of its CPUs was full: the rest goes to the kernel's interrupts and to idling
/// between two events.
const FULL_SHARE: f64 = 0.90;

/// Judges one load from its passes; ignores the load's own `verdict`.
#[must_use]
pub fn verdict(record: &RunRecord, load: &LoadInfo) -> Verdict {
    // The headline of a closed load is counted from the actual send, which a late wake only puts off.
    let late = if load.model.is_open() { VerdictLevel::Invalid } else { VerdictLevel::Suspect };
    judged(record, load, late)
}

/// Judges one load of a calibration. A late generator is what it measures, and spoils no figure of a target.
#[must_use]
pub fn of_floor(record: &RunRecord, load: &LoadInfo) -> Verdict {
    judged(record, load, VerdictLevel::Suspect)
}

/// `late`: the most that a generator makes of a load that wakes too late in the median.
fn judged(record: &RunRecord, load: &LoadInfo, late: VerdictLevel) -> Verdict {
    let timed = load.timing == Timing::Judged;
    let level = if timed { VerdictLevel::Valid } else { VerdictLevel::Unjudged };
    let mut judge = Judge { named: false, level, reasons: Vec::new(), variants: Vec::new() };
    let passes: Vec<&Pass> = record.passes.iter().filter(|pass| pass.load == load.name).collect();
    if passes.is_empty() {
        // Cut before it began: nothing false was measured, and nothing else either.
        judge.suspect(Subject::default(), "nothing was measured");
    }
    let experiments = experiments(&passes);
    judge.named = experiments.len() > 1;
    for experiment in &experiments {
        if timed {
            pauses(&mut judge, experiment);
            dispatch(&mut judge, load, late, experiment);
            keeps_rate(&mut judge, record, load, experiment);
            taken_away(&mut judge, record, experiment);
            halves(&mut judge, load, experiment);
            samples(&mut judge, experiment);
        }
        clients(&mut judge, experiment);
        ledger(&mut judge, experiment);
        checked(&mut judge, experiment);
    }
    if timed {
        probes(&mut judge, load);
        shared_cpu(&mut judge, record);
    }
    let saturated = if load.model.is_open() {
        fell_behind(record, &experiments)
    } else {
        saturated(record, &experiments)
    };
    // A generator that did not do its part has not shown the server's limit.
    let shown = |side: &Side| *side == Side::Generator || judge.level != VerdictLevel::Invalid;
    let saturated = saturated.filter(shown).filter(|_| timed);
    let Judge { level, reasons, mut variants, .. } = judge;
    if load.variants.len() < 2 {
        variants.clear();
    }
    Verdict { level, reasons, variants, saturated }
}

/// Passes that measure the same thing: one variant over one transport, or over all in a mixed load.
pub(super) struct Experiment<'a> {
    pub(super) name: String,
    pub(super) passes: Vec<&'a Pass>,
}

/// What a reason is about; by default the whole load.
#[derive(Clone, Copy, Default)]
struct Subject<'a> {
    /// Shown before the reason where a load has several experiments.
    name: &'a str,
    variant: Option<&'a str>,
}

impl Experiment<'_> {
    fn subject(&self) -> Subject<'_> {
        let variant = self.passes.first().map(|pass| pass.variant.as_str());
        Subject { name: &self.name, variant: variant.filter(|variant| !variant.is_empty()) }
    }
}

pub(super) fn experiments<'a>(passes: &[&'a Pass]) -> Vec<Experiment<'a>> {
    let mut experiments: Vec<Experiment<'a>> = Vec::new();
    for pass in passes {
        let name = name(&pass.transports, &pass.variant);
        match experiments.iter_mut().find(|known| known.name == name) {
            Some(known) => known.passes.push(pass),
            None => experiments.push(Experiment { name, passes: vec![pass] }),
        }
    }
    experiments
}

/// The experiment's name for people.
pub(super) fn name(transports: &[Transport], variant: &str) -> String {
    let transports = transports.iter().map(|transport| transport.name()).collect::<Vec<_>>().join(" with ");
    if variant.is_empty() { transports } else { format!("{transports} [{variant}]") }
}

struct Judge {
    /// Whether reasons say which experiment they are about.
    named: bool,
    level: VerdictLevel,
    reasons: Vec<String>,
    /// By reason, the variant that it is about.
    variants: Vec<Option<String>>,
}

impl Judge {
    fn suspect(&mut self, subject: Subject<'_>, reason: &str) {
        self.add(VerdictLevel::Suspect, subject, reason);
    }

    fn invalid(&mut self, subject: Subject<'_>, reason: &str) {
        self.add(VerdictLevel::Invalid, subject, reason);
    }

    fn add(&mut self, level: VerdictLevel, Subject { name, variant }: Subject<'_>, reason: &str) {
        self.level = self.level.max(level);
        self.variants.push(variant.map(str::to_owned));
        let named = self.named && !name.is_empty();
        self.reasons.push(if named { format!("{name}: {reason}") } else { reason.to_owned() });
    }
}

/// Every request is answered, failed or unfinished, and every reply was checked; otherwise the harness itself is at
/// fault.
fn ledger(judge: &mut Judge, experiment: &Experiment<'_>) {
    let balances = |pass: &&Pass| {
        let ledger = &pass.ledger;
        ledger.requests == ledger.replies + ledger.errors + ledger.unfinished
            && ledger.checked == ledger.replies
    };
    if let Some(pass) = experiment.passes.iter().find(|pass| !balances(pass)) {
        let Ledger { requests, replies, errors, unfinished, checked, .. } = pass.ledger;
        judge.invalid(
            experiment.subject(),
            &format!(
                "the ledger does not balance: {requests} requests, {replies} replies ({checked} checked), \
                 {errors} errors, {unfinished} unfinished; this is a bug in twinwire"
            ),
        );
    }
}

/// A pass that ran to its end without a checked reply says nothing.
fn checked(judge: &mut Judge, experiment: &Experiment<'_>) {
    let whole = || experiment.passes.iter().filter(|pass| pass.complete);
    let mut transports: Vec<Transport> = whole().flat_map(|pass| &pass.transports).copied().collect();
    transports.sort_unstable();
    transports.dedup();
    for transport in transports {
        let clients = |pass: &&&Pass| pass.setup.iter().all(|s| s.transport != transport || s.clients > 0);
        if whole().filter(clients).count() == 0 {
            continue;
        }
        let cells = experiment.passes.iter().flat_map(|pass| &pass.cells);
        let mut sum = Counts::default();
        cells.filter(|cell| cell.transport == transport).for_each(|cell| sum.add(&cell.counts));
        if sum.requests <= sum.errors + sum.unfinished {
            let mixed = experiment.passes.iter().any(|pass| pass.is_mixed());
            let over = if mixed { format!(" over {transport}") } else { String::new() };
            let why = match sum.requests {
                0 => "no request fell into the measured part: make it longer, or raise the rate".to_owned(),
                requests => format!("of {requests} requests none was answered"),
            };
            judge.invalid(experiment.subject(), &format!("no reply{over} was checked: {why}"));
        }
    }
}

/// Most pauses that a reason names; the record has them all.
const PAUSES_NAMED: usize = 5;

/// While the harness stood still, it neither sent what was due nor read what had come: what it then measures is itself.
fn pauses(judge: &mut Judge, experiment: &Experiment<'_>) {
    let pauses =
        experiment.passes.iter().flat_map(|pass| pass.pauses.iter().map(move |pause| (*pass, pause)));
    let pauses: Vec<(&Pass, &Pause)> = pauses.collect();
    if pauses.is_empty() {
        return;
    }
    let mut named: Vec<String> = pauses
        .iter()
        .take(PAUSES_NAMED)
        .map(|(pass, Pause { at_s, length_s })| {
            format!("for {length_s:.2} s from second {at_s:.2} of trial {}", pass.trial)
        })
        .collect();
    if let more @ 1.. = pauses.len() - named.len() {
        named.push(format!("{more} times more"));
    }
    judge.invalid(
        experiment.subject(),
        &format!(
            "the harness itself stood still {}: it was stopped, asleep or without a CPU, and what it measured then is \
             not the server's",
            named.join(", ")
        ),
    );
}

/// A rate that was probed while the harness stood still is not the share of the server's limit that was asked for.
fn probes(judge: &mut Judge, load: &LoadInfo) {
    let paused = load.probes.iter().filter(|probe| probe.paused_s > 0.0);
    for Probe { variant, transports, paused_s, .. } in paused {
        let over = name(transports, variant);
        judge.invalid(
            Subject { name: "", variant: Some(variant) },
            &format!(
                "the harness itself stood still for {paused_s:.2} s while it probed the rate over {over}, and did so at each \
                 try: the rate is not the share that was asked for"
            ),
        );
    }
}

/// What was offered must have been dispatched, and in time. Closed loads are paced only by their think time;
/// without one they have no dispatch lag.
fn dispatch(judge: &mut Judge, load: &LoadInfo, late: VerdictLevel, experiment: &Experiment<'_>) {
    let mut lag = Latencies::default();
    experiment.passes.iter().for_each(|pass| lag.merge(&pass.dispatch_lag));
    let open = load.model.is_open();
    let row = row(experiment);
    let offered: u64 =
        experiment.passes.iter().flat_map(|pass| &pass.intervals).map(|interval| interval.offered).sum();
    let sum = |of: fn(&Pass) -> u64| experiment.passes.iter().map(|pass| of(pass)).sum::<u64>();
    let of_lost = sum(|pass| pass.due_of_lost);
    let offered = offered.max(row.counts.requests) + of_lost;
    // Requests that waited for the server to the end could not be dispatched: that is the server's doing.
    let dispatched = lag.len() + sum(|pass| pass.backlog.never_sent);
    if open && (dispatched as f64) < DISPATCHED_SHARE_MIN * offered as f64 {
        let share = dispatched as f64 / offered as f64 * 100.0;
        let why = match of_lost {
            0 => String::new(),
            _ => format!("; {of_lost} of them were due from clients that were lost"),
        };
        judge.invalid(
            experiment.subject(),
            &format!(
                "only {share:.1} % of the {offered} offered requests were dispatched (at least 99 % must be){why}"
            ),
        );
    }
    let total =
        if row.latencies.response.is_empty() { &row.latencies.service } else { &row.latencies.response };
    let quantiles = |q: f64| Some((lag.quantile(q)?.ns, total.quantile(q)?.ns));
    if let Some((lag, total)) = quantiles(0.5)
        && let Some((level, allowed)) = lateness::judge(lag, total)
    {
        judge.add(
            late.min(level),
            experiment.subject(),
            &format!(
                "the generator woke {} late in the median, {:.1} % of the median response of {} ({allowed})",
                micros(lag),
                lag / total * 100.0,
                micros(total)
            ),
        );
    }
    if let Some((lag, total)) = quantiles(0.99)
        && lag > LAG_P99_SHARE_MAX * total
    {
        judge.suspect(
            experiment.subject(),
            &format!(
                "the generator's p99 lateness of {} is {:.1} % of the p99 response of {} (25 % are allowed)",
                micros(lag),
                lag / total * 100.0,
                micros(total)
            ),
        );
    }
}

/// All requests of an experiment.
pub(super) fn row(experiment: &Experiment<'_>) -> Row {
    Selection::default().row(experiment.passes.iter().copied()).unwrap_or_default()
}

/// What the host and other programs took of the CPUs while they were measured.
fn taken_away(judge: &mut Judge, record: &RunRecord, experiment: &Experiment<'_>) {
    let share = |of: fn(&Cost) -> Option<f64>| {
        let known = || experiment.passes.iter().filter_map(|pass| Some((of(&pass.cost)?, pass.cost.seconds)));
        let seconds: f64 = known().map(|(_, seconds)| seconds).sum();
        // Without a reading the share is not a number, and every comparison with it is false.
        known().map(|(share, seconds)| share * seconds).sum::<f64>() / seconds
    };
    let mut weigh = |who: &str, share: f64, max: f64| {
        if share > max {
            let (percent, allowed) = (share * 100.0, max * 100.0);
            let reason =
                format!("{who} took {percent:.1} % of the used CPUs' time away ({allowed:.0} % are allowed)");
            judge.suspect(experiment.subject(), &reason);
        }
    };
    weigh("the host", share(|cost| cost.steal), STEAL_SHARE_MAX);
    if record.environment.started_target() {
        // Without the server's part the rest is not that of others.
        let others = |cost: &Cost| cost.others.filter(|_| cost.server_cpu_ns.is_some());
        weigh("other programs", share(others), OTHERS_SHARE_MAX);
        return;
    }
    // A target at a given address may run here or elsewhere: its CPU time cannot be separated from that of others. Yet
    // if no CPU time is left over, the generator had to wait for its turn.
    let costs = || experiment.passes.iter().map(|pass| &pass.cost);
    let ours_s = costs().filter_map(|cost| cost.generator_cpu_ns).sum::<u64>() as f64 / 1e9;
    let had_s = costs().map(|cost| cost.seconds).sum::<f64>() * record.environment.cpus as f64;
    let others = share(|cost| cost.others);
    let busy = others + share(|cost| cost.steal) + ours_s / had_s;
    if busy > BUSY_SHARE_MAX && full_side(record, &experiment.passes) != Some(Side::Generator) {
        judge.suspect(
            experiment.subject(),
            &format!(
                "this machine's CPUs were {:.1} % busy, {:.1} % with other programs (the target among them, if it runs \
                 here): the generator had to wait for a CPU",
                busy * 100.0,
                others * 100.0
            ),
        );
    }
}

/// Compares what was achieved in the two halves of the passes, for each transport.
fn halves(judge: &mut Judge, load: &LoadInfo, experiment: &Experiment<'_>) {
    let mut transports: Vec<Transport> =
        experiment.passes.iter().flat_map(|pass| &pass.transports).copied().collect();
    transports.sort_unstable();
    transports.dedup();
    for transport in transports {
        let mut achieved = [0.0, 0.0];
        let mut offered = [0.0, 0.0];
        for pass in &experiment.passes {
            let middle = pass.measured_s / 2.0;
            for interval in pass.intervals.iter().filter(|interval| interval.transport == transport) {
                let length = interval.length_s.max(f64::MIN_POSITIVE);
                let first = ((middle - f64::from(interval.second)) / length).clamp(0.0, 1.0);
                for (half, part) in [(0, first), (1, 1.0 - first)] {
                    achieved[half] += part * interval.achieved as f64;
                    offered[half] += part * interval.offered as f64;
                }
            }
        }
        // A ramp offers more in one half than in the other: what counts is the share that was achieved.
        let planned = load.model.is_open() && offered.iter().all(|offered| *offered > 0.0);
        let level = |half: usize| if planned { achieved[half] / offered[half] } else { achieved[half] };
        let (low, high) = (level(0).min(level(1)), level(0).max(level(1)));
        let by_chance = HALVES_SIGMAS * (achieved[0] + achieved[1]).sqrt();
        let unsteady = planned || (achieved[0] - achieved[1]).abs() > by_chance;
        if unsteady && high > HALVES_RATIO_MAX * low {
            let half = |half: usize| {
                let due = if planned { format!(" of {:.0}", offered[half]) } else { String::new() };
                format!("{:.0}{due}", achieved[half])
            };
            let difference = match high / low - 1.0 {
                finite if finite.is_finite() => format!(", a difference of {:.0} %", finite * 100.0),
                _ => String::new(),
            };
            let mixed = experiment.passes.iter().any(|pass| pass.is_mixed());
            judge.suspect(
                Subject {
                    name: if mixed { transport.name() } else { &experiment.name },
                    ..experiment.subject()
                },
                &format!(
                    "the first half achieved {} requests, the second {}{difference} (20 % are allowed)",
                    half(0),
                    half(1)
                ),
            );
        }
    }
}

fn clients(judge: &mut Judge, experiment: &Experiment<'_>) {
    let sum = |of: fn(&Pass) -> u32| experiment.passes.iter().map(|pass| u64::from(of(pass))).sum::<u64>();
    let (lost, all) = (sum(|pass| pass.clients_lost), sum(|pass| pass.clients));
    if lost > 0 {
        judge.suspect(experiment.subject(), &format!("{lost} of {all} clients were lost before the end"));
    }
    let cut = experiment.passes.iter().filter(|pass| !pass.complete).count();
    if cut > 0 {
        judge.suspect(
            experiment.subject(),
            &format!("{cut} of {} trials were cut short", experiment.passes.len()),
        );
    }
}

fn samples(judge: &mut Judge, experiment: &Experiment<'_>) {
    // One request may be in several histograms; a response contains its lag and its service.
    let of_cell = |cell: &Cell| {
        cell.latencies
            .response
            .saturated()
            .max(cell.latencies.service.saturated())
            .max(cell.latencies.lag.saturated())
    };
    let of_pass = |pass: &&Pass| {
        let cells: u64 = pass.cells.iter().map(of_cell).sum();
        cells.max(pass.dispatch_lag.saturated())
    };
    let saturated: u64 = experiment.passes.iter().map(of_pass).sum();
    if saturated > 0 {
        judge.suspect(
            experiment.subject(),
            &format!("{saturated} latencies were longer than a histogram holds (1 h)"),
        );
    }
}

fn shared_cpu(judge: &mut Judge, record: &RunRecord) {
    let environment = &record.environment;
    let shared: Vec<String> = environment
        .server_cpus
        .iter()
        .filter(|cpu| environment.generator_cpus.contains(cpu))
        .map(usize::to_string)
        .collect();
    if !shared.is_empty() {
        judge.suspect(Subject::default(), &format!("server and generator shared CPU {}", shared.join(", ")));
    }
    let unconfined = environment.server_cpus.is_empty() || environment.generator_cpus.is_empty();
    if environment.started_target() && unconfined {
        judge.suspect(Subject::default(), "server and generator were not confined to CPUs of their own");
    }
}

/// The side whose CPUs were full; the generator if both were, since the server's limit is then unknown.
fn saturated(record: &RunRecord, experiments: &[Experiment<'_>]) -> Option<Side> {
    let sides = || experiments.iter().filter_map(|experiment| full_side(record, &experiment.passes));
    sides().find(|side| *side == Side::Generator).or_else(|| sides().next())
}

/// Whether more was left unfinished than a server that keeps up leaves.
pub(super) fn is_unfinished(counts: &Counts) -> bool {
    counts.unfinished as f64 > (1.0 - ANSWERED_SHARE_MIN) * counts.requests as f64
}

/// Whether not all that was offered was answered, or was only because the load had ended: a backlog that stands is one
/// that grows, or that the end alone took away.
fn is_behind(experiment: &Experiment<'_>) -> bool {
    let counts = row(experiment).counts;
    let standing: u64 = experiment.passes.iter().map(|pass| pass.backlog.standing).sum();
    is_unfinished(&counts) || standing as f64 > (1.0 - ANSWERED_SHARE_MIN) * counts.requests as f64
}

/// If the generator's CPUs were full, requests may have waited for it and not for the server.
fn keeps_rate(judge: &mut Judge, record: &RunRecord, load: &LoadInfo, experiment: &Experiment<'_>) {
    let full = || full_side(record, &experiment.passes) == Some(Side::Generator);
    if load.model.is_open() && is_behind(experiment) && full() {
        let Counts { requests, unfinished, .. } = row(experiment).counts;
        let standing: u64 = experiment.passes.iter().map(|pass| pass.backlog.standing).sum();
        let what = if unfinished >= standing {
            format!("{unfinished} of the {requests} offered requests were never answered")
        } else {
            format!("{standing} of the {requests} offered requests were still waiting at the end")
        };
        judge.invalid(
            experiment.subject(),
            &format!("the generator's CPU was full, and {what}: it cannot offer this rate here"),
        );
    }
}

/// The side that could not keep up with an open load, if any: the generator if its own CPUs were full, else the server.
fn fell_behind(record: &RunRecord, experiments: &[Experiment<'_>]) -> Option<Side> {
    let behind = experiments.iter().find(|experiment| is_behind(experiment))?;
    Some(full_side(record, &behind.passes).unwrap_or(Side::Server))
}

/// The side whose CPUs these passes filled; the generator if both were full.
#[must_use]
pub fn full_side(record: &RunRecord, passes: &[&Pass]) -> Option<Side> {
    let environment = &record.environment;
    // A thread uses one CPU at most, however many there are for it.
    let workers = |pass: &Pass| pass.workers as usize;
    let servers =
        if environment.server_cpus.is_empty() { environment.cpus } else { environment.server_cpus.len() };
    let full = |cpus: &dyn Fn(&Pass) -> usize, cpu_ns: fn(&Cost) -> Option<u64>| {
        let known = || passes.iter().filter_map(|pass| Some((cpu_ns(&pass.cost)?, pass)));
        let used_s = known().map(|(ns, _)| ns as f64 / 1e9).sum::<f64>();
        let had_s = known().map(|(_, pass)| pass.cost.seconds * cpus(pass) as f64).sum::<f64>();
        had_s > 0.0 && used_s >= FULL_SHARE * had_s
    };
    if full(&workers, |cost| cost.generator_cpu_ns) {
        Some(Side::Generator)
    } else if full(&|_| servers, |cost| cost.server_cpu_ns) {
        Some(Side::Server)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
