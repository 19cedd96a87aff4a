//! The command line, and what it leads to: a child's role, a measuring run, or a moment's trial under `cargo test`.

use std::process::ExitCode;

use clap::Parser;
use twinwire_floor::{
    options::{Common, Plan, is_bench, outcome},
    redis::is_installed,
    roles, rounds,
};

use crate::{
    pairs::{Group, Lab, Pair, blocks},
    report,
};

/// CPU for each request of the server, as ratios: to a bare epoll server, to redis-server, and of two workers to one
///
/// Servers run on one CPU and are asked in turn by a generator on another. redis-server is compared where it is
/// installed. A bar is met where it holds for the worse end of the interval of the median ratio. Absolute
/// times are those of this machine in this minute; only the ratios repeat. Takes about 5 minutes; keep the machine
/// idle meanwhile, and distrust a run with more than a few percent of stolen time.
#[derive(Debug, Parser)]
#[command(name = "cpu", bin_name = "cargo bench -p twinwire-server --bench cpu --")]
struct Options {
    #[command(flatten)]
    common: Common,

    /// Only these comparisons (repeatable)
    #[arg(long, value_enum, value_name = "WHAT")]
    only: Vec<Group>,
}

/// Everything; the executable's body.
pub fn main() -> ExitCode {
    if let Some(ended) = roles::played("cpu") {
        return ended;
    }
    let options = is_bench().then(Options::parse);
    let plan = options.as_ref().map_or_else(Plan::trial, |options| Plan::of(&options.common));
    let Some(plan) = plan else {
        println!(
            "cpu: not measured: server and generator need a CPU each, and this process may use only one"
        );
        return ExitCode::SUCCESS;
    };
    let wanted = |group| options.as_ref().is_none_or(|it| it.only.is_empty() || it.only.contains(&group));
    let lacking = |group| match group {
        Group::Redis => !["redis-server", "redis-benchmark"].into_iter().all(is_installed),
        Group::Workers => !is_installed("chrt"),
        Group::Floor => false,
    };
    let pairs: Vec<Pair> =
        Pair::ALL.into_iter().filter(|pair| wanted(pair.group()) && !lacking(pair.group())).collect();
    if options.is_some() && lacking(Group::Redis) {
        println!(
            "redis-server is not installed here, and not compared (Debian: apt-get install redis-server)"
        );
    }
    if options.is_some() && lacking(Group::Workers) {
        println!(
            "chrt is not installed here, and workers are not compared (Debian: apt-get install util-linux)"
        );
    }
    let check = options.as_ref().is_some_and(|options| options.common.check);
    outcome("cpu", measure(plan, &pairs, options.is_some()).map(|met| met || !check))
}

/// Runs the plan and prints the result, if anybody wants it; whether every bar is met.
fn measure(plan: Plan, pairs: &[Pair], told: bool) -> anyhow::Result<bool> {
    let mut lab = Lab::new(plan);
    if told {
        print!("{}", report::heading(&plan));
    }
    let progress = |number, round: &_| {
        if told {
            eprintln!("{}", report::progress(number, plan.rounds, round));
        }
    };
    let rounds = rounds::run(&blocks(pairs), plan.rounds, |block| lab.windows(block), progress)?;
    if !told {
        return Ok(true);
    }
    let (text, met) = report::result(&rounds, pairs, &lab.shares);
    print!("\n{text}");
    Ok(met)
}
