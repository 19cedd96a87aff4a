//! The conformance suite against servers with faults: it fails each of them, and for the right reason; and it passes
//! servers that are only unusual.

#![expect(clippy::unwrap_used, reason = "a panic in a test's helper is the report")]

mod fleet;
mod matrix;

use std::process::Command;

use twinwire::conform::verdict::{CaseResult, Verdict};
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
    // A reset instead of a close frame is allowed, though the frame should say why: a case of that may warn.
    let is_right = |case: &CaseResult| match case.verdict {
        Verdict::Passed | Verdict::Skipped => true,
        Verdict::Warned => case.rules.iter().any(|rule| rule.is_should()),
        _ => false,
    };
    let results = run(shown_by(&[ShownBy::Nothing]), citing);
    let wrong: Vec<String> = results
        .iter()
        .filter(|(_, result)| {
            let right = result.cases.iter().filter(|case| is_right(case)).count();
            result.exit_code(false) != 0 || right != result.due
        })
        .map(|(fault, result)| format!("{} ({}): {}", fault.name(), fault.rule(), failures(result)))
        .collect();
    assert!(wrong.is_empty(), "false alarms: {}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn hopeless_servers_fail_in_all_that_is_due() {
    let all = every_case();
    for (fault, result) in run(shown_by(&[ShownBy::Everything]), |_| all.clone()) {
        let (failed, skipped) = (result.count(Verdict::Failed), result.count(Verdict::Skipped));
        let report = || format!("{}: {}", fault.name(), failures(&result));
        assert_eq!((result.exit_code(false), result.cases.len()), (1, result.due), "{}", report());
        assert!(failed > 200 && failed > 9 * (result.due - skipped) / 10, "{failed} failed: {}", report());
        // What ends before a login may seem right: one closes at bad handshakes too, the other knows WebSocket.
        let logs_in = |id: &str| {
            let case = &all.iter().find(|case| case.case.id == id).unwrap().case;
            case.clients.iter().any(|client| client.connect && client.login)
        };
        let alive = result
            .cases
            .iter()
            .find(|case| matches!(case.verdict, Verdict::Passed | Verdict::Unstable) && logs_in(&case.id));
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
    const FEATURE: &str = "twinwire-server feature \"faults\"";
    let tree = |edges: &str| {
        let arguments = ["tree", "--package", "twinwire", "--edges", edges, "--offline", "--locked"];
        let output = Command::new(env!("CARGO")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!tree("normal,features").contains(FEATURE));
    assert!(tree("normal,dev,features").contains(FEATURE), "tests turn it on");
}

/// `cargo test -p twinwire --test faults -- --ignored writes` makes `reports/conformance*` anew.
#[test]
#[ignore = "writes reports/conformance-kills.csv and reports/conformance.md; takes minutes"]
fn writes_the_kill_matrix() {
    matrix::write();
}
