//! How much CPU a request costs the server: against a bare epoll loop, against redis-server, and on two workers.
//!
//! `cargo bench -p twinwire-server --bench cpu` prints ratios, not times: an absolute time on a shared machine does not
//! repeat. Servers that are compared run at the same time, and one generator asks them in turn, a tenth of a second each;
//! ten turns are a window. Each round has processes of its own, and the order is drawn.
//!
//! | server | asked | what it is for |
//! |---|---|---|
//! | floor, over TCP | `get`s | the least: a bare epoll loop with one read and one write a request |
//! | ours, over TCP, over WebSocket | the same | against the first; over WebSocket, what framing may cost at all |
//! | redis-server, ours | half puts, by the same bare loop | what is in common use, if it is installed |
//! | redis-server, ours | half puts, 32 in one write | how much a request costs besides the system calls |
//! | redis-server | half puts, by redis-benchmark | the generator that comes with it, which fills no server |
//! | ours on one worker, on two | at a fixed rate | what sharing costs, and whether the work is shared |
//!
//! All but the last are saturated closed loops, with server and generator on a CPU each. On loopback the sender's system
//! call runs part of the receiver's TCP work, so a ratio of servers means most under the same generator. CPU is user and
//! system time from the process's CPU clock at the edges of each turn.
//!
//! Workers are compared at a fixed rate: each connection asks once a millisecond, first those of one worker and then
//! those of the other. Two workers are on two CPUs, and if there are no more the generator shares the second one. So one
//! worker is measured half the time alone and half the time next to the generator; and the server runs as `SCHED_BATCH`,
//! since a worker that interrupts the generator at each request turns a burst into single requests.
//!
//! A bar is met if it holds for the *worse end* of the interval of the median ratio. Keep the machine idle for the 5
//! minutes, and distrust a run with more than a few percent of `stolen` time, which the host gave to others.

use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use twinwire_bench_support::children::{Process, Role, Task, play};
use twinwire_bench_support::load::{Load, MIX_VALUE, VALUE};
use twinwire_bench_support::paired::Bar::{self, AtLeast, AtMost, Within};
use twinwire_bench_support::paired::{self, Pairing, Ratio, Round, print_ratio};
use twinwire_bench_support::run::{Plan, is_installed, main as run};
use twinwire_bench_support::window::{Side, Window};
use twinwire_bench_support::wire::{Endpoint, Wire};
use twinwire_bench_support::{Median, cpus, redis, tcp::TURNS};

/// Over TCP: the registry and the session besides the system calls.
const TCP_BAR: f64 = 1.05;

/// Over WebSocket, against the bare TCP floor: what the framing may cost at all.
const WEBSOCKET_BAR: f64 = 1.20;

/// Against redis-server, under either generator.
const REDIS_BAR: f64 = 0.80;

/// The same 32 deep, in requests for each second of CPU.
const DEEP_BAR: f64 = 1.50;

/// Two workers against one at the same rate: the registry is the only thing that they share.
const WORKERS_BAR: f64 = 1.10;

/// How far apart two workers' shares of the work may be.
const SHARES_BAR: f64 = 1.10;

/// How far apart the rates of two windows may be that are compared at the same one.
const RATES_MAX: f64 = 1.05;

/// Requests in one write of a pipelined load.
const DEPTH: usize = 32;

/// How often each client asks if workers are compared: with 64 clients a worker is busy for about a third of the
/// time, so that two CPUs carry both workers and the generator, and none waits for a CPU.
const PERIOD: Duration = Duration::from_millis(1);

/// A server and how it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Pair {
    Floor,
    Ours,
    OursOverWebSocket,
    Redis,
    OursLikeRedis,
    RedisBenchmark,
    RedisDeep,
    OursDeep,
    OneWorker,
    TwoWorkers,
}

use Pair::{
    Floor, OneWorker, Ours, OursDeep, OursLikeRedis, OursOverWebSocket, Redis, RedisBenchmark, RedisDeep,
    TwoWorkers,
};

/// In the order of the table.
const PAIRS: [Pair; 10] = [
    Floor,
    Ours,
    OursOverWebSocket,
    Redis,
    OursLikeRedis,
    RedisBenchmark,
    RedisDeep,
    OursDeep,
    OneWorker,
    TwoWorkers,
];

/// Those together that are asked in turn.
const BLOCKS: [&[Pair]; 4] = [
    &[Floor, Ours, OursOverWebSocket, Redis, OursLikeRedis],
    &[RedisDeep, OursDeep],
    &[OneWorker, TwoWorkers],
    &[RedisBenchmark],
];

