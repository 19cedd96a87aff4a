//! Merged views of a record: the rows that tables, CSV files, thresholds and charts show.
//!
//! A [`Selection`] says which cells of a record are asked for. Histograms and counters are added; nothing is averaged.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::cost::RequestCost;
use super::{Cell, Cost, Counts, Latencies, Pass, RunRecord};
use crate::domain::{LatencyKind, Op, PerKind, Role, Transport};

/// Which cells of a record; what is `None` leaves all of them in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection<'a> {
    /// Load's name.
    pub load: Option<&'a str>,
    /// Variant's label.
    pub variant: Option<&'a str>,
    /// Counts from 1.
    pub trial: Option<u32>,
    /// The transport.
    pub transport: Option<Transport>,
    /// Group's name.
    pub group: Option<&'a str>,
    /// The role.
    pub role: Option<Role>,
    /// The operation.
    pub op: Option<Op>,
}

impl<'a> Selection<'a> {
    /// A load in one variant.
    #[must_use]
    pub fn of(load: &'a str, variant: &'a str) -> Self {
        Self { load: Some(load), variant: Some(variant), ..Self::default() }
    }

    /// Of these cells those of a transport.
    #[must_use]
    pub fn over(self, transport: Transport) -> Self {
        Self { transport: Some(transport), ..self }
    }

    /// The passes of the load, variant, trial and transport.
    pub fn passes<'r>(self, passes: impl IntoIterator<Item = &'r Pass>) -> impl Iterator<Item = &'r Pass> {
        passes.into_iter().filter(move |pass| {
            self.load.is_none_or(|load| load == pass.load)
                && self.variant.is_none_or(|variant| variant == pass.variant)
                && self.trial.is_none_or(|trial| trial == pass.trial)
                && self.transport.is_none_or(|transport| pass.transports.contains(&transport))
        })
    }

    /// Of them, those in which no other transport took part: what they cost is this transport's.
    pub fn unmixed<'r>(self, passes: impl IntoIterator<Item = &'r Pass>) -> impl Iterator<Item = &'r Pass> {
        self.passes(passes).filter(|pass| !pass.is_mixed())
    }

    /// The cells of a pass that it selects.
    pub fn cells(self, pass: &Pass) -> impl Iterator<Item = &Cell> {
        pass.cells.iter().filter(move |cell| {
            self.transport.is_none_or(|transport| transport == cell.transport)
                && self.group.is_none_or(|group| group == cell.group)
                && self.role.is_none_or(|role| role == cell.role)
                && self.op.is_none_or(|op| op == cell.op)
        })
    }

    /// The sum of the selected cells; `None` if there are none. Its time is that of the [`Self::passes`], also of those
    /// in which a group or an operation happened to have no request, but not that of loads and variants which have none
    /// of them at all, such as a variant without managers.
    #[must_use]
    pub fn row<'r>(self, passes: impl IntoIterator<Item = &'r Pass>) -> Option<Row> {
        let mut row = Row::default();
        let mut found = BTreeSet::new();
        let passes: Vec<&Pass> = self.passes(passes).collect();
        for pass in &passes {
            for cell in self.cells(pass) {
                row.add(cell);
                found.insert((&pass.load, &pass.variant));
            }
        }
        let counted = passes.iter().filter(|pass| found.contains(&(&pass.load, &pass.variant)));
        row.seconds = counted.map(|pass| pass.measured_s).sum();
        (!found.is_empty()).then_some(row)
    }

    /// The selected latencies of a kind, merged.
    #[must_use]
    pub fn latencies<'r>(self, passes: impl IntoIterator<Item = &'r Pass>, kind: LatencyKind) -> Latencies {
        let mut sum = Latencies::default();
        self.passes(passes)
            .flat_map(|pass| self.cells(pass))
            .for_each(|cell| sum.merge(&cell.latencies[kind]));
        sum
    }

    /// What the [`Self::unmixed`] passes cost in all.
    #[must_use]
    pub fn cost<'r>(self, passes: impl IntoIterator<Item = &'r Pass>) -> Option<Cost> {
        Cost::sum(self.unmixed(passes).map(|pass| &pass.cost))
    }
}

