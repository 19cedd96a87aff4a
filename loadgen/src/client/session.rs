//! The client's session: connect, log in, send one request at a time, leave. It prints nothing and parses nothing.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::timeout;

use super::reply::{ReplyKind, kind};
use crate::domain::{Framing, Transport};
use crate::oracle::texts;
use crate::wire::{
    ConnectError, Connection, Ended, Endpoint, Reply, ReplyHandler, Traffic, WrongProtocol, advice_on_close,
    poll_with_timeout,
};

/// Random names that are tried before the server is said to refuse every name. Each has 64 random bits, so that the
/// second try is almost never needed.
const OWN_NAMES_MAX: u32 = 4;

/// Why a session cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No server listens there, or it speaks something else.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// The connection ended.
    #[error("{ended}{}", last_words(.said.as_deref()))]
    Ended {
        ended: Ended,
        /// What the server said unasked before.
        said: Option<String>,
    },
    /// A connection without a handshake ended without a word, which is also how a port for TLS or WebSocket takes a
    /// login.
    #[error("{0}{1}")]
    Speechless(Ended, &'static str),
    /// What came after a login without a handshake is another protocol's way to refuse it.
    #[error("{0}")]
    OtherProtocol(WrongProtocol),
    /// No reply in time.
    #[error("no reply within {0:?}: the server hangs{1}")]
    TimedOut(Duration, &'static str),
    /// A text that no request asked for: replies can no longer be matched to requests.
    #[error("the server sent `{0}`, which no request asked for")]
    Unasked(String),
    /// The server refused the login.
    #[error("login refused: the server answered `{0}`")]
    LoginRefused(String),
    #[error("the user name `{0}` is taken: choose another one")]
    NameTaken(String),
    /// The server does not take it as a name.
    #[error("this server does not accept `{0}` as a user name: a name is one word of 1 to 64 bytes")]
    NoName(String),
    /// The server did not grant the manager's role.
    #[error("--manager: the server answered `{0}`")]
    UpgradeRefused(String),
}

fn last_words(said: Option<&str>) -> String {
    said.map(|said| format!(" ({said})")).unwrap_or_default()
}

/// An open connection with at most one request outstanding.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    timeout: Duration,
    /// What else a missing reply may mean; empty once one has come, since then the framing is the right one.
    framing_advice: &'static str,
    inbox: Inbox,
}

impl Client {
    /// Connects, without logging in.
    ///
    /// # Errors
    /// If no server speaks the transport there within `timeout`, which also bounds the wait for every reply.
    pub async fn open(endpoint: &Endpoint, timeout: Duration) -> Result<Self, ClientError> {
        let connection = endpoint.connect(Arc::new(Traffic::default()), timeout).await?;
        let framing_advice = other_framings(endpoint.transport());
        Ok(Self { connection, timeout, framing_advice, inbox: Inbox::default() })
    }

    /// Logs in under this name.
    ///
    /// # Errors
    /// [`ClientError::NameTaken`] and [`ClientError::NoName`] leave a session that may try again.
    pub async fn log_in(&mut self, name: &str) -> Result<(), ClientError> {
        let is_unproved = self.connection.is_unproved();
        let reply = self.ask(name).await.map_err(|error| match error {
            ClientError::Ended { ended, said: None } if is_unproved => match advice_on_close(&ended) {
                Some(advice) => ClientError::Speechless(ended, advice),
                None => ClientError::Ended { ended, said: None },
            },
            error => error,
        })?;
        if is_unproved && let Some(foreign) = WrongProtocol::detect(&reply) {
            return Err(ClientError::OtherProtocol(foreign));
        }
        match reply.as_str() {
            texts::SUCCESS => Ok(()),
            texts::DUPLICATE_USER_NAME => Err(ClientError::NameTaken(name.to_owned())),
            texts::WRONG_FORMAT => Err(ClientError::NoName(name.to_owned())),
            _ => Err(ClientError::LoginRefused(reply)),
        }
    }

    /// Logs in under a random name, which is almost certainly free.
    pub async fn log_in_under_own_name(&mut self) -> Result<(), ClientError> {
        let mut outcome = Ok(());
        for _ in 0..OWN_NAMES_MAX {
            // The standard library's keys are the system's randomness.
            let random = std::hash::RandomState::new().build_hasher().finish();
            outcome = self.log_in(&format!("client-{}-{random:016x}", std::process::id())).await;
            if !matches!(outcome, Err(ClientError::NameTaken(_))) {
                break;
            }
        }
        outcome
    }

