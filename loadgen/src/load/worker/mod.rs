//! One worker: a thread with a runtime of its own that sets its clients up, runs them, and closes them.

mod backlog;
mod close;
mod judge;
mod load_clock;
mod open_requests;
mod outcomes;
mod renewal;
mod state;
mod verdicts;
mod virtual_user;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use twinwire_os::clock::{self, Nanos};

pub use self::outcomes::{ClientOutcomes, TransportOutcomes, WorkerPause};

use self::backlog::Backlog;
use self::close::close_all;
use self::renewal::Renewal;
use self::state::WorkerState;
use self::virtual_user::{Parts, VirtualUser};
use super::context::PassContext;
use super::evidence::EvidenceLog;
use super::pacer::Pacer;
use super::plan::{client_seed, schedule_seed};
use super::requests::RequestGenerator;
use super::schedule::{Closed, Open, Schedule, Span};
use super::session::{self, ReadyClient, SetupError, SetupTimes, StepTimes};
use crate::domain::Model;
use crate::measure::recorder::{
    CellFigures, CellKey, LiveCounters, Recorder, RecorderConfig, Second, TimeRange, Totals, WindowFigures,
};
use crate::measure::threshold_monitor::{Observed, ThresholdMonitor};

/// How often the worker looks for requests over their time, for the end, and for seconds to hand over.
const SWEEP: Duration = Duration::from_millis(50);

/// Seconds before the newest one that stay open for late replies. The bound keeps memory small however far a server
/// falls behind. A reply that comes later still is counted, but not in its second's quantiles.
const SECONDS_OPEN_MAX: u32 = 30;

/// What the coordinator tells the workers to do.
#[derive(Debug, Clone, Copy)]
pub enum Stage {
    SetUp,
    /// Run the window of this number, which begins at this instant of the clock.
    Run(usize, Nanos),
    /// End now, even if requests are open.
    Stop,
    /// Every worker is done: close your clients.
    Close,
}

/// What a worker reports to the coordinator.
#[derive(Debug)]
pub enum WorkerMessage {
    /// Its clients are set up; times by transport.
    Ready(Vec<SetupTimes>),
    /// A client could not be set up.
    SetupFailed(Box<SetupError>),
    /// Seconds of a transport that this worker will not change again.
    Seconds(WorkerSeconds),
    /// What its monitors saw since the last such message, in their order.
    Observed(Vec<Observed>),
    /// A window is over; with figures by role if windows are compared.
    WindowDone(Option<Box<[WindowFigures; 2]>>),
    /// The load is over.
    Done(Box<WorkerFigures>),
    /// Its clients are closed.
    Closed,
    /// The machine refused something.
    Failed(String),
}

/// A worker's share of some seconds.
#[derive(Debug)]
pub struct WorkerSeconds {
    pub worker: usize,
    /// Index of the transport among the pass's.
    pub transport: u8,
    /// Every second before this one is complete.
    pub before: u32,
    /// The seconds that were not handed over yet.
    pub seconds: Vec<(u32, Box<Second>)>,
}

#[derive(Debug)]
pub struct WorkerFigures {
    /// Cells that were used.
    pub cells: Vec<(CellKey, Box<CellFigures>)>,
    /// Sums by transport.
    pub totals: Vec<Totals>,
    pub outcomes: ClientOutcomes,
}

/// Runs worker number `index` to its end; the thread's body.
pub fn run(
    context: Arc<PassContext>,
    evidence: Arc<EvidenceLog>,
    index: usize,
    stage: watch::Receiver<Stage>,
    reports: mpsc::UnboundedSender<WorkerMessage>,
) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = match builder.enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = reports.send(WorkerMessage::Failed(format!("cannot start a worker: {error}")));
            return;
        }
    };
    runtime.block_on(Worker { context, evidence, index, stage, reports }.run());
}

struct Worker {
    context: Arc<PassContext>,
    evidence: Arc<EvidenceLog>,
    index: usize,
    stage: watch::Receiver<Stage>,
    /// A send fails only once the coordinator is gone, and then the report does not matter.
    reports: mpsc::UnboundedSender<WorkerMessage>,
}

