//! The versioned record of a run: everything that a report shows is derived from it, and from nothing else.
//!
//! The engine fills it; `report` and `chart` read it. It holds raw counts and whole histograms, never
//! percentiles: those can be merged, percentiles cannot. Times since the run's start are in nanoseconds unless
//! a name says otherwise.

pub(crate) mod cost;
#[cfg(test)]
pub(crate) mod fixture;
mod floor;
mod histogram;
pub(crate) mod lateness;
pub(crate) mod pairs;
mod pass;
mod replay;
pub(crate) mod rows;
mod statistics;

use std::borrow::Cow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::{LatencyKind, Model, Role, Rule, Setting, Side, Timing, Transport, ViolationKind};

pub use cost::{Cost, Processes, Sockets};
pub use floor::{
    FLOOR_RATIO_MAX, FLOOR_SCHEMA, Floor, FloorCost, FloorLayout, PacedFloor, SaturatedFloor, TransportFloor,
    is_ceiling, is_within,
};
pub use histogram::{LATENCY_NS_MAX, Latencies, Latency};
pub use pass::{Backlog, Cell, Counts, Interval, Ledger, Pass, Pause, Setup, WindowRole, WindowRow};
pub use replay::{Replay, ReplayAction, ReplayClient, ReplayExpect, ReplayStep};
pub use statistics::{KindStatistics, StatisticMap, Statistics};

/// Version of the format of `run.json`. It grows when a reader of the older one would misread the newer one.
pub const SCHEMA: u32 = 2;

/// A whole run of one scenario.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// Version of the program that wrote it.
    pub twinwire: String,
    /// What was asked for.
    pub scenario: ScenarioInfo,
    /// UTC instant of the start, RFC 3339.
    pub started: String,
    /// Wall time of the whole run in seconds, set-up included.
    pub elapsed_s: f64,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Where it ran, and against what.
    pub environment: Environment,
    /// Transports and loads that could not run, with the reason.
    pub skipped: Vec<Skipped>,
    /// The loads, in the order in which they ran.
    pub loads: Vec<LoadInfo>,
    /// One for each load × variant × trial × transport (mixed loads: all transports in one).
    pub passes: Vec<Pass>,
    /// What a request cost, by load, variant and transport: worked out from the passes for other programs that read
    /// this file. Reports work it out themselves.
    pub costs: Vec<rows::TransportCost>,
    /// The first violations seen, at most [`VIOLATIONS_KEPT`].
    pub violations: Vec<Violation>,
    /// All violations, warm-up and set-up included.
    pub violations_total: u64,
    /// Thresholds and whether they were met.
    pub thresholds: Vec<ThresholdResult>,
    /// The harness's own floor, if one was given; [`Floor::layout`] says whether it was measured on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Floor>,
}

/// Violations kept with their details; the rest is counted.
pub const VIOLATIONS_KEPT: usize = 20;

/// The scenario as it ran.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScenarioInfo {
    /// Its name.
    pub name: String,
    /// Its one-line description.
    pub about: String,
    /// Its seed.
    pub seed: u64,
    /// Its text with every `--set` applied, which `scenario.toml` holds.
    pub text: String,
    /// The transports it compares, in its order.
    pub transports: Vec<Transport>,
}

/// How a run ended; each has one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Every reply right, every threshold met.
    Passed,
    /// A reply was wrong.
    Violated,
    /// A threshold on errors, violations, unfinished requests or lost clients was missed.
    CorrectnessMissed,
    /// The target was not there, or was lost.
    TargetLost,
    /// The measurement is not valid.
    Invalid,
    /// Another threshold was missed.
    ThresholdMissed,
    /// Stopped by the user.
    Interrupted,
    /// The target offers no transport of the scenario's.
    NothingRan,
}

impl Status {
    /// The process's exit code for it.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Violated | Self::CorrectnessMissed | Self::ThresholdMissed => 1,
            Self::TargetLost => 3,
            Self::Invalid => 4,
            Self::NothingRan => 2,
            Self::Interrupted => 130,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunOutcome {
    /// The first that applies, in the order of the exit codes' precedence.
    pub status: Status,
    /// What happened, for people, if the status alone does not say it.
    pub message: Option<String>,
    /// Whether Ctrl-C cut the run short (also if `status` is a worse one).
    pub interrupted: bool,
}

/// Where a run ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Operating system and kernel release.
    pub os: String,
    /// Processor model.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// CPUs the server was confined to; empty: not confined, or not ours to confine.
    pub server_cpus: Vec<usize>,
    /// CPUs the generator was confined to; empty: not confined.
    pub generator_cpus: Vec<usize>,
    /// How instants were paced: `timerfd` or `tokio timers`.
    pub pacing: String,
    /// The target for people: `embedded server`, the launched commands, or its addresses.
    pub target: String,
    /// Whether the target was the embedded server.
    pub embedded: bool,
    /// The commands that started the target, as given to `--launch`; empty if it was not launched.
    pub launched: Vec<String>,
}

