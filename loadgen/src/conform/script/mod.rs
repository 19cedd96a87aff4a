//! Runs one case once, over one transport and in one cutting: does its steps, and compares what comes back.

mod connections;
mod incoming;
mod outgoing;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::try_join_all;
use rand::{RngExt as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;
use tokio::sync::{Barrier, Mutex};
use tokio::time::Instant;

use super::case::model::{Action, Case, Cut, Expectation, Need, OperatorAction, Step, Text, Times};
use super::channel::{self, Channel, Event};
use super::cutting::{self, Cutting};
use super::failure::{Failure, FailureKind, Shown};
use super::profile::{Policy, Profile};
use super::transcript::{Entry, Transcript};
use crate::domain::{Framing, Role, Rule, Transport};
use crate::oracle::texts;
use crate::wire::Endpoint;
use incoming::shown;
use outgoing::{Segments, unique_name};

/// How long a reply too many is waited for at a case's end.
const UNASKED_WITHIN: Duration = Duration::from_millis(2);

/// Between two tries of a step that is retried.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// How long a login is tried again after its user has closed or reset the connection (LIFE-2).
const NAME_FREE_WITHIN: Duration = Duration::from_secs(5);

/// From here on a step that was retried is late (LIFE-2).
const LATE_AFTER: Duration = Duration::from_secs(1);

/// The server that a case runs against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Against<'a> {
    /// One for each transport that it offers.
    pub(super) endpoints: &'a [Endpoint],
    pub(super) profile: &'a Profile,
    /// The longest that one expectation may take.
    pub(super) timeout: Duration,
}

/// How one run of a case ended.
#[derive(Debug)]
pub(super) enum Ending {
    Passed,
    /// It passed, but something that should be quick took longer than a second.
    Late(String),
    Failed(Box<Failure>),
    /// This machine could not run it.
    Unknown(String),
}

/// Runs a case once.
pub(super) async fn run(
    case: &Case,
    transport: Transport,
    cutting: Cutting,
    against: Against<'_>,
    seed: u64,
) -> (Ending, Vec<Entry>) {
    let script = Script::new(case, transport, cutting, against, seed);
    let ending = match script.run().await {
        Ok(()) => match script.late.take() {
            Some(late) => Ending::Late(late),
            None => Ending::Passed,
        },
        Err(Stop::Failed(failure)) => Ending::Failed(failure),
        Err(Stop::Machine(why)) => Ending::Unknown(why),
    };
    (ending, script.transcript.take())
}

/// Why a run stops.
enum Stop {
    Failed(Box<Failure>),
    Machine(String),
}

/// Where in the case the interpreter is.
#[derive(Clone, Copy)]
struct At<'a> {
    /// Numbers of the steps around and this one, from 1; empty in the set-up.
    path: &'a [usize],
    /// Round of the innermost repeat.
    round: u32,
    barrier: Option<&'a Barrier>,
    /// Takes the replies of steps under `together` that have no expectation of their own.
    counted: Option<&'a RefCell<Vec<Vec<u8>>>>,
}

const SET_UP: At<'static> = At { path: &[], round: 0, barrier: None, counted: None };

struct Script<'a> {
    case: &'a Case,
    transport: Transport,
    cutting: Cutting,
    against: Against<'a>,
    transcript: Transcript,
    /// Real user names, by client.
    names: Vec<String>,
    words: RefCell<BTreeMap<String, String>>,
    draw: RefCell<Xoshiro256PlusPlus>,
    /// What the last `{fill-to:…}` became.
    filled: RefCell<Vec<u8>>,
    /// Where the letters of fills begin, so that two runs have different ones.
    fill_from: usize,
    channels: Vec<Mutex<Option<Channel>>>,
    /// Whether a client has ended its connection itself, other than by `q`: its name may stay taken for a while (LIFE-2).
    left: Vec<Cell<bool>>,
    /// Whether a client has sent something for which the case expects no reply in particular.
    unjudged: Vec<Cell<bool>>,
    /// Number of the first message of each step, as [`cutting`] counts them.
    numbers: HashMap<*const Step, usize>,
    /// What each client sent last, for people.
    last_sent: Vec<RefCell<Vec<u8>>>,
    late: RefCell<Option<String>>,
}

