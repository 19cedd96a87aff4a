//! A validated profile: plain data.

use std::fmt;
use std::time::Duration;

use crate::domain::{Rule, Transport};
use crate::oracle::MESSAGE_BYTES;
use crate::scenario::diagnostics::{Place, Source};

/// Bytes of the longest user name, where a profile does not say otherwise.
pub(super) const NAME_BYTES: u32 = 64;

/// What a target supports, and where it differs from the protocol on purpose.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name in reports.
    pub name: String,
    /// The transports that it has, of which those given on the command line are tested; `None`: all of these.
    pub transports: Option<Vec<Transport>>,
    /// Whether its transports share one registry of names.
    pub shared_registry: bool,
    /// Who may become a manager.
    pub upgrade: Policy,
    /// Bytes of the longest message.
    pub message_max: u32,
    /// Bytes of the longest user name.
    pub name_max: u32,
    /// Whether the denial may come as a binary WebSocket message.
    pub denial_binary: bool,
    /// Cases that may run at the same time, at least 1; `None`: as many as suits the suite.
    pub jobs: Option<u32>,
    /// Limits that are set on the target, and so are tested.
    pub limits: Limits,
    /// How its operator changes roles and disconnects users.
    pub operator: Operator,
    /// What is not tested.
    pub exceptions: Vec<Exception>,
    /// What is tested and has to fail.
    pub known_failures: Vec<KnownFailure>,
    /// Where that was written, for errors that only show against the suite; `None` without a file.
    pub(super) written: Option<Written>,
}

/// The text of a profile, and each case that it names.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) source: Source,
    pub(super) cases: Vec<(String, Place)>,
}

impl Default for Profile {
    /// A target of which nothing is known but that it claims the protocol.
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            transports: None,
            shared_registry: true,
            upgrade: Policy::Open,
            message_max: MESSAGE_BYTES as u32,
            name_max: NAME_BYTES,
            denial_binary: false,
            jobs: None,
            limits: Limits::default(),
            operator: Operator::default(),
            exceptions: Vec::new(),
            known_failures: Vec::new(),
            written: None,
        }
    }
}

/// Who may become a manager by asking (ROLE-8).
#[derive(Clone, PartialEq, Eq)]
pub enum Policy {
    /// Each who sends `upgrade`.
    Open,
    /// Each who sends `upgrade` and this secret, one word.
    Secret(String),
    /// Nobody.
    Closed,
}

impl fmt::Debug for Policy {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "Open",
            Self::Secret(_) => "Secret(…)",
            Self::Closed => "Closed",
        })
    }
}

/// Limits of a target; `None` where nothing is stated, and so nothing tested.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time.
    pub connections: Option<u32>,
    /// Managers at the same time.
    pub managers: Option<u32>,
    /// Keys of one user.
    pub keys: Option<u32>,
    /// Bytes of one user's keys and values.
    pub bytes: Option<u64>,
    /// Time that a connection has to log in.
    pub login_timeout: Option<Duration>,
    /// Time that a session may send nothing.
    pub idle_timeout: Option<Duration>,
}

/// The programs by which an operator changes a user, each with its arguments, in which `{user}` stands for the name;
/// `None` where nothing is stated, and so nothing tested.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operator {
    /// Makes a manager.
    pub promote: Option<Vec<String>>,
    /// Makes a guest.
    pub demote: Option<Vec<String>>,
    /// Ends the session.
    pub disconnect: Option<Vec<String>>,
}

/// Something that is not tested, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// What is left out.
    pub what: Excluded,
    /// One sentence for people.
    pub reason: String,
}

/// What an exception leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Excluded {
    /// Every case of this rule.
    Rule(Rule),
    /// The case with this id.
    Case(String),
}

/// A case that has to fail, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFailure {
    /// The case's id.
    pub case: String,
    /// One sentence for people.
    pub reason: String,
}
