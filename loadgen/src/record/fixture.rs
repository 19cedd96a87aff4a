//! A small but realistic record for the tests of the report: two loads, two transports, two trials, two roles.
//!
//! Every number in it follows from the code below; nothing is measured.

use std::time::Duration;

use crate::domain::{
    Arrivals, LatencyKind, Model, Op, PerKind, Rate, Role, Rule, Setting, Side, Statistic, Think, Timing,
    Transport, ViolationKind,
};
use crate::record::{
    Cell, Cost, Counts, Environment, FLOOR_SCHEMA, Floor, FloorCost, FloorLayout, Interval, Latencies,
    Ledger, LoadInfo, PacedFloor, Pass, Processes, Replay, ReplayAction, ReplayClient, ReplayExpect,
    ReplayStep, RunOutcome, RunRecord, SCHEMA, SaturatedFloor, ScenarioInfo, Setup, Sockets, Statistics,
    Status, ThresholdResult, TransportFloor, VariantInfo, Verdict, VerdictLevel, Violation,
};

/// A run that passed.
pub(crate) fn record() -> RunRecord {
    let mut passes = Vec::new();
    let mut started_s = 0.4;
    for (load, open) in [("paced", true), ("saturated", false)] {
        for trial in 1..=2 {
            for transport in [Transport::Tcp, Transport::WebSocket] {
                passes.push(pass(load, open, trial, transport, started_s));
                started_s += 3.5;
            }
        }
    }
    RunRecord {
        schema: SCHEMA,
        twinwire: "0.1.0".into(),
        scenario: ScenarioInfo {
            name: "compare".into(),
            about: "Guests and managers, the same requests over both transports".into(),
            seed: 42,
            text: "name = \"compare\"\nseed = 42\n".into(),
            transports: vec![Transport::Tcp, Transport::WebSocket],
        },
        started: "2026-11-24T10:00:00Z".into(),
        elapsed_s: 28.6,
        outcome: RunOutcome { status: Status::Passed, message: None, interrupted: false },
        environment: environment(),
        skipped: Vec::new(),
        loads: vec![load("paced", paced(1_000.0), true), load("saturated", SATURATED, false)],
        passes,
        costs: Vec::new(),
        violations: Vec::new(),
        violations_total: 0,
        thresholds: vec![ThresholdResult {
            text: "response.p99 ≤ 20 ms where load=paced".into(),
            measured: Some(412_000.0),
            measured_text: "0.412 ms".into(),
            met: Some(true),
            correctness: false,
        }],
        floor: None,
    }
}

/// A floor of the same machine, without CPUs of one's own and with them. Over TCP its figures lie just below the
/// run's, over WebSocket far below.
pub(crate) fn floor() -> Floor {
    let quantiles = |p50: u64, p99: u64| -> Statistics {
        let ns = [(Statistic::P50, p50), (Statistic::P90, p50 * 3 / 2), (Statistic::P99, p99)];
        ns.into_iter().map(|(statistic, ns)| (statistic, Some(ns as f64))).collect()
    };
    let cost = |each: f64| FloorCost {
        both_ns: Some(2.0 * each),
        server_ns: Some(0.9 * each),
        generator_ns: Some(1.1 * each),
    };
    let transport = |transport, scale: u64| TransportFloor {
        transport,
        paced: PacedFloor {
            rate: Some(4_000.0),
            dispatch_lag: quantiles(6_000 * scale, 14_000 * scale),
            latencies: PerKind {
                lag: quantiles(7_000 * scale, 16_000 * scale),
                service: quantiles(37_000 * scale, 70_000 * scale),
                response: quantiles(40_000 * scale, 80_000 * scale),
            },
            cost: cost(9_500.0 * scale as f64),
        },
        saturated: SaturatedFloor {
            rate: Some(9_000.0 / scale as f64),
            limited_by: Some(Side::Generator),
            cost: cost(3_000.0 * scale as f64),
        },
    };
    let layout = |server_cpus, generator_cpus| FloorLayout {
        environment: Environment {
            server_cpus,
            generator_cpus,
            target: "null target".into(),
            ..environment()
        },
        level: VerdictLevel::Valid,
        reasons: Vec::new(),
        transports: vec![transport(Transport::Tcp, 2), transport(Transport::WebSocket, 1)],
    };
    Floor {
        schema: FLOOR_SCHEMA,
        twinwire: env!("CARGO_PKG_VERSION").into(),
        measured: "2026-11-24T09:00:00Z".into(),
        rate: 4_000.0,
        connections: 64,
        value_bytes: 64,
        layouts: vec![layout(Vec::new(), Vec::new()), layout(vec![0], vec![1])],
    }
}

