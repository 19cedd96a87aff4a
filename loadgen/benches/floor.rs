//! How much CPU a request costs us above the least that it can cost, on both sides and over both transports.
//!
//! `cargo bench -p twinwire --bench floor` prints ratios, not times: an absolute time on a shared machine does not
//! repeat, a ratio of two windows that ran seconds apart does. The least is a bare loop: over TCP an epoll loop with
//! one read and one write a request, over WebSocket tokio-tungstenite with 4 KiB buffers and nothing around it.
//!
//! These pairings run in windows of a second, in a drawn order, round after round:
//!
//! | server | generator | what it is for |
//! |---|---|---|
//! | floor | floor | the least |
//! | reference | floor | against the first: what our server adds |
//! | reference | ours | against the second: what our generator adds, with every check and all recording on |
//! | reference | ours, puts and gets | against the next: a checked request next to an unchecked one |
//! | redis-server | redis-benchmark | what is in common use, over TCP and where it is installed |
//!
//! Two figures are only ever compared against the same peer, for on loopback the sender's system call runs part of
//! the receiver's TCP work: CPU belongs to neither side alone. The sums of both sides are printed for that reason.
//! Server and generator are processes of their own, each on a CPU of its own, started anew for every window. CPU is user
//! and system time from the processes' CPU clocks at the edges of the window; setting up and ending are not in it.
//!
//! How to read the output: a bar is met if the *upper end* of the interval of the median ratio is at most the bar.
//! `stolen` over a few percent means that the host gave the CPUs to others, and neither CPU near 100 % that other
//! programs ran beside it: run it again when it is quieter.
//!
//! Not for latency, and not for what a machine can do at most. Without `--bench` (as `cargo test` calls it) it only
//! tries each pairing for a moment, to show that it works.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use twinwire::load::RunEnd;
use twinwire::load::engine::Engine;
use twinwire::load::placement::Placement;
use twinwire::record::Cost;
use twinwire::scenario::Document;
use twinwire::targets::Target;
use twinwire::wire::{Endpoint as Address, WebSocketUrl};
use twinwire_bench_support::children::{Process, Role, Task, generate, play};
use twinwire_bench_support::load::{GETS, KEYS, Load, MIX_VALUE, VALUE};
use twinwire_bench_support::paired::{self, Cell, Ratio, Round};
use twinwire_bench_support::redis;
use twinwire_bench_support::run::{Plan, RoundFlags, main as run};
use twinwire_bench_support::table::Bar;
use twinwire_bench_support::window::{Side, Window};
use twinwire_bench_support::wire::{Endpoint, Wire, block_on};

/// Our generator over TCP: how much drawing, judging and recording each request may add to what the kernel takes for
/// reading, writing and waiting.
const GENERATOR_TCP_BAR: f64 = 1.15;

/// Over WebSocket the floor has the framing in it already, so less may be added than to bare TCP.
const GENERATOR_WEBSOCKET_BAR: f64 = 1.10;

/// Our server over TCP: the registry and the session besides the system calls.
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

/// How long our generator's load goes on after the window. The engine samples the processes at every whole second and at
/// the load's end, and the last of these is lost if the load ends first: so the end is kept away from the second that
/// matters, by more than a coordinator waits for its turn on the CPU that it shares with a busy worker.
const TAIL: Duration = Duration::from_millis(300);

/// CPU for each request of our generator and our server, as ratios to bare loops, over TCP and WebSocket
///
/// Server and generator run as processes on a CPU each, in short windows in a drawn order. Over TCP the floor is an
/// epoll loop with one read and one write a request, over WebSocket tokio-tungstenite with 4 KiB buffers. Our
/// generator is compared with the floor's against our server, our server with the floor's against the floor
/// generator. Where redis is installed, redis-benchmark against redis-server is measured beside ours. A bar is met
/// if the upper end of the interval of the median ratio is at most the bar. Absolute times are those of this
/// machine in this minute; only the ratios repeat. Takes about 4 minutes; keep the machine idle meanwhile, and
/// distrust a run with more than a few percent of stolen time.
#[derive(Debug, Parser)]
#[command(name = "floor", bin_name = "cargo bench -p twinwire --bench floor --")]
struct Options {
    #[command(flatten)]
    rounds: RoundFlags,
}

/// Our generator: the only role that is this bench's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct OurGenerator(Task);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Pairing {
    Floor,
    /// Reference server, floor generator.
    OurServer,
    /// Reference server, our generator.
    Ours,
    /// Reference server, our generator with redis-benchmark's mix.
    OursMixed,
    /// redis-server, redis-benchmark.
    Redis,
}

