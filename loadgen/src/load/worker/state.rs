//! What the tasks of one worker share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinHandle;
use twinwire_os::clock::{self, Nanos, SECOND};

use super::super::context::PassContext;
use super::super::evidence::{Asked, EvidenceLog, LoggedRequest, PendingVerdicts, RequestLog};
use super::super::pacer::Pacer;
use super::super::plan::WindowPlan;
use super::super::session::{SetupError, StepTimes};
use super::backlog::Backlog;
use super::load_clock::LoadClock;
use super::open_requests::OpenRequests;
use super::outcomes::{ClientOutcomes, WorkerPause};
use crate::measure::pauses::{Heartbeat, Pause};
use crate::measure::recorder::{
    CellKey, Instants, LiveCounters, Recorder, Second, TimeRange, joint_quantile,
};
use crate::measure::threshold_monitor::{Observed, ThresholdMonitor};
use crate::oracle::Expectation;
use crate::record::Latencies;
use crate::wire::{ConnectError, Ended, Traffic};

/// A request that waits for its reply.
#[derive(Debug, Clone, Copy)]
pub struct PendingRequest {
    /// Where its figures go.
    pub cell: CellKey,
    /// What its reply is judged by.
    pub expect: Expectation,
    pub at: Instants,
}

/// Whether the run stops now, and why if the machine is to blame.
#[derive(Debug, Default)]
pub struct StopSignal {
    stopped: Cell<bool>,
    failure: RefCell<Option<String>>,
}

impl StopSignal {
    pub fn is_set(&self) -> bool {
        self.stopped.get()
    }

    pub fn set(&self) {
        self.stopped.set(true);
    }

    /// The machine refused something that the load cannot do without: stop.
    pub fn fail(&self, why: String) {
        self.failure.borrow_mut().get_or_insert(why);
        self.set();
    }

    /// What the machine refused, if it did.
    pub fn take_failure(&self) -> Option<String> {
        self.failure.borrow_mut().take()
    }
}

/// What one worker needs to judge wrong replies and to record how to replay them.
#[derive(Debug, Default)]
pub struct Verdicts {
    pub(super) log: RefCell<RequestLog>,
    pub(super) pending: PendingVerdicts,
    /// Each finds out whether a server that closed instead of replying does so again.
    pub(super) close_checks: RefCell<Vec<JoinHandle<()>>>,
}

impl Verdicts {
    /// Keeps an answered request for the evidence of a later violation.
    pub fn keep(&self, request: LoggedRequest) {
        self.log.borrow_mut().note(request);
    }

    /// Whether a reply's judgement may be put off.
    pub fn may_defer(&self) -> bool {
        self.pending.have_room()
    }
}

/// What the tasks of one worker share.
#[derive(Debug)]
pub struct WorkerState {
    /// What all workers share.
    pub context: Arc<PassContext>,
    pub evidence: Arc<EvidenceLog>,
    pub pacer: Rc<Pacer>,
    pub recorder: RefCell<Recorder>,
    /// A request that is open for longer is an error, ns.
    pub timeout: Nanos,
    pub clock: LoadClock,
    pub stop: StopSignal,
    pub open: OpenRequests,
    pub backlog: Backlog,
    pub heartbeat: Heartbeat,
    pub verdicts: Verdicts,
    outcomes: RefCell<ClientOutcomes>,
    worker: usize,
    /// The least backlog seen in the last quarter of the window that runs.
    standing: Cell<Option<u64>>,
    /// Whether the server failed to close after `q`.
    never_closes: Cell<bool>,
    /// When the monitors' figures were last taken.
    monitored_at: Cell<Nanos>,
    /// By transport, the second before which all were handed over.
    handed_over: RefCell<Vec<u32>>,
    /// The second whose predecessor the live counters show.
    live_second: Cell<Option<u32>>,
}

impl WorkerState {
    pub fn new(
        context: Arc<PassContext>,
        evidence: Arc<EvidenceLog>,
        worker: usize,
        pacer: Rc<Pacer>,
        recorder: Recorder,
        backlog: Backlog,
        clients: usize,
    ) -> Self {
        let transports = context.endpoints.len();
        Self {
            timeout: clock::nanos(context.scenario.timeout),
            evidence,
            pacer,
            recorder: RefCell::new(recorder),
            clock: LoadClock::new(&context),
            stop: StopSignal::default(),
            open: OpenRequests::new(clients),
            backlog,
            heartbeat: Heartbeat::default(),
            verdicts: Verdicts::default(),
            outcomes: RefCell::new(ClientOutcomes::new(transports)),
            worker,
            standing: Cell::new(None),
            never_closes: Cell::new(false),
            monitored_at: Cell::new(0),
            handed_over: RefCell::new(vec![0; transports]),
            live_second: Cell::new(None),
            context,
        }
    }

    /// A window begins at this instant of the clock.
    pub fn begin_window(&self, window: WindowPlan, at: Nanos) {
        self.clock.begin(window, at);
        self.monitored_at.set(at);
        self.backlog.set_end(window.until);
        self.recorder.borrow_mut().begin_window(self.clock.origin(), window.until);
        self.standing.set(None);
        self.heartbeat.begin(at, clock::asleep());
    }

    pub fn end_window(&self) {
        let (now, window) = (clock::now(), self.clock.window());
        self.heartbeat.beat_with(now, clock::asleep());
        let pauses = self.heartbeat.take().into_iter().map(|Pause { between, asleep }| {
            let from = self.clock.load_time(between.from);
            let between = TimeRange { from, until: self.clock.load_time(between.until) };
            WorkerPause { transport: window.transport, pause: Pause { between, asleep } }
        });
        let mut outcomes = self.outcomes.borrow_mut();
        outcomes.pauses.extend(pauses);
        for (transport, outcome) in outcomes.transports.iter_mut().enumerate() {
            if window.is_of(transport) {
                outcome.reached = self.clock.load_time(now).min(window.until);
            }
        }
        let backlog = &mut outcomes.transports[usize::from(window.transport.unwrap_or(0))].backlog;
        backlog.standing += self.standing.take().unwrap_or(0);
        backlog.drained = backlog.drained.max(now.saturating_sub(self.clock.until()));
    }

