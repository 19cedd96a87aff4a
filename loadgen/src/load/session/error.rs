//! Why a client could not be set up, or renewed.

use std::time::Duration;

use twinwire_os::clock;

use super::super::context::PassContext;
use super::super::evidence::{Asked, Evidence, Requester};
use crate::oracle::{Finding, texts};
use crate::wire::{ConnectError, Ended, HandshakeError, WrongProtocol};

/// Why a client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No server listens there, or it speaks another protocol.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// A step failed without breaking a rule.
    #[error("{step} as `{client}` at {place}: {why}")]
    Failed { step: &'static str, client: String, place: String, why: StepFailure },
    /// An illegal reply.
    #[error("{step} as `{}`: expected {}, seen `{}`", .evidence.violation().client,
        .evidence.violation().expected, .evidence.violation().seen)]
    Violated { step: &'static str, evidence: Box<Evidence> },
}

/// What happened instead of the expected reply. `advice` names a likely cause or a remedy.
#[derive(Debug, thiserror::Error)]
pub enum StepFailure {
    #[error("{ended}{advice}")]
    Ended { ended: Ended, advice: &'static str },
    /// The port speaks another protocol.
    #[error("{0}")]
    WrongProtocol(WrongProtocol),
    #[error("no reply within {timeout:?}{advice}")]
    TimedOut { timeout: Duration, advice: &'static str },
    /// A legal refusal, after which the client cannot go on.
    #[error("the server answered `{reply}`{advice}")]
    Refused { reply: String, advice: &'static str },
}

impl SetupError {
    pub(super) fn failed(context: &PassContext, client: u32, step: &'static str, why: StepFailure) -> Self {
        let place = context.endpoint(client).to_string();
        Self::Failed { step, client: context.reference.client(client).name.clone(), place, why }
    }

    pub(super) fn violated(step: &'static str, evidence: Evidence) -> Self {
        Self::Violated { step, evidence: Box::new(evidence) }
    }

    /// A wrong reply that was seen now, to a handshake, a login or a `q`.
    pub(super) fn wrong_session(
        context: &PassContext,
        requester: Requester,
        step: &'static str,
        finding: Finding,
        asked: Asked,
        seen: &str,
    ) -> Self {
        let seen = seen.as_bytes();
        let evidence = Evidence::of_session(context, requester, finding, asked, seen, clock::now());
        Self::violated(step, evidence)
    }

    /// Whether the server was full. It has room again as soon as it knows that a client is gone (TCP-6, WS-6).
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Failed { why: StepFailure::Refused { reply, .. }, .. } => reply == texts::SERVER_FULL,
            Self::Connect(ConnectError::Handshake(_, HandshakeError::Refused { status })) => *status == 503,
            _ => false,
        }
    }
}
