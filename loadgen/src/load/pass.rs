//! The coordinator of one pass: starts the workers, gives them the instants, samples the processes, collects.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::collect::{self, Intervals, Sample};
use super::context::PassContext;
use super::engine::Placement;
use super::events::{Event, Tick};
use super::setup::{SetupError, SetupTimes};
use super::worker::{self, Figures, Report, Stage};
use crate::measure::clock::{self, Nanos};
use crate::measure::recorder::Window;
use crate::record::{Pass, Violation};
use crate::target::Target;

/// Between the decision to start and the first request: time for every worker to hear of it.
const START_DELAY_NS: Nanos = 20_000_000;

/// How often progress is told.
const TICK: Duration = Duration::from_millis(250);

/// How often, and with what pauses, a target that has lost every client is looked at: half a second in all.
const DEATH_LOOKS: u32 = 10;
/// See [`DEATH_LOOKS`].
const DEATH_PAUSE: Duration = Duration::from_millis(50);

/// Longest that workers may take to close their clients and end.
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// How a pass ended.
#[derive(Debug)]
pub enum Ending {
    /// As planned.
    Complete,
    /// The user stopped it.
    Interrupted,
    /// The target was lost: what was being done and what happened.
    TargetLost(String),
    /// The clients could not be set up, as the target answered wrongly.
    SetupViolated(String, Box<Violation>),
    /// This machine refused something.
    MachineFailed(String),
}

/// What came of a pass.
#[derive(Debug)]
pub struct PassResult {
    /// Figures; `None` where the load never began.
    pub pass: Option<Pass>,
    /// First violations, with details.
    pub violations: Vec<Violation>,
    /// All of them.
    pub violations_total: u64,
    /// How it ended.
    pub ending: Ending,
}

/// Everything about a pass that its coordinator needs.
pub struct Coordinator<'a> {
    /// What the workers share.
    pub context: Arc<PassContext>,
    /// The target; told apart from a load that is merely slow by looking at its process.
    pub target: &'a mut Target,
    /// CPUs.
    pub placement: &'a Placement,
    /// Changes to `true` when the user wants to stop.
    pub interrupt: watch::Receiver<bool>,
    /// Violations of earlier passes, for progress.
    pub violations_before: u64,
    /// Seconds since the run began.
    pub started_s: f64,
    /// Takes progress.
    pub tell: &'a mut dyn FnMut(Event),
}

struct Collected {
    intervals: Intervals,
    setup: Vec<Vec<SetupTimes>>,
    figures: Vec<Figures>,
    closed: usize,
    samples: Vec<Sample>,
    /// When the last worker's load was over.
    load_ended: Nanos,
    ending: Ending,
}

