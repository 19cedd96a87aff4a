//! Merged views of a record: the rows that tables, CSV files, thresholds and charts show.
//!
//! A row stands for one combination of load, variant, trial, transport, group, role and operation, where trial,
//! group, role and operation may also be "all of them". Histograms and counters are added; nothing is averaged.

use std::collections::BTreeMap;

use super::{Cell, Cost, Counts, Latencies, Pass, RunRecord};
use crate::scenario::model::LatencyKind;

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
    /// Intended to sent.
    pub lag: Latencies,
    /// Sent to replied.
    pub service: Latencies,
    /// Intended to replied.
    pub response: Latencies,
}

impl Row {
    /// Answered requests a second; `None` where nothing was measured.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let answered = self.counts.requests - self.counts.errors - self.counts.unfinished;
        (self.seconds > 0.0).then(|| answered as f64 / self.seconds)
    }

    /// The histogram of this kind.
    #[must_use]
    pub fn latencies(&self, kind: LatencyKind) -> &Latencies {
        match kind {
            LatencyKind::Lag => &self.lag,
            LatencyKind::Service => &self.service,
            LatencyKind::Response => &self.response,
        }
    }

    fn add_cell(&mut self, cell: &Cell) {
        self.counts.add(&cell.counts);
        self.lag.merge(&cell.lag);
        self.service.merge(&cell.service);
        self.response.merge(&cell.response);
    }
}

/// Every row of the record, in the order load, variant, transport, trial, group, role, operation, "all" last.
#[must_use]
pub fn all(record: &RunRecord) -> Vec<(Key, Row)> {
    let mut rows: BTreeMap<Key, Row> = BTreeMap::new();
    for pass in &record.passes {
        for cell in &pass.cells {
            for key in keys_of(pass, cell) {
                rows.entry(key).or_default().add_cell(cell);
            }
        }
    }
    for (key, row) in &mut rows {
        row.seconds = seconds(record, key);
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    let position = |key: &Key| {
        let load = record.loads.iter().position(|load| load.name == key.load);
        let variant = load.and_then(|i| record.loads[i].variants.iter().position(|v| *v == key.variant));
        let transport = record.scenario.transports.iter().position(|t| *t == key.transport);
        (load, variant, transport)
    };
    let last = |field: &Option<String>| (field.is_none(), field.clone());
    rows.sort_by_cached_key(|(key, _)| {
        let trial = (key.trial.is_none(), key.trial);
        (position(key), trial, last(&key.group), last(&key.role), last(&key.op))
    });
    rows
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
    let mut sum: Option<Cost> = None;
    for pass in &record.passes {
        if pass.load != load || pass.variant != variant || pass.transports != [transport] {
            continue;
        }
        let one = &pass.cost;
        let Some(sum) = sum.as_mut() else {
            sum = Some(*one);
            continue;
        };
        let both = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b);
        // Weighted by time, before the seconds are added.
        sum.steal = sum.steal.zip(one.steal).map(|(a, b)| {
            (a * sum.seconds + b * one.seconds) / (sum.seconds + one.seconds).max(f64::MIN_POSITIVE)
        });
        sum.replies += one.replies;
        sum.seconds += one.seconds;
        sum.server_cpu_ns = both(sum.server_cpu_ns, one.server_cpu_ns);
        sum.generator_cpu_ns = both(sum.generator_cpu_ns, one.generator_cpu_ns);
        sum.bytes_sent += one.bytes_sent;
        sum.bytes_received += one.bytes_received;
    }
    sum
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
