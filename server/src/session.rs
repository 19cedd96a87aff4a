//! One connection's state machine: a message goes in, exactly one reply and what to do next come out.
//!
//! No I/O and no framing: every transport drives the same code, so the transports cannot disagree about the
//! protocol.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    task::Waker,
    time::Duration,
};

use crate::{
    counters::{Command, Counters},
    protocol::{Reply, Request, Status, parse_name},
    registry::{Found, Login, Promotion, Registry, StoreFull, UpgradePolicy},
};

/// What the transport does after the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a session that says Close must not be handed another message"]
pub enum Flow {
    /// The session goes on.
    Continue,
    /// A secret was tried. The session goes on, but the reply is held back, and no other message is handed over before
    /// (ROLE-8).
    ContinueAfter {
        /// For so long.
        delay: Duration,
        /// Whether the secret was wrong. A right one is held back as well where others were not.
        is_wrong: bool,
    },
    /// Send what is due, then close. The name is free already (LIFE-3).
    Close,
}

/// The state of one connection, from its first message on.
#[derive(Debug)]
pub struct Session {
    state: State,
    message_bytes_max: usize,
    peer: IpAddr,
    /// Whether a dismissal wakes the connection already.
    is_leashed: bool,
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
    /// A session that waits for its name, takes messages of up to so many bytes, and is counted in `counters`, which
    /// must be this thread's. Its client is at no known address.
    #[must_use]
    pub fn new(registry: Arc<Registry>, message_bytes_max: usize, counters: Arc<Counters>) -> Self {
        let state = State::Anonymous(registry);
        let peer = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        Self { state, message_bytes_max, peer, is_leashed: false, counters }
    }

    /// The same with a client at this address, who has to answer for the wrong secrets that come from there.
    #[must_use]
    pub fn at(self, peer: IpAddr) -> Self {
        Self { peer, ..self }
    }

    /// Whether the operator has disconnected the user. The connection is then to be closed; what it has sent and
    /// was not run is not run any more.
    #[must_use]
    pub fn is_dismissed(&self) -> bool {
        matches!(&self.state, State::LoggedIn(login) if login.user().leash().is_pulled())
    }

    /// Leaves the waker of the connection's task with the user, so that a dismissal reaches a connection that waits.
    /// Cheap to call before every wait: it does something once, after the login.
    #[inline]
    pub fn wake_on_dismissal(&mut self, waker: &Waker) {
        if !self.is_leashed
            && let State::LoggedIn(login) = &self.state
        {
            login.user().leash().attach(waker);
            self.is_leashed = true;
        }
    }

    /// Whether the client has logged in.
    #[must_use]
    pub fn is_logged_in(&self) -> bool {
        matches!(self.state, State::LoggedIn(_))
    }

    /// Under which name, if it has.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.state {
            State::LoggedIn(login) => Some(login.name()),
            State::Anonymous(_) | State::Ended => None,
        }
    }

    /// Runs one message and hands its reply to `reply`, which is called exactly once, perhaps under a store's
    /// lock: it must only copy.
    ///
    /// A message over the limit ends the session; a transport may hand over as much of it as shows that it is.
    /// Where several replies would fit, size wins over UTF-8, UTF-8 over form, form over the role and the role
    /// over the policy.
    pub fn handle(&mut self, message: &[u8], reply: impl FnOnce(Reply<'_>)) -> Flow {
        if message.len() > self.message_bytes_max {
            return self.end(reply, Status::MessageTooLong);
        }
        match std::str::from_utf8(message) {
            Ok(message) => self.handle_text(message, reply),
            Err(_) => self.answer(Command::Malformed, reply, Status::WrongFormat),
        }
    }

    /// As [`Self::handle`], for a transport that knows its messages to be UTF-8.
    pub fn handle_text(&mut self, message: &str, reply: impl FnOnce(Reply<'_>)) -> Flow {
        if message.len() > self.message_bytes_max {
            return self.end(reply, Status::MessageTooLong);
        }
        match &self.state {
            State::LoggedIn(_) => self.request(message, reply),
            State::Anonymous(registry) => {
                let outcome = match parse_name(message).map(|name| registry.claim(name)) {
                    Ok(Some(login)) => {
                        tracing::debug!(user = login.name(), peer = %self.peer, "logged in");
                        self.state = State::LoggedIn(login);
                        Status::Success
                    }
                    Ok(None) => Status::DuplicateUserName,
                    Err(_) => Status::WrongFormat,
                };
                self.answer(Command::Login, reply, outcome)
            }
            State::Ended => self.end(reply, Status::WrongFormat),
        }
    }

    /// Runs one request of a session that is logged in.
    fn request(&mut self, message: &str, reply: impl FnOnce(Reply<'_>)) -> Flow {
        let request = Request::parse(message);
        let command = Command::of(&request);
        if command == Command::Quit {
            return self.end(reply, Status::Exiting);
        }
        if let Ok(Request::Upgrade { secret }) = request {
            let (status, flow) = self.upgrade(secret);
            self.counted(command, reply)(Reply::Status(status));
            return flow;
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
            // Denied before anything is looked up: the refusal cannot tell more than it says (ROLE-2).
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

    fn upgrade(&self, secret: Option<&str>) -> (Status, Flow) {
        let State::LoggedIn(login) = &self.state else { return (Status::WrongFormat, Flow::Continue) };
        let policy = login.registry().upgrade_policy();
        if secret.is_some() && !matches!(policy, UpgradePolicy::Secret(_)) {
            return (Status::WrongFormat, Flow::Continue);
        }
        if login.user().is_manager() {
            return (Status::AlreadyManager, Flow::Continue);
        }
        let delay = match (policy, secret) {
            (UpgradePolicy::Secret(expected), Some(word)) => {
                let is_right = expected.matches(word);
                let delay = login.registry().guess_delay(self.peer, is_right);
                if !is_right {
                    return (Status::UpgradeRefused, Flow::ContinueAfter { delay, is_wrong: true });
                }
                delay
            }
            (UpgradePolicy::Closed, _) | (UpgradePolicy::Secret(_), None) => {
                return (Status::UpgradeRefused, Flow::Continue);
            }
            (UpgradePolicy::Open, _) => Duration::ZERO,
        };
        let status = match login.registry().promote(login.user()) {
            Promotion::Granted => {
                tracing::info!(user = login.name(), peer = %self.peer, "became a manager");
                Status::Upgraded
            }
            Promotion::Already => Status::AlreadyManager,
            Promotion::Full | Promotion::Gone => Status::UpgradeRefused,
        };
        let flow =
            if delay.is_zero() { Flow::Continue } else { Flow::ContinueAfter { delay, is_wrong: false } };
        (status, flow)
    }

    fn end(&mut self, reply: impl FnOnce(Reply<'_>), last: Status) -> Flow {
        // The name goes before the reply does: a client that has read the close can log in again at once (LIFE-3).
        self.state = State::Ended;
        let command = if last == Status::Exiting { Command::Quit } else { Command::Malformed };
        self.counted(command, reply)(Reply::Status(last));
        Flow::Close
    }

    fn answer(&self, command: Command, reply: impl FnOnce(Reply<'_>), status: Status) -> Flow {
        self.counted(command, reply)(Reply::Status(status));
        Flow::Continue
    }

    /// `reply`, and the request counted with it.
    fn counted(&self, command: Command, reply: impl FnOnce(Reply<'_>)) -> impl FnOnce(Reply<'_>) {
        move |text| {
            self.counters.answered(command, &text);
            reply(text);
        }
    }
}

#[cfg(test)]
mod tests;
