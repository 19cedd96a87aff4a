//! One worker: a thread with a runtime of its own that sets its clients up, runs them, and closes them.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::context::PassContext;
use super::flight::{Asked, Flight, Incident, Ring};
use super::pacer::Pacer;
use super::plan::client_seed;
use super::requests::Requests;
use super::schedule::Schedule;
use super::setup::{self, Ready, SetupError, SetupTimes};
use super::virtual_user::{Parts, VirtualUser};
use crate::measure::clock::{self, Nanos};
use crate::measure::recorder::{Live, Recorder, Second, Window};
use crate::oracle::{Finding, Session, texts};
use crate::scenario::model::{Model, Think};
use crate::wire::{Ended, SILENCE_NS};

/// Clients of one worker that are set up or closed at the same time: enough to hide the round trips, few enough
/// for any server's listen queue.
const SETUP_CONCURRENCY: usize = 64;

/// How often the worker looks for requests over their time, for the end, and for seconds to hand over.
const SWEEP: Duration = Duration::from_millis(50);

/// Longest that closing one client may take; a server that is slower has its connection dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the coordinator wants of the workers.
#[derive(Debug, Clone, Copy)]
pub enum Stage {
    /// Set your clients up.
    SetUp,
    /// Run them: from the first instant on, measured within the window.
    Run(Nanos, Window),
    /// End now, whatever is open.
    Stop,
    /// Every worker is done: close your clients.
    Close,
}

/// What a worker tells the coordinator.
#[derive(Debug)]
pub enum Report {
    /// Its clients are set up; times by transport.
    Ready(Vec<SetupTimes>),
    /// One could not be set up.
    SetupFailed(Box<SetupError>),
    /// Seconds that nothing changes any more: transport, second, figures.
    Seconds(Vec<(u8, u32, Box<Second>)>),
    /// The load is over.
    Done(Box<Figures>),
    /// Its clients are closed.
    Closed,
    /// The machine refused something.
    Failed(String),
}

/// What a worker measured.
#[derive(Debug)]
pub struct Figures {
    /// Cells and sums.
    pub recorder: Recorder,
    /// Clients that ended before their time, and how the first of them did.
    pub lost: u32,
    /// See above.
    pub first_lost: Option<String>,
}

/// What the tasks of one worker share.
#[derive(Debug)]
pub struct Shared {
    /// What all workers share.
    pub context: Arc<PassContext>,
    /// Wakes clients.
    pub pacer: Rc<Pacer>,
    /// The worker's figures.
    pub recorder: RefCell<Recorder>,
    /// A request open for longer is an error, ns.
    pub timeout: Nanos,
    /// End of the load.
    pub until: Cell<Nanos>,
    worker: usize,
    stopped: Cell<bool>,
    /// When each client's oldest open request was sent.
    oldest: RefCell<Vec<Nanos>>,
    flights: RefCell<Ring>,
    lost: Cell<u32>,
    first_lost: RefCell<Option<String>>,
    failure: RefCell<Option<String>>,
}

impl Shared {
    /// The worker's live counters.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.context.live[self.worker]
    }

    /// Whether the run stops now.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stopped.get()
    }

    /// A client's oldest open request was sent then.
    pub fn set_oldest(&self, number: u32, sent: Nanos) {
        self.oldest.borrow_mut()[number as usize] = sent;
    }

    /// Keeps an answered request, in case a violation asks for it.
    pub fn flown(&self, flight: Flight) {
        self.flights.borrow_mut().note(flight);
    }

    /// Counts a violation, and keeps its details unless there are enough.
    pub fn violated(&self, session: &Session, finding: Finding, asked: Asked, reply: &[u8], at: Nanos) {
        Live::count(&self.live().violations);
        let incidents = &self.context.incidents;
        if incidents.has_room() {
            incidents.note(Incident::new(&self.context, session, finding, asked, reply, at));
        }
    }

    /// A client has ended before its time.
    pub fn lost(&self, client: u32, ended: &Ended) {
        self.lost.set(self.lost.get() + 1);
        let name = &self.context.world.client(client).name;
        self.first_lost.borrow_mut().get_or_insert_with(|| format!("`{name}`: {ended}"));
    }

    /// The machine refused something that the load cannot do without: stop.
    pub fn fail(&self, error: &io::Error) {
        self.failure.borrow_mut().get_or_insert_with(|| format!("cannot pace the load: {error}"));
        self.stopped.set(true);
    }

    /// Wakes whoever has something to do that no event tells: a time-out, an odd raw reply, the end.
    fn sweep(&self) {
        let now = clock::now();
        let over = now >= self.until.get() || self.stopped();
        for (number, &sent) in self.oldest.borrow().iter().enumerate() {
            let late = sent != Nanos::MAX && (sent + self.timeout <= now || sent + SILENCE_NS <= now);
            if late || over {
                self.pacer.wake(number as u32);
            }
        }
        let p99 = self.recorder.borrow().recent_p99_ns(now);
        self.live().p99_ns.store(p99.unwrap_or(0), Ordering::Relaxed);
        self.context.incidents.contribute(&self.context.world, &mut self.flights.borrow_mut());
    }
}

