//! Which replies to a request are legal, and what a reply can be: legal, or a finding.

use super::odd_commands::is_malformed;
use super::position::State;
use crate::domain::{Role, Rule, ViolationKind};

/// What the reply to a request is judged by, taken when the request was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// `put KEY VALUE` of this version.
    Put {
        /// Number of the key.
        key: u32,
        /// The version of the value.
        version: u32,
        /// What the value says of its session.
        incarnation: u32,
    },
    /// `get KEY` of an own key.
    Get {
        /// Number of the key.
        key: u32,
    },
    /// `get KEY` of a key that is never put, or only by [`Expectation::PutRole`].
    GetMissing {
        /// Number of the missing key.
        key: u32,
    },
    /// `get USER KEY`.
    GetOther {
        /// The other user, or the client itself; `None`: a user that does not exist.
        target: Option<u32>,
        /// Number of the key; `None`: a key that is never put.
        key: Option<u32>,
        /// What was known when the read was written.
        from: ReadBound,
    },
    /// An odd command; most are malformed.
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
    /// `put role ROLE`, a put like any other (ROLE-5).
    PutRole {
        /// The role that the client does not have.
        role: Role,
    },
    /// `upgrade`.
    Upgrade,
}

impl Expectation {
    /// The rule that a server breaks if it closes instead of answering this request. Only a malformed command has one:
    /// the session must go on after it. Any other request may meet the end of the server, or an operator's disconnect.
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

/// A legal reply, by what the ledger counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegalReply {
    /// Any other legal reply.
    Plain,
    /// A read that returned a value of the client's own.
    Value,
    /// A read that returned another user's value.
    ForeignValue,
    /// A denial, as expected.
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
    /// The user who was not found. The reply is right after all if the server itself has ended that session (by an idle
    /// time-out, or its operator) and its client does not know yet. See
    /// [`ReferenceModel::is_lost`](super::ReferenceModel::is_lost).
    pub absent: Option<u32>,
    /// For a read of another's key: the oldest state that it could have found.
    pub(super) oldest: Option<State>,
}

impl Finding {
    /// A finding about a single reply.
    #[must_use]
    pub fn new(kind: ViolationKind, rule: Rule, expected: String) -> Self {
        Self { kind, rule, expected, absent: None, oldest: None }
    }
}
