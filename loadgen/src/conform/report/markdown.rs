//! The result in Markdown, for a CI's job page and as `report.md`.

use std::fmt::Write as _;

use super::super::verdict::{CaseResult, Outcome, SuiteResult, Verdict};
use super::details::{Details, Room};
use super::summary::{Matrix, cell, count, matrix, not_run, to_be_shown, troubles};
use crate::domain::Rule;
use crate::text::{self, markdown as escaped};

/// Bytes after which cases are counted only: a job page of GitHub takes 1 MiB.
const BYTES_MAX: usize = 700 << 10;

/// The whole result.
#[must_use]
pub fn markdown(result: &SuiteResult, strict: bool) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "# Conformance: {}\n", headline(result, strict));
    for line in troubles(result).into_iter().chain(not_run(result)) {
        let _ = writeln!(out, "- {}", escaped(&line));
    }
    let runs: u64 = result.cases.iter().map(|case| u64::from(case.runs)).sum();
    let _ = writeln!(
        out,
        "- {}, profile {}: {} in {}, seed {}\n",
        escaped(&result.target),
        escaped(&result.profile),
        text::plural(runs, "run"),
        text::seconds(result.elapsed.as_secs_f64()),
        result.seed,
    );
    show_counts(result, &mut out);
    let shown = to_be_shown(result);
    if !shown.is_empty() {
        out.push_str("## What did not pass\n\n");
    }
    for (number, case) in shown.iter().enumerate() {
        if out.len() > BYTES_MAX {
            let left = text::plural((shown.len() - number) as u64, "more case");
            let _ = writeln!(out, "… and {left} that did not pass.\n");
            break;
        }
        show_case(case, &mut out);
    }
    show_matrix(&matrix(result), &mut out);
    out
}

/// `3 failed of 180`, or `180 of 180 passed`.
pub(super) fn headline(result: &SuiteResult, strict: bool) -> String {
    let outcome = result.outcome(strict);
    let number = |number: usize| text::thousands(number as u64);
    let failed = result.cases.iter().filter(|case| case.verdict.fails(strict)).count();
    let ran = result.cases.len() - result.count(Verdict::Skipped);
    match outcome {
        Outcome::Passed => {
            format!(
                "{} {} of {} passed",
                Verdict::Passed.symbol(),
                number(result.count(Verdict::Passed)),
                number(ran)
            )
        }
        Outcome::Failed if failed > 0 => {
            format!("{} {} of {} failed", Verdict::Failed.symbol(), number(failed), number(ran))
        }
        Outcome::Failed => format!("{} incomplete", Verdict::Failed.symbol()),
        outcome => format!("{} {}", Verdict::Unknown.symbol(), outcome.name()),
    }
}

fn show_counts(result: &SuiteResult, out: &mut String) {
    out.push_str("| Verdict | Cases |\n|---|--:|\n");
    for (verdict, cases) in count(&result.cases) {
        let _ =
            writeln!(out, "| {} {} | {} |", verdict.symbol(), verdict.name(), text::thousands(cases as u64));
    }
    let _ = writeln!(out, "| due | {} |\n", text::thousands(result.due as u64));
}

fn show_case(case: &CaseResult, out: &mut String) {
    let over = case.transport.map_or_else(String::new, |transport| format!(" over {}", transport.label()));
    let rules: Vec<&str> = case.rules.iter().map(|rule| rule.name()).collect();
    let _ = writeln!(
        out,
        "<details><summary>{} <b>{}</b>: <code>{}</code>{over} ({}): {}</summary>\n",
        case.verdict.symbol(),
        case.verdict.name(),
        escaped(&case.id),
        rules.join(", "),
        escaped(&case.about),
    );
    out.push_str("<pre>\n");
    for line in Details::of(case, Room::FILE).text().lines() {
        let _ = writeln!(out, "{}", escaped(line));
    }
    out.push_str("</pre>\n\n</details>\n\n");
}

fn show_matrix(matrix: &Matrix<'_>, out: &mut String) {
    out.push_str("## Rules\n\n| Rule | |");
    for transport in &matrix.transports {
        let _ = write!(out, " {} |", transport.label());
    }
    out.push_str(" Not run |\n|---|---|");
    out.push_str(&"---|".repeat(matrix.transports.len() + 1));
    out.push('\n');
    for row in &matrix.rows {
        let _ = write!(out, "| {} | {} |", row.rule.name(), level(row.rule));
        for transport in matrix.transports.iter().copied().map(Some).chain([None]) {
            let _ =
                write!(out, " {} |", row.cells.get(&transport).map(|cases| cell(cases)).unwrap_or_default());
        }
        out.push('\n');
    }
}

/// Whether a server must or should keep to it.
pub(super) const fn level(rule: Rule) -> &'static str {
    if rule.is_should() { "SHOULD" } else { "MUST" }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, NASTY, case, failed, result_of};
    use super::*;

    #[test]
    fn the_page_opens_with_the_verdict_and_the_counts() {
        let page = markdown(&fixture::result(), false);
        let head = "\
# Conformance: ✗ 2 of 8 failed

- 1 of 9 skipped: no WebSocket target
- 1 of 9 unknown: no descriptors
- tcp 127.0.0.1:1601, profile default: 24 runs in 1.2 s, seed 7

| Verdict | Cases |
|---|--:|
| ✓ passed | 2 |
| ! warned | 1 |
";
        assert!(page.starts_with(head), "{page}");
        assert!(page.contains("| Rule | | TCP | WebSocket | Not run |\n|---|---|---|---|---|\n"), "{page}");
        assert!(page.contains("| LOGIN-1 | MUST | ✓ 1 | ✓ 1 |  |\n"), "{page}");
        assert!(page.contains("| STORE-1 | MUST | ✗ 1 of 2 failed |  |  |\n"), "{page}");
        assert!(page.contains("| WS-1 | MUST |  |  | – 1 of 1 skipped |\n"), "{page}");
    }

    #[test]
    fn all_passed_is_said_in_the_headline() {
        let result = result_of(vec![case("a", Rule::Login1, Verdict::Passed); 1591]);
        let page = markdown(&result, false);
        assert!(page.starts_with("# Conformance: ✓ 1,591 of 1,591 passed\n"), "{page}");
        assert!(!page.contains("What did not pass"), "{page}");
    }

    #[test]
    fn nothing_that_the_target_sent_is_markup() {
        let result = result_of(vec![failed("a", Rule::Store1, Verdict::Failed, NASTY)]);
        let page = markdown(&result, false);
        assert_eq!(page.matches("<script").count() + page.matches("]]>").count(), 0, "{page}");
        // Each element is ours, and closed.
        for (open, close) in [("<pre>", "</pre>"), ("<details>", "</details>"), ("<code>", "</code>")] {
            assert_eq!((page.matches(open).count(), page.matches(close).count()), (1, 1), "{page}");
        }
        // An empty line would end the block of HTML, and what follows would be Markdown.
        let block = &page[page.find("<pre>").unwrap()..page.find("</pre>").unwrap()];
        assert!(!block.contains("\n\n"), "{block}");
        assert!(!page.contains(|c: char| c != '\n' && text::is_unprintable(c)), "{page:?}");
    }

    #[test]
    fn a_page_does_not_outgrow_what_a_job_page_takes() {
        let cases = vec![failed("a", Rule::Store1, Verdict::Failed, &[b'x'; 4096]); 1000];
        let page = markdown(&result_of(cases), false);
        assert!(page.len() < 1 << 20, "{}", page.len());
        assert!(page.contains("more cases that did not pass."), "the rest is counted");
    }
}
