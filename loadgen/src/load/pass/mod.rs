//! The coordinator of one pass: starts the workers, starts window after window, samples the processes, and collects the
//! figures.

mod abort;
mod generator_lag;
mod intervals;
mod record;
mod sample;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use twinwire_os::clock::{self, Nanos};
use twinwire_os::cpus;

use self::abort::AbortMonitor;
pub use self::abort::{AbortCondition, abort_conditions};
use self::generator_lag::GeneratorLag;
use self::intervals::Intervals;
use self::record::PassSummary;
use self::sample::{Sample, SampleInterval};
use super::context::PassContext;
use super::events::{Event, RateMeter, Tick};
use super::evidence::{EvidenceLog, with_replay};
use super::placement::Placement;
use super::plan::WindowPlan;
use super::session::{SetupError, SetupTimes};
use super::worker::{self, Stage, WorkerFigures, WorkerMessage};
use crate::domain::Transport;
use crate::measure::recorder::{TimeRange, WindowFigures};
use crate::record::{Pass, Violation};
use crate::targets::Target;
use crate::wire::{ConnectError, Endpoint};

/// How often progress is reported.
const TICK: Duration = Duration::from_millis(250);

/// Longest that workers may take to close their clients and end.
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// From the decision to start a window to its first request: time for every worker to learn of it, and for the machine
/// to settle.
const START_DELAY_NS: Nanos = 20_000_000;

/// How long a target that this program started may still listen after every client was lost, and count as dying.
const DEATH_BEGINS_MAX: Duration = Duration::from_secs(2);

/// How long it may take to die once it no longer listens. Its connections go first. Its last threads may run at a low
/// priority, and on a busy machine this took more than two seconds.
const DEATH_TAKES_MAX: Duration = Duration::from_secs(15);

/// How often the process is polled.
const DEATH_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How a pass ended.
#[derive(Debug)]
pub enum RunEnd {
    /// As planned.
    Complete,
    /// The user stopped it.
    Interrupted,
    /// The target was lost: what was being done and what happened.
    TargetLost(String),
    /// The clients could not be set up because the target gave a wrong reply.
    SetupViolated(String, Box<Violation>),
    /// This threshold of the scenario was missed for so long that the run was stopped.
    Aborted(usize),
    /// This machine refused something.
    MachineFailed(String),
}

/// The result of a pass.
#[derive(Debug)]
pub struct PassResult {
    pub passes: Vec<Pass>,
    /// First violations, with details.
    pub violations: Vec<Violation>,
    /// All of them.
    pub violations_total: u64,
    pub end: RunEnd,
}

/// Everything about a pass that its coordinator needs.
pub struct Coordinator<'a> {
    pub context: Arc<PassContext>,
    /// The target, whose process shows whether it died.
    pub target: &'a mut Target,
    pub placement: &'a Placement,
    /// Changes to `true` when the user wants to stop.
    pub interrupt: watch::Receiver<bool>,
    pub abort: Vec<AbortCondition>,
    /// Violations of earlier passes, for progress.
    pub violations_before: u64,
    /// Seconds since the run began.
    pub started_s: f64,
    pub on_event: &'a mut dyn FnMut(Event),
}

/// What a coordinator has collected so far.
struct Collected {
    intervals: Intervals,
    setup: Vec<Vec<SetupTimes>>,
    figures: Vec<WorkerFigures>,
    closed: usize,
    sample_intervals: Vec<SampleInterval>,
    windows: Vec<WindowResult>,
    /// Load time that each transport has reached.
    reached: Vec<Nanos>,
    abort: AbortMonitor,
    end: RunEnd,
}

/// A window that has run.
struct WindowResult {
    index: usize,
    /// When it began, by the clock.
    at: Nanos,
    roles: [WindowFigures; 2],
}

/// A window while it runs.
struct RunningWindow {
    index: usize,
    plan: WindowPlan,
    /// When it begins, by the clock.
    at: Nanos,
    /// Load time that earlier windows took, for progress.
    before: Nanos,
    /// Workers that have finished it.
    done: usize,
    /// Load time of the next sample, if there is one.
    next_sample: Option<Nanos>,
    last_sample: Option<DatedSample>,
    stopped: bool,
}

/// A sample, and its load time.
struct DatedSample {
    at: Nanos,
    sample: Sample,
}

/// Looks at a load four times a second, whatever the length of its windows.
struct ProgressMonitor {
    tick: Interval,
    rate: RateMeter,
    generator_lag: GeneratorLag,
}

impl ProgressMonitor {
    fn new() -> Self {
        let mut tick = tokio::time::interval_at(Instant::now() + TICK, TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { tick, rate: RateMeter::default(), generator_lag: GeneratorLag::default() }
    }
}

impl RunningWindow {
    fn clock_time(&self, load_time: Nanos) -> Nanos {
        self.at + (load_time - self.plan.from)
    }

