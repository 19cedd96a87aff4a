//! `twinwire run` against servers that break one rule each: every fault has its name, and a right server has none.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::support::faulty::{self, Fault};
use crate::support::replies::UPGRADE_REFUSED;
use crate::support::{Ended, Place, longer_scenario, run_against, scenario};

fn run_scenario(scenario: &str, fault: impl faulty::Often) -> (Place, Ended) {
    let place = Place::with(scenario);
    let address = faulty::start(fault).to_string();
    let ended = place.run_to_end(&["--tcp", &address]);
    (place, ended)
}

/// A load that only its fault ends, with a short patience for replies.
fn endless(transports: &str) -> String {
    scenario(transports).replace("500ms", "10min").replace("\"20s\"", "\"2s\"")
}

/// The fault is found, exits with 1, stands at the top of the report, and says who saw what.
#[track_caller]
fn finds(fault: Fault, kind: &str, rule: &str) {
    names(run_against(fault), kind, rule);
}

#[track_caller]
fn names((place, ended): (Place, Ended), kind: &str, rule: &str) {
    let ended = ended.expect(1);
    assert!(ended.stdout.lines().take(8).any(|line| line.contains(kind)), "{}", ended.stdout);
    let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
    assert_eq!(record["outcome"]["status"], "violated");
    let violations = record["violations"].as_array().unwrap();
    // The value of another key may be that of one that differs in case alone, which breaks another rule.
    let found = violations.iter().find(|violation| violation["kind"] == kind && violation["rule"] == rule);
    let found = found.unwrap_or_else(|| panic!("no `{kind}` of {rule} in {violations:#?}"));
    for part in ["client", "request", "expected", "seen"] {
        assert!(!found[part].as_str().unwrap().is_empty(), "{part} of {found}");
    }
    let report = place.read("report.md");
    let (violation, latency) = (report.find(kind).unwrap(), report.find("### Latency").unwrap());
    assert!(violation < latency, "violations come first:\n{report}");
    assert!(
        place.csv("summary.csv").iter().any(|row| row["violations"].parse::<u64>().unwrap() > 0)
            || rule == "LIFE-1",
        "only the reply to `q` comes after the measured part"
    );
}

/// A short load like that of `scenarios/isolation.toml`, alone and pipelined.
const PRYING: &str = r#"
name = "prying"
seed = 11
transports = ["tcp"]

[[load]]
name = "alone"
model = "closed"
think = "2ms"
warmup = "0s"
duration = "500ms"
timing = "unjudged"

[[load]]
name = "pipelined"
model = "closed"
in-flight = 4
think = "2ms"
warmup = "0s"
duration = "300ms"
timing = "unjudged"

[[clients]]
name = "guests"
role = "guest"
count = 6
mix = { put = 20, get = 20, get-missing = 8, get-other = 32, bad = 20 }
keys = { count = 6 }
values = { min = 16, max = 100 }
reconnect = { every = 20 }

[[clients]]
name = "managers"
role = "manager"
count = 3
mix = { put = 15, get = 15, get-other = 60, upgrade = 5, bad = 5 }
keys = { count = 6 }
preload = 3
reconnect = { every = 25 }
"#;

/// Servers that are tried at the same time: few, or the other tests get no CPU.
const AT_ONCE: usize = 2;

/// The requirements that a run against this server says are broken, and how it ended.
fn found_by_prying(fault: impl faulty::Often) -> (BTreeSet<String>, serde_json::Value, Ended) {
    let (place, ended) = run_scenario(PRYING, fault);
    let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
    let rule = |violation: &serde_json::Value| violation["rule"].as_str().unwrap().to_owned();
    let rules = record["violations"].as_array().unwrap().iter().map(rule).collect();
    (rules, record, ended)
}

/// Each fault alone is found by the requirement that it breaks; what breaks the framing is tried elsewhere.
#[test]
fn each_of_a_fleet_of_faults_is_found_under_a_rule_that_it_breaks() {
    // Those that make the run wait are the last of the list.
    let waiting = Mutex::new(Fault::FLEET.to_vec());
    let missed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().pop();
                    let Some((fault, rules)) = next else { break };
                    let (found, _, ended) = found_by_prying(fault.every(10));
                    if ended.code != Some(1) || !rules.iter().any(|rule| found.contains(*rule)) {
                        missed.lock().unwrap().push(format!("{fault:?}: {:?}, {found:?}", ended.code));
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "{} of {}: {missed:#?}", missed.len(), Fault::FLEET.len());
}

