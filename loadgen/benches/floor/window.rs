//! One measured window: how many requests, and what both processes spent on them.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use twinwire::measure::clock::{self, Nanos};
use twinwire::measure::process::{self, CpuTicks};
use twinwire::record::Cost;

use crate::roles::Task;

/// The state of things at one edge of a window.
pub struct Sample {
    at: Nanos,
    requests: u64,
    server_cpu_ns: Option<Nanos>,
    generator_cpu_ns: Option<Nanos>,
    ticks: Option<CpuTicks>,
}

impl Sample {
    /// Takes it in the generator, `requests` being those answered so far.
    pub fn of_task(task: &Task, requests: u64) -> Self {
        let cpus = [task.server_cpu, task.generator_cpu];
        Self { generator_cpu_ns: process::own_cpu_ns(), ..Self::take(task.server_pid, 0, cpus, requests) }
    }

    /// Takes it from outside, of two processes.
    pub fn take(server: u32, generator: u32, cpus: [usize; 2], requests: u64) -> Self {
        Self {
            at: clock::now(),
            requests,
            server_cpu_ns: process::cpu_ns(server),
            generator_cpu_ns: process::cpu_ns(generator),
            ticks: CpuTicks::read(&cpus),
        }
    }

    /// The window from here to `end`.
    pub fn until(&self, end: &Self) -> anyhow::Result<Window> {
        let spent = |from: Option<Nanos>, to: Option<Nanos>| to?.checked_sub(from?);
        Ok(Window {
            requests: end.requests - self.requests,
            seconds: (end.at - self.at) as f64 / clock::SECOND as f64,
            server_cpu_ns: spent(self.server_cpu_ns, end.server_cpu_ns)
                .context("the system does not tell the server's CPU time")?,
            generator_cpu_ns: spent(self.generator_cpu_ns, end.generator_cpu_ns)
                .context("the system does not tell this process's CPU time")?,
            steal: end.ticks.zip(self.ticks).and_then(|(end, start)| end.stolen_since(start)),
        })
    }
}

/// What a window cost. Also the line in which a generator reports it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Window {
    requests: u64,
    seconds: f64,
    server_cpu_ns: u64,
    generator_cpu_ns: u64,
    /// Share of both CPUs' time that the host gave to others, 0 to 1.
    pub steal: Option<f64>,
}

/// Whose CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Server,
    Generator,
    Both,
}

impl Window {
    /// The window that our engine measured by itself.
    pub fn of_cost(cost: &Cost) -> anyhow::Result<Self> {
        Ok(Self {
            requests: cost.replies,
            seconds: cost.seconds,
            server_cpu_ns: cost.server_cpu_ns.context("the engine did not read the server's CPU time")?,
            generator_cpu_ns: cost.generator_cpu_ns.context("the engine did not read its own CPU time")?,
            steal: cost.steal,
        })
    }

    /// This window and another one together.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            seconds: self.seconds + other.seconds,
            server_cpu_ns: self.server_cpu_ns + other.server_cpu_ns,
            generator_cpu_ns: self.generator_cpu_ns + other.generator_cpu_ns,
            steal: self.steal.zip(other.steal).map(|(a, b)| f64::midpoint(a, b)),
        }
    }

    /// CPU for each request in µs; `None` for a window without requests.
    pub fn us(&self, side: Side) -> Option<f64> {
        (self.requests > 0).then(|| self.cpu_ns(side) as f64 / self.requests as f64 / 1000.0)
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// Share of the window for which the side's CPU was busy with it, 0 to 1.
    pub fn busy(&self, side: Side) -> f64 {
        self.cpu_ns(side) as f64 / (self.seconds * clock::SECOND as f64)
    }

    fn cpu_ns(&self, side: Side) -> u64 {
        match side {
            Side::Server => self.server_cpu_ns,
            Side::Generator => self.generator_cpu_ns,
            Side::Both => self.server_cpu_ns + self.generator_cpu_ns,
        }
    }
}
