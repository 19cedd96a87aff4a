//! One load's section: whether to believe it, throughput and cost, every latency.

use super::super::figures::{COMPARED, Comparison, CostFigures, Figures, LatencySummary, Line};
use super::super::format::{self, MISSING, Unit};
use super::super::{floor, grid, outcome};
use super::escape;
use crate::domain::{ALL, LatencyKind, Op, Role, Statistic, Timing, Transport};
use crate::record::pairs::Ratio;
use crate::record::{Latency, LoadInfo, VerdictLevel};
use crate::text;

/// Why a quantile may be missing, below each table where one is.
const FEWER: &str = "\n– Too few samples: a quantile is given only where at least ten lie beyond it.\n";
const LOWER_BOUND: &str =
    "\n≥ A lower bound: requests that were unanswered at the end lie in or beyond it.\n";

/// The section of one load, with a part for each variant.
pub(super) fn section(load: &LoadInfo, comparisons: &[Comparison<'_>]) -> String {
    let mut text = format!(
        "## Load {}\n\n{}.\n\n",
        escape(&load.name),
        escape(&text::capital(&outcome::settings(load)))
    );
    text += &verdict(load);
    if comparisons.is_empty() {
        text += "\nNothing was measured.\n";
    }
    for comparison in comparisons {
        let variant = escape(comparison.variant);
        let suffix = if variant.is_empty() { String::new() } else { format!(": {variant}") };
        text += &format!("\n### Throughput and cost{suffix}\n\n{}", cost(comparison));
        if load.timing == Timing::Judged {
            text += &format!("\n### Latency{suffix}\n\n{}", latencies(comparison));
        }
    }
    text
}

fn verdict(load: &LoadInfo) -> String {
    let verdict = &load.verdict;
    let mut text = match verdict.level {
        VerdictLevel::Unjudged => {
            "**Timing not judged**: this load is there for correctness alone.".to_owned()
        }
        VerdictLevel::Valid => "**Valid**: nothing speaks against these figures.".to_owned(),
        VerdictLevel::Suspect => "**Suspect**: read the figures with this in mind.".to_owned(),
        VerdictLevel::Invalid => {
            "**Invalid**: the measurement is not what the load asked for; do not use these figures."
                .to_owned()
        }
    };
    if let Some(limit) = outcome::limit(load) {
        text += &format!(" {}.", text::capital(&escape(limit)));
    }
    text.push('\n');
    if !verdict.reasons.is_empty() {
        text.push('\n');
    }
    verdict.reasons.iter().for_each(|reason| text += &format!("- {}\n", escape(reason)));
    text
}

/// The headline table: each role and operation, transports side by side.
pub(super) fn comparison(comparison: &Comparison<'_>) -> String {
    let kind = comparison.load.headline_kind();
    let timed = comparison.load.timing == Timing::Judged;
    let unit = unit(comparison, kind, |summary| summary[Statistic::P99].or(summary[Statistic::P50]));
    let names: Vec<&str> = comparison.transports.iter().map(|transport| transport.label()).collect();
    let mut headers = vec!["role".to_owned(), "operation".to_owned()];
    headers.extend(names.iter().map(|name| format!("requests, {name}")));
    for statistic in COMPARED.into_iter().filter(|_| timed) {
        for (i, name) in names.iter().enumerate() {
            headers.push(format!("{} {name}, {}", statistic.name(), unit.symbol()));
            if i > 0 {
                headers.push("ratio".to_owned());
            }
        }
    }
    let mut rows: Vec<Vec<String>> =
        comparison.lines.iter().map(|line| compared(comparison, line, unit)).collect();
    if comparison.has_floor() {
        rows.push(floor_row(comparison, unit));
    }
    let table = grid::markdown(&headers, &rows, 2);
    let table = if comparison.load.verdict.level == VerdictLevel::Invalid {
        format!("{table}\n{}.\n", format::NOT_VALID_LEGEND)
    } else {
        table
    };
    with_notes(table, &rows)
}

/// One line of the headline table.
fn compared(comparison: &Comparison<'_>, line: &Line, unit: Unit) -> Vec<String> {
    let kind = comparison.load.headline_kind();
    let mut cells = names_of(line);
    cells.extend(line.cells.iter().map(|cell| {
        cell.as_ref().map_or_else(|| MISSING.to_owned(), |cell| text::thousands(cell.counts.requests))
    }));
    if comparison.load.timing == Timing::Unjudged {
        return cells;
    }
    for (place, statistic) in COMPARED.into_iter().enumerate() {
        let of = |cell: &Option<Figures>| cell.as_ref().and_then(|cell| cell.latencies[kind][statistic]);
        for (i, cell) in line.cells.iter().enumerate() {
            let within = comparison.is_latency_within(i, kind, statistic, of(cell));
            let text = floor::marked(unit.latency(of(cell)), within);
            cells.push(format::of_load(comparison.load, text));
            if i > 0 {
                cells.push(format::ratio(line.ratios[i][place]));
            }
        }
    }
    cells
}

/// What the harness itself takes, in the headline table's columns; it made no requests in this run.
fn floor_row(comparison: &Comparison<'_>, unit: Unit) -> Vec<String> {
    let kind = comparison.load.headline_kind();
    let transports = comparison.transports.len();
    let mut cells = super::row(["*floor*", ""]);
    cells.extend(std::iter::repeat_n(String::new(), transports));
    for statistic in COMPARED {
        let of = |i| comparison.floor(i, kind, statistic);
        for i in 0..transports {
            cells.push(unit.latency(of(i)));
            if i > 0 {
                cells.push(String::new());
            }
        }
    }
    cells
}

/// Role and operation; lines that sum others up stand out.
fn names_of(line: &Line) -> Vec<String> {
    let names = [line.role.map_or(ALL, Role::name), line.op.map_or(ALL, Op::name)];
    names.map(|name| if line.op.is_none() { format!("**{name}**") } else { name.to_owned() }).to_vec()
}

/// The table with what its signs mean below it.
pub(super) fn with_notes(table: String, rows: &[Vec<String>]) -> String {
    let has = |start: &str| rows.iter().flatten().any(|cell| cell.starts_with(start));
    let mut text = table;
    if has(MISSING) {
        text += FEWER;
    }
    if has("≥") {
        text += LOWER_BOUND;
    }
    text + &floor_note(rows)
}

fn floor_note(rows: &[Vec<String>]) -> String {
    let marked =
        rows.iter().flatten().any(|cell| cell.trim_end_matches(format::NOT_VALID).ends_with(floor::MARK));
    if marked { format!("\n{}.\n", floor::legend()) } else { String::new() }
}

fn unit(
    comparison: &Comparison<'_>,
    kind: LatencyKind,
    largest: impl Fn(&LatencySummary) -> Option<Latency>,
) -> Unit {
    let figures = comparison.lines.iter().flat_map(|line| line.cells.iter().flatten());
    Unit::for_all(figures.map(|figures| largest(&figures.latencies[kind])))
}

/// A line of the cost table that comes from what was spent.
struct CostLine {
    what: &'static str,
    unit: &'static str,
    decimals: usize,
    scale: f64,
    of: fn(&CostFigures) -> Option<f64>,
}

#[rustfmt::skip]
const COSTS: [CostLine; 16] = [
    CostLine { what: CPU_OF_BOTH, unit: "µs/request", decimals: 2, scale: 1e-3, of: |c| c.both_ns },
    CostLine { what: "of it the server's, approximately", unit: "µs/request", decimals: 2, scale: 1e-3, of: |c| c.server_ns },
    CostLine { what: "of it the generator's, approximately", unit: "µs/request", decimals: 2, scale: 1e-3, of: |c| c.generator_ns },
    CostLine { what: "bytes, both directions", unit: "B/request", decimals: 1, scale: 1.0, of: |c| c.bytes },
    CostLine { what: "of them sent by clients", unit: "B/request", decimals: 1, scale: 1.0, of: |c| c.bytes_sent },
    CostLine { what: "of them sent by the server", unit: "B/request", decimals: 1, scale: 1.0, of: |c| c.bytes_received },
    CostLine { what: "TCP segments, both directions, by a sample of sockets", unit: "1/request", decimals: 2, scale: 1.0, of: |c| c.segments },
    CostLine { what: "segments that these sockets sent again", unit: "", decimals: 0, scale: 1.0, of: |c| c.retransmits.map(|n| n as f64) },
    CostLine { what: "server's context switches", unit: "1/request", decimals: 3, scale: 1.0, of: |c| c.server_switches },
    CostLine { what: "generator's context switches", unit: "1/request", decimals: 3, scale: 1.0, of: |c| c.generator_switches },
    CostLine { what: "server's CPU", unit: "cores", decimals: 3, scale: 1.0, of: |c| c.server_cores },
    CostLine { what: "generator's CPU", unit: "cores", decimals: 3, scale: 1.0, of: |c| c.generator_cores },
    CostLine { what: "server's memory", unit: "MiB", decimals: 1, scale: 1.0, of: |c| c.server_mib },
    CostLine { what: "generator's memory", unit: "MiB", decimals: 1, scale: 1.0, of: |c| c.generator_mib },
    CostLine { what: "CPU time stolen by the host", unit: "%", decimals: 2, scale: 100.0, of: |c| c.steal },
    CostLine { what: "CPU time taken by other programs", unit: "%", decimals: 2, scale: 100.0, of: |c| c.others },
];

/// Lines of the cost table that are treated apart.
const THROUGHPUT: &str = "throughput";
const REQUESTS: &str = "requests";
const CPU_OF_BOTH: &str = "CPU of both sides";

fn cost(comparison: &Comparison<'_>) -> String {
    type RatioOf<'a> = &'a dyn Fn(usize) -> Option<Ratio>;
    let mut headers = vec![String::new(), "unit".to_owned()];
    for (i, transport) in comparison.transports.iter().enumerate() {
        headers.push(transport.label().to_owned());
        if i > 0 {
            headers.push("ratio".to_owned());
        }
    }
    let mut rows = Vec::new();
    let within = |what: &str, i| match what {
        THROUGHPUT => comparison.is_rate_within(i),
        CPU_OF_BOTH => comparison.is_cost_within(i),
        _ => false,
    };
    let mut push = |what: &str, unit: &str, decimals: usize, values: Vec<Option<f64>>, ratio: RatioOf<'_>| {
        // A line without any figure says nothing: the target's process may not be ours to read.
        if values.iter().all(Option::is_none) {
            return;
        }
        let mut cells = vec![what.to_owned(), unit.to_owned()];
        for (i, value) in values.iter().enumerate() {
            let text = floor::marked(format::optional(*value, decimals), within(what, i));
            cells.push(if what == THROUGHPUT { format::of_load(comparison.load, text) } else { text });
            if i > 0 {
                cells.push(format::ratio(ratio(i)));
            }
        }
        rows.push(cells);
    };
    let totals = comparison.total();
    let total = |of: fn(&Figures) -> Option<f64>| totals.iter().map(|t| t.as_ref().and_then(of)).collect();
    let none = |_| None;
    push(THROUGHPUT, "requests/s", 0, total(|figures| figures.rate), &|i| {
        comparison.rate_ratio(i).filter(|_| !comparison.is_mixed)
    });
    push(REQUESTS, "", 0, total(|figures| Some(figures.counts.requests as f64)), &none);
    push("errors", "", 0, total(|figures| Some(figures.counts.errors as f64)), &none);
    push("unfinished", "", 0, total(|figures| Some(figures.counts.unfinished as f64)), &none);
    for CostLine { what, unit, decimals, scale, of } in COSTS {
        let each = |cost: &Option<CostFigures>| cost.as_ref().and_then(of).map(|value| value * scale);
        push(what, unit, decimals, comparison.costs.iter().map(each).collect(), &|i| {
            comparison.cost_ratio(i, of)
        });
    }
    let floors = |of: &dyn Fn(usize) -> Option<f64>| (0..comparison.transports.len()).map(of).collect();
    if comparison.load.model.saturates() {
        let highest = floors(&|i| comparison.highest_rate(i));
        push("floor: highest rate that the harness can offer", "requests/s", 0, highest, &none);
    }
    let floor_us = floors(&|i| comparison.floor_cost_ns(i).map(|ns| ns * 1e-3));
    push("floor: CPU of both sides", "µs/request", 2, floor_us, &none);
    grid::markdown(&headers, &rows, 2) + &floor_note(&rows)
}

