//! Runs one case once, over one transport and in one cutting: does its steps, and compares what comes back.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::try_join_all;
use rand::{RngExt as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;
use tokio::sync::{Barrier, Mutex};
use tokio::time::Instant;

use super::case::model::{
    Action, Case, ClientTransport, Closing, Cut, Expectation, Frame, Handshake, Need, OperatorAction, Part,
    Payload, Refusal, Size, Step, Text, Times,
};
use super::channel::{self, Channel, End, Event};
use super::cutting::{self, Cutting};
use super::failure::{Failure, FailureKind, Shown};
use super::frame::{OutFrame, opcode};
use super::handshake::{self, HttpReply};
use super::profile::{Policy, Profile};
use super::transcript::{Entry, Transcript};
use crate::domain::{Framing, Role, Rule, Transport};
use crate::oracle::texts;
use crate::wire::{ConnectError, Endpoint};

/// Between the two halves of a message that is cut: long enough that a server reads the first alone.
const CUT_PAUSE: Duration = Duration::from_millis(20);

/// Longest write that goes out byte by byte, and longest message in fragments of one byte; a longer one goes in larger
/// pieces.
const SINGLE_BYTES_MAX: usize = 2048;

/// Between two tries of a step that is retried.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// How long a login is tried again after its user has closed or reset the connection (LIFE-2).
const NAME_FREE_WITHIN: Duration = Duration::from_secs(5);

/// From here on a step that was retried is late (LIFE-2).
const LATE_AFTER: Duration = Duration::from_secs(1);

/// Bytes of a word that stands for `{word:NAME}`.
const WORD_BYTES: usize = 8;

/// Longest that an operator's command may take.
const OPERATOR_TIMEOUT: Duration = Duration::from_secs(10);

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
            let event = channel.next(Instant::now()).await;
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
        self.connected(client, at).await?;
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
        loop {
            match self.act_once(client, step, at).await {
                Err(Stop::Failed(failure))
                    if failure.kind == FailureKind::Wrong
                        && matches!(failure.seen, Shown::Text(_))
                        && begun.elapsed() < retry =>
                {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Ok(()) if begun.elapsed() > LATE_AFTER => {
                    let late = format!("{} was so only after {:.1?}", at, begun.elapsed());
                    self.late.replace(Some(late));
                    return Ok(());
                }
                other => return other,
            }
        }
    }

    async fn act_once(&self, client: usize, step: &Step, at: At<'_>) -> Result<(), Stop> {
        if !matches!(step.action, Action::Connect | Action::Handshake(_) | Action::Operator(_)) {
            self.connected(client, at).await?;
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

    // What is sent.

    /// What a step writes, in segments.
    fn segments(&self, client: usize, step: &Step, at: At<'_>) -> Segments {
        let framing = self.framing(client);
        let whole = |bytes| Segments { bytes: vec![bytes], pause: Duration::ZERO };
        match &step.action {
            Action::Login(name) => self.framed(client, std::slice::from_ref(name), &Cut::Nowhere, step, at),
            Action::Send { messages, cut } => self.framed(client, messages, cut, step, at),
            Action::Bytes(bytes) => {
                self.note_sent(client, bytes);
                whole(bytes.clone())
            }
            Action::RawText(text) => {
                let text = self.render(text, at);
                self.note_sent(client, &text);
                whole(text)
            }
            Action::Frames(frames) if framing == Framing::WebSocket => {
                let mut bytes = Vec::new();
                for frame in frames {
                    self.write_frame(client, frame, at, &mut bytes);
                }
                whole(bytes)
            }
            _ => whole(Vec::new()),
        }
    }

    fn write_frame(&self, client: usize, frame: &Frame, at: At<'_>, out: &mut Vec<u8>) {
        let payload = match &frame.payload {
            Payload::Text(text) => self.render(text, at),
            Payload::Bytes(bytes) => bytes.clone(),
        };
        self.note_sent(client, &payload);
        if frame.opcode == opcode::CLOSE
            && let Ok(mut channel) = self.channels[client].try_lock()
            && let Some(channel) = channel.as_mut()
        {
            channel.note_close_sent();
        }
        let mask = frame.mask.then(rand::random);
        let Frame { opcode, fin, rsv, length, .. } = frame;
        OutFrame { opcode: *opcode, fin: *fin, rsv: *rsv, mask, length, payload: &payload }.write(out);
    }

    /// Messages as the framing and the cutting have them.
    fn framed(&self, client: usize, messages: &[Text], cut: &Cut, step: &Step, at: At<'_>) -> Segments {
        let framing = self.framing(client);
        // A client of the raw framing in another transport's case writes each message as one.
        let cutting = if framing == Framing::Chunks { Cutting::Whole } else { self.cutting };
        let first = self.numbers.get(&std::ptr::from_ref(step)).copied();
        let mut bytes = Vec::new();
        let mut cuts = Vec::new();
        for (index, text) in messages.iter().enumerate() {
            let text = self.render(text, at);
            self.note_sent(client, &text);
            let begin = bytes.len();
            self.message(client, framing, &text, &mut bytes);
            if let (Cutting::At { message, offset }, Some(first)) = (cutting, first)
                && first + index == message
                && at.round == 0
                && begin + offset < bytes.len()
            {
                cuts.push(begin + offset);
            }
        }
        match (cut, cutting) {
            (Cut::At(places), _) => cuts.clone_from(places),
            (Cut::EachByte, _) | (_, Cutting::EachByte) => {
                let piece = bytes.len().div_ceil(SINGLE_BYTES_MAX).max(1);
                return Segments {
                    bytes: bytes.chunks(piece).map(<[u8]>::to_vec).collect(),
                    pause: Duration::ZERO,
                };
            }
            _ => {}
        }
        let mut segments = Vec::new();
        let mut begin = 0;
        for end in cuts.into_iter().filter(|cut| *cut < bytes.len()).chain([bytes.len()]).collect::<Vec<_>>()
        {
            segments.push(bytes[begin..end].to_vec());
            begin = end;
        }
        Segments { bytes: segments, pause: CUT_PAUSE }
    }

    /// One message, in fragments where the cutting says so.
    fn message(&self, client: usize, framing: Framing, text: &[u8], out: &mut Vec<u8>) {
        let fragments = match self.cutting {
            Cutting::Fragments => text.chunks(text.len().div_ceil(SINGLE_BYTES_MAX).max(1)).collect(),
            Cutting::FragmentsAndPings => {
                let (first, second) = text.split_at(text.len() / 2);
                vec![first, second]
            }
            _ => Vec::new(),
        };
        if framing != Framing::WebSocket || fragments.len() < 2 {
            return channel::message(framing, text, out);
        }
        let last = fragments.len() - 1;
        for (index, fragment) in fragments.into_iter().enumerate() {
            let opcode = if index == 0 { opcode::TEXT } else { opcode::CONTINUATION };
            channel::right_frame(opcode, index == last, fragment, out);
            if index < last && self.cutting == Cutting::FragmentsAndPings {
                let payload: [u8; 8] = rand::random();
                channel::right_frame(opcode::PING, true, &payload, out);
                if let Ok(mut channel) = self.channels[client].try_lock()
                    && let Some(channel) = channel.as_mut()
                {
                    channel.note_own_ping(&payload);
                }
            }
        }
    }

    async fn write(&self, client: usize, segments: &[Vec<u8>], pause: Duration) {
        for (index, segment) in segments.iter().enumerate() {
            if index > 0 && pause > Duration::ZERO {
                tokio::time::sleep(pause).await;
            }
            // What cannot be written any more shows in what comes back.
            self.with_channel(client, async |channel| drop(channel.write(segment).await)).await;
        }
    }

    async fn with_channel(&self, client: usize, act: impl AsyncFnOnce(&mut Channel)) {
        if let Some(channel) = self.channels[client].lock().await.as_mut() {
            act(channel).await;
        }
    }

    fn note_sent(&self, client: usize, message: &[u8]) {
        self.last_sent[client].replace(message.to_vec());
    }

    /// A text with its placeholders filled in.
    fn render(&self, text: &Text, at: At<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut fill_at = None;
        for part in &text.parts {
            match part {
                Part::Literal(literal) => out.extend_from_slice(literal.as_bytes()),
                Part::Client(client) => out.extend_from_slice(self.names[*client].as_bytes()),
                Part::Fill(bytes) => out.extend(self.fill(*bytes)),
                Part::FillTo(size) => fill_at = Some((out.len(), self.bytes_of(*size))),
                Part::Filled => out.extend_from_slice(&self.filled.borrow()),
                Part::Word(name) => out.extend_from_slice(self.word(name).as_bytes()),
                Part::Secret => {
                    if let Policy::Secret(secret) = &self.against.profile.upgrade {
                        out.extend_from_slice(secret.as_bytes());
                    }
                }
                Part::Index => out.extend_from_slice(at.round.to_string().as_bytes()),
            }
        }
        if let Some((place, bytes)) = fill_at {
            let filled: Vec<u8> = self.fill(bytes.saturating_sub(out.len())).collect();
            out.splice(place..place, filled.iter().copied());
            self.filled.replace(filled);
        }
        out
    }

    fn bytes_of(&self, size: Size) -> usize {
        let profile = self.against.profile;
        match size {
            Size::Bytes(bytes) => bytes,
            Size::MessageMax(more) => profile.message_max as usize + more,
            Size::NameMax(more) => profile.name_max as usize + more,
        }
    }

    fn fill(&self, bytes: usize) -> impl Iterator<Item = u8> {
        (self.fill_from..self.fill_from + bytes).map(|at| b'a' + (at % 26) as u8)
    }

    fn word(&self, name: &str) -> String {
        let mut words = self.words.borrow_mut();
        let draw = || word(&mut self.draw.borrow_mut());
        words.entry(name.to_owned()).or_insert_with(draw).clone()
    }

    // Connections.

    /// The transport of a client; a case whose client has none is skipped before it runs.
    fn endpoint(&self, client: usize) -> Option<&'a Endpoint> {
        let wanted =
            transport_of(self.case.clients[client].transport, self.transport, self.against.endpoints)?;
        self.against.endpoints.iter().find(|endpoint| endpoint.transport() == wanted)
    }

    fn framing(&self, client: usize) -> Framing {
        self.endpoint(client).map_or(Framing::Lines, |endpoint| endpoint.transport().framing())
    }

    /// Connects a client that is to be connected and is not yet.
    async fn connected(&self, client: usize, at: At<'_>) -> Result<(), Stop> {
        let lacking = self.channels[client].lock().await.is_none();
        if !lacking || !self.case.clients[client].connect || self.case.clients[client].login {
            return Ok(());
        }
        let _ = at;
        self.connect(client).await
    }

    async fn connect(&self, client: usize) -> Result<(), Stop> {
        let mut channel = self.open(client).await?;
        if channel.framing() == Framing::WebSocket {
            let key = handshake::draw_key();
            let Some(url) = self.endpoint(client).and_then(Endpoint::url) else { return Ok(()) };
            let request = handshake::request(&handshake::right(), url, &key);
            let deadline = Instant::now() + self.against.timeout;
            let reply = channel.shake(&request, deadline).await;
            let fault = match reply {
                Some(reply) if reply.status == 101 => reply.upgrade_fault(&handshake::right(), &key),
                Some(reply) => Some(format!("HTTP {}", reply.status)),
                None => Some("no answer to the handshake".to_owned()),
            };
            if let Some(fault) = fault {
                let expected = Shown::Words("a WebSocket handshake".to_owned());
                let seen = Shown::Words(fault);
                return Err(self.failed(client, expected, seen, FailureKind::Wrong, Some(Rule::Ws2), SET_UP));
            }
        }
        *self.channels[client].lock().await = Some(channel);
        self.unjudged[client].set(false);
        Ok(())
    }

    async fn open(&self, client: usize) -> Result<Channel, Stop> {
        let Some(endpoint) = self.endpoint(client) else {
            return Err(Stop::Machine("the target lacks a transport of the case".to_owned()));
        };
        self.transcript.note(client, format!("connects over {}", endpoint.transport()));
        match endpoint.open(self.against.timeout).await {
            Ok(stream) => {
                let framing = endpoint.transport().framing();
                Ok(Channel::new(client, stream, framing, self.transcript.clone()))
            }
            Err(ConnectError::Shortage(shortage)) => Err(Stop::Machine(shortage.to_string())),
            Err(error) => {
                let kind = match error {
                    ConnectError::TimedOut { .. } => FailureKind::Late,
                    _ => FailureKind::Unreachable,
                };
                let expected = Shown::Words("a connection".to_owned());
                Err(self.failed(client, expected, Shown::Words(error.to_string()), kind, None, SET_UP))
            }
        }
    }

    /// A handshake of the case's own, and what must become of it.
    async fn handshake(
        &self,
        client: usize,
        handshake: &Handshake,
        step: &Step,
        at: At<'_>,
    ) -> Result<(), Stop> {
        let Some(url) = self.endpoint(client).and_then(Endpoint::url) else { return Ok(()) };
        let mut channel = self.open(client).await?;
        let drawn = handshake::draw_key();
        let given = handshake.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
        let key = given.and_then(|(_, value)| value.clone()).unwrap_or_else(|| drawn.clone());
        let request = handshake::request(handshake, url, &drawn);
        self.note_sent(client, &request);
        let deadline = Instant::now() + step.within.unwrap_or_else(|| self.patience());
        let reply = channel.shake(&request, deadline).await;
        let failed = |expected: String, seen: String, kind| {
            let (expected, seen) = (Shown::Words(expected), Shown::Words(seen));
            Err(self.failed(client, expected, seen, kind, None, at))
        };
        let Some(reply) = reply else {
            return match (channel.next(Instant::now()).await, &step.expect) {
                (
                    Some(Event::Ended(End::Closed | End::Reset)),
                    Some(Expectation::Refused { how: Refusal::Any, header: None }) | None,
                ) => Ok(()),
                (Some(event), _) => {
                    failed(expected_of_handshake(step), shown(&event).to_string(), FailureKind::Wrong)
                }
                (None, _) => {
                    failed(expected_of_handshake(step), "no answer in time".to_owned(), FailureKind::Late)
                }
            };
        };
        match &step.expect {
            None => {}
            Some(Expectation::Refused { how, header }) => {
                let status_fits = match how {
                    Refusal::Any | Refusal::Http => (400..=599).contains(&reply.status),
                    Refusal::Status(status) => reply.status == *status,
                };
                let field_fits = header.as_ref().is_none_or(|(name, value)| reply.has(name, value));
                if !status_fits || !field_fits {
                    return failed(expected_of_handshake(step), reply.to_string(), FailureKind::Wrong);
                }
            }
            Some(expect) => {
                let status = reply.status.to_string().into_bytes();
                let expected = self.replies_of(expect, at).concat();
                if !expected.contains(&status) {
                    return failed(expected_of_handshake(step), reply.to_string(), FailureKind::Wrong);
                }
            }
        }
        if reply.status == 101 {
            if let Some(fault) = reply.upgrade_fault(handshake, &key) {
                return failed("a handshake as RFC 6455 has it".to_owned(), fault, FailureKind::Wrong);
            }
            *self.channels[client].lock().await = Some(channel);
        }
        Ok(())
    }

    /// Ends a connection in order. What the server still says is read where the case asks for it.
    async fn close(&self, client: usize, code: u16, is_read: bool) {
        let mut slot = self.channels[client].lock().await;
        let Some(channel) = slot.as_mut() else { return };
        if channel.framing() == Framing::WebSocket {
            let _ = channel.send_close(code).await;
        } else {
            channel.half_close().await;
        }
        if !is_read {
            *slot = None;
        }
    }

    /// Runs the operator's command for this client's user.
    async fn operator(&self, client: usize, action: OperatorAction, at: At<'_>) -> Result<(), Stop> {
        let operator = &self.against.profile.operator;
        let command = match action {
            OperatorAction::Promote => &operator.promote,
            OperatorAction::Demote => &operator.demote,
            OperatorAction::Disconnect => &operator.disconnect,
        };
        let Some([program, arguments @ ..]) = command.as_deref() else { return Ok(()) };
        let name = &self.names[client];
        self.transcript.note(client, format!("the operator does: {action} {name}"));
        let output = tokio::process::Command::new(program)
            .args(arguments.iter().map(|argument| argument.replace("{user}", name)))
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output();
        match tokio::time::timeout(OPERATOR_TIMEOUT, output).await {
            Ok(Ok(output)) if output.status.success() => Ok(()),
            Ok(Ok(output)) => {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                let seen =
                    Shown::Words(format!("the operator's command ended with {}: {said}", output.status));
                let expected = Shown::Words(format!("{action} {name}"));
                Err(self.failed(client, expected, seen, FailureKind::Wrong, Some(Rule::Role9), at))
            }
            Ok(Err(error)) => {
                Err(Stop::Machine(format!("cannot run the operator's command `{program}`: {error}")))
            }
            Err(_) => Err(Stop::Machine(format!(
                "the operator's command `{program}` took over {OPERATOR_TIMEOUT:?}"
            ))),
        }
    }

    // What comes back.

    async fn next(&self, client: usize, deadline: Instant) -> Option<Event> {
        let mut slot = self.channels[client].lock().await;
        match slot.as_mut() {
            Some(channel) if channel.is_over() => Some(Event::Ended(End::Closed)),
            Some(channel) => channel.next(deadline).await,
            None => Some(Event::Ended(End::Failed("there is no connection".to_owned()))),
        }
    }

    async fn expect(&self, client: usize, expect: &Expectation, step: &Step, at: At<'_>) -> Result<(), Stop> {
        let deadline = Instant::now() + step.within.unwrap_or_else(|| self.patience());
        match expect {
            Expectation::Replies(_) | Expectation::Any(_) => {
                for reply in self.replies_of(expect, at) {
                    let deadline = Instant::now() + step.within.unwrap_or_else(|| self.patience());
                    self.reply(client, &reply, deadline, at).await?;
                }
                Ok(())
            }
            Expectation::Closed { how, code } => self.closed(client, *how, *code, deadline, at).await,
            Expectation::Silence(time) => self.silence(client, *time, at).await,
            Expectation::Pong(text) => {
                let due = self.render(text, at);
                match self.next(client, deadline).await {
                    Some(Event::Pong(payload)) if payload == due => Ok(()),
                    other => Err(self.other_than(client, Shown::Pong(due), other, at)),
                }
            }
            // Judged with the handshake, or with the steps together.
            Expectation::Refused { .. } | Expectation::Count(_) => Ok(()),
        }
    }

    /// Takes the next reply, which must be one of these.
    async fn reply(&self, client: usize, due: &[Vec<u8>], deadline: Instant, at: At<'_>) -> Result<(), Stop> {
        self.with_channel(client, async |channel| channel.expects(due)).await;
        loop {
            match self.next(client, deadline).await {
                Some(Event::Reply { text, binary }) if due.contains(&text) => {
                    return if binary { self.may_be_binary(client, &text, at) } else { Ok(()) };
                }
                // A server may send a pong that nobody asked for (RFC 6455, section 5.5.3).
                Some(Event::Pong(_)) => {}
                other => return Err(self.other_than(client, Shown::texts(due), other, at)),
            }
        }
    }

    /// Takes the next reply, whatever it is.
    async fn any_reply(&self, client: usize, deadline: Instant, at: At<'_>) -> Result<Vec<u8>, Stop> {
        loop {
            match self.next(client, deadline).await {
                Some(Event::Reply { text, binary }) => {
                    if binary {
                        self.may_be_binary(client, &text, at)?;
                    }
                    return Ok(text);
                }
                Some(Event::Pong(_)) => {}
                other => return Err(self.other_than(client, Shown::Words("a reply".to_owned()), other, at)),
            }
        }
    }

    /// No reply may be a binary message, but for the denial where the profile says so.
    fn may_be_binary(&self, client: usize, text: &[u8], at: At<'_>) -> Result<(), Stop> {
        if self.against.profile.denial_binary && text == texts::DENIED.as_bytes() {
            return Ok(());
        }
        let expected = Shown::Words("a text message".to_owned());
        let seen = Shown::Words(format!("a binary message: {}", Shown::Text(text.to_vec())));
        Err(self.failed(client, expected, seen, FailureKind::Wrong, Some(Rule::Ws1), at))
    }

    async fn closed(
        &self,
        client: usize,
        how: Closing,
        code: Option<u16>,
        deadline: Instant,
        at: At<'_>,
    ) -> Result<(), Stop> {
        let expected = || Shown::Words(closing(how, code));
        let is_websocket = self.framing(client) == Framing::WebSocket;
        let mut frame: Option<Option<u16>> = None;
        loop {
            match self.next(client, deadline).await {
                Some(Event::Pong(_)) => {}
                // Where any end will do, the close frame is one: TCP's may wait for the peer's.
                Some(Event::CloseFrame(came))
                    if how == Closing::Any && code.is_none_or(|code| came == Some(code)) =>
                {
                    *self.channels[client].lock().await = None;
                    return Ok(());
                }
                Some(Event::CloseFrame(came)) => frame = Some(came),
                Some(Event::Ended(end)) => {
                    let clean = end == End::Closed && (!is_websocket || frame.is_some());
                    let fits = match how {
                        Closing::Clean => clean,
                        Closing::Reset => end == End::Reset,
                        Closing::Any => matches!(end, End::Closed | End::Reset),
                    };
                    let code_fits = !is_websocket || code.is_none_or(|code| frame == Some(Some(code)));
                    if fits && code_fits {
                        return Ok(());
                    }
                    let seen = Shown::Words(match (&end, frame) {
                        (End::Closed, Some(Some(code))) => {
                            format!("a close frame with code {code}, then the end of TCP")
                        }
                        (End::Closed, Some(None)) => {
                            "a close frame without a code, then the end of TCP".to_owned()
                        }
                        (End::Closed, None) if is_websocket => {
                            "the end of TCP without a close frame".to_owned()
                        }
                        (End::Closed, None) => "a close in order".to_owned(),
                        (End::Reset, _) => "a reset".to_owned(),
                        (End::Failed(why), _) => why.clone(),
                    });
                    return Err(self.failed(client, expected(), seen, FailureKind::Wrong, None, at));
                }
                None if frame.is_some() => {
                    let seen = Shown::Words("a close frame, but no end of TCP in time".to_owned());
                    return Err(self.failed(client, expected(), seen, FailureKind::Late, None, at));
                }
                other => return Err(self.other_than(client, expected(), other, at)),
            }
        }
    }

    async fn silence(&self, client: usize, time: Duration, at: At<'_>) -> Result<(), Stop> {
        let until = Instant::now() + time;
        loop {
            match self.next(client, until).await {
                None => return Ok(()),
                Some(Event::Pong(_)) => {}
                other => {
                    let expected = Shown::Words(format!("nothing for {time:?}"));
                    return Err(self.other_than(client, expected, other, at));
                }
            }
        }
    }

    // Failures.

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
        if let Event::Ended(End::Failed(why)) = &event
            && why.contains("Too many open files")
        {
            return Stop::Machine(why.clone());
        }
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

/// What a step writes.
struct Segments {
    bytes: Vec<Vec<u8>>,
    /// Between two of them.
    pause: Duration,
}

/// The transport of a client whose case runs over `own`, among those of these endpoints; `None` where there is none.
pub(super) fn transport_of(
    wanted: ClientTransport,
    own: Transport,
    endpoints: &[Endpoint],
) -> Option<Transport> {
    let mut offered = endpoints.iter().map(Endpoint::transport);
    match wanted {
        ClientTransport::Case => offered.find(|transport| *transport == own),
        ClientTransport::Named(named) => offered.find(|transport| *transport == named),
        ClientTransport::Other => {
            // Another framing shows more than the same framing over TLS.
            let others: Vec<_> = offered.filter(|transport| *transport != own).collect();
            let other_framing = others.iter().find(|transport| transport.framing() != own.framing());
            other_framing.or(others.first()).copied()
        }
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

/// A user name that no other run has.
fn unique_name(name: &str, bytes_max: u32) -> String {
    const LONGEST: usize = 24;
    let unique = word(&mut rand::rng());
    let room = (bytes_max as usize).saturating_sub(unique.len() + 1).min(LONGEST);
    format!("{}-{unique}", &name[..name.len().min(room)])
}

/// A word of letters and digits.
fn word(draw: &mut impl rand::Rng) -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    (0..WORD_BYTES).map(|_| char::from(LETTERS[draw.random_range(0..LETTERS.len())])).collect()
}

fn closing(how: Closing, code: Option<u16>) -> String {
    let code = code.map_or_else(String::new, |code| format!(" with code {code}"));
    match how {
        Closing::Clean => format!("a close in order{code}"),
        Closing::Reset => "a reset".to_owned(),
        Closing::Any => format!("a close{code}"),
    }
}

fn expected_of_handshake(step: &Step) -> String {
    match &step.expect {
        Some(Expectation::Refused { how, header }) => {
            let how = match how {
                Refusal::Any => "an HTTP error, or a close".to_owned(),
                Refusal::Http => "a whole HTTP reply with an error's status".to_owned(),
                Refusal::Status(status) => format!("HTTP {status}"),
            };
            match header {
                Some((name, value)) => format!("{how}, with `{name}: {value}`"),
                None => how,
            }
        }
        Some(Expectation::Replies(texts) | Expectation::Any(texts)) => {
            let literal = |text: &Text| match &text.parts[..] {
                [Part::Literal(literal)] => literal.clone(),
                _ => "…".to_owned(),
            };
            format!("HTTP {}", texts.iter().map(literal).collect::<Vec<_>>().join(" or "))
        }
        _ => "an answer".to_owned(),
    }
}

fn shown(event: &Event) -> Shown {
    match event {
        Event::Reply { text, binary: false } => Shown::Text(text.clone()),
        Event::Reply { text, binary: true } => {
            Shown::Words(format!("a binary message: {}", Shown::Text(text.clone())))
        }
        Event::Pong(payload) => Shown::Pong(payload.clone()),
        Event::CloseFrame(Some(code)) => Shown::Words(format!("a close frame with code {code}")),
        Event::CloseFrame(None) => Shown::Words("a close frame without a code".to_owned()),
        Event::Ended(End::Closed) => Shown::Words("the server closed the connection".to_owned()),
        Event::Ended(End::Reset) => Shown::Words("the server reset the connection".to_owned()),
        Event::Ended(End::Failed(why)) => Shown::Words(why.clone()),
        Event::Broken { what, .. } => Shown::Words(what.clone()),
    }
}

impl std::fmt::Display for HttpReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HTTP {}", self.status)
    }
}
