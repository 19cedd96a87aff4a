//! A median over the rounds, the interval in which the true one lies, and the bar that it is held against.

/// The share of all samples for which an interval must hold the true median.
const CONFIDENCE: f64 = 0.95;

/// A median and the interval in which the true one lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Of the rounds that there were.
    pub median: f64,
    /// `None` where there are too few rounds to tell.
    pub interval: Option<(f64, f64)>,
}

/// What a figure is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bar {
    /// It is at most this; holds for the upper end of the interval.
    AtMost(f64),
    /// It is at least this; holds for the lower end.
    AtLeast(f64),
    /// It lies between one over this and this, as a ratio of two that should be equal; holds for both ends.
    Within(f64),
}

impl Estimate {
    /// From one figure a round; `None` of none.
    #[must_use]
    pub fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_unstable_by(f64::total_cmp);
        let (low, high) = (figures.get(figures.len().checked_sub(1)? / 2)?, figures.get(figures.len() / 2)?);
        let interval = interval_rank(figures.len());
        Some(Self {
            median: f64::midpoint(*low, *high),
            interval: interval.map(|rank| (figures[rank - 1], figures[figures.len() - rank])),
        })
    }

    /// Whether the bar holds even at the interval's worse end; `None` without an interval.
    #[must_use]
    pub fn meets(&self, bar: Bar) -> Option<bool> {
        let (low, high) = self.interval?;
        Some(bar.holds(low) && bar.holds(high))
    }
}

impl Bar {
    /// Whether a figure satisfies it.
    #[must_use]
    pub fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtMost(bar) => figure <= bar,
            Self::AtLeast(bar) => figure >= bar,
            Self::Within(bar) => (1.0 / bar..=bar).contains(&figure),
        }
    }
}

impl std::fmt::Display for Bar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::AtMost(bar) => format!("{bar:.2}"),
            Self::AtLeast(bar) => format!("≥ {bar:.2}"),
            Self::Within(bar) => format!("1/{bar:.2}…"),
        };
        f.pad(&text)
    }
}

/// The rank, from 1, of the order statistic at which the median's interval begins; it ends as far from the other
/// end. A sample lies below the true median with probability 1/2, so ranks are binomial and nothing is assumed of
/// the distribution (David and Nagaraja, Order Statistics, 7.1). For 20 rounds: ranks 6 and 15, 95.9 %.
fn interval_rank(count: usize) -> Option<usize> {
    let mut probability = 0.5_f64.powi(i32::try_from(count).ok()?);
    let mut below = 0.0;
    let mut rank = None;
    for k in 0..count / 2 {
        below += probability;
        if 1.0 - 2.0 * below < CONFIDENCE {
            break;
        }
        rank = Some(k + 1);
        probability *= (count - k) as f64 / (k + 1) as f64;
    }
    rank
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        // Tables of the sign test: 6 to 8 observations give the extremes, 9 the second, 20 the sixth, 50 the 18th.
        let ranks = [5, 6, 8, 9, 20, 50].map(interval_rank);
        assert_eq!(ranks, [None, Some(1), Some(1), Some(2), Some(6), Some(18)]);
    }

    #[test]
    fn a_median_is_the_middle_or_between_the_two_middle_ones() {
        assert_eq!(Estimate::of(vec![]), None);
        assert_eq!(Estimate::of(vec![3.0, 1.0, 2.0]), Some(Estimate { median: 2.0, interval: None }));
        assert_eq!(Estimate::of(vec![4.0, 1.0, 2.0, 3.0]).map(|estimate| estimate.median), Some(2.5));
        let rounds: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(Estimate::of(rounds).unwrap().interval, Some((6.0, 15.0)));
    }

    #[test]
    fn a_bar_must_hold_at_the_worse_end() {
        let estimate = Estimate { median: 1.0, interval: Some((0.9, 1.2)) };
        for (bar, met) in [
            (Bar::AtMost(1.2), true),
            (Bar::AtMost(1.1), false),
            (Bar::AtLeast(0.9), true),
            (Bar::AtLeast(1.0), false),
            (Bar::Within(1.2), true),
            (Bar::Within(1.1), false),
        ] {
            assert_eq!(estimate.meets(bar), Some(met), "{bar:?}");
        }
        assert_eq!(Estimate { median: 1.0, interval: None }.meets(Bar::AtMost(2.0)), None);
    }
}