/// Every ratio, in the order of the table. That of requests for each second of CPU is the reciprocal of one of CPU.
#[rustfmt::skip]
const RATIOS: [Ratio<Pair>; 10] = [
    ratio("ours / floor", Side::Server, Ours, Floor, Some(AtMost(TCP_BAR))),
    ratio("ours / floor, both sides", Side::Both, Ours, Floor, None),
    ratio("ours / TCP floor", Side::Server, OursOverWebSocket, Floor, Some(AtMost(WEBSOCKET_BAR))),
    ratio("ours / redis", Side::Server, OursLikeRedis, Redis, Some(AtMost(REDIS_BAR))),
    ratio("ours / redis, both sides", Side::Both, OursLikeRedis, Redis, None),
    ratio("floor / redis", Side::Server, Floor, Redis, None),
    ratio("ours / redis by redis-benchmark", Side::Server, OursLikeRedis, RedisBenchmark, Some(AtMost(REDIS_BAR))),
    ratio("requests/CPU s, ours / redis, × 32", Side::Server, RedisDeep, OursDeep, Some(AtLeast(DEEP_BAR))),
    ratio("two workers / one", Side::Server, TwoWorkers, OneWorker, Some(AtMost(WORKERS_BAR))),
    ratio("two workers / one, both sides", Side::Both, TwoWorkers, OneWorker, None),
];

const fn ratio(name: &'static str, side: Side, of: Pair, to: Pair, bar: Option<Bar>) -> Ratio<Pair> {
    Ratio { name, side, of, to, bar }
}

impl Pair {
    fn is_paced(self) -> bool {
        matches!(self, OneWorker | TwoWorkers)
    }

    fn is_redis(self) -> bool {
        matches!(self, Redis | RedisBenchmark | RedisDeep)
    }

    fn wire(self) -> Wire {
        if self == OursOverWebSocket { Wire::WebSocket } else { Wire::Tcp }
    }

    fn load(self) -> Load {
        match self {
            Redis => Load::RedisMix { depth: 1 },
            RedisDeep => Load::RedisMix { depth: DEPTH },
            OursLikeRedis => Load::Mix { depth: 1 },
            OursDeep => Load::Mix { depth: DEPTH },
            _ => Load::Gets,
        }
    }
}

impl Pairing for Pair {
    fn names(self) -> [&'static str; 3] {
        let [server, load] = match self {
            Floor => ["floor", "gets"],
            Ours | OursOverWebSocket => ["ours", "gets"],
            Redis => ["redis", "mix"],
            OursLikeRedis => ["ours", "mix"],
            RedisBenchmark => ["redis", "redis-b."],
            RedisDeep => ["redis", "mix × 32"],
            OursDeep => ["ours", "mix × 32"],
            OneWorker => ["1 work.", "paced"],
            TwoWorkers => ["2 work.", "paced"],
        };
        [self.wire().name(), server, load]
    }
}

fn main() -> ExitCode {
    run("cpu", play, bench)
}

fn bench(plan: &Plan) -> anyhow::Result<bool> {
    plan.need_two_cpus()?;
    let has_redis = redis::is_available();
    if !has_redis {
        println!(
            "redis-server is not installed here, and not compared (Debian: apt-get install redis-server)"
        );
    }
    let has_chrt = is_installed("chrt");
    if !has_chrt {
        println!(
            "chrt is not installed here, and workers are not compared (Debian: apt-get install util-linux)"
        );
    }
    let is_wanted = |pair: &Pair| {
        (has_redis || !pair.is_redis())
            && (has_chrt || !pair.is_paced())
            && plan.includes(&pair.names().join(" "))
    };
    let wanted = |pairs: &[Pair]| pairs.iter().copied().filter(is_wanted).collect::<Vec<_>>();
    let pairs = wanted(&PAIRS);
    let blocks = BLOCKS.map(wanted).into_iter().filter(|block| !block.is_empty()).collect();
    let is_measured = |ratio: &Ratio<Pair>| pairs.contains(&ratio.of) && pairs.contains(&ratio.to);
    let ratios: Vec<_> = RATIOS.into_iter().filter(is_measured).collect();
    if plan.is_measurement {
        print_heading(plan);
    }
    let mut shares = Vec::new();
    let mut rounds = paired::rounds(plan, blocks, &ratios, |block| windows(plan, block, &mut shares))?;
    if !plan.is_measurement {
        return Ok(true);
    }
    let too_far_apart = rounds.iter_mut().filter(|round| !is_at_one_rate(round));
    let left_out = too_far_apart.map(|round| round.retain(|pair, _| !pair.is_paced())).count();
    let mut all_met = paired::print(&rounds, &pairs, &ratios);
    if pairs.contains(&TwoWorkers) {
        let (name, bar) = ("second worker's requests / first's", Some(Within(SHARES_BAR)));
        all_met &= print_ratio("tcp", name, Median::of(shares), bar);
    }
    println!("\nIn {left_out} rounds the rates of one and two workers were too far apart to compare.");
    println!(
        "The server's CPU unless both sides are named: on loopback part of one side's TCP work is charged to the\n\
         other. A bar is met if it holds for the worse end of the interval: at most the number, at least it (≥), or\n\
         between its reciprocal and it ({}).",
        Within(SHARES_BAR)
    );
    Ok(all_met)
}

