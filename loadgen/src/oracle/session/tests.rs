//! Which replies a session takes for right, and what it calls the others.

use super::*;

const SPEC: ValueSpec = ValueSpec { min: 20, max: 40 };

fn world() -> World {
    let names = ["alice", "bob"].map(|name| (name.to_owned(), 0, 4, SPEC));
    let world = World::new(77, names);
    world.set_live(0);
    world.set_live(1);
    world
}

/// The value in a `put KEY VALUE`.
fn value(request: &[u8]) -> Vec<u8> {
    request.rsplit(|&b| b == b' ').next().unwrap().to_vec()
}

fn put(world: &World, session: &mut Session, key: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let expect = session.put(world, key, &mut out);
    assert_eq!(session.judge(world, expect, b"done"), Ok(Good::Plain));
    value(&out)
}

fn manager(world: &World, client: u32) -> Session {
    let mut session = Session::new(world, client);
    session.judge(world, Expect::Upgrade, b"upgraded to manager").unwrap();
    session
}

fn kind(result: Result<Good, Finding>) -> &'static str {
    result.expect_err("this reply is illegal").kind
}

#[test]
fn an_owner_reads_exactly_its_newest_put() {
    let world = world();
    let mut alice = Session::new(&world, 0);
    let get = Expect::Get { key: 2 };
    assert_eq!(alice.judge(&world, get, b"key not found"), Ok(Good::Plain));
    let first = put(&world, &mut alice, 2);
    assert_eq!(alice.judge(&world, get, &first), Ok(Good::Value));
    let second = put(&world, &mut alice, 2);
    assert_eq!(alice.judge(&world, get, &second), Ok(Good::Value));
    assert_eq!(kind(alice.judge(&world, get, &first)), "stale value");
    assert_eq!(kind(alice.judge(&world, get, b"key not found")), "lost value");
    assert_eq!(kind(alice.judge(&world, get, b"done")), "wrong reply");
}

#[test]
fn every_origin_of_a_wrong_value_has_its_name() {
    let world = world();
    let mut alice = Session::new(&world, 0);
    let mut bob = Session::new(&world, 1);
    let mine = put(&world, &mut alice, 1);
    let other_key = put(&world, &mut alice, 3);
    let foreign = put(&world, &mut bob, 1);
    let get = Expect::Get { key: 1 };
    assert_eq!(kind(alice.judge(&world, get, &foreign)), "foreign value");
    assert_eq!(kind(alice.judge(&world, get, &other_key)), "swapped reply");
    let mut cut = mine.clone();
    cut.pop();
    assert_eq!(kind(alice.judge(&world, get, &cut)), "corrupted value");
    let mut future = Vec::new();
    Tag { run: 77, user: 0, key: 1, version: 9 }.write(SPEC, &mut future);
    assert_eq!(kind(alice.judge(&world, get, &future)), "value not yet put");
    let mut leftover = Vec::new();
    Tag { run: 78, user: 0, key: 1, version: 1 }.write(SPEC, &mut leftover);
    assert_eq!(kind(alice.judge(&world, get, &leftover)), "value of another run");
    assert_eq!(alice.judge(&world, get, &mine), Ok(Good::Value));
}

#[test]
fn role_2_a_guest_gets_the_denial_and_nothing_else() {
    let world = world();
    let mut alice = Session::new(&world, 0);
    let mut bob = Session::new(&world, 1);
    let secret = put(&world, &mut bob, 0);
    for (target, key) in [(Some(1), Some(0)), (Some(1), None), (None, Some(0)), (Some(0), Some(0))] {
        let expect = alice.get_other(&world, target, key, &mut Vec::new());
        assert_eq!(alice.judge(&world, expect, texts::DENIED.as_bytes()), Ok(Good::Denied));
        assert_eq!(kind(alice.judge(&world, expect, &secret)), "isolation broken");
        // To learn that something is not there is to learn too much.
        for text in ["key not found", "user not found"] {
            assert_eq!(kind(alice.judge(&world, expect, text.as_bytes())), "isolation broken");
        }
        for text in ["wrong message format", ""] {
            assert_eq!(kind(alice.judge(&world, expect, text.as_bytes())), "wrong reply");
        }
    }
}

#[test]
fn role_3_a_manager_reads_what_is_there() {
    let world = world();
    let boss = manager(&world, 0);
    let mut bob = Session::new(&world, 1);
    let value = put(&world, &mut bob, 0);
    let mut boss = boss;
    let there = boss.get_other(&world, Some(1), Some(0), &mut Vec::new());
    assert_eq!(boss.judge(&world, there, &value), Ok(Good::ForeignValue));
    assert_eq!(kind(boss.judge(&world, there, b"user not found")), "wrong reply");
    assert_eq!(kind(boss.judge(&world, there, texts::DENIED.as_bytes())), "wrong reply");
    assert_eq!(kind(boss.judge(&world, there, b"key not found")), "lost value");
    let missing = boss.get_other(&world, Some(1), None, &mut Vec::new());
    assert_eq!(boss.judge(&world, missing, b"key not found"), Ok(Good::Plain));
    let absent = boss.get_other(&world, None, Some(0), &mut Vec::new());
    assert_eq!(boss.judge(&world, absent, b"user not found"), Ok(Good::Plain));
}

