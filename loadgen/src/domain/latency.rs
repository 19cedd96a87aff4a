//! The latencies of a request, and their statistics.
//!
//! To add a statistic, add a line to the table of [`statistics!`]: scenarios, CSV and JSON columns, tables and
//! thresholds follow.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use super::named::named;

named! {
    /// Which latency.
    LatencyKind {
        /// Intended to sent.
        Lag "lag",
        /// Sent to replied.
        Service "service",
        /// Intended to replied.
        Response "response",
    }
}

/// Something for each kind of latency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerKind<T> {
    /// Intended to sent.
    pub lag: T,
    /// Sent to replied.
    pub service: T,
    /// Intended to replied.
    pub response: T,
}

impl<T> PerKind<T> {
    /// Makes each from its kind.
    pub fn from_fn(mut of: impl FnMut(LatencyKind) -> T) -> Self {
        Self {
            lag: of(LatencyKind::Lag),
            service: of(LatencyKind::Service),
            response: of(LatencyKind::Response),
        }
    }

    /// Makes another of each.
    pub fn map<U>(self, mut to: impl FnMut(T) -> U) -> PerKind<U> {
        PerKind { lag: to(self.lag), service: to(self.service), response: to(self.response) }
    }

    /// All of them, in the order of [`LatencyKind::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (LatencyKind, &T)> {
        LatencyKind::ALL.into_iter().map(|kind| (kind, &self[kind]))
    }
}

impl<T> Index<LatencyKind> for PerKind<T> {
    type Output = T;

    fn index(&self, kind: LatencyKind) -> &T {
        match kind {
            LatencyKind::Lag => &self.lag,
            LatencyKind::Service => &self.service,
            LatencyKind::Response => &self.response,
        }
    }
}

impl<T> IndexMut<LatencyKind> for PerKind<T> {
    fn index_mut(&mut self, kind: LatencyKind) -> &mut T {
        match kind {
            LatencyKind::Lag => &mut self.lag,
            LatencyKind::Service => &mut self.service,
            LatencyKind::Response => &mut self.response,
        }
    }
}

/// Samples that must lie beyond a quantile for it to be shown. With fewer, it would differ from run to run.
pub const SAMPLES_BEYOND_MIN: f64 = 10.0;

/// How a statistic is taken from samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// The arithmetic mean.
    Mean,
    /// The quantile of this share (0 to 1), shown only with [`SAMPLES_BEYOND_MIN`] samples beyond it.
    Quantile(f64),
    /// The largest sample.
    Max,
}

/// Makes [`Statistic`] and all that follows from its table, in which a line holds the variant, its name in scenarios
/// and tables, its name in CSV and JSON columns, and how it is taken.
macro_rules! statistics {
    ($($variant:ident $name:literal $column:literal $measure:expr;)*) => {
        /// Which statistic of a latency.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the names say it")]
        pub enum Statistic { $($variant),* }

        impl Statistic {
            /// All of them, in the order in which reports show them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name used in scenarios and tables.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The name used in the columns of CSV and the keys of JSON.
            #[must_use]
            pub const fn column(self) -> &'static str {
                match self { $(Self::$variant => $column),* }
            }

            /// How it is taken from samples.
            #[must_use]
            pub const fn measure(self) -> Measure {
                match self { $(Self::$variant => $measure),* }
            }
        }

        /// What thresholds call each statistic of each kind of latency.
        pub const LATENCY_METRICS: &[&str] = &[
            $(concat!("lag.", $name),)* $(concat!("service.", $name),)* $(concat!("response.", $name),)*
        ];
    };
}

statistics! {
    Mean "mean"  "mean"  Measure::Mean;
    P50  "p50"   "p50"   Measure::Quantile(0.5);
    P90  "p90"   "p90"   Measure::Quantile(0.9);
    P99  "p99"   "p99"   Measure::Quantile(0.99);
    P999 "p99.9" "p99_9" Measure::Quantile(0.999);
    Max  "max"   "max"   Measure::Max;
}

impl Statistic {
    /// Whether it is a quantile that a few thousand samples support. Only these are kept for short windows and for the
    /// harness's own floor.
    #[must_use]
    pub fn needs_few_samples(self) -> bool {
        matches!(self.measure(), Measure::Quantile(q) if q <= 0.99)
    }
}

/// A latency and a statistic of it, as thresholds name them: `response.p99`.
#[must_use]
pub fn latency_metric(name: &str) -> Option<(LatencyKind, Statistic)> {
    let (kind, statistic) = name.split_once('.')?;
    let kind = LatencyKind::from_name(kind)?;
    Some((kind, *Statistic::ALL.iter().find(|known| known.name() == statistic)?))
}

/// What a load's latencies are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timing {
    /// They are results, and a verdict judges the measurement.
    #[default]
    Judged,
    /// The load only checks correctness: its latencies are not results, and nothing judges them.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_of_a_latency_is_read_as_its_kind_and_statistic() {
        let all =
            LatencyKind::ALL.into_iter().flat_map(|kind| Statistic::ALL.iter().map(move |s| (kind, *s)));
        let read: Vec<_> = LATENCY_METRICS.iter().map(|name| latency_metric(name).unwrap()).collect();
        assert_eq!(read, all.collect::<Vec<_>>());
        assert_eq!((latency_metric("response"), latency_metric("response.p12")), (None, None));
    }
}
