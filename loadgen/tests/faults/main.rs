//! The conformance suite against servers with faults: it fails each of them, and for the right reason; and it passes
//! servers that are only unusual.

#![expect(clippy::unwrap_used, reason = "a panic in a test's helper is the report")]

mod fleet;
mod matrix;

use std::process::Command;

use twinwire::conform::verdict::Verdict;
use twinwire::domain::Rule;
use twinwire_server::faults::{Fault, ShownBy};

use fleet::{citing, every_case, failures, kills, run};

fn shown_by(what: &[ShownBy]) -> impl Iterator<Item = Fault> {
    Fault::ALL.iter().copied().filter(|fault| what.contains(&fault.shown_by()))
}

#[test]
fn every_fault_fails_a_case_that_cites_the_broken_rule() {
    let results = run(shown_by(&[ShownBy::Cases, ShownBy::Cuttings]), citing);
    let missed: Vec<String> = results
        .iter()
        .filter(|(fault, result)| !result.cases.iter().any(|case| kills(*fault, case)))
        .map(|(fault, result)| format!("{} ({}): {}", fault.name(), fault.rule(), failures(result)))
        .collect();
    assert!(missed.is_empty(), "not caught: {}\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn what_breaks_no_rule_passes() {
    let results = run(shown_by(&[ShownBy::Nothing]), citing);
    let wrong: Vec<String> = results
        .iter()
        .filter(|(_, result)| {
            let passed = |case: &&twinwire::conform::verdict::CaseResult| {
                matches!(case.verdict, Verdict::Passed | Verdict::Skipped)
            };
            result.exit_code(true) != 0 || result.cases.iter().filter(passed).count() != result.due
        })
        .map(|(fault, result)| format!("{} ({}): {}", fault.name(), fault.rule(), failures(result)))
        .collect();
    assert!(wrong.is_empty(), "false alarms: {}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn hopeless_servers_fail_in_all_that_is_due() {
    for (fault, result) in run(shown_by(&[ShownBy::Everything]), |_| every_case()) {
        let (failed, skipped) = (result.count(Verdict::Failed), result.count(Verdict::Skipped));
        let report = || format!("{}: {}", fault.name(), failures(&result));
        assert_eq!((result.exit_code(false), result.cases.len()), (1, result.due), "{}", report());
        assert!(failed > 200 && failed > 9 * (result.due - skipped) / 10, "{failed} failed: {}", report());
        // A server that closes on everything refuses bad handshakes; nothing else may seem right.
        let alive = result.cases.iter().find(|case| {
            let is_refusal = case.group == "websocket-handshake";
            matches!(case.verdict, Verdict::Passed | Verdict::Unstable) && !is_refusal
        });
        assert!(alive.is_none(), "{alive:?}");
    }
}

#[test]
fn every_must_has_a_fault_and_names_are_unique() {
    for rule in Rule::ALL {
        let breaks = |fault: &&Fault| fault.rule() == rule.name() && fault.shown_by() != ShownBy::Nothing;
        assert!(Fault::ALL.iter().any(|fault| breaks(&fault)), "no fault breaks {rule}");
    }
    for fault in Fault::ALL {
        assert_eq!(Fault::from_name(fault.name()), Some(*fault), "two faults have one name");
        assert!(Rule::from_name(fault.rule()).is_some(), "{}", fault.name());
    }
}

/// A program that is built by itself must not be able to be faulty: only tests turn the feature on.
#[test]
fn the_feature_is_no_part_of_a_build_without_tests() {
    let tree = |edges: &str| {
        let arguments = ["tree", "--package", "twinwire", "--edges", edges, "--offline", "--locked"];
        let output = Command::new(env!("CARGO")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    const FEATURE: &str = "twinwire-server feature \"faults\"";
    assert!(!tree("normal,features").contains(FEATURE));
    assert!(tree("normal,dev,features").contains(FEATURE), "tests turn it on");
}

/// `cargo test -p twinwire --test faults -- --ignored writes` makes `reports/conformance*` anew.
#[test]
#[ignore = "writes reports/conformance-kills.csv and reports/conformance.md; takes minutes"]
fn writes_the_kill_matrix() {
    matrix::write();
}