#[test]
fn a_right_server_passes_what_finds_the_fleet() {
    let (found, record, ended) = found_by_prying(Fault::None);
    assert_eq!(found, BTreeSet::new(), "{}", ended.stdout);
    ended.expect(0);
    let passes = record["passes"].as_array().unwrap();
    let renewals: u64 = passes.iter().map(|pass| pass["renewals"]["clients"].as_u64().unwrap()).sum();
    assert!(renewals > 20, "{renewals}");
}

#[test]
fn a_right_server_passes_with_values_read_and_denials_seen() {
    let (place, ended) = run_against(Fault::None);
    ended.expect(0);
    let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
    let ledger = &record["passes"][0]["ledger"];
    for proof in ["values_read", "foreign_values_read", "denials"] {
        assert!(ledger[proof].as_u64().unwrap() > 10, "{proof}: {ledger}");
    }
    assert_eq!(ledger["requests"], ledger["replies"]);
    assert_eq!(ledger["checked"], ledger["replies"]);
}

#[test]
fn store_3_a_stale_value_is_named() {
    finds(Fault::Stale, "stale value", "STORE-3");
}

#[test]
fn store_5_a_foreign_value_is_named() {
    finds(Fault::Foreign, "foreign value", "STORE-5");
}

#[test]
fn store_5_the_value_of_another_key_is_named() {
    finds(Fault::OtherKey, "value of another key", "STORE-5");
}

#[test]
fn store_4_a_corrupted_value_is_named() {
    finds(Fault::Corrupted, "corrupted value", "STORE-4");
}

#[test]
fn store_1_a_lost_value_is_named() {
    finds(Fault::Lost, "lost value", "STORE-1");
}

#[test]
fn role_2_a_guest_that_reads_anothers_key_is_named() {
    finds(Fault::OpenToGuests, "isolation broken", "ROLE-2");
}

#[test]
fn role_3_a_user_who_is_there_and_is_not_found_is_named() {
    finds(Fault::ForgetsUsers, "wrong reply", "ROLE-3");
}

