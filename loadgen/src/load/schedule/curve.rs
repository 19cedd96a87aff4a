//! The level of a load over its length: how many requests a second are offered, and which clients are active.
//!
//! Pure arithmetic in *load time*: nanoseconds since the load's beginning, warm-up included. An open load's instants
//! come from a process of unit rate by time change (Çinlar, *Introduction to Stochastic Processes*, 1975, §4.7): the
//! instant of arrival `g` is where the expected number of arrivals of one client reaches `g`. So one formula covers
//! steps, ramps and changing numbers of clients, and every instant is exact whatever came before it.

use std::sync::Arc;

use twinwire_os::clock::{Nanos, SECOND, nanos};

use crate::scenario::model::{Load, Ramp};

/// A part of load time in which a client is active: from the first instant until before the second.
pub type Span = (Nanos, Nanos);

/// The level of one load over its length.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    segments: Vec<Segment>,
    pieces: Vec<Piece>,
    clients: u32,
    end: Nanos,
}

/// A phase, or the warm-up, which has the first phase's first level.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Segment {
    from: Nanos,
    until: Nanos,
    /// Requests a second over all active clients.
    rate: Ramp,
    clients: Ramp,
}

/// A part in which one active client's rate is a straight line.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    from: f64,
    /// Arrivals before `from` that are expected of a client that is always active.
    count: f64,
    /// Arrivals a nanosecond at `from`.
    rate: f64,
    /// Change of `rate` in a nanosecond.
    slope: f64,
}

impl Curve {
    /// The curve of this load with this number of clients. `rate` (requests/s) holds for phases that state none; a
    /// closed load has none.
    pub fn new(load: &Load, clients: u32, rate: Option<f64>) -> Self {
        let level =
            |ramp: Option<Ramp>, otherwise: f64| ramp.unwrap_or(Ramp { from: otherwise, to: otherwise });
        let rate = rate.unwrap_or(0.0);
        let mut segments = Vec::with_capacity(load.phases.len() + 1);
        let mut at = nanos(load.warmup);
        if let Some(first) = load.phases.first().filter(|_| at > 0) {
            let steady = |ramp: Ramp| Ramp { from: ramp.from, to: ramp.from };
            segments.push(Segment {
                from: 0,
                until: at,
                rate: steady(level(first.rate, rate)),
                clients: steady(level(first.clients, f64::from(clients))),
            });
        }
        for phase in &load.phases {
            let until = at + nanos(phase.duration);
            segments.push(Segment {
                from: at,
                until,
                rate: level(phase.rate, rate),
                clients: level(phase.clients, f64::from(clients)),
            });
            at = until;
        }
        let pieces = pieces(&segments);
        Self { segments, pieces, clients, end: at }
    }

    /// Number of all clients, active or not.
    pub fn clients(&self) -> u32 {
        self.clients
    }

    /// When the client of this rank (from 0) is active. A level of 2.5 clients means three: those of rank 0 to 2.
    pub fn spans(&self, rank: u32) -> Arc<[Span]> {
        let mut spans: Vec<Span> = Vec::with_capacity(1);
        for segment in &self.segments {
            let Some((from, until)) = segment.active(f64::from(rank)) else { continue };
            match spans.last_mut() {
                Some(last) if last.1 == from => last.1 = until,
                _ => spans.push((from, until)),
            }
        }
        spans.into()
    }

    /// Whether every client is active all the time.
    pub fn is_flat(&self) -> bool {
        let all = f64::from(self.clients);
        self.segments.iter().all(|segment| segment.clients == Ramp { from: all, to: all })
    }

    /// Arrivals before `at` that are expected of a client that is always active.
    pub fn count_at(&self, at: Nanos) -> f64 {
        let at = at as f64;
        let index = self.pieces.partition_point(|piece| piece.from <= at).saturating_sub(1);
        self.pieces.get(index).map_or(0.0, |piece| piece.count_at(at))
    }

