//! How much CPU a request costs the server: against a bare epoll loop, against redis-server, and on two workers.
//!
//! `cargo bench -p twinwire-server --bench cpu` prints ratios, not times: an absolute time on a shared machine does not
//! repeat, a ratio of two that were measured at nearly the same time does. So servers that are compared run beside each
//! other, and one generator asks them in turn, a tenth of a second each; ten turns are a window. Each round has
//! processes of its own, and the order is drawn.
//!
//! | server | asked | what it is for |
//! |---|---|---|
//! | floor, over TCP | `get`s | the least: a bare epoll loop with one read and one write a request |
//! | ours, over TCP | the same | against the first |
//! | ours, over WebSocket | the same | against the first: what framing may cost at all |
//! | redis-server | half puts | what is in common use, where it is installed |
//! | ours, over TCP | the same, in our protocol | against the one before |
//! | redis-server, ours | half puts, 32 in one write | how much a request costs besides the system calls |
//! | redis-server | half puts, by redis-benchmark | the generator that comes with it, which fills no server |
//! | ours on one worker, on two | at a fixed rate | what sharing costs, and whether the work is shared |
//!
//! All but the last are saturated closed loops, the server on a CPU of its own and the generator, which is a bare epoll
//! loop for all but one of them, on another. On loopback the sender's system call runs part of the receiver's TCP work,
//! so a ratio of servers means most under the same generator; where there are two, with redis-benchmark, it says
//! something about both. CPU is user and system time from the process's CPU clock at the edges of each turn.
//!
//! Workers are compared at a fixed rate: each connection asks once a millisecond, first those of one worker and then
//! those of the other. Two workers are on two CPUs, and where there are no more the generator shares the second one. So
//! one worker is measured half the time alone and half the time beside the generator; and the server runs as
//! `SCHED_BATCH`, with one worker as with two, since a worker that interrupts the generator at each request turns a
//! burst into single requests. What each worker has carried is what the server's metrics count.
//!
//! redis-benchmark takes more CPU than redis, which therefore has idle moments and costs more for each request; the bare
//! generator keeps it as busy as ours. The ratio of floor to redis is shown for comparison: the floor is the least that
//! a server with a read and a write for each request can need.
//!
//! How to read the output: a bar is met if it holds for the *worse end* of the interval of the median ratio. `stolen`
//! over a few percent means that the host gave the CPUs to others, and no CPU near 100 % in a closed loop that other
//! programs ran beside it: run it again when it is quieter.

use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use twinwire_bench_support::children::{Process, Role, Task, play};
use twinwire_bench_support::load::{GETS, Load, MIX_VALUE, VALUE};
use twinwire_bench_support::paired::{self, Cell, Line, Ratio, Round};
use twinwire_bench_support::run::{Plan, RoundFlags, is_installed, main as run};
use twinwire_bench_support::table::Bar::{self, AtLeast, AtMost, Within};
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

/// How often each client asks where workers are compared: with 64 clients a worker is busy for about a third of the
/// time, so that two CPUs carry both workers and the generator, and none waits for a CPU.
const PERIOD: Duration = Duration::from_millis(1);

/// CPU for each request of the server, as ratios: to a bare epoll server, to redis-server, and of two workers to one
///
/// Servers run on one CPU and are asked in turn by a generator on another. redis-server is compared where it is
/// installed. A bar is met if it holds for the worse end of the interval of the median ratio. Absolute
/// times are those of this machine in this minute; only the ratios repeat. Takes about 5 minutes; keep the machine
/// idle meanwhile, and distrust a run with more than a few percent of stolen time.
#[derive(Debug, Parser)]
#[command(name = "cpu", bin_name = "cargo bench -p twinwire-server --bench cpu --")]
struct Options {
    #[command(flatten)]
    rounds: RoundFlags,

    /// Only these comparisons (repeatable)
    #[arg(long, value_enum, value_name = "WHAT")]
    only: Vec<Group>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Against a bare epoll server, over both transports
    Floor,
    /// Against redis-server, one request outstanding and 32
    Redis,
    /// Two workers against one
    Workers,
}

/// A server and how it is asked, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
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

