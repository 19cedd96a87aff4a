//! The result on a terminal of eighty columns: what was skipped and why, failures in full, and the counts.

use std::fmt::Write as _;

use super::super::suite::SuiteCase;
use super::super::verdict::{CaseResult, Outcome, SuiteResult, Verdict};
use super::details::{Details, Room, wrapped};
use super::summary::{count, in_words, not_run, to_be_shown, troubles};
use crate::text::{self, Paint};

/// Cases that are shown in full; who wants all has `--out` and `--json`.
const FULL_MAX: usize = 20;

/// Cases that do not fail the suite and have a line each.
const LINES_MAX: usize = 20;

/// A line for each case: id, level, rules, what it shows.
#[must_use]
pub fn list(cases: &[SuiteCase]) -> String {
    let rules =
        |case: &SuiteCase| case.case.rules.iter().map(|rule| rule.name()).collect::<Vec<_>>().join(",");
    let width_of =
        |text: &dyn Fn(&SuiteCase) -> String| cases.iter().map(|case| text::width(&text(case))).max();
    let id_width = width_of(&|case| case.case.id.clone()).unwrap_or(0);
    let rules_width = width_of(&rules).unwrap_or(0);
    let mut out = String::new();
    for one in cases {
        let SuiteCase { case, .. } = one;
        let (id, rules) = (text::left(&case.id, id_width), text::left(&rules(one), rules_width));
        let _ = writeln!(out, "{id}  {}  {rules}  {}", case.level.name(), text::printable(&case.about));
    }
    out
}

/// The whole result.
#[must_use]
pub fn terminal(result: &SuiteResult, strict: bool, paint: Paint) -> String {
    let mut out = String::new();
    for line in not_run(result) {
        let _ = writeln!(out, "{line}");
    }
    if !out.is_empty() {
        out.push('\n');
    }
    let shown = to_be_shown(result);
    let (failed, others): (Vec<&CaseResult>, Vec<&CaseResult>) =
        shown.into_iter().partition(|case| case.verdict.fails(strict));
    for case in failed.iter().take(FULL_MAX) {
        show_in_full(case, paint, &mut out);
    }
    if failed.len() > FULL_MAX {
        let left = text::plural((failed.len() - FULL_MAX) as u64, "more failure");
        let _ = writeln!(out, "… and {left}: the report of --out DIR has all of them\n");
    }
    for case in others.iter().take(LINES_MAX) {
        show_in_short(case, paint, &mut out);
    }
    if others.len() > LINES_MAX {
        let left = text::thousands((others.len() - LINES_MAX) as u64);
        let _ = writeln!(out, "… and {left} more that do not fail the suite");
    }
    if !others.is_empty() {
        out.push('\n');
    }
    show_end(result, strict, paint, &mut out);
    out
}

/// The verdict, the counts, and what else there is to know.
fn show_end(result: &SuiteResult, strict: bool, paint: Paint, out: &mut String) {
    let outcome = result.outcome(strict);
    let name = match outcome {
        Outcome::Passed => paint.green(outcome.name()),
        Outcome::Failed | Outcome::TargetLost => paint.red(outcome.name()),
        Outcome::Interrupted | Outcome::Undecided => paint.yellow(outcome.name()),
    };
    for trouble in troubles(result) {
        let _ = writeln!(out, "{trouble}");
    }
    let of_all = text::thousands(result.due as u64);
    let _ = writeln!(out, "conform: {name}: of {of_all}, {}", in_words(&count(&result.cases)));
    let runs: u64 = result.cases.iter().map(|case| u64::from(case.runs)).sum();
    let what = format!(
        "{}, profile {}: {} in {}, seed {}",
        text::printable(&result.target),
        text::printable(&result.profile),
        text::plural(runs, "run"),
        text::seconds(result.elapsed.as_secs_f64()),
        result.seed,
    );
    for line in wrapped(&what, 78) {
        let _ = writeln!(out, "  {line}");
    }
}

fn heading(case: &CaseResult, paint: Paint) -> String {
    let over = case.transport.map_or_else(String::new, |transport| format!(" over {}", transport.label()));
    let verdict = case.verdict.name();
    let verdict = if case.verdict.fails(false) { paint.red(verdict) } else { paint.yellow(verdict) };
    format!("{verdict}  {}{over}", paint.bold(&case.id))
}

