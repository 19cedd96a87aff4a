//! The main function of every bench, and the flags of those that measure in rounds.

use std::fmt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::{Parser, value_parser};

use crate::cpus;

/// The first argument of a child process; its role follows.
pub const ROLE_FLAG: &str = "--role";

/// Requests before each window that are not counted: caches and the processor's clock settle.
pub const WARMUP: Duration = Duration::from_millis(300);

/// The fewest rounds that give an interval.
const QUICK_ROUNDS: u16 = 6;

/// Why nothing was measured. No failure: what is missing is not ours.
#[derive(Debug)]
pub struct NotMeasured(pub String);

impl fmt::Display for NotMeasured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotMeasured {}

/// Runs a bench, or the role that this executable was started for. `bench` is told whether this is a measurement, and
/// returns whether every bar is met. `cargo test` runs benches too, without `--bench`: each tries itself for a moment
/// then, with the default options.
pub fn main<O: Parser>(
    play: impl FnOnce(&str) -> anyhow::Result<()>,
    bench: impl FnOnce(&O, bool) -> anyhow::Result<bool>,
) -> ExitCode {
    let name = O::command().get_name().to_owned();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [flag, role] if flag == ROLE_FLAG => play(role).map(|()| true),
        arguments if arguments.iter().any(|argument| argument == "--bench") => bench(&O::parse(), true),
        _ => bench(&O::parse_from([&name]), false),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.is::<NotMeasured>() => {
            println!("{name}: not measured: {error}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// How much is measured, and what follows from a missed bar.
#[derive(Debug, clap::Args)]
pub struct RoundFlags {
    /// Rounds; with fewer than 6 there is no interval, with 20 it is one of 95.9 %
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u16).range(1..=1000))]
    rounds: u16,

    /// Length of a window in seconds
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u16).range(1..=60))]
    seconds: u16,

    /// Connections
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u16).range(1..=900))]
    connections: u16,

    /// 6 rounds instead of 20: for a first look
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,

    /// Exit with 1 if a bar is not met
    #[arg(long)]
    pub check: bool,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// The size of a measurement in rounds.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub rounds: usize,
    /// Of each generator.
    pub connections: usize,
    /// Before each window.
    pub warmup: Duration,
    /// Of each window.
    pub length: Duration,
    pub server_cpu: usize,
    pub generator_cpu: usize,
}

impl RoundFlags {
    /// What the flags ask for, or so little that it only shows that everything works.
    pub fn plan(&self, is_bench: bool) -> anyhow::Result<Plan> {
        let (server_cpu, generator_cpu) = two_cpus()?;
        let (rounds, connections, length) = if is_bench {
            let rounds = if self.quick { QUICK_ROUNDS } else { self.rounds };
            (rounds, self.connections, Duration::from_secs(self.seconds.into()))
        } else {
            (1, 4, Duration::from_millis(50))
        };
        let (rounds, connections) = (rounds.into(), connections.into());
        Ok(Plan { rounds, connections, warmup: WARMUP.min(length), length, server_cpu, generator_cpu })
    }
}

/// A CPU for the server and one for the generator: the first of each half, since neighbours may share a core.
pub fn two_cpus() -> anyhow::Result<(usize, usize)> {
    let cpus = cpus::allowed();
    let (server, generator) = cpus.split_at(cpus.len() / 2);
    let first_of_each = server.first().copied().zip(generator.first().copied());
    first_of_each.ok_or_else(|| {
        let reason = "server and generator need a CPU each, and this process may use only one";
        NotMeasured(reason.to_owned()).into()
    })
}

/// Whether a program of this name can be started.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Fails with what to install unless valgrind can be started.
pub fn need_valgrind() -> anyhow::Result<()> {
    let missing = "valgrind is not installed (Debian: apt-get install valgrind)";
    if is_installed("valgrind") { Ok(()) } else { Err(NotMeasured(missing.to_owned()).into()) }
}
