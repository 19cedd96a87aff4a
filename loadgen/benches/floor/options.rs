//! The command line, and what it leads to: a child's role, a measuring run, or a moment's trial under `cargo test`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use twinwire::load::engine::Placement;

use crate::rounds::Plan;
use crate::{redis, roles, table};

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
const TRIAL_CONNECTIONS: u16 = 4;

/// Most connections: the processes stay under the usual limit of 1,024 files.
const CONNECTIONS_MAX: u16 = 900;

/// CPU for each request of our generator and our server, as ratios to bare loops, over TCP and WebSocket
///
/// Server and generator run as processes on a CPU each, in short windows in a drawn order. Over TCP the floor is an
/// epoll loop with one read and one write a request, over WebSocket tokio-tungstenite with 4 KiB buffers. Our
/// generator is compared with the floor's against our server, our server with the floor's against the floor
/// generator. Where redis is installed, redis-benchmark against redis-server is measured beside ours. A bar is met where the upper end of the interval of the median ratio is at most the bar. Absolute
/// times are those of this machine in this minute; only the ratios repeat. Takes about 4 minutes; keep the machine
/// idle meanwhile, and distrust a run with more than a few percent of stolen time.
#[derive(Debug, Parser)]
#[command(name = "floor", bin_name = "cargo bench -p twinwire --bench floor --")]
struct Options {
    /// Rounds; with fewer than 6 there is no interval, with 20 it is one of 95.9 %
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=i64::from(ROUNDS_MAX)))]
    rounds: u16,

    /// Length of a window in seconds
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(SECONDS_MAX)))]
    seconds: u16,

    /// Connections
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=i64::from(CONNECTIONS_MAX)))]
    connections: u16,

    /// 6 rounds instead of 20: for a first look, in about a minute
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,

    /// Exit with 1 where a bar is not met
    #[arg(long)]
    check: bool,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// Everything; the executable's body.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, role] = arguments.as_slice()
        && flag == roles::FLAG
    {
        return roles::play(role);
    }
    let cpus = Placement::split(true);
    let (Some(&server_cpu), Some(&generator_cpu)) = (cpus.server.first(), cpus.generator.first()) else {
        println!(
            "floor: not measured: server and generator need a CPU each, and this process may use only one"
        );
        return ExitCode::SUCCESS;
    };
    let plan = |rounds: u16, length, connections: u16| Plan {
        rounds: rounds.into(),
        connections: connections.into(),
        warmup: WARMUP.min(length),
        length,
        server_cpu,
        generator_cpu,
        redis: redis::is_installed(),
    };
    // `cargo test` runs benches too, with arguments that are meant for tests.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return outcome(plan(1, TRIAL_WINDOW, TRIAL_CONNECTIONS).run(|_, _| {}).map(|_| true));
    }
    let options = Options::parse();
    let rounds = if options.quick { QUICK_ROUNDS } else { options.rounds };
    let plan = plan(rounds, Duration::from_secs(options.seconds.into()), options.connections);
    outcome(measure(&plan).map(|met| met || !options.check))
}

/// Runs the plan and prints the result; whether every bar is met.
fn measure(plan: &Plan) -> anyhow::Result<bool> {
    print!("{}", table::heading(plan));
    let rounds = plan.run(|number, round| eprintln!("{}", table::progress(number, plan.rounds, round)))?;
    let (text, met) = table::result(&rounds, plan.redis);
    print!("\n{text}");
    Ok(met)
}

fn outcome(result: anyhow::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("floor: {error:#}");
            ExitCode::FAILURE
        }
    }
}
