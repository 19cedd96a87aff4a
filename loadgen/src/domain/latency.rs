//! The latencies of a request, and the statistics taken of them.

use serde::{Deserialize, Serialize};

/// Which latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LatencyKind {
    /// Intended to sent.
    Lag,
    /// Sent to replied.
    Service,
    /// Intended to replied.
    Response,
}

impl LatencyKind {
    /// All of them, in the order in which reports show them.
    pub const ALL: [Self; 3] = [Self::Lag, Self::Service, Self::Response];

    /// The name used in scenarios and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lag => "lag",
            Self::Service => "service",
            Self::Response => "response",
        }
    }
}

/// Which statistic of a latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// Arithmetic mean.
    Mean,
    /// Median.
    P50,
    /// 90th percentile.
    P90,
    /// 99th percentile.
    P99,
    /// 99.9th percentile.
    P999,
    /// Largest value.
    Max,
}

/// What a load's latencies are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timing {
    /// They are results, with a verdict on the measurement.
    #[default]
    Judged,
    /// The load is there for correctness alone: its latencies are no results, so nothing judges them.
    Unjudged,
}

impl Timing {
    /// The name used in scenarios.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Judged => "judged",
            Self::Unjudged => "unjudged",
        }
    }
}
