//! Setting one client up: connect, log in, upgrade, preload; and once more in mid-load, after its session has ended.
//!
//! Each step's reply is checked like any other. What goes wrong here ends the pass: a load with fewer clients than
//! asked for would measure something else.

use std::sync::Arc;
use std::time::Duration;

use super::bad_login::is_bad;
use super::context::PassContext;
use super::ending::{self, Ending, closes_again};
use super::flight::{Asked, Incident};
use super::leave::{Left, not_closed, quit, wrong_leaving};
use super::replies::collect;
use super::setup_times::Steps;
use super::wrong_port;
use crate::domain::{Framing, Role, Rule, ViolationKind};
use crate::measure::clock::{self, Nanos};
use crate::oracle::{Expect, Finding, Good, MESSAGE_BYTES, Session, texts};
use crate::scenario::model::Group;
use crate::wire::{
    BrokenHandshake, ConnectError, Connection, Ended, Foreign, HandshakeError, Traffic, speechless,
};

/// A name may stay taken for this long after the close of its last session (LIFE-2).
const NAME_FREE_WITHIN: Duration = Duration::from_secs(5);

/// What a client that tries what must be refused sends right behind `q`: no reply to it may come.
const BEHIND_QUIT: &str = "get m1";

/// Pause between two tries of a name.
const LOGIN_RETRY: Duration = Duration::from_millis(50);

/// Preloading writes so many bytes of requests before it reads their replies: below any socket buffer, so that
/// neither side can block the other.
const PRELOAD_BATCH_BYTES: usize = 16 * 1024;

/// Most requests of a preload's batch; their replies stay small too.
const PRELOAD_BATCH: usize = 256;

/// What to do about a store that takes no more.
const FEWER: &str = ": lower `preload`, or raise the server's limit";

/// What to do about a put that is too long for the server.
const SHORTER: &str = ": use smaller values, or raise the server's message limit";

/// The same, where the server did not say so.
const PERHAPS_SHORTER: &str = ": perhaps the scenario's values are longer than it takes";

/// A client that is ready for the load.
#[derive(Debug)]
pub struct Ready {
    /// Its connection.
    pub connection: Connection,
    /// Its session.
    pub session: Session,
}

/// Why a client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Nobody there, or somebody who speaks something else.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// The connection ended.
    #[error("{step} as `{client}` at {place}: {ended}{advice}")]
    Ended {
        /// What was being done.
        step: &'static str,
        /// User name.
        client: String,
        /// Where.
        place: String,
        /// How it ended.
        ended: Ended,
        /// What it may be.
        advice: &'static str,
    },
    /// The port speaks another protocol.
    #[error("{step} as `{client}` at {place}: {foreign}")]
    Foreign {
        /// What was being done.
        step: &'static str,
        /// User name.
        client: String,
        /// Where.
        place: String,
        /// Which one.
        foreign: Foreign,
    },
    /// No reply in time.
    #[error("{step} as `{client}` at {place}: no reply within {timeout:?}{advice}")]
    TimedOut {
        /// What was being done.
        step: &'static str,
        /// User name.
        client: String,
        /// Where.
        place: String,
        /// The scenario's time-out.
        timeout: Duration,
        /// What it may be.
        advice: &'static str,
    },
    /// A legal refusal that leaves no client.
    #[error("{step} as `{client}` at {place}: the server answered `{reply}`{advice}")]
    Refused {
        /// What was being done.
        step: &'static str,
        /// User name.
        client: String,
        /// Where.
        place: String,
        /// The refusal.
        reply: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// An illegal reply.
    #[error("{step} as `{}`: expected {}, seen `{}`", .incident.violation().client,
        .incident.violation().expected, .incident.violation().seen)]
    Violated {
        /// What was being done.
        step: &'static str,
        /// All about it.
        incident: Box<Incident>,
    },
}

impl SetupError {
    /// Of a login that the server should have refused.
    #[must_use]
    pub fn refusing(incident: Incident) -> Self {
        violated("trying a bad login", incident)
    }

    /// Whether the server had no room, which it has as soon as it knows of a client's end (TCP-6, WS-6).
    fn is_full(&self) -> bool {
        match self {
            Self::Refused { reply, .. } => reply == texts::SERVER_FULL,
            Self::Connect(ConnectError::Handshake(_, HandshakeError::Refused { status })) => *status == 503,
            _ => false,
        }
    }
}