/// A violation whose texts come from a hostile target.
pub(crate) fn violation() -> Violation {
    Violation {
        load: "paced".into(),
        variant: String::new(),
        trial: 1,
        transport: Transport::WebSocket,
        client: "g17".into(),
        group: "guests".into(),
        role: Role::Guest,
        kind: ViolationKind::ForeignValue,
        rule: Rule::Role2,
        request: "get g18 k3".into(),
        expected: "you are not allowed to access keys of other users".into(),
        seen: "\u{1b}[2Jowned|`x`</code><script>alert(1)</script>\r\nnext".into(),
        at_s: 1.25,
        replay: Some(replay()),
    }
}

/// An owner's put, and a guest of the other transport who reads it.
fn replay() -> Replay {
    let client = |name: &str, user: &str, transport| ReplayClient {
        name: name.into(),
        user: user.into(),
        role: Role::Guest,
        transport,
        connected: true,
        logged_in: true,
    };
    let step = |client: &str, request: &str, reply: &str| ReplayStep {
        client: client.into(),
        action: ReplayAction::Send(vec![request.into()]),
        expect: ReplayExpect::Replies(vec![reply.into()]),
        seen: "done".into(),
        sent_s: Some(1.2),
        replied_s: Some(1.2001),
        note: String::new(),
        wrong: false,
    };
    let put = step("owner", "put k3 0512340003000001abcd", "done");
    let get = ReplayStep {
        wrong: true,
        seen: String::new(),
        replied_s: Some(1.25),
        ..step("client", "get {owner} k3", "you are not allowed to access keys of other users")
    };
    Replay {
        clients: vec![client("client", "g17", Transport::WebSocket), client("owner", "g18", Transport::Tcp)],
        steps: vec![put, get],
    }
}

fn environment() -> Environment {
    Environment {
        os: "Linux 6.12".into(),
        cpu: "Example CPU @ 2.5 GHz".into(),
        cpus: 2,
        memory_kib: 4_194_304,
        server_cpus: vec![0],
        generator_cpus: vec![1],
        pacing: "timerfd".into(),
        target: "embedded server".into(),
        embedded: true,
        launched: Vec::new(),
    }
}

/// A closed load without think time.
pub(crate) const SATURATED: Model = Model::Closed { think: Think::Constant(Duration::ZERO) };

/// An open load of this rate.
pub(crate) fn paced(rate: f64) -> Model {
    Model::Open { rate: Some(Rate::PerSecond(rate)), arrivals: Arrivals::Poisson }
}

/// The variant of these settings.
pub(crate) fn variant(settings: &[(&str, &str)]) -> VariantInfo {
    let label: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let setting = |(key, value): &(&str, &str)| Setting { key: (*key).into(), value: (*value).into() };
    VariantInfo { label: label.join(","), settings: settings.iter().map(setting).collect() }
}

fn load(name: &str, model: Model, headline: bool) -> LoadInfo {
    LoadInfo {
        name: name.into(),
        model,
        in_flight: 1,
        warmup_s: 1.0,
        duration_s: 2.0,
        trials: 2,
        headline,
        timing: Timing::Judged,
        variants: vec![VariantInfo::default()],
        clients: 100,
        probes: Vec::new(),
        verdict: Verdict { saturated: (!headline).then_some(Side::Generator), ..Verdict::default() },
    }
}

fn pass(load: &str, open: bool, trial: u32, transport: Transport, started_s: f64) -> Pass {
    let base = if transport == Transport::Tcp { 90_000 } else { 104_000 };
    let base = if open { base } else { base * 12 };
    let scale = if open { 1 } else { 4 };
    let kinds = [
        (Role::Guest, Op::Put, 450),
        (Role::Guest, Op::Get, 1260),
        (Role::Guest, Op::GetOther, 90),
        (Role::Manager, Op::Put, 20),
        (Role::Manager, Op::GetOther, 180),
    ];
    let mut seed = u64::from(trial) * 977 + base;
    let cells: Vec<Cell> = kinds
        .iter()
        .map(|&(role, op, count)| cell(transport, role, op, count * scale, base, open, &mut seed))
        .collect();
    let requests: u64 = cells.iter().map(|cell| cell.counts.requests).sum();
    Pass {
        load: load.into(),
        variant: String::new(),
        trial,
        transports: vec![transport],
        started_s,
        measured_s: 2.0,
        complete: true,
        clients: 100,
        workers: 1,
        clients_lost: 0,
        intervals: intervals(transport, requests, base),
        ledger: ledger(requests, &cells),
        cost: cost(requests, transport, open),
        dispatch_lag: if open { samples(requests, 6_000, &mut seed) } else { Latencies::default() },
        due_of_lost: 0,
        pauses: Vec::new(),
        backlog: crate::record::Backlog::default(),
        renewals: None,
        windows: Vec::new(),
        setup: vec![setup(transport, &mut seed)],
        cells,
    }
}

