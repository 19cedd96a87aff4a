//! One client under load: a task that reads replies, judges them, and sends what is due.
//!
//! It is a hand-written state machine over readiness, not a chain of awaits: reading and writing never wait for
//! each other, and one wake handles every reply that came and every request that became due.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::flight::{Asked, Flight};
use super::requests::Requests;
use super::schedule::Schedule;
use super::worker::Shared;
use crate::measure::clock::{self, Nanos};
use crate::measure::recorder::{CellKey, Instants, Live};
use crate::oracle::{Expect, Finding, Session, texts};
use crate::scenario::model::Op;
use crate::wire::{Connection, Ended, Replies, Reply};

thread_local! {
    /// Requests are written here before the connection frames them; one buffer for a whole worker.
    static MESSAGE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A request that waits for its reply.
#[derive(Debug, Clone, Copy)]
struct Pending {
    cell: CellKey,
    expect: Expect,
    at: Instants,
}

/// A client under load.
#[derive(Debug)]
pub struct VirtualUser {
    /// Its number within the worker, for the pacer.
    number: u32,
    transport: u8,
    group: u16,
    connection: Connection,
    session: Session,
    requests: Requests,
    schedule: Schedule,
    in_flight: usize,
    pending: VecDeque<Pending>,
    /// The request that was answered last; a reply too many is counted there.
    answered: Option<Pending>,
    /// The instant for which the pacer is to wake it.
    armed_for: Option<Nanos>,
    unsent: bool,
    lost: bool,
}

/// What a virtual user is made of.
#[derive(Debug)]
pub struct Parts {
    /// Its number within the worker.
    pub number: u32,
    /// Index of its transport among the pass's.
    pub transport: u8,
    /// Index of its group.
    pub group: u16,
    /// Logged in.
    pub connection: Connection,
    /// The oracle's side of it.
    pub session: Session,
    /// What it asks.
    pub requests: Requests,
    /// When it asks.
    pub schedule: Schedule,
    /// Most outstanding requests.
    pub in_flight: usize,
}

impl VirtualUser {
    /// A client that is set up and has nothing outstanding.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { number, transport, group, connection, session, requests, schedule, in_flight } = parts;
        let in_flight = in_flight.min(connection.outstanding_max());
        Self {
            number,
            transport,
            group,
            connection,
            session,
            requests,
            schedule,
            in_flight,
            pending: VecDeque::with_capacity(in_flight.min(64)),
            answered: None,
            armed_for: None,
            unsent: false,
            lost: false,
        }
    }

    /// Index of the client in the pass.
    #[must_use]
    pub fn client(&self) -> u32 {
        self.session.client()
    }

    /// The oracle's side of it.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Whether its connection is gone.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// The connection, to close it.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Goes on as far as it can; ready once the load is over and nothing is outstanding, or the client is lost.
    pub fn poll(&mut self, cx: &mut Context<'_>, shared: &Rc<Shared>) -> Poll<()> {
        shared.pacer.register(self.number, cx.waker());
        if let Err(ended) = self.read(cx, shared) {
            return self.end(shared, Some(ended));
        }
        let now = clock::now();
        if shared.stopped() {
            return self.end(shared, None);
        }
        if self.pending.front().is_some_and(|oldest| oldest.at.sent + shared.timeout <= now) {
            return self.end(shared, Some(Ended::Failed("no reply in time".to_owned())));
        }
        if let Err(ended) = self.send_due(cx, shared, now) {
            return self.end(shared, Some(ended));
        }
        let oldest = self.pending.front().map_or(Nanos::MAX, |oldest| oldest.at.sent);
        shared.set_oldest(self.number, oldest);
        match self.schedule.next() {
            Some(due) if self.pending.len() < self.in_flight => self.arm(shared, due),
            None if self.pending.is_empty() && now >= shared.until.get() => return Poll::Ready(()),
            // Every slot waits for its reply; or a slot thinks past the end, and the last wake is the worker's.
            _ => {}
        }
        Poll::Pending
    }

    fn read(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Result<(), Ended> {
        let mut judge = Judge {
            transport: self.transport,
            session: &mut self.session,
            requests: &mut self.requests,
            schedule: &mut self.schedule,
            pending: &mut self.pending,
            answered: &mut self.answered,
            shared,
        };
        self.connection.drain(cx, &mut judge)
    }

    /// Writes everything that is due, in one write.
    fn send_due(&mut self, cx: &mut Context<'_>, shared: &Shared, now: Nanos) -> Result<(), Ended> {
        let first = self.pending.len();
        while self.pending.len() < self.in_flight
            && let Some(intended) = self.schedule.take(now)
        {
            let op = self.requests.draw(&shared.context.groups);
            let cell = self.cell(op);
            let expect = MESSAGE.with_borrow_mut(|message| {
                message.clear();
                let context = &shared.context;
                let expect =
                    self.requests.write(op, &context.groups, &context.world, &mut self.session, message);
                self.connection.push(message).map(|()| expect)
            })?;
            let at = Instants { intended, dispatched: self.dispatched(shared, intended), sent: now };
            self.pending.push_back(Pending { cell, expect, at });
        }
        if self.pending.len() > first {
            let sent = clock::now();
            let mut recorder = shared.recorder.borrow_mut();
            for pending in self.pending.iter_mut().skip(first) {
                pending.at.sent = sent;
                recorder.sent(pending.cell, pending.at);
            }
            self.unsent = true;
        }
        if self.unsent {
            self.unsent = !self.connection.flush(cx)?;
        }
        Ok(())
    }

    /// When the generator turned to a request: when the pacer woke for it, or, where it was due at once or had to
    /// wait for a slot, at its intended instant, for then nothing of the generator's held it up.
    fn dispatched(&mut self, shared: &Shared, intended: Nanos) -> Nanos {
        if self.armed_for == Some(intended) {
            self.armed_for = None;
            return shared.pacer.woken_at(self.number).max(intended);
        }
        intended
    }

    fn arm(&mut self, shared: &Shared, due: Nanos) {
        if self.armed_for.is_none_or(|armed| due < armed) {
            self.armed_for = Some(due);
            if let Err(error) = shared.pacer.wake_at(self.number, due) {
                shared.fail(&error);
            }
        }
    }

    fn cell(&self, op: Op) -> CellKey {
        CellKey { transport: self.transport, group: self.group, role: self.session.role(), op }
    }

    /// A reply that cannot even be read is a wrong one.
    fn framing_broken(&self, shared: &Shared, rule: &'static str, what: &str, now: Nanos) {
        let oldest = self.pending.front();
        let asked =
            oldest.map_or(Asked::Nothing(None), |p| Asked::Request(p.expect, Some(p.at.sent), Vec::new()));
        let finding = Finding { kind: "broken framing", rule, expected: "a well-formed reply".to_owned() };
        shared.violated(&self.session, finding, asked, what.as_bytes(), now);
    }

    /// The client ends before its time: by its connection's end or a time-out, or (`None`) because the run stops.
    fn end(&mut self, shared: &Shared, ended: Option<Ended>) -> Poll<()> {
        let now = clock::now();
        let live = shared.live();
        if let Some(ended) = ended {
            if let Ended::Framing { rule, what } = &ended {
                self.framing_broken(shared, rule, what, now);
            }
            let mut recorder = shared.recorder.borrow_mut();
            self.lost = true;
            shared.context.world.set_ending(self.client());
            if self.pending.is_empty() {
                // The next request finds no connection: that is an error too, and it has an operation.
                let op = self.requests.draw(&shared.context.groups);
                let cell = self.cell(op);
                let at = Instants { intended: now, dispatched: now, sent: now };
                recorder.sent(cell, at);
                self.pending.push_back(Pending { cell, expect: Expect::Upgrade, at });
            }
            // Only the oldest request's reply was broken; what came after it was not answered at all.
            let mut broken = matches!(ended, Ended::Framing { .. });
            for pending in self.pending.drain(..) {
                recorder.failed(pending.cell, pending.at, now, std::mem::take(&mut broken));
                Live::count(&live.errors);
            }
            shared.lost(self.client(), &ended);
        } else {
            let mut recorder = shared.recorder.borrow_mut();
            for pending in self.pending.drain(..) {
                recorder.unfinished(pending.cell, pending.at, now);
            }
        }
        shared.set_oldest(self.number, Nanos::MAX);
        Poll::Ready(())
    }
}

/// Takes the replies of one read: matches each to its request, judges and records it.
struct Judge<'a> {
    transport: u8,
    session: &'a mut Session,
    requests: &'a mut Requests,
    schedule: &'a mut Schedule,
    pending: &'a mut VecDeque<Pending>,
    answered: &'a mut Option<Pending>,
    shared: &'a Shared,
}