#[test]
fn a_server_that_ends_a_session_by_itself_breaks_no_rule() {
    // Its managers may hear of it before its client does; it may come at a malformed command, or cross a request.
    let allowed = "\n[[thresholds]]\nmetric = \"lost\"\nmax = 1\n";
    for fault in [Fault::Disconnects(1000), Fault::DisconnectsAtUnknown, Fault::TimesOutOnce] {
        let (place, ended) = run_scenario(&(longer_scenario(r#"["tcp"]"#) + allowed), fault);
        let ended = ended.expect(0);
        assert!(ended.stderr.contains("1 clients ended early"), "{fault:?}: {}", ended.stderr);
        let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
        let found = (&record["violations_total"], &record["violations"]);
        assert_eq!(found, (&0.into(), &serde_json::json!([])), "{fault:?}");
    }
}

/// The longer load, whose clients begin a new session at every so manieth request.
fn renewing(transports: &str, every: u32) -> String {
    let keys = "keys = { count = 8 }";
    longer_scenario(transports).replace(keys, &format!("{keys}\nreconnect = {{ every = {every} }}"))
}

#[test]
fn life_2_a_server_that_hears_of_a_close_late_may_be_full_until_then() {
    let tcp = faulty::start(Fault::FullAfterALoss).to_string();
    let url = format!("ws://{}/", faulty::start_websocket(Fault::FullAfterALoss));
    for (transports, target) in [(r#"["tcp"]"#, ["--tcp", &tcp]), (r#"["websocket"]"#, ["--ws", &url])] {
        let place = Place::with(&renewing(transports, 50));
        place.run_to_end(&target).expect(0);
        let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
        assert!(record["passes"][0]["renewals"]["clients"].as_u64().unwrap() > 6, "{}", record["passes"]);
    }
}

#[test]
fn tcp_7_an_idle_time_out_that_crosses_a_quit_breaks_no_rule() {
    let allowed = "\n[[thresholds]]\nmetric = \"lost\"\nmax = 1\n";
    let (place, ended) = run_scenario(&(renewing(r#"["tcp"]"#, 20) + allowed), Fault::TimesOutAtQuit);
    let ended = ended.expect(0);
    // Its client has lost the connection, as with any close that it did not ask for.
    assert!(ended.stderr.contains("1 clients ended early"), "{}", ended.stderr);
    let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
    assert_eq!(record["violations_total"], 0, "{}", record["violations"]);
}

#[test]
fn a_lost_client_fails_the_run_unless_a_threshold_allows_it_in_the_warm_up_too() {
    let warming = longer_scenario(r#"["tcp"]"#).replace("warmup = \"100ms\"", "warmup = \"3s\"");
    for (scenario, lost_at) in [(longer_scenario(r#"["tcp"]"#), 1000), (warming, 200)] {
        let (place, ended) = run_scenario(&scenario, Fault::Disconnects(lost_at));
        let ended = ended.expect(1);
        let first = ended.stdout.lines().next().unwrap();
        assert!(first.starts_with("tiny: FAILED: errors, unfinished requests or lost clients"), "{first}");
        let said =
            "load `short` over tcp: 1 of 6 clients lost their connection, or were not answered in time";
        assert!(ended.stdout.contains(said) && ended.stderr.contains(said), "{ended:?}");
        assert!(
            ended.stdout.contains("lost = 0 where load=short, transport=tcp (default): MISSED (1)"),
            "{ended:?}"
        );
        let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
        assert_eq!(record["outcome"]["status"], "correctness-missed");
    }
}

#[test]
fn a_threshold_on_errors_is_judged_where_the_target_was_lost_and_decides_first() {
    let errors = "\n[[thresholds]]\nmetric = \"errors\"\nmax = 0\n";
    let (place, ended) = run_scenario(&(endless(r#"["tcp"]"#) + errors), Fault::DiesAfter(2000));
    let ended = ended.expect(1);
    assert!(ended.stdout.contains("while load `short` ran over tcp (trial 1)"), "{}", ended.stdout);
    let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
    assert_eq!(record["thresholds"][0]["met"], false);
    // Without a target from the start there is nothing that could have failed.
    let place = Place::with(&(scenario(r#"["tcp"]"#) + errors));
    place.run_to_end(&["--tcp", "127.0.0.1:1"]).expect(3);
}

#[test]
fn form_3_a_reply_that_nobody_asked_for_is_named() {
    finds(Fault::Twice, "unasked reply", "FORM-3");
}

#[test]
fn form_1_a_malformed_command_that_is_accepted_is_named() {
    finds(Fault::AcceptsAnything, "wrong reply", "FORM-1");
}

#[test]
fn tcp_1_a_reply_without_an_end_is_named() {
    finds(Fault::Endless, "broken framing", "TCP-1");
}

#[test]
fn ws_7_a_masked_reply_is_named() {
    let place = Place::with(&endless(r#"["websocket"]"#));
    let url = format!("ws://{}/", faulty::start_websocket(Fault::MasksAfter(300)));
    let ended = place.run_to_end(&["--ws", &url]);
    names((place, ended), "broken framing", "WS-7");
}

/// What the violation of a server says that breaks the handshake's rules at every so manieth connection.
fn broken_handshake(scenario: &str, fault: impl faulty::Often) -> serde_json::Value {
    let place = Place::with(scenario);
    let url = format!("ws://{}/", faulty::start_websocket(fault));
    let ended = place.run_to_end(&["--ws", &url]).expect(1);
    assert!(ended.stdout.lines().next().unwrap().contains("FAILED: wrong replies"), "{}", ended.stdout);
    assert!(ended.stdout.contains("broken handshake") && ended.stdout.contains("WS-2"), "{}", ended.stdout);
    let file = place.out().join("violations/01-broken-handshake.toml");
    Ended::of(crate::support::twinwire().arg("check").arg(file).output().unwrap()).expect(0);
    let case = place.read("violations/01-broken-handshake.toml");
    assert!(case.contains("{ connect = false }") && case.contains("connect = true }"), "{case}");
    let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
    assert_eq!(record["outcome"]["status"], "violated");
    record["violations"][0].clone()
}

#[test]
fn ws_2_a_handshake_that_chooses_what_was_not_offered_or_has_the_wrong_key_is_named() {
    for (fault, seen) in [
        (Fault::WrongAccept, "Sec-WebSocket-Accept: "),
        (Fault::Extension, "Sec-WebSocket-Extensions: permessage-deflate"),
        (Fault::Subprotocol, "Sec-WebSocket-Protocol: chat"),
    ] {
        let found = broken_handshake(&scenario(r#"["websocket"]"#), fault.always());
        assert_eq!((&found["kind"], &found["rule"]), (&"broken handshake".into(), &"WS-2".into()));
        assert!(found["seen"].as_str().unwrap().starts_with(seen), "{found}");
        assert!(!found["expected"].as_str().unwrap().is_empty(), "{found}");
    }
}

#[test]
fn ws_2_a_handshake_of_a_reconnect_is_judged_too_and_in_the_warm_up() {
    let renewing = renewing(r#"["websocket"]"#, 20);
    let warming = renewing.replace("warmup = \"100ms\"", "warmup = \"1min\"");
    assert_ne!(renewing, warming);
    for scenario in [&renewing, &warming] {
        // There are six clients: the ninth handshake comes in the load, or in its warm-up.
        let found = broken_handshake(scenario, Fault::Extension.every(9));
        assert_eq!(found["rule"], "WS-2", "{found}");
        assert!(found["at_s"].as_f64().unwrap() != 0.0, "{found}");
    }
}

#[test]
fn a_right_server_passes_over_websocket() {
    let place = Place::with(&scenario(r#"["websocket"]"#));
    let url = format!("ws://{}/", faulty::start_websocket(Fault::None));
    place.run_to_end(&["--ws", &url]).expect(0);
}

#[test]
fn life_1_a_wrong_goodbye_is_named() {
    finds(Fault::Bye, "wrong reply", "LIFE-1");
}

#[test]
fn a_server_that_grants_no_upgrade_cannot_bear_a_scenario_with_managers() {
    let (_, ended) = run_against(Fault::RefusesUpgrade);
    let ended = ended.expect(3);
    assert!(ended.stdout.contains("upgrading as `managers-"), "{}", ended.stdout);
    assert!(ended.stdout.contains(UPGRADE_REFUSED), "{}", ended.stdout);
}

#[test]
fn a_server_that_is_not_there_is_said_to_be_missing() {
    let place = Place::with(&scenario(r#"["tcp"]"#));
    // Bound and dropped again: nobody listens there now.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ended = place.run_to_end(&["--tcp", &address]).expect(3);
    assert!(ended.stdout.contains(&format!("cannot connect to {address}")), "{}", ended.stdout);
}

#[test]
fn a_server_that_never_answers_is_said_to_be_silent() {
    let (_, ended) = run_scenario(&endless(r#"["tcp"]"#), Fault::Silent);
    let ended = ended.expect(3);
    assert!(ended.stdout.contains("logging in as `guests-"), "{}", ended.stdout);
    assert!(ended.stdout.contains("no reply within 2s"), "{}", ended.stdout);
}

#[test]
fn a_server_that_hangs_in_mid_run_is_lost_and_what_was_measured_is_kept() {
    lost_in_mid_run(Fault::HangsAfter(2000));
}

#[test]
fn a_server_that_dies_in_mid_run_is_lost_and_what_was_measured_is_kept() {
    lost_in_mid_run(Fault::DiesAfter(2000));
}

fn lost_in_mid_run(fault: Fault) {
    let (place, ended) = run_scenario(&endless(r#"["tcp"]"#), fault);
    let ended = ended.expect(3);
    assert!(ended.stdout.contains("while load `short` ran over tcp (trial 1)"), "{}", ended.stdout);
    let all = place
        .csv("summary.csv")
        .into_iter()
        .find(|row| ["trial", "group", "role", "op"].iter().all(|column| row[*column] == "all"));
    let all = all.expect("what was measured is there");
    assert!(all["requests"].parse::<u64>().unwrap() > 50, "{all:?}");
    assert!(all["errors"].parse::<u64>().unwrap() > 0, "{all:?}");
    assert!(!all["service_p50"].is_empty(), "{all:?}");
}
