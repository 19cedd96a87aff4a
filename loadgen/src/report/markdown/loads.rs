//! One load's section: whether to believe it, throughput and cost, every latency.

use super::super::figures::{Comparison, CostFigures, Figures, Line, Quantiles};
use super::super::format::{self, MISSING, Unit};
use super::super::{grid, outcome};
use super::escape;
use crate::record::{Latency, LoadInfo, VerdictLevel};
use crate::scenario::model::LatencyKind;

/// Why a quantile may be missing, below each table where one is.
const FEWER: &str = "\n– Too few samples: a quantile is given only where at least ten lie beyond it.\n";
const LOWER_BOUND: &str =
    "\n≥ A lower bound: requests that were unanswered at the end lie in or beyond it.\n";

/// The section of one load, with a part for each variant.
pub(super) fn section(load: &LoadInfo, comparisons: &[Comparison<'_>]) -> String {
    let mut text = format!(
        "## Load {}\n\n{}.\n\n",
        escape(&load.name),
        escape(&super::capital(&outcome::settings(load)))
    );
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
    if let Some(limit) = outcome::limit(verdict) {
        text += &format!(" {}.", super::capital(&escape(&limit)));
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
    let rows: Vec<Vec<String>> = comparison
        .lines
        .iter()
        .map(|line| {
            let mut cells = names_of(line);
            cells.extend(line.cells.iter().map(|cell| {
                cell.as_ref().map_or_else(|| MISSING.to_owned(), |cell| format::count(cell.counts.requests))
            }));
            let pick: [fn(&Quantiles) -> Option<Latency>; 2] = [|q| q.p50, |q| q.p99];
            for pick in pick {
                let of = |cell: &Option<Figures>| cell.as_ref().and_then(|cell| pick(cell.latency(kind)));
                for (i, cell) in line.cells.iter().enumerate() {
                    cells.push(unit.latency(of(cell)));
                    if i > 0 {
                        cells.push(format::latency_ratio(of(&line.cells[0]), of(cell)));
                    }
                }
            }
            cells
        })
        .collect();
    with_notes(grid::markdown(&headers, &rows, 2), &rows)
}

/// Role and operation; lines that sum others up stand out.
fn names_of(line: &Line) -> Vec<String> {
    let name = |name: &Option<String>| {
        let name = name.as_deref().map_or_else(|| "all".to_owned(), escape);
        if line.op.is_none() { format!("**{name}**") } else { name }
    };
    vec![name(&line.role), name(&line.op)]
}

fn with_notes(table: String, rows: &[Vec<String>]) -> String {
    let has = |start: &str| rows.iter().flatten().any(|cell| cell.starts_with(start));
    let mut text = table;
    if has(MISSING) {
        text += FEWER;
    }
    if has("≥") {
        text += LOWER_BOUND;
    }
    text
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

fn cost(comparison: &Comparison<'_>) -> String {
    let mut headers = vec![String::new(), "unit".to_owned()];
    for (i, transport) in comparison.transports.iter().enumerate() {
        headers.push(format::transport(transport).to_owned());
        if i > 0 {
            headers.push("ratio".to_owned());
        }
    }
    let mut rows = Vec::new();
    let mut push = |what: &str, unit: &str, decimals: usize, values: Vec<Option<f64>>| {
        // A line without any figure says nothing: the target's process may not be ours to read.
        if values.iter().all(Option::is_none) {
            return;
        }
        let mut cells = vec![what.to_owned(), unit.to_owned()];
        for (i, value) in values.iter().enumerate() {
            cells.push(format::optional(*value, decimals));
            if i > 0 {
                cells.push(format::ratio(values[0], *value));
            }
        }
        rows.push(cells);
    };
    let totals = comparison.total();
    let total = |of: fn(&Figures) -> Option<f64>| totals.iter().map(|t| t.as_ref().and_then(of)).collect();
    push("throughput", "requests/s", 0, total(|figures| figures.rate));
    push("requests", "", 0, total(|figures| Some(figures.counts.requests as f64)));
    push("errors", "", 0, total(|figures| Some(figures.counts.errors as f64)));
    push("unfinished", "", 0, total(|figures| Some(figures.counts.unfinished as f64)));
    let cost = |of: fn(&CostFigures) -> Option<f64>, scale: f64| {
        let each = |cost: &Option<CostFigures>| cost.as_ref().and_then(of).map(|value| value * scale);
        comparison.costs.iter().map(each).collect::<Vec<_>>()
    };
    push("CPU of both sides", "µs/request", 2, cost(|cost| cost.both_ns, 1e-3));
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
    grid::markdown(&headers, &rows, 2)
}

fn latencies(comparison: &Comparison<'_>) -> String {
    let kind = comparison.load.headline_kind();
    let unit = unit(comparison, kind, |quantiles| quantiles.max);
    let mut headers = super::row(["role", "operation", "transport", "samples"]);
    headers.extend(statistics(unit));
    let mut rows = Vec::new();
    for line in &comparison.lines {
        for (transport, figures) in comparison.transports.iter().zip(&line.cells) {
            let Some(figures) = figures else { continue };
            let mut cells = names_of(line);
            cells.push(escape(format::transport(transport)));
            cells.extend(quantile_cells(figures.latency(kind), unit));
            rows.push(cells);
        }
    }
    let table = with_notes(grid::markdown(&headers, &rows, 3), &rows);
    format!(
        "{} time of each role and operation:\n\n{table}{}",
        super::capital(kind.name()),
        kinds(comparison)
    )
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
        for (transport, figures) in comparison.transports.iter().zip(comparison.total()) {
            let Some(quantiles) = figures.as_ref().map(|figures| figures.latency(kind)) else { continue };
            if quantiles.samples > 0 {
                let mut cells = vec![kind.name().to_owned(), escape(format::transport(transport))];
                cells.extend(quantile_cells(quantiles, unit));
                rows.push(cells);
            }
        }
    }
    let table = with_notes(grid::markdown(&headers, &rows, 2), &rows);
    format!("\nEvery kind of latency, all requests:\n\n{table}")
}

fn statistics(unit: Unit) -> Vec<String> {
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