    /// The instant at which the expected arrivals reach `count`; `None` beyond the end. `hint` is the piece to look at
    /// first. It advances with the calls, whose counts must not decrease.
    pub fn time_of(&self, count: f64, hint: &mut usize) -> Option<Nanos> {
        while self.pieces.get(*hint + 1).is_some_and(|next| next.count <= count) {
            *hint += 1;
        }
        let at = self.pieces.get(*hint)?.time_of(count)?;
        // A float holds nanoseconds exactly for a hundred days; a load lasts at most one.
        let at = at as Nanos;
        (at < self.end).then_some(at)
    }
}

impl Segment {
    fn at(&self, ramp: Ramp, at: f64) -> f64 {
        let share = (at - self.from as f64) / (self.until - self.from) as f64;
        ramp.from + (ramp.to - ramp.from) * share
    }

    /// The part in which a client is active: where the level is above its rank.
    fn active(&self, rank: f64) -> Option<Span> {
        let Ramp { from, to } = self.clients;
        match (from > rank, to > rank) {
            (true, true) => Some((self.from, self.until)),
            (false, false) => None,
            (starts_active, _) => {
                let length = (self.until - self.from) as f64;
                let crossing = self.from + ((rank - from) / (to - from) * length) as Nanos;
                let span = if starts_active { (self.from, crossing) } else { (crossing, self.until) };
                (span.0 < span.1).then_some(span)
            }
        }
    }

    /// Where the number of active clients changes, both ends included.
    fn steps(&self) -> Vec<f64> {
        let Ramp { from, to } = self.clients;
        let (begin, end) = (self.from as f64, self.until as f64);
        let mut steps = vec![begin];
        let (low, high) = (from.min(to), from.max(to));
        let mut whole = low.floor() + 1.0;
        while whole < high {
            steps.push(begin + (whole - from) / (to - from) * (end - begin));
            whole += 1.0;
        }
        steps.push(end);
        steps.sort_by(f64::total_cmp);
        steps
    }
}

fn pieces(segments: &[Segment]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut count = 0.0;
    for segment in segments {
        for step in segment.steps().windows(2) {
            let (from, until) = (step[0], step[1]);
            if until <= from {
                continue;
            }
            let active = segment.at(segment.clients, f64::midpoint(from, until)).ceil().max(1.0);
            let per_ns = |at| segment.at(segment.rate, at) / active / SECOND as f64;
            let piece = Piece {
                from,
                count,
                rate: per_ns(from),
                slope: (per_ns(until) - per_ns(from)) / (until - from),
            };
            count = piece.count_at(until);
            pieces.push(piece);
        }
    }
    pieces
}

impl Piece {
    fn count_at(&self, at: f64) -> f64 {
        let passed = at - self.from;
        self.count + passed * (self.rate + self.slope * passed / 2.0)
    }

    /// Solves `count_at(t) = count`, in the form of the quadratic formula that stays exact for small slopes.
    fn time_of(&self, count: f64) -> Option<f64> {
        let more = (count - self.count).max(0.0);
        let root = (self.rate * self.rate + 2.0 * self.slope * more).max(0.0).sqrt();
        let below = self.rate + root;
        (below > 0.0).then(|| self.from + 2.0 * more / below)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Arrivals, Model, Rate};
    use crate::scenario::model::Phase;

    #[expect(clippy::unnecessary_wraps, reason = "a phase's levels are optional")]
    fn ramp(from: f64, to: f64) -> Option<Ramp> {
        Some(Ramp { from, to })
    }

    fn load(warmup_s: u64, phases: &[(u64, Option<Ramp>, Option<Ramp>)]) -> Load {
        let phase = |&(seconds, rate, clients): &(u64, Option<Ramp>, Option<Ramp>)| Phase {
            duration: Duration::from_secs(seconds),
            rate,
            clients,
        };
        Load {
            name: "load".to_owned(),
            model: Model::Open { rate: Some(Rate::PerSecond(10.0)), arrivals: Arrivals::Uniform },
            in_flight: NonZeroU32::MIN,
            warmup: Duration::from_secs(warmup_s),
            phases: phases.iter().map(phase).collect(),
            trials: 1,
            interleave: None,
            headline: false,
            timing: crate::domain::Timing::Judged,
        }
    }

