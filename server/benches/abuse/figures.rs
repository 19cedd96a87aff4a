//! A median over the pairs, and the interval in which the true one lies.

/// The share of all samples for which an interval must hold the true median.
const CONFIDENCE: f64 = 0.95;

/// A neighbour's p90 with the abuse may be so many times the one without.
pub const P90_RATIO_MAX: f64 = 2.0;

/// A median with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub median: f64,
    /// `None` where there are too few pairs to tell.
    pub interval: Option<(f64, f64)>,
}

impl Estimate {
    /// From one figure a pair; `None` of none.
    pub fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_unstable_by(f64::total_cmp);
        let (low, high) = (figures.get(figures.len().checked_sub(1)? / 2)?, figures.get(figures.len() / 2)?);
        let interval = interval_rank(figures.len());
        Some(Self {
            median: f64::midpoint(*low, *high),
            interval: interval.map(|rank| (figures[rank - 1], figures[figures.len() - rank])),
        })
    }
}

/// The rank, from 1, of the order statistic at which the median's interval begins; it ends as far from the other end.
/// A sample lies below the true median with probability 1/2, so ranks are binomial and nothing is assumed of the
/// distribution (David and Nagaraja, Order Statistics, 7.1). For 20 pairs: ranks 6 and 15, 95.9 %.
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