impl<'a> Script<'a> {
    fn new(case: &'a Case, transport: Transport, cutting: Cutting, against: Against<'a>, seed: u64) -> Self {
        let mut draw = Xoshiro256PlusPlus::seed_from_u64(seed);
        let clients = case.clients.len();
        let mut numbers = HashMap::new();
        number(&case.steps, &mut 0, &mut numbers);
        Self {
            case,
            transport,
            cutting,
            against,
            transcript: Transcript::begin(),
            names: case
                .clients
                .iter()
                .map(|client| unique_name(&client.name, against.profile.name_max))
                .collect(),
            words: RefCell::default(),
            fill_from: draw.random_range(0..26),
            draw: RefCell::new(draw),
            filled: RefCell::default(),
            channels: (0..clients).map(|_| Mutex::new(None)).collect(),
            left: vec![Cell::new(false); clients],
            unjudged: vec![Cell::new(false); clients],
            numbers,
            last_sent: vec![RefCell::default(); clients],
            late: RefCell::default(),
        }
    }

    async fn run(&self) -> Result<(), Stop> {
        for (client, options) in self.case.clients.iter().enumerate() {
            // One that does not log in is connected when it first acts: a server may wait for its name, and serve nobody else.
            if options.connect && options.login {
                self.connect(client).await?;
                self.set_up(client, self.names[client].as_bytes(), texts::SUCCESS).await?;
                if options.role == Role::Manager {
                    self.upgrade(client).await?;
                }
            }
        }
        self.steps(&self.case.steps, SET_UP).await?;
        self.nothing_unasked().await
    }

    /// Makes a client a manager as the profile's policy allows.
    async fn upgrade(&self, client: usize) -> Result<(), Stop> {
        let message = match &self.against.profile.upgrade {
            Policy::Open => "upgrade".to_owned(),
            Policy::Secret(secret) => format!("upgrade {secret}"),
            Policy::Closed => return self.operator(client, OperatorAction::Promote, SET_UP).await,
        };
        self.set_up(client, message.as_bytes(), texts::UPGRADED).await
    }

    /// Sends a message before the first step, whose reply must be this one.
    async fn set_up(&self, client: usize, message: &[u8], reply: &str) -> Result<(), Stop> {
        let mut bytes = Vec::new();
        channel::message(self.framing(client), message, &mut bytes);
        self.note_sent(client, message);
        self.write(client, &[bytes], Duration::ZERO).await;
        let deadline = Instant::now() + self.against.timeout;
        self.reply(client, &[reply.as_bytes().to_vec()], deadline, SET_UP).await.map(drop)
    }

    /// Whatever came that no step asked for is a reply too many (FORM-3).
    async fn nothing_unasked(&self) -> Result<(), Stop> {
        for (client, channel) in self.channels.iter().enumerate() {
            let mut channel = channel.lock().await;
            let Some(channel) = channel.as_mut().filter(|_| !self.unjudged[client].get()) else { continue };
            if channel.framing() == Framing::Chunks {
                continue;
            }
            let until = Instant::now() + UNASKED_WITHIN;
            let mut event = channel.next(until).await;
            while let Some(Event::Pong(_)) = event {
                event = channel.next(until).await;
            }
            let unasked = match &event {
                Some(Event::Reply { .. }) => Some(Rule::Form3),
                Some(Event::Broken { rule, .. }) => Some(*rule),
                _ => None,
            };
            if let (Some(rule), Some(event)) = (unasked, event) {
                let expected = Shown::Words("nothing more".to_owned());
                return Err(self.failed(
                    client,
                    expected,
                    shown(&event),
                    FailureKind::Wrong,
                    Some(rule),
                    SET_UP,
                ));
            }
        }
        Ok(())
    }

    fn steps<'s>(
        &'s self,
        steps: &'s [Step],
        around: At<'s>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Stop>> + 's>> {
        Box::pin(async move {
            let mut index = 0;
            while index < steps.len() {
                let joined = match self.cutting {
                    Cutting::OneWrite if !self.is_raw(&steps[index]) => cutting::run_length(&steps[index..]),
                    _ => 1,
                };
                let path = [around.path, &[index + 1]].concat();
                let at = At { path: &path, ..around };
                if joined > 1 {
                    self.one_write(&steps[index..index + joined], at).await?;
                } else {
                    self.step(&steps[index], at).await?;
                }
                index += joined.max(1);
            }
            Ok(())
        })
    }

    fn is_raw(&self, step: &Step) -> bool {
        step.client.is_some_and(|client| self.framing(client) == Framing::Chunks)
    }

