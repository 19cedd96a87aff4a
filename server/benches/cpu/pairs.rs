//! Who talks to whom, and windows of it.

use std::{net::SocketAddr, time::Duration};

use anyhow::ensure;
use twinwire_floor::{
    children::Process,
    cpus,
    message::Talk,
    options::Plan,
    redis,
    roles::{Role, Task, Wire},
    rounds::Cell,
    window::Window,
};

use crate::shares::requests_by_worker;

/// Requests in one write of a pipelined load.
pub const DEPTH: usize = 32;

/// How often each client asks where workers are compared: with 64 clients a worker is busy for about a third of the
/// time, so that two CPUs carry both workers and the generator and nobody waits for one.
pub const TICK: Duration = Duration::from_millis(1);

/// Runs a program that does not interrupt others when it wakes (`SCHED_BATCH`). Where workers and generator share
/// CPUs, a generator that is interrupted at each request gives its own cost to the worker, and more so to two.
const UNOBTRUSIVE: [&str; 3] = ["chrt", "--batch", "0"];

/// Comparisons that make sense by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// Against a bare epoll server, over both transports
    Floor,
    /// Against redis-server, one request outstanding and 32
    Redis,
    /// Two workers against one
    Workers,
}

/// Who talks to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pair {
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

impl Pair {
    /// In the order of the table.
    pub const ALL: [Self; 10] = [
        Self::Floor,
        Self::Ours,
        Self::OursOverWebSocket,
        Self::Redis,
        Self::OursLikeRedis,
        Self::RedisBenchmark,
        Self::RedisDeep,
        Self::OursDeep,
        Self::OneWorker,
        Self::TwoWorkers,
    ];

    /// The comparison that it is for.
    pub fn group(self) -> Group {
        match self {
            Self::Floor | Self::Ours | Self::OursOverWebSocket => Group::Floor,
            Self::Redis | Self::OursLikeRedis | Self::RedisBenchmark | Self::RedisDeep | Self::OursDeep => {
                Group::Redis
            }
            Self::OneWorker | Self::TwoWorkers => Group::Workers,
        }
    }

    /// Whether one request is outstanding on each connection of a closed loop.
    fn is_shallow(self) -> bool {
        matches!(self, Self::Floor | Self::Ours | Self::OursOverWebSocket | Self::Redis | Self::OursLikeRedis)
    }

    /// Whether so many are.
    fn is_deep(self) -> bool {
        matches!(self, Self::RedisDeep | Self::OursDeep)
    }

    fn wire(self) -> Wire {
        if self == Self::OursOverWebSocket { Wire::WebSocket } else { Wire::Tcp }
    }

    fn talk(self) -> Talk {
        match self {
            Self::Redis => Talk::RedisMix { depth: 1 },
            Self::RedisDeep => Talk::RedisMix { depth: DEPTH },
            Self::OursLikeRedis => Talk::Mix { depth: 1 },
            Self::OursDeep => Talk::Mix { depth: DEPTH },
            _ => Talk::Gets,
        }
    }
}

impl Cell for Pair {
    fn transport(self) -> &'static str {
        self.wire().name()
    }

    fn sides(self) -> (&'static str, &'static str) {
        match self {
            Self::Floor => ("floor", "gets"),
            Self::Ours | Self::OursOverWebSocket => ("ours", "gets"),
            Self::Redis => ("redis", "mix"),
            Self::OursLikeRedis => ("ours", "mix"),
            Self::RedisBenchmark => ("redis", "redis-b."),
            Self::RedisDeep => ("redis", "mix × 32"),
            Self::OursDeep => ("ours", "mix × 32"),
            Self::OneWorker => ("1 work.", "paced"),
            Self::TwoWorkers => ("2 work.", "paced"),
        }
    }
}

/// These pairs, those together that are asked in turn.
pub fn blocks(pairs: &[Pair]) -> Vec<Vec<Pair>> {
    let together = |is_one: fn(Pair) -> bool| pairs.iter().copied().filter(|pair| is_one(*pair)).collect();
    let blocks: [Vec<Pair>; 4] = [
        together(Pair::is_shallow),
        together(Pair::is_deep),
        together(|pair| pair.group() == Group::Workers),
        together(|pair| pair == Pair::RedisBenchmark),
    ];
    blocks.into_iter().filter(|block| !block.is_empty()).collect()
}

/// Makes windows, and remembers what only some of them tell.
pub struct Lab {
    plan: Plan,
    /// Of each window with two workers: the second one's requests over the first one's.
    pub shares: Vec<f64>,
}

