//! One connection's state machine: a message goes in, exactly one reply and what to do next come out.
//!
//! No I/O and no framing: every transport drives the same code, so the transports cannot disagree about the
//! protocol.

use std::{sync::Arc, task::Waker, time::Duration};

use crate::{
    counters::{Command, Counters},
    protocol::{Reply, Request, Status, parse_name},
    registry::{Found, Login, Peer, Promotion, Registry, SecretAttempt, StoreFull, UpgradePolicy},
};

/// What the transport does after the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a session that says Close must not be handed another message"]
pub enum Flow {
    /// The session goes on.
    Continue,
    /// A secret was tried. The session goes on, but the reply is delayed: [`Session::finish_delayed`] gives it, and no
    /// other message may be passed before that (ROLE-8).
    ContinueAfter {
        /// The delay of the reply.
        delay: Duration,
        /// Whether the secret was wrong. A right one is delayed too if the address has sent wrong ones.
        is_wrong: bool,
    },
    /// Send what is due, then close. The name is free already (LIFE-3).
    Close,
}

/// How the wait for a delayed reply has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DelayOutcome {
    /// The delay is over.
    Elapsed,
    /// The client has hung up, or closed its sending side, while it waited. Its secret is not tried then: otherwise
    /// hanging up would be a way round the delay.
    HungUp,
}

/// The state of one connection, from its first message on.
#[derive(Debug)]
pub struct Session {
    state: State,
    /// A secret whose answer is delayed. Boxed, since hardly any session ever has one.
    attempt: Option<Box<SecretAttempt>>,
    message_bytes_max: usize,
    peer: Peer,
    /// Whether the waker of the connection's task is already kept with the user.
    has_disconnect_waker: bool,
    counters: Arc<Counters>,
}

#[derive(Debug)]
enum State {
    /// Nothing but a name is understood (LOGIN-5).
    Anonymous(Arc<Registry>),
    LoggedIn(Login),
    Ended,
}

