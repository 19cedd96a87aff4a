//! What a replay of a violation needs: where values come from, requests as text, and the replies that are due.

use std::collections::{BTreeMap, HashMap};

use super::super::position::{INCARNATION_MASK, State};
use super::super::value::{Tag, ValueSpec};
use super::super::{ROLE_KEY_NUMBER, ReferenceModel, key_name, texts, write_missing_key};
use super::{ABSENT_KEY, Epoch, Expectation, Finding, Position, SessionModel, odd, write_put_role};
use crate::domain::Role;

/// One put of one user's key, which every value names as its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PutId {
    /// Index of the user.
    pub user: u32,
    /// Number of the key.
    pub key: u32,
    /// The put's number, from 1, over all sessions of its user.
    pub version: u32,
    /// What its value says of its session.
    pub incarnation: u32,
}

impl PutId {
    /// The put that a reply's tag names, if this pass has begun it. The first [`super::super::TAG_BYTES`] bytes are
    /// enough.
    #[must_use]
    pub fn of(reference: &ReferenceModel, reply: &[u8]) -> Option<Self> {
        let Tag { run, user, key, incarnation, position } = Tag::decode(reply)?;
        let known = run == reference.run()
            && (user as usize) < reference.client_count()
            && key < reference.client(user).keys
            && position.is_within(Position::FIRST_EMPTY, reference.register(user, key).1.begun());
        known.then_some(Self { user, key, version: position.version(), incarnation })
    }

    /// The put that a request makes.
    #[must_use]
    pub fn put_by(client: u32, expect: Expectation) -> Option<Self> {
        match expect {
            Expectation::Put { key, version, incarnation } => {
                Some(Self { user: client, key, version, incarnation })
            }
            _ => None,
        }
    }

    /// The request that makes the put.
    #[must_use]
    pub fn put(self) -> Expectation {
        Expectation::Put { key: self.key, version: self.version, incarnation: self.incarnation }
    }

    /// The value that was put.
    #[must_use]
    pub fn value(self, reference: &ReferenceModel) -> String {
        let Self { user, key, version, incarnation } = self;
        let tag = Tag { run: reference.run(), user, key, incarnation, position: Position::of_put(version) };
        let mut value = Vec::new();
        tag.write(reference.client(user).values, &mut value);
        String::from_utf8(value).expect("values are UTF-8")
    }
}

/// The client of this pass that tried to write this value into another's store, if one did.
#[must_use]
pub fn writer_of_forbidden(reference: &ReferenceModel, reply: &[u8]) -> Option<u32> {
    let tag = Tag::decode(reply)?;
    let known = tag.run == reference.run() && (tag.user as usize) < reference.client_count();
    (known && tag.is_forbidden()).then_some(tag.user)
}

/// The reply that a request must get when it is sent alone, after everything that it reads is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedReply {
    /// This text.
    Text(&'static str),
    /// The upgrade, or its refusal.
    Upgrade,
    /// The value of this put.
    Value(PutId),
}

/// The sessions that some requests concern: their client's own, and those of the users whose keys they read.
#[derive(Debug, Clone, Default)]
pub struct SessionHistory(BTreeMap<u32, Epoch>);

/// Whether a put was made in the session that some requests concern, or in another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionAge {
    /// In that session, or the requests do not concern its user.
    Current,
    /// In an earlier session.
    Earlier,
    /// In a later session.
    Later,
}

impl SessionHistory {
    /// The users that must be logged out.
    pub fn absent(&self) -> impl Iterator<Item = u32> {
        self.0.iter().filter(|(_, epoch)| !epoch.is_live()).map(|(user, _)| *user)
    }

    /// Whether this put was made in its user's session.
    #[must_use]
    pub fn age(&self, put: PutId) -> SessionAge {
        // While a user is logged out, its next session counts.
        let Some(epoch) = self.0.get(&put.user) else { return SessionAge::Current };
        match epoch.incarnation_bits().wrapping_sub(put.incarnation) & INCARNATION_MASK {
            0 => SessionAge::Current,
            ago if ago <= INCARNATION_MASK / 2 => SessionAge::Earlier,
            _ => SessionAge::Later,
        }
    }
}

