//! What is printed: what was run, and a row for each abuse and transport.

use std::{fmt::Write, time::Duration};

use twinwire_floor::{
    estimate::{Bar, Estimate},
    roles::Wire,
    table::{figure, interval},
};

use crate::{
    abuse::Bound,
    experiment::{Outcome, Pair, Plan},
    neighbour::Latencies,
};

/// LIFE-5: longest that a neighbour may wait for any reply.
const LONGEST_MAX: Duration = Duration::from_secs(1);

/// Longest that a stop may take, however large the stores are.
const STOP_MAX: Duration = Duration::from_secs(1);

/// What is about to be measured.
pub fn heading(plan: &Plan) -> String {
    format!(
        "abuse: p90 of a well-behaved neighbour with and without abuse, {} pairs of windows of {} s\n\
         load:  a request a millisecond over each transport; server on CPU {}, neighbours on CPU {} together with the\n\
         \x20      abusers, who are in the system's idle class and have what the neighbours leave\n",
        plan.pairs,
        plan.window.as_secs_f64(),
        plan.server_cpu,
        plan.client_cpu,
    )
}

/// The line of titles.
pub fn titles() -> String {
    format!(
        "{:22} {:>6} {:10} {:>11} {:>9} {:>6} {:>15} {:>5} {:7} {:>8} {:>22} {:>26}\n",
        "abuse",
        "number",
        "neighbour",
        "p90 without",
        "p90 with",
        "ratio",
        "95 % interval",
        "bar",
        "",
        "longest",
        "memory KiB, +most/bound",
        "served"
    )
}

/// The rows of one abuse, and whether all its bars are met.
pub fn rows(outcome: &Outcome) -> (String, bool) {
    let (mut out, mut all_met) = (String::new(), true);
    for (index, transport) in Wire::BOTH.map(Wire::name).into_iter().enumerate() {
        let ratio =
            |pair: &Pair| pair.with[index].p90().as_secs_f64() / pair.without[index].p90().as_secs_f64();
        let estimate = Estimate::of(outcome.pairs.iter().map(ratio).collect());
        let longest = outcome.pairs.iter().map(|pair| match outcome.abuse.bound() {
            Bound::P90Ratio(_) => pair.with[index].max(),
            Bound::Longest(_) => pair.with[index].longest_wait(),
        });
        let longest = longest.max().unwrap_or_default();
        let (bar, is_within) = match outcome.abuse.bound() {
            Bound::P90Ratio(max) => {
                let meets = estimate.and_then(|estimate| estimate.meets(Bar::AtMost(max)));
                (format!("{max:.1}"), meets.map(|meets| meets && longest <= LONGEST_MAX))
            }
            Bound::Longest(max) => (format!("{} ms", max.as_millis()), Some(longest <= max)),
        };
        let (verdict, met) = match is_within {
            Some(true) => ("met", true),
            Some(false) => ("missed", false),
            None => ("–", false),
        };
        all_met &= met;
        let is_first = index == 0;
        let _ = writeln!(
            out,
            "{:22} {:>6} {transport:10} {:>8} µs {:>6} µs {:>6} {:>15} {bar:>5} {verdict:7} {:>5} ms {:>22} {:>26}",
            if is_first { outcome.abuse.name() } else { "" },
            if is_first { outcome.size.to_string() } else { String::new() },
            micros(outcome, |pair| &pair.without[index]),
            micros(outcome, |pair| &pair.with[index]),
            figure(estimate.map(|estimate| estimate.median), 2),
            interval(estimate, 2),
            longest.as_millis(),
            if is_first { memory(outcome) } else { String::new() },
            if is_first { format!("{} {}", outcome.served, outcome.abuse.unit()) } else { String::new() },
        );
    }
    if outcome.growth_kib() > outcome.growth_kib_max {
        all_met = false;
        let _ = writeln!(out, "    memory grew by {} KiB, more than its bound", outcome.growth_kib());
    }
    if let Bound::Longest(_) = outcome.abuse.bound() {
        let windows = outcome.pairs.iter().flat_map(|pair| &pair.without);
        let longest = windows.map(Latencies::longest_wait).max().unwrap_or_default();
        let _ = writeln!(out, "    the longest without it: {} ms", longest.as_millis());
    }
    if let Some(stop) = outcome.stop {
        let is_slow = stop > STOP_MAX;
        all_met &= !is_slow;
        let verdict = if is_slow { "missed" } else { "met" };
        let _ =
            writeln!(out, "    the stop with all of them there: {} ms (1 s, {verdict})", stop.as_millis());
    }
    if outcome.is_short {
        all_met = false;
        let _ = writeln!(
            out,
            "    not the {} that are meant: too few descriptors are allowed",
            outcome.abuse.size()
        );
    }
    (out, all_met)
}

fn memory(outcome: &Outcome) -> String {
    format!("{} +{}/{}", outcome.resident_kib_before, outcome.growth_kib(), outcome.growth_kib_max)
}

/// The median over the pairs of a p90, in µs.
fn micros(outcome: &Outcome, latencies: impl Fn(&Pair) -> &Latencies) -> String {
    let figures = outcome.pairs.iter().map(|pair| latencies(pair).p90().as_secs_f64() * 1e6).collect();
    figure(Estimate::of(figures).map(|estimate| estimate.median), 0)
}

/// How to read it.
pub fn notes(stolen: Option<f64>) -> String {
    format!(
        "\nA bar is met where the upper end of the interval is at most the bar and no reply took longer than a second, or \
         where\nit is a time and the longest is within it. Each window with abuse begins as the abuse does and ends once all of it is there. Memory: the server's before, \
         how much\nit grew at most, and what it may. After each window its descriptors were as many as before, and what \
         the abusers\ngot was what the limits say; otherwise the run would have stopped here. The host gave {} % of \
         the CPUs' time to\nothers: over a percent or two, or with other programs at work here, p90 is theirs and not \
         the server's.\n",
        figure(stolen.map(|share| share * 100.0), 1)
    )
}
