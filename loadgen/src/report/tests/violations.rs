//! Files of violations, with texts of a hostile target.

use super::super::{markdown, violations};
use super::hostile;
use crate::conform::case::Cases;
use crate::record::fixture;

#[test]
fn a_file_is_a_valid_case_with_what_was_seen_beside_each_step() {
    let files = violations::files(&hostile());
    assert_eq!(files.len(), 5);
    let (name, text) = &files[0];
    assert_eq!(name, "01-foreign-value.toml");
    let cases = Cases::parse(name, text).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(cases.cases()[0].id, "01-foreign-value");
    insta::assert_snapshot!(text, @r##"
    # foreign value (ROLE-2): seen by guest g17 over websocket, load paced, trial 1.
    # Request:  get g18 k3
    # Expected: you are not allowed to access keys of other users
    # Seen:     \u{1b}[2Jowned|`x`</code><script>alert(1)</script>\r\nnext
    # A right server passes this case. Instants are seconds since the measured part of the load began.

    [[case]]
    id = "01-foreign-value"
    rules = ["ROLE-2"]
    about = "foreign value, as g17 saw it over websocket"
    transports = ["websocket"]
    clients.client = {} # g17 in the run
    clients.owner = { transport = "tcp" } # g18 in the run
    steps = [
      # sent at 1.200000 s, answered at 1.200100 s: done
      { client = "owner", send = "put k3 0512340003000001abcd", expect = "done" },
      # WRONG, sent at 1.200000 s, answered at 1.250000 s: \u{1b}[2Jowned|`x`</code><script>alert(1)</script>\r\nnext
      { client = "client", send = "get {owner} k3", expect = "you are not allowed to access keys of other users" },
    ]
    "##);
}

#[test]
fn no_text_of_a_target_or_a_scenario_leaves_its_comment() {
    let mut record = hostile();
    for evil in ["x\n[[case]]\n", "\u{1b}[2J", "\u{202e}\"\"\"", "'''\r", &"y".repeat(100_000)] {
        let violation = &mut record.violations[0];
        for field in [
            &mut violation.client,
            &mut violation.request,
            &mut violation.expected,
            &mut violation.seen,
            &mut violation.variant,
        ] {
            evil.clone_into(field);
        }
        for step in &mut violation.replay.as_mut().unwrap().steps {
            evil.clone_into(&mut step.seen);
        }
        let (name, text) = violations::files(&record).swap_remove(0);
        Cases::parse(&name, &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        assert!(!text.contains(|c: char| c != '\n' && c.is_control()), "{text:?}");
        assert!(text.lines().all(|line| line.len() < 1000) && !name.contains(['/', '\n']) && name.len() < 60);
    }
}

#[test]
fn a_violation_without_a_sequence_has_no_file_and_no_link() {
    let mut record = hostile();
    record.violations.iter_mut().for_each(|violation| violation.replay = None);
    assert!(violations::files(&record).is_empty());
    assert!(!markdown::report(&record, &[]).contains("violations/"));
    assert!(
        markdown::report(&hostile(), &[]).contains("[05-foreign-value](violations/05-foreign-value.toml)")
    );
}

#[test]
fn at_most_twenty_violations_have_files() {
    let mut record = hostile();
    record.violations = vec![fixture::violation(); 30];
    assert_eq!(violations::files(&record).len(), 20);
}
