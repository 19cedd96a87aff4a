//! What is shown of a violation, from requests and instants set by hand.

use std::net::SocketAddr;
use std::sync::Arc;

use twinwire_os::clock;

use super::super::super::plan;
use super::super::super::schedule::Curve;
use super::super::request_log::RequestLog;
use super::super::violation::{EvidenceLog, Requester, WindowClock};
use super::*;
use crate::domain::{Rule, Transport, ViolationKind};
use crate::oracle::{ClientSpec, Finding, ReferenceModel, SessionModel, ValueSpec};
use crate::scenario::Document;
use crate::wire::{Endpoint, WebSocketUrl};

const SCENARIO: &str = r#"
name = "x"
transports = ["tcp", "websocket"]
load = [{ name = "l", model = "closed", duration = "1s" }]

[[clients]]
name = "owners"
role = "guest"
count = 1
mix = { put = 1 }
transport = "tcp"

[[clients]]
name = "readers"
role = "manager"
count = 2
mix = { get-other = 1 }
transport = "websocket"
"#;

const OWNER: u32 = 0;
const READER: u32 = 1;
const WITNESS: u32 = 2;

fn context() -> PassContext {
    let document = Document::parse("x", SCENARIO, &[]).unwrap();
    let scenario = document.scenario().clone();
    let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let values = ValueSpec { min: 16, max: 16 };
    let names = ["owner-7", "reader-8", "witness-9"];
    let transports = [Transport::Tcp, Transport::WebSocket];
    PassContext {
        plan: plan::trials(&scenario, 0, &transports, None)[0][0].clone(),
        groups: Vec::new(),
        curve: Arc::new(Curve::new(&scenario.loads[0], 3, None)),
        monitors: Vec::new(),
        scenario: Arc::new(scenario),
        variant: String::new(),
        reference: ReferenceModel::new(
            3,
            names.map(|name| ClientSpec { name: name.to_owned(), group: 0, keys: 4, values }),
        ),
        endpoints: vec![
            Endpoint::lines(address.into(), None),
            Endpoint::websocket(address.into(), WebSocketUrl::root(false, "h", 1), None),
        ],
        live: Vec::new(),
        traffic: Vec::new(),
    }
}

fn log_in(reference: &ReferenceModel, client: u32) -> SessionModel {
    let session = SessionModel::new(reference, client);
    reference.set_live(client);
    session
}

/// The load's only window, without a warm-up.
const TIMING: WindowClock = WindowClock { origin: clock::SECOND, since: clock::SECOND, measured_from: 0 };

/// An instant in milliseconds since the measured part began.
fn ms(at: u64) -> Nanos {
    clock::SECOND + at * 1_000_000
}

struct Play {
    context: PassContext,
    sessions: Vec<SessionModel>,
    evidence: EvidenceLog,
    log: RequestLog,
}

impl Play {
    fn new() -> Self {
        let context = context();
        let mut sessions: Vec<_> = (0..3).map(|client| log_in(&context.reference, client)).collect();
        for reader in [READER, WITNESS] {
            let session = &mut sessions[reader as usize];
            session.judge(&context.reference, Expectation::Upgrade, texts::UPGRADED.as_bytes()).unwrap();
        }
        Self { context, sessions, evidence: EvidenceLog::default(), log: RequestLog::default() }
    }

    fn put(&mut self) -> Expectation {
        self.sessions[OWNER as usize].put(&self.context.reference, 2, &mut Vec::new())
    }

    fn get(&mut self, reader: u32) -> Expectation {
        self.sessions[reader as usize].get_other(
            &self.context.reference,
            Some(OWNER),
            Some(2),
            &mut Vec::new(),
        )
    }

    /// The owner's value; `session` counts from 0.
    fn value_of(&self, version: u32, session: u32) -> String {
        PutId { user: OWNER, key: 2, version, incarnation: session }.value(&self.context.reference)
    }

    fn value(&self, version: u32) -> String {
        self.value_of(version, 0)
    }

    /// The owner's session ends, as every reader knows.
    fn end(&mut self) {
        self.context.reference.set_ending(OWNER);
        self.context.reference.set_ended(OWNER);
    }

    fn note(&self, evidence: Evidence) {
        self.evidence.note(evidence.during(TIMING));
    }

    /// The reply to a request; a wrong one is noted as a violation, with `later` sent behind the request.
    fn reply(&mut self, client: u32, expect: Expectation, [sent, replied]: [u64; 2], reply: &str) {
        let session = &mut self.sessions[client as usize];
        let judged = session.judge(&self.context.reference, expect, reply.as_bytes());
        self.log.note(LoggedRequest::new(client, expect, ms(sent), reply.as_bytes(), ms(replied)));
        if let Err(finding) = judged {
            let asked = Asked::Request { expect, sent: Some(ms(sent)), later: Vec::new() };
            let evidence =
                Evidence::new(&self.context, session, finding, asked, reply.as_bytes(), ms(replied));
            self.note(evidence);
        }
    }