    fn load_time(&self, now: Nanos) -> Nanos {
        (self.plan.from + now.saturating_sub(self.at)).min(self.plan.until)
    }
}

impl Coordinator<'_> {
    pub async fn run(mut self) -> PassResult {
        let workers = self.context.live.len();
        let evidence = Arc::new(EvidenceLog::default());
        let (stage, _) = watch::channel(Stage::SetUp);
        let (sender, mut reports) = mpsc::unbounded_channel();
        let mut threads = Vec::with_capacity(workers);
        for worker in 0..workers {
            let (context, evidence) = (self.context.clone(), evidence.clone());
            let (stage, sender) = (stage.subscribe(), sender.clone());
            let cpu = self.placement.generator.get(worker).copied();
            threads.push(std::thread::spawn(move || {
                if let Some(cpu) = cpu {
                    cpus::pin(&[cpu]);
                }
                worker::run(context, evidence, worker, stage, sender);
            }));
        }
        drop(sender);
        let transports: Vec<Transport> = self.context.endpoints.iter().map(Endpoint::transport).collect();
        let mut collected = Collected {
            reached: vec![0; transports.len()],
            intervals: Intervals::new(workers, transports),
            setup: Vec::new(),
            figures: Vec::new(),
            closed: 0,
            sample_intervals: Vec::new(),
            windows: Vec::new(),
            abort: AbortMonitor::new(&self.abort, clock::now()),
            end: RunEnd::Complete,
        };

        let begun = clock::now();
        let mut setup_s = None;
        if self.set_up(&mut reports, &mut collected, workers).await {
            setup_s = Some((clock::now() - begun) as f64 / clock::SECOND as f64);
            self.load(&mut reports, &mut collected, &stage).await;
        } else {
            stage.send_replace(Stage::Stop);
        }
        stage.send_replace(Stage::Close);
        self.wait_for_end(&mut reports, &mut collected, workers).await;
        for thread in threads {
            // A worker that still waits for a dead peer ends with the process. Joining it would block.
            if thread.is_finished() || collected.closed == workers {
                let _ = thread.join();
            }
        }
        self.finish(collected, &evidence, setup_s)
    }

    /// Whether every worker has set its clients up.
    async fn set_up(
        &mut self,
        reports: &mut mpsc::UnboundedReceiver<WorkerMessage>,
        collected: &mut Collected,
        workers: usize,
    ) -> bool {
        let mut tick = tokio::time::interval(TICK);
        let mut interrupt = self.interrupt.clone();
        while collected.setup.len() < workers {
            tokio::select! {
                report = reports.recv() => match report {
                    Some(WorkerMessage::Ready(times)) => collected.setup.push(times),
                    Some(WorkerMessage::SetupFailed(error)) => {
                        collected.end = self.setup_failed(*error).await;
                        return false;
                    }
                    Some(WorkerMessage::Failed(message)) => {
                        collected.end = RunEnd::MachineFailed(message);
                        return false;
                    }
                    Some(_) => {}
                    None => {
                        collected.end = RunEnd::MachineFailed("a worker ended early".to_owned());
                        return false;
                    }
                },
                _ = tick.tick() => {
                    let ready = self.context.live_sum(|live| &live.ready);
                    let clients = self.context.plan.clients.len() as u64;
                    (self.on_event)(Event::SettingUp { ready, clients });
                }
                _ = interrupt.wait_for(|stop| *stop) => {
                    collected.end = RunEnd::Interrupted;
                    return false;
                }
            }
        }
        true
    }

    async fn setup_failed(&mut self, error: SetupError) -> RunEnd {
        let doing = format!("{}: {error}", self.doing("was set up"));
        if let SetupError::Connect(ConnectError::Shortage(_)) = error {
            return RunEnd::MachineFailed(doing);
        }
        if let Some(death) = self.death_soon().await {
            return RunEnd::TargetLost(format!("{doing}; {death}"));
        }
        match error {
            SetupError::Violated { evidence, .. } => {
                RunEnd::SetupViolated(doing, Box::new(with_replay(&self.context, *evidence)))
            }
            _ => RunEnd::TargetLost(doing),
        }
    }

    /// What was being done, for people; `what` is `ran` or `was set up`.
    fn doing(&self, what: &str) -> String {
        let transports: Vec<&str> = self.context.plan.transports.iter().map(|t| t.name()).collect();
        let (load, trial) = (&self.context.load().name, self.context.plan.trial);
        format!("while load `{load}` {what} over {} (trial {trial})", transports.join(" and "))
    }

