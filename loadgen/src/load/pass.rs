//! The coordinator of one pass: starts the workers, gives them the instants, samples the processes, collects.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::abort::{Aborts, Rule};
use super::collect::{self, Stretch};
use super::context::PassContext;
use super::events::Event;
use super::intervals::Intervals;
use super::placement::Placement;
use super::setup::SetupError;
use super::setup_times::SetupTimes;
use super::shared::Waiting;
use super::windows;
use super::worker::{self, Figures, Report, Stage};
use crate::domain::Transport;
use crate::measure::clock::{self, Nanos};
use crate::measure::cpus;
use crate::measure::recorder::{Totals, WindowFigures};
use crate::record::{Backlog, Cost, Pass, Violation};
use crate::targets::Target;
use crate::wire::{ConnectError, Endpoint};

/// How often progress is told.
pub(super) const TICK: Duration = Duration::from_millis(250);

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
    /// This threshold of the scenario was missed for so long that the run was stopped.
    Aborted(usize),
    /// This machine refused something.
    MachineFailed(String),
}

/// What came of a pass.
#[derive(Debug)]
pub struct PassResult {
    /// Figures; none where the load never began.
    pub passes: Vec<Pass>,
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
    /// Thresholds that may stop the pass.
    pub rules: Vec<Rule>,
    /// Violations of earlier passes, for progress.
    pub violations_before: u64,
    /// Seconds since the run began.
    pub started_s: f64,
    /// Takes progress.
    pub tell: &'a mut dyn FnMut(Event),
}

/// What a coordinator has collected so far.
pub(super) struct Collected {
    pub(super) intervals: Intervals,
    setup: Vec<Vec<SetupTimes>>,
    pub(super) figures: Vec<Figures>,
    closed: usize,
    pub(super) stretches: Vec<Stretch>,
    pub(super) windows: Vec<WindowSeen>,
    /// Load time that each transport has reached.
    pub(super) reached: Vec<Nanos>,
    pub(super) aborts: Aborts,
    pub(super) ending: Ending,
}

/// A window that has run.
pub(super) struct WindowSeen {
    /// Its number.
    pub(super) index: usize,
    /// When it began, by the clock.
    pub(super) at: Nanos,
    /// Figures by role.
    pub(super) roles: [WindowFigures; 2],
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
                    cpus::pin(&[cpu]);
                }
                worker::run(context, worker, stage, sender);
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
            stretches: Vec::new(),
            windows: Vec::new(),
            aborts: Aborts::new(&self.rules, clock::now()),
            ending: Ending::Complete,
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
            // A worker that still hangs on a dead peer ends with the process; waiting for it would hang us too.
            if thread.is_finished() || collected.closed == workers {
                let _ = thread.join();
            }
        }
        self.finish(collected, setup_s)
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
                        collected.ending = self.setup_failed(*error).await;
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

    async fn setup_failed(&mut self, error: SetupError) -> Ending {
        let doing = format!("{}: {error}", self.doing("was set up"));
        if let SetupError::Connect(ConnectError::Shortage(_)) = error {
            return Ending::MachineFailed(doing);
        }
        if let Some(death) = self.death_soon().await {
            return Ending::TargetLost(format!("{doing}; {death}"));
        }
        match error {
            SetupError::Violated { incident, .. } => {
                Ending::SetupViolated(doing, Box::new(incident.into_violation(&self.context)))
            }
            _ => Ending::TargetLost(doing),
        }
    }

    /// When something happened, for people; `what` is `ran` or `was set up`.
    pub(super) fn doing(&self, what: &str) -> String {
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

    fn finish(self, mut collected: Collected, setup_s: Option<f64>) -> PassResult {
        let context = &self.context;
        let mut violations = context.incidents.take(context);
        let mut violations_total = collect::sum(context, |live| &live.violations);
        if let Ending::SetupViolated(_, violation) = &collected.ending {
            violations.push((**violation).clone());
            violations_total += 1;
        }
        let ending = std::mem::replace(&mut collected.ending, Ending::Complete);
        let complete = matches!(ending, Ending::Complete);
        let passes = match setup_s {
            Some(setup_s) => self.passes(collected, setup_s, complete),
            None => Vec::new(),
        };
        PassResult { passes, violations, violations_total, ending }
    }

    /// The record's passes: one, or one for each transport of an interleaved load.
    fn passes(&self, collected: Collected, setup_s: f64, complete: bool) -> Vec<Pass> {
        let context = &self.context;
        let warmup = clock::nanos(context.load().warmup);
        let lengths: Vec<Nanos> = collected.reached.iter().map(|at| at.saturating_sub(warmup)).collect();
        let rows = collected.intervals.finish(context, &collected.stretches, &lengths);
        let sums = collect::sums(context, collected.figures);
        let all: Vec<usize> = (0..context.endpoints.len()).collect();
        let parts: Vec<Vec<usize>> = if context.plan.is_interleaved() {
            all.into_iter().map(|transport| vec![transport]).collect()
        } else {
            vec![all]
        };
        let mut parts_of_record = Vec::with_capacity(parts.len());
        for part in parts {
            let transports: Vec<Transport> = part.iter().map(|&t| context.endpoints[t].transport()).collect();
            let mut totals = Totals::recorder();
            let mut renewals = SetupTimes::default();
            for &transport in &part {
                totals.merge(&sums.totals[transport]);
                renewals.merge(&sums.renewals[transport]);
            }
            let of_part = |stretch: &&Stretch| part.iter().any(|&t| stretch.is_of(t as u8));
            let cost = Cost::sum(collected.stretches.iter().filter(of_part).map(|stretch| &stretch.cost));
            let setup = |&t: &usize| collect::setup(context, &collected.setup, t, setup_s);
            let mut waiting = Waiting::default();
            for &transport in &part {
                waiting.add(&sums.waiting[transport]);
            }
            let paused = sums.paused.iter().filter(|(transport, _)| {
                transport.is_none_or(|transport| part.contains(&usize::from(transport)))
            });
            parts_of_record.push(Pass {
                load: context.load().name.clone(),
                variant: context.variant.clone(),
                trial: context.plan.trial,
                started_s: self.started_s,
                measured_s: part.iter().map(|&t| lengths[t]).max().unwrap_or(0) as f64 / clock::SECOND as f64,
                complete,
                clients: context.plan.cohort,
                workers: context.live.len() as u32,
                clients_lost: part.iter().map(|&t| sums.lost[t]).sum(),
                cells: part.iter().flat_map(|&t| sums.cells[t].clone()).collect(),
                setup: part.iter().map(setup).collect(),
                intervals: rows.iter().filter(|row| transports.contains(&row.transport)).cloned().collect(),
                ledger: totals.ledger,
                cost: cost.unwrap_or_default(),
                dispatch_lag: totals.dispatch_lag.packed(),
                due_of_lost: part.iter().map(|&t| sums.due_of_lost[t]).sum(),
                pauses: collect::pauses(paused.map(|(_, pause)| *pause), warmup),
                backlog: Backlog {
                    waited: totals.waited,
                    max: context.load().is_open().then_some(waiting.max),
                    never_sent: totals.never_sent,
                    standing: waiting.standing,
                    drained_ns: waiting.drained,
                },
                renewals: (renewals.clients > 0).then(|| collect::record(context, renewals, part[0], 0.0)),
                windows: windows::rows(context, &collected.windows, &collected.stretches, part[0]),
                transports,
            });
        }
        parts_of_record
    }
}