/// Requests that are shown together: sent in one write, after all puts that matter to them.
struct Batch<'a> {
    session: &'a SessionModel,
    requests: &'a [Expectation],
    /// The client's role when they were judged.
    role: Role,
    /// The oldest state that the first request could have found, if the judgement knew better than the sending.
    oldest: Option<State>,
}

impl Batch<'_> {
    /// Its reads of other users' keys by a manager, each with the oldest state that it could find.
    fn reads(&self) -> impl Iterator<Item = (u32, Option<u32>, State)> {
        self.requests.iter().enumerate().filter_map(|(index, expect)| match *expect {
            Expectation::GetOther { target: Some(target), key, from }
                if self.role == Role::Manager && target != self.session.client =>
            {
                let oldest = self.oldest.filter(|_| index == 0).unwrap_or(from.oldest);
                Some((target, key, oldest))
            }
            _ => None,
        })
    }

    /// The state that all reads of this key must find: all puts come before them, so the newest bound holds for each.
    fn state(&self, target: u32, key: Option<u32>) -> Option<State> {
        let of_target = || self.reads().filter(|(of, ..)| *of == target);
        let mut state = of_target().find(|(_, read, _)| *read == key)?.2;
        for (_, read, other) in of_target() {
            if other.epoch.is_newer_than(state.epoch) {
                state = State { epoch: other.epoch, position: state.position.emptied() };
            }
            if read == key && other.epoch == state.epoch && other.position.is_newer_than(state.position) {
                state.position = other.position;
            }
        }
        Some(state)
    }

    /// The reply that is due to each request, which sees the puts before it.
    fn dues(&self, reference: &ReferenceModel) -> Vec<ExpectedReply> {
        let client = self.session.client;
        let mut puts: HashMap<u32, PutId> = HashMap::new();
        let mut role_put = None;
        let due = |&expect: &Expectation| {
            let own = match expect {
                Expectation::Get { key } => Some(key),
                Expectation::GetOther { target: Some(target), key, .. }
                    if target == client && self.role == Role::Manager =>
                {
                    key
                }
                Expectation::PutRole { role } => {
                    role_put = Some(role);
                    None
                }
                _ => None,
            };
            if let Some(put) = PutId::put_by(client, expect) {
                puts.insert(put.key, put);
            }
            match (own.and_then(|key| puts.get(&key)), role_put) {
                (Some(&put), _) => ExpectedReply::Value(put),
                (None, Some(role)) if expect == (Expectation::GetMissing { key: ROLE_KEY_NUMBER }) => {
                    ExpectedReply::Text(role.name())
                }
                _ => self.due(reference, expect),
            }
        };
        self.requests.iter().map(due).collect()
    }

    fn due(&self, reference: &ReferenceModel, expect: Expectation) -> ExpectedReply {
        let session = self.session;
        match (expect, self.role) {
            (Expectation::Put { .. } | Expectation::PutRole { .. }, _) => ExpectedReply::Text(texts::DONE),
            (Expectation::Get { key }, _) => session.due_own(reference, key),
            (Expectation::GetOther { .. }, Role::Guest) => ExpectedReply::Text(texts::DENIED),
            (Expectation::GetOther { target: None, .. }, _) => ExpectedReply::Text(texts::USER_NOT_FOUND),
            (Expectation::GetMissing { key: ROLE_KEY_NUMBER }, _) => {
                ExpectedReply::Text(session.role_value())
            }
            (Expectation::GetMissing { .. }, _) => ExpectedReply::Text(texts::KEY_NOT_FOUND),
            (Expectation::GetOther { target: Some(target), key, .. }, _) if target == session.client => {
                key.map_or(ExpectedReply::Text(texts::KEY_NOT_FOUND), |key| session.due_own(reference, key))
            }
            (Expectation::GetOther { target: Some(target), key, from }, _) => {
                let State { epoch, position } = self.state(target, key).unwrap_or(from.oldest);
                match key {
                    _ if !epoch.is_live() => ExpectedReply::Text(texts::USER_NOT_FOUND),
                    Some(key) => due(target, key, epoch, position),
                    None => ExpectedReply::Text(texts::KEY_NOT_FOUND),
                }
            }
            (Expectation::Bad { which }, _) => ExpectedReply::Text(odd(which).due),
            (Expectation::PutOther { .. }, _) => ExpectedReply::Text(texts::WRONG_FORMAT),
            (Expectation::Upgrade, Role::Guest) => ExpectedReply::Upgrade,
            (Expectation::Upgrade, Role::Manager) => ExpectedReply::Text(texts::ALREADY_MANAGER),
        }
    }
}

