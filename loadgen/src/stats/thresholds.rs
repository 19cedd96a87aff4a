//! Judges thresholds on merged data: every trial, and whatever else a threshold's filter leaves open.
//!
//! A threshold that nothing can be said about is missed, not met: else a typo in a filter would pass.

use crate::record::rows::{self, Row};
use crate::record::{Cell, Latencies, Latency, Pass, RunRecord, ThresholdResult, VerdictLevel};
use crate::scenario::model::{Bound, Filter, Metric, Statistic, Threshold};

/// Judges each threshold. The loads' verdicts must stand already: in an invalid run figures are shown, but none
/// is judged.
#[must_use]
pub fn judge(record: &RunRecord, thresholds: &[Threshold]) -> Vec<ThresholdResult> {
    let invalid = record.loads.iter().any(|load| load.verdict.level == VerdictLevel::Invalid);
    thresholds
        .iter()
        .map(|threshold| {
            let mut result = judge_one(record, threshold);
            if invalid {
                result.met = None;
                result.measured_text += "; the run is not valid";
            }
            result
        })
        .collect()
}

fn judge_one(record: &RunRecord, threshold: &Threshold) -> ThresholdResult {
    let text = text(threshold);
    match measure(record, threshold) {
        Ok(measured) => ThresholdResult {
            text,
            measured: Some(measured.value),
            measured_text: measured.text(threshold.metric),
            met: Some(measured.meets(threshold.bound)),
        },
        Err(why) => ThresholdResult { text, measured: None, measured_text: why, met: Some(false) },
    }
}

/// A figure that may be a lower bound.
struct Measured {
    value: f64,
    at_least: bool,
}

impl Measured {
    fn exactly(value: f64) -> Self {
        Self { value, at_least: false }
    }

    /// A lower bound can show that a minimum is met, never that a maximum is.
    fn meets(&self, bound: Bound) -> bool {
        match bound {
            Bound::Max(max) => self.value <= max && !self.at_least,
            Bound::Min(min) => self.value >= min,
        }
    }

    fn text(&self, metric: Metric) -> String {
        let number = number(metric, self.value);
        if self.at_least { format!("≥ {number}, requests were unfinished") } else { number }
    }
}

fn measure(record: &RunRecord, threshold: &Threshold) -> Result<Measured, String> {
    let filter = &threshold.filter;
    let row = rows::merged(record, |pass, cell| matches(filter, pass, cell))
        .ok_or_else(|| "nothing matched".to_owned())?;
    match threshold.metric {
        Metric::Latency(kind, statistic) => latency(row.latencies(kind), statistic),
        Metric::Rate => rate(&row).ok_or_else(|| "nothing was measured".to_owned()),
        Metric::Errors => Ok(Measured::exactly(row.counts.errors as f64)),
        Metric::Violations => {
            // Set-up and warm-up belong to no cell, but to the whole.
            let whole = *filter == Filter::default();
            let violations = if whole { record.violations_total } else { row.counts.violations };
            Ok(Measured::exactly(violations as f64))
        }
    }
}

fn rate(row: &Row) -> Option<Measured> {
    row.rate().map(Measured::exactly)
}

fn latency(latencies: &Latencies, statistic: Statistic) -> Result<Measured, String> {
    let few = || match latencies.len() {
        0 => "no samples".to_owned(),
        1 => "too few samples: 1".to_owned(),
        samples => format!("too few samples: {samples}"),
    };
    let of = |latency: Option<Latency>| {
        latency.map(|l| Measured { value: l.ns as f64, at_least: l.at_least }).ok_or_else(few)
    };
    match statistic {
        Statistic::Mean => {
            // Unfinished requests pull the mean down as they do the maximum.
            let at_least = latencies.max().is_some_and(|max| max.at_least);
            latencies.mean_ns().map(|value| Measured { value, at_least }).ok_or_else(few)
        }
        Statistic::P50 => of(latencies.quantile(0.5)),
        Statistic::P90 => of(latencies.quantile(0.9)),
        Statistic::P99 => of(latencies.quantile(0.99)),
        Statistic::P999 => of(latencies.quantile(0.999)),
        Statistic::Max => of(latencies.max()),
    }
}

fn matches(filter: &Filter, pass: &Pass, cell: &Cell) -> bool {
    filter.load.as_ref().is_none_or(|load| *load == pass.load)
        && filter.transport.is_none_or(|transport| transport.name() == cell.transport)
        && filter.group.as_ref().is_none_or(|group| *group == cell.group)
        && filter.role.is_none_or(|role| role.name() == cell.role)
        && filter.op.is_none_or(|op| op.name() == cell.op)
}

/// `response.p99 ≤ 20 ms where load=paced, op=get`.
fn text(threshold: &Threshold) -> String {
    let metric = match threshold.metric {
        Metric::Latency(kind, statistic) => format!("{}.{}", kind.name(), statistic_name(statistic)),
        Metric::Rate => "rate".to_owned(),
        Metric::Errors => "errors".to_owned(),
        Metric::Violations => "violations".to_owned(),
    };
    let bound = match threshold.bound {
        Bound::Max(max) => format!("≤ {}", number(threshold.metric, max)),
        Bound::Min(min) => format!("≥ {}", number(threshold.metric, min)),
    };
    let filter = &threshold.filter;
    let parts: Vec<String> = [
        ("load", filter.load.as_deref()),
        ("transport", filter.transport.map(crate::scenario::model::Transport::name)),
        ("group", filter.group.as_deref()),
        ("role", filter.role.map(crate::scenario::model::Role::name)),
        ("op", filter.op.map(crate::scenario::model::Op::name)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some(format!("{name}={}", value?)))
    .collect();
    let wheres = if parts.is_empty() { String::new() } else { format!(" where {}", parts.join(", ")) };
    format!("{metric} {bound}{wheres}")
}

fn statistic_name(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::Mean => "mean",
        Statistic::P50 => "p50",
        Statistic::P90 => "p90",
        Statistic::P99 => "p99",
        Statistic::P999 => "p99.9",
        Statistic::Max => "max",
    }
}

/// A figure with its unit.
fn number(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Latency(..) => duration(value),
        Metric::Rate => format!("{} requests/s", trimmed(value, 1)),
        Metric::Errors | Metric::Violations => trimmed(value, 1),
    }
}

fn duration(ns: f64) -> String {
    match ns {
        1e9.. => format!("{} s", trimmed(ns / 1e9, 3)),
        1e6.. => format!("{} ms", trimmed(ns / 1e6, 3)),
        _ => format!("{} µs", trimmed(ns / 1e3, 3)),
    }
}

/// At most so many decimals.
fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