    /// Runs the load, window after window, until its end or a reason to stop.
    async fn load(
        &mut self,
        reports: &mut mpsc::UnboundedReceiver<WorkerMessage>,
        collected: &mut Collected,
        stage: &watch::Sender<Stage>,
    ) {
        let mut before = 0;
        let mut monitor = ProgressMonitor::new();
        for (index, plan) in self.context.clone().plan.windows.iter().enumerate() {
            let at = clock::now() + START_DELAY_NS;
            let measured_from = clock::nanos(self.context.load().warmup);
            let mut running = RunningWindow {
                index,
                plan: *plan,
                at,
                before,
                done: 0,
                next_sample: (plan.until > measured_from).then(|| plan.from.max(measured_from)),
                last_sample: None,
                stopped: false,
            };
            stage.send_replace(Stage::Run(index, at));
            self.window(reports, collected, stage, &mut running, &mut monitor).await;
            before += plan.length();
            if !matches!(collected.end, RunEnd::Complete) {
                break;
            }
        }
        let workers = self.context.live.len();
        while collected.figures.len() < workers {
            match reports.recv().await {
                Some(report) => take(report, collected, None),
                None => break,
            }
        }
        self.report_losses(collected).await;
    }

    async fn window(
        &mut self,
        reports: &mut mpsc::UnboundedReceiver<WorkerMessage>,
        collected: &mut Collected,
        stage: &watch::Sender<Stage>,
        running: &mut RunningWindow,
        monitor: &mut ProgressMonitor,
    ) {
        collected.windows.push(WindowResult {
            index: running.index,
            at: running.at,
            roles: [WindowFigures::default(), WindowFigures::default()],
        });
        let workers = self.context.live.len();
        let mut interrupt = self.interrupt.clone();
        while running.done < workers {
            let sample_at = running.next_sample.map_or(Nanos::MAX, |at| running.clock_time(at));
            tokio::select! {
                report = reports.recv() => {
                    let Some(report) = report else {
                        collected.end = RunEnd::MachineFailed("a worker ended early".to_owned());
                        return;
                    };
                    take(report, collected, Some(running));
                    if matches!(collected.end, RunEnd::MachineFailed(_)) && !running.stopped {
                        running.stopped = true;
                        stage.send_replace(Stage::Stop);
                    }
                }
                () = until(sample_at), if running.next_sample.is_some() => self.sample(running, collected),
                _ = monitor.tick.tick() => {
                    self.tick(running, monitor);
                    if let Some(ending) = self.reason_to_stop(collected) && !running.stopped {
                        collected.end = ending;
                        running.stopped = true;
                        stage.send_replace(Stage::Stop);
                    }
                }
                _ = interrupt.wait_for(|stop| *stop), if !running.stopped => {
                    running.stopped = true;
                    collected.end = RunEnd::Interrupted;
                    stage.send_replace(Stage::Stop);
                    let text = "interrupted: what was measured so far is reported; again to end at once";
                    (self.on_event)(Event::Warning(text.to_owned()));
                }
            }
        }
        if running.last_sample.is_some() && running.next_sample.is_some() {
            // The window was cut, or the workers reported its end before this task was woken for the last sample.
            self.sample(running, collected);
        }
        let reached = running.load_time(clock::now());
        for (transport, at) in collected.reached.iter_mut().enumerate() {
            if running.plan.is_of(transport) {
                *at = reached;
            }
        }
    }

    /// Takes the sample that is due, which ends one interval and begins the next.
    fn sample(&self, running: &mut RunningWindow, collected: &mut Collected) {
        let Some(planned) = running.next_sample else { return };
        let sample = Sample::take(&self.context, &self.target.trees(), &self.placement.used());
        let at = planned.min(running.load_time(clock::now()));
        if let Some(last) = running.last_sample.take() {
            let between = TimeRange { from: last.at, until: at };
            let (window, transport) = (running.index, running.plan.transport);
            let interval = SampleInterval::new(window, transport, between, &last.sample, &sample);
            collected.sample_intervals.push(interval);
        }
        running.last_sample = Some(DatedSample { at, sample });
        let measured_from = clock::nanos(self.context.load().warmup);
        let next_second = measured_from + ((planned - measured_from) / clock::SECOND + 1) * clock::SECOND;
        running.next_sample = (planned < running.plan.until).then(|| next_second.min(running.plan.until));
    }

    fn tick(&mut self, running: &RunningWindow, monitor: &mut ProgressMonitor) {
        let now = clock::now();
        let elapsed = running.before + (running.load_time(now) - running.plan.from);
        let tick = Tick {
            elapsed: Duration::from_nanos(elapsed),
            replies: self.context.live_sum(|live| &live.replies),
            p99_ns: self.context.live_latency(|live| &live.p99),
            backlog: self.context.live_sum(|live| &live.backlog),
            errors: self.context.live_sum(|live| &live.errors),
            violations: self.violations_before + self.context.live_sum(|live| &live.violations),
        };
        let rate = monitor.rate.update(&tick);
        (self.on_event)(Event::Running(tick));
        if let Some(text) = monitor.generator_lag.check(&self.context, now, rate, tick.backlog) {
            (self.on_event)(Event::Warning(text));
        }
    }

