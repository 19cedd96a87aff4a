//! One client under load: a task that reads replies, judges them, sends what is due, and renews its session.
//!
//! It is a hand-written state machine: reading and writing never wait for each other, and one wake handles every reply
//! that came and every request that became due.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll};

use twinwire_os::clock::{self, Nanos};

use super::super::evidence::{Asked, Evidence};
use super::super::requests::RequestGenerator;
use super::super::schedule::Schedule;
use super::judge::ReplyJudge;
use super::open_requests::OldestRequest;
use super::renewal::{Renewal, Renewing};
use super::state::{PendingRequest, WorkerState};
use crate::domain::{Role, Rule, ViolationKind};
use crate::measure::recorder::{CellKey, Instants, LiveCounters, RequestError, TimeRange};
use crate::oracle::{Expectation, Finding, SessionModel, request, texts};
use crate::wire::{Connection, Ended};

thread_local! {
    /// Requests are written here before the connection frames them; one buffer for a whole worker.
    static MESSAGE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A client's connection, or why it has none.
enum ConnectionState {
    Up(Connection),
    /// Logging out, connecting and logging in again.
    Renewing(Renewing),
    /// Gone for good.
    Lost,
}

/// A client under load.
pub struct VirtualUser {
    /// Its number within the worker, for the pacer.
    number: u32,
    transport: u8,
    group: u16,
    connection: ConnectionState,
    session: SessionModel,
    requests: RequestGenerator,
    schedule: Schedule,
    renewal: Option<Renewal>,
    in_flight: usize,
    pending: VecDeque<PendingRequest>,
    /// The request that was answered last. A superfluous reply is counted there.
    answered: Option<PendingRequest>,
    /// The instant for which the pacer is to wake it.
    armed_for: Option<Nanos>,
    unsent: bool,
    /// Whether what becomes due now has to wait for the server: for a reply, or for a new session.
    blocked: bool,
    /// The last time range, by the clock, in which requests waited only for the generator. What became due in it was
    /// dispatched at its end, even if it then had to wait for the server.
    own_delay: TimeRange,
    /// When the schedule was last checked.
    checked_at: Nanos,
}

/// Why a client ends early.
enum EarlyEnd {
    Stopped,
    Lost(Ended),
    /// Its oldest request was not answered in time.
    TimedOut,
}

pub struct Parts {
    pub number: u32,
    /// Index of its transport among the pass's.
    pub transport: u8,
    pub group: u16,
    pub connection: Connection,
    /// The oracle's side of it.
    pub session: SessionModel,
    pub requests: RequestGenerator,
    pub schedule: Schedule,
    /// When it starts a new session, if ever.
    pub renewal: Option<Renewal>,
    pub in_flight: usize,
}

impl VirtualUser {
    /// A client that is set up and has nothing outstanding.
    pub fn new(parts: Parts) -> Self {
        let Parts { number, transport, group, connection, session, requests, schedule, renewal, in_flight } =
            parts;
        let in_flight = in_flight.min(connection.outstanding_max());
        Self {
            number,
            transport,
            group,
            connection: ConnectionState::Up(connection),
            session,
            requests,
            schedule,
            renewal,
            in_flight,
            pending: VecDeque::with_capacity(in_flight.min(64)),
            answered: None,
            armed_for: None,
            unsent: false,
            blocked: false,
            own_delay: TimeRange { from: 0, until: 0 },
            checked_at: 0,
        }
    }

    pub fn client(&self) -> u32 {
        self.session.client()
    }

    /// Its role as the replies so far give it.
    pub fn role(&self) -> Role {
        self.session.role()
    }

    /// Index of its transport among the pass's.
    pub fn transport(&self) -> u8 {
        self.transport
    }

    pub fn is_lost(&self) -> bool {
        matches!(self.connection, ConnectionState::Lost)
    }

    /// The connection, if there is one.
    pub fn connection(&mut self) -> Option<&mut Connection> {
        match &mut self.connection {
            ConnectionState::Up(connection) => Some(connection),
            ConnectionState::Renewing(_) | ConnectionState::Lost => None,
        }
    }

    /// A window of load begins, which ends at this load time.
    pub fn begin_window(&mut self, until: Nanos) {
        self.schedule.set_end(until);
        self.armed_for = None;
    }

    /// Goes on as far as it can; ready once the window is over and nothing is outstanding, or the client is lost.
    pub fn poll(&mut self, cx: &mut Context<'_>, state: &Rc<WorkerState>) -> Poll<()> {
        state.pacer.register(self.number, cx.waker());
        loop {
            if let Err(ended) = self.renew(cx, state) {
                // A shortage on this machine stops the run, and is not the loss of a client.
                return self
                    .end(state, if state.stop.is_set() { EarlyEnd::Stopped } else { EarlyEnd::Lost(ended) });
            }
            if let Err(ended) = self.read(cx, state) {
                return self.end(state, EarlyEnd::Lost(ended));
            }
            let now = clock::now();
            state.heartbeat.beat(now);
            if state.stop.is_set() {
                return self.end(state, EarlyEnd::Stopped);
            }
            if self.pending.front().is_some_and(|oldest| oldest.at.sent + state.timeout <= now) {
                return self.end(state, EarlyEnd::TimedOut);
            }
            if now >= state.clock.drained_at() {
                self.give_up_backlog(state, state.clock.load_time(now), now);
            }
            if self.begin_renewal(state, now) {
                continue;
            }
            if let Err(ended) = self.send_due(cx, state, now) {
                return self.end(state, EarlyEnd::Lost(ended));
            }
            return self.rest(state, now);
        }
    }

    /// Nothing more can be done now: waits for the next event, or is done with the window.
    fn rest(&mut self, state: &WorkerState, now: Nanos) -> Poll<()> {
        let next = self.schedule.next().map(|due| state.clock.clock_time(due));
        let open = self.pending.front().map(|oldest| (oldest.at.sent, oldest.at.intended));
        state.open.set_oldest(self.number, OldestRequest::new(open, next));
        let busy = matches!(self.connection, ConnectionState::Renewing(_)) || !self.pending.is_empty();
        if next.is_none() && !busy && now >= state.clock.until() {
            return Poll::Ready(());
        }
        if !self.blocked {
            let renewal =
                self.renewal.as_ref().and_then(Renewal::due_at).map(|due| state.clock.clock_time(due));
            if let Some(due) = next.into_iter().chain(renewal.filter(|&due| due < state.clock.until())).min()
            {
                self.arm(state, due, now);
            }
        }
        Poll::Pending
    }

    fn read(&mut self, cx: &mut Context<'_>, state: &WorkerState) -> Result<(), Ended> {
        let ConnectionState::Up(connection) = &mut self.connection else { return Ok(()) };
        let mut judge = ReplyJudge {
            transport: self.transport,
            session: &mut self.session,
            schedule: &mut self.schedule,
            pending: &mut self.pending,
            answered: &mut self.answered,
            state,
        };
        let drained = connection.drain(cx, &mut judge);
        drained.map_err(|ended| if self.session.was_too_long() { Ended::TooLong } else { ended })
    }

    /// Writes everything that is due, in one write.
    fn send_due(&mut self, cx: &mut Context<'_>, state: &WorkerState, now: Nanos) -> Result<(), Ended> {
        let ConnectionState::Up(connection) = &mut self.connection else { return Ok(()) };
        let first = self.pending.len();
        let closing = self.renewal.as_ref().is_some_and(|renewal| renewal.is_due(state.clock.load_time(now)));
        let mut room = if closing { 0 } else { self.in_flight - first };
        if let Some(left) = self.renewal.as_ref().and_then(Renewal::requests_left) {
            room = room.min(left as usize);
        }
        let woken = state.pacer.woken_at(self.number);
        if !self.blocked {
            self.own_delay = TimeRange { from: 0, until: now };
        } else if let Some(pause) = state.heartbeat.pause_since(self.checked_at).filter(|_| room > 0) {
            // The reply that it waited for came while the worker stood still, so what was due then waited for the
            // generator.
            self.own_delay = pause;
        }
        self.checked_at = now;
        while room > 0
            && let Some(intended) = self.schedule.take(state.clock.load_time(now))
        {
            room -= 1;
            let intended = state.clock.clock_time(intended);
            let reference = &state.context.reference;
            let request = self.requests.draw(&state.context.groups, reference, self.session.client());
            let role = self.session.role();
            let cell = CellKey { transport: self.transport, group: self.group, role, op: request.op };
            let expect = MESSAGE.with_borrow_mut(|message| {
                message.clear();
                let expect = request.write(reference, &mut self.session, message);
                connection.push(message).map(|()| expect)
            })?;
            let dispatched = dispatched(intended, woken, self.own_delay);
            let at = Instants { intended, dispatched, sent: now };
            self.pending.push_back(PendingRequest { cell, expect, at });
        }
        let sent = self.pending.len() - first;
        if sent > 0 {
            self.note_sent(state, first);
            self.unsent = true;
            if let Some(renewal) = &mut self.renewal {
                renewal.sent(sent as u32);
            }
        }
        self.blocked = room == 0;
        if self.unsent
            && let ConnectionState::Up(connection) = &mut self.connection
        {
            match connection.flush(cx) {
                Ok(written) => self.unsent = !written,
                // The server may have said why.
                Err(ended) => return self.read(cx, state).and(Err(ended)),
            }
        }
        Ok(())
    }

    /// Stamps the requests from `first` on as sent, with one instant for the whole write.
    fn note_sent(&mut self, state: &WorkerState, first: usize) {
        let sent = clock::now();
        let mut recorder = state.recorder.borrow_mut();
        for pending in self.pending.iter_mut().skip(first) {
            pending.at.sent = sent;
            recorder.sent(pending.cell, pending.at, self.blocked);
        }
        state.backlog.took((self.pending.len() - first) as u64);
    }

    /// Begins a new session if one is due and no request is open. After the window's end this happens only if a request
    /// that became due in the window waits for it.
    fn begin_renewal(&mut self, state: &Rc<WorkerState>, now: Nanos) -> bool {
        let due = self.renewal.as_ref().is_some_and(|renewal| renewal.is_due(state.clock.load_time(now)));
        if !due || !self.pending.is_empty() || self.unsent {
            return false;
        }
        if now >= state.clock.until() && self.schedule.next().is_none() {
            return false;
        }
        match std::mem::replace(&mut self.connection, ConnectionState::Lost) {
            ConnectionState::Up(connection) => {
                self.connection = ConnectionState::Renewing(Renewal::begin(state, &self.session, connection));
                self.blocked = true;
                true
            }
            other => {
                self.connection = other;
                false
            }
        }
    }

    /// Goes on with a new session that is being set up.
    fn renew(&mut self, cx: &mut Context<'_>, state: &WorkerState) -> Result<(), Ended> {
        let ConnectionState::Renewing(renewing) = &mut self.connection else { return Ok(()) };
        let Poll::Ready(outcome) = renewing.as_mut().poll(cx) else { return Ok(()) };
        match outcome {
            Ok(ready) => {
                self.connection = ConnectionState::Up(ready.connection);
                self.session = ready.session;
                if let Some(renewal) = &mut self.renewal {
                    renewal.done(state.clock.load_time(clock::now()));
                }
                Ok(())
            }
            Err(error) => Err(state.renewal_failed(error)),
        }
    }

    fn arm(&mut self, state: &WorkerState, due: Nanos, now: Nanos) {
        if self.armed_for.is_none_or(|armed| due < armed || armed <= now) {
            self.armed_for = Some(due);
            if let Err(error) = state.pacer.wake_at(self.number, due, now) {
                state.stop.fail(format!("cannot pace the load: {error}"));
            }
        }
    }

    /// The cell of the next request, which is never written.
    fn draw_cell(&mut self, state: &WorkerState) -> CellKey {
        let client = self.session.client();
        let request = self.requests.draw(&state.context.groups, &state.context.reference, client);
        CellKey { transport: self.transport, group: self.group, role: self.session.role(), op: request.op }
    }

    /// The load has ended. Requests that are due by `until` (load time) and were not sent stay unfinished.
    fn give_up_backlog(&mut self, state: &WorkerState, until: Nanos, now: Nanos) {
        if !self.schedule.is_open() {
            return;
        }
        while let Some(intended) = self.schedule.take(until) {
            let cell = self.draw_cell(state);
            let intended = state.clock.clock_time(intended);
            state.recorder.borrow_mut().never_sent(cell, intended, now, self.blocked);
            state.backlog.took(1);
        }
    }

    /// A reply that cannot be read is wrong.
    fn framing_broken(&self, state: &WorkerState, rule: Rule, what: &str, now: Nanos) {
        let oldest = self.pending.front();
        let asked = oldest.map_or(Asked::Nothing(None), |p| Asked::Request {
            expect: p.expect,
            sent: Some(p.at.sent),
            later: Vec::new(),
        });
        let finding = Finding::new(ViolationKind::BrokenFraming, rule, "a well-formed reply".to_owned());
        state.violated(|context| Evidence::new(context, &self.session, finding, asked, what.as_bytes(), now));
    }

    /// The client ends early.
    fn end(&mut self, state: &Rc<WorkerState>, end: EarlyEnd) -> Poll<()> {
        let now = clock::now();
        match end {
            EarlyEnd::Stopped => {
                let mut recorder = state.recorder.borrow_mut();
                for pending in self.pending.drain(..) {
                    recorder.unfinished(pending.cell, pending.at, now);
                }
            }
            EarlyEnd::Lost(ended) => self.lose(state, &ended, RequestError::Lost, now),
            EarlyEnd::TimedOut => {
                let ended = Ended::Failed("no reply in time".to_owned());
                self.lose(state, &ended, RequestError::TimedOut, now);
            }
        }
        self.give_up_backlog(state, state.clock.load_time(now), now);
        state.open.set_oldest(self.number, OldestRequest::NONE);
        Poll::Ready(())
    }

    /// A close instead of a reply breaks a rule if the server does it again; see `close_check`.
    fn check_close(&self, state: &Rc<WorkerState>, ended: &Ended, now: Nanos) {
        let Some(oldest) = self.pending.front().filter(|_| ended.is_close()) else { return };
        let Some(rule) = oldest.expect.forbids_close() else { return };
        let finding =
            Finding::new(ViolationKind::ClosedInsteadOfAReply, rule, format!("`{}`", texts::WRONG_FORMAT));
        let asked = Asked::Request { expect: oldest.expect, sent: Some(oldest.at.sent), later: Vec::new() };
        let reference = &state.context.reference;
        let name = |user| reference.client(user).name.clone();
        let request = request(reference, self.client(), oldest.expect, name, |put| put.value(reference));
        state.check_close(self.client(), oldest, request, |context| {
            Evidence::new(context, &self.session, finding, asked, ended.to_string().as_bytes(), now)
        });
    }

    fn lose(&mut self, state: &Rc<WorkerState>, ended: &Ended, error: RequestError, now: Nanos) {
        self.check_close(state, ended, now);
        self.fail_pending(state, ended, error, now);
        self.connection = ConnectionState::Lost;
        state.context.reference.set_lost(self.client());
        state.lost(self.number, self.client(), ended, now);
    }

    /// Every open request ends in an error. If there is none, the next request does.
    fn fail_pending(&mut self, state: &WorkerState, ended: &Ended, error: RequestError, now: Nanos) {
        if let Ended::Framing { rule, what } = ended {
            self.framing_broken(state, *rule, what, now);
        }
        if self.pending.is_empty() {
            let cell = self.draw_cell(state);
            let at = Instants { intended: now, dispatched: now, sent: now };
            state.recorder.borrow_mut().sent(cell, at, false);
            self.pending.push_back(PendingRequest { cell, expect: Expectation::Upgrade, at });
        }
        let mut recorder = state.recorder.borrow_mut();
        // Only the reply to the oldest request was broken; the others were not answered.
        let mut first = if let Ended::Framing { .. } = ended { RequestError::Broken } else { error };
        for pending in self.pending.drain(..) {
            recorder.failed(pending.cell, pending.at, now, std::mem::replace(&mut first, error));
            LiveCounters::count(&state.live().errors);
        }
    }
}

/// When a request that is sent now was dispatched. Usually that is the pacer's wake for it, or for a later request: one
/// wake dispatches everything that is due. If another event came before the pacer, it is when the generator handled
/// that event. A request that became due while the client waited for the server counts as dispatched when it was
/// intended: that wait is the server's.
fn dispatched(intended: Nanos, woken: Nanos, own_delay: TimeRange) -> Nanos {
    if woken >= intended {
        woken
    } else if own_delay.from <= intended && intended <= own_delay.until {
        own_delay.until
    } else {
        intended
    }
}

impl std::fmt::Debug for VirtualUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VirtualUser").field("client", &self.client()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_was_due_before_a_wake_is_dispatched_at_the_wake() {
        let free = |now| TimeRange { from: 0, until: now };
        // The pacer woke at 500, late, for what was due at 100; what was due at 300 then waits behind it.
        assert_eq!([100, 300, 500].map(|intended| dispatched(intended, 500, free(510))), [500; 3]);
        // What became due after the wake, and before it was looked at.
        assert_eq!(dispatched(505, 500, free(510)), 510);
        // What became due later, while the server kept the connection busy.
        assert_eq!(dispatched(700, 500, free(510)), 700);
        // The connection was busy until the worker, which stood still from 600 to 900, found the reply.
        let pause = TimeRange { from: 600, until: 900 };
        assert_eq!([550, 700, 950].map(|intended| dispatched(intended, 500, pause)), [550, 900, 950]);
    }
}
