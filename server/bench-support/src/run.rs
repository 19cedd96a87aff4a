//! The main function of every bench, its flags, and the size of a measurement.

use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::ensure;
use clap::{Parser, value_parser};

use crate::children::{Process, Task};
use crate::cpus;
use crate::load::Load;
use crate::wire::Endpoint;

/// The first argument of a child process; its role follows.
pub const ROLE_FLAG: &str = "--role";

/// Requests before each window that are not counted: caches and the processor's clock settle.
const WARMUP: Duration = Duration::from_millis(300);

/// Why nothing was measured. This is no failure of the bench: the machine lacks something.
#[derive(Debug, thiserror::Error)]
#[error("not measured: {0}")]
struct NotMeasured(String);

#[derive(Debug, Parser)]
#[command(about = "See the first lines of the bench's source for what it measures")]
struct Flags {
    /// Rounds or pairs of windows; fewer than 6 give no interval, 20 give one of 95.9 %
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u16).range(1..=1000))]
    rounds: u16,

    /// Measure only what has this text in its name (repeatable)
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,

    /// Exit with 1 if a bar is missed
    #[arg(long)]
    check: bool,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// The size of a measurement, and where it runs.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Without it, everything is only tried for a moment.
    pub is_measurement: bool,
    pub rounds: usize,
    /// Of each generator.
    pub connections: usize,
    /// Before each window.
    pub warmup: Duration,
    /// Of each window.
    pub length: Duration,
    pub server_cpu: usize,
    pub generator_cpu: usize,
    only: Vec<String>,
}

impl Plan {
    fn new(flags: &Flags) -> Self {
        let allowed = cpus::allowed();
        // The first of each half, since neighbours may share a core.
        let cpu = |number| allowed.get(number).copied().unwrap_or_default();
        let (rounds, connections, length) =
            if flags.bench { (flags.rounds.into(), 64, 1000) } else { (1, 4, 50) };
        let length = Duration::from_millis(length);
        Self {
            is_measurement: flags.bench,
            rounds,
            connections,
            warmup: WARMUP.min(length),
            length,
            server_cpu: cpu(0),
            generator_cpu: cpu(allowed.len() / 2),
            only: flags.only.clone(),
        }
    }

    /// Whether what has this name is to be measured.
    pub fn includes(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part))
    }

    /// Fails unless server and generator have a CPU each.
    pub fn need_two_cpus(&self) -> anyhow::Result<()> {
        let reason = "server and generator need a CPU each, and this process may use only one";
        ensure!(self.server_cpu != self.generator_cpu, NotMeasured(reason.to_owned()));
        Ok(())
    }

    /// What a generator does that asks this server, each of them on a CPU of its own.
    pub fn task(&self, endpoint: Endpoint, server: &Process, load: Load) -> Task {
        Task {
            endpoint,
            server_pid: server.id(),
            server_cpus: vec![self.server_cpu],
            generator_cpus: vec![self.generator_cpu],
            connections: self.connections,
            warmup: self.warmup,
            length: self.length,
            load,
            period: None,
        }
    }
}

/// Runs a bench, or the role that this executable was started for. `bench` returns whether every bar is met. `cargo
/// test` runs benches too, without `--bench`: each only tries itself then.
pub fn main(
    name: &'static str,
    play: impl FnOnce(&str) -> anyhow::Result<()>,
    bench: impl FnOnce(&Plan) -> anyhow::Result<bool>,
) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = if let [flag, role] = &arguments[..]
        && flag == ROLE_FLAG
    {
        play(role).map(|()| true)
    } else {
        let is_bench = arguments.iter().any(|argument| argument == "--bench");
        let flags = if is_bench { Flags::parse() } else { Flags::parse_from([name]) };
        bench(&Plan::new(&flags)).map(|all_met| all_met || !flags.check)
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.is::<NotMeasured>() => {
            println!("{name}: {error}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether a program of this name can be started.
pub fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Fails with what to install unless valgrind can be started.
pub fn need_valgrind() -> anyhow::Result<()> {
    let missing = "valgrind is not installed (Debian: apt-get install valgrind)";
    ensure!(is_installed("valgrind"), NotMeasured(missing.to_owned()));
    Ok(())
}