impl Coordinator<'_> {
    /// Runs the pass.
    pub async fn run(mut self) -> PassResult {
        let workers = self.context.live.len();
        let (stage, _) = watch::channel(Stage::SetUp);
        let (sender, mut reports) = mpsc::unbounded_channel();
        let mut threads = Vec::with_capacity(workers);
        for worker in 0..workers {
            let (context, stage, sender) = (self.context.clone(), stage.subscribe(), sender.clone());
            let cpu = self.placement.generator.get(worker).copied();
            threads.push(std::thread::spawn(move || {
                if let Some(cpu) = cpu {
                    Placement::pin(&[cpu]);
                }
                worker::run(context, worker, stage, sender);
            }));
        }
        drop(sender);
        let mut collected = Collected {
            intervals: Intervals::default(),
            setup: Vec::new(),
            figures: Vec::new(),
            closed: 0,
            samples: Vec::new(),
            load_ended: 0,
            ending: Ending::Complete,
        };

        let begun = clock::now();
        let mut window = None;
        if self.set_up(&mut reports, &mut collected, workers).await {
            let elapsed_s = (clock::now() - begun) as f64 / clock::SECOND as f64;
            let running = self.start(&stage);
            self.load(&mut reports, &mut collected, &stage, running).await;
            window = Some((running, elapsed_s));
        } else {
            stage.send_replace(Stage::Stop);
        }
        stage.send_replace(Stage::Close);
        self.wait_for_end(&mut reports, &mut collected, workers).await;
        for thread in threads {
            // A worker that still hangs on a dead peer ends with the process; waiting for it would hang us too.
            if thread.is_finished() || collected.closed == workers {
                let _ = thread.join();
            }
        }
        self.finish(collected, window)
    }

    /// Whether every worker has set its clients up.
    async fn set_up(
        &mut self,
        reports: &mut mpsc::UnboundedReceiver<Report>,
        collected: &mut Collected,
        workers: usize,
    ) -> bool {
        let mut tick = tokio::time::interval(TICK);
        let mut interrupt = self.interrupt.clone();
        while collected.setup.len() < workers {
            tokio::select! {
                report = reports.recv() => match report {
                    Some(Report::Ready(times)) => collected.setup.push(times),
                    Some(Report::SetupFailed(error)) => {
                        collected.ending = self.setup_failed(*error);
                        return false;
                    }
                    Some(Report::Failed(message)) => {
                        collected.ending = Ending::MachineFailed(message);
                        return false;
                    }
                    Some(_) => {}
                    None => {
                        collected.ending = Ending::MachineFailed("a worker ended early".to_owned());
                        return false;
                    }
                },
                _ = tick.tick() => {
                    let ready = collect::sum(&self.context, |live| &live.ready);
                    let clients = self.context.plan.clients.len() as u64;
                    (self.tell)(Event::SettingUp { ready, clients });
                }
                _ = interrupt.wait_for(|stop| *stop) => {
                    collected.ending = Ending::Interrupted;
                    return false;
                }
            }
        }
        true
    }

    fn setup_failed(&mut self, error: SetupError) -> Ending {
        let doing = format!("{}: {error}", self.doing("was set up"));
        if let Some(death) = self.target.death() {
            return Ending::TargetLost(format!("{doing}; {death}"));
        }
        match error {
            SetupError::Violated { violation, .. } => Ending::SetupViolated(doing, violation),
            _ => Ending::TargetLost(doing),
        }
    }

    fn start(&self, stage: &watch::Sender<Stage>) -> Window {
        let load = self.context.load();
        let from = clock::now() + START_DELAY_NS;
        let measured = from + clock::nanos(load.warmup);
        let window = Window { from: measured, until: measured + clock::nanos(load.duration()) };
        self.context.measured_from.store(window.from, Ordering::Relaxed);
        stage.send_replace(Stage::Run(from, window));
        window
    }

    async fn load(
        &mut self,
        reports: &mut mpsc::UnboundedReceiver<Report>,
        collected: &mut Collected,
        stage: &watch::Sender<Stage>,
        window: Window,
    ) {
        let workers = self.context.live.len();
        let warmup = clock::nanos(self.context.load().warmup);
        let mut next_sample = window.from;
        let mut last = (clock::now(), 0);
        let mut tick = tokio::time::interval(TICK);
        let mut stopped = false;
        let mut interrupt = self.interrupt.clone();
        while collected.figures.len() < workers {
            tokio::select! {
                report = reports.recv() => match report {
                    Some(Report::Seconds(seconds)) => collected.intervals.add(seconds),
                    Some(Report::Done(figures)) => collected.figures.push(*figures),
                    Some(Report::Failed(message)) => collected.ending = Ending::MachineFailed(message),
                    Some(_) => {}
                    None => {
                        collected.ending = Ending::MachineFailed("a worker ended early".to_owned());
                        return;
                    }
                },
                () = until(next_sample), if next_sample <= window.until => {
                    collected.samples.push(self.sample());
                    // The last sample closes the last second, be it a whole one or not.
                    next_sample = match next_sample {
                        at if at >= window.until => Nanos::MAX,
                        at => (at + clock::SECOND).min(window.until),
                    };
                }
                _ = tick.tick() => {
                    last = self.tick(last, window.from - warmup);
                    if let Some(death) = self.target.death() && !stopped {
                        stopped = true;
                        collected.ending = Ending::TargetLost(format!("{}: {death}", self.doing("ran")));
                        stage.send_replace(Stage::Stop);
                    }
                }
                _ = interrupt.wait_for(|stop| *stop), if !stopped => {
                    stopped = true;
                    collected.ending = Ending::Interrupted;
                    stage.send_replace(Stage::Stop);
                }
            }
        }
        collected.load_ended = clock::now();
        if next_sample <= window.until {
            // The load was cut, or the workers told of its end before this task was woken for the last sample.
            collected.samples.push(self.sample());
        }
        let clients_lost: u32 = collected.figures.iter().map(|figures| figures.lost).sum();
        if clients_lost > 0 && clients_lost as usize == self.context.plan.clients.len() && !stopped {
            let first = collected.figures.iter().find_map(|figures| figures.first_lost.clone());
            let mut why =
                format!("every client lost its connection, the first one {}", first.unwrap_or_default());
            if let Some(death) = self.death_soon().await {
                why = format!("{death}; {why}");
            }
            collected.ending = Ending::TargetLost(format!("{}: {why}", self.doing("ran")));
        } else if clients_lost > 0 {
            let first = collected.figures.iter().find_map(|figures| figures.first_lost.clone());
            let text =
                format!("{clients_lost} clients ended early, the first one {}", first.unwrap_or_default());
            (self.tell)(Event::Warning(text));
        }
    }

    /// How the target's process ended, if it is seen to end shortly: its connections are gone before it is.
    async fn death_soon(&mut self) -> Option<String> {
        for _ in 0..DEATH_LOOKS {
            if let Some(death) = self.target.death() {
                return Some(death);
            }
            tokio::time::sleep(DEATH_PAUSE).await;
        }
        None
    }

    fn sample(&self) -> Sample {
        Sample::take(&self.context, self.target.pid(), &self.placement.used())
    }

    fn tick(&mut self, (then, before): (Nanos, u64), from: Nanos) -> (Nanos, u64) {
        let (now, replies) = (clock::now(), collect::sum(&self.context, |live| &live.replies));
        let p99 = self.context.live.iter().map(|live| live.p99_ns.load(Ordering::Relaxed)).max();
        let seconds = (now - then) as f64 / clock::SECOND as f64;
        (self.tell)(Event::Running(Tick {
            elapsed: Duration::from_nanos(now.saturating_sub(from)),
            rate: if seconds > 0.0 { (replies - before) as f64 / seconds } else { 0.0 },
            p99_ns: p99.filter(|&ns| ns > 0),
            errors: collect::sum(&self.context, |live| &live.errors),
            violations: self.violations_before + collect::sum(&self.context, |live| &live.violations),
        }));
        (now, replies)
    }

    /// When something happened, for people; `what` is `ran` or `was set up`.
    fn doing(&self, what: &str) -> String {
        let transports: Vec<&str> = self.context.plan.transports.iter().map(|t| t.name()).collect();
        let (load, trial) = (&self.context.load().name, self.context.plan.trial);
        format!("while load `{load}` {what} over {} (trial {trial})", transports.join(" and "))
    }

    async fn wait_for_end(
        &mut self,
        reports: &mut mpsc::UnboundedReceiver<Report>,
        collected: &mut Collected,
        workers: usize,
    ) {
        let all = async {
            while collected.closed < workers {
                match reports.recv().await {
                    Some(Report::Closed) => collected.closed += 1,
                    Some(_) => {}
                    // Every worker has ended, those too that never came to closing.
                    None => collected.closed = workers,
                }
            }
        };
        let _ = tokio::time::timeout(END_TIMEOUT, all).await;
    }

    fn finish(self, collected: Collected, window: Option<(Window, f64)>) -> PassResult {
        let context = &self.context;
        let mut violations = context.incidents.take(context);
        let mut violations_total = collect::sum(context, |live| &live.violations);
        if let Ending::SetupViolated(_, violation) = &collected.ending {
            violations.push((**violation).clone());
            violations_total += 1;
        }
        let pass = window.map(|(window, setup_s)| {
            // A run that was cut was measured until its last sample.
            let planned = window.until - window.from;
            let length = match collected.ending {
                Ending::Complete => planned,
                _ => collected.load_ended.saturating_sub(window.from).min(planned),
            };
            let clients_lost = collected.figures.iter().map(|figures| figures.lost).sum();
            let cost = match (collected.samples.first(), collected.samples.last()) {
                (Some(first), Some(last)) if collected.samples.len() > 1 => last.cost_since(first),
                _ => crate::record::Cost::default(),
            };
            let (cells, ledger, dispatch_lag) = collect::cells(context, collected.figures);
            Pass {
                load: context.load().name.clone(),
                variant: context.variant.clone(),
                trial: context.plan.trial,
                transports: context.plan.transports.iter().map(|t| t.name().to_owned()).collect(),
                started_s: self.started_s,
                measured_s: length as f64 / clock::SECOND as f64,
                complete: matches!(collected.ending, Ending::Complete),
                clients: context.plan.clients.len() as u32,
                clients_lost,
                cells,
                setup: collect::setup(context, &collected.setup, setup_s),
                intervals: collected.intervals.finish(context, &collected.samples, length),
                ledger,
                cost,
                dispatch_lag,
            }
        });
        PassResult { pass, violations, violations_total, ending: collected.ending }
    }
}

async fn until(at: Nanos) {
    tokio::time::sleep(Duration::from_nanos(at.saturating_sub(clock::now()))).await;
}
