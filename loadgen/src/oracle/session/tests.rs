//! Which replies a session takes for right, and what it calls the others.

use super::*;
use crate::domain::{Rule, ViolationKind};
use crate::oracle::{ClientSpec, describe_origin};

const SPEC: ValueSpec = ValueSpec { min: 20, max: 40 };

fn reference() -> ReferenceModel {
    let names =
        ["alice", "bob"].map(|name| ClientSpec { name: name.to_owned(), group: 0, keys: 4, values: SPEC });
    ReferenceModel::new(77, names)
}

fn log_in(reference: &ReferenceModel, client: u32) -> SessionModel {
    let session = SessionModel::new(reference, client);
    reference.set_live(client);
    session
}

/// The value in a `put KEY VALUE`.
fn value(request: &[u8]) -> Vec<u8> {
    request.rsplit(|&b| b == b' ').next().unwrap().to_vec()
}

fn put(reference: &ReferenceModel, session: &mut SessionModel, key: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let expect = session.put(reference, key, &mut out);
    assert_eq!(session.judge(reference, expect, b"done"), Ok(LegalReply::Plain));
    value(&out)
}

fn manager(reference: &ReferenceModel, client: u32) -> SessionModel {
    let mut session = log_in(reference, client);
    session.judge(reference, Expectation::Upgrade, b"upgraded to manager").unwrap();
    session
}

/// A tag of alice's key 1.
fn tag(run: u16, version: u32) -> Tag {
    Tag { run, user: 0, key: 1, incarnation: 0, position: Position::of_put(version) }
}

fn kind(result: Result<LegalReply, Finding>) -> ViolationKind {
    result.expect_err("this reply is illegal").kind
}

#[test]
fn a_server_may_refuse_a_message_as_too_long_only_beyond_what_every_server_takes() {
    for (message_bytes, allowed) in [(MESSAGE_BYTES, false), (MESSAGE_BYTES + 1, true)] {
        let size = (message_bytes - "put k0 ".len()) as u32;
        let reference = ReferenceModel::new(
            77,
            [ClientSpec {
                name: "alice".to_owned(),
                group: 0,
                keys: 4,
                values: ValueSpec { min: size, max: size },
            }],
        );
        let mut alice = log_in(&reference, 0);
        let mut out = Vec::new();
        let expect = alice.put(&reference, 0, &mut out);
        assert_eq!(out.len(), message_bytes);
        let judged = alice.judge(&reference, expect, b"message too long");
        assert_eq!((judged.is_ok(), alice.was_too_long()), (allowed, allowed), "{judged:?}");
        // It takes nothing else for too long.
        assert!(alice.judge(&reference, Expectation::Get { key: 0 }, b"message too long").is_err());
    }
}

#[test]
fn an_owner_reads_exactly_its_newest_put() {
    let reference = reference();
    let mut alice = log_in(&reference, 0);
    let get = Expectation::Get { key: 2 };
    assert_eq!(alice.judge(&reference, get, b"key not found"), Ok(LegalReply::Plain));
    let first = put(&reference, &mut alice, 2);
    assert_eq!(alice.judge(&reference, get, &first), Ok(LegalReply::Value));
    let second = put(&reference, &mut alice, 2);
    assert_eq!(alice.judge(&reference, get, &second), Ok(LegalReply::Value));
    assert_eq!(kind(alice.judge(&reference, get, &first)), ViolationKind::StaleValue);
    assert_eq!(kind(alice.judge(&reference, get, b"key not found")), ViolationKind::LostValue);
    assert_eq!(kind(alice.judge(&reference, get, b"done")), ViolationKind::WrongReply);
}

