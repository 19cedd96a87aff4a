//! Merged views of a record: the rows that tables, CSV files, thresholds and charts show.
//!
//! A row stands for one combination of load, variant, trial, transport, group, role and operation, where trial,
//! group, role and operation may also be "all of them". Histograms and counters are added; nothing is averaged.

use std::collections::BTreeSet;

use super::{Cell, Cost, Counts, Latencies, Pass, RunRecord};
use crate::domain::{Op, PerKind};

/// What a row stands for. `None` means all of them merged; a row is always of one transport.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Load's name.
    pub load: String,
    /// Variant's label; empty where nothing is swept.
    pub variant: String,
    /// Counts from 1.
    pub trial: Option<u32>,
    /// Transport's name.
    pub transport: String,
    /// Group's name.
    pub group: Option<String>,
    /// Role's name.
    pub role: Option<String>,
    /// Operation's name.
    pub op: Option<String>,
}

/// Merged figures.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Counters.
    pub counts: Counts,
    /// Measured time in seconds, summed over the merged trials.
    pub seconds: f64,
    /// Histograms.
    pub latencies: PerKind<Latencies>,
}

impl Row {
    /// Replies a second; `None` where nothing was measured. Records of older versions tell how many of the requests
    /// were answered, which differs where a server falls behind.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let Counts { requests, achieved, errors, unfinished, .. } = self.counts;
        let answered = requests.saturating_sub(errors + unfinished);
        let replies = achieved.unwrap_or(answered);
        (self.seconds > 0.0).then(|| replies as f64 / self.seconds)
    }

    fn add_cell(&mut self, cell: &Cell) {
        self.counts.add(&cell.counts);
        self.latencies.merge(&cell.latencies);
    }
}

impl Key {
    /// Whether this pass and cell belong to the row.
    #[must_use]
    pub fn matches(&self, pass: &Pass, cell: &Cell) -> bool {
        let fits = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|name| name == found);
        self.load == pass.load
            && self.variant == pass.variant
            && self.trial.is_none_or(|trial| trial == pass.trial)
            && self.transport == cell.transport
            && fits(&self.group, &cell.group)
            && fits(&self.role, &cell.role)
            && fits(&self.op, &cell.op)
    }
}

/// Every row of the record, in the order of [`keys`].
///
/// Each row is merged when the iterator reaches it: its three histograms take most of a megabyte, and a sweep
/// has thousands of rows.
pub fn all(record: &RunRecord) -> impl Iterator<Item = (Key, Row)> + '_ {
    keys(record).into_iter().map(|key| {
        let row = of(record, &key);
        (key, row)
    })
}

/// What every row of the record stands for, in the order load, variant, transport, trial, group, role and
/// operation, "all" last.
#[must_use]
pub fn keys(record: &RunRecord) -> Vec<Key> {
    let mut keys = BTreeSet::new();
    for pass in &record.passes {
        for cell in &pass.cells {
            keys.extend(keys_of(pass, cell));
        }
    }
    let mut keys: Vec<_> = keys.into_iter().collect();
    let position = |key: &Key| {
        let load = record.loads.iter().position(|load| load.name == key.load);
        let variant = load.and_then(|i| record.loads[i].variants.iter().position(|v| *v == key.variant));
        let transport = record.scenario.transports.iter().position(|t| *t == key.transport);
        (load, variant, transport)
    };
    let last = |field: &Option<String>| (field.is_none(), field.clone());
    keys.sort_by_cached_key(|key| {
        let trial = (key.trial.is_none(), key.trial);
        let op = (key.op.is_none(), key.op.as_deref().map(op_position));
        (position(key), trial, last(&key.group), last(&key.role), op)
    });
    keys
}

/// The figures of one row; all zero where the record has nothing of it.
#[must_use]
pub fn of(record: &RunRecord, key: &Key) -> Row {
    let mut row = merged(record, |pass, cell| key.matches(pass, cell)).unwrap_or_default();
    // Also over passes in which this group or operation happened to have no request.
    row.seconds = seconds(record, key);
    row
}

/// Where an operation stands in reports; unknown ones come last.
#[must_use]
pub fn op_position(name: &str) -> usize {
    Op::ALL.iter().position(|op| op.name() == name).unwrap_or(Op::ALL.len())
}

/// The merged row of everything that matches; `None` where nothing does.
///
/// `matches` gets the pass and the cell; the row's time is that of the passes that matched.
#[must_use]
pub fn merged(record: &RunRecord, matches: impl Fn(&Pass, &Cell) -> bool) -> Option<Row> {
    let mut row = Row::default();
    let mut any = false;
    for pass in &record.passes {
        let mut used = false;
        for cell in pass.cells.iter().filter(|cell| matches(pass, cell)) {
            row.add_cell(cell);
            used = true;
        }
        if used {
            row.seconds += pass.measured_s;
            any = true;
        }
    }
    any.then_some(row)
}

/// What the passes of this load, variant and transport cost in all; mixed passes have no cost of one transport.
#[must_use]
pub fn cost(record: &RunRecord, load: &str, variant: &str, transport: &str) -> Option<Cost> {
    let ours = |pass: &&Pass| pass.load == load && pass.variant == variant && pass.transports == [transport];
    Cost::sum(record.passes.iter().filter(ours).map(|pass| &pass.cost))
}

