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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;
    use crate::scenario::model::{LatencyKind, Op, Role, Transport};

    const P99: Metric = Metric::Latency(LatencyKind::Response, Statistic::P99);

    fn judged(record: &RunRecord, metric: Metric, bound: Bound, filter: Filter) -> ThresholdResult {
        judge(record, &[Threshold { metric, filter, bound, abort: false }]).remove(0)
    }

    fn guests_get() -> Filter {
        Filter {
            load: Some("paced".into()),
            transport: Some(Transport::Tcp),
            role: Some(Role::Guest),
            op: Some(Op::Get),
            ..Filter::default()
        }
    }

    #[test]
    fn a_latency_is_judged_over_all_trials() {
        let record = fixture::record();
        let met = judged(&record, P99, Bound::Max(20e6), guests_get());
        assert_eq!(met.text, "response.p99 ≤ 20 ms where load=paced, transport=tcp, role=guest, op=get");
        assert_eq!(met.met, Some(true));
        let key = rows::keys(&record)
            .into_iter()
            .find(|key| key.trial.is_none() && key.group.is_none() && key.op.as_deref() == Some("get"))
            .unwrap();
        let merged = rows::of(&record, &key).response.quantile(0.99).unwrap();
        assert_eq!(met.measured, Some(merged.ns as f64));
        assert_eq!(judged(&record, P99, Bound::Max(1e5), guests_get()).met, Some(false));
    }

    #[test]
    fn rates_and_counts_are_judged() {
        let record = fixture::record();
        let filter =
            Filter { load: Some("paced".into()), transport: Some(Transport::Tcp), ..Filter::default() };
        let rate = judged(&record, Metric::Rate, Bound::Min(900.0), filter);
        assert_eq!(
            (rate.text.as_str(), rate.measured_text.as_str()),
            ("rate ≥ 900 requests/s where load=paced, transport=tcp", "1000 requests/s",)
        );
        assert_eq!(rate.met, Some(true));
        let errors = judged(&record, Metric::Errors, Bound::Max(0.0), Filter::default());
        assert_eq!((errors.text.as_str(), errors.met), ("errors ≤ 0", Some(true)));
    }

    #[test]
    fn violations_of_the_whole_run_include_those_outside_the_measured_part() {
        let mut record = fixture::record();
        record.violations_total = 2;
        let whole = judged(&record, Metric::Violations, Bound::Max(0.0), Filter::default());
        assert_eq!((whole.measured, whole.met), (Some(2.0), Some(false)));
        let part = judged(&record, Metric::Violations, Bound::Max(0.0), guests_get());
        assert_eq!(part.met, Some(true));
    }

    #[test]
    fn a_threshold_that_matches_nothing_fails() {
        let filter = Filter { op: Some(Op::Bad), ..Filter::default() };
        let none = judged(&fixture::record(), P99, Bound::Max(20e6), filter);
        assert_eq!((none.measured, none.met), (None, Some(false)));
        assert_eq!(none.measured_text, "nothing matched");
    }

    #[test]
    fn too_few_samples_meet_nothing() {
        let filter = Filter { op: Some(Op::GetOther), ..guests_get() };
        let few = judged(&fixture::record(), P99, Bound::Max(20e6), filter);
        assert_eq!((few.measured, few.met), (None, Some(false)));
        assert_eq!(few.measured_text, "too few samples: 180");
    }

    #[test]
    fn a_lower_bound_never_meets_a_maximum_but_may_meet_a_minimum() {
        let mut record = fixture::record();
        let cell = record.passes[0].cells.iter_mut().find(|cell| cell.op == "get").unwrap();
        (0..100).for_each(|_| cell.response.record_unfinished(1_000_000));
        let max = judged(&record, P99, Bound::Max(20e6), guests_get());
        assert_eq!(max.met, Some(false));
        assert!(max.measured_text.starts_with("≥ 1"), "{}", max.measured_text);
        assert_eq!(judged(&record, P99, Bound::Min(5e5), guests_get()).met, Some(true));
    }

    #[test]
    fn nothing_is_judged_in_an_invalid_run() {
        let mut record = fixture::record();
        record.loads[1].verdict.level = VerdictLevel::Invalid;
        let result = judged(&record, P99, Bound::Max(1.0), guests_get());
        assert_eq!(result.met, None);
        assert!(result.measured.is_some() && result.measured_text.ends_with("the run is not valid"));
    }
}
