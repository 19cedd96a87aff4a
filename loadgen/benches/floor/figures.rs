//! From windows to ratios: medians over the rounds and their intervals, and the bars that they are held against.

use crate::roles::Wire;
use crate::rounds::{Pairing, Round};
use crate::window::{Side, Window};

/// Our generator over TCP: drawing, judging and recording each request may add so much to what the kernel takes for
/// reading, writing and waiting.
const GENERATOR_TCP_BAR: f64 = 1.15;

/// Over WebSocket the floor has the framing in it already, so less may be added than to bare TCP.
const GENERATOR_WEBSOCKET_BAR: f64 = 1.10;

/// Our server over TCP: the registry and the session beside the system calls.
const SERVER_TCP_BAR: f64 = 1.05;

/// Our server over WebSocket, against the bare TCP floor: what the framing may cost at all.
const SERVER_WEBSOCKET_BAR: f64 = 1.20;

/// Our generator against redis-benchmark: checked and recorded for less than unchecked.
const REDIS_BENCHMARK_BAR: f64 = 0.70;

/// Our server against redis-server.
const REDIS_SERVER_BAR: f64 = 0.80;

/// The share of all samples for which an interval must hold the true median.
const CONFIDENCE: f64 = 0.95;

/// A pairing over a transport.
pub type Cell = (Wire, Pairing);

/// One ratio that is reported: CPU for each request of one pairing to that of another.
pub struct Ratio {
    pub what: &'static str,
    pub side: Side,
    pub of: Cell,
    pub to: Cell,
    /// At most this; `None` where it is only told.
    pub bar: Option<f64>,
}

/// All ratios over one transport; `redis`: those to redis too.
pub fn ratios(wire: Wire, redis: bool) -> Vec<Ratio> {
    use Pairing::{Floor, OurServer, Ours, OursMixed, Redis};
    let ratio = |what, side, of, to, bar| Ratio { what, side, of: (wire, of), to: (wire, to), bar };
    let tcp = wire == Wire::Tcp;
    let generator = if tcp { GENERATOR_TCP_BAR } else { GENERATOR_WEBSOCKET_BAR };
    let mut ratios = vec![
        ratio("generator, ours / floor", Side::Generator, Ours, OurServer, Some(generator)),
        ratio("server, ours / floor", Side::Server, OurServer, Floor, tcp.then_some(SERVER_TCP_BAR)),
        ratio("both sides, our / floor generator", Side::Both, Ours, OurServer, None),
        ratio("both sides, our / floor server", Side::Both, OurServer, Floor, None),
        ratio("both sides, all ours / all floor", Side::Both, Ours, Floor, None),
    ];
    if !tcp {
        ratios.push(Ratio {
            to: (Wire::Tcp, Floor),
            ..ratio("server, ours / TCP floor", Side::Server, OurServer, Floor, Some(SERVER_WEBSOCKET_BAR))
        });
    }
    if tcp && redis {
        ratios.extend([
            ratio(
                "generator, ours / redis-benchmark",
                Side::Generator,
                OursMixed,
                Redis,
                Some(REDIS_BENCHMARK_BAR),
            ),
            ratio("server, ours / redis-server", Side::Server, OursMixed, Redis, Some(REDIS_SERVER_BAR)),
            ratio("both sides, ours / redis", Side::Both, OursMixed, Redis, None),
        ]);
    }
    ratios
}

/// A median and the interval in which the true one lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub median: f64,
    /// `None` where there are too few rounds to tell.
    pub interval: Option<(f64, f64)>,
}

impl Estimate {
    /// From one figure a round; `None` of none.
    pub fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_unstable_by(f64::total_cmp);
        let (low, high) = (figures.get(figures.len().checked_sub(1)? / 2)?, figures.get(figures.len() / 2)?);
        let interval = interval_rank(figures.len());
        Some(Self {
            median: f64::midpoint(*low, *high),
            interval: interval.map(|rank| (figures[rank - 1], figures[figures.len() - rank])),
        })
    }

    /// Whether the bar holds even at the interval's upper end; `None` without an interval.
    pub fn meets(&self, bar: f64) -> Option<bool> {
        Some(self.interval?.1 <= bar)
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

impl Ratio {
    /// Its value over the rounds, each round's two windows against each other.
    pub fn estimate(&self, rounds: &[Round]) -> Option<Estimate> {
        let us = |round: &Round, cell| round.get(&cell)?.us(self.side);
        let ratio = |round| Some(us(round, self.of)? / us(round, self.to)?);
        Estimate::of(rounds.iter().filter_map(ratio).collect())
    }
}

/// Median over the rounds of some figure of a pairing's windows.
pub fn median(rounds: &[Round], cell: Cell, figure: impl Fn(&Window) -> Option<f64>) -> Option<f64> {
    let figures = rounds.iter().filter_map(|round| figure(round.get(&cell)?));
    Some(Estimate::of(figures.collect())?.median)
}
