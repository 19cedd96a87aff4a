//! The result on a terminal: what was skipped and why, each failure in full, and the counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::failure::{Failure, FailureKind, Shown};
use super::super::protocol::Requirement;
use super::super::suite::SuiteCase;
use super::super::transcript::{Entry, Happened};
use super::super::verdict::{CaseResult, SuiteResult, Verdict};
use super::progress::counts;
use crate::text::{self, Paint};

/// Entries of a transcript that are shown, the last ones.
const ENTRIES_SHOWN: usize = 12;

/// A line for each case: id, rules, level, what it shows.
#[must_use]
pub fn list(cases: &[SuiteCase]) -> String {
    let mut out = String::new();
    for SuiteCase { case, group } in cases {
        let rules: Vec<&str> = case.rules.iter().map(|rule| rule.name()).collect();
        let level = case.level.name();
        let _ = writeln!(out, "{group:<20} {:<48} {level} {:<16} {}", case.id, rules.join(","), case.about);
    }
    out
}

/// The whole result.
#[must_use]
pub fn terminal(result: &SuiteResult, strict: bool, paint: Paint) -> String {
    let mut out = String::new();
    for verdict in [Verdict::Skipped, Verdict::Unknown] {
        for line in reasons(result, verdict) {
            let _ = writeln!(out, "{line}");
        }
    }
    let bad = |case: &&CaseResult| case.verdict.fails(true) || case.verdict == Verdict::ExpectedFailure;
    for case in result.cases.iter().filter(bad) {
        show_case(case, paint, &mut out);
    }
    let _ = writeln!(out, "{}", headline(result, strict, paint));
    out
}

/// `41 of 180 skipped: no WebSocket target`, a line for each reason, the commonest first.
fn reasons(result: &SuiteResult, verdict: Verdict) -> Vec<String> {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for case in result.cases.iter().filter(|case| case.verdict == verdict) {
        *reasons.entry(&case.reason).or_default() += 1;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let line = |(reason, count): (&str, usize)| {
        format!("{count} of {} {}: {}", result.due, verdict.name(), text::printable(reason))
    };
    reasons.into_iter().map(line).collect()
}

fn headline(result: &SuiteResult, strict: bool, paint: Paint) -> String {
    let mut by_verdict: BTreeMap<Verdict, usize> = BTreeMap::new();
    for case in &result.cases {
        *by_verdict.entry(case.verdict).or_default() += 1;
    }
    let runs: u64 = result.cases.iter().map(|case| u64::from(case.runs)).sum();
    let verdict = match result.exit_code(strict) {
        0 => paint.green("passed"),
        1 => paint.red("FAILED"),
        3 => paint.red("no target"),
        130 => paint.yellow("interrupted"),
        _ => paint.yellow("not decided"),
    };
    let mut line = format!(
        "conform: {verdict}: {} of {} due: {}; {} runs in {}, seed {}",
        result.cases.len(),
        result.due,
        counts(&by_verdict),
        text::thousands(runs),
        text::seconds(result.elapsed.as_secs_f64()),
        result.seed,
    );
    if let Some(lost) = &result.lost {
        let _ = write!(line, "\n{}", text::printable(lost));
    }
    line
}

fn show_case(case: &CaseResult, paint: Paint, out: &mut String) {
    let over = case.transport.map_or_else(String::new, |transport| format!(" over {}", transport.label()));
    let verdict = case.verdict.name();
    let verdict = if case.verdict.fails(false) { paint.red(verdict) } else { paint.yellow(verdict) };
    let _ = writeln!(out, "{verdict}  {}{over}: {}", paint.bold(&case.id), text::printable(&case.about));
    if case.server_died {
        let _ = writeln!(out, "  the server died in it");
    }
    if !case.reason.is_empty() {
        let _ = writeln!(out, "  {}", text::printable(&case.reason));
    }
    let Some(failure) = &case.failure else {
        out.push('\n');
        return;
    };
    let rules = failure.rule.map_or_else(|| case.rules.clone(), |rule| vec![rule]);
    for rule in rules {
        let requirement = Requirement::of(rule);
        let first = requirement.text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        let _ = writeln!(out, "  {:<9} {first}", rule.name());
    }
    show_failure(failure, out);
    if case.cutting != super::super::cutting::Cutting::Whole {
        let _ = writeln!(out, "  cutting   {}: it passes when nothing is cut", case.cutting);
    }
    show_transcript(case, paint, out);
    out.push('\n');
}

fn show_failure(failure: &Failure, out: &mut String) {
    let who = if failure.client.is_empty() { String::new() } else { format!(", {}", failure.client) };
    let _ = writeln!(out, "  where     {}{who}", failure.place);
    if !failure.sent.is_empty() {
        let _ = writeln!(out, "  sent      {}", Shown::Text(failure.sent.clone()));
    }
    let _ = writeln!(out, "  expected  {}", failure.expected);
    let _ = writeln!(out, "  seen      {}", failure.seen);
    if let (Some(at), Shown::Text(seen)) = (failure.differs_at(), &failure.seen)
        && let Some(before) = seen.get(..at).and_then(|before| str::from_utf8(before).ok())
    {
        // Twelve for the margin, one for the backquote.
        let column = 13 + text::width(&text::printable(before));
        if column < 120 {
            let _ = writeln!(out, "{}^ byte {at}", " ".repeat(column));
        }
    }
    if failure.kind == FailureKind::Late {
        let _ = writeln!(out, "  (it is about time only)");
    }
}

fn show_transcript(case: &CaseResult, paint: Paint, out: &mut String) {
    let from = case.transcript.len().saturating_sub(ENTRIES_SHOWN);
    if from > 0 {
        let _ = writeln!(out, "  {}", paint.dim(&format!("… {} before", text::plural(from as u64, "event"))));
    }
    for Entry { at, client, what } in &case.transcript[from..] {
        let name = case.clients.get(*client).map_or("", String::as_str);
        let what = match what {
            Happened::Sent { bytes, length } => format!("> {}", bytes_shown(bytes, *length)),
            Happened::Received { bytes, length } => format!("< {}", bytes_shown(bytes, *length)),
            Happened::Note(note) => format!("  {}", text::printable(note)),
        };
        let line = format!("{:>9.1} ms  {name:<10} {what}", at.as_secs_f64() * 1000.0);
        let _ = writeln!(out, "  {}", paint.dim(&line));
    }
}

/// Bytes on the wire: as text where they are, else in hexadecimal.
fn bytes_shown(bytes: &[u8], length: usize) -> String {
    /// Most bytes of a line.
    const SHOWN_MAX: usize = 72;
    let part = &bytes[..bytes.len().min(SHOWN_MAX)];
    let printable =
        str::from_utf8(part).is_ok_and(|text| !text.chars().any(|c| c.is_control() && !"\r\n\t".contains(c)));
    let shown = if printable {
        format!("\"{}\"", String::from_utf8_lossy(part).escape_debug())
    } else {
        part.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
    };
    if length > part.len() {
        format!("{shown} … ({} bytes)", text::thousands(length as u64))
    } else {
        shown
    }
}
