//! The files for programs. `summary.csv` has a row for each combination of load, variant, trial, transport, group, role
//! and operation; `intervals.csv` has one for each second of a pass and transport.
//!
//! Latencies are in microseconds, and empty if a figure does not apply or has too few samples. In `summary.csv` the
//! column `unfinished` says which of them are lower bounds. In `intervals.csv` requests are counts of that second, so
//! they add up to the totals; the last row may be shorter than a second, and `length_s` says how long it is.

use super::ReportError;
use super::comparison::Summary;
use crate::domain::LatencyKind::{self, Response, Service};
use crate::domain::{ALL, Op, Role, Statistic};
use crate::record::rows::{self, Key};
use crate::record::{Interval, Pass, RunRecord, Sockets};

const SUMMARY: [&str; 12] = [
    "load",
    "variant",
    "trial",
    "transport",
    "group",
    "role",
    "op",
    "requests",
    "errors",
    "violations",
    "unfinished",
    "rate",
];

type Column = (&'static str, fn(&Pass, &Interval) -> String);

/// Other programs rely on the first 21 columns and their order; new ones are appended.
const INTERVALS: [Column; 34] = [
    ("load", |pass, _| pass.load.clone()),
    ("variant", |pass, _| pass.variant.clone()),
    ("trial", |pass, _| pass.trial.to_string()),
    ("transport", |_, interval| interval.transport.to_string()),
    ("second", |_, interval| interval.second.to_string()),
    ("offered", |_, interval| interval.offered.to_string()),
    ("achieved", |_, interval| interval.achieved.to_string()),
    ("errors", |_, interval| interval.errors.to_string()),
    ("violations", |_, interval| interval.violations.to_string()),
    ("response_p50", |_, interval| micros(interval.latencies.get((Response, Statistic::P50)))),
    ("response_p99", |_, interval| micros(interval.latencies.get((Response, Statistic::P99)))),
    ("service_p50", |_, interval| micros(interval.latencies.get((Service, Statistic::P50)))),
    ("service_p99", |_, interval| micros(interval.latencies.get((Service, Statistic::P99)))),
    ("dispatch_lag_p99", |_, interval| micros(interval.dispatch_lag_p99_ns.map(|ns| ns as f64))),
    ("server_cpu", |_, interval| decimal(interval.server_cpu)),
    ("generator_cpu", |_, interval| decimal(interval.generator_cpu)),
    // A share: 0.001 is a tenth of a percent, too coarse for steal.
    ("steal", |_, interval| interval.steal.map(|share| format!("{share:.5}")).unwrap_or_default()),
    ("server_rss_kib", |_, interval| whole(interval.server_rss_kib)),
    ("generator_rss_kib", |_, interval| whole(interval.generator_rss_kib)),
    ("bytes_sent", |_, interval| interval.bytes_sent.to_string()),
    ("bytes_received", |_, interval| interval.bytes_received.to_string()),
    ("server_descriptors", |_, interval| whole(interval.server_processes.descriptors)),
    ("generator_descriptors", |_, interval| whole(interval.generator_processes.descriptors)),
    ("server_voluntary_switches", |_, interval| whole(interval.server_processes.voluntary_switches)),
    ("server_involuntary_switches", |_, interval| whole(interval.server_processes.involuntary_switches)),
    ("generator_voluntary_switches", |_, interval| whole(interval.generator_processes.voluntary_switches)),
    ("generator_involuntary_switches", |_, interval| {
        whole(interval.generator_processes.involuntary_switches)
    }),
    ("sampled_sockets", |_, interval| sampled(interval, |sockets| sockets.sampled)),
    ("sampled_bytes_sent", |_, interval| sampled(interval, |sockets| sockets.bytes_sent)),
    ("sampled_bytes_received", |_, interval| sampled(interval, |sockets| sockets.bytes_received)),
    ("sampled_segments_sent", |_, interval| sampled(interval, |sockets| sockets.segments_sent)),
    ("sampled_segments_received", |_, interval| sampled(interval, |sockets| sockets.segments_received)),
    ("sampled_retransmits", |_, interval| sampled(interval, |sockets| sockets.retransmits)),
    ("length_s", |_, interval| decimal(Some(interval.length_s))),
];

/// The bytes of `summary.csv`.
///
/// # Errors
/// If a row could not be written.
pub(crate) fn summary(record: &RunRecord) -> Result<Vec<u8>, ReportError> {
    let record = &*record.results();
    let of = |kind: LatencyKind| {
        Statistic::ALL.iter().map(move |statistic| format!("{}_{}", kind.name(), statistic.column()))
    };
    let latencies = LatencyKind::ALL.into_iter().flat_map(of);
    let header = SUMMARY.into_iter().map(str::to_owned).chain(latencies).collect();
    let rows = rows::all(record).map(|(key, row)| summary_row(&key, &Summary::of(&row)));
    file(header, rows)
}

/// The bytes of `intervals.csv`.
///
/// # Errors
/// If a row could not be written.
pub(crate) fn intervals(record: &RunRecord) -> Result<Vec<u8>, ReportError> {
    let record = &*record.results();
    let header = INTERVALS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let row = |pass, interval| INTERVALS.iter().map(|(_, value)| value(pass, interval)).collect();
    let rows =
        record.passes.iter().flat_map(|pass| pass.intervals.iter().map(move |interval| row(pass, interval)));
    file(header, rows)
}

fn file(header: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Result<Vec<u8>, ReportError> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    for row in std::iter::once(header).chain(rows) {
        writer.write_record(row)?;
    }
    writer.into_inner().map_err(|error| ReportError::Csv(error.into_error().into()))
}

fn summary_row(key: &Key, figures: &Summary) -> Vec<String> {
    let all = |name: Option<&str>| name.unwrap_or(ALL).to_owned();
    let counts = &figures.counts;
    let mut fields = vec![
        key.load.clone(),
        key.variant.clone(),
        key.trial.map_or_else(|| ALL.to_owned(), |trial| trial.to_string()),
        key.transport.to_string(),
        all(key.group.as_deref()),
        all(key.role.map(Role::name)),
        all(key.op.map(Op::name)),
        counts.requests.to_string(),
        counts.errors.to_string(),
        counts.violations.to_string(),
        counts.unfinished.to_string(),
        decimal(figures.rate),
    ];
    for (_, summary) in figures.latencies.iter() {
        fields.extend(summary.iter().map(|(_, latency)| micros(latency.map(|latency| latency.ns))));
    }
    fields
}

/// Nanoseconds as microseconds: three decimals are exact, so no digit is noise.
fn micros(ns: Option<f64>) -> String {
    decimal(ns.map(|ns| ns / 1e3))
}

/// Three decimals, or nothing.
fn decimal(number: Option<f64>) -> String {
    number.map(|number| format!("{number:.3}")).unwrap_or_default()
}

fn whole(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn sampled(interval: &Interval, of: fn(&Sockets) -> u64) -> String {
    whole(interval.sockets.as_ref().map(of))
}
