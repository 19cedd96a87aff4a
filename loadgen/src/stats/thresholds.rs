//! Judges thresholds on merged data: every trial, and whatever else a threshold's filter leaves open.
//!
//! A threshold that cannot be judged is missed, not met: otherwise a typo in a filter would pass.

use crate::domain::{Measure, Statistic};
use crate::record::rows::{Row, Selection};
use crate::record::{Latencies, Latency, Pass, RunRecord, ThresholdResult, VerdictLevel};
use crate::scenario::model::{Bound, Filter, Metric, Threshold};
use crate::text;

/// How far a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// To its end.
    Whole,
    /// To the threshold that stopped it: what was measured until then is judged.
    Aborted,
    /// Interrupted, or its target or machine failed: only what is missed already can be judged.
    Cut,
}

/// Judges each threshold. The loads must have their verdicts already.
///
/// Thresholds on right and wrong are judged in every run. The others are shown but not judged in a run that is invalid
/// or was cut.
#[must_use]
pub fn judge(record: &RunRecord, thresholds: &[Threshold], extent: Extent) -> Vec<ThresholdResult> {
    let invalid = record.loads.iter().any(|load| load.verdict.level == VerdictLevel::Invalid);
    let judged = thresholds.iter().map(|threshold| {
        let mut result = judge_one(record, threshold);
        if result.correctness {
            // A count only grows: a bound that part of a run exceeds, the whole run exceeds.
            let proven = result.measured.is_some() && matches!(threshold.bound, Bound::Max(_));
            if extent != Extent::Whole && (result.met == Some(true) || !proven) {
                result.met = None;
                result.measured_text += "; the run was cut short";
            }
        } else if invalid {
            result.met = None;
            result.measured_text += "; the run is not valid";
        } else if extent == Extent::Cut {
            result.met = None;
        }
        result
    });
    judged.collect()
}

fn judge_one(record: &RunRecord, threshold: &Threshold) -> ThresholdResult {
    let text = text(threshold);
    let correctness = threshold.metric.is_correctness();
    match measure(record, threshold) {
        Ok(measured) => ThresholdResult {
            text,
            measured: Some(measured.value),
            measured_text: measured.text(threshold.metric),
            met: Some(measured.meets(threshold.bound)),
            correctness,
        },
        Err(unknown) => ThresholdResult {
            text,
            measured: None,
            measured_text: unknown.text(threshold.metric, threshold.bound),
            met: Some(unknown.within.is_some_and(|within| within.meets(threshold.bound))),
            correctness,
        },
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

/// A figure that is not known exactly.
struct Unknown {
    why: String,
    /// The bounds that are known all the same. The generator is judged by what it answers for itself: from an instant
    /// it intended to the moment it woke for
    within: Option<Within>,
}

/// The smallest and the largest sample, between which each quantile lies.
#[derive(Clone, Copy)]
struct Within {
    least_ns: f64,
    /// `None`: unfinished requests may lie anywhere above.
    most_ns: Option<f64>,
}

impl Within {
    fn meets(self, bound: Bound) -> bool {
        match bound {
            Bound::Max(max) => self.most_ns.is_some_and(|most| most <= max),
            Bound::Min(min) => self.least_ns >= min,
        }
    }

    fn misses(self, bound: Bound) -> bool {
        match bound {
            Bound::Max(max) => self.least_ns > max,
            Bound::Min(min) => self.most_ns.is_some_and(|most| most < min),
        }
    }
}

impl Unknown {
    fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), within: None }
    }

    fn text(&self, metric: Metric, bound: Bound) -> String {
        let least = |within: Within| format!("none was below {}", number(metric, within.least_ns));
        let most = |within: Within| within.most_ns.map(|ns| format!("none was above {}", number(metric, ns)));
        let proof = self.within.and_then(|within| match bound {
            Bound::Max(_) if within.meets(bound) => most(within),
            Bound::Max(_) if within.misses(bound) => Some(least(within)),
            Bound::Min(_) if within.meets(bound) => Some(least(within)),
            Bound::Min(_) if within.misses(bound) => most(within),
            Bound::Max(_) | Bound::Min(_) => None,
        });
        proof.map_or_else(|| self.why.clone(), |proof| format!("{}, but {proof}", self.why))
    }
}

fn measure(record: &RunRecord, threshold: &Threshold) -> Result<Measured, Unknown> {
    let filter = &threshold.filter;
    if threshold.metric == Metric::Lost {
        return lost(record, filter);
    }
    // What a run that was cut left open is the cut's doing.
    let judged = |pass: &&Pass| pass.complete || threshold.metric != Metric::Unfinished;
    let row = selection(filter).row(record.passes.iter().filter(judged));
    let row = row.ok_or_else(|| Unknown::because("nothing matched"))?;
    match threshold.metric {
        Metric::Latency(kind, statistic) => latency(&row.latencies[kind], statistic),
        Metric::Rate => rate(&row).ok_or_else(|| Unknown::because("nothing was measured")),
        Metric::Errors => Ok(Measured::exactly(row.counts.errors as f64)),
        Metric::Unfinished => Ok(Measured::exactly(row.counts.unfinished as f64)),
        Metric::Lost => lost(record, filter),
        Metric::Violations => {
            // Set-up and warm-up belong to no cell, but to the whole.
            let whole = *filter == Filter::default();
            let violations = if whole { record.violations_total } else { row.counts.violations };
            Ok(Measured::exactly(violations as f64))
        }
    }
}

