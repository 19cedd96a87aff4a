//! Replays over TCP the cases that a run writes for its violations, as `twinwire conform FILE` does.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use twinwire::conform::case::model::{Case, Level, Part, Text};
use twinwire::conform::profile::Profile;
use twinwire::conform::servers::Server;
use twinwire::conform::suite::{self, Options, SuiteCase};
use twinwire::conform::verdict::Verdict as CaseVerdict;
use twinwire::domain::Transport;
use twinwire::targets::Target;
use twinwire::wire::Endpoint;

/// What became of a case.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// What came instead of what was due.
    Failed(String),
}

/// A text with its placeholders as a case writes them, clients by number.
pub fn shown(text: &Text) -> String {
    let part = |part: &Part| match part {
        Part::Literal(literal) => literal.clone(),
        Part::Client(0) => "{client}".to_owned(),
        Part::Client(_) => "{owner}".to_owned(),
        Part::Fill(bytes) => format!("{{fill:{bytes}}}"),
        Part::Index => "{i}".to_owned(),
        other => panic!("a replay has no {other:?}"),
    };
    text.parts.iter().map(part).collect()
}

/// Runs a case against the server at this address.
pub fn replay(case: &Case, address: SocketAddr) -> Verdict {
    let endpoints = vec![Endpoint::lines(address.into(), None)];
    let target = Target::External { endpoints, pid: None };
    let servers = [Server::target(target, vec![Transport::Tcp], Profile::default())];
    // The file shows one exchange; that its bytes may be cut in any way is the suite's business.
    let case = Case { sweep: false, transports: None, ..case.clone() };
    let options = Options {
        level: Level::Full,
        timeout: Duration::from_secs(20),
        seed: 1,
        jobs: Some(1),
        fail_fast: false,
    };
    let (_never, interrupt) = watch::channel(false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cases = [SuiteCase { case, group: "replay".to_owned() }];
    let result = runtime.block_on(suite::run(&cases, &servers, &options, interrupt, |_| {}));
    let [case] = &result.cases[..] else { panic!("{result:?}") };
    match (case.verdict, &case.failure) {
        (CaseVerdict::Passed, _) => Verdict::Passed,
        (CaseVerdict::Failed, Some(failure)) => Verdict::Failed(failure.seen.to_string()),
        _ => panic!("{result:?}"),
    }
}
