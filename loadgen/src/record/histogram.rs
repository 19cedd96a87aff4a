//! A latency histogram that can be stored in the record, merged and asked for quantiles.
//!
//! It wraps HdrHistogram: fixed size, nanoseconds, three significant digits. Quantiles are given only if
//! enough samples lie beyond them to mean something.
//!
//! A histogram that is recorded into takes 270 KB, whatever it holds. A record keeps thousands of them, so there they
//! are packed: some KB each, unpacked for as long as they are added or read.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer, V2Serializer};
use serde::{Deserialize, Serialize};

use crate::domain::{Measure, PerKind, SAMPLES_BEYOND_MIN, Statistic};

/// Largest latency kept exactly, 1 h in ns: longer than any time-out plus load that a person waits for. Beyond
/// it a sample counts as this and as saturated.
pub const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// Three significant digits: a value is known within 0.1 %.
const SIGNIFICANT_DIGITS: u8 = 3;

/// A quantile is a lower bound if unfinished requests could raise it by more than this: a smaller change is
/// below what a repetition changes.
const UNFINISHED_RAISE_MAX: f64 = 1.01;

/// Latencies in nanoseconds; empty costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    samples: Samples,
    saturated: u64,
    unfinished: u64,
    /// The shortest time that an unfinished request had waited, in ns.
    unfinished_from: Option<u64>,
}

#[derive(Debug, Clone, Default)]
enum Samples {
    #[default]
    None,
    Counts(Box<Histogram<u64>>),
    Packed(Packed),
}

/// A histogram in HdrHistogram's V2 form, whose runs of empty counts take a byte or two.
#[derive(Debug, Clone)]
struct Packed {
    count: u64,
    bytes: Box<[u8]>,
}

impl Packed {
    fn new(histogram: &Histogram<u64>) -> Self {
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(histogram, &mut bytes)
            .expect("our bounds fit the form, and memory takes it");
        Self { count: histogram.len(), bytes: bytes.into() }
    }

    fn unpack(&self) -> Histogram<u64> {
        Deserializer::new().deserialize(&mut &*self.bytes).expect("it was packed from a histogram")
    }
}

impl Samples {
    /// The counts, to be added to.
    fn counts(&mut self) -> &mut Histogram<u64> {
        match self {
            Self::Counts(_) => {}
            Self::None => *self = Self::Counts(Box::new(new_histogram())),
            Self::Packed(packed) => *self = Self::Counts(Box::new(packed.unpack())),
        }
        let Self::Counts(histogram) = self else { unreachable!("made so above") };
        histogram
    }

    fn histogram(&self) -> Option<Cow<'_, Histogram<u64>>> {
        match self {
            Self::None => None,
            Self::Counts(histogram) => Some(Cow::Borrowed(histogram)),
            Self::Packed(packed) => Some(Cow::Owned(packed.unpack())),
        }
    }
}

/// A latency that may be a lower bound, because requests that never ended lie in or beyond it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// Nanoseconds.
    pub ns: f64,
    /// Show it with "≥".
    pub at_least: bool,
}

impl Latencies {
    /// Ready to record without allocating.
    #[must_use]
    pub fn recorder() -> Self {
        Self { samples: Samples::Counts(Box::new(new_histogram())), ..Self::default() }
    }

    /// Records one latency.
    pub fn record(&mut self, ns: u64) {
        self.saturated += u64::from(ns > LATENCY_NS_MAX);
        self.samples.counts().saturating_record(ns);
    }

    /// Records how long an unanswered request had waited when the run ended: a lower bound of its latency.
    pub fn record_unfinished(&mut self, ns: u64) {
        self.record(ns);
        self.unfinished += 1;
        self.unfinished_from = Some(self.unfinished_from.map_or(ns, |from| from.min(ns)));
    }

    /// Adds the other's samples to these.
    pub fn merge(&mut self, other: &Self) {
        self.saturated += other.saturated;
        self.unfinished += other.unfinished;
        self.unfinished_from = [self.unfinished_from, other.unfinished_from].into_iter().flatten().min();
        if let Some(theirs) = other.samples.histogram() {
            self.samples.counts().add(theirs.as_ref()).expect("both have the same bounds");
        }
    }

    /// The same samples in little memory, to be kept.
    #[must_use]
    pub fn packed(self) -> Self {
        let samples = match self.samples {
            Samples::Counts(histogram) if histogram.is_empty() => Samples::None,
            Samples::Counts(histogram) => Samples::Packed(Packed::new(&histogram)),
            samples @ (Samples::None | Samples::Packed(_)) => samples,
        };
        Self { samples, ..self }
    }

    /// Forgets every sample and keeps the memory.
    pub fn reset(&mut self) {
        match &mut self.samples {
            Samples::Counts(histogram) => histogram.reset(),
            Samples::None | Samples::Packed(_) => self.samples = Samples::None,
        }
        self.saturated = 0;
        self.unfinished = 0;
        self.unfinished_from = None;
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.samples {
            Samples::None => 0,
            Samples::Counts(histogram) => histogram.len(),
            Samples::Packed(packed) => packed.count,
        }
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Samples over [`LATENCY_NS_MAX`].
    #[must_use]
    pub fn saturated(&self) -> u64 {
        self.saturated
    }

    /// The histogram itself, if there is a sample.
    #[must_use]
    pub fn histogram(&self) -> Option<Cow<'_, Histogram<u64>>> {
        self.samples.histogram().filter(|histogram| !histogram.is_empty())
    }