    /// Each step of the only violation: who, what, what is due.
    fn steps(&mut self) -> (Replay, Vec<String>) {
        self.evidence.contribute_all(&self.context.reference, &mut self.log);
        let mut violations = self.evidence.take();
        assert_eq!(violations.len(), 1);
        let replay = with_replay(&self.context, violations.remove(0)).replay.unwrap();
        let step = |step: &ReplayStep| {
            let done = match &step.action {
                ReplayAction::Send(sent) => sent.join("; "),
                other => format!("({other:?})"),
            };
            let due = match &step.expect {
                ReplayExpect::Replies(due) => due.join("; "),
                other => format!("({other:?})"),
            };
            format!("{}: {done} -> {due}", step.client)
        };
        let steps = replay.steps.iter().map(step).collect();
        (replay, steps)
    }
}

/// Two puts, the second answered at `answered`; another manager has read it before the reader sees the first again.
fn stale(answered: u64) -> Play {
    let mut play = Play::new();
    let (first, second) = (play.put(), play.put());
    play.reply(OWNER, first, [10, 20], "done");
    let witnessed = play.get(WITNESS);
    let newest = play.value(2);
    play.reply(WITNESS, witnessed, [30, 40], &newest);
    let read = play.get(READER);
    let old = play.value(1);
    play.reply(READER, read, [50, 60], &old);
    play.reply(OWNER, second, [25, answered], "done");
    play
}

#[test]
fn a_read_that_had_proved_the_put_is_shown_while_the_put_was_unanswered() {
    let mut play = stale(100);
    let (old, new) = (play.value(1), play.value(2));
    let (replay, steps) = play.steps();
    assert_eq!(
        steps,
        [
            format!("owner: put k2 {old} -> done"),
            format!("owner: put k2 {new} -> done"),
            format!("other: get {{owner}} k2 -> {new}"),
            format!("client: get {{owner}} k2 -> {new}"),
        ]
    );
    let users: Vec<_> = replay.clients.iter().map(|client| (&*client.user, client.transport)).collect();
    assert_eq!(
        users,
        [
            ("reader-8", Transport::WebSocket),
            ("owner-7", Transport::Tcp),
            ("witness-9", Transport::WebSocket)
        ]
    );
    assert_eq!(replay.steps[2].sent_s, Some(0.03));
    assert_eq!((replay.steps[3].wrong, replay.steps[3].replied_s), (true, Some(0.06)));
}

#[test]
fn no_other_read_is_shown_where_the_put_had_been_answered() {
    let (_, steps) = stale(45).steps();
    assert_eq!(steps.len(), 3, "{steps:?}");
}

#[test]
fn a_read_that_was_sent_along_finds_the_last_put_that_is_shown() {
    let mut play = Play::new();
    let (first, second) = (play.put(), play.put());
    play.reply(OWNER, first, [10, 20], "done");
    let read = play.get(READER);
    let (old, new) = (play.value(1), play.value(2));
    let session = &mut play.sessions[READER as usize];
    let mut finding =
        session.judge(&play.context.reference, Expectation::Upgrade, new.as_bytes()).unwrap_err();
    finding.kind = ViolationKind::SwappedReply;
    let asked = Asked::Request { expect: Expectation::Upgrade, sent: Some(ms(25)), later: vec![read] };
    let evidence = Evidence::new(&play.context, session, finding, asked, new.as_bytes(), ms(40));
    play.note(evidence);
    play.reply(OWNER, second, [30, 45], "done");
    let (_, steps) = play.steps();
    assert_eq!(
        steps,
        [
            format!("other: put k2 {old} -> done"),
            format!("other: put k2 {new} -> done"),
            format!("client: upgrade; get {{other}} k2 -> already a manager; {new}"),
        ]
    );
}

#[test]
fn puts_that_no_log_holds_come_first_and_say_so() {
    let mut play = stale(45);
    play.log = RequestLog::default();
    let (replay, steps) = play.steps();
    assert_eq!(steps.len(), 3, "{steps:?}");
    for put in &replay.steps[..2] {
        assert!(put.sent_s.is_none() && put.note.contains("not among the last requests"), "{put:?}");
    }
}

#[test]
fn a_refused_value_is_shown_with_the_refusal() {
    let mut play = Play::new();
    let (first, second) = (play.put(), play.put());
    play.reply(OWNER, first, [10, 20], "done");
    play.reply(OWNER, second, [30, 40], "store full");
    let read = play.get(READER);
    let (old, refused) = (play.value(1), play.value(2));
    play.reply(READER, read, [50, 60], &refused);
    let (_, steps) = play.steps();
    assert_eq!(
        steps,
        [
            format!("owner: put k2 {old} -> done"),
            format!("owner: put k2 {refused} -> store full"),
            format!("client: get {{owner}} k2 -> {old}"),
        ]
    );
}

