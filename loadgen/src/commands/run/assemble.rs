//! Result of the engine → run record: adds what was asked for, where it ran, and the judgements.

use jiff::Timestamp;
use twinwire_os::process;

use crate::domain::Transport;
use crate::load::PACER_MECHANISM;
use crate::load::RunEnd;
use crate::load::engine::RunResult;
use crate::load::placement::Placement;
use crate::load::plan;
use crate::record::rows;
use crate::record::{
    Environment, LoadInfo, Probe, RunOutcome, RunRecord, SCHEMA, ScenarioInfo, Status, Verdict, VerdictLevel,
};
use crate::scenario::Document;
use crate::scenario::model::{Load, Threshold};
use crate::stats::thresholds::Extent;
use crate::stats::{losses, thresholds, verdict};
use crate::targets::Target;

/// Makes the record of a run.
#[must_use]
pub fn record(
    document: &Document,
    target: &Target,
    placement: &Placement,
    started: Timestamp,
    result: RunResult,
) -> RunRecord {
    let scenario = document.scenario();
    let mut record = RunRecord {
        schema: SCHEMA,
        twinwire: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: ScenarioInfo {
            name: scenario.name.clone(),
            about: scenario.about.clone(),
            seed: scenario.seed,
            text: document.text().to_owned(),
            transports: scenario.transports.clone(),
        },
        started: started.to_string(),
        elapsed_s: result.elapsed_s,
        outcome: RunOutcome { status: Status::Passed, message: None, interrupted: false },
        environment: environment(target, placement),
        skipped: result.skipped,
        loads: scenario
            .loads
            .iter()
            .zip(result.probes)
            .map(|(load, probes)| load_info(load, document, probes))
            .collect(),
        passes: result.passes,
        costs: Vec::new(),
        violations: result.violations,
        violations_total: result.violations_total,
        thresholds: Vec::new(),
        floor: None,
    };
    for index in 0..record.loads.len() {
        record.loads[index].verdict = verdict::verdict(&record, &record.loads[index]);
    }
    record.costs = rows::by_transport(&record);
    judge(&mut record, &scenario.thresholds, &result.end, target);
    record
}

/// Judges the thresholds, and finds the first status that applies, in the order of the exit codes.
fn judge(record: &mut RunRecord, thresholds: &[Threshold], ending: &RunEnd, target: &Target) {
    let (extent, ended, message) = match ending {
        RunEnd::Complete if record.passes.is_empty() => {
            (Extent::Cut, Some(Status::NothingRan), Some(nothing_offered(target)))
        }
        RunEnd::Complete => (Extent::Whole, None, None),
        RunEnd::Interrupted => (Extent::Cut, Some(Status::Interrupted), None),
        RunEnd::TargetLost(message) => (Extent::Cut, Some(Status::TargetLost), Some(message.clone())),
        RunEnd::SetupViolated(message, _) => (Extent::Cut, Some(Status::Violated), Some(message.clone())),
        RunEnd::MachineFailed(message) => (Extent::Cut, Some(Status::Invalid), Some(message.clone())),
        RunEnd::Aborted(threshold) => {
            let text = thresholds::text(&thresholds[*threshold]);
            let message = format!("stopped: {text} was missed for 5 s in a row");
            (Extent::Aborted, Some(Status::ThresholdMissed), Some(message))
        }
    };
    let invalid = record.loads.iter().any(|load| load.verdict.level == VerdictLevel::Invalid);
    let mut judged = thresholds::judge(record, thresholds, extent);
    if let RunEnd::Aborted(threshold) = ending {
        let threshold = &mut judged[*threshold];
        if threshold.correctness || !invalid {
            threshold.met = Some(false);
        }
    }
    let losses = losses::losses(record, thresholds);
    let message = message.or_else(|| {
        let first = losses.first()?;
        let more = match losses.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more, see the thresholds)"),
        };
        Some(format!("{}{more}", first.message))
    });
    judged.extend(losses.into_iter().map(|loss| loss.result));
    let missed = |correctness: bool| {
        judged.iter().any(|threshold| threshold.correctness == correctness && threshold.met == Some(false))
    };
    record.outcome.status = match ended {
        _ if record.violations_total > 0 => Status::Violated,
        _ if missed(true) => Status::CorrectnessMissed,
        Some(Status::TargetLost) => Status::TargetLost,
        Some(Status::Invalid) => Status::Invalid,
        _ if invalid => Status::Invalid,
        _ if missed(false) => Status::ThresholdMissed,
        Some(status) => status,
        None => Status::Passed,
    };
    record.outcome.interrupted = matches!(ending, RunEnd::Interrupted);
    record.outcome.message = message;
    record.thresholds = judged;
}

fn nothing_offered(target: &Target) -> String {
    let offered: Vec<String> = Transport::ALL
        .into_iter()
        .filter(|&transport| target.has(transport))
        .map(|transport| format!("\"{transport}\""))
        .collect();
    format!(
        "the target offers none of the scenario's transports: run it over what there is with --set 'transports=[{}]'",
        offered.join(", ")
    )
}

fn environment(target: &Target, placement: &Placement) -> Environment {
    Environment {
        os: process::os(),
        cpu: process::cpu_model().unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cpus: std::thread::available_parallelism().map_or(1, usize::from).max(placement.used().len()),
        memory_kib: process::memory_kib().unwrap_or(0),
        server_cpus: placement.server.clone(),
        generator_cpus: placement.generator.clone(),
        pacing: PACER_MECHANISM.to_owned(),
        target: target.describe(),
        embedded: matches!(target, Target::Embedded(embedded) if embedded.is_server()),
        launched: match target {
            Target::Launched(launched) => launched.launch().texts().map(str::to_owned).collect(),
            Target::Embedded(_) | Target::External { .. } => Vec::new(),
        },
    }
}

fn load_info(load: &Load, document: &Document, probes: Vec<Probe>) -> LoadInfo {
    let scenario = document.scenario();
    LoadInfo {
        name: load.name.clone(),
        model: load.model,
        in_flight: load.in_flight.get(),
        warmup_s: load.warmup.as_secs_f64(),
        duration_s: load.duration().as_secs_f64(),
        trials: load.trials,
        headline: std::ptr::eq(scenario.headline(), load),
        variants: document.variants().iter().map(plan::variant).collect(),
        clients: scenario.clients(),
        probes,
        timing: load.timing,
        verdict: Verdict::default(),
    }
}
