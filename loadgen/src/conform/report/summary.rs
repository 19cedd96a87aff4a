//! What every report of a suite says: counts, what was not run and why, the matrix of rules and transports, a rule's text in
//! short.

use std::collections::BTreeMap;

use super::super::protocol::Requirement;
use super::super::verdict::{CaseResult, SuiteResult, Verdict};
use crate::domain::{Rule, Transport};
use crate::text;

/// Characters of a rule's text where there is little room.
const RULE_CHARS_MAX: usize = 240;

/// How many cases have which verdict; none with a count of zero.
pub(super) type Counts = BTreeMap<Verdict, usize>;

/// The verdicts of these cases, counted.
pub(super) fn count<'a>(cases: impl IntoIterator<Item = &'a CaseResult>) -> Counts {
    let mut counts = Counts::new();
    for case in cases {
        *counts.entry(case.verdict).or_default() += 1;
    }
    counts
}

/// `24 passed, 1 failed`.
pub(super) fn in_words(counts: &Counts) -> String {
    let each: Vec<String> = counts
        .iter()
        .map(|(verdict, count)| format!("{} {}", text::thousands(*count as u64), verdict.name()))
        .collect();
    if each.is_empty() { "nothing".to_owned() } else { each.join(", ") }
}

/// The worst of the verdicts.
pub(super) fn worst(counts: &Counts) -> Option<Verdict> {
    Verdict::WORST_FIRST.into_iter().find(|verdict| counts.contains_key(verdict))
}

/// `41 of 180 skipped: no WebSocket target`, a line for each reason: first what was skipped, then what is unknown, each with
/// the commonest reason first.
pub(super) fn not_run(result: &SuiteResult) -> Vec<String> {
    /// Lines for one verdict: of a profile with many exceptions the commonest.
    const REASONS_MAX: usize = 8;
    let mut lines = Vec::new();
    let due = text::thousands(result.due as u64);
    for verdict in [Verdict::Skipped, Verdict::Unknown] {
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for case in result.cases.iter().filter(|case| case.verdict == verdict) {
            *reasons.entry(&case.reason).or_default() += 1;
        }
        let mut reasons: Vec<(&str, u64)> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let (shown, left) = reasons.split_at(reasons.len().min(REASONS_MAX));
        for (reason, count) in shown {
            lines.push(format!(
                "{} of {due} {}: {}",
                text::thousands(*count),
                verdict.name(),
                text::printable(reason)
            ));
        }
        let count: u64 = left.iter().map(|(_, count)| count).sum();
        if count > 0 {
            let reasons = text::plural(left.len() as u64, "other reason");
            lines.push(format!("{} of {due} {}: for {reasons}", text::thousands(count), verdict.name()));
        }
    }
    lines
}

/// What a suite comes to beyond its cases, where there is anything: a target that is gone, cases without a result.
pub(super) fn troubles(result: &SuiteResult) -> Vec<String> {
    let mut troubles: Vec<String> = result.lost.iter().map(|lost| text::printable(lost)).collect();
    if !result.deaths.is_empty() {
        troubles.push(format!(
            "the server died while several cases ran, and none of these ended it alone: {}",
            text::backquoted(&result.deaths)
        ));
    }
    if result.is_incomplete() {
        troubles.push(format!(
            "{} cases were due and {} have a result: nothing passes by not being run",
            text::thousands(result.due as u64),
            text::thousands(result.cases.len() as u64)
        ));
    }
    if result.interrupted {
        troubles.push("it was interrupted".to_owned());
    }
    troubles
}

/// The cases of a rule over each transport; `None` for those that were skipped on all of them.
pub(super) struct Row<'a> {
    pub(super) rule: Rule,
    pub(super) cells: BTreeMap<Option<Transport>, Vec<&'a CaseResult>>,
}

/// Rules and transports, with the cases of each pair.
pub(super) struct Matrix<'a> {
    /// The columns.
    pub(super) transports: Vec<Transport>,
    /// Only rules that have cases in this result.
    pub(super) rows: Vec<Row<'a>>,
}

/// The matrix of a result.
pub(super) fn matrix(result: &SuiteResult) -> Matrix<'_> {
    let has = |transport: &Transport| result.cases.iter().any(|case| case.transport == Some(*transport));
    let transports = Transport::ALL.into_iter().filter(has).collect();
    let mut rows = Vec::new();
    for rule in Rule::ALL {
        let mut cells: BTreeMap<Option<Transport>, Vec<&CaseResult>> = BTreeMap::new();
        for case in result.cases.iter().filter(|case| case.rules.contains(&rule)) {
            cells.entry(case.transport).or_default().push(case);
        }
        if !cells.is_empty() {
            rows.push(Row { rule, cells });
        }
    }
    Matrix { transports, rows }
}

/// `✓ 5`, or `✗ 1 of 5 failed`: the worst verdict, and how many cases of the cell have it.
pub(super) fn cell(cases: &[&CaseResult]) -> String {
    let counts = count(cases.iter().copied());
    match worst(&counts) {
        None => String::new(),
        Some(verdict) if counts.len() == 1 && verdict == Verdict::Passed => {
            format!("{} {}", verdict.symbol(), cases.len())
        }
        Some(verdict) => {
            format!("{} {} of {} {}", verdict.symbol(), counts[&verdict], cases.len(), verdict.name())
        }
    }
}

