//! Runs a whole scenario: every load, trial, variant and transport, one pass after the other, into one record.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use twinwire_os::{clock, cpus, open_files};

use super::context::PassContext;
use super::events::{Event, PassLabel};
use super::pass::{Coordinator, PassResult, RunEnd, abort_conditions};
use super::placement::Placement;
use super::plan::{self, PassPlan, WindowPlan};
use super::rate_probe;
use super::requests::GroupMix;
use super::schedule::Curve;
use crate::domain::Transport;
use crate::measure::recorder::LiveCounters;
use crate::oracle::{ClientSpec, ReferenceModel, ValueSpec};
use crate::record::{Pass, Probe, Skipped, VIOLATIONS_KEPT, Violation};
use crate::scenario::model::Scenario;
use crate::scenario::{Document, Variant};
use crate::targets::{Target, TargetError};
use crate::wire::Traffic;

/// Descriptors that a run needs in addition to its clients' sockets: runtimes, timers, files, the child's pipes, and
/// a second one for each sampled socket.
const DESCRIPTORS_SPARE: u64 = 256;

/// Sockets of each transport whose counters are read each second: enough to see what the kernel makes of a load, few
/// enough that a sample takes well under a millisecond.
const SOCKETS_SAMPLED: usize = 32;

/// What a run measured, before it becomes a record.
#[derive(Debug)]
pub struct RunResult {
    /// The passes that began.
    pub passes: Vec<Pass>,
    /// First violations, with details.
    pub violations: Vec<Violation>,
    /// All of them.
    pub violations_total: u64,
    /// Transports that the target does not offer.
    pub skipped: Vec<Skipped>,
    /// By load, what the probes of its rate found.
    pub probes: Vec<Vec<Probe>>,
    /// How it ended.
    pub end: RunEnd,
    /// Wall time in seconds.
    pub elapsed_s: f64,
}

/// Why a run did not begin.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// This process may not open as many connections as the scenario needs.
    #[error(
        "the scenario needs {clients} connections at once, and this process may open only {limit} files: \
         raise the limit (`ulimit -n`) or lower the clients' `count`"
    )]
    Descriptors {
        /// Connections of the largest variant.
        clients: u32,
        /// The hard limit.
        limit: u64,
    },
}

/// The engine: a scenario against a target.
pub struct Engine<'a> {
    /// What to run.
    pub document: &'a Document,
    /// The target.
    pub target: &'a mut Target,
    /// The CPUs of each side.
    pub placement: Placement,
    /// Changes to `true` when the user wants to stop.
    pub interrupt: watch::Receiver<bool>,
    /// Takes progress.
    pub on_event: &'a mut dyn FnMut(Event),
}

struct Progress {
    begun: clock::Nanos,
    nonce: u64,
    pass: usize,
    passes: usize,
    result: RunResult,
}

