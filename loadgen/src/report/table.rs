//! What `run` prints at its end: the outcome, the transports side by side, whether to believe it.
//!
//! Plain text of at most [`WIDTH`] columns where names are of ordinary length; colour only if asked for.

use std::path::Path;

use super::figures::{COMPARED, Comparison, comparisons};
use super::format::{self, MISSING, Unit};
use super::grid::{Grid, Group};
use super::{floor, outcome};
use crate::domain::{ALL, LatencyKind, Op, Role, Statistic, Timing, Transport};
use crate::record::pairs::Ratio;
use crate::record::{Counts, LoadInfo, RunRecord, Status, VerdictLevel};
use crate::text::{self, Paint};

/// Columns of an ordinary terminal window, and of a CI log.
pub const WIDTH: usize = 100;

/// Violations shown in detail; the report has more.
const VIOLATIONS_SHOWN: usize = 3;

/// The text, with a line end at its end. `folder` is where the report is.
#[must_use]
pub fn render(record: &RunRecord, folder: &Path, paint: Paint) -> String {
    let record = &*record.results();
    let mut lines = head(record, paint);
    lines.extend(violations(record, paint));
    // Where nothing ran there is nothing to judge, and an empty table would only hide the reason above.
    if !record.passes.is_empty() {
        if let Some(load) = record.headline() {
            lines.push(String::new());
            lines.extend(headline(record, load, paint));
        }
        lines.extend(costs(record, paint));
        lines.push(String::new());
        lines.extend(verdicts(record, paint));
        lines.extend(thresholds(record, paint));
        lines.extend(floor_lines(record));
    }
    lines.push(format!(
        "{:<9} {}",
        "report",
        text::printable(&folder.join("report.md").display().to_string())
    ));
    lines.push(String::new());
    lines.join("\n")
}

fn head(record: &RunRecord, paint: Paint) -> Vec<String> {
    let status = record.outcome.status;
    let label = outcome::label(record);
    let label = match status {
        Status::Passed => paint.green(label),
        Status::Interrupted => paint.yellow(label),
        _ => paint.red(label),
    };
    let mut first = format!("{}: {label}", paint.bold(&text::printable(&record.scenario.name)));
    if record.outcome.interrupted && status != Status::Interrupted {
        first += ", interrupted";
    }
    first += &format!("; {}", outcome::proof(record));
    let doubtful = record.loads.iter().any(|load| load.verdict.level == VerdictLevel::Suspect);
    if status == Status::Passed && doubtful {
        first += "; some figures are suspect";
    }
    if !record.skipped.is_empty() {
        first += &format!("; skipped: {}", outcome::skipped(record));
    }
    let mut lines = vec![first];
    lines.extend(record.outcome.message.as_deref().map(text::printable));
    lines
}

fn violations(record: &RunRecord, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    for violation in record.violations.iter().take(VIOLATIONS_SHOWN) {
        lines.push(String::new());
        lines.push(format!(
            "{} {} · {} · {} · {} {} · {}, trial {}, {:.3} s",
            paint.red("wrong reply:"),
            paint.bold(violation.kind.name()),
            violation.rule,
            violation.transport.label(),
            violation.role,
            text::excerpt(&violation.client),
            text::printable(&violation.load),
            violation.trial,
            violation.at_s,
        ));
        for (name, text) in
            [("request", &violation.request), ("expected", &violation.expected), ("seen", &violation.seen)]
        {
            lines.push(format!("  {name:<8} {}", text::excerpt(text)));
        }
    }
    let shown = record.violations.len().min(VIOLATIONS_SHOWN) as u64;
    if record.violations_total > shown && shown > 0 {
        lines.push(format!("  and {} more", text::thousands(record.violations_total - shown)));
    }
    lines
}

