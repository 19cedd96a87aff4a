//! What is wrong with a reply, in words. This runs only once a reply is known to be wrong, so its cost does not matter.

use super::expect::Finding;
use super::position::{Epoch, INCARNATION_MASK, Position, State};
use super::reference::{ReadReply, ReferenceModel};
use super::value::Tag;
use super::{differ_in_case, key_name, texts};
use crate::domain::{Rule, ViolationKind as Kind};

/// The origin that a reply's tag names, for people; `None` if it has no tag.
#[must_use]
pub fn describe_origin(reference: &ReferenceModel, reply: &[u8]) -> Option<String> {
    let tag = Tag::decode(reply)?;
    let Tag { run, user, key, incarnation, position } = tag;
    if run != reference.run() || user as usize >= reference.client_count() {
        return Some("a value of another run".to_owned());
    }
    let name = &reference.client(user).name;
    let key = key_name(key);
    if tag.is_forbidden() {
        return Some(format!("what {name} tried to write into another's {key}"));
    }
    let (version, session) = (position.version(), incarnation + 1);
    Some(format!("{name}'s value of {key}, version {version}, of its session {session}"))
}

/// A put was refused, but its value was read.
pub(super) fn refused_but_read() -> Finding {
    let expected = format!("`{}`: this put's value was read", texts::DONE);
    Finding::new(Kind::RefusedValue, Rule::Atom2, expected)
}

/// A reply to `client` that should have been a fixed text.
pub(super) fn not_the_text(
    reference: &ReferenceModel,
    client: u32,
    text: &str,
    rule: Rule,
    reply: &[u8],
) -> Finding {
    let (kind, rule) = match Tag::decode(reply) {
        Some(tag) if tag.run != reference.run() => (Kind::ValueOfAnotherRun, Rule::Store6),
        Some(tag) if tag.user != client => (Kind::ForeignValue, Rule::Store5),
        _ => (Kind::WrongReply, rule),
    };
    Finding::new(kind, rule, format!("`{text}`"))
}

/// A reply to a guest that should have been the denial.
pub(super) fn not_denied(reference: &ReferenceModel, client: u32, reply: &[u8]) -> Finding {
    let finding = not_the_text(reference, client, texts::DENIED, Rule::Role2, reply);
    // A guest saw something that it must not see: it must not even learn what does not exist.
    let reveals_absence = [texts::KEY_NOT_FOUND, texts::USER_NOT_FOUND].iter().any(|t| t.as_bytes() == reply);
    let kind =
        if reveals_absence || Tag::decode(reply).is_some() { Kind::IsolationBroken } else { finding.kind };
    Finding { kind, rule: Rule::Role2, ..finding }
}

/// A reply to an owner's read of its key, which holds the put at `position`, or is empty.
pub(super) fn own(
    reference: &ReferenceModel,
    client: u32,
    key: u32,
    epoch: Epoch,
    position: Position,
    reply: &[u8],
) -> Finding {
    let expected = if position.is_empty() {
        format!("`{}`", texts::KEY_NOT_FOUND)
    } else {
        versions(reference, client, key, position, position)
    };
    let named = name(reference, client, key, State { epoch, position }, reply);
    let (kind, rule) = match named.unwrap_or((Kind::WrongReply, Rule::Store1)) {
        (Kind::StaleValue, _) => (Kind::StaleValue, Rule::Store3),
        other => other,
    };
    Finding::new(kind, rule, expected)
}

/// A reply to a manager's read of another's key, which could find any state from `oldest` on.
pub(super) fn other(
    reference: &ReferenceModel,
    target: u32,
    key: Option<u32>,
    oldest: State,
    reply: &[u8],
) -> Finding {
    let named = key.and_then(|key| name(reference, target, key, oldest, reply));
    let (kind, rule) = named.unwrap_or((Kind::WrongReply, Rule::Role3));
    let absent = (reply == texts::USER_NOT_FOUND.as_bytes()).then_some(target);
    Finding {
        absent,
        oldest: Some(oldest),
        ..Finding::new(kind, rule, allowed(reference, target, key, oldest))
    }
}

/// Kind and rule of a wrong reply to a read of this key; `None` if it is not a reply to a read.
fn name(
    reference: &ReferenceModel,
    target: u32,
    key: u32,
    oldest: State,
    reply: &[u8],
) -> Option<(Kind, Rule)> {
    let Some(tag) = Tag::decode(reply) else {
        return (reply == texts::KEY_NOT_FOUND.as_bytes()).then_some((Kind::LostValue, Rule::Store1));
    };
    let (index, _) = reference.register(target, key);
    let sessions_ago = oldest.epoch.or_live().incarnation().wrapping_sub(tag.incarnation) & INCARNATION_MASK;
    Some(if tag.run != reference.run() {
        (Kind::ValueOfAnotherRun, Rule::Store6)
    } else if tag.is_forbidden() {
        (Kind::ValueWrittenByAnotherUser, Rule::Role6)
    } else if tag.user != target {
        (Kind::ForeignValue, Rule::Store5)
    } else if tag.key != key {
        (Kind::ValueOfAnotherKey, if differ_in_case(tag.key, key) { Rule::Store4 } else { Rule::Store5 })
    } else if !tag.fills(reference.client(target).values, reply) {
        (Kind::CorruptedValue, Rule::Store4)
    } else if reference.refusals().is_refused(index, tag.position) {
        (Kind::RefusedValue, Rule::Atom2)
    } else if (1..=INCARNATION_MASK / 2).contains(&sessions_ago) {
        (Kind::ValueOfAnEarlierSession, Rule::Life2)
    } else if oldest.position.is_newer_than(tag.position) {
        (Kind::StaleValue, Rule::Atom1)
    } else {
        (Kind::ValueNotYetPut, Rule::Atom1)
    })
}

/// The replies that were allowed.
fn allowed(reference: &ReferenceModel, target: u32, key: Option<u32>, oldest: State) -> String {
    let mut allowed = Vec::new();
    if let Some(key) = key {
        let newest = reference.register(target, key).1.begun();
        let first = if oldest.position.is_empty() { oldest.position.next_put() } else { oldest.position };
        if !first.is_newer_than(newest) {
            allowed.push(versions(reference, target, key, first, newest));
        }
    }
    for (answer, text) in
        [(ReadReply::NoKey, texts::KEY_NOT_FOUND), (ReadReply::NoUser, texts::USER_NOT_FOUND)]
    {
        if reference.state(target, key, oldest, answer).is_some() {
            allowed.push(format!("`{text}`"));
        }
    }
    allowed.join(" or ")
}

fn versions(reference: &ReferenceModel, target: u32, key: u32, first: Position, last: Position) -> String {
    let (owner, key) = (&reference.client(target).name, key_name(key));
    let (first, last) = (first.version(), last.version());
    if first == last {
        format!("{owner}'s value of {key}, version {first}")
    } else {
        format!("{owner}'s value of {key}, version {first} to {last}")
    }
}