impl Lab {
    pub fn new(plan: Plan) -> Self {
        Self { plan, shares: Vec::new() }
    }

    /// A window of each pair of a block, with servers and a generator of their own.
    pub fn windows(&mut self, block: &[Pair]) -> anyhow::Result<Vec<Window>> {
        let Plan { server_cpu, generator_cpu, .. } = self.plan;
        if block == [Pair::RedisBenchmark] {
            return Ok(vec![redis::benchmark_window(&self.plan)?]);
        }
        if block.iter().any(|pair| pair.group() != Group::Workers) {
            return self.in_turn(block.iter().map(|pair| (*pair, vec![server_cpu])).collect());
        }
        // As much of one worker beside the generator as of two, in case one of those has to be.
        let [one, beside, two] = [vec![server_cpu], vec![generator_cpu], vec![server_cpu, generator_cpu]];
        let placed = vec![(Pair::OneWorker, one), (Pair::OneWorker, beside), (Pair::TwoWorkers, two)];
        let windows = self.in_turn(placed)?;
        let one = windows[0].and(&windows[1]);
        Ok(block.iter().map(|pair| if *pair == Pair::OneWorker { one } else { windows[2] }).collect())
    }

    /// All of them on their CPUs, asked in turn by one generator.
    fn in_turn(&mut self, placed: Vec<(Pair, Vec<usize>)>) -> anyhow::Result<Vec<Window>> {
        let plan = self.plan;
        let (mut servers, mut tasks) = (Vec::new(), Vec::new());
        for (pair, cpus) in placed {
            let (server, address) = serve(pair, &cpus)?;
            tasks.push(task(&plan, pair, (server.id(), address), cpus));
            servers.push((pair, server));
        }
        let length = (plan.warmup + plan.length) * 2 * tasks.len() as u32;
        let windows = Process::start(&Role::Alternator(tasks))?.windows(length)?;
        for (_, server) in servers.iter().filter(|(pair, _)| *pair == Pair::TwoWorkers) {
            let requests = requests_by_worker(server.address()?)?;
            ensure!(requests.len() == 2, "the server has {} workers instead of 2", requests.len());
            self.shares.push(requests[1] as f64 / requests[0].max(1) as f64);
        }
        Ok(windows)
    }
}

fn task(plan: &Plan, pair: Pair, (server_pid, server): (u32, SocketAddr), server_cpus: Vec<usize>) -> Task {
    let is_paced = pair.group() == Group::Workers;
    Task {
        wire: pair.wire(),
        server,
        server_pid,
        server_cpus,
        generator_cpus: vec![if is_paced { spare(plan) } else { plan.generator_cpu }],
        connections: plan.connections,
        warmup: plan.warmup,
        length: plan.length,
        talk: pair.talk(),
        tick: is_paced.then_some(TICK),
    }
}

/// Starts the server of a pair.
fn serve(pair: Pair, cpus: &[usize]) -> anyhow::Result<(Process, SocketAddr)> {
    let server = match pair {
        Pair::Floor => Process::start(&Role::FloorServer { wire: Wire::Tcp, cpus: cpus.to_vec() })?,
        Pair::Redis | Pair::RedisDeep => {
            let (server, connection) = redis::start(cpus)?;
            return Ok((server, connection.peer_addr()?));
        }
        _ => Process::start(&ours(pair, cpus))?,
    };
    let address = server.address()?;
    Ok((server, address))
}

/// The program itself, with a worker on each of these CPUs.
fn ours(pair: Pair, cpus: &[usize]) -> Role {
    let listener = if pair.wire() == Wire::Tcp { "--tcp" } else { "--ws" };
    let list = cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let server = env!("CARGO_BIN_EXE_twinwire-server");
    let arguments = ["--until-stdin-closes", listener, "127.0.0.1:0", "--cpus", &list, "--metrics", "0"];
    let before = if pair.group() == Group::Workers { &UNOBTRUSIVE[..] } else { &[] };
    let mut words = before.iter().copied().chain([server]).chain(arguments).map(str::to_owned);
    let program = words.next().unwrap_or_default();
    Role::Program { cpus: cpus.to_vec(), program, arguments: words.collect(), quiet: false }
}

/// Where a generator runs beside two workers: on another CPU, or with the second one if there is none.
fn spare(plan: &Plan) -> usize {
    let is_free = |cpu: &usize| ![plan.server_cpu, plan.generator_cpu].contains(cpu);
    cpus::allowed().into_iter().find(is_free).unwrap_or(plan.generator_cpu)
}