/// What a row stands for. `None` means all of them merged; a row is always of one transport.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Load's name.
    pub load: String,
    /// Variant's label; empty if nothing is swept.
    pub variant: String,
    /// Counts from 1.
    pub trial: Option<u32>,
    /// The transport.
    pub transport: Transport,
    /// Group's name.
    pub group: Option<String>,
    /// The role.
    pub role: Option<Role>,
    /// The operation.
    pub op: Option<Op>,
}

impl Key {
    /// The cells of the row.
    #[must_use]
    pub fn selection(&self) -> Selection<'_> {
        Selection {
            load: Some(&self.load),
            variant: Some(&self.variant),
            trial: self.trial,
            transport: Some(self.transport),
            group: self.group.as_deref(),
            role: self.role,
            op: self.op,
        }
    }
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
    /// Replies a second; `None` if nothing was measured.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.counts.achieved as f64 / self.seconds)
    }

    fn add(&mut self, cell: &Cell) {
        self.counts.add(&cell.counts);
        self.latencies.merge(&cell.latencies);
    }
}

/// Every row of the record, in the order of [`keys`].
///
/// Each row is merged when the iterator reaches it: its three histograms take most of a megabyte, and a sweep
/// has thousands of rows.
pub fn all(record: &RunRecord) -> impl Iterator<Item = (Key, Row)> + '_ {
    keys(record).into_iter().map(|key| {
        let row = key.selection().row(&record.passes).unwrap_or_default();
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
        let variant = load.and_then(|i| record.loads[i].variants.iter().position(|v| v.label == key.variant));
        let transport = record.scenario.transports.iter().position(|t| *t == key.transport);
        (load, variant, transport)
    };
    keys.sort_by_cached_key(|key| {
        let trial = (key.trial.is_none(), key.trial);
        let group = (key.group.is_none(), key.group.clone());
        (position(key), trial, group, last(key.role), last(key.op))
    });
    keys
}

/// Sorts "all" behind every single one.
pub(crate) fn last<T>(one: Option<T>) -> (bool, Option<T>) {
    (one.is_none(), one)
}

fn keys_of(pass: &Pass, cell: &Cell) -> Vec<Key> {
    let mut keys = Vec::with_capacity(16);
    for trial in [Some(pass.trial), None] {
        for group in [Some(&cell.group), None] {
            for role in [Some(cell.role), None] {
                for op in [Some(cell.op), None] {
                    keys.push(Key {
                        load: pass.load.clone(),
                        variant: pass.variant.clone(),
                        trial,
                        transport: cell.transport,
                        group: group.cloned(),
                        role,
                        op,
                    });
                }
            }
        }
    }
    keys
}

/// A [`RequestCost`] and whose it is, trials together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransportCost {
    /// Load's name.
    pub load: String,
    /// Variant's label.
    pub variant: String,
    /// The transport.
    pub transport: Transport,
    /// Replies over which it was taken.
    pub replies: u64,
    /// The cost.
    pub for_each_reply: RequestCost,
}

