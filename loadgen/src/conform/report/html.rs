//! The report as one HTML file: no network, no script; symbols and words beside each colour.
//!
//! The matrix of rules and transports leads from each cell to its cases, and from each case to its failure in full.

use std::fmt::Write as _;

use super::super::protocol::Requirement;
use super::super::verdict::{CaseResult, SuiteResult, Verdict};
use super::details::{Details, Room};
use super::markdown::{headline, level};
use super::summary::{Matrix, Row, cell, count, is_shown, matrix, not_run, to_be_shown, troubles, worst};
use crate::domain::Transport;
use crate::text;

const STYLE: &str = include_str!("report.css");

/// The whole report.
#[must_use]
pub fn html(result: &SuiteResult, strict: bool) -> String {
    let mut out = String::new();
    let headline = escaped(&headline(result, strict));
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{headline}: conformance</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>Conformance: {headline}</h1>\n"
    );
    show_head(result, &mut out);
    let matrix = matrix(result);
    show_matrix(&matrix, &mut out);
    let shown = to_be_shown(result);
    if !shown.is_empty() {
        out.push_str("<h2>What did not pass</h2>\n");
    }
    for case in shown {
        show_failure(case, &mut out);
    }
    out.push_str("<h2>Cases by rule</h2>\n");
    for row in &matrix.rows {
        show_rule(row, &matrix.transports, &mut out);
    }
    out.push_str("</body>\n</html>\n");
    out
}

fn show_head(result: &SuiteResult, out: &mut String) {
    let runs: u64 = result.cases.iter().map(|case| u64::from(case.runs)).sum();
    let about = format!(
        "{}, profile {}: {} in {}, seed {}",
        result.target,
        result.profile,
        text::plural(runs, "run"),
        text::seconds(result.elapsed.as_secs_f64()),
        result.seed,
    );
    out.push_str("<ul>\n");
    for line in troubles(result).into_iter().chain(not_run(result)).chain([about]) {
        let _ = writeln!(out, "<li>{}</li>", escaped(&line));
    }
    out.push_str(
        "</ul>\n<table class=\"counts\">\n<thead><tr><th>Verdict</th><th>Cases</th></tr></thead>\n<tbody>\n",
    );
    for (verdict, cases) in count(&result.cases) {
        let _ = writeln!(
            out,
            "<tr><td class=\"{}\">{} {}</td><td class=\"number\">{}</td></tr>",
            class(verdict),
            verdict.symbol(),
            verdict.name(),
            text::thousands(cases as u64)
        );
    }
    let _ = writeln!(
        out,
        "<tr><td>due</td><td class=\"number\">{}</td></tr>\n</tbody>\n</table>",
        text::thousands(result.due as u64)
    );
}

