//! What there is to know of a rule or a case, for people and programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::built_in;
use super::super::case::model::{Case, Need};
use super::super::protocol::Requirement;
use super::super::suite::SuiteCase;
use super::details::wrapped;
use super::markdown::level;
use super::summary::rule_in_short;
use crate::domain::{Rule, Transport};
use crate::text::{self, Paint};

/// Columns of a line.
const COLUMNS: usize = 78;

/// A rule or a case of those that are built in.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A rule of the protocol.
    Rule(Rule),
    /// A case.
    Case(Box<SuiteCase>),
}

impl Subject {
    /// The rule or case with this id; a rule's may be in small letters.
    ///
    /// # Errors
    /// With all ids where there is none.
    pub fn named(id: &str) -> Result<Self, Vec<String>> {
        if let Some(rule) = Rule::ALL.into_iter().find(|rule| rule.name().eq_ignore_ascii_case(id)) {
            return Ok(Self::Rule(rule));
        }
        let cases = built_in::all();
        let ids =
            cases.iter().map(|case| case.case.id.clone()).chain(Rule::NAMES.map(str::to_owned)).collect();
        cases.into_iter().find(|case| case.case.id == id).map(|case| Self::Case(Box::new(case))).ok_or(ids)
    }

    /// All of it on a terminal.
    #[must_use]
    pub fn text(&self, paint: Paint) -> String {
        match self {
            Self::Rule(rule) => rule_text(*rule, paint),
            Self::Case(case) => case_text(case, paint),
        }
    }

    /// All of it as one JSON object.
    ///
    /// # Errors
    /// Where it cannot be turned into JSON.
    pub fn json(&self) -> serde_json::Result<String> {
        let text = match self {
            Self::Rule(rule) => serde_json::to_string_pretty(&RuleObject::of(*rule)),
            Self::Case(case) => serde_json::to_string_pretty(&CaseObject::of(case)),
        };
        Ok(text? + "\n")
    }
}

#[derive(Serialize)]
struct RuleObject {
    rule: &'static str,
    level: &'static str,
    /// In Markdown.
    text: &'static str,
    why: &'static str,
    example: &'static str,
    cases: Vec<CaseLine>,
}

#[derive(Serialize)]
struct CaseLine {
    id: String,
    level: &'static str,
    about: String,
}

#[derive(Serialize)]
struct CaseObject<'a> {
    case: &'a str,
    group: &'a str,
    about: &'a str,
    rules: Vec<RuleLine>,
    level: &'static str,
    /// Null: every transport that the target has.
    transports: Option<&'a [Transport]>,
    needs: &'a [Need],
    alone: bool,
    sweep: bool,
    should: bool,
    toml: &'static str,
}

#[derive(Serialize)]
struct RuleLine {
    rule: &'static str,
    level: &'static str,
    text: String,
    example: &'static str,
}

impl RuleObject {
    fn of(rule: Rule) -> Self {
        let Requirement { text, why, example, .. } = *Requirement::of(rule);
        let line = |SuiteCase { case, .. }: SuiteCase| CaseLine {
            id: case.id,
            level: case.level.name(),
            about: case.about,
        };
        let cases =
            built_in::all().into_iter().filter(|case| case.case.rules.contains(&rule)).map(line).collect();
        Self { rule: rule.name(), level: level(rule), text, why, example, cases }
    }
}

impl<'a> CaseObject<'a> {
    fn of(SuiteCase { case, group }: &'a SuiteCase) -> Self {
        let rule = |rule: &Rule| RuleLine {
            rule: rule.name(),
            level: level(*rule),
            text: rule_in_short(*rule),
            example: Requirement::of(*rule).example,
        };
        Self {
            case: &case.id,
            group,
            about: &case.about,
            rules: case.rules.iter().map(rule).collect(),
            level: case.level.name(),
            transports: case.transports.as_deref(),
            needs: &case.needs,
            alone: case.alone,
            sweep: case.sweep,
            should: case.is_should(),
            toml: built_in::toml_of(&case.id).unwrap_or_default(),
        }
    }
}

fn rule_text(rule: Rule, paint: Paint) -> String {
    let RuleObject { text, why, example, cases, .. } = RuleObject::of(rule);
    let mut out = format!("{} ({})\n\n", paint.bold(rule.name()), level(rule));
    for line in prose(text) {
        let _ = writeln!(out, "  {line}");
    }
    let mut part = |name: &str, text: &str| {
        let _ = writeln!(out, "\n{}", paint.bold(name));
        for line in wrapped(text, COLUMNS) {
            let _ = writeln!(out, "  {line}");
        }
    };
    part("Why", &text::capital(why));
    part("On the wire", example);
    let _ = writeln!(out, "\n{}", paint.bold(&text::plural(cases.len() as u64, "case")));
    for case in cases {
        let _ = writeln!(out, "  {} ({})", case.id, case.level);
        for line in wrapped(&text::printable(&case.about), COLUMNS - 2) {
            let _ = writeln!(out, "    {line}");
        }
    }
    out
}

