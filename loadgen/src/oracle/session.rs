//! One client's side of the oracle: it writes requests, remembers what each may be answered, and judges.

mod evidence;
#[cfg(test)]
mod tests;

pub use evidence::{Due, Era, Lives, Origin, request};

use super::expect::{Expect, Finding, Good, ReadFrom};
use super::position::{Epoch, Position};
use super::reads::Reads;
use super::value::{Tag, ValueSpec};
use super::world::{Answer, State};
use super::{MESSAGE_BYTES, World, findings, texts, write_numbered};
use crate::scenario::model::Role;

/// A user who never is: no client's name contains a colon.
const NOBODY: &str = "nobody:0";

/// Malformed commands with what is wrong about each (FORM-1, FORM-2, ROLE-6).
const MALFORMED: [&str; 9] =
    ["", "frobnicate", "put k0", "put k0 a b", "get", "get a b c", "PUT k0 v", "upgrade a b", "q now"];

/// One client's session as the oracle sees it, from its login to its end.
///
/// Requests are judged in the order in which they were written. A put begins only once [`World::set_live`] was told
/// of the login's success.
#[derive(Debug)]
pub struct Session {
    client: u32,
    /// The epoch of its user's life that it is.
    epoch: Epoch,
    values: ValueSpec,
    role: Role,
    /// Whether an `upgrade` was written: its reply may turn reads that follow it from denied into allowed.
    asked_upgrade: bool,
    reads: Reads,
    /// Whether the server said that a request was longer than it takes, after which it closes (TCP-3).
    too_long: bool,
}

impl Session {
    /// A fresh session of this client: a guest with an empty store (ROLE-1, STORE-6). Made before its login is
    /// written, for from then on the name may be taken.
    #[must_use]
    pub fn new(world: &World, client: u32) -> Self {
        Self {
            client,
            epoch: world.life(client).begin_session(),
            values: world.client(client).values,
            role: Role::Guest,
            asked_upgrade: false,
            reads: Reads::default(),
            too_long: false,
        }
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

    /// Whether the server refused a request as longer than it takes, as it may.
    #[must_use]
    pub fn was_too_long(&self) -> bool {
        self.too_long
    }

    /// Writes `put KEY VALUE` with the key's next version.
    pub fn put(&mut self, world: &World, key: u32, out: &mut Vec<u8>) -> Expect {
        let position = world.register(self.client, key).1.begin_put(self.epoch);
        write_numbered(out, b"put k", key, b" ");
        self.tag(world, key, position).write(self.values, out);
        Expect::Put { key, version: position.version(), incarnation: self.epoch.incarnation_bits() }
    }

    /// Writes `get KEY`.
    pub fn get(&self, key: u32, out: &mut Vec<u8>) -> Expect {
        write_numbered(out, b"get k", key, b"");
        Expect::Get { key }
    }

    /// Writes `get KEY` of a key that nobody ever puts.
    pub fn get_missing(&self, key: u32, out: &mut Vec<u8>) -> Expect {
        write_numbered(out, b"get m", key, b"");
        Expect::GetMissing { key }
    }

    /// Writes `get USER KEY`; `None` stands for a user or a key that does not exist.
    pub fn get_other(
        &mut self,
        world: &World,
        target: Option<u32>,
        key: Option<u32>,
        out: &mut Vec<u8>,
    ) -> Expect {
        write_get_other(world, target, key, out);
        let oldest = match target {
            // A guest is denied whatever there is.
            Some(target) if self.role == Role::Manager || self.asked_upgrade => world.oldest(target, key),
            _ => State { life: Epoch::START, position: Position::START },
        };
        Expect::GetOther { target, key, from: self.reads.send(oldest) }
    }

    /// Writes one of the malformed commands.
    pub fn bad(&self, which: u8, out: &mut Vec<u8>) -> Expect {
        let which = which % MALFORMED.len() as u8;
        out.extend_from_slice(MALFORMED[which as usize].as_bytes());
        Expect::Bad { which }
    }

    /// Writes `upgrade`.
    pub fn upgrade(&mut self, out: &mut Vec<u8>) -> Expect {
        self.asked_upgrade = true;
        out.extend_from_slice(b"upgrade");
        Expect::Upgrade
    }

    /// Judges the reply to the session's oldest open request and takes its effect into account.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(&mut self, world: &World, expect: Expect, reply: &[u8]) -> Result<Good, Finding> {
        match expect {
            Expect::Put { key, version, .. } => self.judge_put(world, key, version, reply),
            Expect::Get { key } => self.judge_own(world, key, reply),
            Expect::GetMissing { .. } => self.judge_missing(world, "STORE-2", reply),
            Expect::GetOther { target, key, from } => {
                self.reads.answer(from);
                match self.role {
                    Role::Guest => self.judge_denial(world, reply),
                    Role::Manager => self.judge_other(world, target, key, from, reply),
                }
            }
            Expect::Bad { .. } => self.exactly(world, texts::WRONG_FORMAT, "FORM-1", reply),
            Expect::Upgrade => self.judge_upgrade(world, reply),
        }
    }