fn latencies(comparison: &Comparison<'_>) -> String {
    let kind = comparison.load.headline_kind();
    let unit = unit(comparison, kind, |summary| summary[Statistic::Max]);
    let mut headers = super::row(["role", "operation", "transport", "samples"]);
    headers.extend(statistics(unit));
    let mut rows = Vec::new();
    for line in &comparison.lines {
        for (i, (transport, figures)) in comparison.transports.iter().zip(&line.cells).enumerate() {
            let Some(figures) = figures else { continue };
            let mut cells = names_of(line);
            cells.push(transport.label().to_owned());
            cells.extend(judged_cells(comparison, i, kind, &figures.latencies[kind], unit));
            rows.push(cells);
        }
    }
    let table = with_notes(grid::markdown(&headers, &rows, 3), &rows);
    format!("{} time of each role and operation:\n\n{table}{}", text::capital(kind.name()), kinds(comparison))
}

/// Lag, service and response of all requests, by transport.
fn kinds(comparison: &Comparison<'_>) -> String {
    let figures = comparison.total().iter().flatten();
    let summaries = figures.flat_map(|figures| figures.latencies.iter());
    let unit = Unit::for_all(summaries.map(|(_, summary)| summary[Statistic::Max]));
    let mut headers = super::row(["latency", "transport", "samples"]);
    headers.extend(statistics(unit));
    let mut rows = Vec::new();
    for kind in LatencyKind::ALL {
        let before = rows.len();
        for (i, figures) in comparison.total().iter().enumerate() {
            let transport = comparison.transports[i].label().to_owned();
            let Some(summary) = figures.as_ref().map(|figures| &figures.latencies[kind]) else { continue };
            if summary.samples > 0 {
                let mut cells = vec![kind.name().to_owned(), transport];
                cells.extend(judged_cells(comparison, i, kind, summary, unit));
                rows.push(cells);
            }
        }
        if kind == LatencyKind::Lag {
            rows.extend(lateness(comparison, unit));
        }
        if rows.len() > before {
            rows.extend(floor_rows(comparison, kind, unit));
        }
    }
    let table = with_notes(grid::markdown(&headers, &rows, 2), &rows);
    format!("\nEvery kind of latency, all requests:\n\n{table}")
}

