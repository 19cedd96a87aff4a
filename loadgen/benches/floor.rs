//! How much CPU a request costs our generator above the least that it can cost, over both transports.
//!
//! `cargo bench -p twinwire --bench floor` prints ratios, not times: an absolute time on a shared machine does not
//! repeat, a ratio of two windows that ran seconds apart does. These run in windows of a second, in a drawn order:
//!
//! | server | generator | what it is for |
//! |---|---|---|
//! | reference | floor | the least: a bare epoll loop over TCP, bare tokio-tungstenite over WebSocket |
//! | reference | ours | against the first: what our generator adds, with every check and all recording on |
//! | reference | ours, puts and gets | against the next: a checked request next to an unchecked one |
//! | redis-server | redis-benchmark | what is in common use, over TCP, if it is installed |
//!
//! Figures are only compared against the same peer: on loopback the sender's system call runs part of the receiver's TCP
//! work, so CPU belongs to neither side alone, and the sums of both are printed too. Server and generator are processes
//! on a CPU each, started anew for every window. CPU is user and system time from the processes' CPU clocks at the edges
//! of the window; setting up and ending are not in it.
//!
//! A bar is met if the *upper end* of the interval of the median ratio is at most the bar. Keep the machine idle for the
//! 4 minutes, and distrust a run with more than a few percent of `stolen` time, which the host gave to others. What our
//! server adds is measured by the server's own bench, `cpu`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use twinwire::load::RunEnd;
use twinwire::load::engine::Engine;
use twinwire::load::placement::Placement;
use twinwire::record::Cost;
use twinwire::scenario::Document;
use twinwire::targets::Target;
use twinwire::wire::{Endpoint as Address, WebSocketUrl};
use twinwire_bench_support::children::{Process, Role, Task, generate, play};
use twinwire_bench_support::load::{KEYS, Load, MIX_VALUE, VALUE};
use twinwire_bench_support::paired::{self, Bar::AtMost, Pairing, Ratio};
use twinwire_bench_support::redis;
use twinwire_bench_support::run::{Plan, main as run};
use twinwire_bench_support::window::{Sample, Side, Window};
use twinwire_bench_support::wire::{Endpoint, Wire, block_on};

/// Over TCP: how much drawing, judging and recording each request may add to what the kernel takes for reading, writing
/// and waiting.
const TCP_BAR: f64 = 1.15;

/// Over WebSocket the floor has the framing in it already, so less may be added than to bare TCP.
const WEBSOCKET_BAR: f64 = 1.10;

/// Against redis-benchmark: checked and recorded for less than unchecked.
const REDIS_BENCHMARK_BAR: f64 = 0.70;

/// How long our generator's load goes on after the window. The engine samples the processes at every whole second and at
/// the load's end, and the last of these is lost if the load ends first: so the end is kept away from the second that
/// matters, by more than a coordinator waits for its turn on the CPU that it shares with a busy worker.
const TAIL: Duration = Duration::from_millis(300);

/// Each buffer of the floor's WebSocket connections, as both our programs tune them: the library's own are 128 KiB, and
/// cleared at each read.
const BUFFER_BYTES: usize = 4096;

/// A server and the generator that asks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Pair {
    Floor(Wire),
    Ours(Wire),
    /// With redis-benchmark's mix.
    OursMixed,
    Redis,
}

use Pair::{Floor, Ours, OursMixed, Redis};

impl Pairing for Pair {
    fn names(self) -> [&'static str; 3] {
        match self {
            Floor(wire) => [wire.name(), "ours", "floor"],
            Ours(wire) => [wire.name(), "ours", "ours"],
            OursMixed => ["tcp", "ours", "ours, mix"],
            Redis => ["tcp", "redis", "redis-b."],
        }
    }
}

/// The generators that are this bench's own.
#[derive(Debug, Serialize, Deserialize)]
enum Generator {
    Ours(Task),
    WebSocketFloor(Task),
}

fn main() -> ExitCode {
    let play_any = |role: &str| match serde_json::from_str(role) {
        Ok(Generator::Ours(task)) => generate(|| Ok(vec![our_window(&task)?])),
        Ok(Generator::WebSocketFloor(task)) => generate(|| Ok(vec![block_on(websocket_window(&task))?])),
        Err(_) => play(role),
    };
    run("floor", play_any, bench)
}