impl Engine<'_> {
    /// Checks that a run can begin.
    ///
    /// # Errors
    /// Where the scenario or the machine forbids it.
    pub fn check(document: &Document) -> Result<(), EngineError> {
        let clients =
            document.variants().iter().map(|variant| connections(&variant.scenario)).max().unwrap_or(0);
        let needed = u64::from(clients) + DESCRIPTORS_SPARE;
        let limit = open_files::raise_limit(needed);
        if needed > limit {
            return Err(EngineError::Descriptors { clients, limit });
        }
        Ok(())
    }

    /// Runs everything, or as much as possible; the result says how it ended.
    pub async fn run(mut self) -> RunResult {
        let (transports, skipped) = self.transports();
        let scenario = self.document.scenario();
        let mut progress = Progress {
            begun: clock::now(),
            nonce: nonce(),
            pass: 0,
            passes: self.planned_passes(&transports),
            result: RunResult {
                passes: Vec::new(),
                violations: Vec::new(),
                violations_total: 0,
                skipped,
                probes: vec![Vec::new(); scenario.loads.len()],
                end: RunEnd::Complete,
                elapsed_s: 0.0,
            },
        };
        // The thread is the caller's, so the next run must find all CPUs again.
        let before = cpus::allowed();
        cpus::pin(&self.placement.generator);
        for load in 0..scenario.loads.len() {
            if !self.load(load, &transports, &mut progress).await {
                break;
            }
        }
        self.target.stop().await;
        cpus::pin(&before);
        let mut result = progress.result;
        result.elapsed_s = (clock::now() - progress.begun) as f64 / clock::SECOND as f64;
        result
    }

    /// Passes of the whole run, probes included.
    fn planned_passes(&self, transports: &[Transport]) -> usize {
        let passes = |variant: &Variant| {
            let loads = 0..variant.scenario.loads.len();
            loads
                .map(|load| {
                    let trials = plan::trials(&variant.scenario, load, transports, None);
                    let probes =
                        rate_probe::share(&variant.scenario.loads[load]).map_or(0, |_| transports.len());
                    trials.iter().flatten().count()
                        + if variant.scenario.is_mixed() { probes.min(1) } else { probes }
                })
                .sum::<usize>()
        };
        self.document.variants().iter().map(passes).sum()
    }

    /// Runs a load: its probes, then its trials. Each trial runs all variants in turn, so that the machine's drift
    /// affects all alike. `false` ends the run.
    async fn load(&mut self, load: usize, transports: &[Transport], progress: &mut Progress) -> bool {
        let document = self.document;
        let mut trials = Vec::with_capacity(document.variants().len());
        for variant in document.variants() {
            let model = &variant.scenario.loads[load];
            let rate = match rate_probe::share(model) {
                Some(share) => match self.probe(variant, load, share, transports, progress).await {
                    Some(rate) => Some(rate),
                    None => return false,
                },
                None => rate_probe::stated(model),
            };
            trials.push(plan::trials(&variant.scenario, load, transports, rate));
        }
        for trial in 0..document.scenario().loads[load].trials as usize {
            for (variant, trials) in document.variants().iter().zip(&trials) {
                if !self.trial(variant, &trials[trial], transports, progress).await {
                    return false;
                }
            }
        }
        true
    }

    /// Finds the rate of a load that states it as a share: what a short closed load of the same clients reaches on the
    /// slowest transport, times the share. `None` ends the run.
    async fn probe(
        &mut self,
        variant: &Variant,
        load: usize,
        share: f64,
        transports: &[Transport],
        progress: &mut Progress,
    ) -> Option<f64> {
        let probing = Variant { scenario: rate_probe::scenario(&variant.scenario, load), ..variant.clone() };
        let mut passes = Vec::new();
        for tries_left in (0..rate_probe::TRIES).rev() {
            let kept = progress.result.passes.len();
            for passes in plan::trials(&probing.scenario, load, transports, None) {
                if !self.trial(&probing, &passes, transports, progress).await {
                    progress.result.passes.truncate(kept);
                    return None;
                }
            }
            passes = progress.result.passes.split_off(kept);
            let paused_s = rate_probe::paused_s(&passes);
            if paused_s == 0.0 || tries_left == 0 {
                break;
            }
            progress.passes += passes.len();
            let name = &variant.scenario.loads[load].name;
            (self.on_event)(Event::Warning(format!(
                "the harness itself stood still for {paused_s:.2} s while it probed the rate of load `{name}`: it probes again"
            )));
        }
        match rate_probe::found(&passes, share) {
            Ok(probes) => {
                let offered = probes.first().map(|probe| probe.offered);
                progress.result.probes[load].extend(probes);
                offered
            }
            Err(why) => {
                progress.result.end = RunEnd::TargetLost(why);
                None
            }
        }
    }

    /// The scenario's transports that the target offers, and the others with the reason.
    fn transports(&self) -> (Vec<Transport>, Vec<Skipped>) {
        let (there, lacking): (Vec<_>, Vec<_>) = self
            .document
            .scenario()
            .transports
            .iter()
            .copied()
            .partition(|&transport| self.target.has(transport));
        let reason = "the target does not offer it".to_owned();
        let skipped = lacking
            .into_iter()
            .map(|transport| Skipped { what: transport.name().to_owned(), reason: reason.clone() });
        (there, skipped.collect())
    }

    /// Runs one trial; `false` ends the run.
    async fn trial(
        &mut self,
        variant: &Variant,
        passes: &[PassPlan],
        transports: &[Transport],
        progress: &mut Progress,
    ) -> bool {
        let mut interrupt = self.interrupt.clone();
        let fresh = tokio::select! {
            fresh = self.target.fresh(transports, &self.placement.server) => fresh,
            _ = interrupt.wait_for(|stop| *stop) => {
                progress.result.end = RunEnd::Interrupted;
                return false;
            }
        };
        if let Err(error) = fresh {
            progress.result.end = match error {
                TargetError::Machine(message) => RunEnd::MachineFailed(message),
                TargetError::NotStarted(message) => RunEnd::TargetLost(message),
            };
            return false;
        }
        for plan in passes {
            progress.pass += 1;
            let result = self.pass(variant, plan, progress).await;
            (self.on_event)(Event::PassEnded);
            let total = &mut progress.result;
            total.passes.extend(result.passes);
            total.violations_total += result.violations_total;
            let room = VIOLATIONS_KEPT.saturating_sub(total.violations.len());
            total.violations.extend(result.violations.into_iter().take(room));
            if !matches!(result.end, RunEnd::Complete) {
                total.end = result.end;
                return false;
            }
        }
        true
    }

    async fn pass(&mut self, variant: &Variant, plan: &PassPlan, progress: &Progress) -> PassResult {
        let load = &variant.scenario.loads[plan.load];
        (self.on_event)(Event::PassStarted(PassLabel {
            load: load.name.clone(),
            variant: plan::variant_name(variant),
            trial: plan.trial,
            trials: load.trials,
            transports: plan.transports.clone(),
            pass: progress.pass,
            passes: progress.passes,
            length: Duration::from_nanos(plan.windows.iter().map(WindowPlan::length).sum()),
        }));
        let context = Arc::new(self.context(variant, plan, progress.nonce));
        let coordinator = Coordinator {
            context,
            target: self.target,
            placement: &self.placement,
            interrupt: self.interrupt.clone(),
            abort: abort_conditions(&variant.scenario, plan),
            violations_before: progress.result.violations_total,
            started_s: (clock::now() - progress.begun) as f64 / clock::SECOND as f64,
            on_event: self.on_event,
        };
        coordinator.run().await
    }

    fn context(&self, variant: &Variant, plan: &PassPlan, nonce: u64) -> PassContext {
        let scenario = &variant.scenario;
        let workers = self.placement.workers().min(plan.clients.len()).max(1);
        let transports = plan.transports.len();
        PassContext {
            reference: reference(scenario, plan, nonce),
            groups: GroupMix::all(scenario),
            scenario: Arc::new(scenario.clone()),
            plan: plan.clone(),
            variant: plan::variant_name(variant),
            endpoints: plan
                .transports
                .iter()
                .filter_map(|&transport| self.target.endpoint(transport))
                .collect(),
            live: std::iter::repeat_with(LiveCounters::default).take(workers).collect(),
            traffic: std::iter::repeat_with(|| {
                let traffic = || Arc::new(Traffic::sampling(SOCKETS_SAMPLED.div_ceil(workers)));
                std::iter::repeat_with(traffic).take(transports).collect()
            })
            .take(workers)
            .collect(),
            curve: Arc::new(Curve::new(&scenario.loads[plan.load], plan.cohort, plan.rate)),
            monitors: abort_conditions(scenario, plan)
                .iter()
                .map(|condition| (condition.filter, condition.metric))
                .collect(),
        }
    }
}

