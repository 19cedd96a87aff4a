//! The result as JUnit XML: a test suite for each group, a test case for each case and transport.
//!
//! | verdict | in JUnit |
//! |---|---|
//! | passed | success |
//! | warned | success with the warning as output; strict: failure |
//! | unstable | success with a flaky failure; strict: failure |
//! | failed, unexpected pass | failure |
//! | unknown | error |
//! | expected failure, skipped | skipped, with the reason |

use quick_junit::{
    NonSuccessKind, Property, Report, SerializeError, TestCase, TestCaseStatus, TestRerun, TestSuite,
    XmlString,
};

use super::super::failure::Failure;
use super::super::verdict::{CaseResult, SuiteResult, Verdict};
use super::details::{Details, Room};
use super::summary::troubles;
use crate::text;

/// The suite's own group: what it came to beyond its cases.
const OWN: &str = "twinwire";

/// The whole result.
///
/// # Errors
/// Where it cannot be turned into XML.
pub fn junit(result: &SuiteResult, strict: bool) -> Result<String, SerializeError> {
    let mut report = Report::new("twinwire conform");
    report.set_time(result.elapsed);
    let mut groups: Vec<&str> = Vec::new();
    for case in &result.cases {
        if !groups.contains(&&*case.group) {
            groups.push(&case.group);
        }
    }
    for group in groups {
        let mut suite = TestSuite::new(xml(group));
        let cases = || result.cases.iter().filter(|case| case.group == group);
        suite.set_time(cases().map(|case| case.elapsed).sum());
        let seed = result.seed.to_string();
        for (name, value) in [("target", &result.target), ("profile", &result.profile), ("seed", &seed)] {
            suite.add_property(Property::new(name, xml(value)));
        }
        suite.add_test_cases(cases().map(|case| test_case(case, strict)));
        report.add_test_suite(suite);
    }
    let troubles = troubles(result);
    if !troubles.is_empty() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(xml(&troubles.join("; "))).set_type("incomplete");
        let mut suite = TestSuite::new(OWN);
        suite.add_test_case(TestCase::new("the suite runs to its end", status));
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn test_case(case: &CaseResult, strict: bool) -> TestCase {
    let name =
        case.transport.map_or_else(|| case.id.clone(), |transport| format!("{} [{transport}]", case.id));
    let details = || xml(&Details::of(case, Room::FILE).text());
    let not_success = |kind| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(xml(&message(case))).set_type(case.verdict.name()).set_description(details());
        status
    };
    let mut output = None;
    let status = match case.verdict {
        verdict if verdict.fails(strict) => not_success(NonSuccessKind::Failure),
        Verdict::Unknown => not_success(NonSuccessKind::Error),
        Verdict::Skipped | Verdict::ExpectedFailure => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(xml(&message(case))).set_type(case.verdict.name());
            status
        }
        Verdict::Unstable => {
            let mut flaky = TestRerun::new(NonSuccessKind::Failure);
            flaky.set_message(xml(&message(case))).set_type(case.verdict.name()).set_description(details());
            let mut status = TestCaseStatus::success();
            status.add_rerun(flaky);
            status
        }
        Verdict::Warned => {
            output =
                Some(xml(&format!("warning: {}\n{}", message(case), Details::of(case, Room::FILE).text())));
            TestCaseStatus::success()
        }
        Verdict::Passed | Verdict::Failed | Verdict::UnexpectedPass => TestCaseStatus::success(),
    };
    let mut test_case = TestCase::new(xml(&name), status);
    let rules: Vec<&str> = case.rules.iter().map(|rule| rule.name()).collect();
    test_case
        .set_classname(xml(&case.group))
        .set_time(case.elapsed)
        .add_property(Property::new("rules", rules.join(" ")))
        .add_property(Property::new("level", case.level.name()));
    test_case.system_out = output;
    test_case
}

/// A failure in one line.
fn message(case: &CaseResult) -> String {
    let failure = |failure: &Failure| {
        let compared = failure.compared(120);
        format!("expected {}, seen {}", compared.expected, compared.seen)
    };
    let parts = [
        case.verdict.name().to_owned(),
        case.reason.clone(),
        case.failure.as_deref().map(failure).unwrap_or_default(),
    ];
    parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(": ")
}

