//! Each violation of a run comes out as a scripted case: valid, as short as it can be, passed by a right server and failed
//! by the one that was seen.

use std::net::SocketAddr;
use std::path::PathBuf;

use twinwire::conform::case::Cases;
use twinwire::conform::case::model::{Action, Case, Expectation, Step};
use twinwire::domain::Rule;
use twinwire::oracle::TAG_BYTES;

use crate::support::faulty::{self, Fault};
use crate::support::replayer::{self, Verdict};
use crate::support::replies::{DENIED, DONE, EXITING, WRONG_FORMAT};
use crate::support::{Ended, Place, longer_scenario, run_against, twinwire};

/// What a run against a faulty server left behind.
struct Found {
    place: Place,
    files: Vec<PathBuf>,
}

impl Found {
    /// In the run that all tests share.
    fn by(fault: Fault) -> Self {
        let (place, ended) = run_against(fault);
        ended.expect(1);
        Self::of(place)
    }

    fn with(scenario: &str, fault: Fault) -> Self {
        let place = Place::with(scenario);
        let address = faulty::start(fault).to_string();
        place.run_to_end(&["--tcp", &address]).expect(1);
        Self::of(place)
    }

    fn of(place: Place) -> Self {
        let mut files: Vec<_> = std::fs::read_dir(place.out().join("violations"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        Self { place, files }
    }

    /// Text and case of the first file of this kind.
    fn first(&self, slug: &str) -> (String, Case) {
        self.find(slug, |_| true)
    }

    /// Text and case of the first file of this kind with such a text.
    fn find(&self, slug: &str, wanted: impl Fn(&str) -> bool) -> (String, Case) {
        let named =
            |file: &&PathBuf| file.file_name().unwrap().to_string_lossy()[3..] == format!("{slug}.toml");
        let texts = self.files.iter().filter(named).map(|file| std::fs::read_to_string(file).unwrap());
        let text = { texts }.find(|text| wanted(text));
        let text = text.unwrap_or_else(|| panic!("no such {slug} in {:?}", self.files));
        let cases = Cases::parse("case", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        assert_eq!(cases.cases().len(), 1);
        let case = cases.cases()[0].clone();
        (text, case)
    }

    fn record(&self) -> serde_json::Value {
        serde_json::from_str(&self.place.read("run.json")).unwrap()
    }
}

fn sent(step: &Step) -> String {
    match &step.action {
        Action::Send { messages, .. } => messages.iter().map(replayer::shown).collect::<Vec<_>>().join("; "),
        other => format!("{other:?}"),
    }
}

fn due(step: &Step) -> String {
    match &step.expect {
        Some(Expectation::Replies(replies)) => {
            replies.iter().map(replayer::shown).collect::<Vec<_>>().join("; ")
        }
        other => format!("{other:?}"),
    }
}

fn right_server() -> SocketAddr {
    faulty::start(Fault::None)
}

#[test]
fn at_most_twenty_files_are_written_check_takes_them_and_the_rest_is_counted() {
    let found =
        Found::with(&longer_scenario(r#"["tcp"]"#).replace("bad = 5", "bad = 60"), Fault::AcceptsAnything);
    let record = found.record();
    let total = record["violations_total"].as_u64().unwrap();
    assert!(total > 20, "{total}");
    assert_eq!(found.files.len(), 20);
    let checked = Ended::of(twinwire().arg("check").args(&found.files).output().unwrap()).expect(0);
    assert_eq!(checked.stdout.matches("(1 scripted case)").count(), 20, "{}", checked.stdout);
    let report = found.place.read("report.md");
    for file in &found.files {
        let name = file.file_name().unwrap().to_string_lossy();
        assert!(report.contains(&format!("(violations/{name})")), "{name} in {report}");
    }
}

#[test]
fn a_stale_value_is_shown_by_two_puts_and_a_read() {
    let found = Found::by(Fault::Stale);
    let (text, case) = found.first("stale-value");
    assert_eq!(case.rules, [Rule::Store3]);
    assert_eq!(case.clients.len(), 1, "{text}");
    let [old, new, read] = &case.steps[..] else { panic!("{text}") };
    let key = sent(read).strip_prefix("get ").unwrap().to_owned();
    for put in [old, new] {
        assert!(sent(put).starts_with(&format!("put {key} ")), "{text}");
        assert_eq!(due(put), DONE, "{text}");
    }
    assert_eq!(sent(new).rsplit(' ').next().unwrap(), due(read), "the newer value is due: {text}");
    assert_ne!(sent(old), sent(new), "{text}");
    // Who, what and when.
    let violation = &found.record()["violations"][0];
    let user = text.lines().find(|line| line.starts_with("clients.client = {")).unwrap();
    assert!(user.ends_with(&format!("# {} in the run", violation["client"].as_str().unwrap())), "{text}");
    let wrong = text.lines().find(|line| line.contains("WRONG")).unwrap();
    // What a value holds beyond its tag is escaped where it is not ASCII.
    let old_tag = sent(old).rsplit(' ').next().unwrap()[..TAG_BYTES].to_owned();
    assert!(
        wrong.contains("sent at ") && wrong.contains("answered at ") && wrong.contains(&old_tag),
        "{wrong}"
    );
}

#[test]
fn puts_during_the_load_are_shown_with_their_instants_and_replies() {
    let found = Found::by(Fault::Stale);
    let (text, _) = found.first("stale-value");
    let known =
        text.lines().filter(|line| line.starts_with("  # sent at ") && line.ends_with(": done")).count();
    assert!(known >= 1, "the newer put, at least, came during the load: {text}");
}

#[test]
fn a_foreign_value_is_shown_by_both_puts_and_the_read() {
    let (text, case) = Found::by(Fault::Foreign).first("foreign-value");
    assert_eq!(case.steps.len(), 3, "{text}");
    assert_eq!(case.clients.len(), 2, "{text}");
    assert_eq!(case.clients[1].name, "other");
    assert!(case.steps[..2].iter().any(|step| step.client == Some(1)), "{text}");
}

#[test]
fn what_needs_no_value_is_shown_by_one_request_alone() {
    for (fault, kind, request, due_text) in [
        (Fault::AcceptsAnything, "wrong-reply", None, WRONG_FORMAT),
        (Fault::Bye, "wrong-reply", Some("q"), EXITING),
    ] {
        let (text, case) = Found::by(fault).first(kind);
        let [step] = &case.steps[..] else { panic!("{text}") };
        assert_eq!(case.clients.len(), 1, "{text}");
        assert_eq!(due(step), due_text, "{text}");
        assert!(request.is_none_or(|request| request == sent(step)), "{text}");
    }
}

#[test]
fn a_leak_is_shown_by_the_owners_put_and_the_guests_read() {
    let found = Found::by(Fault::OpenToGuests);
    // A guest must not even be told that there is nothing; it is the leak of a value that is looked at here.
    let (text, case) =
        found.find("isolation-broken", |text| text.contains("'s value of ") && !text.contains("put role"));
    let read = case.steps.last().unwrap();
    assert_eq!(due(read), DENIED, "{text}");
    assert!(sent(read).starts_with("get {"), "{text}");
    assert!(case.steps.len() == 2 && sent(&case.steps[0]).starts_with("put "), "{text}");
}

#[test]
fn a_reply_too_many_is_shown_by_silence() {
    let (text, case) = Found::by(Fault::Twice).first("unasked-reply");
    let last = case.steps.last().unwrap();
    assert!(matches!(last.expect, Some(Expectation::Silence(_))), "{text}");
    assert!(sent(&case.steps[case.steps.len() - 2]).starts_with("get "), "{text}");
}

#[test]
fn replies_in_the_wrong_order_are_shown_in_one_write() {
    let pipelined =
        longer_scenario(r#"["tcp"]"#).replace("think = \"1ms\"", "think = \"1ms\"\nin-flight = 4");
    let (text, case) = Found::with(&pipelined, Fault::Swaps).first("swapped-reply");
    let read = case.steps.last().unwrap();
    let Action::Send { messages, .. } = &read.action else { panic!("{text}") };
    assert!(messages.len() > 1, "{text}");
    let Some(Expectation::Replies(replies)) = &read.expect else { panic!("{text}") };
    assert_eq!(replies.len(), messages.len(), "{text}");
    assert_eq!(replayer::replay(&case, right_server()), Verdict::Passed, "{text}");
}

#[test]
fn a_managers_stale_read_over_websocket_names_both_transports() {
    let scenario = longer_scenario(r#"["tcp", "websocket"]"#)
        .replace("name = \"guests\"", "name = \"guests\"\ntransport = \"tcp\"")
        .replace("name = \"managers\"", "name = \"managers\"\ntransport = \"websocket\"")
        .replace("count = 2", "count = 1");
    let place = Place::with(&scenario);
    let (tcp, websocket) = faulty::start_both(Fault::StaleToManagers.every(5));
    place.run_to_end(&["--tcp", &tcp.to_string(), "--ws", &format!("ws://{websocket}/")]).expect(1);
    let file = place.out().join("violations/01-stale-value.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let cases = Cases::read(&file).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let case = &cases.cases()[0];
    assert_eq!(case.rules, [Rule::Atom1], "{text}");
    // Where the newer put's reply came late, what proves that it was made is a read of the owner's.
    assert!(matches!(case.steps.len(), 3 | 4), "{text}");
    assert!(text.contains("transports = [\"websocket\"]"), "{text}");
    assert!(text.contains("clients.client = { role = \"manager\" }"), "{text}");
    let owner = text.lines().find(|line| line.starts_with("clients.owner")).unwrap();
    assert!(owner.starts_with("clients.owner = { transport = \"tcp\" } # guests-"), "{text}");
    assert!(sent(case.steps.last().unwrap()).starts_with("get {owner} k"), "{text}");
}

/// The point of it all: whoever gets the file can tell a right server from the faulty one.
#[test]
fn a_right_server_passes_every_case_and_a_server_that_is_always_wrong_fails_it() {
    for fault in [Fault::AcceptsAnything, Fault::OpenToGuests, Fault::Bye] {
        let found = Found::by(fault);
        for file in &found.files {
            let text = std::fs::read_to_string(file).unwrap();
            let case = &Cases::parse("case", &text).unwrap().cases()[0].clone();
            assert_eq!(replayer::replay(case, right_server()), Verdict::Passed, "{text}");
            let verdict = replayer::replay(case, faulty::start(fault));
            assert!(matches!(verdict, Verdict::Failed(_)), "{verdict:?} of\n{text}");
        }
    }
    for fault in [Fault::Stale, Fault::Foreign, Fault::OtherKey, Fault::Corrupted, Fault::Lost, Fault::Twice]
    {
        for file in &Found::by(fault).files {
            let text = std::fs::read_to_string(file).unwrap();
            let case = &Cases::parse("case", &text).unwrap().cases()[0].clone();
            assert_eq!(replayer::replay(case, right_server()), Verdict::Passed, "{text}");
            let verdict = replayer::replay(case, faulty::start(fault.always()));
            assert!(matches!(verdict, Verdict::Failed(_)), "{verdict:?} of\n{text}");
        }
    }
}

/// After a reconnect the file shows the session's end and the next one's beginning, not what no session could see.
#[test]
fn what_goes_wrong_with_a_new_session_is_shown_by_one() {
    let renewing = longer_scenario(r#"["tcp"]"#)
        .replace("keys = { count = 8 }", "keys = { count = 8 }\nreconnect = { every = 20 }");
    for (fault, rule) in [(Fault::KeepsNames, Rule::Life3), (Fault::KeepsStores, Rule::Life2)] {
        let mut shown = 0;
        for file in &Found::with(&renewing, fault).files {
            let text = std::fs::read_to_string(file).unwrap();
            let cases = Cases::parse("case", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
            let case = &cases.cases()[0];
            assert_eq!(replayer::replay(case, right_server()), Verdict::Passed, "{text}");
            // A read that fell between two sessions is shown between them, where stores that are kept for the next
            // one are not seen yet.
            if case.rules == [Rule::Life2] && !case.steps.iter().any(|step| step.action == Action::Connect) {
                continue;
            }
            let verdict = replayer::replay(case, faulty::start(fault));
            assert!(matches!(verdict, Verdict::Failed(_)), "{verdict:?} of\n{text}");
            if case.rules == [rule] {
                assert!(case.steps.iter().any(|step| step.action == Action::Connect), "{text}");
                shown += 1;
            }
        }
        assert!(shown > 0, "no {rule}");
    }
}

#[test]
fn logins_and_leavings_that_are_answered_wrongly_are_shown_as_well() {
    let renewing = longer_scenario(r#"["tcp"]"#)
        .replace("keys = { count = 8 }", "keys = { count = 8 }\nreconnect = { every = 20 }");
    for (fault, rules, steps) in [
        (Fault::TakesNamesTwice, &[Rule::Login2][..], 1),
        (Fault::TakesBadLogins, &[Rule::Login3, Rule::Login5], 1),
        (Fault::NamesIgnoreCase, &[Rule::Login6], 2),
        (Fault::RunsWhatFollowsQuit, &[Rule::Life1], 2),
    ] {
        let mut shown = 0;
        for file in &Found::with(&renewing, fault).files {
            let text = std::fs::read_to_string(file).unwrap();
            let cases = Cases::parse("case", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
            let case = &cases.cases()[0];
            if !rules.contains(&case.rules[0]) {
                continue;
            }
            shown += 1;
            assert_eq!(case.steps.len(), steps, "{text}");
            assert_eq!(replayer::replay(case, right_server()), Verdict::Passed, "{text}");
            let verdict = replayer::replay(case, faulty::start(fault));
            assert!(matches!(verdict, Verdict::Failed(_)), "{verdict:?} of\n{text}");
        }
        assert!(shown > 0, "no {rules:?}");
    }
}

#[test]
fn long_values_are_shortened_to_stand_ins_of_the_same_size() {
    let long = longer_scenario(r#"["tcp"]"#).replace("{ min = 16, max = 100 }", "{ size = 3000 }");
    // The managers' values are short.
    let found = Found::with(&long, Fault::Corrupted);
    let (text, case) = found.find("corrupted-value", |text| text.contains("seen by guest"));
    assert!(text.contains("{fill:2984}") && text.lines().all(|line| line.len() < 500), "{text}");
    assert_eq!(replayer::replay(&case, right_server()), Verdict::Passed, "{text}");
}

#[test]
fn a_login_that_is_answered_wrongly_is_shown_too() {
    let place = Place::with(&longer_scenario(r#"["tcp"]"#));
    let address = faulty::start(Fault::Welcomes).to_string();
    place.run_to_end(&["--tcp", &address]).expect(1);
    let text = place.read("violations/01-wrong-reply.toml");
    let cases = Cases::parse("case", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    assert_eq!(replayer::replay(&cases.cases()[0], right_server()), Verdict::Passed, "{text}");
    assert!(
        text.contains("login = false") && text.contains("login = \"{client}\", expect = \"success\""),
        "{text}"
    );
}

#[test]
fn report_draws_the_files_again_from_the_record_and_leaves_others_alone() {
    let found = Found::by(Fault::OpenToGuests);
    let before: Vec<_> = found.files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    std::fs::remove_file(&found.files[0]).unwrap();
    std::fs::write(found.place.out().join("violations/99-mine.toml"), "mine").unwrap();
    Ended::of(twinwire().arg("report").arg(found.place.out()).output().unwrap()).expect(0);
    let after: Vec<_> = found.files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    assert_eq!(before, after);
    assert_eq!(found.place.read("violations/99-mine.toml"), "mine");
}

#[test]
fn a_run_without_violations_has_no_folder_of_them() {
    let (place, ended) = run_against(Fault::None);
    ended.expect(0);
    assert!(!place.out().join("violations").exists());
}

#[test]
fn a_record_of_an_older_version_still_reads() {
    let found = Found::by(Fault::Bye);
    let mut record = found.record();
    for violation in record["violations"].as_array_mut().unwrap() {
        violation.as_object_mut().unwrap().remove("replay");
    }
    std::fs::write(found.place.out().join("run.json"), record.to_string()).unwrap();
    Ended::of(twinwire().arg("report").arg(found.place.out()).output().unwrap()).expect(0);
    assert!(!found.place.out().join("violations").exists(), "a folder that is empty goes as well");
}