/// The part of the lag that is the generator's own: from the intended instant to its waking.
fn lateness(comparison: &Comparison<'_>, unit: Unit) -> Vec<Vec<String>> {
    let transports = comparison.transports.iter().zip(&comparison.lateness);
    let row = |(transport, summary): (&Transport, &LatencySummary)| {
        let mut cells = vec!["of it the generator's".to_owned(), transport.label().to_owned()];
        cells.extend(summary_cells(summary, unit));
        cells
    };
    transports.filter(|(_, quantiles)| quantiles.samples > 0).map(row).collect()
}

/// The floor of a kind of latency, by transport.
fn floor_rows(comparison: &Comparison<'_>, kind: LatencyKind, unit: Unit) -> Vec<Vec<String>> {
    let known =
        (0..comparison.transports.len()).filter(|&i| comparison.floor(i, kind, Statistic::P50).is_some());
    let row = |i: usize| {
        let mut cells = vec![format!("*floor of {}*", kind.name())];
        cells.push(comparison.transports[i].label().to_owned());
        // A floor has neither samples nor mean, and its tail is not kept.
        cells.push(String::new());
        cells.extend(Statistic::ALL.iter().map(|&statistic| {
            comparison.floor(i, kind, statistic).map_or_else(String::new, |floor| unit.latency(Some(floor)))
        }));
        cells
    };
    known.map(row).collect()
}

pub(super) fn statistics(unit: Unit) -> Vec<String> {
    Statistic::ALL.iter().map(|statistic| format!("{}, {}", statistic.name(), unit.symbol())).collect()
}

/// Samples and statistics.
pub(super) fn summary_cells(summary: &LatencySummary, unit: Unit) -> Vec<String> {
    let statistics = summary.iter().map(|(_, latency)| unit.latency(latency));
    std::iter::once(text::thousands(summary.samples)).chain(statistics).collect()
}

/// The same of the transport at `i`, those within the floor marked.
fn judged_cells(
    comparison: &Comparison<'_>,
    i: usize,
    kind: LatencyKind,
    summary: &LatencySummary,
    unit: Unit,
) -> Vec<String> {
    let figure = |(statistic, latency)| {
        let within = comparison.is_latency_within(i, kind, statistic, latency);
        format::of_load(comparison.load, floor::marked(unit.latency(latency), within))
    };
    std::iter::once(text::thousands(summary.samples)).chain(summary.iter().map(figure)).collect()
}
