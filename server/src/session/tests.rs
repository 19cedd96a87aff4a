//! The session against the rules, and against a model that is too simple to be wrong.

use std::{collections::HashMap, num::NonZeroUsize};

use proptest::prelude::*;

use super::*;
use crate::{
    protocol::MESSAGE_BYTES_MAX,
    registry::{Secret, StoreLimits},
};

fn registry(policy: UpgradePolicy) -> Arc<Registry> {
    Arc::new(Registry::new(policy))
}

fn say(session: &mut Session, message: &str) -> String {
    let mut text = None;
    let flow = session.handle(message.as_bytes(), |reply| text = Some(reply.text().to_owned()));
    if let Flow::ContinueAfter { .. } = flow {
        assert_eq!(text, None, "the reply is held back");
        session.finish_delayed(DelayOutcome::Elapsed, |reply| text = Some(reply.text().to_owned()));
    }
    text.expect("each message has its reply")
}

fn session(registry: &Arc<Registry>) -> Session {
    Session::new(Arc::clone(registry), Peer::LOCAL, MESSAGE_BYTES_MAX, Arc::default())
}

fn login(registry: &Arc<Registry>, name: &str) -> Session {
    let mut session = session(registry);
    assert_eq!(say(&mut session, name), "success");
    session
}

#[test]
fn login_2_and_3_a_refused_client_may_try_again() {
    let registry = registry(UpgradePolicy::Open);
    let _alice = login(&registry, "alice");
    let mut session = session(&registry);
    assert_eq!(say(&mut session, "alice"), "duplicate user name");
    assert_eq!(say(&mut session, ""), "wrong message format");
    assert_eq!(say(&mut session, "two words"), "wrong message format");
    assert_eq!(say(&mut session, &"n".repeat(65)), "wrong message format");
    assert_eq!(say(&mut session, "Alice"), "success");
}

#[test]
fn login_5_before_login_commands_are_names() {
    let registry = registry(UpgradePolicy::Open);
    assert_eq!(say(&mut session(&registry), "put a b"), "wrong message format");
    let _q = login(&registry, "q");
    let _upgrade = login(&registry, "upgrade");
}

#[test]
fn role_2_a_guest_is_denied_whatever_there_is() {
    let registry = registry(UpgradePolicy::Open);
    let (mut alice, mut bob) = (login(&registry, "alice"), login(&registry, "bob"));
    assert_eq!(say(&mut bob, "put k v"), "done");
    assert_eq!(say(&mut alice, "put k v"), "done");
    for request in ["get bob k", "get bob none", "get nobody k", "get alice k"] {
        assert_eq!(say(&mut alice, request), "you are not allowed to access keys of other users");
    }
    assert_eq!(say(&mut alice, "upgrade"), "upgraded to manager");
    assert_eq!(say(&mut alice, "get bob k"), "v");
    assert_eq!(say(&mut alice, "get bob none"), "key not found");
    assert_eq!(say(&mut alice, "get nobody k"), "user not found");
    assert_eq!(say(&mut alice, "get alice k"), "v");
    // ROLE-5, ROLE-7: no other user has become one, and a manager's store is closed to guests.
    assert_eq!(say(&mut bob, "get alice k"), "you are not allowed to access keys of other users");
}

#[test]
fn role_5_and_store_6_no_key_changes_a_role() {
    let registry = registry(UpgradePolicy::Open);
    let mut alice = login(&registry, "alice");
    for key in ["role", "manager", "q", "alice", "upgrade", "get"] {
        assert_eq!(say(&mut alice, &format!("get {key}")), "key not found");
        assert_eq!(say(&mut alice, &format!("put {key} manager")), "done");
        assert_eq!(say(&mut alice, &format!("get {key}")), "manager");
    }
    assert_eq!(say(&mut alice, "get alice role"), "you are not allowed to access keys of other users");
}

#[test]
fn role_6_no_user_writes_anothers_store() {
    let registry = registry(UpgradePolicy::Open);
    let (mut alice, mut bob) = (login(&registry, "alice"), login(&registry, "bob"));
    assert_eq!(say(&mut alice, "upgrade"), "upgraded to manager");
    assert_eq!(say(&mut alice, "put bob k v"), "wrong message format");
    assert_eq!(say(&mut bob, "get k"), "key not found");
}