/// Clients are counted from their set-up on.
fn lost(record: &RunRecord, filter: &Filter) -> Result<Measured, Unknown> {
    let lost = selection(filter).passes(&record.passes).map(|pass| f64::from(pass.clients_lost));
    lost.reduce(|sum, lost| sum + lost)
        .map(Measured::exactly)
        .ok_or_else(|| Unknown::because("nothing matched"))
}

fn rate(row: &Row) -> Option<Measured> {
    row.rate().map(Measured::exactly)
}

fn latency(latencies: &Latencies, statistic: Statistic) -> Result<Measured, Unknown> {
    let few = || {
        let why = match latencies.len() {
            0 => "no samples".to_owned(),
            samples => format!("too few samples: {samples}"),
        };
        let within = latencies.min_ns().zip(latencies.max()).map(|(least, most)| Within {
            least_ns: least as f64,
            most_ns: Some(most.ns).filter(|_| !most.at_least),
        });
        Unknown { why, within }
    };
    let Latency { ns, mut at_least } = latencies.statistic(statistic).ok_or_else(few)?;
    if statistic.measure() == Measure::Mean {
        // Unfinished requests pull the mean down as they do the maximum.
        at_least = latencies.max().is_some_and(|max| max.at_least);
    }
    Ok(Measured { value: ns, at_least })
}

fn selection(filter: &Filter) -> Selection<'_> {
    let Filter { load, transport, group, role, op } = filter;
    Selection {
        load: load.as_deref(),
        transport: *transport,
        group: group.as_deref(),
        role: *role,
        op: *op,
        ..Selection::default()
    }
}