fn show_matrix(matrix: &Matrix<'_>, out: &mut String) {
    out.push_str("<h2>Rules and transports</h2>\n<table>\n<thead><tr><th>Rule</th><th>Level</th>");
    for transport in &matrix.transports {
        let _ = write!(out, "<th>{}</th>", transport.label());
    }
    out.push_str("<th>Not run</th></tr></thead>\n<tbody>\n");
    for row in &matrix.rows {
        let name = row.rule.name();
        let _ = write!(out, "<tr><th><a href=\"#{name}\">{name}</a></th><td>{}</td>", level(row.rule));
        for transport in columns(&matrix.transports) {
            match row.cells.get(&transport) {
                None => out.push_str("<td></td>"),
                Some(cases) => {
                    let worst = worst(&count(cases.iter().copied())).expect("a cell has a case");
                    let anchor = cell_anchor(name, transport);
                    let _ = write!(
                        out,
                        "<td class=\"{}\"><a href=\"#{anchor}\">{}</a></td>",
                        class(worst),
                        cell(cases)
                    );
                }
            }
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n");
}

fn show_failure(case: &CaseResult, out: &mut String) {
    let rules: Vec<String> =
        case.rules.iter().map(|rule| format!("<a href=\"#{0}\">{0}</a>", rule.name())).collect();
    let _ = write!(
        out,
        "<section id=\"{}\" class=\"{}\">\n<h3>{} {}: {}{} ({})</h3>\n<p>{}</p>\n<pre>",
        case_anchor(case),
        class(case.verdict),
        case.verdict.symbol(),
        case.verdict.name(),
        escaped(&case.id),
        case.transport.map_or_else(String::new, |transport| format!(" over {}", transport.label())),
        rules.join(", "),
        escaped(&case.about),
    );
    for line in Details::of(case, Room::FILE).text().lines() {
        let _ = writeln!(out, "{}", escaped(line));
    }
    out.push_str("</pre>\n</section>\n");
}

fn show_rule(row: &Row<'_>, transports: &[Transport], out: &mut String) {
    let name = row.rule.name();
    let requirement = Requirement::of(row.rule);
    let _ = writeln!(out, "<h3 id=\"{name}\">{name} ({})</h3>", level(row.rule));
    for paragraph in requirement.text.split("\n\n").chain([requirement.why]) {
        let _ = writeln!(out, "<p>{}</p>", escaped(&paragraph.replace('\n', " ")));
    }
    out.push_str("<table>\n<thead><tr><th>Transport</th><th>Verdict</th><th>Case</th><th>Level</th><th>Runs</th><th>Time</th></tr></thead>\n");
    for transport in columns(transports) {
        let Some(cases) = row.cells.get(&transport) else { continue };
        let _ = writeln!(out, "<tbody id=\"{}\">", cell_anchor(name, transport));
        for case in cases {
            let verdict = format!("{} {}", case.verdict.symbol(), case.verdict.name());
            let verdict = if is_shown(case) {
                format!("<a href=\"#{}\">{verdict}</a>", case_anchor(case))
            } else {
                verdict
            };
            let reason =
                if case.reason.is_empty() { String::new() } else { format!(" ({})", escaped(&case.reason)) };
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td class=\"{}\">{verdict}{reason}</td><td><code>{}</code><br>{}</td><td>{}</td>\
                 <td class=\"number\">{}</td><td class=\"number\">{} ms</td></tr>",
                transport.map_or("–", Transport::label),
                class(case.verdict),
                escaped(&case.id),
                escaped(&case.about),
                case.level.name(),
                text::thousands(case.runs),
                text::decimal(case.elapsed.as_secs_f64() * 1e3, 1),
            );
        }
        out.push_str("</tbody>\n");
    }
    out.push_str("</table>\n");
}

/// The columns of the matrix: the transports, and what was skipped on all of them.
fn columns(transports: &[Transport]) -> impl Iterator<Item = Option<Transport>> {
    transports.iter().copied().map(Some).chain([None])
}

fn cell_anchor(rule: &str, transport: Option<Transport>) -> String {
    format!("{rule}-{}", transport.map_or("not-run", Transport::name))
}

/// Ids have only letters, digits, `-`, `_` and `.`.
fn case_anchor(case: &CaseResult) -> String {
    format!("case-{}-{}", case.id, case.transport.map_or("not-run", Transport::name))
}

const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Failed | Verdict::UnexpectedPass => "bad",
        Verdict::Warned | Verdict::Unstable | Verdict::ExpectedFailure | Verdict::Unknown => "odd",
        Verdict::Passed => "good",
        Verdict::Skipped => "none",
    }
}

/// Text in HTML: printable, and nothing of it markup.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text::printable(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::fixture::{self, NASTY, failed, result_of};
    use super::*;
    use crate::domain::Rule;

    /// The values of an attribute.
    fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
        html.split(&format!(" {attribute}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
    }

    #[test]
    fn each_link_leads_to_something_in_the_file_and_no_id_is_there_twice() {
        let html = html(&fixture::result(), false);
        let ids = values(&html, "id");
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "{ids:?}");
        let links = values(&html, "href");
        assert!(links.len() > 10, "{links:?}");
        for link in links {
            let id = link.strip_prefix('#').unwrap_or_else(|| panic!("{link} leads out of the file"));
            assert!(unique.contains(id), "{link} leads nowhere");
        }
    }

    #[test]
    fn each_cell_leads_to_its_cases_and_each_failure_is_there_in_full() {
        let html = html(&fixture::result(), false);
        assert!(
            html.contains("<td class=\"bad\"><a href=\"#STORE-1-tcp\">✗ 1 of 2 failed</a></td>"),
            "{html}"
        );
        assert!(html.contains("<a href=\"#case-fifth-tcp\">✗ failed</a>"), "{html}");
        assert!(html.contains("<section id=\"case-fifth-tcp\" class=\"bad\">"), "{html}");
        assert_eq!(html.matches("  expected  `value`").count(), 4);
    }

    #[test]
    fn the_file_needs_no_network_and_no_script_and_nothing_of_the_target_is_markup() {
        let html = html(&result_of(vec![failed("a", Rule::Store1, Verdict::Failed, NASTY)]), false);
        for outside in ["<script", "<img", "<link", "src=", "@import", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{html}");
        assert!(!html.contains(|c: char| c != '\n' && text::is_unprintable(c)));
    }

    #[test]
    fn elements_are_closed() {
        let html = html(&fixture::result(), false);
        for name in
            ["table", "thead", "tbody", "tr", "td", "section", "pre", "h3", "p", "a", "ul", "li", "code"]
        {
            let opened =
                html.matches(&format!("<{name}>")).count() + html.matches(&format!("<{name} ")).count();
            assert_eq!(opened, html.matches(&format!("</{name}>")).count(), "{name}");
        }
    }
}
