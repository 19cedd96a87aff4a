//! One client's side of the oracle: it writes requests, remembers what each may be answered, and judges.

mod evidence;
#[cfg(test)]
mod tests;

pub use evidence::{Due, Origin, request};

use super::value::{Tag, ValueSpec};
use super::{World, texts, write_key, write_missing_key};
use crate::scenario::model::Role;

/// Malformed commands with what is wrong about each (FORM-1, FORM-2, ROLE-6).
const MALFORMED: [&str; 9] =
    ["", "frobnicate", "put k0", "put k0 a b", "get", "get a b c", "PUT k0 v", "upgrade a b", "q now"];

/// What a request may be answered, taken when the request was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// `put KEY VALUE` of this version.
    Put {
        /// Number of the key.
        key: u32,
        /// The version that it carries.
        version: u32,
    },
    /// `get KEY` of its own.
    Get {
        /// Number of the key.
        key: u32,
    },
    /// `get KEY` of a key never put.
    GetMissing {
        /// Number of the missing key.
        key: u32,
    },
    /// `get USER KEY`.
    GetOther {
        /// The other (or the client itself); `None`: a user that does not exist.
        target: Option<u32>,
        /// Number of the key; `None`: a key never put.
        key: Option<u32>,
        /// Oldest version that may come back.
        floor: u32,
        /// Whether the other's session was live when the request was written.
        live: bool,
    },
    /// A malformed command, by number.
    Bad {
        /// Index into the list of malformed commands.
        which: u8,
    },
    /// `upgrade`.
    Upgrade,
}

/// A legal reply, as far as ledgers count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Good {
    /// Legal, and nothing more to say.
    Plain,
    /// A read that returned a value of the client's own.
    Value,
    /// A read that returned another user's value.
    ForeignValue,
    /// The denial that was due.
    Denied,
    /// A legal refusal: `store full`, `upgrade refused`.
    Refused,
}

/// An illegal reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What went wrong, in a few words.
    pub kind: &'static str,
    /// The requirement that it breaks.
    pub rule: &'static str,
    /// What was allowed.
    pub expected: String,
}

/// One client's session as the oracle sees it.
#[derive(Debug)]
pub struct Session {
    client: u32,
    role: Role,
    /// Newest accepted version of each key; 0: none.
    accepted: Box<[u32]>,
}

impl Session {
    /// A fresh session of this client: a guest with an empty store (ROLE-1, STORE-6).
    #[must_use]
    pub fn new(world: &World, client: u32) -> Self {
        let keys = world.client(client).keys as usize;
        Self { client, role: Role::Guest, accepted: vec![0; keys].into_boxed_slice() }
    }

    /// Index of the client.
    #[must_use]
    pub fn client(&self) -> u32 {
        self.client
    }

    /// The role that the replies so far give it.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Writes `put KEY VALUE` with the key's next version.
    pub fn put(&mut self, world: &World, key: u32, out: &mut Vec<u8>) -> Expect {
        let version = world.begin_put(self.client, key);
        out.extend_from_slice(b"put ");
        write_key(out, key);
        out.push(b' ');
        self.tag(world, key, version).write(self.values(world), out);
        Expect::Put { key, version }
    }

    /// Writes `get KEY`.
    pub fn get(&self, key: u32, out: &mut Vec<u8>) -> Expect {
        out.extend_from_slice(b"get ");
        write_key(out, key);
        Expect::Get { key }
    }

    /// Writes `get KEY` of a key that nobody ever puts.
    pub fn get_missing(&self, key: u32, out: &mut Vec<u8>) -> Expect {
        out.extend_from_slice(b"get ");
        write_missing_key(out, key);
        Expect::GetMissing { key }
    }