#[test]
fn role_8_each_policy_and_the_precedence_of_its_replies() {
    let (open, closed) = (registry(UpgradePolicy::Open), registry(UpgradePolicy::Closed));
    let mut alice = login(&open, "alice");
    for (request, expected) in [
        ("upgrade word", "wrong message format"),
        ("upgrade", "upgraded to manager"),
        ("upgrade", "already a manager"),
        ("upgrade word", "wrong message format"),
        ("upgrade two words", "wrong message format"),
    ] {
        assert_eq!(say(&mut alice, request), expected);
    }
    let mut bob = login(&closed, "bob");
    assert_eq!(say(&mut bob, "upgrade"), "upgrade refused");
    assert_eq!(say(&mut bob, "upgrade word"), "wrong message format");
    let secret = registry(UpgradePolicy::Secret(Secret::new("sesame").unwrap()));
    let mut carol = login(&secret, "carol");
    for (request, expected) in [
        ("upgrade", "upgrade refused"),
        ("upgrade wrong", "upgrade refused"),
        ("upgrade sesame street", "wrong message format"),
        ("get carol k", "you are not allowed to access keys of other users"),
        ("upgrade sesame", "upgraded to manager"),
        ("upgrade wrong", "already a manager"),
        ("get carol k", "key not found"),
    ] {
        assert_eq!(say(&mut carol, request), expected);
    }
}

#[test]
fn role_8_after_a_wrong_secret_the_right_one_is_held_back_as_long_and_counts_when_it_is_answered() {
    let registry = registry(UpgradePolicy::Secret(Secret::new("sesame").unwrap()));
    let mut alice = login(&registry, "alice");
    let mut delay = |message: &str| match alice.handle(message.as_bytes(), |_| {}) {
        Flow::ContinueAfter { delay, .. } => {
            assert_eq!(registry.managers(), 0);
            alice.finish_delayed(DelayOutcome::Elapsed, |_| {});
            delay.as_millis()
        }
        flow => {
            assert_eq!(flow, Flow::Continue);
            0
        }
    };
    assert_eq!(delay("upgrade wrong"), 125);
    for message in ["upgrade", "upgrade two words", "put k v", "get k", ""] {
        assert_eq!(delay(message), 0, "{message:?}");
    }
    // Less than at once after each other, by the time that has passed since.
    assert!(delay("upgrade sesame") > 125, "or silence would reveal that a secret is wrong");
    assert_eq!(registry.managers(), 1);
    assert_eq!(delay("upgrade wrong"), 0, "it is a manager already");
}

#[test]
fn role_8_the_secret_of_a_client_that_hangs_up_while_it_waits_is_not_tried() {
    let registry = registry(UpgradePolicy::Secret(Secret::new("sesame").unwrap()));
    let mut alice = login(&registry, "alice");
    assert_eq!(say(&mut alice, "upgrade wrong"), "upgrade refused");
    let flow = alice.handle(b"upgrade sesame", |_| panic!("the reply is held back"));
    assert!(matches!(flow, Flow::ContinueAfter { is_wrong: false, .. }));
    let mut text = None;
    alice.finish_delayed(DelayOutcome::HungUp, |reply| text = Some(reply.text().to_owned()));
    assert_eq!((text.as_deref(), registry.managers()), (Some("upgrade refused"), 0));
    assert_eq!(say(&mut alice, "upgrade sesame"), "upgraded to manager");
}

#[test]
fn role_8_past_the_cap_an_upgrade_is_refused_and_the_policy_wins_over_it() {
    let secret = UpgradePolicy::Secret(Secret::new("sesame").unwrap());
    for (policy, request) in [(UpgradePolicy::Open, "upgrade"), (secret, "upgrade sesame")] {
        let capped = Registry::new(policy).with_limits(NonZeroUsize::new(1), StoreLimits::default());
        let registry = Arc::new(capped);
        let (mut alice, mut bob) = (login(&registry, "alice"), login(&registry, "bob"));
        assert_eq!(say(&mut alice, request), "upgraded to manager");
        assert_eq!(say(&mut bob, request), "upgrade refused");
        assert_eq!(say(&mut alice, request), "already a manager");
        assert_eq!(say(&mut alice, "q"), "exiting");
        assert_eq!(say(&mut bob, request), "upgraded to manager");
    }
}

#[test]
fn store_7_a_refused_put_leaves_what_was_there() {
    let stores = StoreLimits { user_keys_max: 2, user_bytes_max: 10, ..StoreLimits::default() };
    let registry = Arc::new(Registry::new(UpgradePolicy::Open).with_limits(None, stores));
    let mut alice = login(&registry, "alice");
    for (request, expected) in [
        ("put a 1234", "done"),
        ("put b 12345", "store full"),
        ("get b", "key not found"),
        ("put b 1234", "done"),
        ("put a 12345", "store full"),
        ("get a", "1234"),
        ("put b 1", "done"),
        ("put a 1234567", "done"),
        ("get a", "1234567"),
        ("put c 1", "store full"),
        ("put b 1", "done"),
    ] {
        assert_eq!(say(&mut alice, request), expected, "{request}");
    }
    let mut bob = login(&registry, "bob");
    assert_eq!(say(&mut bob, "put a 1234"), "done", "another user's store is another store");
}

