//! What is printed: what was run, the costs, the ratios with their intervals, and whether the bars are met.

use std::fmt::Write;

use crate::figures::{self, Cell, Estimate, Ratio};
use crate::message::{GETS, VALUE};
use crate::redis;
use crate::roles::Wire;
use crate::rounds::{PAIRINGS, Pairing, Plan, REDIS_PAIRINGS, Round, WIRES};
use crate::window::{Side, Window};

/// Bytes around a short WebSocket message: two of header, and four of mask from a client (RFC 6455 §5.2).
const FRAME_BYTES: usize = 2;
const MASK_BYTES: usize = 4;

/// What is about to be measured.
pub fn heading(plan: &Plan) -> String {
    let (get, value) = (GETS[0].len(), VALUE.len());
    format!(
        "floor: CPU for each request above the least, {rounds} rounds in drawn order, windows of {length} s after \
         {warmup} s\n\
         load:  {connections} connections, closed, one request outstanding on each, no think time; server on CPU \
         {server}, generator on CPU {generator}\n\
         mix:   100 % `get` of an own key (against redis: half puts, {redis} bytes); on the wire {tcp_get} bytes asked and {tcp_reply} answered over TCP, \
         {ws_get} and {ws_reply} over WebSocket\n",
        rounds = plan.rounds,
        length = plan.length.as_secs_f64(),
        warmup = plan.warmup.as_secs_f64(),
        connections = plan.connections,
        server = plan.server_cpu,
        generator = plan.generator_cpu,
        redis = redis::VALUE_BYTES,
        tcp_get = get + 1,
        tcp_reply = value + 1,
        ws_get = get + FRAME_BYTES + MASK_BYTES,
        ws_reply = value + FRAME_BYTES,
    )
}

/// One line about one round, for progress: the four ratios with a bar.
pub fn progress(number: usize, rounds: usize, round: &Round) -> String {
    let round = std::slice::from_ref(round);
    let mut line = format!("round {number}/{rounds}:");
    for ratio in
        WIRES.into_iter().flat_map(|wire| figures::ratios(wire, false)).filter(|ratio| ratio.bar.is_some())
    {
        let side = if ratio.side == Side::Server { "server" } else { "generator" };
        let median = ratio.estimate(round).map(|estimate| estimate.median);
        let _ = write!(line, " {} {side} {} ", ratio.of.0.name(), figure(median, 2));
    }
    line
}

/// The result, and whether every bar is met.
pub fn result(rounds: &[Round], redis: bool) -> (String, bool) {
    let mut out = costs(rounds, redis);
    out.push('\n');
    let mut all_met = true;
    let _ = writeln!(
        out,
        "{:10} {:36} {:>7} {:>17} {:>6}",
        "transport", "ratio of CPU for each request", "median", "95 % interval", "bar"
    );
    for ratio in WIRES.into_iter().flat_map(|wire| figures::ratios(wire, redis)) {
        let estimate = ratio.estimate(rounds);
        let (verdict, met) = verdict(&ratio, estimate);
        all_met &= met;
        let interval = estimate.and_then(|estimate| estimate.interval);
        let interval = interval.map_or("–".to_owned(), |(low, high)| format!("{low:.3} to {high:.3}"));
        let _ = writeln!(
            out,
            "{:10} {:36} {:>7} {:>17} {:>6}  {verdict}",
            ratio.of.0.name(),
            ratio.what,
            figure(estimate.map(|estimate| estimate.median), 3),
            interval,
            figure(ratio.bar, 2),
        );
    }
    if !redis {
        out.push_str("redis-server and redis-benchmark are not installed here: not compared.\n");
    }
    out.push_str(
        "\nA bar is met where the upper end of the interval is at most the bar. Generators are compared against our\n\
         server, servers against the floor generator. On loopback part of one side's TCP work is charged to the\n\
         other: look at both sides together as well.\n",
    );
    (out, all_met)
}

fn verdict(ratio: &Ratio, estimate: Option<Estimate>) -> (&'static str, bool) {
    let Some(bar) = ratio.bar else { return ("", true) };
    match estimate.and_then(|estimate| estimate.meets(bar)) {
        Some(true) => ("met", true),
        Some(false) => ("missed", false),
        None => ("too few rounds to tell", false),
    }
}

fn costs(rounds: &[Round], redis: bool) -> String {
    let mut out = format!(
        "{:10} {:6} {:9} {:>10} {:>13} {:>8} {:>11} {:>11} {:>14} {:>7}\n",
        "transport",
        "server",
        "generator",
        "server µs",
        "generator µs",
        "both µs",
        "requests/s",
        "server CPU",
        "generator CPU",
        "stolen"
    );
    let mut cells: Vec<Cell> =
        WIRES.into_iter().flat_map(|wire| PAIRINGS.map(|pairing| (wire, pairing))).collect();
    if redis {
        cells.extend(REDIS_PAIRINGS.map(|pairing| (Wire::Tcp, pairing)));
    }
    for cell in cells {
        let us = |side| figure(figures::median(rounds, cell, |window| window.us(side)), 2);
        let percent = |share: &dyn Fn(&Window) -> Option<f64>| {
            let share = figures::median(rounds, cell, share).map(|share| share * 100.0);
            format!("{} %", figure(share, 0))
        };
        let (server, generator) = names(cell.1);
        let _ = writeln!(
            out,
            "{:10} {server:6} {generator:9} {:>10} {:>13} {:>8} {:>11} {:>11} {:>14} {:>7}",
            Wire::name(cell.0),
            us(Side::Server),
            us(Side::Generator),
            us(Side::Both),
            figure(figures::median(rounds, cell, |window| Some(window.rate())), 0),
            percent(&|window| Some(window.busy(Side::Server))),
            percent(&|window| Some(window.busy(Side::Generator))),
            percent(&|window| window.steal),
        );
    }
    out.push_str(
        "Medians over the rounds. µs: user and system time for each request. One side's CPU is near 100 % here; where\n\
         neither is, other programs ran beside it, and the ratios are wider than they need be.\n",
    );
    out
}

fn names(pairing: Pairing) -> (&'static str, &'static str) {
    match pairing {
        Pairing::Floor => ("floor", "floor"),
        Pairing::OurServer => ("ours", "floor"),
        Pairing::Ours => ("ours", "ours"),
        Pairing::OursMixed => ("ours", "ours, mix"),
        Pairing::Redis => ("redis", "redis-b."),
    }
}

fn figure(value: Option<f64>, decimals: usize) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.decimals$}"))
}
