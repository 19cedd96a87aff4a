//! Records for the charts' tests: realistic ones to look at, and odd ones that must not break a chart.

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, LogNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::domain::{LatencyKind, Model, Op, PerKind, Role, Statistic, Timing, Transport};
use crate::record::fixture::{SATURATED, paced};
use crate::record::{
    Cell, Cost, Counts, Environment, Interval, Latencies, Ledger, LoadInfo, Pass, RunOutcome, RunRecord,
    SCHEMA, ScenarioInfo, Status, VariantInfo, Verdict,
};

/// What a record is to hold.
#[derive(Debug, Clone)]
pub(super) struct FixtureSpec {
    pub(super) loads: Vec<LoadInfo>,
    pub(super) transports: Vec<Transport>,
    pub(super) cells: Vec<(Role, Op)>,
    pub(super) samples: u64,
    pub(super) median_ns: f64,
    pub(super) spread: f64,
    pub(super) seconds: u32,
    pub(super) mixed: bool,
    pub(super) seed: u64,
}

/// A comparison of two transports with a paced and a saturated load.
pub(super) fn usual() -> FixtureSpec {
    FixtureSpec {
        loads: vec![load("paced", paced(4_000.0), 6), load("saturated", SATURATED, 3)],
        transports: vec![Transport::Tcp, Transport::WebSocket],
        cells: vec![
            (Role::Guest, Op::Put),
            (Role::Guest, Op::Get),
            (Role::Guest, Op::GetMissing),
            (Role::Guest, Op::GetOther),
            (Role::Manager, Op::Put),
            (Role::Manager, Op::Get),
            (Role::Manager, Op::GetOther),
        ],
        samples: 3000,
        median_ns: 180_000.0,
        spread: 0.35,
        seconds: 5,
        mixed: false,
        seed: 1,
    }
}

/// The settings of a load.
pub(super) fn load(name: &str, model: Model, trials: u32) -> LoadInfo {
    LoadInfo {
        name: name.to_owned(),
        model,
        in_flight: 1,
        warmup_s: 1.0,
        duration_s: 5.0,
        trials,
        headline: name == "paced",
        variants: vec![VariantInfo::default()],
        clients: 100,
        probes: Vec::new(),
        timing: Timing::Judged,
        verdict: Verdict::default(),
    }
}

pub(super) fn record(wish: &FixtureSpec) -> RunRecord {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(wish.seed);
    let mut passes = Vec::new();
    for load in &wish.loads {
        for (v, variant) in load.variants.iter().enumerate() {
            for trial in 1..=load.trials {
                let groups: Vec<&[Transport]> =
                    if wish.mixed { vec![&wish.transports] } else { wish.transports.chunks(1).collect() };
                for transports in groups {
                    passes.push(pass(wish, load, (v, variant), trial, transports, &mut random));
                }
            }
        }
    }
    RunRecord {
        schema: SCHEMA,
        twinwire: "0.1.0".to_owned(),
        scenario: ScenarioInfo {
            name: "compare".to_owned(),
            about: "Guests and managers over both transports".to_owned(),
            seed: wish.seed,
            text: String::new(),
            transports: wish.transports.clone(),
        },
        started: "2026-01-01T00:00:00Z".to_owned(),
        elapsed_s: 60.0,
        outcome: RunOutcome { status: Status::Passed, message: None, interrupted: false },
        environment: environment(),
        skipped: Vec::new(),
        loads: wish.loads.clone(),
        passes,
        costs: Vec::new(),
        violations: Vec::new(),
        violations_total: 0,
        thresholds: Vec::new(),
        floor: None,
    }
}

fn environment() -> Environment {
    Environment {
        os: "Linux 6.1".to_owned(),
        cpu: "a CPU".to_owned(),
        cpus: 2,
        memory_kib: 8_000_000,
        server_cpus: vec![0],
        generator_cpus: vec![1],
        pacing: "timerfd".to_owned(),
        target: "embedded server".to_owned(),
        embedded: true,
        launched: Vec::new(),
    }
}

fn pass(
    wish: &FixtureSpec,
    load: &LoadInfo,
    (v, variant): (usize, &VariantInfo),
    trial: u32,
    transports: &[Transport],
    random: &mut Xoshiro256PlusPlus,
) -> Pass {
    let slower = |transport| wish.transports.iter().position(|t| *t == transport).unwrap_or(0) as f64;
    let drift = 1.0 + 0.1 * random.random::<f64>() + 0.25 * v as f64;
    let mut cells = Vec::new();
    let mut intervals = Vec::new();
    for &transport in transports {
        let median = wish.median_ns * drift * (1.0 + 0.14 * slower(transport));
        for (i, &(role, op)) in wish.cells.iter().enumerate() {
            let samples = latencies(wish, median * (1.0 + 0.06 * i as f64), random);
            let counts = Counts { requests: wish.samples, achieved: wish.samples, ..Counts::default() };
            cells.push(Cell {
                transport,
                group: format!("{role}s"),
                role,
                op,
                counts,
                latencies: PerKind { lag: Latencies::default(), service: samples.clone(), response: samples },
            });
        }
        let rows = (0..wish.seconds).map(|second| interval(transport, second, median * 3.0, random));
        intervals.extend(rows);
    }
    let first = transports.first().map_or(0.0, |&transport| slower(transport));
    let replies = 150_000 + random.random_range(0..20_000u64) - (first * 9000.0) as u64;
    let cpu = |each: f64| Some((replies as f64 * each * (1.0 + 0.13 * first)) as u64);
    Pass {
        load: load.name.clone(),
        variant: variant.label.clone(),
        trial,
        transports: transports.to_vec(),
        started_s: 0.0,
        measured_s: f64::from(wish.seconds),
        complete: true,
        clients: 100,
        workers: 1,
        clients_lost: 0,
        cells,
        setup: Vec::new(),
        intervals,
        ledger: Ledger::default(),
        cost: Cost {
            replies,
            seconds: f64::from(wish.seconds),
            server_cpu_ns: cpu(6800.0),
            generator_cpu_ns: cpu(7900.0),
            ..Cost::default()
        },
        dispatch_lag: Latencies::default(),
        due_of_lost: 0,
        pauses: Vec::new(),
        backlog: crate::record::Backlog::default(),
        renewals: None,
        windows: Vec::new(),
    }
}

fn latencies(wish: &FixtureSpec, median: f64, random: &mut Xoshiro256PlusPlus) -> Latencies {
    let body = LogNormal::new(median.ln(), wish.spread).expect("the spread is finite and positive");
    let mut latencies = Latencies::default();
    for _ in 0..wish.samples {
        let tail =
            if random.next_u32().is_multiple_of(100) { 2.0 + 9.0 * random.random::<f64>() } else { 1.0 };
        latencies.record((body.sample(random) * tail) as u64);
    }
    latencies
}

fn interval(transport: Transport, second: u32, p99: f64, random: &mut Xoshiro256PlusPlus) -> Interval {
    let p99 = (p99 * (0.7 + 0.8 * random.random::<f64>())).trunc();
    Interval {
        length_s: 1.0,
        offered: 4000,
        achieved: 3900 + random.random_range(0..200u64),
        latencies: [LatencyKind::Response, LatencyKind::Service]
            .into_iter()
            .map(|kind| ((kind, Statistic::P99), Some(p99)))
            .collect(),
        ..Interval::new(transport, second)
    }
}