fn due(user: u32, key: u32, epoch: Epoch, position: Position) -> ExpectedReply {
    if position.is_empty() {
        return ExpectedReply::Text(texts::KEY_NOT_FOUND);
    }
    ExpectedReply::Value(PutId {
        user,
        key,
        version: position.version(),
        incarnation: epoch.incarnation_bits(),
    })
}

impl SessionModel {
    /// Which of these requests, sent in one write, is due exactly this reply. The first one is left out, as it was
    /// answered.
    #[must_use]
    pub fn due_elsewhere(
        &self,
        reference: &ReferenceModel,
        requests: &[Expectation],
        reply: &[u8],
    ) -> Option<usize> {
        let batch = Batch { session: self, requests, role: self.role, oldest: None };
        let is_due = |(expect, due): (&Expectation, ExpectedReply)| match (*expect, due) {
            // It may find any state that another session has caused since it was sent.
            (Expectation::GetOther { target: Some(target), key, from }, _)
                if self.role == Role::Manager && target != self.client =>
            {
                let answer = reference.answer(target, key, reply);
                answer.is_some_and(|answer| reference.state(target, key, from.oldest, answer).is_some())
            }
            (_, ExpectedReply::Text(text)) => text.as_bytes() == reply,
            (_, ExpectedReply::Upgrade) => {
                [texts::UPGRADED, texts::UPGRADE_REFUSED].iter().any(|t| t.as_bytes() == reply)
            }
            (_, ExpectedReply::Value(put)) => put.value(reference).as_bytes() == reply,
        };
        let others = requests.iter().zip(batch.dues(reference)).skip(1);
        others.into_iter().position(is_due).map(|at| at + 1)
    }

    fn due_own(&self, reference: &ReferenceModel, key: u32) -> ExpectedReply {
        due(self.client, key, self.epoch, reference.register(self.client, key).1.own(self.epoch))
    }

    /// The replies that are due to these requests when they are sent in one write, each seeing the puts before it; and
    /// the sessions that they concern. `role` is the client's role when they were judged, `finding` what was wrong with
    /// the first reply.
    #[must_use]
    pub fn dues(
        &self,
        reference: &ReferenceModel,
        requests: &[Expectation],
        role: Role,
        finding: Option<&Finding>,
    ) -> (Vec<ExpectedReply>, SessionHistory) {
        let batch = Batch { session: self, requests, role, oldest: finding.and_then(|found| found.oldest) };
        let dues = batch.dues(reference);
        let history =
            batch.reads().filter_map(|(target, key, _)| Some((target, batch.state(target, key)?.epoch)));
        (dues, SessionHistory(history.chain([(self.client, self.epoch)]).collect()))
    }
}