/// What a rule demands, in one line: the first paragraph, up to the end of a sentence where that is not far.
pub(super) fn rule_in_short(rule: Rule) -> String {
    let first = Requirement::of(rule).text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    if text::width(&first) <= RULE_CHARS_MAX {
        return first;
    }
    let cut: String = first.chars().take(RULE_CHARS_MAX).collect();
    match cut.rfind(". ") {
        Some(end) if end > RULE_CHARS_MAX / 3 => cut[..=end].to_owned(),
        _ => cut.rsplit_once(' ').map_or(cut.clone(), |(words, _)| format!("{words} …")),
    }
}

/// A case's rules, or the one that its failure broke.
pub(super) fn broken_rules(case: &CaseResult) -> Vec<Rule> {
    let other = case.failure.as_ref().and_then(|failure| failure.rule);
    other.map_or_else(|| case.rules.clone(), |rule| vec![rule])
}

/// Whether there is something to say of a case in full.
pub(super) fn is_shown(case: &CaseResult) -> bool {
    case.failure.is_some()
        || matches!(case.verdict, Verdict::Failed | Verdict::UnexpectedPass | Verdict::Warned)
}

/// Those cases, the worst first.
pub(super) fn to_be_shown(result: &SuiteResult) -> Vec<&CaseResult> {
    let mut cases: Vec<&CaseResult> = result.cases.iter().filter(|case| is_shown(case)).collect();
    let rank = |verdict| Verdict::WORST_FIRST.iter().position(|one| *one == verdict);
    cases.sort_by_key(|case| rank(case.verdict));
    cases
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, case, result_of};
    use super::*;

    fn skipped(id: &str, reason: &str) -> CaseResult {
        CaseResult { reason: reason.to_owned(), transport: None, ..case(id, Rule::Ws1, Verdict::Skipped) }
    }

    #[test]
    fn what_was_not_run_is_counted_by_its_reason_the_commonest_first() {
        let mut cases = vec![
            skipped("a", "its level is full"),
            skipped("b", "no WebSocket target"),
            skipped("c", "no WebSocket target"),
            case("d", Rule::Login1, Verdict::Passed),
        ];
        let lines = not_run(&result_of(cases.clone()));
        assert_eq!(lines, ["2 of 4 skipped: no WebSocket target", "1 of 4 skipped: its level is full"]);
        cases.extend((0..10).map(|number| skipped("e", &format!("reason {number}"))));
        let lines = not_run(&result_of(cases));
        assert_eq!(lines.len(), 9);
        assert_eq!(lines[8], "4 of 14 skipped: for 4 other reasons");
        assert!(not_run(&result_of(Vec::new())).is_empty());
    }

    #[test]
    fn the_matrix_has_each_case_under_each_of_its_rules() {
        let mut result = fixture::result();
        result.cases[0].rules.push(Rule::Store7);
        let matrix = matrix(&result);
        assert_eq!(matrix.transports, [Transport::Tcp, Transport::WebSocket]);
        let total: usize = matrix.rows.iter().flat_map(|row| row.cells.values()).map(Vec::len).sum();
        assert_eq!(total, result.cases.len() + 1);
        let row = |rule| &matrix.rows.iter().find(|row| row.rule == rule).unwrap().cells;
        assert_eq!(row(Rule::Store7)[&Some(Transport::Tcp)][0].id, "first");
        assert_eq!(row(Rule::Ws1)[&None][0].id, "eighth");
    }

    #[test]
    fn a_cell_shows_its_worst_verdict() {
        let cases =
            [Verdict::Passed, Verdict::Failed, Verdict::Warned].map(|verdict| case("a", Rule::Ws1, verdict));
        let cell_of = |cases: &[CaseResult]| cell(&cases.iter().collect::<Vec<_>>());
        assert_eq!(cell_of(&cases), "✗ 1 of 3 failed");
        assert_eq!(cell_of(&cases[..1]), "✓ 1");
        assert_eq!(cell_of(&[]), "");
    }

    #[test]
    fn every_verdict_has_its_place_and_its_own_symbol() {
        for verdict in Verdict::ALL {
            assert!(Verdict::WORST_FIRST.contains(&verdict), "{}", verdict.name());
            assert_eq!(Verdict::ALL.iter().filter(|other| other.symbol() == verdict.symbol()).count(), 1);
        }
    }

    #[test]
    fn a_rule_in_short_is_one_line_of_a_bearable_length() {
        for rule in Rule::ALL {
            let text = rule_in_short(rule);
            assert!(!text.contains('\n') && text::width(&text) <= RULE_CHARS_MAX + 2, "{rule}: {text}");
            assert!(text.len() > 20, "{rule}: {text}");
        }
    }

    #[test]
    fn what_a_suite_lacks_is_said() {
        let mut result = fixture::result();
        assert!(troubles(&result).is_empty());
        result.due += 1;
        result.lost = Some("the target died in `x`\u{1b}".to_owned());
        let troubles = troubles(&result);
        assert_eq!(troubles[0], "the target died in `x`\\u{1b}");
        assert!(troubles[1].starts_with("10 cases were due and 9 have a result"), "{troubles:?}");
    }
}