#[test]
fn every_origin_of_a_wrong_value_has_its_name() {
    let reference = reference();
    let mut alice = log_in(&reference, 0);
    let mut bob = log_in(&reference, 1);
    let mine = put(&reference, &mut alice, 1);
    let other_key = put(&reference, &mut alice, 3);
    let foreign = put(&reference, &mut bob, 1);
    let get = Expectation::Get { key: 1 };
    assert_eq!(kind(alice.judge(&reference, get, &foreign)), ViolationKind::ForeignValue);
    assert_eq!(kind(alice.judge(&reference, get, &other_key)), ViolationKind::ValueOfAnotherKey);
    let mut cut = mine.clone();
    cut.pop();
    assert_eq!(kind(alice.judge(&reference, get, &cut)), ViolationKind::CorruptedValue);
    let mut future = Vec::new();
    tag(77, 9).write(SPEC, &mut future);
    assert_eq!(kind(alice.judge(&reference, get, &future)), ViolationKind::ValueNotYetPut);
    let mut leftover = Vec::new();
    tag(78, 1).write(SPEC, &mut leftover);
    assert_eq!(kind(alice.judge(&reference, get, &leftover)), ViolationKind::ValueOfAnotherRun);
    assert_eq!(alice.judge(&reference, get, &mine), Ok(LegalReply::Value));
}

#[test]
fn role_2_a_guest_gets_the_denial_and_nothing_else() {
    let reference = reference();
    let mut alice = log_in(&reference, 0);
    let mut bob = log_in(&reference, 1);
    let secret = put(&reference, &mut bob, 0);
    for (target, key) in [(Some(1), Some(0)), (Some(1), None), (None, Some(0)), (Some(0), Some(0))] {
        let expect = alice.get_other(&reference, target, key, &mut Vec::new());
        assert_eq!(alice.judge(&reference, expect, texts::DENIED.as_bytes()), Ok(LegalReply::Denied));
        assert_eq!(kind(alice.judge(&reference, expect, &secret)), ViolationKind::IsolationBroken);
        // To learn that something is not there is to learn too much.
        for text in ["key not found", "user not found"] {
            assert_eq!(
                kind(alice.judge(&reference, expect, text.as_bytes())),
                ViolationKind::IsolationBroken
            );
        }
        for text in ["wrong message format", ""] {
            assert_eq!(kind(alice.judge(&reference, expect, text.as_bytes())), ViolationKind::WrongReply);
        }
    }
}

#[test]
fn role_3_a_manager_reads_what_is_there() {
    let reference = reference();
    let mut boss = manager(&reference, 0);
    let mut bob = log_in(&reference, 1);
    let value = put(&reference, &mut bob, 0);
    let there = boss.get_other(&reference, Some(1), Some(0), &mut Vec::new());
    assert_eq!(boss.judge(&reference, there, &value), Ok(LegalReply::ForeignValue));
    assert_eq!(kind(boss.judge(&reference, there, b"user not found")), ViolationKind::WrongReply);
    assert_eq!(kind(boss.judge(&reference, there, texts::DENIED.as_bytes())), ViolationKind::WrongReply);
    assert_eq!(kind(boss.judge(&reference, there, b"key not found")), ViolationKind::LostValue);
    let missing = boss.get_other(&reference, Some(1), None, &mut Vec::new());
    assert_eq!(boss.judge(&reference, missing, b"key not found"), Ok(LegalReply::Plain));
    let absent = boss.get_other(&reference, None, Some(0), &mut Vec::new());
    assert_eq!(boss.judge(&reference, absent, b"user not found"), Ok(LegalReply::Plain));
}

#[test]
fn atom_1_a_read_is_never_older_than_what_was_known_before_it() {
    let reference = reference();
    let mut boss = manager(&reference, 0);
    let mut bob = log_in(&reference, 1);
    let first = put(&reference, &mut bob, 0);
    // Sent before the second put completes: either version is right.
    let early = boss.get_other(&reference, Some(1), Some(0), &mut Vec::new());
    let also_early = boss.get_other(&reference, Some(1), Some(0), &mut Vec::new());
    let mut request = Vec::new();
    let second_put = bob.put(&reference, 0, &mut request);
    let second = value(&request);
    assert_eq!(boss.judge(&reference, early, &first), Ok(LegalReply::ForeignValue));
    assert_eq!(boss.judge(&reference, also_early, &second), Ok(LegalReply::ForeignValue));
    // A read returned the second version, so every later read must, though the put has no reply yet.
    let late = boss.get_other(&reference, Some(1), Some(0), &mut Vec::new());
    assert_eq!(kind(boss.judge(&reference, late, &first)), ViolationKind::StaleValue);
    bob.judge(&reference, second_put, b"done").unwrap();
    assert_eq!(boss.judge(&reference, late, &second), Ok(LegalReply::ForeignValue));
}