/// A threshold for people: `response.p99 ≤ 20 ms where load=paced, op=get`.
#[must_use]
pub fn text(threshold: &Threshold) -> String {
    let metric = match threshold.metric {
        Metric::Latency(kind, statistic) => format!("{}.{}", kind.name(), statistic.name()),
        Metric::Rate => "rate".to_owned(),
        Metric::Errors => "errors".to_owned(),
        Metric::Violations => "violations".to_owned(),
        Metric::Unfinished => "unfinished".to_owned(),
        Metric::Lost => "lost".to_owned(),
    };
    let bound = match threshold.bound {
        Bound::Max(max) => format!("≤ {}", number(threshold.metric, max)),
        Bound::Min(min) => format!("≥ {}", number(threshold.metric, min)),
    };
    let filter = &threshold.filter;
    let parts: Vec<String> = [
        ("load", filter.load.as_deref()),
        ("transport", filter.transport.map(crate::domain::Transport::name)),
        ("group", filter.group.as_deref()),
        ("role", filter.role.map(crate::domain::Role::name)),
        ("op", filter.op.map(crate::domain::Op::name)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some(format!("{name}={}", value?)))
    .collect();
    let wheres = if parts.is_empty() { String::new() } else { format!(" where {}", parts.join(", ")) };
    format!("{metric} {bound}{wheres}")
}

/// A figure with its unit.
fn number(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Latency(..) => text::duration(value),
        Metric::Rate => format!("{} requests/s", text::trimmed(value, 1)),
        Metric::Errors | Metric::Violations | Metric::Unfinished | Metric::Lost => text::trimmed(value, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{LatencyKind, Op, Role, Transport};
    use crate::record::fixture;

    const P99: Metric = Metric::Latency(LatencyKind::Response, Statistic::P99);

    fn judged(record: &RunRecord, metric: Metric, bound: Bound, filter: Filter) -> ThresholdResult {
        judge(record, &[Threshold { metric, filter, bound, abort: false }], Extent::Whole).remove(0)
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
        let merged =
            selection(&guests_get()).latencies(&record.passes, LatencyKind::Response).quantile(0.99).unwrap();
        assert_eq!(met.measured, Some(merged.ns));
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
    fn too_few_samples_meet_nothing_that_they_do_not_prove() {
        let record = fixture::record();
        let filter = || Filter { op: Some(Op::GetOther), ..guests_get() };
        let (mut least, mut most) = (u64::MAX, 0.0_f64);
        let get_other = filter();
        let of = selection(&get_other);
        for cell in of.passes(&record.passes).flat_map(|pass| of.cells(pass)) {
            least = least.min(cell.latencies.response.min_ns().unwrap());
            most = most.max(cell.latencies.response.max().unwrap().ns);
        }
        let between = f64::midpoint(least as f64, most);
        for (bound, met, said) in [
            (Bound::Max(between), false, "too few samples: 180"),
            (Bound::Min(between), false, "too few samples: 180"),
            (Bound::Max(most), true, "too few samples: 180, but none was above"),
            (Bound::Max(least as f64 - 1.0), false, "too few samples: 180, but none was below"),
            (Bound::Min(least as f64), true, "too few samples: 180, but none was below"),
            (Bound::Min(most + 1.0), false, "too few samples: 180, but none was above"),
        ] {
            let few = judged(&record, P99, bound, filter());
            assert_eq!((few.measured, few.met), (None, Some(met)), "{bound:?}");
            assert!(few.measured_text.starts_with(said), "{bound:?}: {}", few.measured_text);
        }
        // One that was never answered may have taken any time.
        let mut record = record;
        let cells = record.passes.iter_mut().flat_map(|pass| &mut pass.cells);
        cells
            .filter(|cell| cell.op == Op::GetOther)
            .for_each(|cell| cell.latencies.response.record_unfinished(1));
        assert_eq!(judged(&record, P99, Bound::Max(most), filter()).met, Some(false));
    }

    #[test]
    fn a_lower_bound_never_meets_a_maximum_but_may_meet_a_minimum() {
        let mut record = fixture::record();
        let cell = record.passes[0].cells.iter_mut().find(|cell| cell.op == Op::Get).unwrap();
        (0..100).for_each(|_| cell.latencies.response.record_unfinished(1_000_000));
        let max = judged(&record, P99, Bound::Max(20e6), guests_get());
        assert_eq!(max.met, Some(false));
        assert!(max.measured_text.starts_with("≥ 1"), "{}", max.measured_text);
        assert_eq!(judged(&record, P99, Bound::Min(5e5), guests_get()).met, Some(true));
    }

    #[test]
    fn no_figure_is_judged_in_an_invalid_run_and_right_and_wrong_in_every_one() {
        let mut record = fixture::record();
        record.loads[1].verdict.level = VerdictLevel::Invalid;
        record.passes[0].clients_lost = 1;
        let result = judged(&record, P99, Bound::Max(1.0), guests_get());
        assert_eq!(result.met, None);
        assert!(result.measured.is_some() && result.measured_text.ends_with("the run is not valid"));
        for (metric, met) in [
            (Metric::Errors, true),
            (Metric::Violations, true),
            (Metric::Unfinished, true),
            (Metric::Lost, false),
        ] {
            assert_eq!(
                judged(&record, metric, Bound::Max(0.0), Filter::default()).met,
                Some(met),
                "{metric:?}"
            );
        }
    }

    #[test]
    fn a_run_that_was_cut_can_miss_a_count_and_meet_nothing() {
        let mut record = fixture::record();
        let pass = record.passes.last_mut().unwrap();
        pass.complete = false;
        pass.clients_lost = 2;
        pass.cells[0].counts.errors = 1;
        pass.cells[0].counts.unfinished = 5;
        let judged = |metric, bound, extent| {
            judge(&record, &[Threshold { metric, filter: Filter::default(), bound, abort: false }], extent)[0]
                .met
        };
        for extent in [Extent::Cut, Extent::Aborted] {
            for metric in [Metric::Errors, Metric::Lost] {
                assert_eq!(judged(metric, Bound::Max(0.0), extent), Some(false), "{metric:?}");
                assert_eq!(
                    judged(metric, Bound::Max(2.0), extent),
                    None,
                    "{metric:?}: more may have followed"
                );
                assert_eq!(
                    judged(metric, Bound::Min(3.0), extent),
                    None,
                    "{metric:?}: more may have followed"
                );
            }
            // What the cut left open is the cut's doing.
            assert_eq!(judged(Metric::Unfinished, Bound::Max(0.0), extent), None);
        }
        assert_eq!(judged(P99, Bound::Max(1.0), Extent::Cut), None);
        assert_eq!(judged(P99, Bound::Max(1.0), Extent::Aborted), Some(false));
        record.passes.clear();
        let none = judge(
            &record,
            &[Threshold {
                metric: Metric::Lost,
                filter: Filter::default(),
                bound: Bound::Max(0.0),
                abort: false,
            }],
            Extent::Cut,
        );
        assert_eq!(none[0].met, None, "no target, no clients to lose");
    }

    #[test]
    fn lost_clients_are_counted_by_load_and_transport() {
        let mut record = fixture::record();
        for (pass, lost) in record.passes.iter_mut().zip([1, 10, 100, 1_000]) {
            pass.clients_lost = lost;
        }
        let lost = |load: Option<&str>, transport| {
            let filter = Filter { load: load.map(str::to_owned), transport, ..Filter::default() };
            judged(&record, Metric::Lost, Bound::Max(0.0), filter).measured
        };
        assert_eq!(lost(None, None), Some(1_111.0));
        assert_eq!(lost(Some("paced"), Some(Transport::Tcp)), Some(101.0));
        assert_eq!(lost(Some("saturated"), None), Some(0.0));
        assert_eq!(lost(None, Some(Transport::Wss)), None);
    }
}