/// The text of a request. `name` gives a user's name, `value` the text of a value.
#[must_use]
pub fn request(
    reference: &ReferenceModel,
    client: u32,
    expect: Expectation,
    name: impl Fn(u32) -> String,
    value: impl Fn(PutId) -> String,
) -> String {
    match expect {
        Expectation::Put { key, version, incarnation } => {
            format!("put {} {}", key_name(key), value(PutId { user: client, key, version, incarnation }))
        }
        Expectation::Get { key } => format!("get {}", key_name(key)),
        Expectation::GetMissing { key } => format!("get {}", text(|out| write_missing_key(out, key))),
        Expectation::GetOther { target, key, .. } => {
            let user = target.map_or_else(|| super::ABSENT_USER.to_owned(), name);
            let key = key.map_or_else(
                || text(|out| out.extend_from_slice(ABSENT_KEY)),
                |key| format!(" {}", key_name(key)),
            );
            format!("get {user}{key}")
        }
        Expectation::Bad { which } => odd(which).text.to_owned(),
        Expectation::PutOther { target, key } => {
            let forbidden =
                text(|out| Tag::forbidden(reference.run(), client, key).write(ValueSpec::TAG_ALONE, out));
            format!("put {} {} {forbidden}", name(target), key_name(key))
        }
        Expectation::PutRole { role } => text(|out| write_put_role(role, out)),
        Expectation::Upgrade => "upgrade".to_owned(),
    }
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).expect("requests are UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{ClientSpec, ValueSpec};

    fn reference() -> ReferenceModel {
        let values = ValueSpec { min: 20, max: 20 };
        ReferenceModel::new(
            5,
            ["a", "b"].map(|name| ClientSpec { name: name.to_owned(), group: 0, keys: 4, values }),
        )
    }

    fn log_in(reference: &ReferenceModel, client: u32) -> SessionModel {
        let session = SessionModel::new(reference, client);
        reference.set_live(client);
        session
    }

    fn manager(reference: &ReferenceModel, client: u32) -> SessionModel {
        let mut session = log_in(reference, client);
        session.judge(reference, Expectation::Upgrade, texts::UPGRADED.as_bytes()).unwrap();
        session
    }

    fn put(reference: &ReferenceModel, session: &mut SessionModel, key: u32) -> PutId {
        let expect = session.put(reference, key, &mut Vec::new());
        session.judge(reference, expect, b"done").unwrap();
        PutId::put_by(session.client(), expect).unwrap()
    }

    /// Every kind of request reads exactly as the session writes it.
    #[test]
    fn a_request_is_written_as_it_was_sent() {
        let reference = reference();
        let mut session = log_in(&reference, 0);
        let mut sent = Vec::new();
        let mut check =
            |session: &mut SessionModel, write: &dyn Fn(&mut SessionModel, &mut Vec<u8>) -> Expectation| {
                sent.clear();
                let expect = write(session, &mut sent);
                let name = |user: u32| reference.client(user).name.clone();
                let again = request(&reference, 0, expect, name, |origin| origin.value(&reference));
                assert_eq!(again, String::from_utf8_lossy(&sent), "{expect:?}");
            };
        check(&mut session, &|s, out| s.put(&reference, 3, out));
        check(&mut session, &|s, out| s.get(3, out));
        check(&mut session, &|s, out| s.get_missing(2, out));
        for target in [None, Some(0), Some(1)] {
            for key in [None, Some(2)] {
                check(&mut session, &|s, out| s.get_other(&reference, target, key, out));
            }
        }
        check(&mut session, &|s, out| s.get_missing(0, out));
        for which in 0..20 {
            check(&mut session, &|s, out| s.bad(which, out));
        }
        check(&mut session, &|s, out| s.put_other(&reference, 1, 2, out));
        check(&mut session, &|s, out| s.put_role(out));
        check(&mut session, &|s, out| s.upgrade(out));
    }

    #[test]
    fn a_value_names_its_put_and_only_one_that_was_begun() {
        let reference = reference();
        let mut session = log_in(&reference, 1);
        let origin = put(&reference, &mut session, 2);
        assert_eq!(origin, PutId { user: 1, key: 2, version: 1, incarnation: 0 });
        let value = origin.value(&reference);
        assert_eq!(PutId::of(&reference, value.as_bytes()), Some(origin));
        assert_eq!(PutId::of(&reference, &value.as_bytes()[..16]), Some(origin));
        for version in [0, 2] {
            let other = PutId { version, ..origin }.value(&reference);
            assert_eq!(PutId::of(&reference, other.as_bytes()), None);
        }
        assert_eq!(PutId::of(&reference, b"done"), None);
    }

    #[test]
    fn a_read_in_a_batch_sees_the_puts_before_it() {
        let reference = reference();
        let mut session = log_in(&reference, 0);
        let mut out = Vec::new();
        let first = put(&reference, &mut session, 1);
        let get = session.get(1, &mut out);
        let second = session.put(&reference, 1, &mut out);
        let (dues, _) = session.dues(&reference, &[get, second, get], Role::Guest, None);
        let second = PutId::put_by(0, second).unwrap();
        assert_eq!(
            dues,
            [ExpectedReply::Value(first), ExpectedReply::Text("done"), ExpectedReply::Value(second)]
        );
    }

    #[test]
    fn reads_in_a_batch_are_all_due_the_newest_that_any_of_them_is() {
        let reference = reference();
        let (mut owner, mut reader) = (log_in(&reference, 1), manager(&reference, 0));
        let mut read = |key| reader.get_other(&reference, Some(1), Some(key), &mut Vec::new());
        put(&reference, &mut owner, 1);
        let early = read(1);
        let newest = put(&reference, &mut owner, 1);
        let batch = [early, read(2), read(1)];
        let (dues, _) = reader.dues(&reference, &batch, Role::Manager, None);
        assert_eq!(
            dues,
            [
                ExpectedReply::Value(newest),
                ExpectedReply::Text("key not found"),
                ExpectedReply::Value(newest)
            ]
        );
        let (denied, _) = reader.dues(&reference, &batch, Role::Guest, None);
        assert_eq!(denied, [ExpectedReply::Text(texts::DENIED); 3]);
    }

    #[test]
    fn a_later_session_is_due_nothing_of_an_earlier_one() {
        let reference = reference();
        let (mut owner, mut reader) = (log_in(&reference, 1), manager(&reference, 0));
        let old = put(&reference, &mut owner, 1);
        reference.set_ending(1);
        reference.set_ended(1);
        let dues = |reader: &mut SessionModel, key| {
            let read = reader.get_other(&reference, Some(1), key, &mut Vec::new());
            let (dues, history) = reader.dues(&reference, &[read], Role::Manager, None);
            (dues[0], history)
        };
        let (due, history) = dues(&mut reader, Some(1));
        assert_eq!(due, ExpectedReply::Text(texts::USER_NOT_FOUND));
        assert_eq!((history.absent().collect::<Vec<_>>(), history.age(old)), (vec![1], SessionAge::Earlier));
        let mut owner = log_in(&reference, 1);
        let (due, history) = dues(&mut reader, Some(1));
        assert_eq!(due, ExpectedReply::Text(texts::KEY_NOT_FOUND));
        assert_eq!((history.absent().count(), history.age(old)), (0, SessionAge::Earlier));
        let get = owner.get(1, &mut Vec::new());
        assert_eq!(
            owner.dues(&reference, &[get], Role::Guest, None).0,
            [ExpectedReply::Text(texts::KEY_NOT_FOUND)]
        );
        let new = put(&reference, &mut owner, 1);
        let (due, history) = dues(&mut reader, Some(1));
        assert_eq!(
            (due, history.age(new), history.age(old)),
            (ExpectedReply::Value(new), SessionAge::Current, SessionAge::Earlier)
        );
        assert_eq!((new.version, new.incarnation), (2, 1));
        assert_eq!(dues(&mut reader, None).0, ExpectedReply::Text(texts::KEY_NOT_FOUND));
        assert_eq!(PutId::of(&reference, old.value(&reference).as_bytes()), Some(old));
    }

    /// With several reads under way, an earlier one's reply bounds a later one that was sent before it came.
    #[test]
    fn a_pipelined_read_is_due_what_its_sessions_earlier_reply_proved() {
        let reference = reference();
        let (mut owner, mut reader) = (log_in(&reference, 1), manager(&reference, 0));
        let old = put(&reference, &mut owner, 1);
        let mut read = || reader.get_other(&reference, Some(1), Some(1), &mut Vec::new());
        let (first, second) = (read(), read());
        let new = put(&reference, &mut owner, 1);
        reader.judge(&reference, first, new.value(&reference).as_bytes()).unwrap();
        let finding = reader.judge(&reference, second, old.value(&reference).as_bytes()).unwrap_err();
        let (dues, _) = reader.dues(&reference, &[second], Role::Manager, Some(&finding));
        assert_eq!(dues, [ExpectedReply::Value(new)]);
    }
}