#[test]
fn atom_1_a_read_is_never_older_than_what_was_known_before_it() {
    let world = world();
    let mut boss = manager(&world, 0);
    let mut bob = Session::new(&world, 1);
    let first = put(&world, &mut bob, 0);
    // Sent before the second put completes: either version is right.
    let early = boss.get_other(&world, Some(1), Some(0), &mut Vec::new());
    let mut request = Vec::new();
    let second_put = bob.put(&world, 0, &mut request);
    let second = value(&request);
    assert_eq!(boss.judge(&world, early, &first), Ok(Good::ForeignValue));
    assert_eq!(boss.judge(&world, early, &second), Ok(Good::ForeignValue));
    // A read returned the second version, so every later read must, though the put has no reply yet.
    let late = boss.get_other(&world, Some(1), Some(0), &mut Vec::new());
    assert_eq!(kind(boss.judge(&world, late, &first)), "stale value");
    bob.judge(&world, second_put, b"done").unwrap();
    assert_eq!(boss.judge(&world, late, &second), Ok(Good::ForeignValue));
}

#[test]
fn atom_2_a_refused_put_leaves_the_old_value() {
    let world = world();
    let mut boss = manager(&world, 0);
    let mut bob = Session::new(&world, 1);
    let old = put(&world, &mut bob, 0);
    let mut request = Vec::new();
    let expect = bob.put(&world, 0, &mut request);
    assert_eq!(bob.judge(&world, expect, b"store full"), Ok(Good::Refused));
    assert_eq!(bob.judge(&world, Expect::Get { key: 0 }, &old), Ok(Good::Value));
    let read = boss.get_other(&world, Some(1), Some(0), &mut Vec::new());
    assert_eq!(boss.judge(&world, read, &old), Ok(Good::ForeignValue));
    assert_eq!(kind(boss.judge(&world, read, &value(&request))), "refused value");
}

#[test]
fn atom_2_a_put_that_was_read_cannot_be_refused_afterwards() {
    let world = world();
    let mut boss = manager(&world, 0);
    let mut bob = Session::new(&world, 1);
    let mut request = Vec::new();
    let expect = bob.put(&world, 0, &mut request);
    let read = boss.get_other(&world, Some(1), Some(0), &mut Vec::new());
    assert_eq!(boss.judge(&world, read, &value(&request)), Ok(Good::ForeignValue));
    assert_eq!(kind(bob.judge(&world, expect, b"store full")), "refused value");
}

#[test]
fn a_session_that_may_have_ended_need_not_be_found() {
    let world = world();
    let mut boss = manager(&world, 0);
    let read = boss.get_other(&world, Some(1), Some(0), &mut Vec::new());
    assert_eq!(kind(boss.judge(&world, read, b"user not found")), "wrong reply");
    world.set_ending(1);
    assert_eq!(boss.judge(&world, read, b"user not found"), Ok(Good::Plain));
}

#[test]
fn form_1_a_malformed_command_is_said_to_be_one() {
    let world = world();
    let mut alice = Session::new(&world, 0);
    for which in 0..MALFORMED.len() as u8 {
        let expect = alice.bad(which, &mut Vec::new());
        assert_eq!(alice.judge(&world, expect, b"wrong message format"), Ok(Good::Plain));
        assert_eq!(kind(alice.judge(&world, expect, b"done")), "wrong reply");
    }
}

#[test]
fn role_4_upgrade_counts_once() {
    let world = world();
    let mut alice = Session::new(&world, 0);
    assert_eq!(kind(alice.judge(&world, Expect::Upgrade, b"already a manager")), "wrong reply");
    assert_eq!(alice.judge(&world, Expect::Upgrade, b"upgrade refused"), Ok(Good::Refused));
    assert_eq!(alice.role(), Role::Guest);
    assert_eq!(alice.judge(&world, Expect::Upgrade, b"upgraded to manager"), Ok(Good::Plain));
    assert_eq!(alice.role(), Role::Manager);
    assert_eq!(alice.judge(&world, Expect::Upgrade, b"already a manager"), Ok(Good::Plain));
    assert_eq!(kind(alice.judge(&world, Expect::Upgrade, b"upgraded to manager")), "wrong reply");
}

#[test]
fn whole_replies_are_told_from_their_beginnings() {
    let world = world();
    let mut alice = Session::new(&world, 0);
    let value = put(&world, &mut alice, 0);
    let get = Expect::Get { key: 0 };
    assert!(alice.is_whole(&world, get, &value));
    assert!(alice.is_whole(&world, get, b"key not found"));
    for cut in 0..value.len() {
        assert!(!alice.is_whole(&world, get, &value[..cut]));
    }
}
