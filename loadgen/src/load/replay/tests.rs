//! What is shown of a violation, from requests and instants set by hand.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::super::flight::{Incidents, Ring};
use super::super::plan;
use super::*;
use crate::oracle::{Session, ValueSpec, World};
use crate::scenario::Document;
use crate::scenario::model::Transport;
use crate::wire::Endpoint;

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
    let address = "127.0.0.1:1".parse().unwrap();
    let values = ValueSpec { min: 16, max: 16 };
    let names = ["owner-7", "reader-8", "witness-9"];
    let transports = [Transport::Tcp, Transport::WebSocket];
    let context = PassContext {
        plan: plan::trials(&scenario, 0, &transports)[0][0].clone(),
        groups: Vec::new(),
        scenario: Arc::new(scenario),
        variant: String::new(),
        world: World::new(3, names.map(|name| (name.to_owned(), 0, 4, values))),
        endpoints: vec![Endpoint::Tcp(address), Endpoint::WebSocket(address, String::new())],
        live: Vec::new(),
        traffic: Vec::new(),
        measured_from: AtomicU64::new(clock::SECOND),
        incidents: Incidents::default(),
    };
    (0..3).for_each(|client| context.world.set_live(client));
    context
}

/// An instant so many milliseconds into the measured part.
fn ms(at: u64) -> Nanos {
    clock::SECOND + at * 1_000_000
}

struct Play {
    context: PassContext,
    sessions: Vec<Session>,
    ring: Ring,
}

impl Play {
    fn new() -> Self {
        let context = context();
        let mut sessions: Vec<_> = (0..3).map(|client| Session::new(&context.world, client)).collect();
        for reader in [READER, WITNESS] {
            let session = &mut sessions[reader as usize];
            session.judge(&context.world, Expect::Upgrade, texts::UPGRADED.as_bytes()).unwrap();
        }
        Self { context, sessions, ring: Ring::default() }
    }

    fn put(&mut self) -> Expect {
        self.sessions[OWNER as usize].put(&self.context.world, 2, &mut Vec::new())
    }

    fn get(&mut self, reader: u32) -> Expect {
        self.sessions[reader as usize].get_other(&self.context.world, Some(OWNER), Some(2), &mut Vec::new())
    }

    fn value(&self, version: u32) -> String {
        Origin { user: OWNER, key: 2, version }.value(&self.context.world)
    }

    /// The reply to a request; a wrong one is noted as a violation, with `later` sent behind the request.
    fn reply(&mut self, client: u32, expect: Expect, [sent, replied]: [u64; 2], reply: &str) {
        let session = &mut self.sessions[client as usize];
        let judged = session.judge(&self.context.world, expect, reply.as_bytes());
        self.ring.note(Flight::new(client, expect, ms(sent), reply.as_bytes(), ms(replied)));
        if let Err(finding) = judged {
            let asked = Asked::Request(expect, Some(ms(sent)), Vec::new());
            let incident =
                Incident::new(&self.context, session, finding, asked, reply.as_bytes(), ms(replied));
            self.context.incidents.note(incident);
        }
    }

    /// Each step of the only violation: who, what, what is due.
    fn steps(&mut self) -> (Replay, Vec<String>) {
        let incidents = &self.context.incidents;
        incidents.contribute_all(&self.context.world, &mut self.ring);
        let mut violations = incidents.take(&self.context);
        assert_eq!(violations.len(), 1);
        let replay = violations.remove(0).replay.unwrap();
        let step = |step: &ReplayStep| {
            let ReplayAction::Send(sent) = &step.action else { panic!("{step:?}") };
            let ReplayExpect::Replies(due) = &step.expect else { panic!("{step:?}") };
            format!("{}: {} -> {}", step.client, sent.join("; "), due.join("; "))
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
    let users: Vec<_> = replay.clients.iter().map(|client| (&*client.user, &*client.transport)).collect();
    assert_eq!(users, [("reader-8", "websocket"), ("owner-7", "tcp"), ("witness-9", "websocket")]);
    assert_eq!(replay.steps[2].sent_s, Some(0.03));
    assert_eq!((replay.steps[3].wrong, replay.steps[3].replied_s), (true, Some(0.06)));
}

#[test]
fn no_other_read_is_shown_where_the_put_had_been_answered() {
    let (_, steps) = stale(45).steps();
    assert_eq!(steps.len(), 3, "{steps:?}");
}

#[test]
fn puts_that_no_ring_knows_come_first_and_say_so() {
    let mut play = stale(45);
    play.ring = Ring::default();
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
    assert!(!play.context.incidents.has_room());
    assert_eq!(play.context.incidents.take(&play.context).len(), crate::record::VIOLATIONS_KEPT);
}
