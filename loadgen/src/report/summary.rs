//! `summary.csv`: a row for each combination of load, variant, trial, transport, group, role and operation.
//!
//! For programs: latencies in microseconds, empty where a figure does not apply or has too few samples. Which of
//! them are lower bounds is told by the column `unfinished`.

use super::ReportError;
use super::comparison::Summary;
use crate::domain::{ALL, LatencyKind, Op, Role, Statistic};
use crate::record::RunRecord;
use crate::record::rows::{self, Key};

const LEAD: [&str; 12] = [
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

/// The file's bytes.
///
/// # Errors
/// Where a row could not be written.
pub fn csv(record: &RunRecord) -> Result<Vec<u8>, ReportError> {
    let record = &*record.results();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header())?;
    for (key, row) in rows::all(record) {
        writer.write_record(fields(&key, &Summary::of(&row)))?;
    }
    writer.into_inner().map_err(|error| ReportError::Csv(error.into_error().into()))
}

fn header() -> Vec<String> {
    let of = |kind: LatencyKind| {
        Statistic::ALL.iter().map(move |statistic| format!("{}_{}", kind.name(), statistic.column()))
    };
    let latencies = LatencyKind::ALL.into_iter().flat_map(of);
    LEAD.into_iter().map(str::to_owned).chain(latencies).collect()
}

fn fields(key: &Key, figures: &Summary) -> Vec<String> {
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
pub(crate) fn micros(ns: Option<f64>) -> String {
    decimal(ns.map(|ns| ns / 1e3))
}

/// Three decimals, or nothing.
pub(crate) fn decimal(number: Option<f64>) -> String {
    number.map(|number| format!("{number:.3}")).unwrap_or_default()
}
