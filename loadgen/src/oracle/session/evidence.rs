//! What it takes to show a violation again: where values come from, requests as text, and the replies that are due.

use std::collections::HashMap;

use super::super::value::Tag;
use super::super::{World, texts, write_key, write_missing_key};
use super::{Expect, MALFORMED, Session};
use crate::scenario::model::Role;

/// Where a value comes from: one put of one user's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Index of the user.
    pub user: u32,
    /// Number of the key.
    pub key: u32,
    /// The put's number, from 1.
    pub version: u32,
}

impl Origin {
    /// The put that a reply's tag names, if this pass has begun such a put. The first [`super::super::TAG_BYTES`]
    /// bytes are enough.
    #[must_use]
    pub fn of(world: &World, reply: &[u8]) -> Option<Self> {
        let tag = Tag::decode(reply)?;
        let client = world.clients().get(tag.user as usize)?;
        let known = tag.run == world.run()
            && tag.key < client.keys
            && (1..=world.begun(tag.user, tag.key)).contains(&tag.version);
        known.then_some(Self { user: tag.user, key: tag.key, version: tag.version })
    }

    /// The put that a request makes.
    #[must_use]
    pub fn put_by(client: u32, expect: Expect) -> Option<Self> {
        match expect {
            Expect::Put { key, version } => Some(Self { user: client, key, version }),
            _ => None,
        }
    }

    /// The value that was put.
    #[must_use]
    pub fn value(self, world: &World) -> String {
        let tag = Tag { run: world.run(), user: self.user, key: self.key, version: self.version };
        let mut value = Vec::new();
        tag.write(world.client(self.user).values, &mut value);
        String::from_utf8(value).expect("values are made of ASCII")
    }
}

/// The reply that a request must get when it is made alone, after all that settled what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// This text.
    Text(&'static str),
    /// The upgrade, or its refusal.
    Upgrade,
    /// The value of this put.
    Value(Origin),
}

impl Session {
    /// What this request is due as things stand; `role` is the client's when it was judged.
    #[must_use]
    pub fn due(&self, expect: Expect, role: Role) -> Due {
        let value = |user: u32, key: u32, version: u32| match version {
            0 => Due::Text(texts::KEY_NOT_FOUND),
            version => Due::Value(Origin { user, key, version }),
        };
        match (expect, role) {
            (Expect::Put { .. }, _) => Due::Text(texts::DONE),
            (Expect::Get { key }, _) => value(self.client, key, self.accepted[key as usize]),
            (Expect::GetOther { .. }, Role::Guest) => Due::Text(texts::DENIED),
            (Expect::GetOther { target: None, .. }, _) => Due::Text(texts::USER_NOT_FOUND),
            (Expect::GetMissing { .. }, _)
            | (Expect::GetOther { target: Some(_), key: None, .. }, Role::Manager) => {
                Due::Text(texts::KEY_NOT_FOUND)
            }
            (Expect::GetOther { target: Some(target), key: Some(key), floor, .. }, _) => {
                value(target, key, floor)
            }
            (Expect::Bad { .. }, _) => Due::Text(texts::WRONG_FORMAT),
            (Expect::Upgrade, Role::Guest) => Due::Upgrade,
            (Expect::Upgrade, Role::Manager) => Due::Text(texts::ALREADY_MANAGER),
        }
    }

    /// The same for requests that are sent in one go, each seeing the puts before it.
    #[must_use]
    pub fn dues(&self, batch: &[Expect], role: Role) -> Vec<Due> {
        let mut puts: HashMap<u32, u32> = HashMap::new();
        let due = |&expect: &Expect| {
            let own = match expect {
                Expect::Get { key } => Some(key),
                Expect::GetOther { target: Some(target), key, .. }
                    if target == self.client && role == Role::Manager =>
                {
                    key
                }
                _ => None,
            };
            if let Expect::Put { key, version } = expect {
                puts.insert(key, version);
            }
            match own.and_then(|key| Some((key, *puts.get(&key)?))) {
                Some((key, version)) => Due::Value(Origin { user: self.client, key, version }),
                None => self.due(expect, role),
            }
        };
        batch.iter().map(due).collect()
    }
}

