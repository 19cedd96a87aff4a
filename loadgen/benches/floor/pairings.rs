//! Who talks to whom, and one window of it.

use twinwire_floor::children::Process;
use twinwire_floor::message::Talk;
use twinwire_floor::options::Plan;
use twinwire_floor::redis;
use twinwire_floor::roles::{Role as Shared, Task, Wire};
use twinwire_floor::rounds::Cell;
use twinwire_floor::window::Window;

use crate::roles::Role;

/// Who talks to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pairing {
    /// Floor server, floor generator.
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

/// A pairing over a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pair(pub Wire, pub Pairing);

pub const WIRES: [Wire; 2] = [Wire::Tcp, Wire::WebSocket];

impl Pair {
    /// All of them: three over both transports, and over TCP those with redis if that is installed.
    pub fn all(redis: bool) -> Vec<Self> {
        use Pairing::{Floor, OurServer, Ours, OursMixed, Redis};
        let both =
            WIRES.into_iter().flat_map(|wire| [Floor, OurServer, Ours].map(|pairing| Self(wire, pairing)));
        let tcp = [OursMixed, Redis].map(|pairing| Self(Wire::Tcp, pairing));
        both.chain(tcp.into_iter().filter(|_| redis)).collect()
    }
}

impl Cell for Pair {
    fn transport(self) -> &'static str {
        self.0.name()
    }

    fn sides(self) -> (&'static str, &'static str) {
        match self.1 {
            Pairing::Floor => ("floor", "floor"),
            Pairing::OurServer => ("ours", "floor"),
            Pairing::Ours => ("ours", "ours"),
            Pairing::OursMixed => ("ours", "ours, mix"),
            Pairing::Redis => ("redis", "redis-b."),
        }
    }
}

/// One window, with a server and a generator of its own.
pub fn window(plan: &Plan, Pair(wire, pairing): Pair) -> anyhow::Result<Window> {
    if pairing == Pairing::Redis {
        return redis::benchmark_window(plan);
    }
    let server = match pairing {
        Pairing::Floor => Process::start(&Shared::FloorServer { wire, cpus: vec![plan.server_cpu] })?,
        _ => Process::start(&Role::ReferenceServer { wire, cpu: plan.server_cpu })?,
    };
    let task = Task {
        wire,
        server: server.address()?,
        server_pid: server.id(),
        server_cpus: vec![plan.server_cpu],
        generator_cpus: vec![plan.generator_cpu],
        connections: plan.connections,
        warmup: plan.warmup,
        length: plan.length,
        talk: Talk::Gets,
        tick: None,
    };
    let generator = match pairing {
        Pairing::OursMixed => Process::start(&Role::OurMixedGenerator(task))?,
        Pairing::Ours => Process::start(&Role::OurGenerator(task))?,
        _ => Process::start(&Shared::FloorGenerator(task))?,
    };
    generator.window(plan.warmup + plan.length)
}