/// The headline load. Of several variants only the roles are shown; the operations are left to the report.
fn headline(record: &RunRecord, load: &LoadInfo, paint: Paint) -> Vec<String> {
    let kind = load.headline_kind();
    let mut comparisons = comparisons(record, load);
    if comparisons.len() > 1 {
        for comparison in &mut comparisons {
            comparison.lines.retain(|line| line.op.is_none());
        }
    }
    let mut tables = Vec::new();
    for (i, comparison) in comparisons.iter().enumerate() {
        if i > 0 {
            tables.push(String::new());
        }
        tables.extend(comparison_lines(comparison, paint));
    }
    let mut lines = vec![
        format!("{}: {}", paint.bold(&text::printable(&load.name)), outcome::settings(load)),
        paint.dim(&match load.timing {
            Timing::Judged => format!("latency is the {} time, {}", kind.name(), outcome::meaning(kind)),
            Timing::Unjudged => "for correctness alone: its latencies are no results".to_owned(),
        }),
    ];
    let ratios =
        tables.iter().any(|line| line.contains("  ratio")).then(|| paint.dim(&format::ratio_legend()));
    let not_valid =
        (load.verdict.level == VerdictLevel::Invalid).then(|| paint.red(format::NOT_VALID_LEGEND));
    let legends = legend(&tables, paint).into_iter().chain(ratios).chain(floor_legend(&tables, paint));
    let legends = not_valid.into_iter().chain(legends);
    let legends: Vec<String> = legends.collect();
    lines.extend(tables);
    lines.extend(legends);
    lines
}

fn comparison_lines(comparison: &Comparison<'_>, paint: Paint) -> Vec<String> {
    let kind = comparison.load.headline_kind();
    let mut lines = Vec::new();
    if !comparison.variant.is_empty() {
        lines.push(paint.bold(&format!("[{}]", text::printable(comparison.variant))));
    }
    let grid = Grid { lead: lead(comparison), groups: groups(comparison, kind) };
    for (i, block) in grid.blocks(WIDTH).into_iter().enumerate() {
        if i > 0 {
            lines.push(String::new());
        }
        for (row, line) in block.into_iter().enumerate() {
            let shown = row.checked_sub(2).map(|row| comparison.lines.get(row));
            lines.push(match shown {
                // Titles, headers and the floor frame the figures.
                None | Some(None) => paint.dim(&line),
                Some(Some(line_of)) if line_of.op.is_none() && comparison.lines.len() > 1 => {
                    paint.bold(&line)
                }
                Some(Some(_)) => line,
            });
        }
    }
    lines
}

/// What the signs in the tables mean, where they occur.
fn legend(lines: &[String], paint: Paint) -> Option<String> {
    let has = |sign: &str| lines.iter().any(|line| line.contains(sign));
    let signs = [(MISSING, "– too few samples"), ("≥", "≥ at least: some requests were unfinished")];
    let used: Vec<&str> = signs.into_iter().filter(|(sign, _)| has(sign)).map(|(_, text)| text).collect();
    (!used.is_empty()).then(|| paint.dim(&used.join("; ")))
}

/// Whether the harness's own floor is known, and how it comes to be where it is not.
fn floor_lines(record: &RunRecord) -> Vec<String> {
    let (sentence, how) = floor::sentence(record);
    match record.floor {
        None => vec![format!("{:<9} {sentence}; {}", "floor", floor::HINT)],
        Some(_) if how => vec![format!("{:<9} {sentence}", "floor"), format!("{:<9} - {}", "", floor::HINT)],
        Some(_) => vec![format!("{:<9} {sentence}", "floor")],
    }
}

/// What the floor's sign means, where it occurs.
fn floor_legend(lines: &[String], paint: Paint) -> Option<String> {
    lines.iter().any(|line| line.contains(floor::MARK)).then(|| paint.dim(&floor::legend()))
}

fn lead(comparison: &Comparison<'_>) -> Vec<(String, Vec<String>)> {
    let mut roles = Vec::new();
    let mut previous = None;
    for line in &comparison.lines {
        let role = line.role.map_or(ALL, Role::name).to_owned();
        roles.push(if previous.as_ref() == Some(&role) { String::new() } else { role.clone() });
        previous = Some(role);
    }
    let mut ops: Vec<String> =
        comparison.lines.iter().map(|line| line.op.map_or(ALL, Op::name).to_owned()).collect();
    if comparison.has_floor() {
        roles.push("floor".to_owned());
        ops.push(String::new());
    }
    vec![("role".to_owned(), roles), ("operation".to_owned(), ops)]
}

