//! One measured window: how many requests, and what both processes spent on them.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use twinwire_os::clock::{self, Nanos};

use crate::children::Task;
use crate::process::{self, CpuTicks};

/// The counters at one edge of a window.
#[derive(Debug)]
pub struct Sample {
    at: Nanos,
    requests: u64,
    server_cpu_ns: Option<Nanos>,
    generator_cpu_ns: Option<Nanos>,
    ticks: Option<CpuTicks>,
}

impl Sample {
    /// Takes it in the generator itself, after this many requests.
    pub fn of_task(task: &Task, requests: u64) -> Self {
        let cpus = [&*task.server_cpus, &*task.generator_cpus].concat();
        Self::take(task.server_pid, std::process::id(), &cpus, requests)
    }

    /// Takes it of two processes, by their ids.
    pub fn take(server: u32, generator: u32, cpus: &[usize], requests: u64) -> Self {
        Self {
            at: clock::now(),
            requests,
            server_cpu_ns: process::cpu_ns(server),
            generator_cpu_ns: process::cpu_ns(generator),
            ticks: CpuTicks::read(cpus),
        }
    }

    /// The window from here to `end`; fails if the system does not report a process's CPU time.
    pub fn until(&self, end: &Self) -> anyhow::Result<Window> {
        let spent = |from: Option<Nanos>, to: Option<Nanos>| {
            let spent = to.zip(from).and_then(|(to, from)| to.checked_sub(from));
            spent.context("the system does not report a process's CPU time")
        };
        Ok(Window {
            requests: end.requests - self.requests,
            seconds: (end.at - self.at) as f64 / clock::SECOND as f64,
            server_cpu_ns: spent(self.server_cpu_ns, end.server_cpu_ns)?,
            generator_cpu_ns: spent(self.generator_cpu_ns, end.generator_cpu_ns)?,
            steal: end.ticks.zip(self.ticks).and_then(|(end, start)| end.stolen_since(start)),
        })
    }
}

/// What a window cost. Also the line in which a generator reports it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub requests: u64,
    pub seconds: f64,
    /// CPU time of the server in ns, user and system.
    pub server_cpu_ns: u64,
    /// CPU time of the generator in ns, user and system.
    pub generator_cpu_ns: u64,
    /// Share of the used CPUs' time that the host gave to others, 0 to 1.
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
    /// This window and another one together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            seconds: self.seconds + other.seconds,
            server_cpu_ns: self.server_cpu_ns + other.server_cpu_ns,
            generator_cpu_ns: self.generator_cpu_ns + other.generator_cpu_ns,
            steal: self.steal.zip(other.steal).map(|(here, there)| {
                (here * self.seconds + there * other.seconds) / (self.seconds + other.seconds)
            }),
        }
    }

    /// CPU for each request in µs; `None` for a window without requests.
    pub fn us(&self, side: Side) -> Option<f64> {
        (self.requests > 0).then(|| self.cpu_ns(side) as f64 / self.requests as f64 / 1000.0)
    }

    /// Requests per second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// CPU time of the side over the window's length.
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
