//! Stops a run whose threshold with `abort` is missed for five seconds in a row.

use twinwire_os::clock::{Nanos, SECOND};

use super::super::plan::PassPlan;
use crate::measure::threshold_monitor::{CellFilter, Observed, meets};
use crate::scenario::model::{Bound, Metric, Scenario};

/// Consecutive seconds that must miss: a single bad second does not justify ending a run.
const SECONDS_MISSED: u32 = 5;

/// A threshold that may stop this pass, with the cells that it covers.
#[derive(Debug, Clone, Copy)]
pub struct AbortCondition {
    /// Its index among the scenario's thresholds.
    pub threshold: usize,
    pub filter: CellFilter,
    pub metric: Metric,
    bound: Bound,
}

/// The conditions that concern this pass.
pub fn abort_conditions(scenario: &Scenario, plan: &PassPlan) -> Vec<AbortCondition> {
    let load = &scenario.loads[plan.load].name;
    let condition = |(threshold, judged): (usize, &crate::scenario::model::Threshold)| {
        let filter = &judged.filter;
        if !judged.abort || filter.load.as_ref().is_some_and(|wanted| wanted != load) {
            return None;
        }
        // If the transport or group is not part of this pass, there is nothing to watch.
        let transport = match filter.transport {
            Some(wanted) => Some(plan.transports.iter().position(|&on| on == wanted)? as u8),
            None => None,
        };
        let group = match &filter.group {
            Some(wanted) => Some(scenario.groups.iter().position(|group| group.name == *wanted)? as u16),
            None => None,
        };
        let filter = CellFilter { transport, group, role: filter.role, op: filter.op };
        Some(AbortCondition { threshold, filter, metric: judged.metric, bound: judged.bound })
    };
    scenario.thresholds.iter().enumerate().filter_map(condition).collect()
}

/// The conditions of a pass and how they stand.
#[derive(Debug)]
pub struct AbortMonitor {
    conditions: Vec<ConditionState>,
    since: Nanos,
}

#[derive(Debug)]
struct ConditionState {
    condition: AbortCondition,
    /// Since the last check.
    seen: Observed,
    errors: u64,
    violations: u64,
    seconds_missed: u32,
}

impl AbortMonitor {
    pub fn new(conditions: &[AbortCondition], now: Nanos) -> Self {
        let state = |&condition| ConditionState {
            condition,
            seen: Observed::default(),
            errors: 0,
            violations: 0,
            seconds_missed: 0,
        };
        Self { conditions: conditions.iter().map(state).collect(), since: now }
    }

    /// Takes what a worker saw, in the order of the conditions.
    pub fn add(&mut self, seen: &[Observed]) {
        for (state, seen) in self.conditions.iter_mut().zip(seen) {
            state.seen.merge(seen);
        }
    }

    /// Checks once a second. Returns the threshold that has been missed for too long, if any.
    pub fn check(&mut self, now: Nanos) -> Option<usize> {
        if now < self.since + SECOND {
            return None;
        }
        let seconds = (now - self.since) as f64 / SECOND as f64;
        self.since = now;
        self.conditions.iter_mut().find_map(|state| {
            state.check(seconds);
            (state.seconds_missed >= SECONDS_MISSED).then_some(state.condition.threshold)
        })
    }
}

impl ConditionState {
    fn check(&mut self, seconds: f64) {
        let seen = std::mem::take(&mut self.seen);
        self.errors += seen.errors;
        self.violations += seen.violations;
        let value = match self.condition.metric {
            // Counts are judged over the whole load, as at its end.
            Metric::Errors => Some(self.errors as f64),
            Metric::Violations => Some(self.violations as f64),
            metric => seen.value(metric, seconds),
        };
        match value.map(|value| meets(self.condition.bound, value)) {
            Some(true) => self.seconds_missed = 0,
            Some(false) => self.seconds_missed += 1,
            // A second without data changes nothing.
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{LatencyKind, Statistic};

    fn monitor(metric: Metric, bound: Bound) -> AbortMonitor {
        AbortMonitor::new(&[AbortCondition { threshold: 3, filter: CellFilter::default(), metric, bound }], 0)
    }

    fn slow(ns: u64) -> Observed {
        let mut seen = Observed { replies: 1, ..Observed::default() };
        seen.latencies.record(ns);
        seen
    }

    #[test]
    fn five_bad_seconds_in_a_row_stop_the_run_and_four_do_not() {
        let mut monitor =
            self::monitor(Metric::Latency(LatencyKind::Response, Statistic::P99), Bound::Max(1_000_000.0));
        let outcome: Vec<_> = [9, 9, 9, 9, 0, 9, 9, 9, 9, 9]
            .into_iter()
            .zip(1..)
            .map(|(ms, second)| {
                monitor.add(&[slow(ms * 1_000_000 + 1)]);
                monitor.check(second * SECOND)
            })
            .collect();
        assert_eq!(outcome.iter().filter(|stop| stop.is_some()).count(), 1);
        assert_eq!(outcome.last(), Some(&Some(3)));
    }

    #[test]
    fn seconds_without_a_sample_neither_miss_nor_meet() {
        let mut monitor =
            self::monitor(Metric::Latency(LatencyKind::Service, Statistic::Max), Bound::Max(1.0));
        for second in 1..=20 {
            assert_eq!(monitor.check(second * SECOND), None);
        }
    }

    #[test]
    fn a_rate_is_one_of_its_second_and_errors_are_all_so_far() {
        let mut rate = monitor(Metric::Rate, Bound::Min(10.0));
        let stops = (1..=5).filter(|second| rate.check(second * SECOND).is_some()).count();
        assert_eq!(stops, 1, "no reply at all is a rate of 0");
        let mut errors = monitor(Metric::Errors, Bound::Max(0.0));
        errors.add(&[Observed { errors: 1, ..Observed::default() }]);
        assert_eq!((1..=5).find_map(|second| errors.check(second * SECOND)), Some(3));
    }
}