/// The figures' groups of columns; the floor is the last row, where it is known.
fn groups(comparison: &Comparison<'_>, kind: LatencyKind) -> Vec<Group> {
    let figures = comparison.lines.iter().flat_map(|line| line.cells.iter().flatten());
    let unit = Unit::for_all(figures.map(|figures| {
        let summary = &figures.latencies[kind];
        summary[Statistic::P99].or(summary[Statistic::P50])
    }));
    let mut groups = Vec::new();
    if comparison.load.timing == Timing::Unjudged {
        return counts(comparison);
    }
    for (place, statistic) in COMPARED.into_iter().enumerate() {
        let of = |row: usize, i: usize| match comparison.lines.get(row) {
            Some(line) => line.cells[i].as_ref().and_then(|figures| figures.latencies[kind][statistic]),
            None => comparison.floor(i, kind, statistic),
        };
        let cell = |row: usize, i: usize| {
            let figure = row < comparison.lines.len();
            let within = figure && comparison.is_latency_within(i, kind, statistic, of(row, i));
            let text = floor::marked(unit.latency(of(row, i)), within);
            if figure { format::of_load(comparison.load, text) } else { text }
        };
        let ratio = |row: usize, i: usize| {
            // Of the floor only one measurement is kept.
            comparison.lines.get(row).map_or_else(String::new, |line| format::ratio(line.ratios[i][place]))
        };
        groups.push(Group {
            title: format!("{}, {}", statistic.name(), unit.symbol()),
            columns: columns(comparison, cell, Some(&ratio)),
        });
    }
    // The floor's rate is what was asked of it, and no floor of this load's.
    let rate = |row: usize, i: usize| match comparison.lines.get(row) {
        Some(line) => {
            let text = format::rate(line.cells[i].as_ref().and_then(|figures| figures.rate));
            format::of_load(comparison.load, text)
        }
        None => String::new(),
    };
    groups.push(Group { title: "requests/s".to_owned(), columns: columns(comparison, rate, None) });
    groups
}

/// What there is of a load whose timing is not judged.
fn counts(comparison: &Comparison<'_>) -> Vec<Group> {
    type Count = fn(&Counts) -> u64;
    let shown: [(&str, Count); 3] = [
        ("requests", |counts| counts.requests),
        ("errors", |counts| counts.errors),
        ("unfinished", |counts| counts.unfinished),
    ];
    let group = |(title, of): (&str, Count)| {
        let cell = |row: usize, i: usize| {
            let figures = comparison.lines.get(row).and_then(|line| line.cells[i].as_ref());
            figures.map_or_else(|| MISSING.to_owned(), |figures| text::thousands(of(&figures.counts)))
        };
        Group { title: title.to_owned(), columns: columns(comparison, cell, None) }
    };
    shown.into_iter().map(group).collect()
}

/// A column for each transport, and a ratio after each but the first.
fn columns(
    comparison: &Comparison<'_>,
    cell: impl Fn(usize, usize) -> String,
    ratio: Option<&dyn Fn(usize, usize) -> String>,
) -> Vec<(String, Vec<String>)> {
    let rows = comparison.lines.len() + usize::from(comparison.has_floor());
    let mut columns = Vec::new();
    for (i, transport) in comparison.transports.iter().enumerate() {
        let mut cells: Vec<String> = (0..rows).map(|row| cell(row, i)).collect();
        floor::align(&mut cells);
        columns.push((transport.label().to_owned(), cells));
        if let Some(ratio) = ratio.filter(|_| i > 0) {
            columns.push(("ratio".to_owned(), (0..rows).map(|row| ratio(row, i)).collect()));
        }
    }
    columns
}