#[test]
fn atom_2_a_refused_put_leaves_the_old_value() {
    let reference = reference();
    let mut boss = manager(&reference, 0);
    let mut bob = log_in(&reference, 1);
    let old = put(&reference, &mut bob, 0);
    let mut request = Vec::new();
    let expect = bob.put(&reference, 0, &mut request);
    assert_eq!(bob.judge(&reference, expect, b"store full"), Ok(LegalReply::Refused));
    assert_eq!(bob.judge(&reference, Expectation::Get { key: 0 }, &old), Ok(LegalReply::Value));
    let read = boss.get_other(&reference, Some(1), Some(0), &mut Vec::new());
    assert_eq!(boss.judge(&reference, read, &old), Ok(LegalReply::ForeignValue));
    assert_eq!(kind(boss.judge(&reference, read, &value(&request))), ViolationKind::RefusedValue);
}

#[test]
fn atom_2_a_put_that_was_read_cannot_be_refused_afterwards() {
    let reference = reference();
    let mut boss = manager(&reference, 0);
    let mut bob = log_in(&reference, 1);
    let mut request = Vec::new();
    let expect = bob.put(&reference, 0, &mut request);
    let read = boss.get_other(&reference, Some(1), Some(0), &mut Vec::new());
    assert_eq!(boss.judge(&reference, read, &value(&request)), Ok(LegalReply::ForeignValue));
    assert_eq!(kind(bob.judge(&reference, expect, b"store full")), ViolationKind::RefusedValue);
}

#[test]
fn a_session_that_may_have_ended_need_not_be_found() {
    let reference = reference();
    let mut boss = manager(&reference, 0);
    let _bob = log_in(&reference, 1);
    let read = boss.get_other(&reference, Some(1), Some(0), &mut Vec::new());
    assert_eq!(kind(boss.judge(&reference, read, b"user not found")), ViolationKind::WrongReply);
    let read = boss.get_other(&reference, Some(1), Some(0), &mut Vec::new());
    reference.set_ending(1);
    assert_eq!(boss.judge(&reference, read, b"user not found"), Ok(LegalReply::Plain));
}

#[test]
fn form_1_a_malformed_command_is_said_to_be_one() {
    let reference = reference();
    let mut alice = log_in(&reference, 0);
    for which in 0..ODD_COMMANDS {
        let expect = alice.bad(which, &mut Vec::new());
        assert_eq!(alice.judge(&reference, expect, odd(which).due.as_bytes()), Ok(LegalReply::Plain));
        assert_eq!(kind(alice.judge(&reference, expect, b"done")), ViolationKind::WrongReply);
    }
    let malformed = (0..ODD_COMMANDS).filter(|which| odd(*which).due == "wrong message format").count();
    assert!(malformed >= 13, "{malformed}");
}

#[test]
fn role_6_what_another_wrote_names_its_writer() {
    let reference = reference();
    let (mut alice, mut bob, mut boss) =
        (log_in(&reference, 0), log_in(&reference, 1), manager(&reference, 1));
    let mine = put(&reference, &mut alice, 3);
    let mut request = Vec::new();
    let write = bob.put_other(&reference, 0, 3, &mut request);
    assert!(request.starts_with(b"put alice q "), "{}", String::from_utf8_lossy(&request));
    let written = value(&request);
    assert_eq!(bob.judge(&reference, write, b"wrong message format"), Ok(LegalReply::Plain));
    assert_eq!(bob.judge(&reference, write, b"done").unwrap_err().rule, Rule::Role6);
    let get = alice.get(3, &mut Vec::new());
    assert_eq!(alice.judge(&reference, get, &written).unwrap_err().rule, Rule::Role6);
    let read = boss.get_other(&reference, Some(0), Some(3), &mut Vec::new());
    assert_eq!(boss.judge(&reference, read, &written).unwrap_err().rule, Rule::Role6);
    assert_eq!(writer_of_forbidden(&reference, &written), Some(1));
    assert_eq!(writer_of_forbidden(&reference, &mine), None);
    assert!(describe_origin(&reference, &written).unwrap().starts_with("what bob tried to write"));
}

