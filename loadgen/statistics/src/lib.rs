//! Statistics over the figures of trials, for the harness's comparisons and for the benches. Each names its source.
//!
//! Pure functions of plain numbers: nothing here knows what was measured.

#![forbid(unsafe_code)]

/// The share of all samples for which an interval must hold the true median.
const CONFIDENCE: f64 = 0.95;

/// Above this many values the binomial distribution of ranks is taken as normal; the probability of the first rank soon
/// becomes too small for a float.
const EXACT_MAX: usize = 1_000;

/// The median of a sample, and an interval for the median of what it was drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Median {
    /// The sample's median: its middle value, or the mean of the two middle ones.
    pub value: f64,
    /// Lower end of the 95 % interval; the smallest value where there are fewer than [`Median::INTERVAL_MIN`].
    pub low: f64,
    /// Upper end of the 95 % interval; the largest value where there are fewer than [`Median::INTERVAL_MIN`].
    pub high: f64,
    /// Number of values.
    pub count: usize,
}

impl Median {
    /// The fewest values that have a 95 % interval: the smallest and the largest of six hold the true median in 96.9 %
    /// of samples, those of five in 93.8 %.
    pub const INTERVAL_MIN: usize = 6;

    /// The median of these values; `None` if there are none.
    ///
    /// The interval is that of the sign test. A value lies below the true median with probability 1/2, so the number
    /// of values below it is binomial, and nothing is assumed of the distribution (H. A. David and H. N. Nagaraja,
    /// *Order Statistics*, 3rd edition, section 7.1). Of 20 values it reaches from the 6th to the 15th: 95.9 %.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let outside = values_outside(sorted.len());
        Some(Self {
            value: f64::midpoint(sorted[last / 2], sorted[last.div_ceil(2)]),
            low: sorted[outside],
            high: sorted[last - outside],
            count: sorted.len(),
        })
    }

    /// The 95 % interval; `None` of fewer than [`Median::INTERVAL_MIN`] values.
    #[must_use]
    pub fn interval(&self) -> Option<(f64, f64)> {
        (self.count >= Self::INTERVAL_MIN).then_some((self.low, self.high))
    }
}

/// How many of the sorted values lie outside the interval at each end.
fn values_outside(count: usize) -> usize {
    if count > EXACT_MAX {
        // Half of them, less 1.96 standard deviations of √count / 2.
        return (count as f64 / 2.0 - 0.98 * (count as f64).sqrt()) as usize;
    }
    // Binomial: the probability that none lies below the true median, then that exactly one does, and so on.
    let mut probability = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let (mut at_most, mut below) = (probability, 0);
    while 2.0 * at_most <= 1.0 - CONFIDENCE && below < count {
        below += 1;
        probability *= (count - below + 1) as f64 / below as f64;
        at_most += probability;
    }
    below.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_leaves_out_as_many_values_as_the_tables_of_the_sign_test() {
        for (count, outside) in
            [(1, 0), (2, 0), (5, 0), (6, 0), (8, 0), (9, 1), (10, 1), (12, 2), (20, 5), (36, 11), (50, 17)]
        {
            assert_eq!(values_outside(count), outside, "{count} values");
        }
    }

    #[test]
    fn the_normal_distribution_continues_the_binomial_one() {
        assert!(values_outside(EXACT_MAX + 1).abs_diff(values_outside(EXACT_MAX)) <= 1);
        assert!((2_400..2_450).contains(&values_outside(5_000)));
    }

    #[test]
    fn a_median_is_the_middle_value_or_the_mean_of_the_two_middle_ones() {
        assert_eq!(Median::of([]), None);
        let of = |values: &[f64]| Median::of(values.iter().copied()).map(|median| median.value);
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn fewer_than_six_values_have_a_range_and_no_interval() {
        let of = |count: i32| Median::of((1..=count).map(f64::from)).unwrap();
        assert_eq!((of(5).low, of(5).high, of(5).interval()), (1.0, 5.0, None));
        assert_eq!(of(6).interval(), Some((1.0, 6.0)));
        assert_eq!(of(20).interval(), Some((6.0, 15.0)));
    }
}