/// One number of a load on a transport, by the transport's place in it.
type Figure<'a> = &'a dyn Fn(&Comparison<'_>, usize) -> Option<f64>;

/// Its ratio to the first transport's.
type RatioOf<'a> = &'a dyn Fn(&Comparison<'_>, usize) -> Option<Ratio>;

/// Whether that number is within the harness's floor.
type Within<'a> = &'a dyn Fn(&Comparison<'_>, usize) -> bool;

/// Throughput and CPU of every load and variant, a line each.
fn costs(record: &RunRecord, paint: Paint) -> Vec<String> {
    let judged = record.loads.iter().filter(|load| load.timing == Timing::Judged);
    let all: Vec<Comparison<'_>> = judged.flat_map(|load| comparisons(record, load)).collect();
    if all.is_empty() {
        return Vec::new();
    }
    let transports = record.transports_run();
    let name = |comparison: &Comparison<'_>| {
        let variant = text::printable(comparison.variant);
        let load = text::printable(&comparison.load.name);
        if variant.is_empty() { load } else { format!("{load} [{variant}]") }
    };
    let group = |title: &str,
                 figure: Figure<'_>,
                 ratio: RatioOf<'_>,
                 within: Within<'_>,
                 show: &dyn Fn(Option<f64>) -> String| {
        let of = |c: &Comparison<'_>, transport: Transport| {
            let i = c.transports.iter().position(|t| *t == transport)?;
            Some((figure(c, i)?, within(c, i)))
        };
        let number = |c: &Comparison<'_>, transport: Transport| of(c, transport).map(|(number, _)| number);
        let mut columns = Vec::new();
        for (i, &transport) in transports.iter().enumerate() {
            let cell = |c: &Comparison<'_>| {
                let within = of(c, transport).is_some_and(|(_, within)| within);
                format::of_load(c.load, floor::marked(show(number(c, transport)), within))
            };
            let mut cells: Vec<String> = all.iter().map(cell).collect();
            floor::align(&mut cells);
            columns.push((transport.label().to_owned(), cells));
            let alone = |c: &&Comparison<'_>| !c.is_mixed;
            if i > 0 && all.iter().any(|c| alone(&c)) {
                let ratio = |c: &Comparison<'_>| {
                    let i = c.transports.iter().position(|t| *t == transport)?;
                    // Of a load that ran over other transports the first one is another.
                    let same = alone(&c) && c.transports.first() == transports.first();
                    ratio(c, i).filter(|_| same)
                };
                let cells = all.iter().map(|c| format::ratio(ratio(c)));
                columns.push(("ratio".to_owned(), cells.collect()));
            }
        }
        Group { title: title.to_owned(), columns }
    };
    let rate: Figure<'_> = &|c, i| c.total().get(i)?.as_ref()?.rate;
    let cpu_us: Figure<'_> = &|c, i| Some(c.costs[i].as_ref()?.both_ns? / 1e3);
    let rate = group(
        "throughput, requests/s",
        rate,
        &|c, i| c.rate_ratio(i),
        &|c, i| c.is_rate_within(i),
        &format::rate,
    );
    let mut groups = vec![rate];
    let show = |us| format::optional(us, 1);
    let ratio: RatioOf<'_> = &|c, i| c.cost_ratio(i, |cost| cost.both_ns);
    let cpu = group("CPU of both sides, µs/request", cpu_us, ratio, &|c, i| c.is_cost_within(i), &show);
    // Without the server's process there is no CPU of both sides.
    if cpu.columns.iter().any(|(_, cells)| cells.iter().any(|cell| cell.trim_end() != MISSING)) {
        groups.push(cpu);
    }
    let grid = Grid { lead: vec![("load".to_owned(), all.iter().map(name).collect())], groups };
    let mut lines = Vec::new();
    for block in grid.blocks(WIDTH) {
        lines.push(String::new());
        lines.extend(
            block.into_iter().enumerate().map(|(i, line)| if i < 2 { paint.dim(&line) } else { line }),
        );
    }
    let legend = floor_legend(&lines, paint);
    lines.extend(legend);
    // The headline's tables explain the sign where it is their load that is not valid.
    let not_valid = |load: &&LoadInfo| load.verdict.level == VerdictLevel::Invalid;
    let is_new = !record.headline().is_some_and(|load| not_valid(&load));
    let shown = all.iter().any(|comparison| not_valid(&comparison.load));
    lines.extend((shown && is_new).then(|| paint.red(format::NOT_VALID_LEGEND)));
    lines
}

fn verdicts(record: &RunRecord, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    for load in &record.loads {
        let verdict = &load.verdict;
        let word = outcome::level(verdict.level);
        let word = match verdict.level {
            VerdictLevel::Unjudged => paint.dim(word),
            VerdictLevel::Valid => paint.green(word),
            VerdictLevel::Suspect => paint.yellow(word),
            VerdictLevel::Invalid => paint.red(word),
        };
        lines.push(format!("{:<9} {}: {word}", "verdict", text::printable(&load.name)));
        let notes = outcome::limit(load).into_iter().chain(verdict.reasons.iter().map(String::as_str));
        lines.extend(notes.map(|note| format!("{:<9} - {}", "", text::printable(note))));
    }
    lines
}

fn thresholds(record: &RunRecord, paint: Paint) -> Vec<String> {
    let line = |threshold: &crate::record::ThresholdResult| {
        let met = match threshold.met {
            Some(true) => paint.green("met"),
            Some(false) => paint.red("MISSED"),
            None => paint.yellow("not judged"),
        };
        let (text, measured) = (text::printable(&threshold.text), text::printable(&threshold.measured_text));
        format!("{:<9} {text}: {met} ({measured})", "threshold")
    };
    record.thresholds.iter().map(line).collect()
}
