//! What the tasks of one worker share: the window that runs, the recorder, and who waits for what.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinHandle;

use super::backlog::Backlog;
use super::context::PassContext;
use super::doubts::{Doubt, Doubts};
use super::ending::closes_again;
use super::flight::{Asked, Flight, Incident, Ring, Timing};
use super::judge::Pending;
use super::pacer::Pacer;
use super::plan::WindowPlan;
use super::setup::SetupError;
use super::setup_times::{SetupTimes, Steps};
use crate::measure::clock::{self, Nanos, SECOND};
use crate::measure::pauses::{Pause, Pulse};
use crate::measure::recorder::{CellKey, Instants, Live, Recorder, Window, joint_quantile};
use crate::measure::watch::Seen;
use crate::wire::{ConnectError, Ended, SILENCE_NS, Traffic};

/// Longest that a backlog is worked off after the load's end. What is then left was offered and not served.
const DRAIN_MAX: Nanos = SECOND;

/// A client's oldest request.
#[derive(Debug, Clone, Copy)]
pub struct Oldest {
    /// When the oldest open one was sent.
    pub sent: Nanos,
    /// When the oldest one that is open or due was intended.
    pub intended: Nanos,
}

impl Oldest {
    /// None open, none due.
    pub const NONE: Self = Self { sent: Nanos::MAX, intended: Nanos::MAX };
}

/// What the tasks of one worker share.
#[derive(Debug)]
pub struct Shared {
    /// What all workers share.
    pub context: Arc<PassContext>,
    /// Wakes clients.
    pub pacer: std::rc::Rc<Pacer>,
    /// The worker's figures.
    pub recorder: RefCell<Recorder>,
    /// A request open for longer is an error, ns.
    pub timeout: Nanos,
    worker: usize,
    stopped: Cell<bool>,
    /// The clock's instant of load time 0 in the window that runs.
    origin: Cell<Nanos>,
    window: Cell<WindowPlan>,
    backlog: Backlog,
    /// By transport, of a mixed load in the first place.
    waiting: RefCell<Vec<Waiting>>,
    /// The least backlog seen in the last quarter of the window that runs.
    standing: Cell<Option<u64>>,
    pulse: Pulse,
    /// Pauses so far, with the transport under load (`None`: all), in load time.
    paused: RefCell<Vec<(Option<u8>, Pause)>>,
    /// Load time that each transport has reached.
    reached: RefCell<Vec<Nanos>>,
    oldest: RefCell<Vec<Oldest>>,
    flights: RefCell<Ring>,
    doubts: Doubts,
    /// Those who look whether a server that closed on a request does it again.
    suspects: RefCell<Vec<JoinHandle<()>>>,
    renewals: RefCell<Vec<SetupTimes>>,
    /// Whether a close after `q` was waited for in vain.
    never_closes: Cell<bool>,
    lost: RefCell<Vec<u32>>,
    first_lost: RefCell<Option<String>>,
    failure: RefCell<Option<String>>,
    watched_at: Cell<Nanos>,
    /// By transport, the seconds that were handed over: all before this one.
    handed_over: RefCell<Vec<u32>>,
    /// The second whose predecessor was told of.
    told: Cell<Option<u32>>,
}

/// How the clients fared, beside what the recorder knows.
#[derive(Debug, Default)]
pub struct Fates {
    /// Clients that ended before their time, by transport.
    pub lost: Vec<u32>,
    /// How the first of them did.
    pub first_lost: Option<String>,
    /// New sessions in mid-load, by transport.
    pub renewals: Vec<SetupTimes>,
    /// What waited to be sent, by transport; of a mixed load in the first place.
    pub waiting: Vec<Waiting>,
    /// Requests of the measured part that lost clients would have asked, by transport.
    pub due_of_lost: Vec<u64>,
    /// When the worker stood still, with the transport under load (`None`: all), in load time.
    pub paused: Vec<(Option<u8>, Pause)>,
}

/// What of an open load waited to be sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Waiting {
    /// Most requests that were due and not sent at one time.
    pub max: u64,
    /// The backlogs that never went away in the last quarters of the windows, added up.
    pub standing: u64,
    /// How long after a window's end the last request had its end, at most.
    pub drained: Nanos,
}

impl Waiting {
    /// Adds another worker's share.
    pub fn add(&mut self, other: &Self) {
        self.max += other.max;
        self.standing += other.standing;
        self.drained = self.drained.max(other.drained);
    }
}