/// The text of a request. `name` writes a user's name, `value` a value.
#[must_use]
pub fn request(
    client: u32,
    expect: Expect,
    name: impl Fn(u32) -> String,
    value: impl Fn(Origin) -> String,
) -> String {
    let key_name = |key: u32| text(|out| write_key(out, key));
    match expect {
        Expect::Put { key, version } => {
            format!("put {} {}", key_name(key), value(Origin { user: client, key, version }))
        }
        Expect::Get { key } => format!("get {}", key_name(key)),
        Expect::GetMissing { key } => format!("get {}", text(|out| write_missing_key(out, key))),
        Expect::GetOther { target, key, .. } => {
            let user = target.map_or_else(|| super::NOBODY.to_owned(), name);
            let key = key.map_or_else(|| text(|out| write_missing_key(out, 0)), key_name);
            format!("get {user} {key}")
        }
        Expect::Bad { which } => MALFORMED[usize::from(which) % MALFORMED.len()].to_owned(),
        Expect::Upgrade => "upgrade".to_owned(),
    }
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).expect("keys are made of ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::ValueSpec;

    fn world() -> World {
        let values = ValueSpec { min: 20, max: 20 };
        World::new(5, [("a".to_owned(), 0, 4, values), ("b".to_owned(), 0, 4, values)])
    }

    /// Every kind of request reads exactly as the session writes it.
    #[test]
    fn a_request_is_written_as_it_was_sent() {
        let world = world();
        let mut session = Session::new(&world, 0);
        let mut sent = Vec::new();
        let mut check = |session: &mut Session, write: &dyn Fn(&mut Session, &mut Vec<u8>) -> Expect| {
            sent.clear();
            let expect = write(session, &mut sent);
            let name = |user: u32| world.client(user).name.clone();
            let again = request(0, expect, name, |origin| origin.value(&world));
            assert_eq!(again, String::from_utf8_lossy(&sent), "{expect:?}");
        };
        check(&mut session, &|s, out| s.put(&world, 3, out));
        check(&mut session, &|s, out| s.get(3, out));
        check(&mut session, &|s, out| s.get_missing(2, out));
        for target in [None, Some(0), Some(1)] {
            for key in [None, Some(2)] {
                check(&mut session, &|s, out| s.get_other(&world, target, key, out));
            }
        }
        for which in 0..20 {
            check(&mut session, &|s, out| s.bad(which, out));
        }
        check(&mut session, &|s, out| s.upgrade(out));
    }

    #[test]
    fn a_value_names_its_put_and_only_one_that_was_begun() {
        let world = world();
        let mut session = Session::new(&world, 1);
        let mut sent = Vec::new();
        session.put(&world, 2, &mut sent);
        let origin = Origin { user: 1, key: 2, version: 1 };
        let value = origin.value(&world);
        assert_eq!(Origin::of(&world, value.as_bytes()), Some(origin));
        assert_eq!(Origin::of(&world, &value.as_bytes()[..16]), Some(origin));
        let later = Origin { version: 2, ..origin }.value(&world);
        assert_eq!(Origin::of(&world, later.as_bytes()), None);
        assert_eq!(Origin::of(&world, b"done"), None);
    }

    #[test]
    fn a_read_in_a_batch_sees_the_puts_before_it() {
        let world = world();
        let mut session = Session::new(&world, 0);
        let mut out = Vec::new();
        let first = session.put(&world, 1, &mut out);
        session.judge(&world, first, b"done").unwrap();
        let get = session.get(1, &mut out);
        let second = session.put(&world, 1, &mut out);
        let value = |version| Due::Value(Origin { user: 0, key: 1, version });
        assert_eq!(session.dues(&[get, second, get], Role::Guest), [value(1), Due::Text("done"), value(2)]);
    }
}