use Pairing::{Floor, OurServer, Ours, OursMixed, Redis};

/// A pairing over a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Pair(Wire, Pairing);

impl Cell for Pair {
    fn transport(self) -> &'static str {
        self.0.name()
    }

    fn sides(self) -> (&'static str, &'static str) {
        match self.1 {
            Floor => ("floor", "floor"),
            OurServer => ("ours", "floor"),
            Ours => ("ours", "ours"),
            OursMixed => ("ours", "ours, mix"),
            Redis => ("redis", "redis-b."),
        }
    }
}

fn main() -> ExitCode {
    let play_any = |role: &str| match serde_json::from_str(role) {
        Ok(OurGenerator(task)) => generate(&task.generator_cpus, || our_window(&task)),
        Err(_) => play(role),
    };
    run(play_any, |options: &Options, is_bench| {
        let plan = options.rounds.plan(is_bench)?;
        let with_redis = redis::is_available();
        let mut pairs: Vec<Pair> = Wire::BOTH
            .into_iter()
            .flat_map(|wire| [Floor, OurServer, Ours].map(|pairing| Pair(wire, pairing)))
            .collect();
        pairs.extend(
            [OursMixed, Redis].map(|pairing| Pair(Wire::Tcp, pairing)).into_iter().filter(|_| with_redis),
        );
        let ratios: Vec<Ratio<Pair>> =
            Wire::BOTH.into_iter().flat_map(|wire| ratios(wire, with_redis)).collect();
        if is_bench {
            print!("{}", heading(&plan));
        }
        let blocks = pairs.iter().map(|pair| vec![*pair]).collect();
        let progress = is_bench.then_some(&ratios[..]);
        let rounds = paired::rounds(blocks, plan.rounds, progress, |block| {
            block.iter().map(|pair| window(&plan, *pair)).collect()
        })?;
        Ok(!is_bench || print_result(&rounds, &pairs, &ratios, with_redis) || !options.rounds.check)
    })
}

/// One window, with a server and a generator of its own.
fn window(plan: &Plan, Pair(wire, pairing): Pair) -> anyhow::Result<Window> {
    let cpu = plan.server_cpu.to_string();
    let arguments = ["serve-embedded", "--until-stdin-closes", wire.flag(), "127.0.0.1:0", "--cpus", &cpu];
    let server = match pairing {
        Redis => return redis::benchmark_window(plan),
        Floor => Process::start(&Role::Server { wire, cpus: vec![plan.server_cpu] })?,
        _ => Process::start_program(env!("CARGO_BIN_EXE_twinwire"), &arguments, &[plan.server_cpu])?,
    };
    let task = Task {
        endpoint: Endpoint { wire, address: server.address()? },
        server_pid: server.id(),
        server_cpus: vec![plan.server_cpu],
        generator_cpus: vec![plan.generator_cpu],
        connections: plan.connections,
        warmup: plan.warmup,
        length: plan.length,
        load: if pairing == OursMixed { Load::Mix { depth: 1 } } else { Load::Gets },
        period: None,
    };
    let generator = match pairing {
        Ours | OursMixed => Process::start(&OurGenerator(task))?,
        _ => Process::start(&Role::Generator(task))?,
    };
    generator.measured(plan.warmup + plan.length)
}

/// One window of our generator, as `twinwire run` drives it: every reply is judged and everything recorded. It is of
/// whole seconds: a shorter length is rounded up.
fn our_window(task: &Task) -> anyhow::Result<Window> {
    let document = Document::parse("floor.toml", &scenario(task), &[])?;
    Engine::check(&document)?;
    let address = task.endpoint.address;
    let endpoint = match task.endpoint.wire {
        Wire::Tcp => Address::lines(address.into(), None),
        Wire::WebSocket => {
            let url = WebSocketUrl::root(false, &address.ip().to_string(), address.port());
            Address::websocket(address.into(), url, None)
        }
    };
    let mut target = Target::External { endpoints: vec![endpoint], pid: Some(task.server_pid) };
    // The sender lives until the run is over: nothing interrupts it.
    let (_stop, interrupt) = watch::channel(false);
    let engine = Engine {
        document: &document,
        target: &mut target,
        placement: Placement { server: task.server_cpus.clone(), generator: task.generator_cpus.clone() },
        interrupt,
        on_event: &mut |_| {},
    };
    let result = block_on(async { Ok(engine.run().await) })?;
    ensure!(matches!(result.end, RunEnd::Complete), "our generator's run ended early: {:?}", result.end);
    ensure!(result.violations_total == 0, "wrong replies: {:?}", result.violations);
    let pass = result.passes.first().context("our generator ran nothing")?;
    ensure!(pass.ledger.values_read > 0, "our generator read no value");
    let Cost { replies, seconds, server_cpu_ns, generator_cpu_ns, steal, .. } = pass.cost;
    Ok(Window {
        requests: replies,
        seconds,
        server_cpu_ns: server_cpu_ns.context("the engine did not read the server's CPU time")?,
        generator_cpu_ns: generator_cpu_ns.context("the engine did not read its own CPU time")?,
        steal,
    })
}

