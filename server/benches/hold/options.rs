//! The command line, and what it leads to: a child's role, a measuring run, or a moment's trial under `cargo test`.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use twinwire_floor::{
    cpus,
    options::{is_bench, outcome, two_cpus},
    roles::{self, Wire},
};

use crate::{figures::Sizes, report::Row};

/// By how much everything is smaller in a trial.
const TRIAL: u64 = 100;

/// What idle sessions and short ones cost the server: memory, descriptors, and how many come and go in a second
///
/// Takes about 2 minutes. The server runs on a CPU of its own, the clients on another. Memory and descriptors repeat on
/// a busy machine too; sessions a second do not.
#[derive(Debug, Parser)]
#[command(name = "hold", bin_name = "cargo bench -p twinwire-server --bench hold --")]
struct Options {
    /// Idle sessions whose memory is looked at, on each transport
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    idle: u64,

    /// Connections held at once, half on each transport
    #[arg(long, default_value_t = 18_000, value_parser = clap::value_parser!(u64).range(2..=100_000))]
    held: u64,

    /// Sessions of one measurement of how fast they come and go
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    sessions: u64,

    /// Sessions that come and go to show what they leave behind
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10..))]
    churn: u64,

    /// Only these figures (repeatable)
    #[arg(long, value_enum, value_name = "WHAT")]
    only: Vec<Part>,

    /// Exit with 1 where a bar is not met
    #[arg(long)]
    check: bool,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// Figures that make sense by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Memory of idle sessions
    Memory,
    /// Very many connections at once
    Together,
    /// How fast sessions come and go
    Sessions,
    /// What they leave behind
    Churn,
}

/// Everything; the executable's body.
pub fn main() -> ExitCode {
    if let Some(ended) = roles::played("hold") {
        return ended;
    }
    let (options, shrink) =
        if is_bench() { (Options::parse(), 1) } else { (Options::parse_from(["hold"]), TRIAL) };
    let Some((server_cpu, generator_cpu)) = two_cpus() else {
        println!("hold: not measured: server and clients need a CPU each, and this process may use only one");
        return ExitCode::SUCCESS;
    };
    let sizes = Sizes {
        idle: options.idle / shrink,
        held: options.held / shrink,
        sessions: options.sessions / shrink,
        churn: options.churn / shrink,
        server_cpu,
        generator_cpu,
    };
    cpus::pin(&[generator_cpu]);
    outcome("hold", run(&sizes, &options.only, is_bench()).map(|met| met || !options.check))
}

/// Takes the figures and prints each as it comes, if anybody wants it; whether every bar is met.
fn run(sizes: &Sizes, only: &[Part], told: bool) -> anyhow::Result<bool> {
    let all = Part::value_variants().iter().filter(|part| only.is_empty() || only.contains(part));
    if told {
        let Sizes { server_cpu, generator_cpu, .. } = sizes;
        println!(
            "hold:  idle sessions and short ones; server on CPU {server_cpu}, clients on CPU {generator_cpu}\n"
        );
        println!("{}", Row::head());
    }
    let mut all_met = true;
    for part in all {
        let rows = match part {
            Part::Memory => [sizes.memory(Wire::Tcp)?, sizes.memory(Wire::WebSocket)?].concat(),
            Part::Together => sizes.together()?,
            Part::Sessions => [sizes.sessions(Wire::Tcp)?, sizes.sessions(Wire::WebSocket)?].concat(),
            Part::Churn => sizes.churn()?,
        };
        all_met &= !rows.iter().any(Row::is_missed);
        for row in rows.iter().filter(|_| told) {
            println!("{}", row.line());
        }
    }
    if told {
        println!("\nA bar is met where it holds for the worse end of the interval, if there is one.");
    }
    Ok(all_met)
}
