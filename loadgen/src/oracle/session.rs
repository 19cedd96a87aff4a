//! One client's side of the oracle: it writes requests, notes which replies are legal, and judges the replies.

mod evidence;
#[cfg(test)]
mod tests;

pub use evidence::{ExpectedReply, PutId, SessionAge, SessionHistory, request, writer_of_forbidden};

use super::expect::{Expectation, Finding, LegalReply, ReadBound};
use super::odd_commands::{ODD_COMMANDS, odd};
use super::position::{Epoch, Position, State};
use super::reads::Reads;
use super::reference::ReadReply;
use super::value::{Tag, ValueSpec};
use super::{
    MESSAGE_BYTES, ROLE_KEY, ROLE_KEY_NUMBER, ReferenceModel, findings, key_bytes, key_name, texts,
    write_missing_key, write_with_key,
};
use crate::domain::{Role, Rule};

/// A key that is never put, as `get USER KEY` names it.
const ABSENT_KEY: &[u8] = b" m0";

/// A user that does not exist: no client's name contains a colon.
const ABSENT_USER: &str = "nobody:0";

/// One client's session, from its login to its end.
///
/// Replies are judged in the order in which the requests were written. A put may begin only after
/// [`ReferenceModel::set_live`].
#[derive(Debug)]
pub struct SessionModel {
    client: u32,
    /// The epoch of its user that it is.
    epoch: Epoch,
    values: ValueSpec,
    role: Role,
    /// Whether an `upgrade` was written. Its reply may allow the reads that follow it.
    asked_upgrade: bool,
    /// The role that it has put under [`ROLE_KEY`], if any.
    role_put: Option<Role>,
    reads: Reads,
    /// Whether the server refused a request as too long, after which it closes (TCP-3).
    too_long: bool,
}

impl SessionModel {
    /// A new session of this client: a guest with an empty store (ROLE-1, STORE-6). Make it before its login is
    /// written, as the name may be taken from then on.
    #[must_use]
    pub fn new(reference: &ReferenceModel, client: u32) -> Self {
        Self {
            client,
            epoch: reference.sessions(client).begin_session(),
            values: reference.client(client).values,
            role: Role::Guest,
            asked_upgrade: false,
            role_put: None,
            reads: Reads::default(),
            too_long: false,
        }
    }

    /// Index of the client.
    #[must_use]
    pub fn client(&self) -> u32 {
        self.client
    }

