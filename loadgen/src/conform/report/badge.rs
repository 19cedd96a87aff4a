//! A badge's endpoint, as shields.io reads it.

use serde::Serialize;

use super::super::verdict::{Outcome, SuiteResult, Verdict};
use crate::text;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Badge {
    schema_version: u32,
    label: &'static str,
    message: String,
    color: &'static str,
}

/// `1,591 of 1,591` cases over transports passed, or how many failed.
///
/// # Errors
/// Where it cannot be turned into JSON.
pub fn badge(result: &SuiteResult, strict: bool) -> serde_json::Result<String> {
    let number = |number: usize| text::thousands(number as u64);
    let outcome = result.outcome(strict);
    let passed = result.count(Verdict::Passed);
    let ran = result.cases.len() - result.count(Verdict::Skipped);
    let failed = result.cases.iter().filter(|case| case.verdict.fails(strict)).count();
    let (message, color) = match outcome {
        Outcome::Passed if passed == ran => (format!("{} of {}", number(passed), number(ran)), "brightgreen"),
        Outcome::Passed => (format!("{} of {}", number(passed), number(ran)), "yellowgreen"),
        Outcome::Failed if failed == 0 => ("incomplete".to_owned(), "red"),
        Outcome::Failed => (format!("{} failed", number(failed)), "red"),
        outcome => (outcome.name().to_owned(), "lightgrey"),
    };
    let badge = Badge { schema_version: 1, label: "twinwire conform", message, color };
    Ok(serde_json::to_string_pretty(&badge)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{case, failed, result, result_of};
    use super::*;
    use crate::domain::Rule;

    fn badge_of(result: &SuiteResult, strict: bool) -> (String, String) {
        let badge: serde_json::Value = serde_json::from_str(&badge(result, strict).unwrap()).unwrap();
        assert_eq!((&badge["schemaVersion"], &badge["label"]), (&1.into(), &"twinwire conform".into()));
        let text = |key: &str| badge[key].as_str().unwrap().to_owned();
        (text("message"), text("color"))
    }

    #[test]
    fn a_badge_says_how_many_of_those_that_ran_passed_or_failed() {
        let shown = |message: &str, color: &str| (message.to_owned(), color.to_owned());
        let passed = case("a", Rule::Login1, Verdict::Passed);
        let many = result_of(vec![passed.clone(); 1591]);
        assert_eq!(badge_of(&many, false), shown("1,591 of 1,591", "brightgreen"));
        let warned = failed("b", Rule::Tcp9, Verdict::Warned, b"x");
        let skipped = case("c", Rule::Ws1, Verdict::Skipped);
        let with_warning = result_of(vec![passed.clone(), warned, skipped.clone()]);
        assert_eq!(badge_of(&with_warning, false), shown("1 of 2", "yellowgreen"));
        assert_eq!(badge_of(&with_warning, true), shown("1 failed", "red"));
        assert_eq!(badge_of(&result(), false), shown("2 failed", "red"));
        assert_eq!(badge_of(&result_of(vec![skipped]), false), shown("not decided", "lightgrey"));
        let mut lacking = result_of(vec![passed]);
        lacking.due = 2;
        assert_eq!(badge_of(&lacking, false), shown("incomplete", "red"));
    }
}
