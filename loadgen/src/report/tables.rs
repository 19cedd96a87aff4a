//! The tables of a report: each is described once, for the terminal and for Markdown.

use super::comparison::{COMPARED, Comparison, ComparisonRow, CostSummary, LatencySummary, Summary};
use super::figure::{self, MISSING, RATIO, Unit};
use super::table::{ColumnGroup, ColumnHeader, Table, TableCell};
use crate::domain::{ALL, LatencyKind, Op, Role, Statistic, Timing, Transport};
use crate::record::pairs::Ratio;
use crate::record::{Counts, Latency};
use crate::text;

/// What a comparison's table shows of each role and operation. Of a load whose timing is unjudged it shows counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ComparedFigure {
    /// The number of requests.
    Requests,
    /// The headline latency's median and 99th percentile.
    Latencies,
    /// Replies a second.
    Rate,
}

/// A counter and what it is called.
type Count = (&'static str, fn(&Counts) -> u64);

const REQUESTS: Count = ("requests", |counts| counts.requests);
const COUNTS: [Count; 3] =
    [REQUESTS, ("errors", |counts| counts.errors), ("unfinished", |counts| counts.unfinished)];

/// The name of a row; it stands out in a row that sums up others.
fn name(row: &ComparisonRow, name: &str) -> TableCell {
    if row.op.is_none() { TableCell::Strong(name.to_owned()) } else { name.into() }
}

fn names(row: &ComparisonRow) -> Vec<TableCell> {
    vec![name(row, row.role.map_or(ALL, Role::name)), name(row, row.op.map_or(ALL, Op::name))]
}

fn count(number: Option<u64>) -> TableCell {
    number.map_or_else(|| MISSING.to_owned(), text::thousands).into()
}

/// A column for each transport, with a ratio after each but the first.
fn columns(transports: &[Transport], ratios: bool) -> Vec<ColumnHeader> {
    let mut columns = Vec::new();
    for (i, transport) in transports.iter().enumerate() {
        columns.push(ColumnHeader::OfGroup(transport.label().to_owned()));
        columns.extend((ratios && i > 0).then(|| ColumnHeader::Alone(RATIO.to_owned())));
    }
    columns
}

/// Each role and operation with the transports side by side; the last row is the floor, if it is known.
pub(super) fn comparison(comparison: &Comparison<'_>, shown: &[ComparedFigure]) -> Table {
    let shown = if comparison.load.timing == Timing::Judged { shown } else { &[] };
    let mut table = Table {
        lead: vec!["role".to_owned(), "operation".to_owned()],
        groups: Vec::new(),
        rows: comparison.rows.iter().map(names).collect(),
    };
    if comparison.has_floor() {
        table.rows.push(vec![TableCell::Faint("floor".to_owned()), TableCell::empty()]);
    }
    if shown.is_empty() {
        for of in COUNTS {
            add_counts(&mut table, comparison, of);
        }
    }
    for shown in shown {
        match shown {
            ComparedFigure::Requests => add_counts(&mut table, comparison, REQUESTS),
            ComparedFigure::Latencies => add_latencies(&mut table, comparison),
            ComparedFigure::Rate => add_rates(&mut table, comparison),
        }
    }
    table
}

fn add_counts(table: &mut Table, comparison: &Comparison<'_>, (title, of): Count) {
    let columns = columns(&comparison.transports, false);
    table.groups.push(ColumnGroup { title: title.to_owned(), unit: "", columns });
    add_cells(table, comparison, |summary| count(summary.map(|summary| of(&summary.counts))));
}

fn add_rates(table: &mut Table, comparison: &Comparison<'_>) {
    let columns = columns(&comparison.transports, false);
    table.groups.push(ColumnGroup { title: "requests/s".to_owned(), unit: "", columns });
    add_cells(table, comparison, |summary| {
        figure::of_load(comparison.load, figure::rate(summary.and_then(|summary| summary.rate))).into()
    });
}

/// A cell for each transport in each row. The floor made no requests in this run, and its rate was set by its user.
fn add_cells(table: &mut Table, comparison: &Comparison<'_>, cell: impl Fn(Option<&Summary>) -> TableCell) {
    for (i, cells) in table.rows.iter_mut().enumerate() {
        match comparison.rows.get(i) {
            Some(row) => cells.extend(row.summaries.iter().map(|summary| cell(summary.as_ref()))),
            None => cells.extend(comparison.transports.iter().map(|_| TableCell::empty())),
        }
    }
}

fn add_latencies(table: &mut Table, comparison: &Comparison<'_>) {
    let kind = comparison.load.headline_kind();
    let unit = unit(comparison, |summary| summary[Statistic::P99].or(summary[Statistic::P50]));
    for (place, statistic) in COMPARED.into_iter().enumerate() {
        let columns = columns(&comparison.transports, true);
        table.groups.push(ColumnGroup { title: statistic.name().to_owned(), unit: unit.symbol(), columns });
        for (i, cells) in table.rows.iter_mut().enumerate() {
            let row = comparison.rows.get(i);
            for transport in 0..comparison.transports.len() {
                cells.push(match row {
                    Some(row) => {
                        let summary = row.summaries[transport].as_ref();
                        let latency = summary.and_then(|summary| summary.latencies[kind][statistic]);
                        judged(comparison, transport, (kind, statistic), latency, unit)
                    }
                    None => unit.latency(comparison.floor(transport, kind, statistic)).into(),
                });
                if transport > 0 {
                    // Of the floor only one measurement is kept.
                    cells.push(row.map_or(TableCell::empty(), |row| {
                        figure::ratio(row.ratios[transport][place]).into()
                    }));
                }
            }
        }
    }
}

/// The unit for a table of the headline latency.
fn unit(comparison: &Comparison<'_>, largest: impl Fn(&LatencySummary) -> Option<Latency>) -> Unit {
    let kind = comparison.load.headline_kind();
    let summaries = comparison.rows.iter().flat_map(|row| row.summaries.iter().flatten());
    Unit::for_all(summaries.map(|summary| largest(&summary.latencies[kind])))
}

/// A latency, marked where it is within the floor and where the load is not valid.
fn judged(
    comparison: &Comparison<'_>,
    transport: usize,
    (kind, statistic): (LatencyKind, Statistic),
    latency: Option<Latency>,
    unit: Unit,
) -> TableCell {
    let within = comparison.is_latency_within(transport, kind, statistic, latency);
    figure::of_load(comparison.load, figure::marked(unit.latency(latency), within)).into()
}

/// A figure of each load on each transport: of the overview, whose rows are loads.
struct Overview {
    title: &'static str,
    unit: &'static str,
    figure: fn(&Comparison<'_>, usize) -> Option<f64>,
    /// Its ratio to the first transport's.
    ratio: fn(&Comparison<'_>, usize) -> Option<Ratio>,
    /// Whether it is within the harness's floor.
    within: fn(&Comparison<'_>, usize) -> bool,
    show: fn(Option<f64>) -> String,
}

const OVERVIEW: [Overview; 2] = [
    Overview {
        title: "throughput",
        unit: "requests/s",
        figure: |comparison, i| comparison.total().get(i)?.as_ref()?.rate,
        ratio: |comparison, i| comparison.rate_ratio(i),
        within: |comparison, i| comparison.is_rate_within(i),
        show: figure::rate,
    },
    Overview {
        title: "CPU of both sides",
        unit: "µs/request",
        figure: |comparison, i| Some(comparison.costs[i].as_ref()?.both_ns? / 1e3),
        ratio: |comparison, i| comparison.cost_ratio(i, |cost| cost.both_ns),
        within: |comparison, i| comparison.is_cost_within(i),
        show: |us| figure::optional(us, 1),
    },
];

/// Throughput and CPU of every load and variant, over these transports.
pub(super) fn overview(all: &[Comparison<'_>], transports: &[Transport]) -> Table {
    let name = |comparison: &Comparison<'_>| match comparison.variant {
        "" => comparison.load.name.clone(),
        variant => format!("{} [{variant}]", comparison.load.name),
    };
    let rows = all.iter().map(|comparison| vec![name(comparison).into()]).collect();
    let mut table = Table { lead: vec!["load".to_owned()], groups: Vec::new(), rows };
    let ratios = all.iter().any(|comparison| !comparison.is_mixed);
    for overview in OVERVIEW {
        let place = |comparison: &Comparison<'_>, transport: &Transport| {
            comparison.transports.iter().position(|own| own == transport)
        };
        let figure = |comparison: &Comparison<'_>, transport: &Transport| {
            (overview.figure)(comparison, place(comparison, transport)?)
        };
        let known = all.iter().any(|c| transports.iter().any(|transport| figure(c, transport).is_some()));
        // Without the server's process there is no CPU of both sides.
        if !known && overview.title != OVERVIEW[0].title {
            continue;
        }
        let columns = columns(transports, ratios);
        table.groups.push(ColumnGroup { title: overview.title.to_owned(), unit: overview.unit, columns });
        for (comparison, cells) in all.iter().zip(&mut table.rows) {
            for (i, transport) in transports.iter().enumerate() {
                let within = place(comparison, transport).is_some_and(|i| (overview.within)(comparison, i));
                let text = figure::marked((overview.show)(figure(comparison, transport)), within);
                cells.push(figure::of_load(comparison.load, text).into());
                if ratios && i > 0 {
                    // Of a load that ran over other transports the first one is another.
                    let same = !comparison.is_mixed && comparison.transports.first() == transports.first();
                    let place = place(comparison, transport).filter(|_| same);
                    cells.push(figure::ratio(place.and_then(|i| (overview.ratio)(comparison, i))).into());
                }
            }
        }
    }
    table
}

/// A row of the cost table that comes from what was spent.
struct CostRow {
    what: &'static str,
    unit: &'static str,
    decimals: usize,
    scale: f64,
    of: fn(&CostSummary) -> Option<f64>,
}

#[rustfmt::skip]
const COSTS: [CostRow; 16] = [
    CostRow { what: "CPU of both sides", unit: "µs/request", decimals: 2, scale: 1e-3, of: |c| c.both_ns },
    CostRow { what: "of which server, approximately", unit: "µs/request", decimals: 2, scale: 1e-3, of: |c| c.server_ns },
    CostRow { what: "of which generator, approximately", unit: "µs/request", decimals: 2, scale: 1e-3, of: |c| c.generator_ns },
    CostRow { what: "bytes, both directions", unit: "B/request", decimals: 1, scale: 1.0, of: |c| c.bytes },
    CostRow { what: "of which sent by clients", unit: "B/request", decimals: 1, scale: 1.0, of: |c| c.bytes_sent },
    CostRow { what: "of which sent by the server", unit: "B/request", decimals: 1, scale: 1.0, of: |c| c.bytes_received },
    CostRow { what: "TCP segments, both directions, from a sample of sockets", unit: "1/request", decimals: 2, scale: 1.0, of: |c| c.segments },
    CostRow { what: "segments that these sockets retransmitted", unit: "", decimals: 0, scale: 1.0, of: |c| c.retransmits.map(|n| n as f64) },
    CostRow { what: "server's context switches", unit: "1/request", decimals: 3, scale: 1.0, of: |c| c.server_switches },
    CostRow { what: "generator's context switches", unit: "1/request", decimals: 3, scale: 1.0, of: |c| c.generator_switches },
    CostRow { what: "server's CPU", unit: "cores", decimals: 3, scale: 1.0, of: |c| c.server_cores },
    CostRow { what: "generator's CPU", unit: "cores", decimals: 3, scale: 1.0, of: |c| c.generator_cores },
    CostRow { what: "server's memory", unit: "MiB", decimals: 1, scale: 1.0, of: |c| c.server_mib },
    CostRow { what: "generator's memory", unit: "MiB", decimals: 1, scale: 1.0, of: |c| c.generator_mib },
    CostRow { what: "CPU time stolen by the host", unit: "%", decimals: 2, scale: 100.0, of: |c| c.steal },
    CostRow { what: "CPU time taken by other programs", unit: "%", decimals: 2, scale: 100.0, of: |c| c.others },
];

/// Throughput and everything that was spent, by transport.
pub(super) fn costs(comparison: &Comparison<'_>) -> Table {
    let places = 0..comparison.transports.len();
    let mut columns = columns(&comparison.transports, true);
    for column in &mut columns {
        *column = ColumnHeader::Alone(column.text().to_owned());
    }
    let groups = vec![ColumnGroup { title: String::new(), unit: "", columns }];
    let mut table = Table { lead: vec![String::new(), "unit".to_owned()], groups, rows: Vec::new() };
    let mut push =
        |what: &str, unit: &str, figures: Vec<Option<String>>, ratio: &dyn Fn(usize) -> Option<Ratio>| {
            // A row without any figure says nothing: the target's process may not be ours to read.
            if figures.iter().all(Option::is_none) {
                return;
            }
            let mut cells: Vec<TableCell> = vec![what.into(), unit.into()];
            for (i, figure) in figures.into_iter().enumerate() {
                cells.push(figure.map_or_else(|| MISSING.into(), TableCell::from));
                if i > 0 {
                    cells.push(figure::ratio(ratio(i)).into());
                }
            }
            table.rows.push(cells);
        };
    let none = |_| None;
    let totals = comparison.total();
    let throughput = |i: usize| {
        let rate = text::decimal(totals.get(i)?.as_ref()?.rate?, 0);
        Some(figure::of_load(comparison.load, figure::marked(rate, comparison.is_rate_within(i))))
    };
    push("throughput", "requests/s", places.clone().map(throughput).collect(), &|i| {
        comparison.rate_ratio(i).filter(|_| !comparison.is_mixed)
    });
    for (what, of) in COUNTS {
        let number = |total: &Option<Summary>| total.as_ref().map(|total| text::thousands(of(&total.counts)));
        push(what, "", totals.iter().map(number).collect(), &none);
    }
    for (row, &CostRow { what, unit, decimals, scale, of }) in COSTS.iter().enumerate() {
        let figure = |i: usize| {
            let text = text::decimal(of(comparison.costs[i].as_ref()?)? * scale, decimals);
            // The first row is the sum of both sides.
            Some(figure::marked(text, row == 0 && comparison.is_cost_within(i)))
        };
        push(what, unit, places.clone().map(figure).collect(), &|i| comparison.cost_ratio(i, of));
    }
    if comparison.load.model.saturates() {
        let highest = |i| comparison.highest_rate(i).map(|rate| text::decimal(rate, 0));
        let what = "floor: highest rate that the harness can offer";
        push(what, "requests/s", places.clone().map(highest).collect(), &none);
    }
    let floor = |i| comparison.floor_cost_ns(i).map(|ns| text::decimal(ns * 1e-3, 2));
    push("floor: CPU of both sides", "µs/request", places.map(floor).collect(), &none);
    table
}

/// Number of samples and every statistic.
fn statistics(lead: &[&str], unit: Unit, rows: Vec<Vec<TableCell>>) -> Table {
    let headers: Vec<String> = std::iter::once("samples".to_owned())
        .chain(Statistic::ALL.iter().map(|statistic| format!("{}, {}", statistic.name(), unit.symbol())))
        .collect();
    Table::new(lead, &headers.iter().map(String::as_str).collect::<Vec<_>>(), rows)
}

fn statistic_cells(summary: &LatencySummary, unit: Unit) -> impl Iterator<Item = TableCell> {
    let statistics = summary.iter().map(move |(_, latency)| unit.latency(latency).into());
    std::iter::once(count(Some(summary.samples))).chain(statistics)
}

/// The same of a latency of the load, marked.
fn judged_cells(
    comparison: &Comparison<'_>,
    transport: usize,
    kind: LatencyKind,
    summary: &LatencySummary,
    unit: Unit,
) -> impl Iterator<Item = TableCell> {
    let cell = move |(statistic, latency)| judged(comparison, transport, (kind, statistic), latency, unit);
    std::iter::once(count(Some(summary.samples))).chain(summary.iter().map(cell))
}

/// The headline latency of each role, operation and transport.
pub(super) fn latencies(comparison: &Comparison<'_>) -> Table {
    let kind = comparison.load.headline_kind();
    let unit = unit(comparison, |summary| summary[Statistic::Max]);
    let mut rows = Vec::new();
    for row in &comparison.rows {
        for (i, (transport, summary)) in comparison.transports.iter().zip(&row.summaries).enumerate() {
            let Some(summary) = summary else { continue };
            let mut cells = names(row);
            cells.push(transport.label().into());
            cells.extend(judged_cells(comparison, i, kind, &summary.latencies[kind], unit));
            rows.push(cells);
        }
    }
    statistics(&["role", "operation", "transport"], unit, rows)
}

/// Lag, service and response of all requests, by transport, each with its floor.
pub(super) fn latency_kinds(comparison: &Comparison<'_>) -> Table {
    let summaries = comparison.total().iter().flatten().flat_map(|summary| summary.latencies.iter());
    let unit = Unit::for_all(summaries.map(|(_, summary)| summary[Statistic::Max]));
    let transport = |i: usize| TableCell::from(comparison.transports[i].label());
    let mut rows: Vec<Vec<TableCell>> = Vec::new();
    for kind in LatencyKind::ALL {
        let before = rows.len();
        for (i, total) in comparison.total().iter().enumerate() {
            let summary = total.as_ref().map(|total| &total.latencies[kind]);
            let Some(summary) = summary.filter(|summary| summary.samples > 0) else { continue };
            let names = [kind.name().into(), transport(i)];
            rows.push(names.into_iter().chain(judged_cells(comparison, i, kind, summary, unit)).collect());
        }
        if kind == LatencyKind::Lag {
            // From the intended instant to the generator's waking.
            for (i, lateness) in comparison.lateness.iter().enumerate().filter(|(_, l)| l.samples > 0) {
                let names = ["of which the generator's".into(), transport(i)];
                rows.push(names.into_iter().chain(statistic_cells(lateness, unit)).collect());
            }
        }
        let any = rows.len() > before;
        for i in 0..comparison.transports.len() {
            if any && comparison.floor(i, kind, Statistic::P50).is_some() {
                rows.push(floor_row(comparison, i, kind, unit, transport(i)));
            }
        }
    }
    statistics(&["latency", "transport"], unit, rows)
}

/// A floor has neither samples nor mean, and its tail is not kept.
fn floor_row(
    comparison: &Comparison<'_>,
    i: usize,
    kind: LatencyKind,
    unit: Unit,
    transport: TableCell,
) -> Vec<TableCell> {
    let known = |statistic: &Statistic| match comparison.floor(i, kind, *statistic) {
        None => TableCell::empty(),
        latency => unit.latency(latency).into(),
    };
    let names = [TableCell::Faint(format!("floor of {}", kind.name())), transport, TableCell::empty()];
    names.into_iter().chain(Statistic::ALL.iter().map(known)).collect()
}

/// The steps of a session's life, each by transport: the step, over what, how long. `None` without any.
pub(super) fn steps(steps: &[(&str, String, LatencySummary)]) -> Option<Table> {
    let unit = Unit::for_all(steps.iter().map(|(_, _, summary)| summary[Statistic::Max]));
    let row = |(step, transport, summary): &(&str, String, LatencySummary)| {
        let names = [TableCell::from(*step), transport.as_str().into()];
        names.into_iter().chain(statistic_cells(summary, unit)).collect()
    };
    (!steps.is_empty()).then(|| statistics(&["step", "transport"], unit, steps.iter().map(row).collect()))
}