/// Connections that a scenario has open at once: an interleaved load has its clients on every transport.
fn connections(scenario: &Scenario) -> u32 {
    let interleaved = scenario.loads.iter().any(|load| load.interleave.is_some());
    scenario.clients() * if interleaved { scenario.transports.len() as u32 } else { 1 }
}

/// The users of a pass. Their names are the same for every transport of a trial, and differ between trials and runs, so
/// that sessions left over from an earlier run hold none of them.
fn reference(scenario: &Scenario, plan: &PassPlan, nonce: u64) -> ReferenceModel {
    let run =
        nonce.wrapping_mul(31).wrapping_add(u64::from(plan.trial)).wrapping_add(plan.load as u64 * 7919);
    let clients = plan.clients.iter().enumerate().map(|(index, client)| {
        let group = &scenario.groups[usize::from(client.group)];
        // At most 64 bytes (LOGIN-1): the group's name cut, the run in seven characters, the number in six.
        let short: String = group.name.chars().take(32).collect();
        let number = plan.number(index as u32);
        let mut name = format!("{short}-{:07x}-{number}", run & 0xFFF_FFFF);
        if plan.is_interleaved() {
            // The same user's twin on the other transport is logged in at the same time, so their names differ in one
            // letter.
            name.push(char::from(b'a' + client.transport));
        }
        let values = ValueSpec { min: group.values.min, max: group.values.max };
        ClientSpec { name, group: client.group, keys: group.keys.count, values }
    });
    ReferenceModel::new((run & 0xFFF) as u16, clients)
}

/// Distinguishes this run from others. The schedule does not depend on it.
fn nonce() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    time.as_nanos() as u64 ^ u64::from(std::process::id()) << 40
}