#[test]
fn a_put_that_is_refused_after_it_was_read_is_shown_with_the_read() {
    let mut play = Play::new();
    let put = play.put();
    let (read, value) = (play.get(READER), play.value(1));
    play.reply(READER, read, [15, 20], &value);
    play.reply(OWNER, put, [10, 30], "store full");
    let (replay, steps) = play.steps();
    assert_eq!(
        steps,
        [format!("client: put k2 {value} -> done"), format!("other: get {{client}} k2 -> {value}")]
    );
    assert!(replay.steps[0].wrong && !replay.steps[1].wrong);
}

#[test]
fn beyond_twenty_violations_none_is_kept() {
    let mut play = Play::new();
    for _ in 0..30 {
        let read = play.get(READER);
        play.reply(READER, read, [1, 2], "nonsense");
    }
    assert!(!play.evidence.has_room());
    assert_eq!(play.evidence.take().len(), crate::record::VIOLATIONS_KEPT);
}

#[test]
fn a_value_of_an_earlier_session_is_shown_with_the_sessions_end_and_the_next_ones_beginning() {
    let mut play = Play::new();
    let put = play.put();
    play.reply(OWNER, put, [10, 20], "done");
    play.end();
    play.sessions[OWNER as usize] = log_in(&play.context.reference, OWNER);
    let put = play.put();
    play.reply(OWNER, put, [30, 40], "done");
    let read = play.get(READER);
    let (old, new) = (play.value(1), play.value_of(2, 1));
    play.reply(READER, read, [50, 60], &old);
    // It ends as the seed has it.
    let end: &[&str] = match play.context.plan.session_end(OWNER, 0) {
        SessionEnd::Quit => &["owner: q -> exiting", "owner: (Nothing) -> (Closed)"],
        SessionEnd::Close => &["owner: (Close) -> (Unchecked)"],
        SessionEnd::Reset => &["owner: (Reset) -> (Unchecked)"],
    };
    let put = |value: &str| format!("owner: put k2 {value} -> done");
    let (first, second, read) = (put(&old), put(&new), format!("client: get {{owner}} k2 -> {new}"));
    let anew = ["owner: (Connect) -> (Unchecked)", "owner: (Login) -> success", &second, &read];
    let (_, steps) = play.steps();
    assert_eq!(steps, [&[first.as_str()], end, &anew[..]].concat());
}

#[test]
fn a_value_of_a_session_that_has_ended_is_shown_with_its_end() {
    let mut play = Play::new();
    let put = play.put();
    play.reply(OWNER, put, [10, 20], "done");
    play.end();
    let (read, old) = (play.get(READER), play.value(1));
    play.reply(READER, read, [50, 60], &old);
    let (_, steps) = play.steps();
    assert_eq!(
        steps[1..],
        ["owner: q -> exiting", "owner: (Nothing) -> (Closed)", "client: get {owner} k2 -> user not found"]
    );
}

#[test]
fn who_has_to_be_logged_out_leaves_first() {
    let mut play = Play::new();
    play.end();
    let read = play.get(READER);
    play.reply(READER, read, [50, 60], "key not found");
    let (_, steps) = play.steps();
    assert_eq!(
        steps,
        ["owner: q -> exiting", "owner: (Nothing) -> (Closed)", "client: get {owner} k2 -> user not found"]
    );
}

#[test]
fn a_name_that_is_not_free_and_a_close_that_does_not_come_are_shown_after_a_quit() {
    let shown = |asked| {
        let mut play = Play::new();
        let finding = Finding::new(ViolationKind::WrongReply, Rule::Life1, String::new());
        let requester = Requester { client: READER, role: Role::Manager };
        play.note(Evidence::of_session(&play.context, requester, finding, asked, b"", ms(5)));
        play.steps().1
    };
    assert_eq!(
        shown(Asked::NextLogin(SessionEnd::Quit)),
        [
            "client: q -> exiting",
            "client: (Nothing) -> (Closed)",
            "client: (Connect) -> (Unchecked)",
            "client: (Login) -> success"
        ]
    );
    assert_eq!(
        shown(Asked::NextLogin(SessionEnd::Reset)),
        ["client: (Reset) -> (Unchecked)", "client: (Connect) -> (Unchecked)", "client: (Login) -> success"]
    );
    assert_eq!(
        shown(Asked::First(SessionEnd::Close, Expectation::Get { key: 0 })),
        [
            "client: (Close) -> (Unchecked)",
            "client: (Connect) -> (Unchecked)",
            "client: (Login) -> success",
            "client: get k0 -> you are not allowed to access keys of other users"
        ]
    );
    assert_eq!(shown(Asked::Close), ["client: q -> exiting", "client: (Nothing) -> (Closed)"]);
    assert_eq!(shown(Asked::Quit), ["client: q -> exiting"]);
}

#[test]
fn instants_before_the_window_are_not_told() {
    let timing =
        WindowClock { origin: 5 * clock::SECOND, since: 8 * clock::SECOND, measured_from: clock::SECOND };
    let seconds = [7, 8, 10].map(|at| timing.seconds(at * clock::SECOND));
    assert_eq!(seconds, [None, Some(2.0), Some(4.0)]);
}