    /// Whether these bytes are a whole legal reply: on a transport without terminators that is how a reply ends.
    #[must_use]
    pub fn is_whole(&self, world: &World, expect: Expect, reply: &[u8]) -> bool {
        let is_status = |allowed: &[&str]| allowed.iter().any(|text| text.as_bytes() == reply);
        let is_value = |target: u32| {
            Tag::decode(reply)
                .is_some_and(|tag| tag.user == target && tag.fills(world.client(target).values, reply))
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
            Expect::Put { key, version, .. } => {
                let bytes = self.tag(world, key, Position::of_put(version)).size(self.values);
                return format!("put k{key} (version {version}, {bytes} bytes)");
            }
            Expect::Get { key } => drop(self.get(key, &mut out)),
            Expect::GetMissing { key } => drop(self.get_missing(key, &mut out)),
            Expect::GetOther { target, key, .. } => write_get_other(world, target, key, &mut out),
            Expect::Bad { which } => drop(self.bad(which, &mut out)),
            Expect::Upgrade => out.extend_from_slice(b"upgrade"),
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn judge_put(&mut self, world: &World, key: u32, version: u32, reply: &[u8]) -> Result<Good, Finding> {
        let position = Position::of_put(version);
        let (index, register) = world.register(self.client, key);
        if reply == texts::DONE.as_bytes() {
            register.accept(self.epoch, position);
            return Ok(Good::Plain);
        }
        let too_long = reply == texts::MESSAGE_TOO_LONG.as_bytes()
            && self.put_bytes(world, key, position) > MESSAGE_BYTES;
        self.too_long |= too_long;
        if too_long || reply == texts::STORE_FULL.as_bytes() {
            // Somebody may have read it before its refusal was known.
            if world.refusals().refuse(index, register, position) {
                return Err(findings::refused_but_read());
            }
            return Ok(Good::Refused);
        }
        Err(self.wrong(world, texts::DONE, "STORE-1", reply))
    }

    fn judge_own(&self, world: &World, key: u32, reply: &[u8]) -> Result<Good, Finding> {
        // Effects come in request order and the owner is the only writer: exactly the newest accepted put.
        let position = world.register(self.client, key).1.own(self.epoch);
        if position.is_empty() {
            if reply == texts::KEY_NOT_FOUND.as_bytes() {
                return Ok(Good::Plain);
            }
        } else if self.tag(world, key, position).matches(self.values, reply) {
            return Ok(Good::Value);
        }
        Err(findings::own(world, self.client, key, self.epoch, position, reply))
    }

    fn judge_missing(&self, world: &World, rule: &'static str, reply: &[u8]) -> Result<Good, Finding> {
        self.exactly(world, texts::KEY_NOT_FOUND, rule, reply)
    }

    fn judge_denial(&self, world: &World, reply: &[u8]) -> Result<Good, Finding> {
        if reply == texts::DENIED.as_bytes() {
            return Ok(Good::Denied);
        }
        Err(findings::not_denied(world, self.client, reply))
    }

    fn judge_other(
        &mut self,
        world: &World,
        target: Option<u32>,
        key: Option<u32>,
        from: ReadFrom,
        reply: &[u8],
    ) -> Result<Good, Finding> {
        let Some(target) = target else {
            return self.exactly(world, texts::USER_NOT_FOUND, "ROLE-3", reply);
        };
        if target == self.client {
            return match key {
                Some(key) => self.judge_own(world, key, reply),
                None => self.judge_missing(world, "ROLE-3", reply),
            };
        }
        let answer = world.answer(target, key, reply);
        let found = match answer {
            Some(answer) => self.reads.judge(world, target, key, from, answer),
            None => Err(from.oldest),
        };
        let wrong = |oldest| Err(findings::other(world, target, key, oldest, reply));
        match found {
            Ok(found) if world.prove(target, key, from.oldest, found) => wrong(from.oldest),
            Ok(_) if matches!(answer, Some(Answer::Value(_))) => Ok(Good::ForeignValue),
            Ok(_) => Ok(Good::Plain),
            Err(oldest) => wrong(oldest),
        }
    }

    fn judge_upgrade(&mut self, world: &World, reply: &[u8]) -> Result<Good, Finding> {
        if self.role == Role::Manager {
            return self.exactly(world, texts::ALREADY_MANAGER, "ROLE-4", reply);
        }
        if reply == texts::UPGRADE_REFUSED.as_bytes() {
            return Ok(Good::Refused);
        }
        let good = self.exactly(world, texts::UPGRADED, "ROLE-4", reply)?;
        self.role = Role::Manager;
        Ok(good)
    }

    fn exactly(&self, world: &World, text: &str, rule: &'static str, reply: &[u8]) -> Result<Good, Finding> {
        if reply == text.as_bytes() { Ok(Good::Plain) } else { Err(self.wrong(world, text, rule, reply)) }
    }

    fn wrong(&self, world: &World, text: &str, rule: &'static str, reply: &[u8]) -> Finding {
        findings::not_the_text(world, self.client, text, rule, reply)
    }

    /// Bytes of a put's whole message.
    fn put_bytes(&self, world: &World, key: u32, position: Position) -> usize {
        let digits = key.checked_ilog10().map_or(1, |log| log as usize + 1);
        "put k ".len() + digits + self.tag(world, key, position).size(self.values)
    }

    fn tag(&self, world: &World, key: u32, position: Position) -> Tag {
        Tag { run: world.run(), user: self.client, key, incarnation: self.epoch.incarnation_bits(), position }
    }
}

fn write_get_other(world: &World, target: Option<u32>, key: Option<u32>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"get ");
    match target {
        Some(target) => out.extend_from_slice(world.client(target).name.as_bytes()),
        None => out.extend_from_slice(NOBODY.as_bytes()),
    }
    match key {
        Some(key) => write_numbered(out, b" k", key, b""),
        None => write_numbered(out, b" m", 0, b""),
    }
}
