//! A validated load scenario: every value here has been checked, so the planner and the engine need not check again.
//!
//! The sibling modules read the text and handle defaults and errors; nothing here knows TOML.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::{LatencyKind, Model, Op, Role, Statistic, Timing, Transport};

/// A whole scenario: what load to put on which transports, by which clients, and what must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Short name; it also names the default report folder. Only ASCII letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// One line for people.
    pub about: String,
    /// Every random choice of a run derives from it.
    pub seed: u64,
    /// Transports to compare, in the order given, without repeats; never empty.
    pub transports: Vec<Transport>,
    /// A request unanswered for longer is an error and ends its client.
    pub timeout: Duration,
    /// Loads, run in this order; never empty, names unique.
    pub loads: Vec<Load>,
    /// Client groups; never empty, names unique, at least one client in all.
    pub groups: Vec<Group>,
    /// At most two axes; every combination of their values is a variant.
    pub sweep: Vec<SweepAxis>,
    /// Judged on merged data after the run.
    pub thresholds: Vec<Threshold>,
}

impl Scenario {
    /// The load whose figures head the report: the marked one, otherwise the first.
    #[must_use]
    pub fn headline(&self) -> &Load {
        self.loads.iter().find(|load| load.headline).unwrap_or(&self.loads[0])
    }

    /// Clients over all groups.
    #[must_use]
    pub fn clients(&self) -> u32 {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// Whether some group is pinned to a transport: the load then runs once, with all transports together.
    #[must_use]
    pub fn is_mixed(&self) -> bool {
        self.groups.iter().any(|group| group.transport.is_some())
    }
}

/// One `[[load]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Unique among the scenario's loads.
    pub name: String,
    /// When requests are made.
    pub model: Model,
    /// Most outstanding requests of one connection.
    pub in_flight: NonZeroU32,
    /// Load before measuring starts, whose figures are discarded.
    pub warmup: Duration,
    /// The measured part, one phase after another; never empty.
    pub phases: Vec<Phase>,
    /// Repetitions, each with fresh connections and, if this program starts it, a fresh server; at least 1.
    pub trials: u32,
    /// Length of the windows in which the load switches between transports; `None`: one after the other. With a single
    /// transport it has no effect.
    pub interleave: Option<Duration>,
    /// Whether the scenario marks it as the one that heads the report.
    pub headline: bool,
    /// Whether its timing is judged and shown.
    pub timing: Timing,
}

impl Load {
    /// Whether requests wait for an instant of their own. A closed load without think time sends as fast as it can.
    #[must_use]
    pub fn is_paced(&self) -> bool {
        !self.model.saturates()
    }

    /// Whether requests come at instants of their own, independent of the server.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.model.is_open()
    }

    /// Measured time of one trial on one transport.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.phases.iter().map(|phase| phase.duration).sum()
    }
}

/// A phase of the measured part.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// Its length; never zero.
    pub duration: Duration,
    /// Open loads: requests a second over this phase, if it states them.
    pub rate: Option<Ramp>,
    /// Active clients over this phase, if it states them.
    pub clients: Option<Ramp>,
}

/// A level that changes linearly from one value to another; both are the same for a constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ramp {
    /// At the phase's beginning.
    pub from: f64,
    /// At its end.
    pub to: f64,
}

/// One `[[clients]]` group: clients that behave alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Unique among the scenario's groups.
    pub name: String,
    /// Their role once set up. Managers are upgraded before the load starts.
    pub role: Role,
    /// Number of clients; zero only in a sweep's variant.
    pub count: u32,
    /// Operations with their weights, each operation once, weights positive; never empty.
    pub mix: Vec<(Op, u32)>,
    /// Which keys they use.
    pub keys: Keys,
    /// How large their values are.
    pub values: Values,
    /// Keys put before the load starts, from the first one on; at most `keys.count`.
    pub preload: u32,
    /// Pins the group to one transport.
    pub transport: Option<Transport>,
    /// How often its clients log out, connect and log in again.
    pub reconnect: Option<Reconnect>,
}

/// The keys of each client of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Keys {
    /// At least 1.
    pub count: u32,
    /// Which one a request draws.
    pub distribution: KeyDistribution,
}

/// How a request draws its key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum KeyDistribution {
    /// Every key with the same probability.
    Uniform,
    /// Key `k` (from 1) with weight `k^-exponent`.
    Zipf {
        /// Positive and finite.
        exponent: f64,
    },
    /// One after the other, in a cycle.
    Sequential,
}

/// Sizes of values in bytes, drawn uniformly from `min` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Values {
    /// Smallest; holds at least the tag that names user, key and version ([`crate::oracle::TAG_BYTES`]).
    pub min: u32,
    /// Largest; the whole `put` fits a message.
    pub max: u32,
}

/// When a client starts a new session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconnect {
    /// After this many requests.
    Requests(NonZeroU32),
    /// After this long.
    Interval(Duration),
}

/// One key of `[sweep]` with its values.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepAxis {
    /// `manager-share` (percent of the clients), or a dotted key as in `--set`.
    pub key: String,
    /// The values as TOML text, in the order given; never empty.
    pub values: Vec<String>,
}

/// One `[[thresholds]]` entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// What is judged.
    pub metric: Metric,
    /// The part of the data that is judged.
    pub filter: Filter,
    /// The limit that the metric must keep.
    pub bound: Bound,
    /// Stop the run as soon as it is missed for 5 s.
    pub abort: bool,
}

/// What a threshold judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// A latency's statistic.
    Latency(LatencyKind, Statistic),
    /// Requests a second.
    Rate,
    /// Number of errors.
    Errors,
    /// Number of violations.
    Violations,
    /// Number of requests that were neither answered nor failed when the load ended.
    Unfinished,
    /// Number of clients that were lost, by a time-out, a reset or a close.
    Lost,
}

impl Metric {
    /// Whether it is about right and wrong rather than speed: then it is judged in every run, valid or not.
    #[must_use]
    pub const fn is_correctness(self) -> bool {
        match self {
            Self::Errors | Self::Violations | Self::Unfinished | Self::Lost => true,
            Self::Latency(..) | Self::Rate => false,
        }
    }
}

/// A part of the data; `None` matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// A load's name.
    pub load: Option<String>,
    /// On one transport.
    pub transport: Option<Transport>,
    /// A group's name.
    pub group: Option<String>,
    /// By clients of a role, when they sent the request.
    pub role: Option<Role>,
    /// Of one kind.
    pub op: Option<Op>,
}

/// A threshold's bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// At most: nanoseconds for latencies, otherwise a plain number.
    Max(f64),
    /// At least: nanoseconds for latencies, otherwise a plain number.
    Min(f64),
}