/// Sets up client `index`.
///
/// # Errors
/// Where it cannot take part.
pub async fn set_up(
    context: &PassContext,
    index: u32,
    traffic: Arc<Traffic>,
    steps: &mut Steps,
) -> Result<Ready, SetupError> {
    let mut client = SettingUp::connect(context, index, traffic, steps).await?;
    client.enter(clock::now() + clock::nanos(NAME_FREE_WITHIN), steps).await?;
    let preload = client.group().preload;
    if preload > 0 {
        steps.preload = Some(client.preload(preload).await?);
    }
    Ok(client.ready())
}

/// Ends client `index`'s session in this way and begins its next one, whose store is empty: nothing is preloaded.
///
/// # Errors
/// Where it cannot go on.
pub async fn renew(
    context: &PassContext,
    index: u32,
    connection: Connection,
    ending: Ending,
    traffic: Arc<Traffic>,
    steps: &mut Steps,
) -> Result<Ready, SetupError> {
    context.world.set_ending(index);
    // Where the close after `exiting` has been seen, the name must be free (LIFE-3): no patience.
    let give_up_at = match ending {
        Ending::Quit => {
            steps.quit = Some(log_out(context, index, connection).await?);
            context.world.set_ended(index);
            0
        }
        Ending::Close => {
            ending::close(connection).await;
            clock::now() + clock::nanos(NAME_FREE_WITHIN)
        }
        Ending::Reset => {
            connection.reset();
            clock::now() + clock::nanos(NAME_FREE_WITHIN)
        }
    };
    let full_until = clock::now() + clock::nanos(NAME_FREE_WITHIN);
    let mut client = loop {
        match SettingUp::again(context, index, ending, give_up_at, traffic.clone(), steps).await {
            Err(error) if error.is_full() && clock::now() < full_until => {
                let finding = context.world.set_refused(index).err();
                if let Some(finding) = finding {
                    let who = (index, Role::Guest);
                    let seen = texts::SERVER_FULL.as_bytes();
                    let asked = Asked::NextLogin(ending);
                    let incident = Incident::of_session(context, who, finding, asked, seen, clock::now());
                    return Err(violated("logging in again", incident));
                }
                tokio::time::sleep(LOGIN_RETRY).await;
            }
            client => break client?,
        }
    };
    client.is_a_guest(ending).await?;
    client.take_role(steps).await?;
    Ok(client.ready())
}

/// Ends a session by `q`; how long the reply took.
async fn log_out(context: &PassContext, index: u32, mut connection: Connection) -> Result<Nanos, SetupError> {
    const STEP: &str = "logging out";
    let timeout = context.scenario.timeout;
    let begun = clock::now();
    let group = &context.scenario.groups[usize::from(context.world.client(index).group)];
    let who = (index, group.role);
    // Over lines no reset may overtake the reply to `q`, whatever is not read behind it (TCP-8).
    let lines = context.endpoint(index).transport().framing() == Framing::Lines;
    let behind = (lines && is_bad(group)).then_some(BEHIND_QUIT);
    let wrong = |asked: Asked, seen: &str| {
        let finding = wrong_leaving(&asked);
        let incident = Incident::of_session(context, who, finding, asked, seen.as_bytes(), clock::now());
        violated(STEP, incident)
    };
    match quit(&mut connection, behind, timeout, timeout).await {
        Left::Answered { reply, .. } if reply != texts::EXITING => Err(wrong(Asked::Quit, &reply)),
        Left::Answered { more: Some(more), .. } => Err(wrong(Asked::AfterQuit(behind), &more)),
        Left::Answered { closed: false, .. } => Err(wrong(Asked::Close, &not_closed(timeout))),
        Left::Answered { at, closed: true, .. } => Ok((at - begun).max(1)),
        Left::Unanswered(Some(ended)) if ended.is_close() && closes_again(context, who, b"q").await => {
            Err(wrong(Asked::Quit, &ended.to_string()))
        }
        Left::Unanswered(Some(ended)) => {
            let client = context.world.client(index).name.clone();
            let place = context.endpoint(index).to_string();
            Err(SetupError::Ended { step: STEP, client, place, ended, advice: "" })
        }
        Left::Unanswered(None) => Err(step_timed_out(context, index, STEP, "")),
    }
}

