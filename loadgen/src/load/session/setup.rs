//! Setting one client up: connect, log in, upgrade, preload.
//!
//! Each step's reply is checked like any other. A failure here ends the pass: a load with fewer clients than asked for
//! would measure something else.

use std::sync::Arc;
use std::time::Duration;

use twinwire_os::clock::{self, Nanos};

use super::super::context::PassContext;
use super::super::evidence::{Asked, Evidence, Requester};
use super::super::plan::SessionEnd;
use super::error::{SetupError, StepFailure};
use super::exchange::{LoginReply, NoReply, TimedReply, replies};
use super::setup_times::StepTimes;
use crate::domain::{Role, Rule, ViolationKind};
use crate::oracle::{Expectation, Finding, LegalReply, MESSAGE_BYTES, SessionModel, texts};
use crate::scenario::model::Group;
use crate::wire::{
    BrokenHandshake, ConnectError, Connection, Ended, Traffic, WrongProtocol, advice_on_close,
    advice_on_silence,
};

/// A name may stay taken for this long after the close of its last session (LIFE-2).
pub(super) const NAME_FREE_WITHIN: Duration = Duration::from_secs(5);

pub(super) const LOGIN_RETRY: Duration = Duration::from_millis(50);

/// Bytes of requests that preloading writes before it reads their replies: less than any socket buffer, so that the two
/// sides cannot block each other.
const PRELOAD_BATCH_BYTES: usize = 16 * 1024;

/// Most requests of a batch, which keeps the replies small too.
const PRELOAD_BATCH: usize = 256;

/// Advice if the store is full.
const FEWER: &str = ": lower `preload`, or raise the server's limit";

/// Advice if a put is too long for the server.
const SHORTER: &str = ": use smaller values, or raise the server's message limit";

/// The same, if the server did not say so.
const PERHAPS_SHORTER: &str = ": perhaps the scenario's values are longer than it takes";

/// A client that is ready for the load.
#[derive(Debug)]
pub struct ReadyClient {
    pub connection: Connection,
    pub session: SessionModel,
}

/// Sets up client `index`.
pub async fn set_up(
    context: &PassContext,
    index: u32,
    traffic: Arc<Traffic>,
    steps: &mut StepTimes,
) -> Result<ReadyClient, SetupError> {
    let mut client = ClientSetup::connect(context, index, traffic, steps).await?;
    client.enter(Some(clock::now() + clock::nanos(NAME_FREE_WITHIN)), steps).await?;
    let preload = client.group().preload;
    if preload > 0 {
        steps.preload = Some(client.preload(preload).await?);
    }
    Ok(client.ready())
}

pub(super) struct ClientSetup<'a> {
    context: &'a PassContext,
    index: u32,
    connection: Connection,
    pub(super) session: SessionModel,
    /// What the next reply answers.
    pub(super) asked: Asked,
    /// Whether the last request was longer than every server takes.
    long: bool,
}

impl<'a> ClientSetup<'a> {
    pub(super) async fn connect(
        context: &'a PassContext,
        index: u32,
        traffic: Arc<Traffic>,
        steps: &mut StepTimes,
    ) -> Result<Self, SetupError> {
        let endpoint = context.endpoint(index);
        let begun = clock::now();
        let connected = endpoint.connect(traffic, context.scenario.timeout).await;
        let connection = connected.map_err(|error| not_connected(context, index, error))?;
        steps.connect = Some((clock::now() - begun).max(1));
        let session = SessionModel::new(&context.reference, index);
        Ok(Self { context, index, connection, session, asked: Asked::Login, long: false })
    }

    /// Logs in, and upgrades a manager. A name that is still taken is tried again until `retry_until`.
    async fn enter(&mut self, retry_until: Option<Nanos>, steps: &mut StepTimes) -> Result<(), SetupError> {
        steps.login = Some(self.log_in(retry_until).await?);
        self.context.reference.set_live(self.index);
        self.take_role(steps).await
    }

