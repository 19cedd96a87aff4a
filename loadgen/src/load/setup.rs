//! Setting one client up and closing it: connect, log in, upgrade, preload, and in the end `q`.
//!
//! Each step's reply is checked like any other. What goes wrong here ends the pass: a load with fewer clients than
//! asked for would measure something else.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::context::PassContext;
use super::flight::{Asked, Incident};
use crate::measure::clock::{self, Nanos};
use crate::oracle::{Expect, Finding, Good, Session, texts};
use crate::record::{Latencies, Violation};
use crate::scenario::model::Role;
use crate::wire::{ConnectError, Connection, Ended, Replies, Reply, Traffic, wait};

/// A name may stay taken for this long after the close of its last session (LIFE-2).
const NAME_FREE_WITHIN: Duration = Duration::from_secs(5);

/// Pause between two tries of a name.
const LOGIN_RETRY: Duration = Duration::from_millis(50);

/// Preloading writes so many bytes of requests before it reads their replies: below any socket buffer, so that
/// neither side can block the other.
const PRELOAD_BATCH_BYTES: usize = 16 * 1024;

/// Most requests of a preload's batch; their replies stay small too.
const PRELOAD_BATCH: usize = 256;

/// A client that is ready for the load.
#[derive(Debug)]
pub struct Ready {
    /// Its connection.
    pub connection: Connection,
    /// Its session.
    pub session: Session,
}

/// Times of the steps, over all clients of one transport and worker.
#[derive(Debug, Default)]
pub struct SetupTimes {
    /// Clients set up.
    pub clients: u32,
    /// Connect with handshake.
    pub connect: Latencies,
    /// Login.
    pub login: Latencies,
    /// Upgrade.
    pub upgrade: Latencies,
    /// Preload of one client.
    pub preload: Latencies,
}

impl SetupTimes {
    /// Adds the other's times to these.
    pub fn merge(&mut self, other: &Self) {
        self.clients += other.clients;
        self.connect.merge(&other.connect);
        self.login.merge(&other.login);
        self.upgrade.merge(&other.upgrade);
        self.preload.merge(&other.preload);
    }
}

/// Why a client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Nobody there, or no WebSocket.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// The connection ended.
    #[error("{step} as `{client}`: {ended}")]
    Ended {
        /// What was being done.
        step: &'static str,
        /// User name.
        client: String,
        /// How it ended.
        ended: Ended,
    },
    /// No reply in time.
    #[error("{step} as `{client}`: no reply within {timeout:?}")]
    TimedOut {
        /// What was being done.
        step: &'static str,
        /// User name.
        client: String,
        /// The scenario's time-out.
        timeout: Duration,
    },
    /// A legal refusal that leaves no client.
    #[error("{step} as `{client}`: the server answered `{reply}`{advice}")]
    Refused {
        /// What was being done.
        step: &'static str,
        /// User name.
        client: String,
        /// The refusal.
        reply: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// An illegal reply.
    #[error("{step} as `{}`: expected {}, seen `{}`", .violation.client, .violation.expected, .violation.seen)]
    Violated {
        /// What was being done.
        step: &'static str,
        /// All about it.
        violation: Box<Violation>,
    },
}

/// Sets up client `index`.
///
/// # Errors
/// Where it cannot take part.
pub async fn set_up(
    context: &PassContext,
    index: u32,
    traffic: Arc<Traffic>,
    times: &mut SetupTimes,
) -> Result<Ready, SetupError> {
    let plan = context.plan.clients[index as usize];
    let group = &context.scenario.groups[usize::from(plan.group)];
    let endpoint = &context.endpoints[usize::from(plan.transport)];
    let begun = clock::now();
    let connection = tokio::time::timeout(context.scenario.timeout, endpoint.connect(traffic))
        .await
        .map_err(|_| step_timed_out(context, index, "connecting"))??;
    times.connect.record((clock::now() - begun).max(1));

    let session = Session::new(&context.world, index);
    let mut client = SettingUp { context, index, connection, session, asked: Asked::Login };
    times.login.record(client.log_in().await?);
    context.world.set_live(index);
    if group.role == Role::Manager {
        times.upgrade.record(client.upgrade().await?);
    }
    if group.preload > 0 {
        times.preload.record(client.preload(group.preload).await?);
    }
    times.clients += 1;
    Ok(Ready { connection: client.connection, session: client.session })
}

