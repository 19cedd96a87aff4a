//! What is compared with what, against which bar, and what is printed of it.

use std::fmt::Write;

use twinwire_floor::estimate::Bar;
use twinwire_floor::message::{GETS, MIX_VALUE, VALUE};
use twinwire_floor::options::Plan;
use twinwire_floor::roles::Wire;
use twinwire_floor::rounds::{Cell, Round};
use twinwire_floor::table::{self, Ratio, figure};
use twinwire_floor::window::Side;

use crate::pairings::{Pair, Pairing, WIRES};

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

/// Bytes around a short WebSocket message: two of header, and four of mask from a client (RFC 6455 §5.2).
const FRAME_BYTES: usize = 2;
const MASK_BYTES: usize = 4;

/// All ratios over one transport; `redis`: those to redis too.
fn ratios(wire: Wire, redis: bool) -> Vec<Ratio<Pair>> {
    use Pairing::{Floor, OurServer, Ours, OursMixed, Redis};
    let ratio = |what, side, of, to, bar: Option<f64>| Ratio {
        what,
        side,
        of: Pair(wire, of),
        to: Pair(wire, to),
        bar: bar.map(Bar::AtMost),
    };
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
            to: Pair(Wire::Tcp, Floor),
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
        redis = MIX_VALUE.len(),
        tcp_get = get + 1,
        tcp_reply = value + 1,
        ws_get = get + FRAME_BYTES + MASK_BYTES,
        ws_reply = value + FRAME_BYTES,
    )
}

/// One line about one round, for progress: the four ratios with a bar.
pub fn progress(number: usize, rounds: usize, round: &Round<Pair>) -> String {
    let round = std::slice::from_ref(round);
    let mut line = format!("round {number}/{rounds}:");
    for ratio in WIRES.into_iter().flat_map(|wire| ratios(wire, false)).filter(|ratio| ratio.bar.is_some()) {
        let side = if ratio.side == Side::Server { "server" } else { "generator" };
        let median = ratio.estimate(round).map(|estimate| estimate.median);
        let _ = write!(line, " {} {side} {} ", ratio.of.transport(), figure(median, 2));
    }
    line
}

/// The result, and whether every bar is met.
pub fn result(rounds: &[Round<Pair>], redis: bool) -> (String, bool) {
    let mut out = table::costs(rounds, &Pair::all(redis));
    out.push_str(
        "Medians over the rounds. µs: user and system time for each request. One side's CPU is near 100 % here; where\n\
         neither is, other programs ran beside it, and the ratios are wider than they need be.\n\n",
    );
    let lines = WIRES.into_iter().flat_map(|wire| ratios(wire, redis)).map(|ratio| ratio.line(rounds));
    let (text, all_met) = table::ratios(&lines.collect::<Vec<_>>());
    out.push_str(&text);
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