/// Runs worker number `index` to its end; the thread's body.
pub fn run(
    context: Arc<PassContext>,
    index: usize,
    stage: watch::Receiver<Stage>,
    reports: mpsc::UnboundedSender<Report>,
) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = match builder.enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = reports.send(Report::Failed(format!("cannot start a worker: {error}")));
            return;
        }
    };
    runtime.block_on(Worker { context, index, stage, reports }.run());
}

struct Worker {
    context: Arc<PassContext>,
    index: usize,
    stage: watch::Receiver<Stage>,
    /// A send fails only once the coordinator is gone, and then nobody is left to tell.
    reports: mpsc::UnboundedSender<Report>,
}

impl Worker {
    async fn run(mut self) {
        let clients = match self.set_up().await {
            Ok((clients, times)) => {
                let _ = self.reports.send(Report::Ready(times));
                clients
            }
            Err(Some(error)) => return drop(self.reports.send(Report::SetupFailed(Box::new(error)))),
            Err(None) => return,
        };
        let Some((from, window)) = self.wait_for_run().await else { return };
        let shared = match self.shared(clients.len(), window) {
            Ok(shared) => Rc::new(shared),
            Err(error) => {
                return drop(self.reports.send(Report::Failed(format!("no timer for pacing: {error}"))));
            }
        };
        let users = self.users(clients, from, window);
        let mut users = self.load(&shared, users).await;
        let last = shared.recorder.borrow_mut().take_seconds_before(u32::MAX);
        let _ = self.reports.send(Report::Seconds(last));
        if let Some(failure) = shared.failure.borrow_mut().take() {
            let _ = self.reports.send(Report::Failed(failure));
        }
        let _ = self.reports.send(Report::Done(Box::new(figures(&shared))));
        self.wait_for_close().await;
        self.context.incidents.contribute_all(&self.context.world, &mut shared.flights.borrow_mut());
        close(&shared, &mut users).await;
        let _ = self.reports.send(Report::Closed);
    }