impl Shared {
    /// For worker number `worker`.
    #[must_use]
    pub fn new(
        context: Arc<PassContext>,
        worker: usize,
        pacer: std::rc::Rc<Pacer>,
        recorder: Recorder,
        backlog: Backlog,
        clients: usize,
    ) -> Self {
        let transports = context.endpoints.len();
        Self {
            timeout: clock::nanos(context.scenario.timeout),
            pacer,
            recorder: RefCell::new(recorder),
            worker,
            stopped: Cell::new(false),
            origin: Cell::new(0),
            window: Cell::new(context.plan.windows[0]),
            backlog,
            waiting: RefCell::new(vec![Waiting::default(); transports]),
            standing: Cell::new(None),
            pulse: Pulse::default(),
            paused: RefCell::default(),
            reached: RefCell::new(vec![0; transports]),
            oldest: RefCell::new(vec![Oldest::NONE; clients]),
            flights: RefCell::default(),
            doubts: Doubts::default(),
            suspects: RefCell::default(),
            renewals: RefCell::new(std::iter::repeat_with(SetupTimes::default).take(transports).collect()),
            never_closes: Cell::new(false),
            lost: RefCell::new(vec![0; transports]),
            first_lost: RefCell::default(),
            failure: RefCell::default(),
            watched_at: Cell::new(0),
            handed_over: RefCell::new(vec![0; transports]),
            told: Cell::new(None),
            context,
        }
    }

    /// A window begins at this instant of the clock.
    pub fn begin_window(&self, window: WindowPlan, at: Nanos) {
        self.window.set(window);
        self.origin.set(at - window.from);
        self.watched_at.set(at);
        self.backlog.set_end(window.until);
        self.recorder.borrow_mut().begin_window(self.origin.get(), window.until);
        self.standing.set(None);
        self.pulse.begin(at, clock::asleep());
    }

    /// The window is over, or cut.
    pub fn end_window(&self) {
        let (now, window) = (clock::now(), self.window.get());
        self.pulse.beat_with(now, clock::asleep());
        let paused = self.pulse.take().into_iter().map(|Pause { between, asleep }| {
            let between = Window { from: self.load_time(between.from), until: self.load_time(between.until) };
            (window.transport, Pause { between, asleep })
        });
        self.paused.borrow_mut().extend(paused);
        for (transport, reached) in self.reached.borrow_mut().iter_mut().enumerate() {
            if window.transport.is_none_or(|active| usize::from(active) == transport) {
                *reached = self.load_time(now).min(window.until);
            }
        }
        let waiting = &mut self.waiting.borrow_mut()[usize::from(window.transport.unwrap_or(0))];
        waiting.standing += self.standing.take().unwrap_or(0);
        waiting.drained = waiting.drained.max(now.saturating_sub(self.until()));
    }

    /// The worker is awake, as it is at every poll of a client.
    pub fn beat(&self, now: Nanos) {
        self.pulse.beat(now);
    }

    /// The worker's last pause, if it ended after this instant.
    #[must_use]
    pub fn pause_since(&self, at: Nanos) -> Option<Window> {
        self.pulse.pause_since(at)
    }

    /// The part of the load that is measured, in load time.
    #[must_use]
    pub fn measured(&self) -> Window {
        let from = clock::nanos(self.context.load().warmup);
        Window { from, until: from + clock::nanos(self.context.load().duration()) }
    }

    /// Load time of an instant of the clock.
    #[must_use]
    pub fn load_time(&self, at: Nanos) -> Nanos {
        at.saturating_sub(self.origin.get())
    }

    /// The clock's instant of a load time in the window that runs.
    #[must_use]
    pub fn clock_time(&self, at: Nanos) -> Nanos {
        at + self.origin.get()
    }

    /// The window that runs.
    #[must_use]
    pub fn window(&self) -> WindowPlan {
        self.window.get()
    }

    /// End of the window, by the clock.
    #[must_use]
    pub fn until(&self) -> Nanos {
        self.clock_time(self.window.get().until)
    }

    /// When a backlog is given up, by the clock.
    #[must_use]
    pub fn drained_at(&self) -> Nanos {
        self.until() + DRAIN_MAX.min(self.window.get().length())
    }

