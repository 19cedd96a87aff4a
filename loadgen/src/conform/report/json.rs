//! The result for programs: one object for the suite, and one for each case as it ends.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::super::case::model::Need;
use super::super::cutting::Cutting;
use super::super::failure::{Failure, FailureKind};
use super::super::suite::SuiteCase;
use super::super::transcript::{Entry, Happened};
use super::super::verdict::{CaseResult, SuiteResult, Verdict};
use super::details::hexadecimal;
use crate::domain::{Rule, Transport};

/// Version of the format: of `--json`, `conform.json` and the lines of `results.jsonl`.
const SCHEMA: u32 = 1;

/// Most bytes of a failure's message that are shown; the transcript has more.
const BYTES_SHOWN_MAX: usize = 1024;

#[derive(Serialize)]
struct Suite<'a> {
    schema: u32,
    /// This program's version.
    twinwire: &'static str,
    /// `true`: the suite has ended.
    complete: bool,
    target: &'a str,
    profile: &'a str,
    seed: u64,
    due: usize,
    /// One for each verdict, zero included.
    counts: BTreeMap<Verdict, usize>,
    elapsed_s: f64,
    exit_code: u8,
    lost: Option<&'a str>,
    /// Cases beside which the server died, and that did not end it alone.
    deaths: &'a [String],
    interrupted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<&'a str>,
    cases: Vec<CaseObject<'a>>,
    /// The files of the report folder, where it is a folder's record.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<&'a BTreeSet<String>>,
}

#[derive(Serialize)]
struct CaseObject<'a> {
    id: &'a str,
    group: &'a str,
    about: &'a str,
    rules: Vec<&'static str>,
    level: &'static str,
    transport: Option<Transport>,
    verdict: Verdict,
    reason: Option<&'a str>,
    server_died: bool,
    elapsed_ms: f64,
    runs: u32,
    failure: Option<FailureObject<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    transcript: Vec<EntryObject<'a>>,
}

/// Messages are as people read them: `in backquotes`, with escapes; the transcript has their bytes.
#[derive(Serialize)]
struct FailureObject<'a> {
    place: &'a str,
    client: Option<&'a str>,
    /// The broken rule, where that is another one than the case's.
    rule: Option<&'static str>,
    sent: Option<String>,
    expected: String,
    seen: String,
    late: bool,
    /// Null where nothing was cut.
    cutting: Option<String>,
    /// The first byte of the message that is not the expected one.
    differs_at: Option<usize>,
}

#[derive(Serialize)]
struct EntryObject<'a> {
    at_ms: f64,
    client: &'a str,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum What<'a> {
    Sent(Bytes<'a>),
    Received(Bytes<'a>),
    Note(&'a str),
}

/// Text where they are UTF-8, else hexadecimal digits; `length` counts those that were not kept, too.
#[derive(Serialize)]
struct Bytes<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
    length: usize,
}

impl<'a> Bytes<'a> {
    fn of(bytes: &'a [u8], length: usize) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Self { text: Some(text), hex: None, length },
            Err(_) => Self { text: None, hex: Some(hexadecimal(bytes)), length },
        }
    }
}

impl<'a> CaseObject<'a> {
    fn of(case: &'a CaseResult) -> Self {
        let entry = |Entry { at, client, what }: &'a Entry| EntryObject {
            at_ms: millis(*at),
            client: case.clients.get(*client).map_or("", String::as_str),
            what: match what {
                Happened::Sent { bytes, length } => What::Sent(Bytes::of(bytes, *length)),
                Happened::Received { bytes, length } => What::Received(Bytes::of(bytes, *length)),
                Happened::Note(note) => What::Note(note),
            },
        };
        Self {
            id: &case.id,
            group: &case.group,
            about: &case.about,
            rules: names(&case.rules),
            level: case.level.name(),
            transport: case.transport,
            verdict: case.verdict,
            reason: (!case.reason.is_empty()).then_some(&*case.reason),
            server_died: case.server_died,
            elapsed_ms: millis(case.elapsed),
            runs: case.runs,
            failure: case.failure.as_ref().map(|failure| FailureObject::of(failure, case.cutting)),
            transcript: case.transcript.iter().map(entry).collect(),
        }
    }
}

