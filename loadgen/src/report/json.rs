//! What `run --json` prints for one run: the figures of the record without its histograms.
//!
//! Unlike `run.json` it is not meant to be read back; latencies are microseconds, what does not apply is null.

use serde::{Serialize, Serializer};

use super::comparison::{CostSummary, LatencySummary, Summary};
use super::{comparison, floor};
use crate::domain::{ALL, Op, PerKind, Role, Transport};
use crate::record::rows::{self, Key, Selection};
use crate::record::{
    FloorLayout, Latency, LoadInfo, RunRecord, Skipped, Status, ThresholdResult, Verdict, Violation,
};

#[derive(Debug, Serialize)]
pub struct JsonRun<'a> {
    /// Version of the record's format.
    pub schema: u32,
    /// The scenario's name.
    pub scenario: &'a str,
    pub seed: u64,
    /// UTC instant of the start, RFC 3339.
    pub started: &'a str,
    /// The report folder.
    pub folder: &'a str,
    /// How it ended.
    pub status: Status,
    /// What happened, if the status alone does not say it.
    pub message: Option<&'a str>,
    /// Whether it was cut short.
    pub interrupted: bool,
    /// The exit code for it alone.
    pub exit_code: u8,
    /// A judgement for each load.
    pub verdicts: Vec<LoadVerdict<'a>>,
    /// What was left out.
    pub skipped: &'a [Skipped],
    /// Every row of `summary.csv`.
    pub rows: Vec<JsonRow>,
    /// What a request cost, for each load, variant and transport.
    pub cost: Vec<JsonCost<'a>>,
    /// The first violations.
    pub violations: &'a [Violation],
    /// All of them, counted.
    pub violations_total: u64,
    /// The thresholds with their judgement.
    pub thresholds: &'a [ThresholdResult],
    /// The harness's own floor in this run's environment; nothing is subtracted.
    pub floor: Option<&'a FloorLayout>,
    /// Why there is no floor.
    pub floor_missing: Option<String>,
}

/// A load's judgement.
#[derive(Debug, Serialize)]
pub struct LoadVerdict<'a> {
    /// The load's name.
    pub load: &'a str,
    /// The judgement.
    #[serde(flatten)]
    pub verdict: &'a Verdict,
}

/// A row of the summary.
#[derive(Debug, Serialize)]
pub struct JsonRow {
    /// Load's name.
    pub load: String,
    /// Variant's label; empty if nothing is swept.
    pub variant: String,
    /// The trial's number, or "all".
    pub trial: Trial,
    /// Transport's name.
    pub transport: Transport,
    /// Group's name, or "all".
    pub group: String,
    /// Role's name, or "all".
    pub role: &'static str,
    /// Operation's name, or "all".
    pub op: &'static str,
    /// Requests of the measured part.
    pub requests: u64,
    /// Of them, time-outs, resets and refused connections.
    pub errors: u64,
    /// Of them, answered wrongly.
    pub violations: u64,
    /// Of them, unanswered at the end.
    pub unfinished: u64,
    /// Answered requests a second.
    pub rate: Option<f64>,
    #[serde(flatten)]
    pub latencies: PerKind<JsonLatency>,
}

/// Which trial a row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// One of them, counted from 1; a number in JSON.
    Number(u32),
    /// All of them merged; "all" in JSON.
    All,
}

impl Serialize for Trial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(trial) => serializer.serialize_u32(*trial),
            Self::All => serializer.serialize_str(ALL),
        }
    }
}

/// A latency in microseconds.
#[derive(Debug, Serialize)]
pub struct JsonLatency {
    /// Number of samples.
    pub samples: u64,
    /// Each statistic under its column's name.
    #[serde(flatten, serialize_with = "as_map")]
    pub statistics: Vec<(&'static str, Option<f64>)>,
    /// Which of the above are only lower bounds, because requests were unfinished.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub at_least: Vec<&'static str>,
}

/// What a request cost.
#[derive(Debug, Serialize)]
pub struct JsonCost<'a> {
    /// Load's name.
    pub load: &'a str,
    /// Variant's label.
    pub variant: &'a str,
    /// Transport's name.
    pub transport: Transport,
    /// CPU of both sides for each reply, µs.
    pub cpu_us: Option<f64>,
    /// The server's part, µs; on loopback the split is approximate.
    pub server_cpu_us: Option<f64>,
    /// The generator's part, µs.
    pub generator_cpu_us: Option<f64>,
    /// The server's CPU in cores.
    pub server_cores: Option<f64>,
    /// The generator's CPU in cores.
    pub generator_cores: Option<f64>,
    /// Share (0 to 1) of the used CPUs' time taken by the host.
    pub steal: Option<f64>,
    /// Share of the used CPUs' time taken by other programs.
    pub others: Option<f64>,
    /// Bytes sent for each reply, framing included.
    pub bytes_sent: Option<f64>,
    /// Bytes received for each reply.
    pub bytes_received: Option<f64>,
    /// TCP segments for each reply, both directions, estimated from a sample of sockets.
    pub segments: Option<f64>,
    /// Segments that the sampled sockets sent again.
    pub retransmits: Option<u64>,
    /// The server's context switches for each reply.
    pub server_switches: Option<f64>,
    /// The generator's context switches for each reply.
    pub generator_switches: Option<f64>,
}