fn keys_of(pass: &Pass, cell: &Cell) -> Vec<Key> {
    let mut keys = Vec::with_capacity(16);
    for trial in [Some(pass.trial), None] {
        for group in [Some(&cell.group), None] {
            for role in [Some(&cell.role), None] {
                for op in [Some(&cell.op), None] {
                    keys.push(Key {
                        load: pass.load.clone(),
                        variant: pass.variant.clone(),
                        trial,
                        transport: cell.transport.clone(),
                        group: group.cloned(),
                        role: role.cloned(),
                        op: op.cloned(),
                    });
                }
            }
        }
    }
    keys
}

fn seconds(record: &RunRecord, key: &Key) -> f64 {
    record
        .passes
        .iter()
        .filter(|pass| {
            pass.load == key.load
                && pass.variant == key.variant
                && key.trial.is_none_or(|trial| trial == pass.trial)
                && pass.transports.contains(&key.transport)
        })
        .map(|pass| pass.measured_s)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;

    #[test]
    fn where_nothing_was_answered_in_time_the_rate_is_zero() {
        let rate = |achieved| {
            let counts = Counts { requests: 90, achieved, errors: 10, ..Counts::default() };
            Row { counts, seconds: 2.0, ..Row::default() }.rate()
        };
        assert_eq!(rate(Some(0)), Some(0.0));
        assert_eq!(rate(Some(50)), Some(25.0));
        assert_eq!(rate(None), Some(40.0), "an older record does not tell");
    }

    fn find(rows: &[(Key, Row)], load: &str, trial: Option<u32>, names: [Option<&str>; 3]) -> Row {
        let is = |found: &Option<String>, wanted: Option<&str>| found.as_deref() == wanted;
        let mut matching = rows.iter().filter(|(key, _)| {
            key.load == load
                && key.transport == "tcp"
                && key.trial == trial
                && is(&key.group, names[0])
                && is(&key.role, names[1])
                && is(&key.op, names[2])
        });
        let (_, row) = matching.next().expect("the row is there");
        assert!(matching.next().is_none(), "a combination has one row");
        row.clone()
    }

    /// Adds these rows up and compares with the row that claims to be their sum.
    fn assert_sum(whole: &Row, parts: &[Row]) {
        let mut sum = Row::default();
        for part in parts {
            sum.counts.add(&part.counts);
            sum.latencies.merge(&part.latencies);
        }
        assert_eq!(whole.counts, sum.counts);
        for (kind, latencies) in whole.latencies.iter() {
            assert_eq!(latencies.histogram(), sum.latencies[kind].histogram());
        }
    }

    #[test]
    fn a_row_of_all_is_the_sum_of_its_parts() {
        let record = fixture::record();
        let rows: Vec<_> = all(&record).collect();
        let get = |trial, names| find(&rows, "paced", trial, names);
        let all_of = [None, None, None];
        assert_sum(&get(None, all_of), &[get(Some(1), all_of), get(Some(2), all_of)]);
        let role = |role| get(None, [None, Some(role), None]);
        assert_sum(&get(None, all_of), &[role("guest"), role("manager")]);
        let op = |op| get(None, [Some("guests"), Some("guest"), Some(op)]);
        assert_sum(&role("guest"), &[op("put"), op("get"), op("get-other")]);
        assert_eq!(get(None, all_of).counts.requests, 2 * 2_000);
    }

    #[test]
    fn time_adds_up_over_trials_but_not_over_groups() {
        let record = fixture::record();
        let rows: Vec<_> = all(&record).collect();
        let get = |trial, names| find(&rows, "paced", trial, names);
        assert!((get(Some(1), [None, None, None]).seconds - 2.0).abs() < 1e-9);
        assert!((get(None, [None, None, None]).seconds - 4.0).abs() < 1e-9);
        assert!((get(None, [Some("guests"), None, None]).seconds - 4.0).abs() < 1e-9);
        assert_eq!(get(None, [None, None, None]).rate(), Some(1_000.0));
    }

    #[test]
    fn rows_come_in_the_order_of_the_scenario_with_all_last() {
        let record = fixture::record();
        let keys: Vec<_> = keys(&record).into_iter().filter(|key| key.load == "paced").collect();
        assert_eq!(keys.first().map(|key| (key.transport.as_str(), key.trial)), Some(("tcp", Some(1))));
        let last = keys.last().expect("there are rows");
        assert_eq!(
            (last.transport.as_str(), last.trial, &last.group, &last.op),
            ("websocket", None, &None, &None)
        );
        let ops: Vec<_> = keys.iter().take(4).map(|key| key.op.as_deref().unwrap_or("all")).collect();
        assert_eq!(ops, ["put", "get", "get-other", "all"]);
    }

    #[test]
    fn more_failures_than_requests_give_no_negative_rate() {
        let counts = Counts { requests: 1, errors: 2, ..Counts::default() };
        assert_eq!(Row { counts, seconds: 1.0, ..Row::default() }.rate(), Some(0.0));
    }

    #[test]
    fn a_cost_is_the_sum_over_trials_with_steal_weighted_by_time() {
        let mut record = fixture::record();
        let first = record.passes.iter_mut().find(|pass| pass.transports == ["tcp"]).expect("it ran");
        first.cost.seconds = 6.0;
        first.cost.steal = Some(0.1);
        let cost = cost(&record, "paced", "", "tcp").expect("it ran");
        assert_eq!(cost.replies, 4_000);
        assert!((cost.seconds - 8.0).abs() < 1e-9);
        assert!((cost.steal.expect("both know it") - (0.6 + 0.008) / 8.0).abs() < 1e-9);
    }
}
