//! The coordinator's part while the load runs: window after window, samples, progress, and reasons to stop.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::collect::{self, Sample, Stretch};
use super::context::PassContext;
use super::events::{Event, Seen, Tick};
use super::lateness::Lateness;
use super::pass::{Collected, Coordinator, Ending, TICK, WindowSeen};
use super::plan::WindowPlan;
use super::worker::{Report, Stage};
use crate::domain::{Role, Statistic};
use crate::measure::clock::{self, Nanos};
use crate::measure::recorder::WindowFigures;
use crate::record::{Cost, KindStatistics, WindowRole, WindowRow};

/// Between the decision to start a window and its first request: time for every worker to hear of it, and a gap in
/// which the machine settles.
const START_DELAY_NS: Nanos = 20_000_000;

/// How long a target of ours that has lost every client may go on listening and still be taken to be dying.
const DEATH_BEGINS_MAX: Duration = Duration::from_secs(2);

/// How long one that listens no more may take to die. Its connections go first; the last of its threads may run at a low
/// priority, and on a busy machine it was seen to need more than two seconds.
const DEATH_TAKES_MAX: Duration = Duration::from_secs(15);

/// Between two looks.
const DEATH_LOOK: Duration = Duration::from_millis(50);

/// A window while it runs.
struct Running {
    index: usize,
    plan: WindowPlan,
    /// When it begins, by the clock.
    at: Nanos,
    /// Load time that earlier windows took, for progress.
    before: Nanos,
    /// Workers that are through with it.
    done: usize,
    /// Load time of the next sample, if there is one.
    next_sample: Option<Nanos>,
    last_sample: Option<(Nanos, Sample)>,
    stopped: bool,
}

/// What looks at a load four times a second, whatever the length of its windows.
struct Watcher {
    tick: Interval,
    seen: Seen,
    lateness: Lateness,
}

impl Watcher {
    fn new() -> Self {
        let mut tick = tokio::time::interval_at(Instant::now() + TICK, TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { tick, seen: Seen::default(), lateness: Lateness::default() }
    }
}

impl Running {
    fn clock_time(&self, load_time: Nanos) -> Nanos {
        self.at + (load_time - self.plan.from)
    }

