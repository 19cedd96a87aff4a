//! The command line, and what it leads to: abusers, a measuring run, or a moment's trial.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use twinwire_floor::{
    cpus,
    options::{outcome, two_cpus},
    process::CpuTicks,
    roles,
};

use crate::{
    abuse::Abuse,
    abuser::{self, Task},
    experiment::Plan,
    table,
};

/// The trial: enough to see replies, too short to measure.
const TRIAL_WINDOW: Duration = Duration::from_millis(200);
const TRIAL_DIVISOR: usize = 100;

/// The p90 of a well-behaved client with and without others' abuse of the server, in alternating windows
///
/// Exits with 1 where a bar is missed, 0 where all are met.
#[derive(Debug, Parser)]
struct Options {
    /// Measure; without it each abuse is only tried for a moment
    #[arg(long)]
    bench: bool,

    /// Only these abuses
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Abuse>,

    /// Pairs of windows; an interval takes six
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pairs: u16,

    /// Length of a window
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(50..=60_000))]
    window_ms: u16,
}

/// Everything; the executable's body.
pub fn main() -> ExitCode {
    if let Some(task) = roles::asked().and_then(|role| serde_json::from_str::<Task>(&role).ok()) {
        return outcome("abuse", abuser::run(&task).map(|()| true));
    }
    if let Some(ended) = roles::played("abuse") {
        return ended;
    }
    let options = Options::parse();
    let Some((server_cpu, client_cpu)) = two_cpus() else {
        println!(
            "abuse: not measured: server and clients need a CPU each, and this process may use only one"
        );
        return ExitCode::SUCCESS;
    };
    cpus::pin(&[client_cpu]);
    let plan = Plan {
        pairs: if options.bench { usize::from(options.pairs) } else { 1 },
        window: if options.bench { Duration::from_millis(options.window_ms.into()) } else { TRIAL_WINDOW },
        server_cpu,
        client_cpu,
        divisor: if options.bench { 1 } else { TRIAL_DIVISOR },
    };
    // A trial measures nothing that could be missed.
    outcome("abuse", run(&plan, &options.only).map(|met| met || !options.bench))
}

/// Runs the abuses and prints each as it comes; whether every bar is met.
fn run(plan: &Plan, only: &[Abuse]) -> anyhow::Result<bool> {
    print!("{}\n{}", table::heading(plan), table::titles());
    let before = CpuTicks::read(&[]);
    let abuses = if only.is_empty() { Abuse::value_variants() } else { only };
    let mut all_met = true;
    for abuse in abuses {
        let outcome = plan.run(*abuse).or_else(|error| {
            // A machine that has other things to do may have made somebody late.
            eprintln!("{}: {error:#}", abuse.name());
            if plan.is_trial() { plan.run(*abuse) } else { Err(error) }
        });
        let outcome = outcome.with_context(|| abuse.name())?;
        let (rows, met) = table::rows(&outcome);
        print!("{rows}");
        all_met &= met;
    }
    let stolen = CpuTicks::read(&[]).zip(before).and_then(|(after, before)| after.stolen_since(before));
    print!("{}", table::notes(stolen));
    Ok(all_met)
}