fn case_text(case: &SuiteCase, paint: Paint) -> String {
    let CaseObject { rules, toml, .. } = CaseObject::of(case);
    let mut out = format!("{} ({}, {})\n\n", paint.bold(&case.case.id), case.case.level.name(), case.group);
    for line in wrapped(&text::printable(&case.case.about), COLUMNS) {
        let _ = writeln!(out, "  {line}");
    }
    out.push('\n');
    for line in facts(&case.case) {
        let _ = writeln!(out, "  {line}");
    }
    for rule in rules {
        let _ = writeln!(out, "\n{} ({})", paint.bold(rule.rule), rule.level);
        for line in wrapped(&rule.text, COLUMNS).into_iter().chain(wrapped(rule.example, COLUMNS)) {
            let _ = writeln!(out, "  {line}");
        }
    }
    let _ = writeln!(out, "\n{}", paint.bold("Steps"));
    for line in toml.lines() {
        let _ = writeln!(out, "{}", format!("  {line}").trim_end());
    }
    out
}

/// How a case runs, a line each.
fn facts(case: &Case) -> Vec<String> {
    let names = |transports: &Vec<Transport>| {
        text::list(&transports.iter().map(|transport| transport.label()).collect::<Vec<_>>())
    };
    let transports =
        case.transports.as_ref().map_or_else(|| "every transport that the target has".to_owned(), names);
    let mut facts = vec![format!("runs over {transports}")];
    if !case.needs.is_empty() {
        facts.push(format!(
            "needs {}",
            text::list(&case.needs.iter().map(|need| need.name()).collect::<Vec<_>>())
        ));
    }
    if case.alone {
        facts.push("runs while no other case does".to_owned());
    }
    facts.push(if case.sweep {
        "also runs with its bytes cut and joined in every other way".to_owned()
    } else {
        "its bytes are cut and joined in no other way".to_owned()
    });
    if case.is_should() {
        facts.push("its failure is a warning".to_owned());
    }
    facts
}

/// Markdown's paragraphs and lists in lines.
fn prose(markdown: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, paragraph) in markdown.split("\n\n").enumerate() {
        if number > 0 {
            lines.push(String::new());
        }
        let mut item = String::new();
        let mut end = |item: &mut String| {
            let (mark, text) = item.strip_prefix("- ").map_or(("", &**item), |text| ("- ", text));
            for (number, line) in
                wrapped(text, COLUMNS - 2).into_iter().enumerate().filter(|_| !item.is_empty())
            {
                let mark = if number == 0 { mark.to_owned() } else { " ".repeat(mark.len()) };
                lines.push(format!("{mark}{line}"));
            }
            item.clear();
        };
        for line in paragraph.lines() {
            if line.starts_with("- ") {
                end(&mut item);
            }
            if !item.is_empty() {
                item.push(' ');
            }
            item.push_str(line.trim_start_matches("  "));
        }
        end(&mut item);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Paint = Paint { colour: false };

    #[test]
    fn every_rule_and_every_case_is_explained_in_eighty_columns() {
        let cases = built_in::all();
        for rule in Rule::ALL {
            let subject = Subject::named(&rule.name().to_lowercase()).unwrap();
            assert!(matches!(subject, Subject::Rule(found) if found == rule), "{rule}");
            let explained = subject.text(PLAIN);
            assert!(explained.starts_with(&format!("{rule} ({})\n", level(rule))), "{explained}");
            for part in ["\nWhy\n", "\nOn the wire\n"] {
                assert!(explained.contains(part), "{explained}");
            }
            for case in cases.iter().filter(|case| case.case.rules.contains(&rule)) {
                assert!(explained.contains(&format!("\n  {} (", case.case.id)), "{explained}");
            }
        }
        for case in &cases {
            let explained = Subject::named(&case.case.id).unwrap().text(PLAIN);
            assert!(explained.contains("\nSteps\n  [[case]]\n"), "{explained}");
            for rule in &case.case.rules {
                assert!(explained.contains(&format!("\n{rule} (")), "{explained}");
            }
        }
    }

    #[test]
    fn json_has_the_same() {
        let parsed = |id: &str| -> serde_json::Value {
            serde_json::from_str(&Subject::named(id).unwrap().json().unwrap()).unwrap()
        };
        let rule = parsed("STORE-2");
        assert_eq!((&rule["rule"], &rule["level"]), (&"STORE-2".into(), &"MUST".into()));
        assert_eq!(rule["example"], "`> get shape` / `< key not found`");
        let id = rule["cases"][0]["id"].as_str().unwrap();
        let case = parsed(id);
        assert_eq!(case["case"], id);
        assert!(case["toml"].as_str().unwrap().contains(&format!("id = \"{id}\"")), "{case}");
    }

    #[test]
    fn the_text_of_a_case_is_that_case_alone() {
        for case in built_in::all() {
            let toml = built_in::toml_of(&case.case.id).unwrap();
            let read = super::super::super::case::Cases::parse("one", toml).unwrap();
            assert_eq!(read.cases(), [case.case]);
        }
    }

    #[test]
    fn an_unknown_id_comes_with_all_known_ones() {
        let known = Subject::named("nothing").unwrap_err();
        assert_eq!(known.len(), Rule::ALL.len() + built_in::all().len());
    }

    #[test]
    fn a_list_keeps_its_items() {
        assert_eq!(prose("a\nb\n\n- c\n  d\n- e\n"), ["a b", "", "- c d", "- e"]);
    }
}