#[test]
fn role_5_a_role_that_is_put_is_a_value_and_no_more() {
    let reference = reference();
    let mut alice = log_in(&reference, 0);
    let get = alice.get_missing(0, &mut Vec::new());
    assert_eq!(alice.judge(&reference, get, b"guest").unwrap_err().rule, Rule::Store6);
    assert_eq!(alice.judge(&reference, get, b"key not found"), Ok(LegalReply::Plain));
    let mut request = Vec::new();
    let expect = alice.put_role(&mut request);
    assert_eq!(request, b"put role manager");
    assert_eq!(alice.judge(&reference, expect, b"store full"), Ok(LegalReply::Refused));
    assert_eq!(alice.judge(&reference, get, b"key not found"), Ok(LegalReply::Plain));
    assert_eq!(alice.judge(&reference, expect, b"done"), Ok(LegalReply::Plain));
    assert_eq!(alice.judge(&reference, get, b"manager"), Ok(LegalReply::Plain));
    let other = alice.get_other(&reference, Some(1), Some(0), &mut Vec::new());
    assert_eq!(alice.judge(&reference, other, b"key not found").unwrap_err().rule, Rule::Role2);
    assert_eq!(
        alice.judge(&reference, Expectation::Upgrade, b"already a manager").unwrap_err().rule,
        Rule::Role5
    );
}

/// A reply is swapped only where it is exactly what another open request is due.
#[test]
fn form_3_a_stale_or_foreign_reply_is_not_called_swapped() {
    let reference = reference();
    let (mut alice, mut bob) = (log_in(&reference, 0), log_in(&reference, 1));
    let stale = put(&reference, &mut alice, 0);
    let newest = put(&reference, &mut alice, 0);
    let other_key = put(&reference, &mut alice, 3);
    let foreign = put(&reference, &mut bob, 0);
    let mut request = Vec::new();
    let later = alice.put(&reference, 0, &mut request);
    let own = |key| Expectation::Get { key };
    let open = [own(0), own(3), later, own(0), Expectation::GetMissing { key: 5 }];
    let place = |reply: &[u8]| alice.due_elsewhere(&reference, &open, reply);
    assert_eq!([place(&stale), place(&foreign), place(&newest)], [None; 3]);
    assert_eq!(place(&other_key), Some(1));
    assert_eq!(place(b"done"), Some(2));
    assert_eq!(place(&value(&request)), Some(3), "the read behind the put is due its value");
    assert_eq!(place(b"key not found"), Some(4));

    let mut boss = manager(&reference, 1);
    let read = |boss: &mut SessionModel, key| boss.get_other(&reference, Some(0), Some(key), &mut Vec::new());
    let open = [own(0), read(&mut boss, 0), read(&mut boss, 3)];
    let place = |reply: &[u8]| boss.due_elsewhere(&reference, &open, reply);
    assert_eq!([place(&stale), place(&foreign), place(b"key not found")], [None; 3]);
    let found = [place(&newest), place(&value(&request)), place(&other_key)];
    assert_eq!(found, [Some(1), Some(1), Some(2)], "the unanswered put may have happened");
}

#[test]
fn role_4_upgrade_counts_once() {
    let reference = reference();
    let mut alice = log_in(&reference, 0);
    assert_eq!(
        kind(alice.judge(&reference, Expectation::Upgrade, b"already a manager")),
        ViolationKind::WrongReply
    );
    assert_eq!(alice.judge(&reference, Expectation::Upgrade, b"upgrade refused"), Ok(LegalReply::Refused));
    assert_eq!(alice.role(), Role::Guest);
    assert_eq!(alice.judge(&reference, Expectation::Upgrade, b"upgraded to manager"), Ok(LegalReply::Plain));
    assert_eq!(alice.role(), Role::Manager);
    assert_eq!(alice.judge(&reference, Expectation::Upgrade, b"already a manager"), Ok(LegalReply::Plain));
    assert_eq!(
        kind(alice.judge(&reference, Expectation::Upgrade, b"upgraded to manager")),
        ViolationKind::WrongReply
    );
}

