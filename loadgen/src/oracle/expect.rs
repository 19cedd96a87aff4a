//! What a request may be answered, and the two things that a reply can be: right or a finding.

use super::odd_commands::is_malformed;
use super::position::State;
use crate::domain::{Role, Rule, ViolationKind};

/// What a request may be answered, taken when the request was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// `put KEY VALUE` of this version.
    Put {
        /// Number of the key.
        key: u32,
        /// The version that it carries.
        version: u32,
        /// What it says of its session.
        incarnation: u32,
    },
    /// `get KEY` of its own.
    Get {
        /// Number of the key.
        key: u32,
    },
    /// `get KEY` of a key never put, or put by [`Expectation::PutRole`] alone.
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
        /// Where the read stands among the session's others, and the oldest state that it may find.
        from: ReadBound,
    },
    /// An odd command, mostly a malformed one, by number.
    Bad {
        /// Index into the list of odd commands.
        which: u8,
    },
    /// `put USER KEY VALUE`, which writes nothing (ROLE-6).
    PutOther {
        /// The other user.
        target: u32,
        /// Number of its key.
        key: u32,
    },
    /// `put role ROLE`, which is a put like any other (ROLE-5).
    PutRole {
        /// The role that is put: the one that the client does not have.
        role: Role,
    },
    /// `upgrade`.
    Upgrade,
}

impl Expectation {
    /// The rule that a server breaks which closes instead of answering this: of a malformed command, after which the
    /// session goes on. Any other request may be met by a server's end, or an operator's.
    #[must_use]
    pub fn forbids_close(self) -> Option<Rule> {
        match self {
            Self::Bad { which } if is_malformed(which) => Some(Rule::Form1),
            Self::PutOther { .. } => Some(Rule::Form1),
            _ => None,
        }
    }
}

/// What was known when a read of another's key was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadBound {
    pub(super) oldest: State,
    /// How many of the session's reads had been answered.
    pub(super) answered: u32,
}

/// A legal reply, as far as ledgers count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegalReply {
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
    /// What went wrong.
    pub kind: ViolationKind,
    /// The requirement that it breaks.
    pub rule: Rule,
    /// What was allowed.
    pub expected: String,
    /// The user who was not found: rightly after all, where the server has ended that session by itself (an idle
    /// time-out, its operator) and the client is about to hear of it. See [`ReferenceModel::is_lost`](super::ReferenceModel::is_lost).
    pub absent: Option<u32>,
    /// Of a read of another's key: the oldest state that it might have found.
    pub(super) oldest: Option<State>,
}

impl Finding {
    /// A reply that is wrong in this way, breaks this rule, where this was allowed.
    #[must_use]
    pub fn new(kind: ViolationKind, rule: Rule, expected: String) -> Self {
        Self { kind, rule, expected, absent: None, oldest: None }
    }
}