    /// Becomes a manager, with the secret if there is one.
    ///
    /// # Errors
    /// [`ClientError::UpgradeRefused`] if the server does not grant it.
    pub async fn upgrade(&mut self, secret: Option<&str>) -> Result<(), ClientError> {
        let reply = self.ask(&upgrade_message(secret)).await?;
        match reply.as_str() {
            texts::UPGRADED | texts::ALREADY_MANAGER => Ok(()),
            _ => Err(ClientError::UpgradeRefused(reply)),
        }
    }

    /// One request and its reply.
    ///
    /// # Errors
    /// If no reply comes, or the reply says that the server has ended the session.
    pub async fn ask(&mut self, message: &str) -> Result<String, ClientError> {
        if let Some(unasked) = self.inbox.replies.pop_front() {
            return Err(match kind(&unasked) {
                ReplyKind::Ended => ClientError::Ended { ended: Ended::Closed, said: Some(unasked) },
                _ => ClientError::Unasked(unasked),
            });
        }
        let pushed = self.connection.push(message.as_bytes());
        pushed.map_err(|ended| ClientError::Ended { ended, said: None })?;
        let reply = self.reply().await?;
        self.framing_advice = "";
        if kind(&reply) == ReplyKind::Ended {
            return Err(ClientError::Ended { ended: Ended::Closed, said: Some(reply) });
        }
        Ok(reply)
    }

    async fn reply(&mut self) -> Result<String, ClientError> {
        let Self { connection, inbox, .. } = self;
        let step = |cx: &mut Context<'_>| {
            let result = connection.flush(cx).and_then(|_| connection.drain(cx, inbox));
            match (inbox.replies.pop_front(), result) {
                (Some(reply), _) => Poll::Ready(Ok(reply)),
                (None, Ok(())) => Poll::Pending,
                (None, Err(ended)) => Poll::Ready(Err(ClientError::Ended { ended, said: None })),
            }
        };
        poll_with_timeout(self.timeout, step)
            .await
            .unwrap_or(Err(ClientError::TimedOut(self.timeout, self.framing_advice)))
    }

    /// Waits, while nothing is asked, until the connection has ended. Answers pings meanwhile. May be dropped and
    /// called again.
    pub async fn ended(&mut self) -> ClientError {
        let Self { connection, inbox, .. } = self;
        let drain = |cx: &mut Context<'_>| {
            // A pong that does not fit now goes out at a later turn.
            match connection.flush(cx).and_then(|_| connection.drain(cx, inbox)) {
                Ok(()) => Poll::Pending,
                Err(ended) => Poll::Ready(ended),
            }
        };
        let ended = poll_fn(drain).await;
        ClientError::Ended { ended, said: self.inbox.replies.pop_front() }
    }

    /// Leaves in order: `q`, its reply, the close. Errors no longer matter here.
    pub async fn quit(mut self) {
        if self.ask("q").await.is_ok() {
            // Then the name is free (LIFE-3), and a following client may take it.
            let _ = timeout(self.timeout, self.ended()).await;
        }
    }
}

/// What to try if the first request stays unanswered: flags that were not given.
fn other_framings(transport: Transport) -> &'static str {
    match transport.framing() {
        Framing::Lines if transport.is_encrypted() => ", or speaks another framing (try --ws as well)",
        Framing::Lines => ", or speaks another framing (try --ws or --raw)",
        Framing::Chunks => ", or speaks another framing (try without --raw, or --ws)",
        // The handshake has shown that both sides mean the same.
        Framing::WebSocket => "",
    }
}

/// The message that asks for the manager's role.
#[must_use]
pub fn upgrade_message(secret: Option<&str>) -> String {
    match secret {
        Some(secret) => format!("upgrade {secret}"),
        None => "upgrade".to_owned(),
    }
}

/// Replies that have not been taken yet.
#[derive(Debug, Default)]
struct Inbox {
    replies: VecDeque<String>,
}

impl ReplyHandler for Inbox {
    fn is_whole(&self, bytes: &[u8]) -> bool {
        std::str::from_utf8(bytes).is_ok_and(|text| kind(text) != ReplyKind::Value)
    }

    fn reply(&mut self, reply: Reply<'_>) {
        self.replies.push_back(String::from_utf8_lossy(reply.text).into_owned());
    }
}