    #[test]
    fn a_constant_rate_is_shared_by_the_clients() {
        let curve = Curve::new(&load(1, &[(4, None, None)]), 5, Some(10.0));
        assert!((curve.count_at(3 * SECOND) - 6.0).abs() < 1e-9);
        assert_eq!(curve.time_of(6.0, &mut 0), Some(3 * SECOND));
        assert_eq!(curve.time_of(10.0, &mut 0), None, "the end is not part of it");
        assert!(curve.is_flat());
        assert_eq!(&*curve.spans(4), [(0, 5 * SECOND)]);
    }

    #[test]
    fn a_ramp_of_rate_offers_its_mean_and_more_at_its_end() {
        let curve = Curve::new(&load(0, &[(10, ramp(0.0, 100.0), None)]), 1, None);
        assert!((curve.count_at(10 * SECOND) - 500.0).abs() < 1e-6);
        assert!((curve.count_at(5 * SECOND) - 125.0).abs() < 1e-6);
    }

    #[test]
    fn the_warm_up_goes_at_the_first_level() {
        let phases = [(2, ramp(50.0, 100.0), ramp(2.0, 4.0))];
        let curve = Curve::new(&load(2, &phases), 4, None);
        // Two active clients share 50 requests/s for two seconds.
        assert!((curve.count_at(2 * SECOND) - 50.0).abs() < 1e-9);
        assert_eq!(&*curve.spans(1), [(0, 4 * SECOND)]);
        assert_eq!(&*curve.spans(2), [(2 * SECOND, 4 * SECOND)]);
        assert_eq!(&*curve.spans(3), [(3 * SECOND, 4 * SECOND)]);
    }

    #[test]
    fn clients_come_and_go_with_the_level() {
        let phases = [(10, None, ramp(0.0, 10.0)), (10, None, ramp(10.0, 0.0)), (5, None, ramp(3.0, 3.0))];
        let curve = Curve::new(&load(0, &phases), 10, Some(100.0));
        assert!(!curve.is_flat());
        assert_eq!(&*curve.spans(4), [(4 * SECOND, 16 * SECOND)]);
        assert_eq!(&*curve.spans(1), [(SECOND, 19 * SECOND), (20 * SECOND, 25 * SECOND)]);
    }

    proptest! {
        /// What all active clients offer together is the load's rate, whichever clients are active.
        #[test]
        fn the_clients_together_offer_the_whole_rate(
            from in 0.0_f64..50.0, to in 1.0_f64..50.0, clients in 50_u32..60, rate in 1.0_f64..1000.0, second in 1_u64..5,
        ) {
            let curve = Curve::new(&load(0, &[(5, ramp(rate, rate), ramp(from, to))]), clients, None);
            let at = second * SECOND;
            let offered: f64 = (0..clients)
                .flat_map(|rank| curve.spans(rank).to_vec())
                .map(|(from, until)| curve.count_at(until.min(at)) - curve.count_at(from.min(at)))
                .sum();
            let wanted = rate * second as f64;
            prop_assert!((offered - wanted).abs() < 1e-3 * wanted + 1e-6, "{offered} {wanted}");
        }

        #[test]
        fn time_of_is_the_inverse_of_count_at(
            first in 0.0_f64..1000.0, second in 1.0_f64..1000.0, third in 0.0_f64..1000.0, share in 0.001_f64..0.999,
        ) {
            let phases = [(3, ramp(first, second), None), (4, ramp(second, third), None)];
            let curve = Curve::new(&load(1, &phases), 7, None);
            let count = curve.count_at(8 * SECOND) * share;
            let at = curve.time_of(count, &mut 0).unwrap();
            prop_assert!((curve.count_at(at) - count).abs() < 1e-5 * count.max(1.0));
        }
    }
}