impl<'a> FailureObject<'a> {
    fn of(failure: &'a Failure, cutting: Cutting) -> Self {
        let compared = failure.compared(BYTES_SHOWN_MAX);
        Self {
            place: &failure.place,
            client: (!failure.client.is_empty()).then_some(&*failure.client),
            rule: failure.rule.map(Rule::name),
            sent: failure.sent_shown(BYTES_SHOWN_MAX),
            expected: compared.expected,
            seen: compared.seen,
            late: failure.kind == FailureKind::Late,
            cutting: (cutting != Cutting::Whole).then(|| cutting.to_string()),
            differs_at: compared.differs.map(|(byte, _)| byte),
        }
    }
}

/// The whole result as one object, over several lines. `folder` is the report folder, where there is one.
///
/// # Errors
/// Where it cannot be turned into JSON.
pub fn json(result: &SuiteResult, strict: bool, folder: Option<&str>) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(&Suite { folder, ..suite(result, strict) })? + "\n")
}

/// The record of a report folder with these files.
///
/// # Errors
/// Where it cannot be turned into JSON.
pub fn record(result: &SuiteResult, strict: bool, files: &BTreeSet<String>) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(&Suite { files: Some(files), ..suite(result, strict) })? + "\n")
}

/// The record of a report folder while the suite runs; it stays where that is killed.
///
/// # Errors
/// Where it cannot be turned into JSON.
pub fn begun(target: &str, profile: &str, seed: u64, files: &BTreeSet<String>) -> serde_json::Result<String> {
    let begun = serde_json::json!({
        "schema": SCHEMA,
        "twinwire": env!("CARGO_PKG_VERSION"),
        "complete": false,
        "target": target,
        "profile": profile,
        "seed": seed,
        "files": files,
    });
    Ok(serde_json::to_string_pretty(&begun)? + "\n")
}

/// One case's result in one line.
///
/// # Errors
/// Where it cannot be turned into JSON.
pub fn line(case: &CaseResult) -> serde_json::Result<String> {
    Ok(serde_json::to_string(&CaseObject::of(case))? + "\n")
}

/// The cases themselves, for `--list --json`.
///
/// # Errors
/// Where they cannot be turned into JSON.
pub fn list_json(cases: &[SuiteCase]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Listed<'a> {
        id: &'a str,
        group: &'a str,
        about: &'a str,
        rules: Vec<&'static str>,
        level: &'static str,
        /// Null: every transport that the target has.
        transports: Option<&'a [Transport]>,
        needs: &'a [Need],
        /// Whether it shows what a server should do.
        should: bool,
    }
    let mut listed = Vec::new();
    for SuiteCase { case, group } in cases {
        listed.push(Listed {
            id: &case.id,
            group,
            about: &case.about,
            rules: names(&case.rules),
            level: case.level.name(),
            transports: case.transports.as_deref(),
            needs: &case.needs,
            should: case.is_should(),
        });
    }
    Ok(serde_json::to_string_pretty(&serde_json::json!({ "cases": listed }))? + "\n")
}

fn suite(result: &SuiteResult, strict: bool) -> Suite<'_> {
    Suite {
        schema: SCHEMA,
        twinwire: env!("CARGO_PKG_VERSION"),
        complete: true,
        target: &result.target,
        profile: &result.profile,
        seed: result.seed,
        due: result.due,
        counts: Verdict::ALL.into_iter().map(|verdict| (verdict, result.count(verdict))).collect(),
        elapsed_s: (result.elapsed.as_secs_f64() * 1e3).round() / 1e3,
        exit_code: result.exit_code(strict),
        lost: result.lost.as_deref(),
        deaths: &result.deaths,
        interrupted: result.interrupted,
        folder: None,
        cases: result.cases.iter().map(CaseObject::of).collect(),
        files: None,
    }
}