/// The costs of every load, variant and transport that ran by itself.
#[must_use]
pub fn by_transport(record: &RunRecord) -> Vec<TransportCost> {
    let mut costs = Vec::new();
    for load in &record.loads {
        for variant in &load.variants {
            for &transport in &record.scenario.transports {
                let of = Selection::of(&load.name, &variant.label).over(transport);
                let Some(cost) = of.cost(&record.passes) else { continue };
                costs.push(TransportCost {
                    load: load.name.clone(),
                    variant: variant.label.clone(),
                    transport,
                    replies: cost.replies,
                    for_each_reply: cost.for_each_reply(),
                });
            }
        }
    }
    costs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;

    #[test]
    fn where_nothing_was_answered_in_time_the_rate_is_zero() {
        let rate = |achieved, seconds| {
            let counts = Counts { requests: 90, achieved, errors: 10, ..Counts::default() };
            Row { counts, seconds, ..Row::default() }.rate()
        };
        assert_eq!(rate(0, 2.0), Some(0.0));
        assert_eq!(rate(50, 2.0), Some(25.0));
        assert_eq!(rate(50, 0.0), None, "nothing was measured");
    }

    /// All groups, roles and operations.
    const ALL: (Option<&str>, Option<Role>, Option<Op>) = (None, None, None);

    fn find(
        rows: &[(Key, Row)],
        load: &str,
        trial: Option<u32>,
        of: (Option<&str>, Option<Role>, Option<Op>),
    ) -> Row {
        let mut matching = rows.iter().filter(|(key, _)| {
            key.load == load
                && key.transport == Transport::Tcp
                && key.trial == trial
                && (key.group.as_deref(), key.role, key.op) == of
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
    fn a_variant_without_managers_gives_their_rate_no_time() {
        let record = fixture::record();
        let pass = record.passes[0].clone();
        let mut without = pass.clone();
        without.variant = "manager-share=0".to_owned();
        without.cells.retain(|cell| cell.role == Role::Guest);
        let seconds = |role, passes: &[Pass]| {
            Selection { role: Some(role), ..Selection::default() }.row(passes).unwrap().seconds
        };
        let both = [pass.clone(), without];
        assert!(pass.measured_s > 0.0);
        assert!((seconds(Role::Manager, &both) - pass.measured_s).abs() < 1e-9);
        assert!((seconds(Role::Guest, &both) - 2.0 * pass.measured_s).abs() < 1e-9);
        // A trial in which they happened to ask nothing counts.
        let mut quiet = pass.clone();
        quiet.trial += 1;
        quiet.cells.retain(|cell| cell.role == Role::Guest);
        assert!((seconds(Role::Manager, &[pass.clone(), quiet]) - 2.0 * pass.measured_s).abs() < 1e-9);
    }

    #[test]
    fn a_row_of_all_is_the_sum_of_its_parts() {
        let record = fixture::record();
        let rows: Vec<_> = all(&record).collect();
        let get = |trial, of| find(&rows, "paced", trial, of);
        assert_sum(&get(None, ALL), &[get(Some(1), ALL), get(Some(2), ALL)]);
        let role = |role| get(None, (None, Some(role), None));
        assert_sum(&get(None, ALL), &[role(Role::Guest), role(Role::Manager)]);
        let op = |op| get(None, (Some("guests"), Some(Role::Guest), Some(op)));
        assert_sum(&role(Role::Guest), &[op(Op::Put), op(Op::Get), op(Op::GetOther)]);
        assert_eq!(get(None, ALL).counts.requests, 2 * 2_000);
    }

    #[test]
    fn time_adds_up_over_trials_but_not_over_groups() {
        let record = fixture::record();
        let rows: Vec<_> = all(&record).collect();
        let get = |trial, of| find(&rows, "paced", trial, of);
        assert!((get(Some(1), ALL).seconds - 2.0).abs() < 1e-9);
        assert!((get(None, ALL).seconds - 4.0).abs() < 1e-9);
        assert!((get(None, (Some("guests"), None, None)).seconds - 4.0).abs() < 1e-9);
        assert_eq!(get(None, ALL).rate(), Some(1_000.0));
    }

    #[test]
    fn rows_come_in_the_order_of_the_scenario_with_all_last() {
        let record = fixture::record();
        let keys: Vec<_> = keys(&record).into_iter().filter(|key| key.load == "paced").collect();
        assert_eq!(keys.first().map(|key| (key.transport, key.trial)), Some((Transport::Tcp, Some(1))));
        let last = keys.last().expect("there are rows");
        assert_eq!(
            (last.transport, last.trial, &last.group, last.op),
            (Transport::WebSocket, None, &None, None)
        );
        let ops: Vec<_> = keys.iter().take(4).map(|key| key.op.map_or("all", Op::name)).collect();
        assert_eq!(ops, ["put", "get", "get-other", "all"]);
    }

    #[test]
    fn a_cost_is_the_sum_over_trials_with_steal_weighted_by_time() {
        let mut record = fixture::record();
        let first =
            record.passes.iter_mut().find(|pass| pass.transports == [Transport::Tcp]).expect("it ran");
        first.cost.seconds = 6.0;
        first.cost.steal = Some(0.1);
        let cost = Selection::of("paced", "").over(Transport::Tcp).cost(&record.passes).expect("it ran");
        assert_eq!(cost.replies, 4_000);
        assert!((cost.seconds - 8.0).abs() < 1e-9);
        assert!((cost.steal.expect("both know it") - (0.6 + 0.008) / 8.0).abs() < 1e-9);
    }
}
