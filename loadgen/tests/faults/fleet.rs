//! The suite against a server with a fault.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::sync::watch;
use twinwire::conform::case::model::Level;
use twinwire::conform::failure::FailureKind;
use twinwire::conform::profile::Profile;
use twinwire::conform::suite::{self, Options, SuiteCase};
use twinwire::conform::verdict::{CaseResult, SuiteResult, Verdict};
use twinwire::conform::{built_in, servers};
use twinwire::domain::Transport;
use twinwire_server::faults::{Fault, ShownBy, VARIABLE};

/// Servers with faults that run at the same time: they mostly wait.
const AT_ONCE: usize = 12;

/// Longest that an expectation may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Faults with what the suite found, in the order in which they were given.
pub(crate) fn run(
    faults: impl IntoIterator<Item = Fault>,
    cases_for: impl Fn(Fault) -> Vec<SuiteCase>,
) -> Vec<(Fault, SuiteResult)> {
    let folder = tempfile::tempdir().unwrap();
    let faults: Vec<Fault> = faults.into_iter().collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/with_fault.sh");
    symlink(env!("CARGO_BIN_EXE_twinwire"), folder.path().join("twinwire")).unwrap();
    for fault in &faults {
        symlink(&script, folder.path().join(fault.name())).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut results: Vec<(usize, SuiteResult)> = runtime.block_on(
        stream::iter(faults.iter().enumerate())
            .map(|(index, fault)| {
                let (cases, executable) = (cases_for(*fault), folder.path().join(fault.name()));
                async move { (index, suite(*fault, &cases, &executable).await) }
            })
            .buffer_unordered(AT_ONCE)
            .collect(),
    );
    results.sort_by_key(|(index, _)| *index);
    faults.into_iter().zip(results.into_iter().map(|(_, result)| result)).collect()
}

async fn suite(fault: Fault, cases: &[SuiteCase], executable: &Path) -> SuiteResult {
    assert!(VARIABLE == "FAULT_UNDER_TEST", "the script sets it");
    let log = tempfile::NamedTempFile::new().unwrap();
    let made = servers::embedded(executable, log.path(), &Profile::default()).unwrap();
    let transports: &[Transport] = match fault.rule() {
        "RAW-1" => &[Transport::TcpRaw],
        _ => &[Transport::Tcp, Transport::WebSocket],
    };
    let servers: Vec<_> = made.servers.into_iter().map(|server| server.over(transports)).collect();
    let options = Options { level: Level::Full, timeout: TIMEOUT, seed: 1, jobs: None, fail_fast: false };
    let (_never, interrupt) = watch::channel(false);
    let mut result = suite::run(cases, &servers, &options, interrupt, |_| {}).await;
    result.target = fault.name().to_owned();
    result
}

/// The cases that cite the rule that a fault breaks, with other cuttings of their bytes where those show it.
pub(crate) fn citing(fault: Fault) -> Vec<SuiteCase> {
    let mut cases = built_in::all();
    cases.retain(|case| case.case.rules.iter().any(|rule| rule.name() == fault.rule()));
    for case in &mut cases {
        case.case.sweep &= fault.shown_by() == ShownBy::Cuttings;
    }
    cases
}

/// Every case, each once.
pub(crate) fn every_case() -> Vec<SuiteCase> {
    let mut cases = built_in::all();
    for case in &mut cases {
        case.case.sweep = false;
    }
    cases
}

/// Whether this is an expectation of a case that cites the broken rule, and that the server did not meet. That it died,
/// or was wrong before the case began, does not count.
pub(crate) fn kills(fault: Fault, result: &CaseResult) -> bool {
    let Some(failure) = &result.failure else { return false };
    let cites = result.rules.iter().any(|rule| rule.name() == fault.rule());
    let is_of_rule = failure.rule.is_some_and(|rule| rule.name() == fault.rule());
    cites
        && matches!(result.verdict, Verdict::Failed | Verdict::Warned)
        && failure.kind != FailureKind::Unreachable
        && !result.server_died
        && (failure.place != "set-up" || is_of_rule)
}

/// What went wrong, in a line for each case.
pub(crate) fn failures(result: &SuiteResult) -> String {
    let mut text = format!("lost: {:?}\n", result.lost);
    for case in &result.cases {
        let transport = case.transport.map_or("", Transport::label);
        if let Some(failure) = &case.failure {
            text += &format!(
                "  {} over {transport}: {:?} at {}: expected {}, saw {}\n",
                case.id, case.verdict, failure.place, failure.expected, failure.seen
            );
        } else if !matches!(case.verdict, Verdict::Passed | Verdict::Skipped) {
            text += &format!("  {} over {transport}: {:?}: {}\n", case.id, case.verdict, case.reason);
        }
    }
    text
}