    /// Sets up this worker's share of the clients: every n-th. The error is `None` where the run stops.
    async fn set_up(&mut self) -> Result<(Vec<(u32, Ready)>, Vec<SetupTimes>), Option<SetupError>> {
        let transports = self.context.endpoints.len();
        let times = Rc::new(RefCell::new(
            std::iter::repeat_with(SetupTimes::default).take(transports).collect::<Vec<_>>(),
        ));
        let slots = Rc::new(Semaphore::new(SETUP_CONCURRENCY));
        let mut tasks = JoinSet::new();
        let workers = self.context.live.len();
        for client in (self.index..self.context.plan.clients.len()).step_by(workers) {
            let (context, times, slots) = (self.context.clone(), times.clone(), slots.clone());
            let worker = self.index;
            tasks.spawn_local(async move {
                let _slot = slots.acquire().await.expect("the semaphore is never closed");
                let transport = usize::from(context.plan.clients[client].transport);
                let traffic = context.traffic[worker][transport].clone();
                let mut own = SetupTimes::default();
                let ready = setup::set_up(&context, client as u32, traffic, &mut own).await?;
                times.borrow_mut()[transport].merge(&own);
                Live::count(&context.live[worker].ready);
                Ok::<_, SetupError>((client as u32, ready))
            });
        }
        let mut clients = Vec::with_capacity(tasks.len());
        loop {
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

    async fn wait_for_run(&mut self) -> Option<(Nanos, Window)> {
        loop {
            match *self.stage.borrow_and_update() {
                Stage::Run(from, window) => return Some((from, window)),
                Stage::Stop | Stage::Close => return None,
                Stage::SetUp => {}
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

    fn shared(&self, clients: usize, window: Window) -> io::Result<Shared> {
        let (transports, groups) = (self.context.endpoints.len(), self.context.groups.len());
        Ok(Shared {
            context: self.context.clone(),
            pacer: Pacer::new(clients)?,
            recorder: RefCell::new(Recorder::new(window, transports, groups, self.context.load().is_paced())),
            timeout: clock::nanos(self.context.scenario.timeout),
            until: Cell::new(window.until),
            worker: self.index,
            stopped: Cell::new(false),
            oldest: RefCell::new(vec![Nanos::MAX; clients]),
            flights: RefCell::default(),
            lost: Cell::new(0),
            first_lost: RefCell::default(),
            failure: RefCell::default(),
        })
    }

    fn users(&self, clients: Vec<(u32, Ready)>, from: Nanos, window: Window) -> Vec<VirtualUser> {
        let load = self.context.load();
        let think = match load.model {
            Model::Closed { think } => think,
            // The plan lets none through yet.
            Model::Open { .. } => Think::Constant(Duration::ZERO),
        };
        let user = |(number, (client, Ready { connection, session })): (usize, (u32, Ready))| {
            let plan = self.context.plan.clients[client as usize];
            let mut requests = Requests::new(client_seed(self.context.plan.seed, client), plan.group);
            let slots = load.in_flight.get();
            let schedule = Schedule::new(think, slots, from, window.until, requests.random());
            VirtualUser::new(Parts {
                number: number as u32,
                transport: plan.transport,
                group: plan.group,
                connection,
                session,
                requests,
                schedule,
                in_flight: slots as usize,
            })
        };
        clients.into_iter().enumerate().map(user).collect()
    }

    /// Runs the users until the last one is done.
    async fn load(&mut self, shared: &Rc<Shared>, users: Vec<VirtualUser>) -> Vec<VirtualUser> {
        let mut tasks = JoinSet::new();
        for mut user in users {
            let shared = shared.clone();
            tasks.spawn_local(async move {
                poll_fn(|cx| user.poll(cx, &shared)).await;
                user
            });
        }
        let pacer = shared.pacer.clone();
        let pacer = tokio::task::spawn_local(async move { pacer.run().await });
        let mut sweep = tokio::time::interval(SWEEP);
        let mut users = Vec::with_capacity(tasks.len());
        loop {
            tokio::select! {
                done = tasks.join_next() => match done {
                    Some(user) => users.push(user.expect("user tasks are neither cancelled nor panic")),
                    None => break,
                },
                _ = sweep.tick() => {
                    shared.sweep();
                    self.hand_over_seconds(shared);
                    if pacer.is_finished() {
                        shared.fail(&io::Error::other("the timer failed"));
                    }
                }
                changed = self.stage.changed() => {
                    if changed.is_err() || matches!(*self.stage.borrow(), Stage::Stop) {
                        shared.stopped.set(true);
                        shared.sweep();
                    }
                }
            }
        }
        pacer.abort();
        users
    }

    /// A second is final once every request intended in it has been answered or has timed out.
    fn hand_over_seconds(&self, shared: &Shared) {
        let mut recorder = shared.recorder.borrow_mut();
        let Some(final_before) =
            recorder.second_of(clock::now().saturating_sub(shared.timeout + clock::SECOND))
        else {
            return;
        };
        let seconds = recorder.take_seconds_before(final_before);
        if !seconds.is_empty() {
            let _ = self.reports.send(Report::Seconds(seconds));
        }
    }
}

fn figures(shared: &Shared) -> Figures {
    Figures {
        recorder: shared.recorder.replace(Recorder::new(Window { from: 0, until: 0 }, 0, 0, false)),
        lost: shared.lost.get(),
        first_lost: shared.first_lost.take(),
    }
}

/// Ends every session with `q`, so that its name is free and the server sees no resets. Its reply is judged too.
async fn close(shared: &Rc<Shared>, users: &mut Vec<VirtualUser>) {
    let slots = Rc::new(Semaphore::new(SETUP_CONCURRENCY));
    let mut tasks = JoinSet::new();
    // A stopped run has replies under way that would be taken for that of `q`: its connections are just dropped.
    for mut user in users.drain(..).filter(|user| !user.is_lost() && !shared.stopped()) {
        let (shared, slots) = (shared.clone(), slots.clone());
        shared.context.world.set_ending(user.client());
        tasks.spawn_local(async move {
            let _slot = slots.acquire().await.expect("the semaphore is never closed");
            let reply = setup::quit(user.connection(), CLOSE_TIMEOUT).await;
            if let Some(reply) = reply.filter(|reply| reply != texts::EXITING) {
                let expected = format!("`{}`", texts::EXITING);
                let finding = Finding { kind: "wrong reply", rule: "LIFE-1", expected };
                shared.violated(user.session(), finding, Asked::Quit, reply.as_bytes(), clock::now());
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("closing tasks are neither cancelled nor panic");
    }
}