/// Text of which XML knows every character. The crate drops control characters; here they stay to be seen, as escapes.
fn xml(text: &str) -> XmlString {
    let lines: Vec<String> = text.split('\n').map(text::printable).collect();
    XmlString::new(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, NASTY, case, failed, result_of};
    use super::*;
    use crate::domain::Rule;

    /// How a reader of JUnit sees each test case.
    fn forms(xml: &str) -> Vec<&'static str> {
        let report = Report::deserialize_from_str(xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
        let form = |case: &TestCase| match &case.status {
            TestCaseStatus::Success { flaky_runs } if flaky_runs.is_empty() => "success",
            TestCaseStatus::Success { .. } => "flaky",
            TestCaseStatus::NonSuccess { kind: NonSuccessKind::Failure, .. } => "failure",
            TestCaseStatus::NonSuccess { kind: NonSuccessKind::Error, .. } => "error",
            TestCaseStatus::Skipped { .. } => "skipped",
        };
        report.test_suites.iter().flat_map(|suite| suite.test_cases.iter()).map(form).collect()
    }

    /// The characters that a document may have (XML 1.0, production 2).
    fn is_xml(c: char) -> bool {
        matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
    }

    #[test]
    fn every_verdict_has_its_form() {
        let result = fixture::result();
        assert_eq!(
            forms(&junit(&result, false).unwrap()),
            ["success", "success", "success", "flaky", "skipped", "failure", "error", "skipped", "failure"]
        );
        let strict = junit(&result, true).unwrap();
        assert_eq!(forms(&strict)[2..4], ["failure", "failure"]);
        assert!(strict.contains(r#"tests="9" skipped="2" failures="4" errors="1""#), "{strict}");
    }

    #[test]
    fn a_test_case_is_named_by_case_and_transport_and_has_its_rules() {
        let xml = junit(&fixture::result(), false).unwrap();
        for name in ["first [tcp]", "first [websocket]", "eighth"] {
            assert!(xml.contains(&format!(r#"<testcase name="{name}" classname="login""#)), "{xml}");
        }
        assert!(xml.contains(r#"<property name="rules" value="STORE-1"/>"#), "{xml}");
        assert!(xml.contains(r#"<skipped message="skipped: no WebSocket target" type="skipped"/>"#), "{xml}");
    }

    #[test]
    fn the_xml_is_valid_whatever_the_target_sent() {
        let mut nasty: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        nasty.push(NASTY.to_vec());
        nasty.push("\u{85}\u{fdd0}\u{fffe}\u{ffff}\u{1fffe}\u{2028}".as_bytes().to_vec());
        nasty.push(b"<![CDATA[]]>]]&gt;&#0;<!--".to_vec());
        let verdicts =
            [Verdict::Failed, Verdict::Warned, Verdict::Unstable, Verdict::ExpectedFailure, Verdict::Unknown];
        for verdict in verdicts {
            let cases = nasty.iter().map(|bytes| CaseResult {
                reason: String::from_utf8_lossy(bytes).into_owned(),
                about: String::from_utf8_lossy(bytes).into_owned(),
                ..failed("a", Rule::Store1, verdict, bytes)
            });
            let mut result = result_of(cases.collect());
            result.lost = Some("\u{fffe}".to_owned());
            let xml = junit(&result, false).unwrap();
            let wrong = xml.chars().find(|c| !is_xml(*c));
            assert_eq!(wrong, None, "{verdict:?}");
            assert_eq!(forms(&xml).len(), nasty.len() + 1, "{verdict:?}");
        }
    }

    #[test]
    fn what_the_target_sent_stays_to_be_seen() {
        let result = result_of(vec![failed("a", Rule::Store1, Verdict::Failed, b"\x1b[2J\x00")]);
        let xml = junit(&result, false).unwrap();
        assert!(xml.contains(r"\u{1b}[2J\u{0}"), "{xml}");
    }

    #[test]
    fn a_suite_that_lost_its_target_has_an_error_of_its_own() {
        let mut result = result_of(vec![case("a", Rule::Store1, Verdict::Passed)]);
        assert_eq!(forms(&junit(&result, false).unwrap()), ["success"]);
        result.lost = Some("no target over TCP".to_owned());
        let xml = junit(&result, false).unwrap();
        assert_eq!(forms(&xml), ["success", "error"]);
        assert!(xml.contains(r#"<error message="no target over TCP" type="incomplete"/>"#), "{xml}");
    }
}
