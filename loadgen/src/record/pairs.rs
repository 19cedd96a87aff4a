//! A ratio of two transports' figures: the median over pairs of trials or windows, and where it lies. One pair alone gives
//! none: the same command gives another one the next time.

/// With this many pairs or more, the range of their ratios contains the true median in 19 of 20 cases.
pub const PAIRS_MIN: usize = 6;

/// How often the interval may miss the true median.
const MISS_SHARE_MAX: f64 = 0.05;

/// A ratio over pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// Median of the pairs' ratios.
    pub median: f64,
    /// Lower end of the interval for the median.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Pairs.
    pub pairs: usize,
}

impl Ratio {
    /// The ratio of these pairs (first transport, second transport); `None` of fewer than two.
    ///
    /// The interval is that of the sign test: it asks nothing of the distribution. Below [`PAIRS_MIN`] it is the range.
    #[must_use]
    pub fn of(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        let ratio = |(base, other): (f64, f64)| (base > 0.0 && other.is_finite()).then(|| other / base);
        let mut ratios: Vec<f64> = pairs.into_iter().filter_map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        let last = ratios.len().checked_sub(1).filter(|last| *last > 0)?;
        let left_out = left_out(ratios.len()).min(last / 2);
        Some(Self {
            median: f64::midpoint(ratios[last / 2], ratios[last.div_ceil(2)]),
            low: ratios[left_out],
            high: ratios[last - left_out],
            pairs: ratios.len(),
        })
    }

    /// Whether the interval leaves out 1, at which the transports are alike.
    #[must_use]
    pub fn is_difference(&self) -> bool {
        self.low > 1.0 || self.high < 1.0
    }
}

/// How many of `values` sorted values lie outside the interval at each end. The true median lies beyond the next one as
/// rarely as a fair coin, flipped once for each value, comes up heads that often or less.
fn left_out(values: usize) -> usize {
    // That many flips are all but normally distributed, and the chance of no heads underflows.
    if values > 1_000 {
        return (values as f64 / 2.0 - 0.98 * (values as f64).sqrt()) as usize;
    }
    // The chance of 0 heads, then of 1, 2, …
    let mut chance = 0.5_f64.powi(i32::try_from(values).unwrap_or(i32::MAX));
    let (mut sum, mut heads) = (chance, 0);
    while 2.0 * sum <= MISS_SHARE_MAX && heads < values {
        heads += 1;
        chance *= (values - heads + 1) as f64 / heads as f64;
        sum += chance;
    }
    heads.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ratios: &[f64]) -> Option<Ratio> {
        Ratio::of(ratios.iter().map(|ratio| (2.0, 2.0 * ratio)))
    }

    #[test]
    fn one_pair_gives_no_ratio_and_two_give_their_range() {
        assert_eq!((of(&[]), of(&[1.5])), (None, None));
        assert_eq!(of(&[1.5, 1.1]), Some(Ratio { median: 1.3, low: 1.1, high: 1.5, pairs: 2 }));
        assert_eq!(Ratio::of([(0.0, 1.0), (1.0, 1.0)]), None, "nothing divides by zero");
    }

    #[test]
    fn the_interval_leaves_out_as_many_as_the_sign_test_says() {
        // From the tables of the sign test, 95 %.
        for (pairs, out) in [(2, 0), (5, 0), (6, 0), (8, 0), (9, 1), (10, 1), (12, 2), (20, 5), (36, 11)] {
            assert_eq!(left_out(pairs), out, "{pairs} pairs");
        }
        // Where the normal distribution takes over, nothing jumps.
        assert!(left_out(1_001).abs_diff(left_out(1_000)) <= 1);
        assert!((2_400..2_450).contains(&left_out(5_000)));
    }

    #[test]
    fn an_interval_with_1_in_it_shows_no_difference() {
        assert!(of(&[1.1, 1.2, 1.3, 1.2, 1.15, 1.12]).unwrap().is_difference());
        assert!(of(&[0.9, 0.8, 0.7, 0.95, 0.9, 0.9]).unwrap().is_difference());
        assert!(!of(&[1.5, 1.6, 1.4, 1.54, 1.3, 0.99]).unwrap().is_difference());
        // One outlier in ten does not hide a difference.
        let mut ten = vec![1.2; 9];
        ten.push(0.5);
        assert!(of(&ten).unwrap().is_difference());
    }
}