/// The figures of one run whose report lies in `folder`.
#[must_use]
pub fn run<'a>(record: &'a RunRecord, folder: &'a str) -> JsonRun<'a> {
    let results = record.results();
    JsonRun {
        schema: record.schema,
        scenario: &record.scenario.name,
        seed: record.scenario.seed,
        started: &record.started,
        folder,
        status: record.outcome.status,
        message: record.outcome.message.as_deref(),
        interrupted: record.outcome.interrupted,
        exit_code: record.outcome.status.exit_code(),
        verdicts: record.loads.iter().map(|l| LoadVerdict { load: &l.name, verdict: &l.verdict }).collect(),
        skipped: &record.skipped,
        rows: rows::all(&results).map(|(key, row)| json_row(key, &Summary::of(&row))).collect(),
        cost: record.loads.iter().flat_map(|load| costs(record, load)).collect(),
        violations: &record.violations,
        violations_total: record.violations_total,
        thresholds: &record.thresholds,
        floor: comparison::floor(record),
        floor_missing: floor::missing(record),
    }
}

fn json_row(key: Key, figures: &Summary) -> JsonRow {
    JsonRow {
        load: key.load,
        variant: key.variant,
        trial: key.trial.map_or(Trial::All, Trial::Number),
        transport: key.transport,
        group: key.group.unwrap_or_else(|| ALL.to_owned()),
        role: key.role.map_or(ALL, Role::name),
        op: key.op.map_or(ALL, Op::name),
        requests: figures.counts.requests,
        errors: figures.counts.errors,
        violations: figures.counts.violations,
        unfinished: figures.counts.unfinished,
        rate: rounded(figures.rate),
        latencies: PerKind::from_fn(|kind| latency(&figures.latencies[kind])),
    }
}

fn latency(summary: &LatencySummary) -> JsonLatency {
    let micros = |latency: Option<Latency>| micros(latency.map(|latency| latency.ns));
    let bounds = summary.iter().filter(|(_, latency)| latency.is_some_and(|latency| latency.at_least));
    JsonLatency {
        samples: summary.samples,
        statistics: summary.iter().map(|(statistic, ns)| (statistic.column(), micros(ns))).collect(),
        at_least: bounds.map(|(statistic, _)| statistic.column()).collect(),
    }
}

fn as_map<S: Serializer>(
    statistics: &[(&'static str, Option<f64>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(statistics.iter().copied())
}

fn costs<'a>(record: &'a RunRecord, load: &'a LoadInfo) -> Vec<JsonCost<'a>> {
    let mut costs = Vec::new();
    for variant in &load.variants {
        for &transport in &record.scenario.transports {
            let of = Selection::of(&load.name, &variant.label).over(transport);
            let Some(cost) = of.cost(&record.passes) else { continue };
            let cost = CostSummary::of(&cost);
            costs.push(JsonCost {
                load: &load.name,
                variant: &variant.label,
                transport,
                cpu_us: micros(cost.both_ns),
                server_cpu_us: micros(cost.server_ns),
                generator_cpu_us: micros(cost.generator_ns),
                server_cores: rounded(cost.server_cores),
                generator_cores: rounded(cost.generator_cores),
                steal: cost.steal,
                others: cost.others,
                bytes_sent: rounded(cost.bytes_sent),
                bytes_received: rounded(cost.bytes_received),
                segments: rounded(cost.segments),
                retransmits: cost.retransmits,
                server_switches: rounded(cost.server_switches),
                generator_switches: rounded(cost.generator_switches),
            });
        }
    }
    costs
}

fn micros(ns: Option<f64>) -> Option<f64> {
    rounded(ns.map(|ns| ns / 1e3))
}

/// Three decimals, as in the CSV files.
fn rounded(number: Option<f64>) -> Option<f64> {
    number.map(|number| (number * 1e3).round() / 1e3)
}
