//! The project's own conformance cases: every rule of the protocol is shown, and each case can run where it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use twinwire::conform::case::Cases;
use twinwire::conform::case::model::{Action, Case, Cut, Level, Step};
use twinwire::conform::protocol::{Requirement, RequirementLevel};
use twinwire::domain::{Rule, Transport};

/// What no script can show: they need a server with all its connections in use, so the harness shows them in code.
const WITHOUT_SCRIPT: [Rule; 2] = [Rule::Tcp6, Rule::Ws6];

fn files() -> Vec<(String, Cases)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/conformance");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let read = |path: &std::path::PathBuf| Cases::read(path).unwrap_or_else(|errors| panic!("{errors}"));
    paths.iter().map(|path| (path.file_name().unwrap().display().to_string(), read(path))).collect()
}

/// Calls `check` with every case.
fn each(mut check: impl FnMut(&str, &Case)) {
    for (file, cases) in files() {
        cases.cases().iter().for_each(|case| check(&file, case));
    }
}

fn walk(steps: &[Step], visit: &mut impl FnMut(&Step)) {
    for step in steps {
        visit(step);
        if let Action::Together(inner) | Action::Repeat { steps: inner, .. } = &step.action {
            walk(inner, visit);
        }
    }
}

#[test]
fn every_rule_has_its_cases() {
    let mut cases: BTreeMap<Rule, usize> = BTreeMap::new();
    each(|_, case| case.rules.iter().for_each(|rule| *cases.entry(*rule).or_default() += 1));
    for rule in Rule::ALL {
        let due = match Requirement::of(rule).level {
            _ if WITHOUT_SCRIPT.contains(&rule) => 0..=0,
            // One that fails where the rule is broken, and its twin, which fails where a server refuses everything.
            RequirementLevel::Must => 2..=usize::MAX,
            RequirementLevel::Should => 1..=usize::MAX,
        };
        let found = cases.get(&rule).copied().unwrap_or(0);
        assert!(due.contains(&found), "{rule} has {found} cases");
    }
}

#[test]
fn there_are_at_least_150_cases_with_names_of_their_own() {
    let (mut ids, mut abouts) = (BTreeSet::new(), BTreeSet::new());
    each(|file, case| {
        assert!(ids.insert(case.id.clone()), "{file}: the id `{}` is taken", case.id);
        assert!(!case.about.is_empty(), "{}: nothing for people to read", case.id);
        assert!(abouts.insert(case.about.clone()), "{}: another case says the same of itself", case.id);
    });
    assert!(ids.len() >= 150, "{} cases", ids.len());
}

#[test]
fn every_case_expects_something() {
    each(|_, case| {
        let mut expectations = 0;
        walk(&case.steps, &mut |step| expectations += usize::from(step.expect.is_some()));
        assert!(expectations > 0, "{} passes whatever a server does", case.id);
    });
}

/// Over raw chunks each write is one message, so what counts on more is left to framed transports.
#[test]
fn core_cases_run_over_raw_chunks_or_say_that_they_do_not() {
    each(|_, case| {
        let runs_raw = case.transports.as_ref().is_none_or(|all| all.contains(&Transport::TcpRaw));
        if case.level == Level::Core && runs_raw {
            walk(&case.steps, &mut |step| {
                let is_framed = match &step.action {
                    Action::Send { messages, cut } => messages.len() > 1 || *cut != Cut::Nowhere,
                    Action::RawText(_) | Action::Bytes(_) | Action::Frames(_) | Action::Handshake(_) => true,
                    _ => false,
                };
                assert!(!is_framed, "{}: {:?}", case.id, step.action);
            });
        }
    });
}