/// A window of each pair of a block, with servers and a generator of their own. `shares` gets, of two workers, the second
/// one's requests over the first one's.
fn windows(plan: &Plan, block: &[Pair], shares: &mut Vec<f64>) -> anyhow::Result<Vec<Window>> {
    let Plan { server_cpu, generator_cpu, .. } = *plan;
    if block == [RedisBenchmark] {
        return Ok(vec![redis::benchmark_window(plan)?]);
    }
    let is_paced = block.iter().any(|pair| pair.is_paced());
    let placed: Vec<(Pair, Vec<usize>)> = if is_paced {
        // As much of one worker beside the generator as of two, in case one of those has to be.
        let both = vec![server_cpu, generator_cpu];
        vec![(OneWorker, vec![server_cpu]), (OneWorker, vec![generator_cpu]), (TwoWorkers, both)]
    } else {
        block.iter().map(|pair| (*pair, vec![server_cpu])).collect()
    };
    // With two workers the generator runs on a third CPU, or with the second worker if there is none.
    let is_free = |cpu: &usize| ![server_cpu, generator_cpu].contains(cpu);
    let spare = cpus::allowed().into_iter().find(is_free).unwrap_or(generator_cpu);
    let generator_cpus = vec![if is_paced { spare } else { generator_cpu }];
    let (mut servers, mut tasks) = (Vec::new(), Vec::new());
    for (pair, server_cpus) in placed {
        let (server, address) = serve(pair, &server_cpus)?;
        let task = plan.task(Endpoint { wire: pair.wire(), address }, &server, pair.load());
        let (generator_cpus, period) = (generator_cpus.clone(), is_paced.then_some(PERIOD));
        tasks.push(Task { server_cpus, generator_cpus, period, ..task });
        servers.push(server);
    }
    let length = (plan.warmup + plan.length) * 2 * tasks.len() as u32;
    let windows = Process::play(&Role::Generator(tasks), &generator_cpus)?.windows(length)?;
    if !is_paced {
        return Ok(windows);
    }
    let requests = requests_by_worker(servers[2].address()?)?;
    ensure!(requests.len() == 2, "the server has {} workers instead of 2", requests.len());
    shares.push(requests[1] as f64 / requests[0].max(1) as f64);
    let one = windows[0].and(&windows[1]);
    Ok(block.iter().map(|pair| if *pair == OneWorker { one } else { windows[2] }).collect())
}

/// Starts the server of a pair: ours with a worker on each of these CPUs.
fn serve(pair: Pair, cpus: &[usize]) -> anyhow::Result<(Process, SocketAddr)> {
    if pair.is_redis() {
        return redis::start(cpus);
    }
    let list = cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let server = env!("CARGO_BIN_EXE_twinwire-server");
    let [listen, address] = pair.wire().listen();
    let arguments = [server, "--until-stdin-closes", listen, address, "--cpus", &list, "--metrics", "0"];
    let process = if pair == Floor {
        Process::play(&Role::Server, cpus)?
    } else if pair.is_paced() {
        // Does not interrupt others when it wakes. Where workers and generator share CPUs, a generator that is
        // interrupted at each request gives its own cost to the worker, and more so to two.
        Process::start("chrt", &[&["--batch", "0"], &arguments[..]].concat(), cpus)?
    } else {
        Process::start(server, &arguments[1..], cpus)?
    };
    let address = process.address()?;
    Ok((process, address))
}

/// How many requests each worker has answered, from the server's metrics.
fn requests_by_worker(metrics: SocketAddr) -> anyhow::Result<Vec<u64>> {
    let mut stream = TcpStream::connect(metrics)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let counts = text
        .lines()
        .filter_map(|line| line.strip_prefix("twinwire_worker_requests_total{")?.rsplit(' ').next())
        .map(str::parse);
    counts.collect::<Result<_, _>>().context("a count is not a number")
}

fn print_heading(plan: &Plan) {
    let (server, generator) = (plan.server_cpu, plan.generator_cpu);
    println!(
        "cpu:   the server's CPU for each request, {} rounds in drawn order, {:?} of each in turns of {:?}\n\
         load:  {} connections, one request outstanding on each, no think time; server on CPU {server}, \
         generator on CPU {generator}\n\
         gets:  `get` of an own key, {} bytes answered\n\
         mix:   half puts, half gets, values of {} bytes; × {DEPTH}: that many requests in one write\n\
         paced: each connection asks every {PERIOD:?}; two workers on CPUs {server} and {generator}, one half the time on either\n",
        plan.rounds,
        plan.length,
        plan.length / TURNS,
        plan.connections,
        VALUE.len(),
        MIX_VALUE.len(),
    );
}

/// Whether both windows for the comparison of workers, if there are any, were at the same rate.
fn is_at_one_rate(round: &Round<Pair>) -> bool {
    let rates = round.get(&OneWorker).zip(round.get(&TwoWorkers));
    rates.is_none_or(|(one, two)| Within(RATES_MAX).holds(two.rate() / one.rate()))
}