fn names(rules: &[Rule]) -> Vec<&'static str> {
    rules.iter().map(|rule| rule.name()).collect()
}

fn millis(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixture;
    use super::*;

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn every_case_has_its_verdict_and_the_counts_add_up() {
        let result = fixture::result();
        let suite = parsed(&super::json(&result, false, None).unwrap());
        let head = json!({
            "schema": 1, "complete": true, "target": "tcp 127.0.0.1:1601", "profile": "default", "seed": 7, "due": 9,
            "elapsed_s": 1.25, "exit_code": 1, "lost": null, "deaths": [], "interrupted": false,
        });
        for (key, value) in head.as_object().unwrap() {
            assert_eq!(suite[key], *value, "{key}");
        }
        let counts = suite["counts"].as_object().unwrap();
        assert_eq!(counts.len(), Verdict::ALL.len());
        assert_eq!((&counts["passed"], &counts["unexpected-pass"]), (&json!(2), &json!(1)));
        assert_eq!(counts.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 9);
        assert_eq!(suite["cases"].as_array().unwrap().len(), 9);
    }

    #[test]
    fn a_failure_says_what_was_sent_expected_and_seen() {
        let case = fixture::failed("a", Rule::Store1, Verdict::Failed, b"valve\x1b");
        let case = parsed(&line(&case).unwrap());
        assert_eq!(
            case["failure"],
            json!({
                "place": "step 2", "client": "alice", "rule": null, "sent": "`get k`", "expected": "`value`",
                "seen": "`valve\\u{1b}`", "late": false, "cutting": "one byte at a time", "differs_at": 3,
            })
        );
        assert_eq!(
            case["transcript"],
            json!([
                { "at_ms": 0.25, "client": "alice", "sent": { "text": "get k\n", "length": 6 } },
                { "at_ms": 0.5, "client": "alice", "received": { "text": "valve\u{1b}", "length": 5000 } },
                { "at_ms": 1.0, "client": "alice", "note": "ends" },
            ])
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_hexadecimal() {
        let case = fixture::failed("a", Rule::Store1, Verdict::Failed, b"a\xff");
        let case = parsed(&line(&case).unwrap());
        assert_eq!(case["transcript"][1]["received"], json!({ "hex": "61ff", "length": 5000 }));
    }

    #[test]
    fn a_case_is_one_line_whatever_the_target_sent() {
        for case in fixture::result().cases {
            let line = line(&case).unwrap();
            assert_eq!(line.find('\n'), Some(line.len() - 1), "{line}");
            assert!(!line.trim_end().contains(|c: char| c < ' '), "{line:?}");
            assert_eq!(parsed(&line)["transcript"].is_null(), case.transcript.is_empty());
        }
    }

    #[test]
    fn a_record_lists_its_files_and_says_whether_the_suite_ended() {
        let files = BTreeSet::from(["report.md".to_owned()]);
        let ended = parsed(&record(&fixture::result(), false, &files).unwrap());
        let begun = parsed(&begun("a", "b", 7, &files).unwrap());
        for (record, complete) in [(&ended, true), (&begun, false)] {
            assert_eq!((&record["complete"], &record["files"]), (&complete.into(), &json!(["report.md"])));
            assert_eq!((&record["schema"], &record["twinwire"]), (&ended["schema"], &ended["twinwire"]));
        }
    }

    #[test]
    fn the_list_has_every_built_in_case() {
        let cases = crate::conform::built_in::all();
        let listed = parsed(&list_json(&cases).unwrap());
        let ids: Vec<&str> =
            listed["cases"].as_array().unwrap().iter().map(|case| case["id"].as_str().unwrap()).collect();
        assert_eq!(ids, cases.iter().map(|case| case.case.id.as_str()).collect::<Vec<_>>());
    }
}
