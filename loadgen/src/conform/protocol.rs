//! The protocol's text, `scenarios/conformance/PROTOCOL.md`, rule by rule: the one source of what people read about a rule.
//!
//! A rule's section is its heading (`### LOGIN-1 (MUST)`), the requirement, a paragraph that begins with `Why:`, and one that
//! begins with `On the wire:`.

use std::sync::LazyLock;

use crate::domain::Rule;

/// The whole document, in Markdown.
pub const PROTOCOL: &str = include_str!("../../../scenarios/conformance/PROTOCOL.md");

/// One rule of the protocol, as the document has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirement {
    /// Which one.
    pub rule: Rule,
    /// Whether a server may do otherwise.
    pub level: RequirementLevel,
    /// What a server has to do, in Markdown: paragraphs and lists.
    pub text: &'static str,
    /// What goes wrong without it, one paragraph.
    pub why: &'static str,
    /// An exchange of messages that shows it, one paragraph.
    pub example: &'static str,
}

/// Whether a server may do otherwise (RFC 2119).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequirementLevel {
    /// It may not.
    Must,
    /// It may, and is warned.
    Should,
}

static REQUIREMENTS: LazyLock<Vec<Requirement>> =
    LazyLock::new(|| parse(PROTOCOL).expect("the document is built in, and a test reads it"));

impl Requirement {
    /// What the document says about a rule.
    ///
    /// # Panics
    /// Never: a test finds every rule in the document.
    #[must_use]
    pub fn of(rule: Rule) -> &'static Self {
        let found = REQUIREMENTS.iter().find(|requirement| requirement.rule == rule);
        found.expect("every rule is in the document, and a test looks for it")
    }
}

/// Every rule's section, in the order of the document.
fn parse(document: &'static str) -> Result<Vec<Requirement>, String> {
    let sections = document.split("\n### ").skip(1);
    sections.map(|section| section.split("\n## ").next().unwrap_or(section)).map(requirement).collect()
}

/// A section without the marks of its heading.
fn requirement(section: &'static str) -> Result<Requirement, String> {
    let (heading, body) = section.split_once('\n').unwrap_or((section, ""));
    let (rule, level) = self::heading(heading).ok_or_else(|| format!("no heading of a rule: `{heading}`"))?;
    let part = |mark: &str| format!("{rule} has no paragraph `{mark}` in its place");
    let (text, rest) = body.split_once("\n\nWhy: ").ok_or_else(|| part("Why:"))?;
    let (why, example) = rest.split_once("\n\nOn the wire: ").ok_or_else(|| part("On the wire:"))?;
    let [text, why, example] = [text, why, example].map(str::trim);
    if [text, why, example].contains(&"") {
        return Err(format!("{rule} has an empty part"));
    }
    Ok(Requirement { rule, level, text, why, example })
}

/// `LOGIN-1 (MUST)`.
fn heading(text: &str) -> Option<(Rule, RequirementLevel)> {
    let (rule, level) = text.split_once(' ')?;
    let level = match level {
        "(MUST)" => RequirementLevel::Must,
        "(SHOULD)" => RequirementLevel::Should,
        _ => return None,
    };
    Some((Rule::from_name(rule)?, level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_its_section_in_order() {
        let rules: Vec<Rule> = parse(PROTOCOL).unwrap().iter().map(|requirement| requirement.rule).collect();
        assert_eq!(rules, Rule::ALL);
    }

    #[test]
    fn only_these_rules_are_recommendations() {
        let recommended =
            Rule::ALL.into_iter().filter(|&rule| Requirement::of(rule).level == RequirementLevel::Should);
        assert_eq!(recommended.collect::<Vec<_>>(), [Rule::Tcp9, Rule::Ws2a, Rule::Ws4a, Rule::Ws8]);
    }

    #[test]
    fn a_section_has_its_three_parts() {
        let requirement = Requirement::of(Rule::Store2);
        assert!(requirement.text.starts_with("`get KEY`"), "{}", requirement.text);
        assert!(requirement.why.starts_with("a server"), "{}", requirement.why);
        assert_eq!(requirement.example, "`> get shape` / `< key not found`");
        for rule in Rule::ALL {
            let requirement = Requirement::of(rule);
            assert!(requirement.example.contains('`'), "{rule} shows no bytes");
            let parts = [requirement.why, requirement.example];
            assert!(
                parts.iter().all(|part| !part.contains("\n\n")),
                "{rule} has a part of several paragraphs"
            );
        }
    }

    #[test]
    fn a_group_heading_ends_a_section() {
        let document = "# P\n\n## A: a\n\n### TCP-1 (MUST)\nx\n\n- y\n\nWhy: w\n\nOn the wire: `z`\n\n## B: b\n\n### TCP-9 (SHOULD)\n\
                        t\n\nWhy: w\n\nOn the wire: `e`\n";
        let [first, second] = parse(document).unwrap()[..] else { panic!("two sections expected") };
        let (rule, level) = (Rule::Tcp1, RequirementLevel::Must);
        assert_eq!(first, Requirement { rule, level, text: "x\n\n- y", why: "w", example: "`z`" });
        assert_eq!((second.rule, second.level), (Rule::Tcp9, RequirementLevel::Should));
    }

    #[test]
    fn what_is_no_section_of_a_rule_is_refused() {
        let refused = |section| parse(section).unwrap_err();
        assert_eq!(refused("\n### TCP-99 (MUST)\nx"), "no heading of a rule: `TCP-99 (MUST)`");
        assert_eq!(refused("\n### TCP-1 (MAY)\nx"), "no heading of a rule: `TCP-1 (MAY)`");
        assert_eq!(
            refused("\n### TCP-1 (MUST)\nx\n\nOn the wire: y"),
            "TCP-1 has no paragraph `Why:` in its place"
        );
        assert_eq!(
            refused("\n### TCP-1 (MUST)\nx\n\nWhy: y"),
            "TCP-1 has no paragraph `On the wire:` in its place"
        );
        assert_eq!(refused("\n### TCP-1 (MUST)\n\n\nWhy: x\n\nOn the wire: y"), "TCP-1 has an empty part");
    }
}