impl Pair {
    fn group(self) -> Group {
        match self {
            Floor | Ours | OursOverWebSocket => Group::Floor,
            Redis | OursLikeRedis | RedisBenchmark | RedisDeep | OursDeep => Group::Redis,
            OneWorker | TwoWorkers => Group::Workers,
        }
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

impl Cell for Pair {
    fn transport(self) -> &'static str {
        self.wire().name()
    }

    fn sides(self) -> (&'static str, &'static str) {
        match self {
            Floor => ("floor", "gets"),
            Ours | OursOverWebSocket => ("ours", "gets"),
            Redis => ("redis", "mix"),
            OursLikeRedis => ("ours", "mix"),
            RedisBenchmark => ("redis", "redis-b."),
            RedisDeep => ("redis", "mix × 32"),
            OursDeep => ("ours", "mix × 32"),
            OneWorker => ("1 work.", "paced"),
            TwoWorkers => ("2 work.", "paced"),
        }
    }
}

/// Every ratio, in the order of the table.
fn ratios() -> [Ratio<Pair>; 10] {
    let ratio = |name, side, of, to, bar| Ratio { name, side, of, to, bar };
    let at_most = |bar| Some(AtMost(bar));
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
            Some(AtLeast(DEEP_BAR)),
        ),
        ratio("two workers / one", Side::Server, TwoWorkers, OneWorker, at_most(WORKERS_BAR)),
        ratio("two workers / one, both sides", Side::Both, TwoWorkers, OneWorker, None),
    ]
}

fn main() -> ExitCode {
    run(play, |options: &Options, is_bench| {
        let plan = options.rounds.plan(is_bench)?;
        let mut left_out = Vec::new();
        if !redis::is_available() {
            left_out.push(Group::Redis);
            println!(
                "redis-server is not installed here, and not compared (Debian: apt-get install redis-server)"
            );
        }
        if !is_installed("chrt") {
            left_out.push(Group::Workers);
            println!(
                "chrt is not installed here, and workers are not compared (Debian: apt-get install util-linux)"
            );
        }
        let is_wanted = |pair: &Pair| {
            let group = pair.group();
            (options.only.is_empty() || options.only.contains(&group)) && !left_out.contains(&group)
        };
        let pairs: Vec<Pair> = Pair::value_variants().iter().copied().filter(is_wanted).collect();
        if is_bench {
            print!("{}", heading(&plan));
        }
        let mut shares = Vec::new();
        let progress = is_bench.then(ratios);
        let rounds =
            paired::rounds(blocks(&pairs), plan.rounds, progress.as_ref().map(|all| &all[..]), |block| {
                windows(&plan, block, &mut shares)
            })?;
        if !is_bench {
            return Ok(true);
        }
        Ok(print_result(&rounds, &pairs, shares) || !options.rounds.check)
    })
}

/// Those together that are asked in turn.
fn blocks(pairs: &[Pair]) -> Vec<Vec<Pair>> {
    let shallow = [Floor, Ours, OursOverWebSocket, Redis, OursLikeRedis];
    let all: [&[Pair]; 4] = [&shallow, &[RedisDeep, OursDeep], &[OneWorker, TwoWorkers], &[RedisBenchmark]];
    let wanted =
        all.map(|block| block.iter().copied().filter(|pair| pairs.contains(pair)).collect::<Vec<_>>());
    wanted.into_iter().filter(|block| !block.is_empty()).collect()
}