impl Worker {
    async fn run(mut self) {
        let clients = match self.set_up().await {
            Ok((clients, times)) => {
                self.report(WorkerMessage::Ready(times));
                clients
            }
            Err(Some(error)) => return self.report(WorkerMessage::SetupFailed(Box::new(error))),
            Err(None) => return,
        };
        let (state, mut users) = match self.users(clients) {
            Ok(parts) => parts,
            Err(error) => return self.report(WorkerMessage::Failed(format!("no timer for pacing: {error}"))),
        };
        for (index, window) in self.context.clone().plan.windows.iter().enumerate() {
            let Some(at) = self.wait_for_window(index).await else {
                state.stop.set();
                break;
            };
            state.begin_window(*window, at);
            users = self.window(&state, users).await;
            state.end_window();
            state.finish_close_checks().await;
            state.settle_all_verdicts();
            if let Some(failure) = state.stop.take_failure() {
                self.report(WorkerMessage::Failed(failure));
            }
            let figures = state.recorder.borrow_mut().take_window();
            self.report(WorkerMessage::WindowDone(figures.map(Box::new)));
            if state.stop.is_set() {
                break;
            }
        }
        self.hand_over_rest(&state);
        self.report(WorkerMessage::Done(Box::new(figures(&state))));
        self.wait_for_close().await;
        state.contribute_all_evidence();
        close_all(&state, users).await;
        self.report(WorkerMessage::Closed);
    }

    fn report(&self, report: WorkerMessage) {
        let _ = self.reports.send(report);
    }

    /// Sets up every n-th client, which is this worker's share. The error is `None` if the run stops.
    async fn set_up(&mut self) -> Result<(Vec<(u32, ReadyClient)>, Vec<SetupTimes>), Option<SetupError>> {
        let transports = self.context.endpoints.len();
        let times = Rc::new(RefCell::new(
            std::iter::repeat_with(SetupTimes::default).take(transports).collect::<Vec<_>>(),
        ));
        let workers = self.context.live.len();
        let mut waiting = (self.index..self.context.plan.clients.len()).step_by(workers);
        let mut clients = Vec::with_capacity(waiting.len());
        let mut tasks = JoinSet::new();
        loop {
            // A task for every client at once would take memory that is never freed.
            while tasks.len() < session::CONCURRENCY
                && let Some(client) = waiting.next()
            {
                let (context, times, worker) = (self.context.clone(), times.clone(), self.index);
                tasks.spawn_local(async move {
                    let transport = usize::from(context.plan.clients[client].transport);
                    let traffic = context.traffic[worker][transport].clone();
                    let mut steps = StepTimes::default();
                    let ready = session::set_up(&context, client as u32, traffic, &mut steps).await?;
                    times.borrow_mut()[transport].add(steps);
                    LiveCounters::count(&context.live[worker].ready);
                    Ok::<_, SetupError>((client as u32, ready))
                });
            }
            tokio::select! {
                done = tasks.join_next() => match done {
                    Some(done) => clients.push(done.expect("set-up tasks are neither cancelled nor panic")?),
                    None => break,
                },
                _ = self.stage.changed() => return Err(None),
            }
        }
        clients.sort_unstable_by_key(|(client, _)| *client);
        let times = times.take();
        Ok((clients, times))
    }

    /// When the window of this number begins; `None` if the run ends first.
    async fn wait_for_window(&mut self, index: usize) -> Option<Nanos> {
        loop {
            match *self.stage.borrow_and_update() {
                Stage::Run(number, at) if number == index => return Some(at),
                Stage::Stop | Stage::Close => return None,
                Stage::SetUp | Stage::Run(..) => {}
            }
            self.stage.changed().await.ok()?;
        }
    }

    async fn wait_for_close(&mut self) {
        while !matches!(*self.stage.borrow_and_update(), Stage::Close) {
            if self.stage.changed().await.is_err() {
                return;
            }
        }
    }

    fn users(&self, clients: Vec<(u32, ReadyClient)>) -> io::Result<(Rc<WorkerState>, Vec<VirtualUser>)> {
        let context = &self.context;
        let flat = context.curve.is_flat().then(|| context.curve.spans(0));
        let spans = |rank| flat.clone().unwrap_or_else(|| context.curve.spans(rank));
        let mut schedules = Vec::with_capacity(clients.len());
        let mut users = Vec::with_capacity(clients.len());
        for (number, (client, ReadyClient { connection, session })) in clients.into_iter().enumerate() {
            let plan = context.plan.clients[client as usize];
            let schedule = self.schedule(client, spans(plan.rank));
            schedules.push(match &schedule {
                Schedule::Open(open) => Some((plan.transport, open.clone())),
                Schedule::Closed(_) => None,
            });
            let group = &context.scenario.groups[usize::from(plan.group)];
            users.push(VirtualUser::new(Parts {
                number: number as u32,
                transport: plan.transport,
                group: plan.group,
                connection,
                session,
                requests: RequestGenerator::new(
                    client_seed(context.plan.seed, context.plan.number(client)),
                    plan.group,
                    context.plan.cohort,
                ),
                schedule,
                renewal: group.reconnect.map(|every| Renewal::first(every, plan.rank, context.plan.cohort)),
                in_flight: context.load().in_flight.get() as usize,
            }));
        }
        let pacer = Pacer::new(users.len())?;
        let backlog = Backlog::new(schedules);
        let state = WorkerState::new(
            context.clone(),
            self.evidence.clone(),
            self.index,
            pacer,
            self.recorder(),
            backlog,
            users.len(),
        );
        Ok((Rc::new(state), users))
    }

