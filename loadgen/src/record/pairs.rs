//! A ratio of two transports' figures: the median over pairs of trials or windows, and its interval. A single pair
//! gives no ratio: the same command gives another one the next time.

use twinwire_statistics::Median;

/// From this many pairs on, the interval holds the true median in 19 of 20 cases.
pub const PAIRS_MIN: usize = Median::INTERVAL_MIN;

/// A ratio over pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// Median of the pairs' ratios.
    pub median: f64,
    /// Lower end of the median's interval.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Number of pairs.
    pub pairs: usize,
}

impl Ratio {
    /// The ratio of these pairs (first transport, second transport); `None` of fewer than two. Below [`PAIRS_MIN`] the
    /// interval is the range of the pairs' ratios.
    #[must_use]
    pub fn of(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        let ratio = |(base, other): (f64, f64)| (base > 0.0 && other.is_finite()).then(|| other / base);
        let Median { value, low, high, count } = Median::of(pairs.into_iter().filter_map(ratio))?;
        (count > 1).then_some(Self { median: value, low, high, pairs: count })
    }

    /// Whether the interval excludes 1, at which the transports are alike.
    #[must_use]
    pub fn is_difference(&self) -> bool {
        self.low > 1.0 || self.high < 1.0
    }
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