impl Environment {
    /// Whether this program started the target, and so placed it on CPUs.
    #[must_use]
    pub fn started_target(&self) -> bool {
        self.embedded || !self.launched.is_empty()
    }
}

/// Something left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Transport or load.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// The settings of a load that reports show.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoadInfo {
    /// Its name.
    pub name: String,
    /// When requests are made.
    pub model: Model,
    /// Most outstanding requests of one connection.
    pub in_flight: u32,
    /// Warm-up in seconds.
    pub warmup_s: f64,
    /// Measured time of one trial on one transport in seconds.
    pub duration_s: f64,
    /// Trials asked for.
    pub trials: u32,
    /// Whether its figures head the report.
    pub headline: bool,
    /// Its variants, in order; one without settings if nothing is swept.
    pub variants: Vec<VariantInfo>,
    /// Clients in all, in the first variant.
    pub clients: u32,
    /// Probes of a rate that the scenario gives as a share; otherwise empty.
    pub probes: Vec<Probe>,
    /// Whether its timing is judged and shown.
    pub timing: Timing,
    /// Judgement of the measurement.
    pub verdict: Verdict,
}

/// One combination of the swept values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariantInfo {
    /// Its name, which passes, probes and violations refer to: no other variant of the run has it. Empty if nothing is
    /// swept.
    pub label: String,
    /// The swept values, in the scenario's order.
    pub settings: Vec<Setting>,
}

/// What a short closed load reached, which sets the rate of an open one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// The variant's label.
    pub variant: String,
    /// The transports that it ran over: one, or all of a mixed load.
    pub transports: Vec<Transport>,
    /// Requests a second that it reached.
    pub reached: f64,
    /// Requests a second that the load then offered: the share of the slowest transport's.
    pub offered: f64,
    /// Clients that took part.
    pub clients: u32,
    /// Those that ended before their time.
    pub clients_lost: u32,
    /// How long the harness itself stood still in it, in seconds, if it did so at each try.
    pub paused_s: f64,
}

impl LoadInfo {
    /// The kind of latency that heads this load's tables.
    #[must_use]
    pub fn headline_kind(&self) -> LatencyKind {
        self.model.headline_kind()
    }
}

/// Whether a load's figures may be trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The judgement.
    pub level: VerdictLevel,
    /// Why, with the numbers; empty if valid.
    pub reasons: Vec<String>,
    /// The variant that each reason is about; `None`: the whole load. Empty where the load has a
    /// single variant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Option<String>>,
    /// The side that was at its limit, if any: its CPU was full, or it fell behind an open load's rate.
    pub saturated: Option<Side>,
}

impl Verdict {
    /// The reasons that are about this variant.
    pub fn reasons_about(&self, variant: &str) -> impl Iterator<Item = &str> {
        let about = self.reasons.iter().zip(&self.variants);
        about.filter(move |(_, of)| of.as_deref() == Some(variant)).map(|(reason, _)| reason.as_str())
    }
}

/// Grade of a [`Verdict`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictLevel {
    /// The load is there for correctness alone, and its timing was not judged.
    Unjudged,
    /// There is no reason to doubt the figures.
    #[default]
    Valid,
    /// There are reasons to doubt them.
    Suspect,
    /// The generator did not do what the load asked for.
    Invalid,
}

/// A reply that the protocol does not allow, and everything needed to see why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Violation {
    /// The load's name; empty before the first one.
    pub load: String,
    /// The variant's label.
    pub variant: String,
    /// The trial.
    pub trial: u32,
    /// The transport.
    pub transport: Transport,
    /// The client's user name.
    pub client: String,
    /// Its group.
    pub group: String,
    /// Its role at that time.
    pub role: Role,
    /// What went wrong.
    pub kind: ViolationKind,
    /// The requirement that it breaks.
    pub rule: Rule,
    /// The request as sent, long values cut.
    pub request: String,
    /// What was allowed.
    pub expected: String,
    /// What came, long values cut.
    pub seen: String,
    /// Seconds since the pass's measured part began (negative: before it).
    pub at_s: f64,
    /// How to show it again; `None`: not known.
    pub replay: Option<Replay>,
}

/// A threshold and its judgement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ThresholdResult {
    /// For people: `response.p99 ≤ 20 ms where load=paced`.
    pub text: String,
    /// What was measured, in ns for latencies; `None` if nothing matched or there were too few samples.
    pub measured: Option<f64>,
    /// What was measured, for people, with its unit.
    pub measured_text: String,
    /// `None`: not judged.
    pub met: Option<bool>,
    /// Whether it is about errors, violations, unfinished requests or lost clients, and so judged in every run.
    pub correctness: bool,
}

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("{path} is not {what}: {source}")]
    Json {
        /// The file.
        path: String,
        /// What it should be.
        what: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Another version wrote it.
    #[error(
        "{path} has schema {found}; this version reads schema {known}: use the version of twinwire that wrote it"
    )]
    Schema {
        /// The file.
        path: String,
        /// Its schema.
        found: u32,
        /// The one that this version reads.
        known: u32,
    },
}