struct SettingUp<'a> {
    context: &'a PassContext,
    index: u32,
    connection: Connection,
    session: Session,
    /// What the next reply answers.
    asked: Asked,
    /// Whether the last request was longer than every server takes.
    long: bool,
}

impl<'a> SettingUp<'a> {
    async fn connect(
        context: &'a PassContext,
        index: u32,
        traffic: Arc<Traffic>,
        steps: &mut Steps,
    ) -> Result<Self, SetupError> {
        let endpoint = context.endpoint(index);
        let begun = clock::now();
        let connected = endpoint.connect(traffic, context.scenario.timeout).await;
        let connection = connected.map_err(|error| not_connected(context, index, error))?;
        steps.connect = Some((clock::now() - begun).max(1));
        let session = Session::new(&context.world, index);
        Ok(Self { context, index, connection, session, asked: Asked::Login, long: false })
    }

    /// Connects and logs in after a session's end. The name may be taken until `give_up_at`.
    async fn again(
        context: &'a PassContext,
        index: u32,
        ending: Ending,
        give_up_at: Nanos,
        traffic: Arc<Traffic>,
        steps: &mut Steps,
    ) -> Result<Self, SetupError> {
        let mut client = Self::connect(context, index, traffic, steps).await?;
        client.asked = Asked::NextLogin(ending);
        steps.login = Some(client.log_in(give_up_at).await?);
        context.world.set_live(index);
        Ok(client)
    }

    /// Logs in and, a manager, upgrades. The name may be taken until `give_up_at`.
    async fn enter(&mut self, give_up_at: Nanos, steps: &mut Steps) -> Result<(), SetupError> {
        steps.login = Some(self.log_in(give_up_at).await?);
        self.context.world.set_live(self.index);
        self.take_role(steps).await
    }

    /// A manager upgrades.
    async fn take_role(&mut self, steps: &mut Steps) -> Result<(), SetupError> {
        if self.group().role == Role::Manager {
            steps.upgrade = Some(self.upgrade().await?);
        }
        Ok(())
    }

    /// Whatever its last session was, a new one is a guest's (ROLE-1): it may not even read its own key as another's.
    async fn is_a_guest(&mut self, ending: Ending) -> Result<(), SetupError> {
        const STEP: &str = "logging in again";
        let mut request = Vec::new();
        let expect = self.session.get_other(&self.context.world, Some(self.index), Some(0), &mut request);
        self.asked = Asked::First(ending, expect);
        let (reply, _) = self.ask(STEP, &request).await?;
        match self.session.judge(&self.context.world, expect, reply.as_bytes()) {
            Ok(_) => Ok(()),
            Err(mut finding) => {
                finding.rule = Rule::Role1;
                Err(self.violated(STEP, finding, &reply))
            }
        }
    }

