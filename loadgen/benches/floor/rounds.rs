//! The experiment: every pairing over every transport once a round, in an order that is drawn anew each time.

use std::collections::HashMap;
use std::time::Duration;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::children::Process;
use crate::redis;
use crate::roles::{Role, Task, Wire};
use crate::window::Window;

/// Seeds the order of the windows. Any number does: the order only has to be balanced, and the same for a rerun.
const SEED: u64 = 20;

/// How often one window is tried. A fault of the programs shows each time, a machine that had no time for one of the
/// processes at an edge of the window does not.
const TRIES: u32 = 3;

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

/// Those that both transports have.
pub const PAIRINGS: [Pairing; 3] = [Pairing::Floor, Pairing::OurServer, Pairing::Ours];
/// Those that there are over TCP where redis is installed.
pub const REDIS_PAIRINGS: [Pairing; 2] = [Pairing::OursMixed, Pairing::Redis];
pub const WIRES: [Wire; 2] = [Wire::Tcp, Wire::WebSocket];

/// One round's windows.
pub type Round = HashMap<(Wire, Pairing), Window>;

/// The size of the experiment.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub rounds: usize,
    pub connections: usize,
    pub warmup: Duration,
    pub length: Duration,
    pub server_cpu: usize,
    pub generator_cpu: usize,
    /// Whether redis is compared too.
    pub redis: bool,
}

impl Plan {
    /// Runs all rounds; `after` hears of each.
    pub fn run(&self, mut after: impl FnMut(usize, &Round)) -> anyhow::Result<Vec<Round>> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
        let mut order: Vec<(Wire, Pairing)> =
            WIRES.into_iter().flat_map(|wire| PAIRINGS.map(|pairing| (wire, pairing))).collect();
        if self.redis {
            order.extend(REDIS_PAIRINGS.map(|pairing| (Wire::Tcp, pairing)));
        }
        let mut rounds = Vec::with_capacity(self.rounds);
        for number in 1..=self.rounds {
            order.shuffle(&mut random);
            let mut round = Round::new();
            for &(wire, pairing) in &order {
                round.insert((wire, pairing), self.window_at_last(wire, pairing)?);
            }
            after(number, &round);
            rounds.push(round);
        }
        Ok(rounds)
    }

    /// A window that a starved machine spoiled is measured again, and that is said.
    fn window_at_last(&self, wire: Wire, pairing: Pairing) -> anyhow::Result<Window> {
        let mut tries = 1;
        loop {
            match self.window(wire, pairing) {
                Err(error) if tries < TRIES => {
                    eprintln!("again: {} {pairing:?}: {error:#}", wire.name());
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn window(&self, wire: Wire, pairing: Pairing) -> anyhow::Result<Window> {
        if pairing == Pairing::Redis {
            return redis::window(self);
        }
        let cpu = self.server_cpu;
        let server = Process::start(&match pairing {
            Pairing::Floor => Role::FloorServer { wire, cpu },
            _ => Role::ReferenceServer { wire, cpu },
        })?;
        let task = Task {
            wire,
            server: server.address()?,
            server_pid: server.id(),
            server_cpu: self.server_cpu,
            generator_cpu: self.generator_cpu,
            connections: self.connections,
            warmup: self.warmup,
            length: self.length,
        };
        let generator = Process::start(&match pairing {
            Pairing::OursMixed => Role::OurMixedGenerator(task),
            Pairing::Ours => Role::OurGenerator(task),
            _ => Role::FloorGenerator(task),
        })?;
        generator.window(self.warmup + self.length)
    }
}
