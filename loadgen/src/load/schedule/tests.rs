use std::num::NonZeroU32;
use std::time::Duration;

use twinwire_os::clock::SECOND;

use super::*;
use crate::domain::{Model, Rate};
use crate::scenario::model::{Load, Phase, Ramp};

fn always() -> Arc<[Span]> {
    vec![(0, Nanos::MAX)].into()
}

fn closed(think: Think, slots: u32) -> Closed {
    Closed::new(think, slots, always(), 1)
}

#[test]
fn a_slot_is_due_a_think_time_after_its_reply_and_not_before() {
    let mut schedule = closed(Think::Constant(Duration::from_nanos(100)), 1);
    let first = schedule.next().unwrap();
    assert!((0..100).contains(&first));
    assert_eq!(first.checked_sub(1).and_then(|before| schedule.take(before)), None);
    assert_eq!(schedule.take(first), Some(first));
    assert_eq!(schedule.next(), None, "the only slot waits for its reply");
    schedule.replied(2000);
    assert_eq!(schedule.next(), Some(2100));
}

#[test]
fn nothing_is_due_once_the_load_is_over() {
    let mut schedule = Schedule::Closed(closed(Think::Constant(Duration::ZERO), 2));
    schedule.set_end(20);
    assert_eq!((schedule.take(10), schedule.take(10), schedule.take(10)), (Some(0), Some(0), None));
    schedule.replied(20);
    assert_eq!(schedule.take(30), None);
    schedule.set_end(40);
    assert_eq!(schedule.take(30), Some(20), "a later window goes on where the last one ended");
}

#[test]
fn exponential_pauses_have_their_mean() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    let think = Think::Exponential(Duration::from_micros(50));
    let sum: u64 = (0..20_000).map(|_| pause(think, &mut random)).sum();
    let mean = sum as f64 / 20_000.0;
    // Standard error is 50,000 / √20,000 = 354 ns: five of them.
    assert!((mean - 50_000.0).abs() < 1_800.0, "{mean}");
}

#[test]
fn a_closed_client_asks_only_while_it_is_active() {
    let spans: Arc<[Span]> = vec![(100, 200), (500, 600)].into();
    let mut schedule = Closed::new(Think::Constant(Duration::ZERO), 1, spans, 1);
    assert_eq!(schedule.take(1000), Some(100));
    schedule.replied(150);
    assert_eq!(schedule.take(1000), Some(150));
    schedule.replied(300);
    assert_eq!(schedule.take(1000), Some(500));
    schedule.replied(700);
    assert_eq!(schedule.next(), None);
}

fn load(arrivals: Arrivals, rate: f64, phases: Vec<Phase>) -> Load {
    Load {
        name: "load".to_owned(),
        model: Model::Open { rate: Some(Rate::PerSecond(rate)), arrivals },
        in_flight: NonZeroU32::MIN,
        warmup: Duration::ZERO,
        phases,
        trials: 1,
        interleave: None,
        headline: false,
        timing: crate::domain::Timing::Judged,
    }
}

fn phase(seconds: u64, rate: Option<Ramp>, clients: Option<Ramp>) -> Phase {
    Phase { duration: Duration::from_secs(seconds), rate, clients }
}

/// Every instant of every client, in order.
fn instants(load: &Load, clients: u32, rate: f64) -> Vec<Nanos> {
    let Model::Open { arrivals, .. } = load.model else { panic!("an open load") };
    let curve = Arc::new(Curve::new(load, clients, Some(rate)));
    let mut all: Vec<Nanos> = (0..clients)
        .flat_map(|rank| {
            let mut open = Open::new(curve.clone(), curve.spans(rank), rank, arrivals, 7 + u64::from(rank));
            std::iter::from_fn(move || open.take(Nanos::MAX))
        })
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn uniform_arrivals_of_all_clients_together_are_evenly_spaced() {
    let instants = instants(&load(Arrivals::Uniform, 1000.0, vec![phase(2, None, None)]), 7, 1000.0);
    assert_eq!(instants.len(), 2000);
    for pair in instants.windows(2) {
        assert!((999_990..=1_000_010).contains(&(pair[1] - pair[0])), "{pair:?}");
    }
}

#[test]
fn poisson_arrivals_have_their_rate_and_exponential_gaps() {
    let instants = instants(&load(Arrivals::Poisson, 1000.0, vec![phase(40, None, None)]), 10, 1000.0);
    // Five standard deviations of a Poisson count of 40,000.
    assert!((instants.len() as f64 - 40_000.0).abs() < 1_000.0, "{}", instants.len());
    let gaps: Vec<f64> = instants.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    let coefficient = variance.sqrt() / mean;
    assert!((coefficient - 1.0).abs() < 0.05, "an exponential's deviation is its mean: {coefficient}");
}

#[test]
fn a_ramp_offers_more_and_more() {
    for arrivals in [Arrivals::Uniform, Arrivals::Poisson] {
        let phases = vec![
            phase(10, Some(Ramp { from: 0.0, to: 1000.0 }), None),
            phase(5, None, Some(Ramp { from: 2.0, to: 2.0 })),
        ];
        let instants = instants(&load(arrivals, 300.0, phases), 4, 300.0);
        let within = |from: u64, until: u64| {
            instants.iter().filter(|at| (from * SECOND..until * SECOND).contains(*at)).count() as f64
        };
        for (from, until, wanted) in [(0, 5, 1250.0), (5, 10, 3750.0), (10, 15, 1500.0)] {
            let seen = within(from, until);
            let allowed = if arrivals == Arrivals::Uniform { 5.0 } else { 5.0 * f64::sqrt(wanted) };
            assert!((seen - wanted).abs() <= allowed, "{arrivals:?} {from}: {seen} of {wanted}");
        }
    }
}

#[test]
fn clients_that_come_and_go_keep_the_whole_rate() {
    for arrivals in [Arrivals::Uniform, Arrivals::Poisson] {
        let phases = vec![
            phase(4, None, Some(Ramp { from: 1.0, to: 20.0 })),
            phase(4, None, Some(Ramp { from: 20.0, to: 1.0 })),
            phase(2, None, Some(Ramp { from: 20.0, to: 20.0 })),
        ];
        let instants = instants(&load(arrivals, 2000.0, phases), 20, 2000.0);
        let wanted = 20_000.0;
        let seen = instants.len() as f64;
        // A client that joins waits for its next uniform instant, so each change may cost or add one.
        assert!((seen - wanted).abs() <= 5.0 * f64::sqrt(wanted), "{arrivals:?}: {seen}");
    }
}

#[test]
fn an_open_schedule_skips_nothing_and_stops_at_the_windows_end() {
    let load = load(Arrivals::Uniform, 10.0, vec![phase(2, None, None)]);
    let curve = Arc::new(Curve::new(&load, 1, Some(10.0)));
    let mut schedule = Schedule::Open(Open::new(curve.clone(), curve.spans(0), 0, Arrivals::Uniform, 1));
    schedule.set_end(SECOND);
    let first: Vec<_> = std::iter::from_fn(|| schedule.take(5 * SECOND)).collect();
    assert_eq!(first.len(), 10, "late, and yet each at its own instant: {first:?}");
    assert_eq!(first[0], 50_000_000);
    schedule.set_end(2 * SECOND);
    assert_eq!(schedule.take(SECOND), None);
    assert_eq!(schedule.next(), Some(1_050_000_000));
    assert_eq!(std::iter::from_fn(|| schedule.take(5 * SECOND)).count(), 10);
}