    /// Writes `get USER KEY`; `None` stands for a user or a key that does not exist.
    pub fn get_other(
        &self,
        world: &World,
        target: Option<u32>,
        key: Option<u32>,
        out: &mut Vec<u8>,
    ) -> Expect {
        out.extend_from_slice(b"get ");
        write_target(world, target, out);
        out.push(b' ');
        match key {
            Some(key) => write_key(out, key),
            None => write_missing_key(out, 0),
        }
        let live = target.is_some_and(|target| world.is_live(target));
        let floor = target.zip(key).map_or(0, |(target, key)| world.settled(target, key));
        Expect::GetOther { target, key, floor, live }
    }

    /// Writes one of the malformed commands.
    pub fn bad(&self, which: u8, out: &mut Vec<u8>) -> Expect {
        let which = which % MALFORMED.len() as u8;
        out.extend_from_slice(MALFORMED[which as usize].as_bytes());
        Expect::Bad { which }
    }

    /// Writes `upgrade`.
    pub fn upgrade(&self, out: &mut Vec<u8>) -> Expect {
        out.extend_from_slice(b"upgrade");
        Expect::Upgrade
    }

    /// Judges the reply to the session's oldest open request and takes its effect into account.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(&mut self, world: &World, expect: Expect, reply: &[u8]) -> Result<Good, Finding> {
        match expect {
            Expect::Put { key, version } => self.judge_put(world, key, version, reply),
            Expect::Get { key } => self.judge_own(world, key, reply),
            Expect::GetMissing { .. } => self.judge_missing(world, "STORE-2", reply),
            Expect::GetOther { target, key, floor, live } => match self.role {
                Role::Guest => self.judge_denial(world, reply),
                Role::Manager => self.judge_other(world, target, key, floor, live, reply),
            },
            Expect::Bad { .. } => self.exactly(world, texts::WRONG_FORMAT, "FORM-1", Good::Plain, reply),
            Expect::Upgrade => self.judge_upgrade(world, reply),
        }
    }

    /// Whether these bytes are a whole legal reply: on a transport without terminators that is how a reply ends.
    #[must_use]
    pub fn is_whole(&self, world: &World, expect: Expect, reply: &[u8]) -> bool {
        let is_status = |allowed: &[&str]| allowed.iter().any(|text| text.as_bytes() == reply);
        let is_value = |target: u32| {
            Tag::decode(reply)
                .is_some_and(|tag| tag.user == target && tag.matches(world.client(target).values, reply))
        };
        match expect {
            Expect::Put { .. } => is_status(&[texts::DONE, texts::STORE_FULL]),
            Expect::Get { .. } => is_status(&[texts::KEY_NOT_FOUND]) || is_value(self.client),
            Expect::GetMissing { .. } => is_status(&[texts::KEY_NOT_FOUND]),
            Expect::GetOther { target, .. } => match self.role {
                Role::Guest => is_status(&[texts::DENIED]),
                Role::Manager => {
                    is_status(&[texts::KEY_NOT_FOUND, texts::USER_NOT_FOUND]) || target.is_some_and(is_value)
                }
            },
            Expect::Bad { .. } => is_status(&[texts::WRONG_FORMAT]),
            Expect::Upgrade => is_status(&[texts::UPGRADED, texts::ALREADY_MANAGER, texts::UPGRADE_REFUSED]),
        }
    }

    /// The request of this expectation for people; values are described, not shown.
    #[must_use]
    pub fn describe(&self, world: &World, expect: Expect) -> String {
        let mut out = Vec::new();
        match expect {
            Expect::Put { key, version } => {
                let bytes = self.tag(world, key, version).size(self.values(world));
                return format!("put k{key} (version {version}, {bytes} bytes)");
            }
            Expect::Get { key } => drop(self.get(key, &mut out)),
            Expect::GetMissing { key } => drop(self.get_missing(key, &mut out)),
            Expect::GetOther { target, key, .. } => drop(self.get_other(world, target, key, &mut out)),
            Expect::Bad { which } => drop(self.bad(which, &mut out)),
            Expect::Upgrade => drop(self.upgrade(&mut out)),
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn judge_put(&mut self, world: &World, key: u32, version: u32, reply: &[u8]) -> Result<Good, Finding> {
        if reply == texts::DONE.as_bytes() {
            self.accepted[key as usize] = version;
            world.settle(self.client, key, version);
            return Ok(Good::Plain);
        }
        if reply == texts::STORE_FULL.as_bytes() {
            world.refuse(self.client, key, version);
            // Somebody may have read it before its refusal was known.
            if world.settled(self.client, key) == version {
                let expected = format!("`{}`: this put's value was read", texts::DONE);
                return Err(Finding { kind: "refused value", rule: "ATOM-2", expected });
            }
            return Ok(Good::Refused);
        }
        Err(self.wrong(world, format!("`{}`", texts::DONE), "STORE-1", reply))
    }

    fn judge_own(&self, world: &World, key: u32, reply: &[u8]) -> Result<Good, Finding> {
        // Effects come in request order and the owner is the only writer: exactly the newest accepted put.
        let version = self.accepted[key as usize];
        if version == 0 {
            return self.judge_missing(world, "STORE-2", reply);
        }
        if self.tag(world, key, version).matches(self.values(world), reply) {
            return Ok(Good::Value);
        }
        Err(self.wrong_value(world, self.client, key, version, version, reply))
    }

    fn judge_missing(&self, world: &World, rule: &'static str, reply: &[u8]) -> Result<Good, Finding> {
        self.exactly(world, texts::KEY_NOT_FOUND, rule, Good::Plain, reply)
    }

    fn judge_denial(&self, world: &World, reply: &[u8]) -> Result<Good, Finding> {
        if reply == texts::DENIED.as_bytes() {
            return Ok(Good::Denied);
        }
        let mut finding = self.wrong(world, format!("`{}`", texts::DENIED), "ROLE-2", reply);
        // Whatever it is, a guest saw something it must not see.
        if finding.kind == FOREIGN || Tag::decode(reply).is_some() {
            finding.kind = "isolation broken";
            finding.rule = "ROLE-2";
        }
        Err(finding)
    }

    fn judge_other(
        &self,
        world: &World,
        target: Option<u32>,
        key: Option<u32>,
        floor: u32,
        live: bool,
        reply: &[u8],
    ) -> Result<Good, Finding> {
        let Some(target) = target else {
            return self.exactly(world, texts::USER_NOT_FOUND, "ROLE-3", Good::Plain, reply);
        };
        // A session that may have ended in between may or may not be found, with or without its store.
        let certain = live && world.is_live(target);
        if !certain && (reply == texts::USER_NOT_FOUND.as_bytes() || reply == texts::KEY_NOT_FOUND.as_bytes())
        {
            return Ok(Good::Plain);
        }
        let Some(key) = key else {
            return self.judge_missing(world, "ROLE-3", reply);
        };
        let begun = world.begun(target, key);
        if reply == texts::KEY_NOT_FOUND.as_bytes() && floor == 0 {
            return Ok(Good::Plain);
        }
        if let Some(tag) = Tag::decode(reply) {
            let right = tag.run == world.run()
                && (tag.user, tag.key) == (target, key)
                && (floor.max(1)..=begun).contains(&tag.version)
                && !world.is_refused(target, key, tag.version)
                && tag.matches(world.client(target).values, reply);
            if right {
                world.settle(target, key, tag.version);
                return Ok(if target == self.client { Good::Value } else { Good::ForeignValue });
            }
        }
        Err(self.wrong_value(world, target, key, floor, begun, reply))
    }

    fn judge_upgrade(&mut self, world: &World, reply: &[u8]) -> Result<Good, Finding> {
        if self.role == Role::Manager {
            return self.exactly(world, texts::ALREADY_MANAGER, "ROLE-4", Good::Plain, reply);
        }
        if reply == texts::UPGRADE_REFUSED.as_bytes() {
            return Ok(Good::Refused);
        }
        let good = self.exactly(world, texts::UPGRADED, "ROLE-4", Good::Plain, reply)?;
        self.role = Role::Manager;
        Ok(good)
    }

    fn exactly(
        &self,
        world: &World,
        text: &str,
        rule: &'static str,
        good: Good,
        reply: &[u8],
    ) -> Result<Good, Finding> {
        if reply == text.as_bytes() {
            Ok(good)
        } else {
            Err(self.wrong(world, format!("`{text}`"), rule, reply))
        }
    }

    /// A reply that should have been a fixed text.
    fn wrong(&self, world: &World, expected: String, rule: &'static str, reply: &[u8]) -> Finding {
        match Tag::decode(reply) {
            Some(tag) if tag.run != world.run() => Finding { kind: LEFTOVER, rule: "STORE-6", expected },
            Some(tag) if tag.user != self.client => Finding { kind: FOREIGN, rule: "STORE-5", expected },
            Some(_) => Finding { kind: SWAPPED, rule: "FORM-3", expected },
            None => Finding { kind: "wrong reply", rule, expected },
        }
    }

    /// A reply that should have been `target`'s value of `key`, of a version from `floor` to `begun`.
    fn wrong_value(
        &self,
        world: &World,
        target: u32,
        key: u32,
        floor: u32,
        begun: u32,
        reply: &[u8],
    ) -> Finding {
        let versions =
            if floor == begun { format!("version {floor}") } else { format!("version {floor} to {begun}") };
        let expected = format!("{}'s value of k{key}, {versions}", world.client(target).name);
        let finding = |kind, rule| Finding { kind, rule, expected: expected.clone() };
        let Some(tag) = Tag::decode(reply) else {
            if reply == texts::KEY_NOT_FOUND.as_bytes() {
                return finding("lost value", "STORE-1");
            }
            return finding("wrong reply", if target == self.client { "STORE-1" } else { "ROLE-3" });
        };
        if tag.run != world.run() {
            finding(LEFTOVER, "STORE-6")
        } else if tag.user != target {
            finding(FOREIGN, "STORE-5")
        } else if tag.key != key {
            finding(SWAPPED, "STORE-5")
        } else if !tag.matches(world.client(target).values, reply) {
            finding("corrupted value", "STORE-4")
        } else if tag.version < floor {
            finding("stale value", if target == self.client { "STORE-3" } else { "ATOM-1" })
        } else if world.is_refused(target, key, tag.version) {
            finding("refused value", "ATOM-2")
        } else {
            finding("value not yet put", "ATOM-1")
        }
    }

    fn tag(&self, world: &World, key: u32, version: u32) -> Tag {
        Tag { run: world.run(), user: self.client, key, version }
    }

    fn values(&self, world: &World) -> ValueSpec {
        world.client(self.client).values
    }
}

/// A user who never is: no client's name contains a colon.
const NOBODY: &str = "nobody:0";
const FOREIGN: &str = "foreign value";
const SWAPPED: &str = "swapped reply";
const LEFTOVER: &str = "value of another run";

fn write_target(world: &World, target: Option<u32>, out: &mut Vec<u8>) {
    match target {
        Some(target) => out.extend_from_slice(world.client(target).name.as_bytes()),
        None => out.extend_from_slice(NOBODY.as_bytes()),
    }
}

/// What a reply's tag says of its origin, for people; `None` where it carries none.
#[must_use]
pub fn origin(world: &World, reply: &[u8]) -> Option<String> {
    let tag = Tag::decode(reply)?;
    if tag.run != world.run() || tag.user as usize >= world.clients().len() {
        return Some("a value of another run".to_owned());
    }
    Some(format!("{}'s value of k{}, version {}", world.client(tag.user).name, tag.key, tag.version))
}