impl Session {
    /// A session that waits for a name, takes messages of up to `message_bytes_max` bytes, and is counted in
    /// `counters`, which must be this thread's. The address of `peer` answers for the wrong secrets that come from it.
    #[must_use]
    pub fn new(
        registry: Arc<Registry>,
        peer: Peer,
        message_bytes_max: usize,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            state: State::Anonymous(registry),
            attempt: None,
            message_bytes_max,
            peer,
            has_disconnect_waker: false,
            counters,
        }
    }

    /// Whether the operator has disconnected the user. The connection must then be closed; messages that were not
    /// handled yet are discarded.
    pub(crate) fn is_disconnect_requested(&self) -> bool {
        matches!(&self.state, State::LoggedIn(login) if login.user().disconnect_request().is_requested())
    }

    /// Keeps the waker of the connection's task with the user, so that a disconnect reaches a connection that waits.
    /// Cheap to call before every wait: it does something only once, after the login.
    #[inline]
    pub(crate) fn wake_on_disconnect(&mut self, waker: &Waker) {
        if !self.has_disconnect_waker
            && let State::LoggedIn(login) = &self.state
        {
            login.user().disconnect_request().set_waker(waker);
            self.has_disconnect_waker = true;
        }
    }

    /// Notes a request of a client that is logged in, at this many milliseconds from the registry's start.
    #[inline]
    pub(crate) fn note_active(&self, now_ms: u64) {
        if let State::LoggedIn(login) = &self.state {
            login.user().note_active(now_ms);
        }
    }

    /// Whether the client has logged in.
    #[must_use]
    pub fn is_logged_in(&self) -> bool {
        matches!(self.state, State::LoggedIn(_))
    }

    /// The name under which the client has logged in.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.state {
            State::LoggedIn(login) => Some(login.name()),
            State::Anonymous(_) | State::Ended => None,
        }
    }

    /// Handles one message and passes its reply to `reply`, which is called exactly once, perhaps under a store's lock:
    /// it must only copy. It is not called if the reply is delayed ([`Flow::ContinueAfter`]).
    ///
    /// A message over the limit ends the session; the first `message_bytes_max + 1` bytes are enough to show that. If
    /// several replies would fit, size comes before UTF-8, UTF-8 before form, form before the role, and the role before
    /// the policy.
    pub fn handle(&mut self, message: &[u8], reply: impl FnOnce(Reply<'_>)) -> Flow {
        if message.len() > self.message_bytes_max && !fault!(TakesLongLines) {
            return self.end(reply, Status::MessageTooLong);
        }
        match std::str::from_utf8(message) {
            Ok(message) => self.handle_text(message, reply),
            Err(_) if fault!(ClosesOnBadUtf8) => self.end(reply, Status::WrongFormat),
            Err(_) => self.answer(Command::Malformed, reply, Status::WrongFormat),
        }
    }

    /// As [`Self::handle`], for a transport that knows its messages to be UTF-8.
    pub(crate) fn handle_text(&mut self, message: &str, reply: impl FnOnce(Reply<'_>)) -> Flow {
        if message.len() > self.message_bytes_max && !fault!(TakesLongLines) {
            return self.end(reply, Status::MessageTooLong);
        }
        #[cfg(feature = "faults")]
        let changed = faults::change(self, message);
        #[cfg(feature = "faults")]
        let message = changed.as_deref().unwrap_or(message);
        #[cfg(feature = "faults")]
        if let Some(answer) = faults::instead(self, message) {
            return answer.give(reply);
        }
        match &self.state {
            State::LoggedIn(_) => self.request(message, reply),
            State::Anonymous(registry) => {
                let outcome = match parse_name(message).map(|name| registry.claim(name, self.peer)) {
                    Ok(Some(login)) => {
                        tracing::debug!(user = login.name(), peer = %self.peer.address, "logged in");
                        self.state = State::LoggedIn(login);
                        if fault!(GreetsWithDone) { Status::Done } else { Status::Success }
                    }
                    Ok(None) => Status::DuplicateUserName,
                    Err(_) => Status::WrongFormat,
                };
                self.answer(Command::Login, reply, outcome)
            }
            State::Ended => self.end(reply, Status::WrongFormat),
        }
    }

    fn request(&mut self, message: &str, reply: impl FnOnce(Reply<'_>)) -> Flow {
        let request = Request::parse(message);
        let command = Command::of(&request);
        if command == Command::Quit {
            return self.end(reply, Status::Exiting);
        }
        if let Ok(Request::Upgrade { secret }) = request {
            return match self.upgrade(secret) {
                Ok(status) => self.answer(command, reply, status),
                Err(attempt) => {
                    let flow = Flow::ContinueAfter { delay: attempt.delay(), is_wrong: !attempt.is_right() };
                    self.attempt = Some(attempt);
                    flow
                }
            };
        }
        let State::LoggedIn(login) = &self.state else { return self.end(reply, Status::WrongFormat) };
        let user = login.user();
        let reply = self.counted(command, reply);
        match request {
            Ok(Request::Get { key }) => user.get(key, |value| match value {
                Some(value) => reply(Reply::Value(value)),
                None => reply(Reply::Status(Status::KeyNotFound)),
            }),
            Ok(Request::Put { key, value }) => {
                reply(Reply::Status(match login.put(key, value) {
                    Ok(()) => Status::Done,
                    Err(StoreFull) => Status::StoreFull,
                }));
            }
            // Denied before anything is looked up, so that the refusal reveals nothing more (ROLE-2).
            Ok(Request::GetOf { .. }) if !user.is_manager() => reply(Reply::Status(Status::Denied)),
            Ok(Request::GetOf { user, key }) => login.registry().read(user, key, |found| match found {
                Found::Value(value) => reply(Reply::Value(value)),
                Found::NoKey => reply(Reply::Status(Status::KeyNotFound)),
                Found::NoUser => reply(Reply::Status(Status::UserNotFound)),
            }),
            Ok(Request::Upgrade { .. } | Request::Quit) | Err(_) => reply(Reply::Status(Status::WrongFormat)),
        }
        Flow::Continue
    }

    /// Gives the reply that was delayed since [`Flow::ContinueAfter`].
    pub fn finish_delayed(&mut self, wait: DelayOutcome, reply: impl FnOnce(Reply<'_>)) {
        let is_right = match (self.attempt.take(), wait) {
            (Some(attempt), DelayOutcome::Elapsed) => attempt.answer(),
            // Dropping the attempt gives its time back to its address.
            (Some(_), DelayOutcome::HungUp) | (None, _) => false,
        };
        let status = match &self.state {
            State::LoggedIn(login) if is_right => self.promote(login),
            _ => Status::UpgradeRefused,
        };
        self.counted(Command::Upgrade, reply)(Reply::Status(status));
    }

    /// The answer to an upgrade, or the attempt whose answer is delayed.
    fn upgrade(&self, secret: Option<&str>) -> Result<Status, Box<SecretAttempt>> {
        let State::LoggedIn(login) = &self.state else { return Ok(Status::WrongFormat) };
        let policy = login.registry().upgrade_policy();
        if secret.is_some() && !matches!(policy, UpgradePolicy::Secret(_)) {
            return Ok(Status::WrongFormat);
        }
        if login.user().is_manager() {
            return Ok(Status::AlreadyManager);
        }
        match (policy, secret) {
            (UpgradePolicy::Secret(expected), Some(word)) => {
                let attempt = login.attempt_upgrade(self.peer.address.ip(), expected.matches(word));
                if attempt.is_right() && attempt.delay().is_zero() {
                    return Ok(self.promote(login));
                }
                Err(Box::new(attempt))
            }
            (UpgradePolicy::Closed, _) | (UpgradePolicy::Secret(_), None) => Ok(Status::UpgradeRefused),
            (UpgradePolicy::Open, _) => Ok(self.promote(login)),
        }
    }

    fn promote(&self, login: &Login) -> Status {
        match login.registry().promote(login.user()) {
            Promotion::Granted => {
                tracing::info!(user = login.name(), peer = %self.peer.address, "became a manager");
                Status::Upgraded
            }
            Promotion::Already => Status::AlreadyManager,
            Promotion::Full | Promotion::Gone => Status::UpgradeRefused,
        }
    }

    fn end(&mut self, reply: impl FnOnce(Reply<'_>), last: Status) -> Flow {
        if last == Status::MessageTooLong && fault!(GoesOnAfterALongLine) {
            return self.answer(Command::Malformed, reply, last);
        }
        // The name is freed before the reply goes out: a client that has read the close can log in again at once
        // (LIFE-3).
        self.state = State::Ended;
        let command = if last == Status::Exiting { Command::Quit } else { Command::Malformed };
        self.counted(command, reply)(Reply::Status(last));
        Flow::Close
    }

    fn answer(&self, command: Command, reply: impl FnOnce(Reply<'_>), status: Status) -> Flow {
        self.counted(command, reply)(Reply::Status(status));
        Flow::Continue
    }

    /// A callback that counts the request and calls `reply`.
    fn counted(&self, command: Command, reply: impl FnOnce(Reply<'_>)) -> impl FnOnce(Reply<'_>) {
        move |text| {
            self.counters.answered(command, &text);
            reply(text);
        }
    }
}

#[cfg(feature = "faults")]
mod faults;
#[cfg(test)]
mod tests;