struct SettingUp<'a> {
    context: &'a PassContext,
    index: u32,
    connection: Connection,
    session: Session,
    /// What the next reply answers.
    asked: Asked,
}

impl SettingUp<'_> {
    async fn log_in(&mut self) -> Result<Nanos, SetupError> {
        const STEP: &str = "logging in";
        let name = self.name();
        let give_up_at = clock::now() + clock::nanos(NAME_FREE_WITHIN);
        loop {
            let begun = clock::now();
            let (reply, at) = self.ask(STEP, name.as_bytes()).await?;
            match reply.as_str() {
                texts::SUCCESS => return Ok((at - begun).max(1)),
                texts::DUPLICATE_USER_NAME if at < give_up_at => tokio::time::sleep(LOGIN_RETRY).await,
                texts::SERVER_FULL | texts::LOGIN_TIMEOUT => {
                    return Err(self.refused(STEP, reply, ": it bears fewer clients than the scenario has"));
                }
                _ => return Err(self.violated(STEP, "LOGIN-1", texts::SUCCESS, &reply)),
            }
        }
    }

    async fn upgrade(&mut self) -> Result<Nanos, SetupError> {
        const STEP: &str = "upgrading";
        let expect = Expect::Upgrade;
        self.asked = Asked::Request(expect, None, Vec::new());
        let begun = clock::now();
        let (reply, at) = self.ask(STEP, b"upgrade").await?;
        match self.session.judge(&self.context.world, expect, reply.as_bytes()) {
            Ok(Good::Refused) => {
                Err(self.refused(STEP, reply, ": the scenario has managers, and this server grants none"))
            }
            Ok(_) => Ok((at - begun).max(1)),
            Err(_) => Err(self.violated(STEP, "ROLE-4", texts::UPGRADED, &reply)),
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
            while next < keys && expected.len() < depth && bytes < PRELOAD_BATCH_BYTES {
                message.clear();
                expected.push(self.session.put(&self.context.world, next, &mut message));
                bytes += message.len();
                self.connection.push(&message).map_err(|ended| self.ended(STEP, ended))?;
                next += 1;
            }
            let mut replies = Vec::with_capacity(expected.len());
            while replies.len() < expected.len() {
                self.asked = Asked::Request(expected[replies.len()], None, Vec::new());
                // One at a time: the time-out is each request's own, not the batch's.
                replies.extend(self.collect(STEP, 1).await?);
            }
            for (expect, (reply, at)) in expected.into_iter().zip(replies) {
                end = at;
                match self.session.judge(&self.context.world, expect, reply.as_bytes()) {
                    Ok(Good::Refused) => {
                        return Err(self.refused(
                            STEP,
                            reply,
                            ": lower `preload`, or raise the server's limit",
                        ));
                    }
                    Ok(_) => {}
                    Err(finding) => {
                        self.asked = Asked::Request(expect, None, Vec::new());
                        return Err(self.violated(STEP, finding.rule, texts::DONE, &reply));
                    }
                }
            }
        }
        Ok((end - begun).max(1))
    }

    /// One request, one reply.
    async fn ask(&mut self, step: &'static str, message: &[u8]) -> Result<(String, Nanos), SetupError> {
        self.connection.push(message).map_err(|ended| self.ended(step, ended))?;
        let mut replies = self.collect(step, 1).await?;
        Ok(replies.swap_remove(0))
    }

    async fn collect(
        &mut self,
        step: &'static str,
        count: usize,
    ) -> Result<Vec<(String, Nanos)>, SetupError> {
        match collect(&mut self.connection, count, self.context.scenario.timeout).await {
            Ok(replies) => Ok(replies),
            Err(Some(ended)) => Err(self.ended(step, ended)),
            Err(None) => Err(step_timed_out(self.context, self.index, step)),
        }
    }

    fn name(&self) -> String {
        self.context.world.client(self.index).name.clone()
    }

    fn ended(&self, step: &'static str, ended: Ended) -> SetupError {
        match ended {
            Ended::Framing { rule, what } => self.violated(step, rule, "a well-formed reply", &what),
            ended => SetupError::Ended { step, client: self.name(), ended },
        }
    }

    fn refused(&self, step: &'static str, reply: String, advice: &'static str) -> SetupError {
        SetupError::Refused { step, client: self.name(), reply, advice }
    }

    fn violated(&self, step: &'static str, rule: &'static str, expected: &str, seen: &str) -> SetupError {
        let finding = Finding { kind: "wrong reply", rule, expected: format!("`{expected}`") };
        let incident = Incident::new(
            self.context,
            &self.session,
            finding,
            self.asked.clone(),
            seen.as_bytes(),
            clock::now(),
        );
        let violation = incident.into_violation(self.context);
        SetupError::Violated { step, violation: Box::new(violation) }
    }
}