    /// Its number among its client's sessions: from 0, modulo 32,768.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.epoch.incarnation_bits()
    }

    /// Its role according to the replies so far.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether the server refused a request as too long, as it may.
    #[must_use]
    pub fn was_too_long(&self) -> bool {
        self.too_long
    }

    /// Writes `put KEY VALUE` with the key's next version.
    pub fn put(&mut self, reference: &ReferenceModel, key: u32, out: &mut Vec<u8>) -> Expectation {
        let position = reference.register(self.client, key).1.begin_put(self.epoch);
        write_with_key(out, b"put ", key, b" ");
        self.tag(reference, key, position).write(self.values, out);
        Expectation::Put { key, version: position.version(), incarnation: self.epoch.incarnation_bits() }
    }

    /// Writes `get KEY`.
    pub fn get(&self, key: u32, out: &mut Vec<u8>) -> Expectation {
        write_with_key(out, b"get ", key, b"");
        Expectation::Get { key }
    }

    /// Writes `get KEY` of a key that is never put, except for the one that [`Self::put_role`] does.
    pub fn get_missing(&self, key: u32, out: &mut Vec<u8>) -> Expectation {
        out.extend_from_slice(b"get ");
        write_missing_key(out, key);
        Expectation::GetMissing { key }
    }

    /// Writes `get USER KEY`; `None` stands for a user or a key that does not exist.
    pub fn get_other(
        &mut self,
        reference: &ReferenceModel,
        target: Option<u32>,
        key: Option<u32>,
        out: &mut Vec<u8>,
    ) -> Expectation {
        write_get_other(reference, target, key, out);
        let oldest = match target {
            // A guest is denied in any case.
            Some(target) if self.role == Role::Manager || self.asked_upgrade => reference.oldest(target, key),
            _ => State { epoch: Epoch::START, position: Position::START },
        };
        Expectation::GetOther { target, key, from: self.reads.send(oldest) }
    }

    /// Writes one of the odd commands.
    pub fn bad(&self, which: u8, out: &mut Vec<u8>) -> Expectation {
        let which = which % ODD_COMMANDS;
        out.extend_from_slice(odd(which).text.as_bytes());
        Expectation::Bad { which }
    }

    /// Writes `put USER KEY VALUE`. Its value names its writer.
    pub fn put_other(
        &self,
        reference: &ReferenceModel,
        target: u32,
        key: u32,
        out: &mut Vec<u8>,
    ) -> Expectation {
        out.extend_from_slice(b"put ");
        out.extend_from_slice(reference.client(target).name.as_bytes());
        write_with_key(out, b" ", key, b" ");
        Tag::forbidden(reference.run(), self.client, key).write(ValueSpec::TAG_ALONE, out);
        Expectation::PutOther { target, key }
    }

    /// Writes `put role ROLE` with the role that the client does not have.
    pub fn put_role(&self, out: &mut Vec<u8>) -> Expectation {
        let role = match self.role {
            Role::Guest => Role::Manager,
            Role::Manager => Role::Guest,
        };
        write_put_role(role, out);
        Expectation::PutRole { role }
    }

    /// The role that it has put as a value, if any. That must change nothing.
    #[must_use]
    pub fn role_put(&self) -> Option<Role> {
        self.role_put
    }

    /// Writes `upgrade`.
    pub fn upgrade(&mut self, out: &mut Vec<u8>) -> Expectation {
        self.asked_upgrade = true;
        out.extend_from_slice(b"upgrade");
        Expectation::Upgrade
    }

    /// Judges the reply to the session's oldest open request, and notes its effect.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(
        &mut self,
        reference: &ReferenceModel,
        expect: Expectation,
        reply: &[u8],
    ) -> Result<LegalReply, Finding> {
        match expect {
            Expectation::Put { key, version, .. } => self.judge_put(reference, key, version, reply),
            Expectation::Get { key } => self.judge_own(reference, key, reply),
            Expectation::GetMissing { key: ROLE_KEY_NUMBER } => {
                let rule = if self.role_put.is_some() { Rule::Store1 } else { Rule::Store6 };
                self.exactly(reference, self.role_value(), rule, reply)
            }
            Expectation::GetMissing { .. } => {
                self.exactly(reference, texts::KEY_NOT_FOUND, Rule::Store2, reply)
            }
            Expectation::GetOther { target, key, from } => {
                self.reads.answer(from);
                match self.role {
                    Role::Guest => self.judge_denial(reference, reply),
                    Role::Manager => self.judge_other(reference, target, key, from, reply),
                }
            }
            Expectation::Bad { which } => self.exactly(reference, odd(which).due, odd(which).rule, reply),
            Expectation::PutOther { .. } => self.exactly(reference, texts::WRONG_FORMAT, Rule::Role6, reply),
            Expectation::PutRole { .. } if reply == texts::STORE_FULL.as_bytes() => Ok(LegalReply::Refused),
            Expectation::PutRole { role } => {
                let good = self.exactly(reference, texts::DONE, Rule::Store1, reply)?;
                self.role_put = Some(role);
                Ok(good)
            }
            Expectation::Upgrade => self.judge_upgrade(reference, reply),
        }
    }

    /// Whether these bytes are a whole legal reply. On a transport without terminators this ends a reply.
    #[must_use]
    pub fn is_whole(&self, reference: &ReferenceModel, expect: Expectation, reply: &[u8]) -> bool {
        let is_status = |allowed: &[&str]| allowed.iter().any(|text| text.as_bytes() == reply);
        let is_value = |target: u32| {
            Tag::decode(reply)
                .is_some_and(|tag| tag.user == target && tag.fills(reference.client(target).values, reply))
        };
        match expect {
            Expectation::Put { .. } | Expectation::PutRole { .. } => {
                is_status(&[texts::DONE, texts::STORE_FULL])
            }
            Expectation::Get { .. } => is_status(&[texts::KEY_NOT_FOUND]) || is_value(self.client),
            Expectation::GetMissing { key: ROLE_KEY_NUMBER } => is_status(&[self.role_value()]),
            Expectation::GetMissing { .. } => is_status(&[texts::KEY_NOT_FOUND]),
            Expectation::GetOther { target, .. } => match self.role {
                Role::Guest => is_status(&[texts::DENIED]),
                Role::Manager => {
                    is_status(&[texts::KEY_NOT_FOUND, texts::USER_NOT_FOUND]) || target.is_some_and(is_value)
                }
            },
            Expectation::Bad { which } => is_status(&[odd(which).due]),
            Expectation::PutOther { .. } => is_status(&[texts::WRONG_FORMAT]),
            Expectation::Upgrade => {
                is_status(&[texts::UPGRADED, texts::ALREADY_MANAGER, texts::UPGRADE_REFUSED])
            }
        }
    }

    /// The request of this expectation, for people. A value is described, not shown.
    #[must_use]
    pub fn describe(&self, reference: &ReferenceModel, expect: Expectation) -> String {
        let mut out = Vec::new();
        match expect {
            Expectation::Put { key, version, .. } => {
                let bytes = self.tag(reference, key, Position::of_put(version)).size(self.values);
                return format!("put {} (version {version}, {bytes} bytes)", key_name(key));
            }
            Expectation::PutOther { target, key } => {
                return format!("put {} {} (a value)", reference.client(target).name, key_name(key));
            }
            Expectation::PutRole { role } => write_put_role(role, &mut out),
            Expectation::Get { key } => drop(self.get(key, &mut out)),
            Expectation::GetMissing { key } => drop(self.get_missing(key, &mut out)),
            Expectation::GetOther { target, key, .. } => write_get_other(reference, target, key, &mut out),
            Expectation::Bad { which } => drop(self.bad(which, &mut out)),
            Expectation::Upgrade => out.extend_from_slice(b"upgrade"),
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn judge_put(
        &mut self,
        reference: &ReferenceModel,
        key: u32,
        version: u32,
        reply: &[u8],
    ) -> Result<LegalReply, Finding> {
        let position = Position::of_put(version);
        let (index, register) = reference.register(self.client, key);
        if reply == texts::DONE.as_bytes() {
            register.accept(self.epoch, position);
            return Ok(LegalReply::Plain);
        }
        let too_long = reply == texts::MESSAGE_TOO_LONG.as_bytes()
            && self.put_bytes(reference, key, position) > MESSAGE_BYTES;
        self.too_long |= too_long;
        if too_long || reply == texts::STORE_FULL.as_bytes() {
            // A manager may have read it before the refusal was known.
            if reference.refusals().refuse(index, register, position) {
                return Err(findings::refused_but_read());
            }
            return Ok(LegalReply::Refused);
        }
        Err(self.wrong(reference, texts::DONE, Rule::Store1, reply))
    }

    fn judge_own(&self, reference: &ReferenceModel, key: u32, reply: &[u8]) -> Result<LegalReply, Finding> {
        // Requests take effect in order and the owner is the only writer, so it must be the newest accepted put.
        let position = reference.register(self.client, key).1.own(self.epoch);
        if position.is_empty() {
            if reply == texts::KEY_NOT_FOUND.as_bytes() {
                return Ok(LegalReply::Plain);
            }
        } else if self.tag(reference, key, position).matches(self.values, reply) {
            return Ok(LegalReply::Value);
        }
        Err(findings::own(reference, self.client, key, self.epoch, position, reply))
    }

    /// The reply that is due to `get role`.
    fn role_value(&self) -> &'static str {
        self.role_put.map_or(texts::KEY_NOT_FOUND, Role::name)
    }

    fn judge_denial(&self, reference: &ReferenceModel, reply: &[u8]) -> Result<LegalReply, Finding> {
        if reply == texts::DENIED.as_bytes() {
            return Ok(LegalReply::Denied);
        }
        Err(findings::not_denied(reference, self.client, reply))
    }

    fn judge_other(
        &mut self,
        reference: &ReferenceModel,
        target: Option<u32>,
        key: Option<u32>,
        from: ReadBound,
        reply: &[u8],
    ) -> Result<LegalReply, Finding> {
        let Some(target) = target else {
            return self.exactly(reference, texts::USER_NOT_FOUND, Rule::Role3, reply);
        };
        if target == self.client {
            return match key {
                Some(key) => self.judge_own(reference, key, reply),
                None => self.exactly(reference, texts::KEY_NOT_FOUND, Rule::Role3, reply),
            };
        }
        let answer = reference.answer(target, key, reply);
        let found = match answer {
            Some(answer) => self.reads.judge(reference, target, key, from, answer),
            None => Err(from.oldest),
        };
        let wrong = |oldest| Err(findings::other(reference, target, key, oldest, reply));
        match found {
            Ok(found) if reference.prove(target, key, from.oldest, found) => wrong(from.oldest),
            Ok(_) if matches!(answer, Some(ReadReply::Value(_))) => Ok(LegalReply::ForeignValue),
            Ok(_) => Ok(LegalReply::Plain),
            Err(oldest) => wrong(oldest),
        }
    }

    fn judge_upgrade(&mut self, reference: &ReferenceModel, reply: &[u8]) -> Result<LegalReply, Finding> {
        if self.role == Role::Manager {
            return self.exactly(reference, texts::ALREADY_MANAGER, Rule::Role4, reply);
        }
        if reply == texts::UPGRADE_REFUSED.as_bytes() {
            return Ok(LegalReply::Refused);
        }
        let rule = match (reply == texts::ALREADY_MANAGER.as_bytes(), self.role_put) {
            (true, None) => Rule::Role1,
            (true, Some(_)) => Rule::Role5,
            (false, _) => Rule::Role4,
        };
        let good = self.exactly(reference, texts::UPGRADED, rule, reply)?;
        self.role = Role::Manager;
        Ok(good)
    }

    fn exactly(
        &self,
        reference: &ReferenceModel,
        text: &str,
        rule: Rule,
        reply: &[u8],
    ) -> Result<LegalReply, Finding> {
        if reply == text.as_bytes() {
            Ok(LegalReply::Plain)
        } else {
            Err(self.wrong(reference, text, rule, reply))
        }
    }

    fn wrong(&self, reference: &ReferenceModel, text: &str, rule: Rule, reply: &[u8]) -> Finding {
        findings::not_the_text(reference, self.client, text, rule, reply)
    }

    /// Bytes of a put's whole message.
    fn put_bytes(&self, reference: &ReferenceModel, key: u32, position: Position) -> usize {
        "put  ".len() + key_bytes(key) + self.tag(reference, key, position).size(self.values)
    }

    fn tag(&self, reference: &ReferenceModel, key: u32, position: Position) -> Tag {
        Tag {
            run: reference.run(),
            user: self.client,
            key,
            incarnation: self.epoch.incarnation_bits(),
            position,
        }
    }
}

fn write_put_role(role: Role, out: &mut Vec<u8>) {
    for part in ["put ", ROLE_KEY, " ", role.name()] {
        out.extend_from_slice(part.as_bytes());
    }
}

fn write_get_other(reference: &ReferenceModel, target: Option<u32>, key: Option<u32>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"get ");
    match target {
        Some(target) => out.extend_from_slice(reference.client(target).name.as_bytes()),
        None => out.extend_from_slice(ABSENT_USER.as_bytes()),
    }
    match key {
        Some(key) => write_with_key(out, b" ", key, b""),
        None => out.extend_from_slice(ABSENT_KEY),
    }
}