    pub(super) async fn take_role(&mut self, steps: &mut StepTimes) -> Result<(), SetupError> {
        if self.group().role == Role::Manager {
            steps.upgrade = Some(self.upgrade().await?);
        }
        Ok(())
    }

    fn group(&self) -> &'a Group {
        self.context.group(self.index)
    }

    pub(super) fn ready(mut self) -> ReadyClient {
        self.connection.shrink();
        ReadyClient { connection: self.connection, session: self.session }
    }

    /// Logs in. A name that is still taken is tried again until `retry_until`.
    pub(super) async fn log_in(&mut self, retry_until: Option<Nanos>) -> Result<Nanos, SetupError> {
        const STEP: &str = "logging in";
        let name = self.context.reference.client(self.index).name.clone();
        loop {
            let begun = clock::now();
            let reply = self.ask(STEP, name.as_bytes()).await?;
            if self.may_be_wrong_protocol()
                && let Some(protocol) = WrongProtocol::detect(&reply.text)
            {
                return Err(self.failed(STEP, StepFailure::WrongProtocol(protocol)));
            }
            match reply.to_login() {
                LoginReply::Success => return Ok((reply.at - begun).max(1)),
                LoginReply::NameTaken if retry_until.is_some_and(|until| reply.at < until) => {
                    let reference = &self.context.reference;
                    let refused = reference.set_refused(self.index);
                    refused.map_err(|finding| self.violated(STEP, finding, &reply.text))?;
                    tokio::time::sleep(LOGIN_RETRY).await;
                    self.session = SessionModel::new(reference, self.index);
                }
                LoginReply::NameTaken => {
                    let rule = match self.asked {
                        Asked::NextLogin(SessionEnd::Quit) => Rule::Life3,
                        Asked::NextLogin(SessionEnd::Close | SessionEnd::Reset) => Rule::Life2,
                        _ => Rule::Login1,
                    };
                    return Err(self.violated(STEP, wrong(rule, texts::SUCCESS), &reply.text));
                }
                LoginReply::NoRoom => {
                    let advice = ": it admits fewer clients than the scenario has";
                    return Err(self.refused(STEP, reply.text, advice));
                }
                LoginReply::Other => {
                    return Err(self.violated(STEP, wrong(Rule::Login1, texts::SUCCESS), &reply.text));
                }
            }
        }
    }

    async fn upgrade(&mut self) -> Result<Nanos, SetupError> {
        const STEP: &str = "upgrading";
        let expect = Expectation::Upgrade;
        self.asked = Asked::set_up(expect);
        let begun = clock::now();
        let TimedReply { text, at } = self.ask(STEP, b"upgrade").await?;
        match self.session.judge(&self.context.reference, expect, text.as_bytes()) {
            Ok(LegalReply::Refused) => {
                Err(self.refused(STEP, text, ": the scenario has managers, and this server grants none"))
            }
            Ok(_) => Ok((at - begun).max(1)),
            Err(finding) => Err(self.violated(STEP, wrong(finding.rule, texts::UPGRADED), &text)),
        }
    }

    async fn preload(&mut self, keys: u32) -> Result<Nanos, SetupError> {
        const STEP: &str = "preloading";
        let begun = clock::now();
        let depth = PRELOAD_BATCH.min(self.connection.outstanding_max());
        let mut next = 0;
        let mut end = begun;
        let mut message = Vec::new();
        while next < keys {
            let mut expected = Vec::with_capacity(depth);
            let mut bytes = 0;
            self.long = false;
            while next < keys && expected.len() < depth && bytes < PRELOAD_BATCH_BYTES {
                message.clear();
                expected.push(self.session.put(&self.context.reference, next, &mut message));
                bytes += message.len();
                self.long |= message.len() > MESSAGE_BYTES;
                self.connection.push(&message).map_err(|ended| self.ended(STEP, ended))?;
                next += 1;
            }
            let mut replies = Vec::with_capacity(expected.len());
            while replies.len() < expected.len() {
                self.asked = Asked::set_up(expected[replies.len()]);
                // The time-out holds for each reply, not for the batch.
                replies.extend(self.replies(STEP).await?);
            }
            for (expect, TimedReply { text, at }) in expected.into_iter().zip(replies) {
                end = at;
                match self.session.judge(&self.context.reference, expect, text.as_bytes()) {
                    Ok(LegalReply::Refused) => {
                        let advice = if self.session.was_too_long() { SHORTER } else { FEWER };
                        return Err(self.refused(STEP, text, advice));
                    }
                    Ok(_) => {}
                    Err(finding) => {
                        self.asked = Asked::set_up(expect);
                        return Err(self.violated(STEP, wrong(finding.rule, texts::DONE), &text));
                    }
                }
            }
        }
        Ok((end - begun).max(1))
    }

    pub(super) async fn ask(&mut self, step: &'static str, message: &[u8]) -> Result<TimedReply, SetupError> {
        self.connection.push(message).map_err(|ended| self.ended(step, ended))?;
        Ok(self.replies(step).await?.swap_remove(0))
    }

    async fn replies(&mut self, step: &'static str) -> Result<Vec<TimedReply>, SetupError> {
        let timeout = self.context.scenario.timeout;
        match replies(&mut self.connection, timeout).await {
            Ok(replies) => Ok(replies),
            Err(NoReply::Ended(ended)) => Err(self.ended(step, ended)),
            Err(NoReply::TimedOut) => {
                let advice = match &self.asked {
                    _ if self.long => PERHAPS_SHORTER,
                    Asked::Login => advice_on_silence(&self.connection),
                    _ => "",
                };
                Err(self.failed(step, StepFailure::TimedOut { timeout, advice }))
            }
        }
    }

    /// Whether the port may speak another protocol: nothing has come from it, and there was no handshake.
    fn may_be_wrong_protocol(&self) -> bool {
        matches!(self.asked, Asked::Login) && self.connection.is_unproved()
    }

    fn ended(&self, step: &'static str, ended: Ended) -> SetupError {
        match ended {
            Ended::Framing { rule, what } => {
                let finding = Finding::new(ViolationKind::WrongReply, rule, "a well-formed reply".to_owned());
                self.violated(step, finding, &what)
            }
            ended => {
                let advice = match &ended {
                    Ended::TooLong => SHORTER,
                    _ if self.long => PERHAPS_SHORTER,
                    ended => {
                        advice_on_close(ended).filter(|_| self.may_be_wrong_protocol()).unwrap_or_default()
                    }
                };
                self.failed(step, StepFailure::Ended { ended, advice })
            }
        }
    }

    fn refused(&self, step: &'static str, reply: String, advice: &'static str) -> SetupError {
        self.failed(step, StepFailure::Refused { reply, advice })
    }

    fn failed(&self, step: &'static str, why: StepFailure) -> SetupError {
        SetupError::failed(self.context, self.index, step, why)
    }

    pub(super) fn violated(&self, step: &'static str, finding: Finding, seen: &str) -> SetupError {
        let (context, asked) = (self.context, self.asked.clone());
        if let Asked::Request { .. } = asked {
            let evidence =
                Evidence::new(context, &self.session, finding, asked, seen.as_bytes(), clock::now());
            return SetupError::violated(step, evidence);
        }
        let requester = Requester { client: self.index, role: self.session.role() };
        SetupError::wrong_session(context, requester, step, finding, asked, seen)
    }
}

/// A server that accepts WebSocket's handshake and breaks its rules commits a violation.
fn not_connected(context: &PassContext, index: u32, error: ConnectError) -> SetupError {
    let broken = match &error {
        ConnectError::Handshake(_, error) => error.broken(),
        _ => None,
    };
    let Some(BrokenHandshake { expected, seen }) = broken else { return error.into() };
    let finding = Finding::new(ViolationKind::BrokenHandshake, Rule::Ws2, expected);
    let requester = Requester { client: index, role: Role::Guest };
    SetupError::wrong_session(context, requester, "connecting", finding, Asked::Handshake, &seen)
}

fn wrong(rule: Rule, expected: &str) -> Finding {
    Finding::new(ViolationKind::WrongReply, rule, format!("`{expected}`"))
}