/// Reads a versioned file: the version first, since a file of another version may differ in everything else.
fn read<T: serde::de::DeserializeOwned>(path: &Path, what: &'static str, known: u32) -> Result<T, ReadError> {
    #[derive(Deserialize)]
    struct Head {
        schema: u32,
    }
    let shown = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|source| ReadError::Io { path: shown.clone(), source })?;
    let json = |source| ReadError::Json { path: shown.clone(), what, source };
    let head: Head = serde_json::from_str(&text).map_err(json)?;
    if head.schema != known {
        return Err(ReadError::Schema { path: shown, found: head.schema, known });
    }
    serde_json::from_str(&text).map_err(json)
}

impl RunRecord {
    /// Reads `run.json`.
    ///
    /// # Errors
    /// If the file cannot be read, is not a record, or is of another schema.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        read(path, "a run record", SCHEMA)
    }

    /// The record without the latencies of loads whose timing is unjudged: those are not results. Reports and charts
    /// show this; `run.json` keeps everything.
    #[must_use]
    pub fn results(&self) -> Cow<'_, Self> {
        let unjudged =
            |pass: &Pass| self.load(&pass.load).is_some_and(|load| load.timing == Timing::Unjudged);
        if !self.passes.iter().any(unjudged) {
            return Cow::Borrowed(self);
        }
        let mut results = self.clone();
        results.passes.iter_mut().filter(|pass| unjudged(pass)).for_each(Pass::forget_latencies);
        Cow::Owned(results)
    }

    /// The load of this name.
    #[must_use]
    pub fn load(&self, name: &str) -> Option<&LoadInfo> {
        self.loads.iter().find(|load| load.name == name)
    }

    /// The load that heads the report.
    #[must_use]
    pub fn headline(&self) -> Option<&LoadInfo> {
        self.loads.iter().find(|load| load.headline).or_else(|| self.loads.first())
    }

    /// The transports that ran, in the scenario's order.
    #[must_use]
    pub fn transports_run(&self) -> Vec<Transport> {
        let ran = |transport: &Transport| self.passes.iter().any(|pass| pass.transports.contains(transport));
        self.scenario.transports.iter().copied().filter(ran).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PerKind;
    use crate::record::fixture;

    /// A record with one of everything.
    fn small() -> RunRecord {
        let mut record = fixture::record();
        record.violations = vec![fixture::violation()];
        record.skipped = vec![Skipped { what: "tls".into(), reason: "the target does not offer it".into() }];
        record.costs = rows::by_transport(&record);
        record.costs.truncate(1);
        record.loads[0].variants = vec![fixture::variant(&[("manager-share", "10"), ("timeout", "5s")])];
        record.loads[0].probes = vec![Probe {
            variant: record.loads[0].variants[0].label.clone(),
            transports: vec![Transport::Tcp, Transport::WebSocket],
            reached: 2_000.0,
            offered: 1_000.0,
            clients: 100,
            clients_lost: 0,
            paused_s: 0.0,
        }];
        record.passes.truncate(1);
        let pass = &mut record.passes[0];
        pass.cells.truncate(1);
        pass.intervals.truncate(1);
        let mut latencies = Latencies::default();
        latencies.record(90_000);
        pass.dispatch_lag = latencies.clone();
        let cell = &mut pass.cells[0];
        cell.latencies = PerKind::from_fn(|_| latencies.clone());
        let setup = &mut pass.setup[0];
        (setup.connect, setup.login) = (latencies.clone(), latencies);
        (setup.upgrade, setup.preload) = Default::default();
        record
    }

    /// Other programs read `run.json` in this form. If it changes so that they would misread it, [`SCHEMA`] grows.
    #[test]
    fn a_saved_record_is_read_back_as_it_was_written() {
        let text = serde_json::to_string_pretty(&small()).unwrap();
        insta::assert_snapshot!(text);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        std::fs::write(&path, &text).unwrap();
        let back = RunRecord::read(&path).unwrap();
        assert_eq!(serde_json::to_string_pretty(&back).unwrap(), text);
    }

    #[test]
    fn a_record_of_another_schema_is_not_misread() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        for schema in [SCHEMA - 1, SCHEMA + 1] {
            std::fs::write(&path, format!("{{\"schema\": {schema}}}")).unwrap();
            let error = RunRecord::read(&path).unwrap_err().to_string();
            assert!(
                error.contains(&format!("has schema {schema}; this version reads schema {SCHEMA}")),
                "{error}"
            );
        }
    }
}