impl Judge<'_> {
    fn unasked(&self, reply: Reply<'_>) {
        // The one text that a server may send unasked (TCP-7); the close that follows is the client's error.
        if reply.text == texts::IDLE_TIMEOUT.as_bytes() {
            return;
        }
        let cause = self.answered.as_ref().map(|answered| (answered.cell, answered.at));
        self.shared.recorder.borrow_mut().unasked(self.transport, cause, reply.at);
        let expected = "nothing: no request was open".to_owned();
        let finding = Finding { kind: "unasked reply", rule: "FORM-3", expected };
        let last = self.answered.as_ref().map(|last| (last.expect, last.at.sent, last.cell.role));
        self.shared.violated(self.session, finding, Asked::Nothing(last), reply.text, reply.at);
    }

    /// Whether another open request would have been answered rightly by this text.
    fn is_swapped(&self, expect: Expect, text: &[u8]) -> bool {
        let world = &self.shared.context.world;
        self.pending.iter().any(|p| p.expect != expect && self.session.is_whole(world, p.expect, text))
    }
}

impl Replies for Judge<'_> {
    fn is_whole(&self, bytes: &[u8]) -> bool {
        let world = &self.shared.context.world;
        self.pending.front().is_some_and(|oldest| self.session.is_whole(world, oldest.expect, bytes))
    }

    fn reply(&mut self, reply: Reply<'_>) {
        let Some(pending) = self.pending.pop_front() else {
            return self.unasked(reply);
        };
        let Pending { cell, expect, at } = pending;
        *self.answered = Some(pending);
        let world = &self.shared.context.world;
        let mut judged = self.session.judge(world, expect, reply.text);
        if reply.binary && judged.is_ok() {
            let expected = "a text message".to_owned();
            judged = Err(Finding { kind: "binary message", rule: "WS-1", expected });
        }
        let good = judged.as_ref().ok().copied();
        self.shared.recorder.borrow_mut().replied(cell, at, reply.at, good);
        self.shared.flown(Flight::new(self.session.client(), expect, at.sent, reply.text, reply.at));
        Live::count(&self.shared.live().replies);
        self.schedule.replied(reply.at, self.requests.random());
        if let Err(mut finding) = judged {
            if self.is_swapped(expect, reply.text) {
                finding.kind = "swapped reply";
                finding.rule = "FORM-3";
            }
            let later = self.pending.iter().map(|later| later.expect).collect();
            let asked = Asked::Request(expect, Some(at.sent), later);
            self.shared.violated(self.session, finding, asked, reply.text, reply.at);
        }
    }
}