#[test]
fn whole_replies_are_told_from_their_beginnings() {
    let reference = reference();
    let mut alice = log_in(&reference, 0);
    let value = put(&reference, &mut alice, 0);
    let get = Expectation::Get { key: 0 };
    assert!(alice.is_whole(&reference, get, &value));
    assert!(alice.is_whole(&reference, get, b"key not found"));
    for cut in 0..value.len() {
        assert!(!alice.is_whole(&reference, get, &value[..cut]));
    }
}

fn read(boss: &mut SessionModel, reference: &ReferenceModel) -> Expectation {
    boss.get_other(reference, Some(1), Some(0), &mut Vec::new())
}

/// Bob logs out in order.
fn log_out(reference: &ReferenceModel) {
    reference.set_ending(1);
    reference.set_ended(1);
}

#[test]
fn life_2_a_new_session_is_empty_and_knows_nothing_of_the_old() {
    let reference = reference();
    let mut boss = manager(&reference, 0);
    let old = put(&reference, &mut log_in(&reference, 1), 0);
    log_out(&reference);
    let absent = read(&mut boss, &reference);
    assert_eq!(kind(boss.judge(&reference, absent, &old)), ViolationKind::ValueOfAnEarlierSession);
    let absent = read(&mut boss, &reference);
    assert_eq!(boss.judge(&reference, absent, b"user not found"), Ok(LegalReply::Plain));
    let mut bob = log_in(&reference, 1);
    let own = Expectation::Get { key: 0 };
    assert_eq!(kind(bob.judge(&reference, own, &old)), ViolationKind::ValueOfAnEarlierSession);
    assert_eq!(bob.judge(&reference, own, b"key not found"), Ok(LegalReply::Plain));
    for reply in [&old[..], b"user not found"] {
        let empty = read(&mut boss, &reference);
        boss.judge(&reference, empty, reply).unwrap_err();
    }
    let new = put(&reference, &mut bob, 0);
    let there = read(&mut boss, &reference);
    assert_eq!(kind(boss.judge(&reference, there, &old)), ViolationKind::ValueOfAnEarlierSession);
    for wrong in [&b"key not found"[..], b"user not found"] {
        let there = read(&mut boss, &reference);
        boss.judge(&reference, there, wrong).unwrap_err();
    }
    let there = read(&mut boss, &reference);
    assert_eq!(boss.judge(&reference, there, &new), Ok(LegalReply::ForeignValue));
    assert_eq!(describe_origin(&reference, &new).unwrap(), "bob's value of k0, version 2, of its session 2");
}

#[test]
fn life_2_a_lost_session_may_live_on_until_the_next_login_succeeds() {
    let reference = reference();
    let mut boss = manager(&reference, 0);
    let old = put(&reference, &mut log_in(&reference, 1), 0);
    reference.set_ending(1);
    let early = read(&mut boss, &reference);
    assert_eq!(boss.judge(&reference, early, &old), Ok(LegalReply::ForeignValue));
    let early = read(&mut boss, &reference);
    assert_eq!(kind(boss.judge(&reference, early, b"key not found")), ViolationKind::LostValue);
    let across = read(&mut boss, &reference);
    let _bob = SessionModel::new(&reference, 1);
    let meanwhile = read(&mut boss, &reference);
    assert_eq!(boss.judge(&reference, across, &old), Ok(LegalReply::ForeignValue));
    assert_eq!(
        boss.judge(&reference, meanwhile, b"key not found"),
        Ok(LegalReply::Plain),
        "its login may be through"
    );
    let after = read(&mut boss, &reference);
    assert_eq!(kind(boss.judge(&reference, after, &old)), ViolationKind::ValueOfAnEarlierSession);
    reference.set_live(1);
}