    /// Sends what several steps send in one write, then looks at their replies.
    async fn one_write(&self, steps: &[Step], at: At<'_>) -> Result<(), Stop> {
        let Some(client) = steps[0].client else { return Ok(()) };
        self.connected(client).await?;
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for step in steps {
            let Action::Send { messages, .. } = &step.action else { continue };
            for text in messages {
                let text = self.render(text, at);
                channel::message(self.framing(client), &text, &mut bytes);
                self.note_sent(client, &text);
            }
            expected.push(step.expect.as_ref().map(|expect| self.replies_of(expect, at)));
        }
        self.write(client, &[bytes], Duration::ZERO).await;
        for (index, replies) in expected.into_iter().enumerate() {
            let mut path = at.path.to_vec();
            if let Some(last) = path.last_mut() {
                *last += index;
            }
            let at = At { path: &path, ..at };
            for reply in replies.unwrap_or_default() {
                let deadline = Instant::now() + self.against.timeout;
                self.reply(client, &reply, deadline, at).await?;
            }
        }
        Ok(())
    }

    /// The replies that an expectation of replies asks for, each with its alternatives.
    fn replies_of(&self, expect: &Expectation, at: At<'_>) -> Vec<Vec<Vec<u8>>> {
        match expect {
            Expectation::Replies(texts) => texts.iter().map(|text| vec![self.render(text, at)]).collect(),
            Expectation::Any(texts) => vec![texts.iter().map(|text| self.render(text, at)).collect()],
            _ => Vec::new(),
        }
    }

    async fn step(&self, step: &Step, at: At<'_>) -> Result<(), Stop> {
        match (&step.action, step.client) {
            (Action::Together(inner), _) => self.together(inner, step.expect.as_ref(), at).await,
            (Action::Repeat { times, steps }, _) => {
                if let Some(barrier) = at.barrier {
                    barrier.wait().await;
                }
                let times = match times {
                    Times::Number(times) => *times,
                    Times::KeyLimit => self.against.profile.limits.keys.unwrap_or(1),
                };
                for round in 0..times {
                    self.steps(steps, At { round, barrier: None, ..at }).await?;
                }
                Ok(())
            }
            (Action::Wait(time), None) => {
                if let Some(barrier) = at.barrier {
                    barrier.wait().await;
                }
                tokio::time::sleep(*time).await;
                Ok(())
            }
            (_, None) => Ok(()),
            (_, Some(client)) => self.act(client, step, at).await,
        }
    }

    /// Steps that start at one barrier.
    async fn together(&self, steps: &[Step], expect: Option<&Expectation>, at: At<'_>) -> Result<(), Stop> {
        let barrier = Barrier::new(steps.len());
        let counted = RefCell::new(Vec::new());
        let paths: Vec<Vec<usize>> = (1..=steps.len()).map(|index| [at.path, &[index]].concat()).collect();
        let runs = steps.iter().zip(&paths).map(|(step, path)| {
            let count = matches!(expect, Some(Expectation::Count(_))).then_some(&counted);
            Box::pin(self.step(step, At { path, barrier: Some(&barrier), counted: count, ..at }))
        });
        try_join_all(runs).await?;
        let Some(Expectation::Count(expected)) = expect else { return Ok(()) };
        let mut due: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for (text, times) in expected.iter().filter(|(_, times)| *times > 0) {
            *due.entry(self.render(text, at)).or_default() += times;
        }
        let mut came: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for text in counted.into_inner() {
            *came.entry(text).or_default() += 1;
        }
        if came == due {
            return Ok(());
        }
        let (expected, seen) = (Shown::Counts(due), Shown::Counts(came));
        Err(self.failed(0, expected, seen, FailureKind::Wrong, None, at))
    }