fn show_in_full(case: &CaseResult, paint: Paint, out: &mut String) {
    let _ = writeln!(out, "{}", heading(case, paint));
    for line in wrapped(&text::printable(&case.about), 78) {
        let _ = writeln!(out, "  {line}");
    }
    let details = Details::of(case, Room::TERMINAL);
    for line in details.lines {
        let _ = writeln!(out, "{line}");
    }
    for line in details.transcript {
        let _ = writeln!(out, "{}", paint.dim(&line));
    }
    out.push('\n');
}

fn show_in_short(case: &CaseResult, paint: Paint, out: &mut String) {
    let _ = writeln!(out, "{}: {}", heading(case, paint), text::printable(&case.about));
    let mut say = |what: String| {
        for line in wrapped(&what, 76) {
            let _ = writeln!(out, "    {line}");
        }
    };
    if !case.reason.is_empty() {
        say(text::printable(&case.reason));
    }
    if let Some(failure) = case.failure.as_ref().filter(|_| case.verdict != Verdict::ExpectedFailure) {
        let compared = failure.compared(60);
        say(format!("expected {}, seen {}", compared.expected, compared.seen));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, NASTY, case, failed, result_of};
    use super::*;
    use crate::domain::Rule;

    const PLAIN: Paint = Paint { colour: false };

    #[test]
    fn the_first_line_says_what_was_skipped_and_the_last_ones_what_it_came_to() {
        let text = terminal(&fixture::result(), false, PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "1 of 9 skipped: no WebSocket target");
        assert_eq!(
            lines[lines.len() - 2..],
            [
                "conform: FAILED: of 9, 2 passed, 1 warned, 1 unstable, 1 expected failure, 1 failed, 1 unexpected \
                 pass, 1 unknown, 1 skipped",
                "  tcp 127.0.0.1:1601, profile default: 24 runs in 1.2 s, seed 7",
            ]
        );
    }

    #[test]
    fn what_fails_is_in_full_and_the_rest_in_short() {
        let text = terminal(&fixture::result(), false, PLAIN);
        assert!(text.contains("failed  fifth over TCP\n  A client logs in\n  STORE-1   "), "{text}");
        assert!(text.contains("unexpected pass  sixth over TCP\n"), "{text}");
        assert!(
            text.contains("unstable  third over TCP: A client logs in\n    it passed when it ran alone\n"),
            "{text}"
        );
        assert!(text.contains("    expected `value`, seen `val`\n"), "{text}");
        assert_eq!(text.matches("  sent      ").count(), 1, "{text}");
        assert_eq!(terminal(&fixture::result(), true, PLAIN).matches("  sent      ").count(), 3);
    }

    #[test]
    fn of_many_failures_the_first_are_shown_and_all_are_counted() {
        let cases = (0..34)
            .map(|number| failed(&format!("c{number}"), Rule::Store1, Verdict::Failed, NASTY))
            .collect();
        let text = terminal(&result_of(cases), false, PLAIN);
        assert_eq!(text.matches("  sent      ").count(), FULL_MAX);
        assert!(text.contains("… and 14 more failures: the report of --out DIR has"), "{text}");
        assert!(text.contains("conform: FAILED: of 34, 34 failed\n"), "{text}");
    }

    #[test]
    fn a_terminal_gets_no_control_byte_of_the_target() {
        let mut result = fixture::result();
        result.target = "x\u{1b}[2J".to_owned();
        result.cases.push(CaseResult {
            reason: "said \u{1b}]0;".to_owned(),
            ..case("tenth", Rule::Ws1, Verdict::Skipped)
        });
        let text = terminal(&result, false, PLAIN);
        assert!(!text.contains(|c: char| c != '\n' && text::is_unprintable(c)), "{text:?}");
    }

    #[test]
    fn the_list_has_a_line_a_case() {
        let cases = crate::conform::built_in::all();
        let list = list(&cases);
        assert_eq!(list.lines().count(), cases.len());
        for (line, case) in list.lines().zip(&cases) {
            assert!(line.starts_with(&format!("{} ", case.case.id)), "{line}");
        }
    }
}