    /// Mean in ns; `None` without samples.
    #[must_use]
    pub fn mean_ns(&self) -> Option<f64> {
        self.histogram().map(|histogram| histogram.mean())
    }

    /// Smallest sample in ns; `None` without samples.
    #[must_use]
    pub fn min_ns(&self) -> Option<u64> {
        self.histogram().map(|histogram| histogram.min())
    }

    /// Largest sample; `None` without samples.
    #[must_use]
    pub fn max(&self) -> Option<Latency> {
        let ns = self.histogram()?.max() as f64;
        Some(Latency { ns, at_least: self.unfinished + self.saturated > 0 })
    }

    /// The statistic; a quantile only if enough samples lie beyond it.
    #[must_use]
    pub fn statistic(&self, statistic: Statistic) -> Option<Latency> {
        match statistic.measure() {
            Measure::Mean => self.mean_ns().map(|ns| Latency { ns, at_least: false }),
            Measure::Quantile(q) => self.quantile(q),
            Measure::Max => self.max(),
        }
    }

    /// The statistic in ns, however few the samples.
    #[must_use]
    pub fn statistic_of_few(&self, statistic: Statistic) -> Option<f64> {
        match statistic.measure() {
            Measure::Quantile(q) => self.quantile_for_curve(q).map(|ns| ns as f64),
            Measure::Mean | Measure::Max => self.statistic(statistic).map(|latency| latency.ns),
        }
    }

    /// The quantile `q` (0 to 1), if at least ten samples lie beyond it.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Latency> {
        let histogram = self.histogram()?;
        // The tiny allowance keeps 10,000 × (1 − 0.999) from falling short of 10 by rounding.
        let enough = histogram.len() as f64 * (1.0 - q) + 1e-6 >= SAMPLES_BEYOND_MIN;
        enough.then(|| self.raw_quantile(&histogram, q))
    }

    /// The quantile `q`, however few the samples: for drawing curves, never for a printed figure.
    #[must_use]
    pub fn quantile_for_curve(&self, q: f64) -> Option<u64> {
        Some(self.histogram()?.value_at_quantile(q))
    }

    fn raw_quantile(&self, histogram: &Histogram<u64>, q: f64) -> Latency {
        let ns = histogram.value_at_quantile(q) as f64;
        let share = |count: u64| count as f64 / histogram.len() as f64;
        // Saturated samples lie at the top, and how far above it is not known.
        let saturated = self.saturated > 0 && q >= 1.0 - share(self.saturated);
        Latency { ns, at_least: saturated || self.unfinished_reach(histogram, q, share(self.unfinished)) }
    }

    /// Whether requests that never ended reach the quantile. Each ends somewhere beyond what was recorded for it; in
    /// the worst case all of them lie at the top, and then what stands at `q` stood, at most, their share above it.
    fn unfinished_reach(&self, histogram: &Histogram<u64>, q: f64, share: f64) -> bool {
        let raised = || {
            let ns = histogram.value_at_quantile(q);
            let beyond = self.unfinished_from.is_some_and(|from| ns >= from);
            beyond && histogram.value_at_quantile(q + share) as f64 > UNFINISHED_RAISE_MAX * ns as f64
        };
        self.unfinished > 0 && (q + share >= 1.0 || raised())
    }
}

impl PerKind<Latencies> {
    /// Adds the other's samples to these, kind by kind.
    pub fn merge(&mut self, other: &Self) {
        self.lag.merge(&other.lag);
        self.service.merge(&other.service);
        self.response.merge(&other.response);
    }
}

fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_DIGITS).expect("the bounds are valid constants")
}

