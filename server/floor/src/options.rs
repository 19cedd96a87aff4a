//! The command line that benches with rounds have in common, and the plan that it makes.

use std::process::ExitCode;
use std::time::Duration;

use crate::cpus;

/// Each window's requests before it are not counted: caches and the processor's clock settle.
const WARMUP: Duration = Duration::from_millis(300);

/// The fewest that give a 95 % interval: the smallest and the largest of six hold the median in 96.9 % of samples.
const QUICK_ROUNDS: u16 = 6;

/// More rounds than this add hours and no precision.
const ROUNDS_MAX: u16 = 1000;

/// Longest window in seconds: beyond it two windows of a round are no longer neighbours in time.
const SECONDS_MAX: u16 = 60;

/// The trial under `cargo test`: enough to see replies, too short to measure.
const TRIAL_WINDOW: Duration = Duration::from_millis(50);
const TRIAL_CONNECTIONS: usize = 4;

/// Most connections: the processes stay under the usual limit of 1,024 files.
const CONNECTIONS_MAX: u16 = 900;

/// How much is measured, and what comes of a missed bar.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// Rounds; with fewer than 6 there is no interval, with 20 it is one of 95.9 %
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=i64::from(ROUNDS_MAX)))]
    rounds: u16,

    /// Length of a window in seconds
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(SECONDS_MAX)))]
    seconds: u16,

    /// Connections
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=i64::from(CONNECTIONS_MAX)))]
    connections: u16,

    /// 6 rounds instead of 20: for a first look
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,

    /// Exit with 1 where a bar is not met
    #[arg(long)]
    pub check: bool,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// The size of the experiment.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How often each window is measured.
    pub rounds: usize,
    /// Of each generator.
    pub connections: usize,
    /// Before each window.
    pub warmup: Duration,
    /// Of each window.
    pub length: Duration,
    /// Where the server runs.
    pub server_cpu: usize,
    /// Where the generator runs.
    pub generator_cpu: usize,
}

impl Plan {
    /// What the command line asks for; `None` where server and generator cannot have a CPU each.
    #[must_use]
    pub fn of(options: &Common) -> Option<Self> {
        let rounds = if options.quick { QUICK_ROUNDS } else { options.rounds };
        Self::new(rounds.into(), Duration::from_secs(options.seconds.into()), options.connections.into())
    }

    /// A moment, to see that everything works.
    #[must_use]
    pub fn trial() -> Option<Self> {
        Self::new(1, TRIAL_WINDOW, TRIAL_CONNECTIONS)
    }

    fn new(rounds: usize, length: Duration, connections: usize) -> Option<Self> {
        let (server_cpu, generator_cpu) = two_cpus()?;
        Some(Self { rounds, connections, warmup: WARMUP.min(length), length, server_cpu, generator_cpu })
    }
}

/// A CPU for the server and one for the generator: the first of each half, since neighbours may share a core.
#[must_use]
pub fn two_cpus() -> Option<(usize, usize)> {
    let cpus = cpus::allowed();
    let (server, generator) = cpus.split_at(cpus.len() / 2);
    Some((*server.first()?, *generator.first()?))
}

/// Whether this run is a measurement: `cargo test` runs benches too, without this flag.
#[must_use]
pub fn is_bench() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// The exit code of a bench, its error told under its name.
#[must_use]
pub fn outcome(bench: &str, result: anyhow::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{bench}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