    pub fn live(&self) -> &LiveCounters {
        &self.context.live[self.worker]
    }

    /// The byte counters of this worker on a transport.
    pub fn traffic(&self, transport: usize) -> Arc<Traffic> {
        self.context.traffic[self.worker][transport].clone()
    }

    /// A client, with this number within the worker, was lost at this instant.
    pub fn lost(&self, number: u32, client: u32, ended: &Ended, now: Nanos) {
        let transport = usize::from(self.context.plan.clients[client as usize].transport);
        self.backlog.forget(number, self.clock.load_time(now));
        let name = &self.context.reference.client(client).name;
        let mut outcomes = self.outcomes.borrow_mut();
        outcomes.transports[transport].lost += 1;
        outcomes.first_lost.get_or_insert_with(|| format!("`{name}`: {ended}"));
    }

    /// A new session was set up on a transport.
    pub fn renewed(&self, transport: usize, steps: StepTimes) {
        self.outcomes.borrow_mut().transports[transport].renewals.add(steps);
    }

    /// A new session could not be set up. Returns how its client ended. If this machine is short of a resource, the run
    /// stops.
    pub fn renewal_failed(&self, error: SetupError) -> Ended {
        let text = error.to_string();
        match error {
            SetupError::Violated { evidence, .. } => {
                if let Asked::Close = evidence.asked {
                    self.never_closes.set(true);
                }
                self.violated(|_| *evidence);
            }
            SetupError::Connect(ConnectError::Shortage(_)) => {
                self.stop.fail(format!("while load `{}` ran: {text}", self.context.load().name));
            }
            SetupError::Connect(_) | SetupError::Failed { .. } => {}
        }
        Ended::Failed(text)
    }

    /// Whether the server failed to close after `q` during the load; one time-out is enough.
    pub fn never_closes(&self) -> bool {
        self.never_closes.get()
    }

    /// What became of the clients. To be called once, at the end.
    pub fn take_outcomes(&self) -> ClientOutcomes {
        let mut outcomes = self.outcomes.replace(ClientOutcomes::new(0));
        let reached: Vec<Nanos> = outcomes.transports.iter().map(|outcome| outcome.reached).collect();
        let due = self.backlog.due_of_lost(self.clock.measured(), &reached);
        for (outcome, due) in outcomes.transports.iter_mut().zip(due) {
            outcome.due_of_lost = due;
        }
        outcomes
    }

    /// Does what no event triggers: wakes clients for time-outs and at the end, settles pending verdicts, and updates
    /// the live counters.
    pub fn sweep(&self) {
        let now = clock::now();
        self.heartbeat.beat_with(now, clock::asleep());
        if now >= self.clock.until() || self.stop.is_set() {
            self.open.wake_all(&self.pacer);
        } else {
            self.open.wake_late(&self.pacer, self.timeout, now);
        }
        self.update_live(now);
        self.settle_due_verdicts(now);
        self.contribute_evidence();
    }

    fn update_live(&self, now: Nanos) {
        let live = self.live();
        let open = self.context.load().is_open();
        if open {
            let at = self.clock.load_time(now);
            let backlog = self.backlog.at(at, self.clock.window().transport);
            live.backlog.store(backlog, Ordering::Relaxed);
            self.note_backlog(at, backlog);
        }
        let recorder = self.recorder.borrow();
        let second = recorder.second_of(now);
        if self.live_second.replace(second) == second {
            return;
        }
        let joint =
            |q, part: fn(&Second) -> &Latencies| joint_quantile(recorder.last_seconds(now).map(part), q);
        let headline = if open { response } else { service };
        live.p99.set(joint(0.99, headline));
        if open {
            live.response_p50.set(joint(0.5, response));
            live.lag_p50.set(joint(0.5, |second| &second.dispatch_lag));
        }
    }

    /// `at`: load time.
    fn note_backlog(&self, at: Nanos, backlog: u64) {
        let (window, measured) = (self.clock.window(), self.clock.measured());
        if at < measured.from {
            return;
        }
        let transport = usize::from(window.transport.unwrap_or(0));
        let max = &mut self.outcomes.borrow_mut().transports[transport].backlog.max;
        *max = (*max).max(backlog);
        let length = window.until.saturating_sub(window.from.max(measured.from));
        if (window.until - length / 4..window.until).contains(&at) {
            self.standing.set(Some(self.standing.get().map_or(backlog, |least| least.min(backlog))));
        }
    }

    /// Notes that all seconds before this one are handed over. Returns whether that was not known.
    pub fn handed_over(&self, transport: usize, before: u32) -> bool {
        let last = &mut self.handed_over.borrow_mut()[transport];
        std::mem::replace(last, (*last).max(before)) < before
    }

    /// What the monitors saw in the last second; `None` until it has passed.
    pub fn take_observed(&self, now: Nanos) -> Option<Vec<Observed>> {
        let mut recorder = self.recorder.borrow_mut();
        if recorder.monitors.is_empty() || now < self.monitored_at.get() + SECOND {
            return None;
        }
        self.monitored_at.set(now);
        Some(recorder.monitors.iter_mut().map(ThresholdMonitor::take).collect())
    }
}

fn response(second: &Second) -> &Latencies {
    &second.latencies.response
}

fn service(second: &Second) -> &Latencies {
    &second.latencies.service
}