fn scenario(task: &Task) -> String {
    let (mix, size) = match task.load {
        Load::Gets => ("get = 1", VALUE.len()),
        Load::Mix { .. } | Load::RedisMix { .. } => ("get = 1, put = 1", MIX_VALUE.len()),
    };
    format!(
        r#"
name = "floor"
transports = ["{transport}"]

[[load]]
name = "closed"
model = "closed"
think = "0ms"
warmup = "{warmup_ms}ms"
duration = "{duration_ms}ms"
trials = 1

[[clients]]
name = "guests"
role = "guest"
count = {connections}
mix = {{ {mix} }}
keys = {{ count = {KEYS}, distribution = "uniform" }}
values = {{ size = {size} }}
"#,
        transport = task.endpoint.wire.name(),
        warmup_ms = task.warmup.as_millis(),
        duration_ms = (Duration::from_secs(task.length.as_secs().max(1)) + TAIL).as_millis(),
        connections = task.connections,
    )
}

/// All ratios over one transport.
fn ratios(wire: Wire, with_redis: bool) -> Vec<Ratio<Pair>> {
    let ratio = |name, side, of, to, bar: Option<f64>| {
        let (of, to) = (Pair(wire, of), Pair(wire, to));
        Ratio { name, side, of, to, bar: bar.map(Bar::AtMost) }
    };
    let is_tcp = wire == Wire::Tcp;
    let generator_bar = if is_tcp { GENERATOR_TCP_BAR } else { GENERATOR_WEBSOCKET_BAR };
    let mut ratios = vec![
        ratio("generator, ours / floor", Side::Generator, Ours, OurServer, Some(generator_bar)),
        ratio("server, ours / floor", Side::Server, OurServer, Floor, is_tcp.then_some(SERVER_TCP_BAR)),
        ratio("both sides, our / floor generator", Side::Both, Ours, OurServer, None),
        ratio("both sides, our / floor server", Side::Both, OurServer, Floor, None),
        ratio("both sides, all ours / all floor", Side::Both, Ours, Floor, None),
    ];
    if !is_tcp {
        let tcp_floor =
            ratio("server, ours / TCP floor", Side::Server, OurServer, Floor, Some(SERVER_WEBSOCKET_BAR));
        ratios.push(Ratio { to: Pair(Wire::Tcp, Floor), ..tcp_floor });
    }
    if is_tcp && with_redis {
        let generator = "generator, ours / redis-benchmark";
        ratios.extend([
            ratio(generator, Side::Generator, OursMixed, Redis, Some(REDIS_BENCHMARK_BAR)),
            ratio("server, ours / redis-server", Side::Server, OursMixed, Redis, Some(REDIS_SERVER_BAR)),
            ratio("both sides, ours / redis", Side::Both, OursMixed, Redis, None),
        ]);
    }
    ratios
}

fn heading(plan: &Plan) -> String {
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

/// Prints the result; whether every bar is met.
fn print_result(rounds: &[Round<Pair>], pairs: &[Pair], ratios: &[Ratio<Pair>], with_redis: bool) -> bool {
    let lines: Vec<_> = ratios.iter().map(|ratio| ratio.line(rounds)).collect();
    let (ratios, all_met) = paired::ratios(&lines);
    println!(
        "\n{}Medians over the rounds. µs: user and system time for each request. One side's CPU is near 100 % here; if\n\
         neither is, other programs ran beside it, and the ratios are wider than they need be.\n\n{ratios}",
        paired::costs(rounds, pairs)
    );
    if !with_redis {
        println!("redis-server and redis-benchmark are not installed here: not compared.");
    }
    println!(
        "A bar is met if the upper end of the interval is at most the bar. Generators are compared against our\n\
         server, servers against the floor generator. On loopback part of one side's TCP work is charged to the\n\
         other: look at both sides together as well."
    );
    all_met
}