/// A window of each pair of a block, with servers and a generator of their own. `shares` gets, of two workers, the second
/// one's requests over the first one's.
fn windows(plan: &Plan, block: &[Pair], shares: &mut Vec<f64>) -> anyhow::Result<Vec<Window>> {
    let Plan { server_cpu, generator_cpu, .. } = *plan;
    if block == [RedisBenchmark] {
        return Ok(vec![redis::benchmark_window(plan)?]);
    }
    let is_paced = block.iter().any(|pair| pair.group() == Group::Workers);
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
    let (mut servers, mut tasks) = (Vec::new(), Vec::new());
    for (pair, server_cpus) in &placed {
        let (server, address) = serve(*pair, server_cpus)?;
        tasks.push(Task {
            endpoint: Endpoint { wire: pair.wire(), address },
            server_pid: server.id(),
            server_cpus: server_cpus.clone(),
            generator_cpus: vec![if is_paced { spare } else { generator_cpu }],
            connections: plan.connections,
            warmup: plan.warmup,
            length: plan.length,
            load: pair.load(),
            period: is_paced.then_some(PERIOD),
        });
        servers.push(server);
    }
    let length = (plan.warmup + plan.length) * 2 * tasks.len() as u32;
    let windows: Vec<Window> = Process::start(&Role::Alternator(tasks))?.measured(length)?;
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
    if matches!(pair, Redis | RedisDeep) {
        return redis::start(cpus);
    }
    let list = cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let server = env!("CARGO_BIN_EXE_twinwire-server");
    let arguments =
        ["--until-stdin-closes", pair.wire().flag(), "127.0.0.1:0", "--cpus", &list, "--metrics", "0"];
    let process = match pair.group() {
        _ if pair == Floor => Process::start(&Role::Server { wire: Wire::Tcp, cpus: cpus.to_vec() })?,
        // Does not interrupt others when it wakes. Where workers and generator share CPUs, a generator that is
        // interrupted at each request gives its own cost to the worker, and more so to two.
        Group::Workers => {
            Process::start_program("chrt", &[&["--batch", "0", server], &arguments[..]].concat(), cpus)?
        }
        Group::Floor | Group::Redis => Process::start_program(server, &arguments, cpus)?,
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
    counts.collect::<Result<_, _>>().context("a count that is no number")
}

fn heading(plan: &Plan) -> String {
    let (server, generator) = (plan.server_cpu, plan.generator_cpu);
    format!(
        "cpu:   the server's CPU for each request, {rounds} rounds in drawn order, {length} s of each in turns of {turn} ms\n\
         load:  {connections} connections, one request outstanding on each, no think time; server on CPU {server}, \
         generator on CPU {generator}\n\
         gets:  `get` of an own key, {get} bytes asked and {value} answered over TCP\n\
         mix:   half puts, half gets, values of {mix} bytes; × {DEPTH}: that many requests in one write\n\
         paced: each connection asks every {PERIOD:?}; two workers on CPUs {server} and {generator}, one half the time on either\n",
        rounds = plan.rounds,
        length = plan.length.as_secs_f64(),
        turn = (plan.length / TURNS).as_millis(),
        connections = plan.connections,
        get = GETS[0].len() + 1,
        value = VALUE.len() + 1,
        mix = MIX_VALUE.len(),
    )
}

/// Prints the result; whether every bar is met.
fn print_result(rounds: &[Round<Pair>], pairs: &[Pair], shares: Vec<f64>) -> bool {
    let at_rate: Vec<Round<Pair>> = rounds.iter().filter(|round| is_at_one_rate(round)).cloned().collect();
    let measured =
        ratios().into_iter().filter(|ratio| [ratio.of, ratio.to].iter().all(|pair| pairs.contains(pair)));
    let mut lines: Vec<Line> = measured
        .map(|ratio| ratio.line(if ratio.of.group() == Group::Workers { &at_rate } else { rounds }))
        .collect();
    if pairs.contains(&TwoWorkers) {
        let name = "second worker's requests / first's";
        lines.push(Line {
            transport: "tcp",
            name,
            median: Median::of(shares),
            bar: Some(Within(SHARES_BAR)),
        });
    }
    let (ratios, all_met) = paired::ratios(&lines);
    println!(
        "\n{}Medians over the rounds. µs: user and system time for each request. One side's CPU is near 100 % where the\n\
         load is closed; where neither is, other programs ran beside it.\n\n{ratios}",
        paired::costs(rounds, pairs)
    );
    if at_rate.len() < rounds.len() {
        println!(
            "workers: in {} rounds the rates were too far apart to compare.",
            rounds.len() - at_rate.len()
        );
    }
    println!(
        "The server's CPU, but where both sides are named: on loopback part of one side's TCP work is charged to the\n\
         other. A bar is met if it holds for the worse end of the interval: at most the number, at least it (≥), or\n\
         between its reciprocal and it ({}).",
        Within(SHARES_BAR)
    );
    all_met
}

/// Whether both windows for the comparison of workers, if there are any, were at the same rate.
fn is_at_one_rate(round: &Round<Pair>) -> bool {
    let rate = |pair| round.get(&pair).map(Window::rate);
    let rates = rate(OneWorker).zip(rate(TwoWorkers));
    rates.is_none_or(|(one, two)| Bar::Within(RATES_MAX).holds(two / one))
}