/// How it stands in `run.json`: HdrHistogram's own V2 compressed form in base64, as in its logs.
#[derive(Serialize, Deserialize)]
struct Stored {
    count: u64,
    #[serde(skip_serializing_if = "is_zero", default)]
    saturated: u64,
    #[serde(skip_serializing_if = "is_zero", default)]
    unfinished: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    unfinished_from: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    hdr: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Serialize for Latencies {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        let mut bytes = Vec::new();
        if let Some(histogram) = self.histogram() {
            V2DeflateSerializer::new().serialize(&histogram, &mut bytes).map_err(S::Error::custom)?;
        }
        Stored {
            count: self.len(),
            saturated: self.saturated,
            unfinished: self.unfinished,
            unfinished_from: self.unfinished_from,
            hdr: BASE64.encode(bytes),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let stored = Stored::deserialize(deserializer)?;
        if stored.hdr.is_empty() {
            return Ok(Self::default());
        }
        let bytes = BASE64.decode(&stored.hdr).map_err(D::Error::custom)?;
        let read: Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(D::Error::custom)?;
        // Into our own bounds, so that any two histograms can be added.
        let mut histogram = new_histogram();
        histogram.add(read).map_err(D::Error::custom)?;
        Ok(Self {
            samples: Samples::Packed(Packed::new(&histogram)),
            saturated: stored.saturated,
            unfinished: stored.unfinished,
            unfinished_from: stored.unfinished_from,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(samples: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        samples.into_iter().for_each(|ns| latencies.record(ns));
        latencies
    }

    #[test]
    fn a_merge_holds_the_samples_of_both() {
        let mut sum = with(1..=1000);
        sum.merge(&with(1001..=2000));
        assert_eq!(sum.len(), 2000);
        assert_eq!(sum.max(), with([2000]).max());
    }

    #[test]
    fn a_quantile_needs_ten_samples_beyond_it() {
        assert_eq!(with(1..=999).quantile(0.99), None);
        assert!(with(1..=1000).quantile(0.99).is_some());
        assert!(with(1..=10_000).quantile(0.999).is_some());
        assert_eq!(with(1..=9_999).quantile(0.999), None);
    }

    #[test]
    fn quantiles_that_unfinished_requests_reach_are_lower_bounds() {
        let mut latencies = with(std::iter::repeat_n(100, 900));
        for _ in 0..100 {
            latencies.record_unfinished(1_000_000);
        }
        assert!(!latencies.quantile(0.5).unwrap().at_least);
        assert!(latencies.quantile(0.95).unwrap().at_least);
        assert!(latencies.max().unwrap().at_least);
    }

    #[test]
    fn young_unfinished_requests_make_a_lower_bound_of_every_quantile_that_they_could_raise() {
        // Just sent when the run ended: recorded at the bottom, though they may have taken longest.
        let mut latencies = with((1..=9_000).map(|i| i * 1_000));
        (0..1_000).for_each(|_| latencies.record_unfinished(10));
        assert!(latencies.quantile(0.5).unwrap().at_least);
        let stored: Latencies = serde_json::from_str(&serde_json::to_string(&latencies).unwrap()).unwrap();
        assert!(stored.quantile(0.5).unwrap().at_least);
        // One in ten thousand raises none but the very last.
        let mut latencies = with((1..=99_990).map(|i| i * 1_000));
        (0..10).for_each(|_| latencies.record_unfinished(10));
        assert!(!latencies.quantile(0.99).unwrap().at_least);
        assert!(!latencies.quantile(0.999).unwrap().at_least);
        assert!(latencies.quantile(0.9999).unwrap().at_least);
    }

    #[test]
    fn quantiles_that_saturated_samples_reach_are_lower_bounds() {
        let mut latencies = with(std::iter::repeat_n(100, 900));
        assert!(!latencies.max().unwrap().at_least);
        (0..100).for_each(|_| latencies.record(LATENCY_NS_MAX * 2));
        assert!(!latencies.quantile(0.5).unwrap().at_least);
        assert!(latencies.quantile(0.95).unwrap().at_least);
        assert!(latencies.max().unwrap().at_least);
        assert_eq!(latencies.saturated(), 100);
    }

    #[test]
    fn packed_samples_say_the_same_in_a_tenth_of_the_memory() {
        let mut before = with((1..=5000).map(|i| i * 977));
        before.record(LATENCY_NS_MAX * 2);
        before.record_unfinished(5);
        let packed = before.clone().packed();
        let Samples::Packed(Packed { bytes, .. }) = &packed.samples else { panic!("it is {packed:?}") };
        assert!(bytes.len() < 8 * new_histogram().distinct_values() / 10, "it takes {} bytes", bytes.len());
        let shown = |latencies: &Latencies| {
            let quantiles = [0.0, 0.5, 0.9, 0.99].map(|q| latencies.quantile(q));
            let ends = (latencies.len(), latencies.saturated(), latencies.min_ns(), latencies.max());
            (quantiles, ends, latencies.mean_ns(), serde_json::to_string(latencies).unwrap())
        };
        assert_eq!(shown(&packed), shown(&before));
        let (mut sum, mut other) = (packed.clone(), before.clone());
        sum.merge(&packed);
        other.merge(&before);
        sum.record(77);
        other.record(77);
        assert_eq!(shown(&sum), shown(&other));
        let mut reset = packed;
        reset.reset();
        assert!(reset.is_empty() && reset.packed().histogram().is_none());
    }

    #[test]
    fn storing_and_reading_keeps_every_count() {
        let mut before = with((1..=5000).map(|i| i * 977));
        before.record(LATENCY_NS_MAX * 2);
        before.record_unfinished(5);
        let text = serde_json::to_string(&before).unwrap();
        let after: Latencies = serde_json::from_str(&text).unwrap();
        assert_eq!(after.len(), before.len());
        assert_eq!(after.saturated(), 1);
        assert_eq!(after.quantile(0.9), before.quantile(0.9));
        assert_eq!(after.max(), before.max());
        let empty: Latencies =
            serde_json::from_str(&serde_json::to_string(&Latencies::default()).unwrap()).unwrap();
        assert!(empty.is_empty());
    }
}
