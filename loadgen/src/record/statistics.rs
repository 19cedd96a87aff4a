//! Statistics of latencies without their histograms: what is kept of seconds, of windows and of the harness's floor.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};

use super::Latencies;
use crate::domain::{LatencyKind, PerKind, Statistic};

/// Statistics in ns by kind and statistic; `None` (null in JSON) if too few samples support them.
#[derive(Debug, Clone, PartialEq)]
pub struct StatisticMap<K>(Vec<(K, Option<f64>)>);

/// Statistics of one latency; in JSON `{"p50_ns": …}`.
pub type Statistics = StatisticMap<Statistic>;

/// Statistics of several kinds of latency; in JSON `{"response_p50_ns": …}`.
pub type KindStatistics = StatisticMap<(LatencyKind, Statistic)>;

impl<K> Default for StatisticMap<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Copy + PartialEq> StatisticMap<K> {
    /// The statistic in ns.
    #[must_use]
    pub fn get(&self, key: K) -> Option<f64> {
        self.0.iter().find(|(known, _)| *known == key)?.1
    }
}

impl<K> FromIterator<(K, Option<f64>)> for StatisticMap<K> {
    fn from_iter<I: IntoIterator<Item = (K, Option<f64>)>>(statistics: I) -> Self {
        Self(statistics.into_iter().collect())
    }
}

impl KindStatistics {
    /// These statistics of service and response: what was sent too late shows in the generator's own lateness.
    #[must_use]
    pub fn of(latencies: &PerKind<Latencies>, statistics: &[Statistic]) -> Self {
        let of = |kind, statistic| {
            ((kind, statistic), latencies[kind].statistic(statistic).map(|latency| latency.ns))
        };
        let kinds = [LatencyKind::Service, LatencyKind::Response];
        kinds.iter().flat_map(|&kind| statistics.iter().map(move |&statistic| of(kind, statistic))).collect()
    }
}

/// A statistic's name in JSON.
trait StatisticKey: Sized {
    fn to_text(&self) -> String;
    fn from_text(text: &str) -> Option<Self>;
}

impl StatisticKey for Statistic {
    fn to_text(&self) -> String {
        format!("{}_ns", self.column())
    }

    fn from_text(text: &str) -> Option<Self> {
        let column = text.strip_suffix("_ns")?;
        Self::ALL.iter().copied().find(|statistic| statistic.column() == column)
    }
}

impl StatisticKey for (LatencyKind, Statistic) {
    fn to_text(&self) -> String {
        format!("{}_{}", self.0.name(), self.1.to_text())
    }

    fn from_text(text: &str) -> Option<Self> {
        let (kind, statistic) = text.split_once('_')?;
        let kind = LatencyKind::from_name(kind)?;
        Some((kind, Statistic::from_text(statistic)?))
    }
}

impl<K: StatisticKey> Serialize for StatisticMap<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, ns) in &self.0 {
            // All but means are whole.
            match ns {
                Some(ns) if ns.fract() == 0.0 => map.serialize_entry(&key.to_text(), &(*ns as u64))?,
                ns => map.serialize_entry(&key.to_text(), ns)?,
            }
        }
        map.end()
    }
}

impl<'de, K: StatisticKey> Deserialize<'de> for StatisticMap<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K>(PhantomData<K>);
        impl<'de, K: StatisticKey> Visitor<'de> for Entries<K> {
            type Value = StatisticMap<K>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("statistics in nanoseconds")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StatisticMap<K>, A::Error> {
                let mut kept = Vec::new();
                // Unknown statistics and other fields are skipped.
                while let Some(text) = map.next_key::<String>()? {
                    match K::from_text(&text) {
                        Some(key) => kept.push((key, map.next_value()?)),
                        None => _ = map.next_value::<IgnoredAny>()?,
                    }
                }
                Ok(StatisticMap(kept))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_back_as_they_were_written_and_others_are_passed_over() {
        let mean = (LatencyKind::Service, Statistic::Mean);
        let kept = StatisticMap::from_iter([
            (mean, Some(1_000.5)),
            ((LatencyKind::Response, Statistic::P999), Some(7e9)),
            ((LatencyKind::Response, Statistic::Max), None),
        ]);
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(
            text,
            r#"{"service_mean_ns":1000.5,"response_p99_9_ns":7000000000,"response_max_ns":null}"#
        );
        assert_eq!(serde_json::from_str::<KindStatistics>(&text).unwrap(), kept);
        let other = r#"{"second":3,"service_p12_ns":1,"lag_max_ns":5}"#;
        let kept: KindStatistics = serde_json::from_str(other).unwrap();
        assert_eq!(kept, StatisticMap::from_iter([((LatencyKind::Lag, Statistic::Max), Some(5.0))]));
    }
}