#[test]
fn life_2_who_was_seen_to_be_gone_does_not_come_back_without_a_login() {
    let reference = reference();
    let mut boss = manager(&reference, 0);
    let old = put(&reference, &mut log_in(&reference, 1), 0);
    reference.set_ending(1);
    // Both are under way at once: the first one's reply bounds the second, also for another key.
    let first = read(&mut boss, &reference);
    let second = read(&mut boss, &reference);
    let other_key = boss.get_other(&reference, Some(1), Some(3), &mut Vec::new());
    assert_eq!(boss.judge(&reference, first, b"user not found"), Ok(LegalReply::Plain));
    assert_eq!(kind(boss.judge(&reference, second, &old)), ViolationKind::ValueOfAnEarlierSession);
    assert_eq!(kind(boss.judge(&reference, other_key, b"key not found")), ViolationKind::LostValue);
}

#[test]
fn form_3_a_pipelined_read_is_no_older_than_the_one_before_it() {
    let reference = reference();
    let mut boss = manager(&reference, 0);
    let mut bob = log_in(&reference, 1);
    let old = put(&reference, &mut bob, 0);
    let [first, second, third] = std::array::from_fn(|_| read(&mut boss, &reference));
    let new = put(&reference, &mut bob, 0);
    assert_eq!(boss.judge(&reference, first, &old), Ok(LegalReply::ForeignValue));
    assert_eq!(boss.judge(&reference, second, &new), Ok(LegalReply::ForeignValue));
    assert_eq!(kind(boss.judge(&reference, third, &old)), ViolationKind::StaleValue);
}

#[test]
fn atom_2_an_unanswered_put_never_appears_in_a_later_session() {
    let reference = reference();
    let mut boss = manager(&reference, 0);
    let mut request = Vec::new();
    log_in(&reference, 1).put(&reference, 0, &mut request);
    reference.set_ending(1);
    let across = read(&mut boss, &reference);
    let mut bob = log_in(&reference, 1);
    assert_eq!(
        boss.judge(&reference, across, &value(&request)),
        Ok(LegalReply::ForeignValue),
        "it may have happened"
    );
    let later = read(&mut boss, &reference);
    boss.judge(&reference, later, &value(&request)).unwrap_err();
    bob.judge(&reference, Expectation::Get { key: 0 }, &value(&request)).unwrap_err();
}

#[test]
fn login_2_a_session_whose_login_was_refused_was_seen_by_nobody() {
    let reference = reference();
    let mut boss = manager(&reference, 0);
    put(&reference, &mut log_in(&reference, 1), 0);
    reference.set_ending(1);
    let _refused = SessionModel::new(&reference, 1);
    reference.set_refused(1).unwrap();
    let between = read(&mut boss, &reference);
    assert_eq!(kind(boss.judge(&reference, between, b"key not found")), ViolationKind::LostValue);
    let _refused = SessionModel::new(&reference, 1);
    let meanwhile = read(&mut boss, &reference);
    assert_eq!(boss.judge(&reference, meanwhile, b"key not found"), Ok(LegalReply::Plain));
    assert_eq!(reference.set_refused(1).unwrap_err().kind, ViolationKind::SessionBeforeItsLogin);
}

#[test]
fn a_managers_read_of_itself_is_exact() {
    let reference = reference();
    let mut boss = manager(&reference, 0);
    let mut out = Vec::new();
    let first = boss.put(&reference, 2, &mut out);
    let between = boss.get_other(&reference, Some(0), Some(2), &mut Vec::new());
    let second = boss.put(&reference, 2, &mut Vec::new());
    let missing = boss.get_other(&reference, Some(0), None, &mut Vec::new());
    assert_eq!(boss.judge(&reference, first, b"done"), Ok(LegalReply::Plain));
    assert_eq!(kind(boss.judge(&reference, between, b"user not found")), ViolationKind::WrongReply);
    assert_eq!(boss.judge(&reference, between, &value(&out)), Ok(LegalReply::Value));
    assert_eq!(boss.judge(&reference, second, b"done"), Ok(LegalReply::Plain));
    assert_eq!(kind(boss.judge(&reference, between, &value(&out))), ViolationKind::StaleValue);
    assert_eq!(boss.judge(&reference, missing, b"key not found"), Ok(LegalReply::Plain));
}
