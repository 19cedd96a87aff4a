//! A made-up result with a case of each verdict, for tests: what the target sent is as nasty as it can be.

use std::time::Duration;

use super::super::case::model::Level;
use super::super::cutting::Cutting;
use super::super::failure::{Failure, FailureKind, Shown};
use super::super::transcript::{Entry, Happened};
use super::super::verdict::{CaseResult, SuiteResult, Verdict};
use crate::domain::{Rule, Transport};

/// Control bytes, an escape sequence, ends of CDATA, elements and cells, bytes that are no UTF-8, and characters that XML
/// does not know.
pub(super) const NASTY: &[u8] =
    b"\x00\x1b[2J]]></failure><script>alert(1)</script>|`\xff\xfe\r\n\xef\xbf\xbe\xef\xbf\xbf\xc2\x9b\xe2\x80\xae&\"'";

/// A case over TCP that passed.
pub(super) fn case(id: &str, rule: Rule, verdict: Verdict) -> CaseResult {
    CaseResult {
        id: id.to_owned(),
        group: "login".to_owned(),
        about: "A client logs in".to_owned(),
        rules: vec![rule],
        level: Level::Core,
        transport: Some(Transport::Tcp),
        verdict,
        reason: String::new(),
        server_died: false,
        failure: None,
        cutting: Cutting::Whole,
        transcript: Vec::new(),
        clients: vec!["alice".to_owned()],
        runs: 3,
        elapsed: Duration::from_micros(1500),
    }
}

pub(super) fn failed(id: &str, rule: Rule, verdict: Verdict, seen: &[u8]) -> CaseResult {
    CaseResult {
        failure: Some(Box::new(Failure {
            place: "step 2".to_owned(),
            client: "alice".to_owned(),
            sent: b"get k".to_vec(),
            expected: Shown::Text(b"value".to_vec()),
            seen: Shown::Text(seen.to_vec()),
            kind: FailureKind::Wrong,
            rule: None,
        })),
        cutting: Cutting::EachByte,
        transcript: vec![
            Entry {
                at: Duration::from_micros(250),
                client: 0,
                what: Happened::Sent { bytes: b"get k\n".to_vec(), length: 6 },
            },
            Entry {
                at: Duration::from_micros(500),
                client: 0,
                what: Happened::Received { bytes: seen.to_vec(), length: 5000 },
            },
            Entry { at: Duration::from_millis(1), client: 0, what: Happened::Note("ends".to_owned()) },
        ],
        ..case(id, rule, verdict)
    }
}

/// A case of each verdict, in two groups, over two transports.
pub(super) fn result() -> SuiteResult {
    let cases = vec![
        case("first", Rule::Login1, Verdict::Passed),
        CaseResult { transport: Some(Transport::WebSocket), ..case("first", Rule::Login1, Verdict::Passed) },
        failed("second", Rule::Tcp9, Verdict::Warned, b"val"),
        CaseResult {
            reason: "it passed when it ran alone".to_owned(),
            ..failed("third", Rule::Login2, Verdict::Unstable, b"value!")
        },
        CaseResult {
            reason: "known for long".to_owned(),
            ..failed("fourth", Rule::Store1, Verdict::ExpectedFailure, b"other")
        },
        CaseResult { group: "store".to_owned(), ..failed("fifth", Rule::Store1, Verdict::Failed, NASTY) },
        CaseResult {
            reason: "known to fail".to_owned(),
            ..case("sixth", Rule::Store2, Verdict::UnexpectedPass)
        },
        CaseResult { reason: "no descriptors".to_owned(), ..case("seventh", Rule::Store3, Verdict::Unknown) },
        CaseResult {
            reason: "no WebSocket target".to_owned(),
            transport: None,
            runs: 0,
            ..case("eighth", Rule::Ws1, Verdict::Skipped)
        },
    ];
    SuiteResult {
        target: "tcp 127.0.0.1:1601".to_owned(),
        profile: "default".to_owned(),
        seed: 7,
        due: cases.len(),
        cases,
        elapsed: Duration::from_millis(1250),
        lost: None,
        deaths: Vec::new(),
        interrupted: false,
    }
}

/// A result of these cases alone.
pub(super) fn result_of(cases: Vec<CaseResult>) -> SuiteResult {
    SuiteResult { due: cases.len(), cases, ..result() }
}