    fn schedule(&self, client: u32, spans: Arc<[Span]>) -> Schedule {
        let context = &self.context;
        let seed = schedule_seed(context.plan.seed, context.plan.number(client));
        match context.load().model {
            Model::Closed { think } => {
                Schedule::Closed(Closed::new(think, context.load().in_flight.get(), spans, seed))
            }
            Model::Open { arrivals, .. } => {
                let rank = context.plan.clients[client as usize].rank;
                Schedule::Open(Open::new(context.curve.clone(), spans, rank, arrivals, seed))
            }
        }
    }

    fn recorder(&self) -> Recorder {
        let context = &self.context;
        let from = clock::nanos(context.load().warmup);
        let mut recorder = Recorder::new(RecorderConfig {
            measured: TimeRange { from, until: from + clock::nanos(context.load().duration()) },
            transports: context.endpoints.len(),
            groups: context.groups.len(),
            paced: context.load().is_paced(),
            windows: context.plan.is_interleaved(),
        });
        recorder.monitors =
            context.monitors.iter().map(|&(filter, metric)| ThresholdMonitor::new(filter, metric)).collect();
        recorder
    }

    /// Runs the users of a window until the last one is done, and returns all users.
    async fn window(&mut self, state: &Rc<WorkerState>, users: Vec<VirtualUser>) -> Vec<VirtualUser> {
        let window = state.clock.window();
        let mut tasks = JoinSet::new();
        let mut resting = Vec::with_capacity(users.len());
        for mut user in users {
            let takes_part = window.transport.is_none_or(|transport| transport == user.transport());
            if !takes_part || user.is_lost() {
                resting.push(user);
                continue;
            }
            user.begin_window(window.until);
            let state = state.clone();
            tasks.spawn_local(async move {
                poll_fn(|cx| user.poll(cx, &state)).await;
                user
            });
        }
        let pacer = state.pacer.clone();
        let pacer = tokio::task::spawn_local(async move { pacer.run().await });
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                done = tasks.join_next() => match done {
                    Some(user) => resting.push(user.expect("user tasks are neither cancelled nor panic")),
                    None => break,
                },
                _ = sweep.tick() => {
                    state.sweep();
                    self.hand_over(state);
                    if pacer.is_finished() {
                        state.stop.fail("cannot pace the load: the timer failed".to_owned());
                    }
                }
                changed = self.stage.changed() => {
                    if changed.is_err() || matches!(*self.stage.borrow(), Stage::Stop) {
                        state.stop.set();
                        state.sweep();
                    }
                }
            }
        }
        pacer.abort();
        resting
    }

    /// Hands over the seconds in which no request is open any more, and what the monitors saw.
    fn hand_over(&self, state: &WorkerState) {
        let now = clock::now();
        let settled = state.open.settled_before(now);
        let recorder = state.recorder.borrow();
        let newest = recorder.second_of(now);
        let before = newest.map(|newest| {
            recorder.second_of(settled).unwrap_or(0).max(newest.saturating_sub(SECONDS_OPEN_MAX))
        });
        drop(recorder);
        if let Some(before) = before.filter(|&before| before > 0) {
            for transport in 0..self.context.endpoints.len() {
                if state.clock.window().is_of(transport) {
                    self.hand_over_before(state, transport, before);
                }
            }
        }
        if let Some(seen) = state.take_observed(now) {
            self.report(WorkerMessage::Observed(seen));
        }
    }

    /// Also reports that nothing is left to hand over, as the coordinator waits for every worker.
    fn hand_over_before(&self, state: &WorkerState, transport: usize, before: u32) {
        let seconds = state.recorder.borrow_mut().take_seconds_before(transport, before);
        if state.handed_over(transport, before) || !seconds.is_empty() {
            let transport = transport as u8;
            self.report(WorkerMessage::Seconds(WorkerSeconds {
                worker: self.index,
                transport,
                before,
                seconds,
            }));
        }
    }

    fn hand_over_rest(&self, state: &WorkerState) {
        for transport in 0..self.context.endpoints.len() {
            self.hand_over_before(state, transport, u32::MAX);
        }
    }
}

fn figures(state: &WorkerState) -> WorkerFigures {
    let nothing = RecorderConfig {
        measured: TimeRange { from: 0, until: 0 },
        transports: 0,
        groups: 0,
        paced: false,
        windows: false,
    };
    let recorder = state.recorder.replace(Recorder::new(nothing));
    let (totals, cells) = recorder.into_figures();
    WorkerFigures { cells, totals, outcomes: state.take_outcomes() }
}