fn bench(plan: &Plan) -> anyhow::Result<bool> {
    plan.need_two_cpus()?;
    let with_redis = redis::is_available();
    let mut pairs = Wire::BOTH.map(|wire| [Floor(wire), Ours(wire)]).concat();
    if with_redis {
        pairs.extend([OursMixed, Redis]);
    } else {
        println!("redis-server and redis-benchmark are not installed here, and not compared");
    }
    pairs.retain(|pair| plan.includes(&pair.names().join(" ")));
    let ratio = |name, side, of, to, bar| Ratio { name, side, of, to, bar };
    let (generator, both) = ("generator, ours / floor", "both sides, our / floor generator");
    let mut ratios = Vec::new();
    for (wire, bar) in [(Wire::Tcp, TCP_BAR), (Wire::WebSocket, WEBSOCKET_BAR)] {
        ratios.push(ratio(generator, Side::Generator, Ours(wire), Floor(wire), Some(AtMost(bar))));
        ratios.push(ratio(both, Side::Both, Ours(wire), Floor(wire), None));
    }
    let (generator, bar) = ("generator, ours / redis-benchmark", Some(AtMost(REDIS_BENCHMARK_BAR)));
    ratios.push(ratio(generator, Side::Generator, OursMixed, Redis, bar));
    ratios.push(ratio("both sides, ours / redis", Side::Both, OursMixed, Redis, None));
    ratios.retain(|ratio| [ratio.of, ratio.to].iter().all(|pair| pairs.contains(pair)));
    if plan.is_measurement {
        println!(
            "floor: the generator's CPU for each request above the least, {} rounds in drawn order, windows of {:?} after {:?}\n\
             load:  {} connections, closed, one request outstanding on each, no think time; server on CPU {}, generator on CPU {}\n\
             mix:   `get` of an own key, {} bytes answered; against redis: half puts, {} bytes\n",
            plan.rounds,
            plan.length,
            plan.warmup,
            plan.connections,
            plan.server_cpu,
            plan.generator_cpu,
            VALUE.len(),
            MIX_VALUE.len(),
        );
    }
    let blocks = pairs.iter().map(|pair| vec![*pair]).collect();
    let rounds = paired::rounds(plan, blocks, &ratios, |block| {
        block.iter().map(|pair| window(plan, *pair)).collect()
    })?;
    Ok(!plan.is_measurement || paired::print(&rounds, &pairs, &ratios))
}

/// One window, with a server and a generator of its own.
fn window(plan: &Plan, pair: Pair) -> anyhow::Result<Window> {
    let (wire, load) = match pair {
        Redis => return redis::benchmark_window(plan),
        OursMixed => (Wire::Tcp, Load::Mix { depth: 1 }),
        Floor(wire) | Ours(wire) => (wire, Load::Gets),
    };
    let (cpu, [listen, address]) = (plan.server_cpu.to_string(), wire.listen());
    let arguments = ["serve-embedded", "--until-stdin-closes", listen, address, "--cpus", &cpu];
    let server = Process::start(env!("CARGO_BIN_EXE_twinwire"), &arguments, &[plan.server_cpu])?;
    let endpoint = Endpoint { wire, address: server.address()? };
    let task = plan.task(endpoint, &server, load);
    let cpus = [plan.generator_cpu];
    let generator = match pair {
        Floor(Wire::Tcp) => Process::play(&Role::Generator(vec![task]), &cpus)?,
        Floor(_) => Process::play(&Generator::WebSocketFloor(task), &cpus)?,
        _ => Process::play(&Generator::Ours(task), &cpus)?,
    };
    generator.windows(plan.warmup + plan.length)?.pop().context("nothing was measured")
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

/// One window of the floor's generator over WebSocket, with one request outstanding on each connection.
async fn websocket_window(task: &Task) -> anyhow::Result<Window> {
    let mut connections = Vec::with_capacity(task.connections);
    for number in 0..task.connections {
        connections.push(open(task.endpoint.address, &task.load.opening(number)).await?);
    }
    let answered = Arc::new(AtomicU64::new(0));
    let mut asking = JoinSet::new();
    for connection in connections {
        asking.spawn(ask_on(connection, Arc::clone(&answered)));
    }
    let window = async {
        sleep(task.warmup).await;
        let from = Sample::of_task(task, answered.load(Relaxed));
        sleep(task.length).await;
        from.until(&Sample::of_task(task, answered.load(Relaxed)))
    };
    tokio::select! {
        window = window => window,
        ended = asking.join_next() => match ended {
            Some(Ok(Err(error))) => Err(error),
            _ => bail!("a client of the floor generator ended early"),
        },
    }
}

async fn ask_on(mut stream: WebSocketStream<TcpStream>, answered: Arc<AtomicU64>) -> anyhow::Result<()> {
    let gets: Vec<Message> = (0..KEYS).map(|key| Message::text(format!("get k{key}"))).collect();
    for get in gets.iter().cycle() {
        let reply = ask(&mut stream, get.clone()).await?;
        let is_value = matches!(&reply, Message::Text(text) if text.as_str() == VALUE);
        ensure!(is_value, "a wrong reply: {reply:?}");
        // One thread counts: a load and a store are enough.
        answered.store(answered.load(Relaxed) + 1, Relaxed);
    }
    Ok(())
}

async fn open(address: SocketAddr, opening: &[String]) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
    let (mut stream, _) = client_async_with_config(format!("ws://{address}/"), stream, Some(config)).await?;
    for message in opening {
        ask(&mut stream, Message::text(message)).await?;
    }
    Ok(stream)
}

async fn ask(stream: &mut WebSocketStream<TcpStream>, request: Message) -> anyhow::Result<Message> {
    stream.send(request).await?;
    Ok(stream.next().await.context("the server closed a connection")??)
}
