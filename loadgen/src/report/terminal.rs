//! What `run` prints at its end: the outcome, the transports side by side, and whether to believe them.
//!
//! Plain text of at most `table::WIDTH` columns unless names are very long; colour only if asked for.

use std::path::Path;

use super::comparison::{Comparison, comparisons};
use super::table::{Sign, Table};
use super::tables::{self, ComparedFigure};
use super::{floor, outcome};
use crate::domain::Timing;
use crate::record::{LoadInfo, RunRecord, Status, VerdictLevel};
use crate::text::{self, Paint};

/// Violations shown in detail; the report has more.
const VIOLATIONS_SHOWN: usize = 3;

/// The text, ending with a line end. `folder` has the report.
#[must_use]
pub fn render(record: &RunRecord, folder: &Path, paint: Paint) -> String {
    let record = &*record.results();
    let mut lines = head(record, paint);
    lines.extend(violations(record, paint));
    // If nothing ran there is nothing to judge, and an empty table would only hide the reason above.
    if !record.passes.is_empty() {
        if let Some(load) = record.headline() {
            lines.push(String::new());
            lines.extend(headline(record, load, paint));
        }
        lines.extend(overview(record, paint));
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
            comparison.rows.retain(|row| row.op.is_none());
        }
    }
    let mut lines = vec![
        format!("{}: {}", paint.bold(&text::printable(&load.name)), outcome::settings(load)),
        paint.dim(&match load.timing {
            Timing::Judged => format!("latency is the {} time, {}", kind.name(), outcome::meaning(kind)),
            Timing::Unjudged => "for correctness alone: its latencies are not results".to_owned(),
        }),
    ];
    let mut tables = Vec::new();
    for (i, comparison) in comparisons.iter().enumerate() {
        lines.extend((i > 0).then(String::new));
        if !comparison.variant.is_empty() {
            lines.push(paint.bold(&format!("[{}]", text::printable(comparison.variant))));
        }
        let table = tables::comparison(comparison, &[ComparedFigure::Latencies, ComparedFigure::Rate]);
        lines.extend(table.text(paint));
        tables.push(table);
    }
    let signs = [Sign::NotValid, Sign::TooFew, Sign::LowerBound, Sign::Ratio, Sign::Floor];
    lines.extend(legends(&tables, &signs, paint));
    lines
}

/// Whether the harness's own floor is known, and if not, how to get it.
fn floor_lines(record: &RunRecord) -> Vec<String> {
    let (sentence, how) = floor::sentence(record);
    match record.floor {
        None => vec![format!("{:<9} {sentence}; {}", "floor", floor::HINT)],
        Some(_) if how => vec![format!("{:<9} {sentence}", "floor"), format!("{:<9} - {}", "", floor::HINT)],
        Some(_) => vec![format!("{:<9} {sentence}", "floor")],
    }
}

/// Throughput and CPU of every load and variant, a line each.
fn overview(record: &RunRecord, paint: Paint) -> Vec<String> {
    let judged = record.loads.iter().filter(|load| load.timing == Timing::Judged);
    let all: Vec<Comparison<'_>> = judged.flat_map(|load| comparisons(record, load)).collect();
    if all.is_empty() {
        return Vec::new();
    }
    let table = tables::overview(&all, &record.transports_run());
    let mut lines = vec![String::new()];
    lines.extend(table.text(paint));
    // The headline's tables explain the sign if their load is not valid.
    let explained = record.headline().is_some_and(|load| load.verdict.level == VerdictLevel::Invalid);
    lines.extend(legends(&[table], &[Sign::Floor, Sign::NotValid][..if explained { 1 } else { 2 }], paint));
    lines
}

/// What these signs mean, a line for each that occurs in the tables.
fn legends(tables: &[Table], signs: &[Sign], paint: Paint) -> Vec<String> {
    let used = signs.iter().filter(|sign| tables.iter().any(|table| table.has(**sign)));
    used.map(|sign| match sign {
        Sign::NotValid => paint.red(&sign.legend()),
        _ => paint.dim(&sign.legend()),
    })
    .collect()
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
