//! What is compared with what, against which bar, and what is printed of it.

use std::fmt::Write;

use twinwire_floor::{
    estimate::{Bar, Estimate},
    message::{GETS, MIX_VALUE, VALUE},
    options::Plan,
    rounds::Round,
    table::{self, Line, Ratio, figure},
    turns::TURNS,
    window::{Side, Window},
};

use crate::pairs::{DEPTH, Group, Pair, TICK};

/// Over TCP: the registry and the session beside the system calls.
const TCP_BAR: f64 = 1.05;

/// Over WebSocket, against the bare TCP floor: what the framing may cost at all.
const WEBSOCKET_BAR: f64 = 1.20;

/// Against redis-server, whoever asks.
const REDIS_BAR: f64 = 0.80;

/// The same 32 deep, in requests for each second of CPU.
const DEEP_BAR: f64 = 1.50;

/// Two workers against one at the same rate: the registry is the only thing that they share.
const WORKERS_BAR: f64 = 1.10;

/// How far apart two workers' shares of the work may be.
const SHARES_BAR: f64 = 1.10;

/// How far apart the rates of two windows may be that are compared at the same one.
const RATES_MAX: f64 = 1.05;

/// Every ratio, in the order of the table.
fn ratios() -> [Ratio<Pair>; 10] {
    use Pair::{
        Floor, OneWorker, Ours, OursDeep, OursLikeRedis, OursOverWebSocket, Redis, RedisBenchmark, RedisDeep,
        TwoWorkers,
    };
    let ratio = |what, side, of, to, bar| Ratio { what, side, of, to, bar };
    let at_most = |bar| Some(Bar::AtMost(bar));
    [
        ratio("ours / floor", Side::Server, Ours, Floor, at_most(TCP_BAR)),
        ratio("ours / floor, both sides", Side::Both, Ours, Floor, None),
        ratio("ours / TCP floor", Side::Server, OursOverWebSocket, Floor, at_most(WEBSOCKET_BAR)),
        ratio("ours / redis", Side::Server, OursLikeRedis, Redis, at_most(REDIS_BAR)),
        ratio("ours / redis, both sides", Side::Both, OursLikeRedis, Redis, None),
        ratio("floor / redis", Side::Server, Floor, Redis, None),
        ratio(
            "ours / redis by redis-benchmark",
            Side::Server,
            OursLikeRedis,
            RedisBenchmark,
            at_most(REDIS_BAR),
        ),
        // Its reciprocal is the ratio of requests for each second of CPU.
        ratio(
            "requests/CPU s, ours / redis, × 32",
            Side::Server,
            RedisDeep,
            OursDeep,
            Some(Bar::AtLeast(DEEP_BAR)),
        ),
        ratio("two workers / one", Side::Server, TwoWorkers, OneWorker, at_most(WORKERS_BAR)),
        ratio("two workers / one, both sides", Side::Both, TwoWorkers, OneWorker, None),
    ]
}

/// What is about to be measured.
pub fn heading(plan: &Plan) -> String {
    let (server, generator) = (plan.server_cpu, plan.generator_cpu);
    format!(
        "cpu:   the server's CPU for each request, {rounds} rounds in drawn order, {length} s of each in turns of {turn} ms\n\
         load:  {connections} connections, one request outstanding on each, no think time; server on CPU {server}, \
         generator on CPU {generator}\n\
         gets:  `get` of an own key, {get} bytes asked and {value} answered over TCP\n\
         mix:   half puts, half gets, values of {mix} bytes; × {DEPTH}: so many requests in one write\n\
         paced: each connection asks every {TICK:?}; two workers on CPUs {server} and {generator}, one half the time on either\n",
        rounds = plan.rounds,
        length = plan.length.as_secs_f64(),
        turn = (plan.length / TURNS).as_millis(),
        connections = plan.connections,
        get = GETS[0].len() + 1,
        value = VALUE.len() + 1,
        mix = MIX_VALUE.len(),
    )
}

/// One line about one round, for progress: the ratios with a bar.
pub fn progress(number: usize, rounds: usize, round: &Round<Pair>) -> String {
    let round = std::slice::from_ref(round);
    let mut line = format!("round {number}/{rounds}:");
    for ratio in ratios().iter().filter(|ratio| ratio.bar.is_some()) {
        if let Some(estimate) = ratio.estimate(round) {
            let _ = write!(line, " {}: {:.2};", ratio.what, estimate.median);
        }
    }
    line
}

/// The result, and whether every bar is met.
pub fn result(rounds: &[Round<Pair>], pairs: &[Pair], shares: &[f64]) -> (String, bool) {
    let mut out = table::costs(rounds, pairs);
    out.push_str(
        "Medians over the rounds. µs: user and system time for each request. One side's CPU is near 100 % where the\n\
         load is closed; where neither is, other programs ran beside it.\n\n",
    );
    let at_rate: Vec<Round<Pair>> = rounds.iter().filter(|round| is_at_one_rate(round)).cloned().collect();
    let mut lines: Vec<Line> = ratios()
        .iter()
        .filter(|ratio| pairs.contains(&ratio.of) && pairs.contains(&ratio.to))
        .map(|ratio| ratio.line(if ratio.of.group() == Group::Workers { &at_rate } else { rounds }))
        .collect();
    if pairs.contains(&Pair::TwoWorkers) {
        lines.push(Line {
            transport: "tcp",
            what: "second worker's requests / first's",
            estimate: Estimate::of(shares.to_vec()),
            bar: Some(Bar::Within(SHARES_BAR)),
        });
    }
    let (text, all_met) = table::ratios(&lines);
    out.push_str(&text);
    if at_rate.len() < rounds.len() {
        let left_out = rounds.len() - at_rate.len();
        let _ = writeln!(out, "workers: in {left_out} rounds the rates were too far apart to compare.");
    }
    let _ = writeln!(
        out,
        "\nThe server's CPU, but where both sides are named: on loopback part of one side's TCP work is charged to the\n\
         other. A bar is met where it holds for the worse end of the interval: at most the number, at least it (≥), or\n\
         between its reciprocal and it (1/{}…).",
        figure(Some(SHARES_BAR), 2)
    );
    (out, all_met)
}

/// Whether both windows for the comparison of workers, if there are any, were at the same rate.
fn is_at_one_rate(round: &Round<Pair>) -> bool {
    let rate = |pair| round.get(&pair).map(Window::rate);
    let rates = rate(Pair::OneWorker).zip(rate(Pair::TwoWorkers));
    rates.is_none_or(|(one, two)| Bar::Within(RATES_MAX).holds(two / one))
}