fn step_timed_out(context: &PassContext, index: u32, step: &'static str) -> SetupError {
    let client = context.world.client(index).name.clone();
    SetupError::TimedOut { step, client, timeout: context.scenario.timeout }
}

/// Ends a session with `q` and waits for the close; the reply, where one came in time.
pub async fn quit(connection: &mut Connection, timeout: Duration) -> Option<String> {
    connection.push(b"q").ok()?;
    let mut replies = collect(connection, 1, timeout).await.ok()?;
    let (reply, _) = replies.swap_remove(0);
    let closed = poll_fn(|cx| match connection.drain(cx, &mut Kept::default()) {
        Ok(()) => Poll::Pending,
        Err(_) => Poll::Ready(()),
    });
    // Waiting for the close keeps the server, not us, from having to tell a reset from an end.
    let _ = tokio::time::timeout(timeout, closed).await;
    Some(reply)
}

/// Writes what is queued and waits for so many replies. The error is `None` for a time-out.
async fn collect(
    connection: &mut Connection,
    count: usize,
    timeout: Duration,
) -> Result<Vec<(String, Nanos)>, Option<Ended>> {
    let mut kept = Kept::default();
    let step = |cx: &mut Context<'_>| {
        let result = connection.flush(cx).and_then(|_| connection.drain(cx, &mut kept));
        match result {
            _ if kept.0.len() >= count => Poll::Ready(Ok(std::mem::take(&mut kept.0))),
            Ok(()) => Poll::Pending,
            Err(ended) => Poll::Ready(Err(ended)),
        }
    };
    match wait(timeout, step).await {
        Some(outcome) => outcome.map_err(Some),
        None => Err(None),
    }
}

/// Keeps replies as text. Whatever reads like one of the protocol's texts is whole.
#[derive(Default)]
struct Kept(Vec<(String, Nanos)>);

impl Replies for Kept {
    fn is_whole(&self, bytes: &[u8]) -> bool {
        const WHOLE: [&str; 7] = [
            texts::SUCCESS,
            texts::DUPLICATE_USER_NAME,
            texts::DONE,
            texts::UPGRADED,
            texts::UPGRADE_REFUSED,
            texts::STORE_FULL,
            texts::EXITING,
        ];
        WHOLE.iter().any(|text| text.as_bytes() == bytes)
    }

    fn reply(&mut self, reply: Reply<'_>) {
        self.0.push((String::from_utf8_lossy(reply.text).into_owned(), reply.at));
    }
}