    fn reason_to_stop(&mut self, collected: &mut Collected) -> Option<RunEnd> {
        if let Some(death) = self.target.death() {
            return Some(RunEnd::TargetLost(format!("{}: {death}", self.doing("ran"))));
        }
        collected.abort.check(clock::now()).map(RunEnd::Aborted)
    }

    /// A load that lost all its clients lost its target. One that lost some clients gets a warning.
    async fn report_losses(&mut self, collected: &mut Collected) {
        let outcomes = || collected.figures.iter().map(|figures| &figures.outcomes);
        let lost: u32 = outcomes().flat_map(|worker| &worker.transports).map(|on| on.lost).sum();
        if lost == 0 {
            return;
        }
        let first = outcomes().find_map(|worker| worker.first_lost.clone()).unwrap_or_default();
        let all = lost as usize == self.context.plan.clients.len();
        if all && matches!(collected.end, RunEnd::Complete) {
            let mut why = format!("every client lost its connection, the first one {first}");
            if let Some(death) = self.death_soon().await {
                why = format!("{death}; {why}");
            }
            collected.end = RunEnd::TargetLost(format!("{}: {why}", self.doing("ran")));
        } else {
            (self.on_event)(Event::Warning(format!("{lost} clients ended early, the first one {first}")));
        }
    }

    /// How the target's process ended, if it ends soon: its connections go first.
    async fn death_soon(&mut self) -> Option<String> {
        let begun = clock::now();
        while self.target.is_ours() {
            if let Some(death) = self.target.death() {
                return Some(death);
            }
            let waited = Duration::from_nanos(clock::now() - begun);
            if waited > DEATH_TAKES_MAX || waited > DEATH_BEGINS_MAX && self.target.listens() {
                break;
            }
            tokio::time::sleep(DEATH_POLL_INTERVAL).await;
        }
        None
    }

    async fn wait_for_end(
        &mut self,
        reports: &mut mpsc::UnboundedReceiver<WorkerMessage>,
        collected: &mut Collected,
        workers: usize,
    ) {
        let all = async {
            while collected.closed < workers {
                match reports.recv().await {
                    Some(WorkerMessage::Closed) => collected.closed += 1,
                    Some(_) => {}
                    // Every worker has ended, even those that never closed their clients.
                    None => collected.closed = workers,
                }
            }
        };
        let _ = tokio::time::timeout(END_TIMEOUT, all).await;
    }

    fn finish(self, mut collected: Collected, evidence: &EvidenceLog, setup_s: Option<f64>) -> PassResult {
        let context = &self.context;
        let evidence = evidence.take().into_iter();
        let mut violations: Vec<Violation> =
            evidence.map(|evidence| with_replay(context, evidence)).collect();
        let mut violations_total = context.live_sum(|live| &live.violations);
        if let RunEnd::SetupViolated(_, violation) = &collected.end {
            violations.push((**violation).clone());
            violations_total += 1;
        }
        let end = std::mem::replace(&mut collected.end, RunEnd::Complete);
        let complete = matches!(end, RunEnd::Complete);
        let passes = match setup_s {
            Some(setup_s) => {
                let summary = PassSummary { started_s: self.started_s, setup_s, complete };
                record::passes(context, collected, &summary)
            }
            None => Vec::new(),
        };
        PassResult { passes, violations, violations_total, end }
    }
}

fn take(report: WorkerMessage, collected: &mut Collected, running: Option<&mut RunningWindow>) {
    match report {
        WorkerMessage::Seconds(share) => collected.intervals.add(share),
        WorkerMessage::Observed(observed) => collected.abort.add(&observed),
        WorkerMessage::WindowDone(figures) => {
            if let (Some(sum), Some(figures)) = (collected.windows.last_mut(), figures) {
                sum.roles.iter_mut().zip(figures.iter()).for_each(|(sum, part)| sum.merge(part));
            }
            if let Some(running) = running {
                running.done += 1;
            }
        }
        WorkerMessage::Done(figures) => collected.figures.push(*figures),
        WorkerMessage::Failed(message) => collected.end = RunEnd::MachineFailed(message),
        WorkerMessage::Ready(_) | WorkerMessage::SetupFailed(_) | WorkerMessage::Closed => {}
    }
}

async fn until(at: Nanos) {
    tokio::time::sleep(Duration::from_nanos(at.saturating_sub(clock::now()))).await;
}