#[test]
fn size_wins_over_utf_8_and_utf_8_over_form() {
    let mut alice = login(&registry(UpgradePolicy::Open), "alice");
    let mut texts = Vec::new();
    assert_eq!(alice.handle(b"get \xff", |reply| texts.push(reply.text().to_owned())), Flow::Continue);
    let long = vec![0xff; MESSAGE_BYTES_MAX + 1];
    assert_eq!(alice.handle(&long, |reply| texts.push(reply.text().to_owned())), Flow::Close);
    assert_eq!(texts, ["wrong message format", "message too long"]);
}

#[test]
fn life_3_the_name_is_free_before_the_last_reply_is_out() {
    let registry = registry(UpgradePolicy::Open);
    let mut alice = login(&registry, "alice");
    let flow = alice.handle(b"q", |reply| {
        assert_eq!(reply.text(), "exiting");
        assert!(registry.is_empty());
    });
    assert_eq!(flow, Flow::Close);
}

#[test]
fn each_request_is_counted_once_by_what_it_asked_for_and_what_it_got() {
    let counters = Arc::new(Counters::default());
    let registry = registry(UpgradePolicy::Closed);
    let mut alice =
        Session::new(Arc::clone(&registry), Peer::LOCAL, MESSAGE_BYTES_MAX, Arc::clone(&counters));
    for message in ["two words", "alice", "get k", "put k v", "get k", "get alice k", "upgrade", "nonsense"] {
        say(&mut alice, message);
    }
    let _ = alice.handle(b"\xff", |_| {});
    say(&mut alice, "q");
    let mut bob = Session::new(registry, Peer::LOCAL, MESSAGE_BYTES_MAX, Arc::clone(&counters));
    let _ = bob.handle(&vec![b'a'; MESSAGE_BYTES_MAX + 1], |_| {});
    let counted: Vec<_> = crate::counters::Totals::of(&[counters])
        .requests
        .into_iter()
        .map(|request| format!("{} -> {}: {}", request.command.name(), request.reply, request.count))
        .collect();
    insta::assert_snapshot!(counted.join("\n"), @r"
    login -> success: 1
    login -> wrong message format: 1
    put -> done: 1
    get -> key not found: 1
    get -> value: 1
    get-other -> you are not allowed to access keys of other users: 1
    upgrade -> upgrade refused: 1
    q -> exiting: 1
    malformed -> wrong message format: 2
    malformed -> message too long: 1
    ");
}

#[test]
fn store_4_a_value_of_the_longest_message_comes_back() {
    let mut alice = login(&registry(UpgradePolicy::Open), "alice");
    let value = "é".repeat((MESSAGE_BYTES_MAX - "put k ".len()) / 2);
    assert_eq!(say(&mut alice, &format!("put k {value}")), "done");
    assert_eq!(say(&mut alice, "get k"), value);
}

/// What is expected of a server with three users who never leave, as plainly as it can be written.
#[derive(Default)]
struct Model {
    entries: HashMap<(usize, String), String>,
    managers: [bool; 3],
}

impl Model {
    fn reply(&mut self, user: usize, words: &[String]) -> String {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let missing = || "key not found".to_owned();
        match words.as_slice() {
            ["put", key, value] => {
                self.entries.insert((user, (*key).to_owned()), (*value).to_owned());
                "done".to_owned()
            }
            ["get", key] => self.entries.get(&(user, (*key).to_owned())).cloned().unwrap_or_else(missing),
            ["get", ..] if words.len() == 3 && !self.managers[user] => {
                "you are not allowed to access keys of other users".to_owned()
            }
            ["get", other, key] => match NAMES.iter().position(|name| name == other) {
                Some(other) => self.entries.get(&(other, (*key).to_owned())).cloned().unwrap_or_else(missing),
                None => "user not found".to_owned(),
            },
            ["upgrade"] if self.managers[user] => "already a manager".to_owned(),
            ["upgrade"] => {
                self.managers[user] = true;
                "upgraded to manager".to_owned()
            }
            _ => "wrong message format".to_owned(),
        }
    }
}

const NAMES: [&str; 3] = ["a", "b", "ab"];

fn word() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &["put", "get", "get", "upgrade", "a", "b", "ab", "role", "é", "A"];
    proptest::sample::select(WORDS).prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn any_sequence_of_requests_is_answered_as_by_the_model(
        requests in proptest::collection::vec((0usize..3, proptest::collection::vec(word(), 0..5)), 0..60)
    ) {
        let registry = registry(UpgradePolicy::Open);
        let mut sessions = NAMES.map(|name| login(&registry, name));
        let mut model = Model::default();
        for (user, words) in requests {
            prop_assert_eq!(say(&mut sessions[user], &words.join(" ")), model.reply(user, &words), "{:?}", words);
        }
    }
}