/// The requests of one transport, role and operation: so many, around this latency.
fn cell(transport: Transport, role: Role, op: Op, count: u64, base: u64, open: bool, seed: &mut u64) -> Cell {
    let reads = if op == Op::Put || (role, op) == (Role::Guest, Op::GetOther) { 0 } else { count };
    Cell {
        transport,
        group: format!("{role}s"),
        role,
        op,
        counts: Counts { requests: count, achieved: count, values: reads, ..Counts::default() },
        latencies: PerKind {
            lag: if open { samples(count, 9_000, seed) } else { Latencies::default() },
            service: samples(count, base, seed),
            response: samples(count, base + 9_000, seed),
        },
    }
}

/// Latencies with a heavy tail from `base` on, drawn by a small generator of their own.
fn samples(count: u64, base: u64, seed: &mut u64) -> Latencies {
    let mut latencies = Latencies::default();
    for _ in 0..count {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = ((*seed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        latencies.record((base as f64 * (0.8 - 0.25 * uniform.ln())) as u64);
    }
    latencies
}

fn intervals(transport: Transport, requests: u64, base: u64) -> Vec<Interval> {
    (0..2)
        .map(|second| Interval {
            length_s: 1.0,
            offered: requests / 2,
            achieved: requests / 2,
            latencies: [
                ((LatencyKind::Response, Statistic::P50), Some(base as f64)),
                ((LatencyKind::Response, Statistic::P99), Some((base * 2) as f64)),
                ((LatencyKind::Service, Statistic::P50), Some((base - 9_000) as f64)),
                ((LatencyKind::Service, Statistic::P99), None),
            ]
            .into_iter()
            .collect(),
            dispatch_lag_p99_ns: Some(25_000),
            server_cpu: Some(0.312_345),
            generator_cpu: Some(0.401),
            steal: Some(0.004_56),
            server_rss_kib: Some(8_200),
            generator_rss_kib: Some(31_000),
            bytes_sent: 42_000,
            bytes_received: 37_000,
            server_processes: processes(112, 900),
            generator_processes: processes(140, 1_000),
            sockets: Some(sockets(500)),
            ..Interval::new(transport, second)
        })
        .collect()
}

fn ledger(requests: u64, cells: &[Cell]) -> Ledger {
    let of = |role, op| -> u64 {
        cells.iter().filter(|c| c.role == role && c.op == op).map(|c| c.counts.requests).sum()
    };
    Ledger {
        requests,
        replies: requests,
        checked: requests,
        values_read: cells.iter().map(|cell| cell.counts.values).sum(),
        foreign_values_read: of(Role::Manager, Op::GetOther),
        denials: of(Role::Guest, Op::GetOther),
        ..Ledger::default()
    }
}

fn processes(descriptors: u64, switches: u64) -> Processes {
    Processes {
        descriptors: Some(descriptors),
        voluntary_switches: Some(switches),
        involuntary_switches: Some(switches / 100),
    }
}

/// So many requests of 42 bytes with replies of 37, over sockets that were sampled.
fn sockets(requests: u64) -> Sockets {
    Sockets {
        sampled: 32,
        bytes_sent: requests * 42,
        bytes_received: requests * 37,
        segments_sent: requests + 10,
        segments_received: requests,
        retransmits: 0,
    }
}

fn cost(replies: u64, transport: Transport, open: bool) -> Cost {
    let per_request_ns = if transport == Transport::Tcp { (6_700, 6_900) } else { (7_500, 7_800) };
    let idle = if open { 3 } else { 1 };
    Cost {
        replies,
        seconds: 2.0,
        server_cpu_ns: Some(replies * per_request_ns.0 * idle),
        generator_cpu_ns: Some(replies * per_request_ns.1 * idle),
        steal: Some(0.004),
        others: Some(0.012),
        bytes_sent: replies * if transport == Transport::Tcp { 42 } else { 47 },
        bytes_received: replies * if transport == Transport::Tcp { 37 } else { 38 },
        server_rss_kib: Some(8_200),
        generator_rss_kib: Some(31_000),
        server_processes: processes(112, replies),
        generator_processes: processes(140, replies * 2),
        sockets: Some(sockets(replies / 3)),
    }
}

fn setup(transport: Transport, seed: &mut u64) -> Setup {
    let connect_ns = if transport == Transport::Tcp { 45_000 } else { 140_000 };
    Setup {
        transport,
        clients: 100,
        elapsed_s: 0.05,
        quit: Latencies::default(),
        connect: samples(100, connect_ns, seed),
        login: samples(100, 60_000, seed),
        upgrade: samples(10, 60_000, seed),
        preload: samples(100, 900_000, seed),
    }
}