    /// The worker's live counters.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.context.live[self.worker]
    }

    /// Counts this worker's bytes on a transport.
    #[must_use]
    pub fn traffic(&self, transport: usize) -> Arc<Traffic> {
        self.context.traffic[self.worker][transport].clone()
    }

    /// Whether the run stops now.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stopped.get()
    }

    /// The run stops now.
    pub fn stop(&self) {
        self.stopped.set(true);
    }

    /// So many requests of the schedules were sent or given up.
    pub fn took(&self, count: u64) {
        self.backlog.took(count);
    }

    /// A client's oldest request.
    pub fn set_oldest(&self, number: u32, oldest: Oldest) {
        self.oldest.borrow_mut()[number as usize] = oldest;
    }

    /// Every request intended before this instant of the clock has had its end, as far as `now` knows.
    #[must_use]
    pub fn settled_before(&self, now: Nanos) -> Nanos {
        self.oldest.borrow().iter().map(|oldest| oldest.intended).fold(now, Nanos::min)
    }

    /// Keeps an answered request, in case a violation asks for it.
    pub fn flown(&self, flight: Flight) {
        self.flights.borrow_mut().note(flight);
    }

    /// Counts a violation, and keeps its details unless there are enough.
    pub fn violated(&self, incident: impl FnOnce(&PassContext) -> Incident) {
        Live::count(&self.live().violations);
        if self.context.incidents.has_room() {
            self.context.incidents.note(incident(&self.context).during(self.timing()));
        }
    }

    /// Whether a reply's judgement may be put off.
    #[must_use]
    pub fn may_doubt(&self) -> bool {
        self.doubts.have_room()
    }

    /// Puts off the judgement of a reply that may be right after all; see [`Self::may_doubt`].
    pub fn doubt(
        &self,
        (absent, pending): (u32, &Pending),
        replied: Nanos,
        incident: impl FnOnce(&PassContext) -> Incident,
    ) {
        let has_room = self.context.incidents.has_room();
        let incident = has_room.then(|| Box::new(incident(&self.context).during(self.timing())));
        self.doubts.add(Doubt { absent, cell: pending.cell, at: pending.at, replied, incident });
    }

    /// Judges what was doubted long enough by now; without it, all that is left.
    pub fn settle_doubts(&self, now: Option<Nanos>) {
        for Doubt { cell, at, incident, .. } in self.doubts.settle(&self.context.world, now) {
            self.convict(cell, at, incident);
        }
    }

    /// Counts a violation if the server closes on a newcomer as well that makes this request; see
    /// [`Self::judge_suspects`].
    pub fn suspect(
        self: &Rc<Self>,
        (client, pending): (u32, &Pending),
        request: String,
        incident: impl FnOnce(&PassContext) -> Incident,
    ) {
        let (shared, cell, at) = (self.clone(), pending.cell, pending.at);
        let has_room = self.context.incidents.has_room();
        let incident = has_room.then(|| Box::new(incident(&self.context).during(self.timing())));
        self.suspects.borrow_mut().push(tokio::task::spawn_local(async move {
            if closes_again(&shared.context, (client, cell.role), request.as_bytes()).await {
                shared.convict(cell, at, incident);
            }
        }));
    }

    /// Waits until all that is suspect is judged.
    pub async fn judge_suspects(&self) {
        let suspects = self.suspects.take();
        for suspect in suspects {
            suspect.await.expect("such tasks are neither cancelled nor panic");
        }
    }

    /// Counts a violation that was put off.
    fn convict(&self, cell: CellKey, at: Instants, incident: Option<Box<Incident>>) {
        self.recorder.borrow_mut().violated(cell, at, clock::now());
        Live::count(&self.live().violations);
        if let Some(incident) = incident {
            self.context.incidents.note(*incident);
        }
    }

    fn timing(&self) -> Timing {
        let origin = self.origin.get();
        Timing {
            origin,
            since: origin + self.window.get().from,
            measured_from: clock::nanos(self.context.load().warmup),
        }
    }

    /// A client has ended before its time, at this instant.
    pub fn lost(&self, number: u32, client: u32, ended: &Ended, now: Nanos) {
        let transport = usize::from(self.context.plan.clients[client as usize].transport);
        self.lost.borrow_mut()[transport] += 1;
        self.backlog.forget(number, self.load_time(now));
        let name = &self.context.world.client(client).name;
        self.first_lost.borrow_mut().get_or_insert_with(|| format!("`{name}`: {ended}"));
    }

    /// A new session was set up on a transport.
    pub fn renewed(&self, transport: usize, steps: Steps) {
        self.renewals.borrow_mut()[transport].add(steps);
    }

    /// A new session could not be set up; how its client ended. For a shortage of this machine's the run stops.
    pub fn renewal_failed(&self, error: SetupError) -> Ended {
        let text = error.to_string();
        match error {
            SetupError::Violated { incident, .. } => {
                if let Asked::Close = incident.asked {
                    self.never_closes.set(true);
                }
                self.violated(|_| *incident);
            }
            SetupError::Connect(ConnectError::Shortage(_)) => {
                self.fail(format!("while load `{}` ran: {text}", self.context.load().name));
            }
            _ => {}
        }
        Ended::Failed(text)
    }

    /// Whether a close after `q` was waited for in vain in the load: once is enough.
    #[must_use]
    pub fn never_closes(&self) -> bool {
        self.never_closes.get()
    }

    /// The machine refused something that the load cannot do without: stop.
    pub fn fail(&self, why: String) {
        self.failure.borrow_mut().get_or_insert(why);
        self.stop();
    }

    /// What the machine refused, if it did.
    pub fn take_failure(&self) -> Option<String> {
        self.failure.borrow_mut().take()
    }

    /// How the clients fared.
    pub fn take_fates(&self) -> Fates {
        Fates {
            lost: self.lost.take(),
            first_lost: self.first_lost.take(),
            renewals: self.renewals.take(),
            waiting: self.waiting.take(),
            due_of_lost: self.backlog.due_of_lost(self.measured(), &self.reached.borrow()),
            paused: self.paused.take(),
        }
    }

    /// Wakes whoever has something to do that no event tells (a time-out, an odd raw reply, the end), and tells how
    /// things stand.
    pub fn sweep(&self) {
        let now = clock::now();
        self.pulse.beat_with(now, clock::asleep());
        let over = now >= self.until() || self.stopped();
        for (number, oldest) in self.oldest.borrow().iter().enumerate() {
            let late = oldest.sent != Nanos::MAX
                && (oldest.sent + self.timeout <= now || oldest.sent + SILENCE_NS <= now);
            if late || over {
                self.pacer.wake(number as u32);
            }
        }
        self.tell(now);
        self.settle_doubts(Some(now));
        self.context.incidents.contribute(&self.context.world, &mut self.flights.borrow_mut());
    }

    /// The load is over: adds what this worker knows of every violation.
    pub fn tell_incidents(&self) {
        self.context.incidents.contribute_all(&self.context.world, &mut self.flights.borrow_mut());
    }

    fn tell(&self, now: Nanos) {
        let live = self.live();
        let open = self.context.load().is_open();
        if open {
            let backlog = self.backlog.at(self.load_time(now), self.window.get().transport);
            live.backlog.store(backlog, Ordering::Relaxed);
            self.note_backlog(self.load_time(now), backlog);
        }
        let recorder = self.recorder.borrow();
        let second = recorder.second_of(now);
        if self.told.replace(second) == second {
            return;
        }
        let joint = |q, part: fn(&crate::measure::recorder::Second) -> &crate::record::Latencies| {
            joint_quantile(recorder.last_seconds(now).map(part), q).unwrap_or(0)
        };
        let headline = if open { response } else { service };
        live.p99_ns.store(joint(0.99, headline), Ordering::Relaxed);
        if open {
            live.response_p50_ns.store(joint(0.5, response), Ordering::Relaxed);
            live.lag_p50_ns.store(joint(0.5, |second| &second.dispatch_lag), Ordering::Relaxed);
        }
    }

    /// `at`: load time.
    fn note_backlog(&self, at: Nanos, backlog: u64) {
        let (window, measured) = (self.window.get(), self.measured());
        if at < measured.from {
            return;
        }
        let transport = usize::from(window.transport.unwrap_or(0));
        let max = &mut self.waiting.borrow_mut()[transport].max;
        *max = (*max).max(backlog);
        let length = window.until.saturating_sub(window.from.max(measured.from));
        if (window.until - length / 4..window.until).contains(&at) {
            self.standing.set(Some(self.standing.get().map_or(backlog, |least| least.min(backlog))));
        }
    }

    /// Notes that all seconds before this one are handed over; `true` where that is news.
    pub fn handed_over(&self, transport: usize, before: u32) -> bool {
        let last = &mut self.handed_over.borrow_mut()[transport];
        std::mem::replace(last, (*last).max(before)) < before
    }

    /// What the watches saw in the last second; `None` until it has passed.
    pub fn take_watched(&self, now: Nanos) -> Option<Vec<Seen>> {
        let mut recorder = self.recorder.borrow_mut();
        if recorder.watches.is_empty() || now < self.watched_at.get() + SECOND {
            return None;
        }
        self.watched_at.set(now);
        Some(recorder.watches.iter_mut().map(crate::measure::watch::Watch::take).collect())
    }
}

fn response(second: &crate::measure::recorder::Second) -> &crate::record::Latencies {
    &second.latencies.response
}

fn service(second: &crate::measure::recorder::Second) -> &crate::record::Latencies {
    &second.latencies.service
}