    /// Does a client's step, again and again where it is to be retried.
    async fn act(&self, client: usize, step: &Step, at: At<'_>) -> Result<(), Stop> {
        let begun = Instant::now();
        let returns = matches!(step.action, Action::Login(_)) && self.left[client].get();
        let Some(retry) = step.retry.or(returns.then_some(NAME_FREE_WITHIN)) else {
            return self.act_once(client, step, at).await;
        };
        // Of a login only the name's being taken is waited out.
        let is_login = matches!(&step.expect, Some(Expectation::Replies(replies)) if *replies == [Text::literal(texts::SUCCESS)]);
        let may_change = |seen: &Shown| match seen {
            Shown::Text(text) => !is_login || text == texts::DUPLICATE_USER_NAME.as_bytes(),
            _ => false,
        };
        let mut at = at;
        // When the last try that failed began: only that it was not so by then is proved.
        let mut failed_at = begun;
        loop {
            let tried_at = Instant::now();
            let tried = self.act_once(client, step, at).await;
            at.barrier = None;
            match tried {
                Err(Stop::Failed(failure))
                    if failure.kind == FailureKind::Wrong
                        && may_change(&failure.seen)
                        && begun.elapsed() < retry =>
                {
                    failed_at = tried_at;
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Ok(()) if failed_at - begun > LATE_AFTER => {
                    let late = format!("{at} was not so after {:.1?}", failed_at - begun);
                    self.late.replace(Some(late));
                    return Ok(());
                }
                other => return other,
            }
        }
    }

    async fn act_once(&self, client: usize, step: &Step, at: At<'_>) -> Result<(), Stop> {
        if !matches!(step.action, Action::Connect | Action::Handshake(_) | Action::Operator(_)) {
            self.connected(client).await?;
        }
        let segments = self.segments(client, step, at);
        if let Some(barrier) = at.barrier {
            barrier.wait().await;
        }
        match &step.action {
            Action::Login(_)
            | Action::Send { .. }
            | Action::Bytes(_)
            | Action::RawText(_)
            | Action::Frames(_) => {
                let Segments { bytes, pause } = segments;
                self.write(client, &bytes, pause).await;
            }
            Action::Connect => self.connect(client).await?,
            Action::Handshake(handshake) => return self.handshake(client, handshake, step, at).await,
            Action::HalfClose => self.with_channel(client, async |channel| channel.half_close().await).await,
            Action::Close(code) => {
                self.left[client].set(true);
                self.close(client, *code, step.expect.is_some()).await;
            }
            Action::Reset => {
                self.left[client].set(true);
                if let Some(channel) = self.channels[client].lock().await.take() {
                    channel.reset();
                }
            }
            Action::Wait(time) => tokio::time::sleep(*time).await,
            Action::Operator(action) => self.operator(client, *action, at).await?,
            Action::Together(_) | Action::Repeat { .. } => {}
        }
        match &step.expect {
            Some(expect) => self.expect(client, expect, step, at).await,
            None => self.without_expectation(client, step, at).await,
        }
    }

    /// A step without an expectation: its replies are another step's, or are counted by the `together` around it.
    async fn without_expectation(&self, client: usize, step: &Step, at: At<'_>) -> Result<(), Stop> {
        let messages = match &step.action {
            Action::Login(_) => 1,
            Action::Send { messages, .. } => messages.len(),
            Action::Bytes(_) | Action::RawText(_) | Action::Frames(_) => {
                self.unjudged[client].set(true);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let Some(counted) = at.counted else {
            self.unjudged[client].set(true);
            return Ok(());
        };
        let deadline = Instant::now() + self.patience();
        for _ in 0..messages {
            let text = self.any_reply(client, deadline, at).await?;
            counted.borrow_mut().push(text);
        }
        Ok(())
    }

    /// The longest that an expectation may take: beside a time-out of the server's, that much longer.
    fn patience(&self) -> Duration {
        let limits = &self.against.profile.limits;
        let of = |need: Need, limit: Option<Duration>| limit.filter(|_| self.case.needs.contains(&need));
        self.against.timeout
            + of(Need::LoginTimeout, limits.login_timeout).unwrap_or_default()
            + of(Need::IdleTimeout, limits.idle_timeout).unwrap_or_default()
    }

    /// Something else came, or nothing did.
    fn other_than(&self, client: usize, expected: Shown, event: Option<Event>, at: At<'_>) -> Stop {
        let Some(event) = event else {
            let seen = Shown::Words("nothing in time".to_owned());
            return self.failed(client, expected, seen, FailureKind::Late, None, at);
        };
        let rule = match &event {
            Event::Broken { rule, .. } => Some(*rule),
            _ => None,
        };
        self.failed(client, expected, shown(&event), FailureKind::Wrong, rule, at)
    }

    fn failed(
        &self,
        client: usize,
        expected: Shown,
        seen: Shown,
        kind: FailureKind,
        rule: Option<Rule>,
        at: At<'_>,
    ) -> Stop {
        Stop::Failed(Box::new(Failure {
            place: at.to_string(),
            client: self.case.clients.get(client).map_or_else(String::new, |client| client.name.clone()),
            sent: self.last_sent[client].borrow().clone(),
            expected,
            seen,
            kind,
            rule,
        }))
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str("set-up");
        }
        let path: Vec<String> = self.path.iter().map(ToString::to_string).collect();
        write!(f, "step {}", path.join("."))?;
        if self.round > 0 { write!(f, ", round {}", self.round + 1) } else { Ok(()) }
    }
}

/// Numbers each step by the first message that it sends, in the order of [`cutting`].
fn number(steps: &[Step], next: &mut usize, numbers: &mut HashMap<*const Step, usize>) {
    for step in steps {
        numbers.insert(std::ptr::from_ref(step), *next);
        match &step.action {
            Action::Login(_) => *next += 1,
            Action::Send { messages, cut: Cut::Nowhere } => *next += messages.len(),
            Action::Together(inner) | Action::Repeat { steps: inner, .. } => number(inner, next, numbers),
            _ => {}
        }
    }
}