    fn load_time(&self, now: Nanos) -> Nanos {
        (self.plan.from + now.saturating_sub(self.at)).min(self.plan.until)
    }
}

impl Coordinator<'_> {
    /// Runs the load, window after window, as far as it goes.
    pub(super) async fn load(
        &mut self,
        reports: &mut mpsc::UnboundedReceiver<Report>,
        collected: &mut Collected,
        stage: &watch::Sender<Stage>,
    ) {
        let mut before = 0;
        let mut watcher = Watcher::new();
        for (index, plan) in self.context.clone().plan.windows.iter().enumerate() {
            let at = clock::now() + START_DELAY_NS;
            let measured_from = clock::nanos(self.context.load().warmup);
            let mut running = Running {
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
            self.window(reports, collected, stage, &mut running, &mut watcher).await;
            before += plan.length();
            if !matches!(collected.ending, Ending::Complete) {
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
        self.look_at_losses(collected).await;
    }

    async fn window(
        &mut self,
        reports: &mut mpsc::UnboundedReceiver<Report>,
        collected: &mut Collected,
        stage: &watch::Sender<Stage>,
        running: &mut Running,
        watcher: &mut Watcher,
    ) {
        collected.windows.push(WindowSeen {
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
                        collected.ending = Ending::MachineFailed("a worker ended early".to_owned());
                        return;
                    };
                    take(report, collected, Some(running));
                    if matches!(collected.ending, Ending::MachineFailed(_)) && !running.stopped {
                        running.stopped = true;
                        stage.send_replace(Stage::Stop);
                    }
                }
                () = until(sample_at), if running.next_sample.is_some() => self.sample(running, collected),
                _ = watcher.tick.tick() => {
                    self.tick(running, watcher);
                    if let Some(ending) = self.reason_to_stop(collected) && !running.stopped {
                        collected.ending = ending;
                        running.stopped = true;
                        stage.send_replace(Stage::Stop);
                    }
                }
                _ = interrupt.wait_for(|stop| *stop), if !running.stopped => {
                    running.stopped = true;
                    collected.ending = Ending::Interrupted;
                    stage.send_replace(Stage::Stop);
                    let text = "interrupted: what was measured so far is reported; again to end at once";
                    (self.tell)(Event::Warning(text.to_owned()));
                }
            }
        }
        if running.last_sample.is_some() && running.next_sample.is_some() {
            // The window was cut, or the workers told of its end before this task was woken for the last sample.
            self.sample(running, collected);
        }
        let reached = running.load_time(clock::now());
        for (transport, at) in collected.reached.iter_mut().enumerate() {
            if running.plan.transport.is_none_or(|active| usize::from(active) == transport) {
                *at = reached;
            }
        }
    }

    /// Takes the sample that is due, which ends one stretch and begins the next.
    fn sample(&self, running: &mut Running, collected: &mut Collected) {
        let Some(planned) = running.next_sample else { return };
        let sample = Sample::take(&self.context, &self.target.trees(), &self.placement.used());
        let at = planned.min(running.load_time(clock::now()));
        if let Some((from, before)) = running.last_sample.take() {
            let (window, transport) = (running.index, running.plan.transport);
            collected.stretches.push(Stretch::new(window, transport, (from, at), (&before, &sample)));
        }
        running.last_sample = Some((at, sample));
        let measured_from = clock::nanos(self.context.load().warmup);
        let next_second = measured_from + ((planned - measured_from) / clock::SECOND + 1) * clock::SECOND;
        running.next_sample = (planned < running.plan.until).then(|| next_second.min(running.plan.until));
    }

    fn tick(&mut self, running: &Running, watcher: &mut Watcher) {
        let now = clock::now();
        let most = |counter: fn(&crate::measure::recorder::Live) -> &std::sync::atomic::AtomicU64| {
            self.context.live.iter().map(|live| counter(live).load(Ordering::Relaxed)).max().unwrap_or(0)
        };
        let elapsed = running.before + (running.load_time(now) - running.plan.from);
        let tick = Tick {
            elapsed: Duration::from_nanos(elapsed),
            replies: collect::sum(&self.context, |live| &live.replies),
            p99_ns: Some(most(|live| &live.p99_ns)).filter(|&ns| ns > 0),
            backlog: collect::sum(&self.context, |live| &live.backlog),
            errors: collect::sum(&self.context, |live| &live.errors),
            violations: self.violations_before + collect::sum(&self.context, |live| &live.violations),
        };
        let rate = watcher.seen.rate(&tick);
        (self.tell)(Event::Running(tick));
        if let Some(text) = watcher.lateness.look(&self.context, now, rate, tick.backlog) {
            (self.tell)(Event::Warning(text));
        }
    }

    fn reason_to_stop(&mut self, collected: &mut Collected) -> Option<Ending> {
        if let Some(death) = self.target.death() {
            return Some(Ending::TargetLost(format!("{}: {death}", self.doing("ran"))));
        }
        collected.aborts.look(clock::now()).map(Ending::Aborted)
    }

    /// A load that lost all its clients lost its target; one that lost some says so.
    async fn look_at_losses(&mut self, collected: &mut Collected) {
        let fates = || collected.figures.iter().map(|figures| &figures.fates);
        let lost: u32 = fates().flat_map(|fates| &fates.lost).sum();
        if lost == 0 {
            return;
        }
        let first = fates().find_map(|fates| fates.first_lost.clone()).unwrap_or_default();
        let all = lost as usize == self.context.plan.clients.len();
        if all && matches!(collected.ending, Ending::Complete) {
            let mut why = format!("every client lost its connection, the first one {first}");
            if let Some(death) = self.death_soon().await {
                why = format!("{death}; {why}");
            }
            collected.ending = Ending::TargetLost(format!("{}: {why}", self.doing("ran")));
        } else {
            (self.tell)(Event::Warning(format!("{lost} clients ended early, the first one {first}")));
        }
    }

    /// How the target's process ended, if it is seen to end shortly: its connections are gone before it is.
    pub(super) async fn death_soon(&mut self) -> Option<String> {
        let begun = clock::now();
        while self.target.is_ours() {
            if let Some(death) = self.target.death() {
                return Some(death);
            }
            let waited = Duration::from_nanos(clock::now() - begun);
            if waited > DEATH_TAKES_MAX || waited > DEATH_BEGINS_MAX && self.target.listens() {
                break;
            }
            tokio::time::sleep(DEATH_LOOK).await;
        }
        None
    }
}

fn take(report: Report, collected: &mut Collected, running: Option<&mut Running>) {
    match report {
        Report::Seconds(share) => collected.intervals.add(share),
        Report::Watched(seen) => collected.aborts.add(&seen),
        Report::WindowDone(figures) => {
            if let (Some(sum), Some(figures)) = (collected.windows.last_mut(), figures) {
                sum.roles.iter_mut().zip(figures.iter()).for_each(|(sum, part)| sum.merge(part));
            }
            if let Some(running) = running {
                running.done += 1;
            }
        }
        Report::Done(figures) => collected.figures.push(*figures),
        Report::Failed(message) => collected.ending = Ending::MachineFailed(message),
        Report::Ready(_) | Report::SetupFailed(_) | Report::Closed => {}
    }
}

async fn until(at: Nanos) {
    tokio::time::sleep(Duration::from_nanos(at.saturating_sub(clock::now()))).await;
}

/// The record's rows of a transport's windows that belong to a pair.
pub(super) fn rows(
    context: &PassContext,
    windows: &[WindowSeen],
    stretches: &[Stretch],
    transport: usize,
) -> Vec<WindowRow> {
    let first = windows.first().map_or(0, |window| window.at);
    let mut rows = Vec::new();
    for seen in windows {
        let plan = context.plan.windows[seen.index];
        let (Some(pair), true) = (plan.pair, plan.transport == Some(transport as u8)) else { continue };
        let position = context.plan.windows[..seen.index].iter().filter(|w| w.pair == Some(pair)).count();
        let own = stretches.iter().filter(|stretch| stretch.window == seen.index);
        rows.push(WindowRow {
            pair,
            position: position as u32,
            started_s: (seen.at - first) as f64 / clock::SECOND as f64,
            length_s: plan.length() as f64 / clock::SECOND as f64,
            roles: roles(&seen.roles),
            cost: Cost::sum(own.map(|stretch| &stretch.cost)).unwrap_or_default(),
        });
    }
    rows
}

fn roles([guests, managers]: &[WindowFigures; 2]) -> Vec<WindowRole> {
    let mut all = WindowFigures::default();
    all.merge(guests);
    all.merge(managers);
    let rows = [(Some(Role::Guest), guests), (Some(Role::Manager), managers), (None, &all)];
    rows.into_iter()
        .filter(|(_, figures)| figures.requests > 0)
        .map(|(of, figures)| role(of, figures))
        .collect()
}

fn role(role: Option<Role>, figures: &WindowFigures) -> WindowRole {
    let quantiles = Statistic::ALL.iter().filter(|statistic| statistic.needs_few_samples());
    let kept: Vec<Statistic> = std::iter::once(&Statistic::Mean).chain(quantiles).copied().collect();
    WindowRole {
        role,
        requests: figures.requests,
        replies: figures.replies,
        latencies: KindStatistics::of(&figures.latencies, &kept),
    }
}
