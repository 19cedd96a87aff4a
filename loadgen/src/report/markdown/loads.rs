//! One load's section: whether to believe it, throughput and cost, every latency.

use super::super::figures::{Comparison, CostFigures, Figures, Line, P50, P90, P99, Quantiles};
use super::super::format::{self, MISSING, Unit};
use super::super::{capital, floor, grid, outcome};
use super::escape;
use crate::record::{Latency, LoadInfo, VerdictLevel};
use crate::scenario::model::LatencyKind;

/// Why a quantile may be missing, below each table where one is.
const FEWER: &str = "\n– Too few samples: a quantile is given only where at least ten lie beyond it.\n";
const LOWER_BOUND: &str =
    "\n≥ A lower bound: requests that were unanswered at the end lie in or beyond it.\n";

/// The section of one load, with a part for each variant.
pub(super) fn section(load: &LoadInfo, comparisons: &[Comparison<'_>]) -> String {
    let mut text =
        format!("## Load {}\n\n{}.\n\n", escape(&load.name), escape(&capital(&outcome::settings(load))));
    text += &verdict(load);
    if comparisons.is_empty() {
        text += "\nNothing was measured.\n";
    }
    for comparison in comparisons {
        let variant = escape(comparison.variant);
        let suffix = if variant.is_empty() { String::new() } else { format!(": {variant}") };
        text += &format!("\n### Throughput and cost{suffix}\n\n{}", cost(comparison));
        text += &format!("\n### Latency{suffix}\n\n{}", latencies(comparison));
    }
    text
}

fn verdict(load: &LoadInfo) -> String {
    let verdict = &load.verdict;
    let mut text = match verdict.level {
        VerdictLevel::Valid => "**Valid**: nothing speaks against these figures.".to_owned(),
        VerdictLevel::Suspect => "**Suspect**: read the figures with this in mind.".to_owned(),
        VerdictLevel::Invalid => {
            "**Invalid**: the generator did not do what the load asked for; do not use these figures."
                .to_owned()
        }
    };
    if let Some(limit) = outcome::limit(load) {
        text += &format!(" {}.", capital(&escape(&limit)));
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
    let unit = unit(comparison, kind, |quantiles| quantiles.p99.or(quantiles.p50));
    let names: Vec<&str> = comparison.transports.iter().map(|name| format::transport(name)).collect();
    let mut headers = vec!["role".to_owned(), "operation".to_owned()];
    headers.extend(names.iter().map(|name| format!("requests, {name}")));
    for quantile in ["p50", "p99"] {
        for (i, name) in names.iter().enumerate() {
            headers.push(format!("{quantile} {name}, {}", unit.symbol()));
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
    with_notes(grid::markdown(&headers, &rows, 2), &rows)
}

/// One line of the headline table.
fn compared(comparison: &Comparison<'_>, line: &Line, unit: Unit) -> Vec<String> {
    let kind = comparison.load.headline_kind();
    let mut cells = names_of(line);
    cells.extend(line.cells.iter().map(|cell| {
        cell.as_ref().map_or_else(|| MISSING.to_owned(), |cell| format::count(cell.counts.requests))
    }));
    for quantile in [P50, P99] {
        let of = |cell: &Option<Figures>| cell.as_ref().and_then(|cell| (quantile.of)(cell.latency(kind)));
        for (i, cell) in line.cells.iter().enumerate() {
            let within = comparison.is_latency_within(i, kind, quantile, of(cell));
            cells.push(floor::marked(unit.latency(of(cell)), within));
            if i > 0 {
                cells.push(format::latency_ratio(of(&line.cells[0]), of(cell)));
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
    for quantile in [P50, P99] {
        let of = |i| comparison.floor(i, kind, quantile);
        for i in 0..transports {
            cells.push(unit.latency(of(i)));
            if i > 0 {
                cells.push(format::latency_ratio(of(0), of(i)));
            }
        }
    }
    cells
}

/// Role and operation; lines that sum others up stand out.
fn names_of(line: &Line) -> Vec<String> {
    let name = |name: &Option<String>| {
        let name = name.as_deref().map_or_else(|| "all".to_owned(), escape);
        if line.op.is_none() { format!("**{name}**") } else { name }
    };
    vec![name(&line.role), name(&line.op)]
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
    let marked = rows.iter().flatten().any(|cell| cell.ends_with(floor::SIGN));
    if marked { format!("\n{}.\n", floor::legend()) } else { String::new() }
}

fn unit(
    comparison: &Comparison<'_>,
    kind: LatencyKind,
    largest: impl Fn(&Quantiles) -> Option<Latency>,
) -> Unit {
    let figures = comparison.lines.iter().flat_map(|line| line.cells.iter().flatten());
    let largest = figures.filter_map(|figures| largest(figures.latency(kind))).map(|latency| latency.ns);
    Unit::for_largest(largest.max().unwrap_or(0))
}

/// Lines of the cost table that are treated apart.
const THROUGHPUT: &str = "throughput";
const REQUESTS: &str = "requests";
const CPU_OF_BOTH: &str = "CPU of both sides";

/// Lines that tell of a mixed load how its clients were shared out among the transports, and not how these do.
const SHARED_OUT: [&str; 2] = [THROUGHPUT, REQUESTS];

fn cost(comparison: &Comparison<'_>) -> String {
    let mut headers = vec![String::new(), "unit".to_owned()];
    for (i, transport) in comparison.transports.iter().enumerate() {
        headers.push(format::transport(transport).to_owned());
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
    let mut push = |what: &str, unit: &str, decimals: usize, values: Vec<Option<f64>>| {
        // A line without any figure says nothing: the target's process may not be ours to read.
        if values.iter().all(Option::is_none) {
            return;
        }
        let mut cells = vec![what.to_owned(), unit.to_owned()];
        for (i, value) in values.iter().enumerate() {
            cells.push(floor::marked(format::optional(*value, decimals), within(what, i)));
            if i > 0 {
                let is_comparable = !(comparison.is_mixed && SHARED_OUT.contains(&what));
                cells.push(format::ratio(values[0].filter(|_| is_comparable), *value));
            }
        }
        rows.push(cells);
    };
    let totals = comparison.total();
    let total = |of: fn(&Figures) -> Option<f64>| totals.iter().map(|t| t.as_ref().and_then(of)).collect();
    push(THROUGHPUT, "requests/s", 0, total(|figures| figures.rate));
    push(REQUESTS, "", 0, total(|figures| Some(figures.counts.requests as f64)));
    push("errors", "", 0, total(|figures| Some(figures.counts.errors as f64)));
    push("unfinished", "", 0, total(|figures| Some(figures.counts.unfinished as f64)));
    let cost = |of: fn(&CostFigures) -> Option<f64>, scale: f64| {
        let each = |cost: &Option<CostFigures>| cost.as_ref().and_then(of).map(|value| value * scale);
        comparison.costs.iter().map(each).collect::<Vec<_>>()
    };
    push(CPU_OF_BOTH, "µs/request", 2, cost(|cost| cost.both_ns, 1e-3));
    push("of it the server's, approximately", "µs/request", 2, cost(|cost| cost.server_ns, 1e-3));
    push("of it the generator's, approximately", "µs/request", 2, cost(|cost| cost.generator_ns, 1e-3));
    push("bytes, both directions", "B/request", 1, cost(|cost| cost.bytes, 1.0));
    push("of them sent by clients", "B/request", 1, cost(|cost| cost.bytes_sent, 1.0));
    push("of them sent by the server", "B/request", 1, cost(|cost| cost.bytes_received, 1.0));
    push(
        "TCP segments, both directions, by a sample of sockets",
        "1/request",
        2,
        cost(|cost| cost.segments, 1.0),
    );
    push(
        "segments that these sockets sent again",
        "",
        0,
        cost(|cost| cost.retransmits.map(|n| n as f64), 1.0),
    );
    push("server's context switches", "1/request", 3, cost(|cost| cost.server_switches, 1.0));
    push("generator's context switches", "1/request", 3, cost(|cost| cost.generator_switches, 1.0));
    push("server's CPU", "cores", 3, cost(|cost| cost.server_cores, 1.0));
    push("generator's CPU", "cores", 3, cost(|cost| cost.generator_cores, 1.0));
    push("server's memory", "MiB", 1, cost(|cost| cost.server_mib, 1.0));
    push("generator's memory", "MiB", 1, cost(|cost| cost.generator_mib, 1.0));
    push("CPU time stolen by the host", "%", 2, cost(|cost| cost.steal, 100.0));
    push("CPU time taken by other programs", "%", 2, cost(|cost| cost.others, 100.0));
    let floors = |of: &dyn Fn(usize) -> Option<f64>| (0..comparison.transports.len()).map(of).collect();
    if comparison.load.saturates() {
        let highest = floors(&|i| comparison.highest_rate(i));
        push("floor: highest rate that the harness can offer", "requests/s", 0, highest);
    }
    let floor_us = floors(&|i| comparison.floor_cost_ns(i).map(|ns| ns * 1e-3));
    push("floor: CPU of both sides", "µs/request", 2, floor_us);
    grid::markdown(&headers, &rows, 2) + &floor_note(&rows)
}

fn latencies(comparison: &Comparison<'_>) -> String {
    let kind = comparison.load.headline_kind();
    let unit = unit(comparison, kind, |quantiles| quantiles.max);
    let mut headers = super::row(["role", "operation", "transport", "samples"]);
    headers.extend(statistics(unit));
    let mut rows = Vec::new();
    for line in &comparison.lines {
        for (i, (transport, figures)) in comparison.transports.iter().zip(&line.cells).enumerate() {
            let Some(figures) = figures else { continue };
            let mut cells = names_of(line);
            cells.push(escape(format::transport(transport)));
            cells.extend(judged_cells(comparison, i, kind, figures.latency(kind), unit));
            rows.push(cells);
        }
    }
    let table = with_notes(grid::markdown(&headers, &rows, 3), &rows);
    format!("{} time of each role and operation:\n\n{table}{}", capital(kind.name()), kinds(comparison))
}

/// Lag, service and response of all requests, by transport.
fn kinds(comparison: &Comparison<'_>) -> String {
    let largest = LatencyKind::ALL
        .map(|kind| {
            let figures = comparison.total().iter().flatten();
            figures.filter_map(|figures| figures.latency(kind).max).map(|max| max.ns).max().unwrap_or(0)
        })
        .into_iter()
        .max();
    let unit = Unit::for_largest(largest.unwrap_or(0));
    let mut headers = super::row(["latency", "transport", "samples"]);
    headers.extend(statistics(unit));
    let mut rows = Vec::new();
    for kind in LatencyKind::ALL {
        let before = rows.len();
        for (i, figures) in comparison.total().iter().enumerate() {
            let transport = escape(format::transport(comparison.transports[i]));
            let Some(quantiles) = figures.as_ref().map(|figures| figures.latency(kind)) else { continue };
            if quantiles.samples > 0 {
                let mut cells = vec![kind.name().to_owned(), transport];
                cells.extend(judged_cells(comparison, i, kind, quantiles, unit));
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
    let row = |(transport, quantiles): (&&str, &Quantiles)| {
        let mut cells = vec!["of it the generator's".to_owned(), escape(format::transport(transport))];
        cells.extend(quantile_cells(quantiles, unit));
        cells
    };
    transports.filter(|(_, quantiles)| quantiles.samples > 0).map(row).collect()
}

/// The floor of a kind of latency, by transport.
fn floor_rows(comparison: &Comparison<'_>, kind: LatencyKind, unit: Unit) -> Vec<Vec<String>> {
    let known = (0..comparison.transports.len()).filter(|&i| comparison.floor(i, kind, P50).is_some());
    let row = |i: usize| {
        let mut cells = vec![format!("*floor of {}*", kind.name())];
        cells.push(escape(format::transport(comparison.transports[i])));
        let quantiles = [P50, P90, P99].map(|quantile| unit.latency(comparison.floor(i, kind, quantile)));
        // A floor has neither samples nor mean, and its tail is not kept.
        cells.extend(super::row(["", ""]));
        cells.extend(quantiles);
        cells.extend(super::row(["", ""]));
        cells
    };
    known.map(row).collect()
}

pub(super) fn statistics(unit: Unit) -> Vec<String> {
    ["mean", "p50", "p90", "p99", "p99.9", "max"].map(|name| format!("{name}, {}", unit.symbol())).to_vec()
}

/// Samples and statistics.
pub(super) fn quantile_cells(quantiles: &Quantiles, unit: Unit) -> Vec<String> {
    let mean = quantiles.mean_ns.map_or_else(|| MISSING.to_owned(), |ns| unit.number(ns));
    let mut cells = vec![format::count(quantiles.samples), mean];
    let rest = [quantiles.p50, quantiles.p90, quantiles.p99, quantiles.p99_9, quantiles.max];
    cells.extend(rest.map(|latency| unit.latency(latency)));
    cells
}

/// The same of the transport at `i`, those within the floor marked.
fn judged_cells(
    comparison: &Comparison<'_>,
    i: usize,
    kind: LatencyKind,
    quantiles: &Quantiles,
    unit: Unit,
) -> Vec<String> {
    let mut cells = quantile_cells(quantiles, unit);
    // After samples and mean.
    for (cell, quantile) in cells[2..].iter_mut().zip([P50, P90, P99]) {
        if comparison.is_latency_within(i, kind, quantile, (quantile.of)(quantiles)) {
            cell.push(floor::SIGN);
        }
    }
    cells
}