    fn group(&self) -> &'a Group {
        let plan = self.context.plan.clients[self.index as usize];
        &self.context.scenario.groups[usize::from(plan.group)]
    }

    fn ready(mut self) -> Ready {
        self.connection.shrink();
        Ready { connection: self.connection, session: self.session }
    }

    async fn log_in(&mut self, give_up_at: Nanos) -> Result<Nanos, SetupError> {
        const STEP: &str = "logging in";
        let name = self.name();
        loop {
            let begun = clock::now();
            let (reply, at) = self.ask(STEP, name.as_bytes()).await?;
            if self.may_be_elsewhere()
                && let Some(foreign) = Foreign::of(&reply)
            {
                let place = self.place();
                return Err(SetupError::Foreign { step: STEP, client: name, place, foreign });
            }
            match reply.as_str() {
                texts::SUCCESS => return Ok((at - begun).max(1)),
                texts::DUPLICATE_USER_NAME if at < give_up_at => {
                    let context = self.context;
                    context
                        .world
                        .set_refused(self.index)
                        .map_err(|finding| self.violated(STEP, finding, &reply))?;
                    tokio::time::sleep(LOGIN_RETRY).await;
                    self.session = Session::new(&context.world, self.index);
                }
                texts::DUPLICATE_USER_NAME => {
                    let rule = match self.asked {
                        Asked::NextLogin(Ending::Quit) => Rule::Life3,
                        Asked::NextLogin(Ending::Close | Ending::Reset) => Rule::Life2,
                        _ => Rule::Login1,
                    };
                    return Err(self.violated(STEP, wrong(rule, texts::SUCCESS), &reply));
                }
                texts::SERVER_FULL | texts::LOGIN_TIMEOUT => {
                    return Err(self.refused(STEP, reply, ": it bears fewer clients than the scenario has"));
                }
                _ => return Err(self.violated(STEP, wrong(Rule::Login1, texts::SUCCESS), &reply)),
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
            Err(finding) => Err(self.violated(STEP, wrong(finding.rule, texts::UPGRADED), &reply)),
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
                expected.push(self.session.put(&self.context.world, next, &mut message));
                bytes += message.len();
                self.long |= message.len() > MESSAGE_BYTES;
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
                        let advice = if self.session.was_too_long() { SHORTER } else { FEWER };
                        return Err(self.refused(STEP, reply, advice));
                    }
                    Ok(_) => {}
                    Err(finding) => {
                        self.asked = Asked::Request(expect, None, Vec::new());
                        return Err(self.violated(STEP, wrong(finding.rule, texts::DONE), &reply));
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
            Err(None) => {
                let advice = match &self.asked {
                    _ if self.long => PERHAPS_SHORTER,
                    Asked::Login => wrong_port::unanswered(&self.connection),
                    _ => "",
                };
                Err(step_timed_out(self.context, self.index, step, advice))
            }
        }
    }

    fn place(&self) -> String {
        self.context.endpoint(self.index).to_string()
    }

    fn name(&self) -> String {
        self.context.world.client(self.index).name.clone()
    }

    /// Whether the port may be one for something else: nothing has come from it, and no handshake was made.
    fn may_be_elsewhere(&self) -> bool {
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
                    ended => speechless(ended).filter(|_| self.may_be_elsewhere()).unwrap_or_default(),
                };
                let place = self.place();
                SetupError::Ended { step, client: self.name(), place, ended, advice }
            }
        }
    }

    fn refused(&self, step: &'static str, reply: String, advice: &'static str) -> SetupError {
        let place = self.place();
        SetupError::Refused { step, client: self.name(), place, reply, advice }
    }

    fn violated(&self, step: &'static str, finding: Finding, seen: &str) -> SetupError {
        let (context, asked, seen, now) = (self.context, self.asked.clone(), seen.as_bytes(), clock::now());
        let incident = if let Asked::Request(..) = asked {
            Incident::new(context, &self.session, finding, asked, seen, now)
        } else {
            let who = (self.index, self.session.role());
            Incident::of_session(context, who, finding, asked, seen, now)
        };
        violated(step, incident)
    }
}

/// A server that takes WebSocket's handshake and breaks its rules is there, and wrong.
fn not_connected(context: &PassContext, index: u32, error: ConnectError) -> SetupError {
    let broken = match &error {
        ConnectError::Handshake(_, error) => error.broken(),
        _ => None,
    };
    let Some(BrokenHandshake { expected, seen }) = broken else { return error.into() };
    let finding = Finding::new(ViolationKind::BrokenHandshake, Rule::Ws2, expected);
    let who = (index, Role::Guest);
    violated(
        "connecting",
        Incident::of_session(context, who, finding, Asked::Handshake, seen.as_bytes(), clock::now()),
    )
}

fn wrong(rule: Rule, expected: &str) -> Finding {
    Finding::new(ViolationKind::WrongReply, rule, format!("`{expected}`"))
}

fn violated(step: &'static str, incident: Incident) -> SetupError {
    SetupError::Violated { step, incident: Box::new(incident) }
}

fn step_timed_out(context: &PassContext, index: u32, step: &'static str, advice: &'static str) -> SetupError {
    let client = context.world.client(index).name.clone();
    SetupError::TimedOut {
        step,
        client,
        place: context.endpoint(index).to_string(),
        timeout: context.scenario.timeout,
        advice,
    }
}
