//! The command line, and what it leads to: abusers, a measuring run, or a moment's trial.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use nix::sys::resource::{Resource, getrlimit};

use crate::{
    abuse::Abuse,
    abuser,
    experiment::Plan,
    peer::Target,
    processes::{self, Ticks},
    table,
};

/// What a process needs beside its abusers' or clients' connections; the server keeps some for those on their way out.
const DESCRIPTORS_SPARE: u64 = 512;

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

    /// The server's CPU
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,

    /// The CPU of neighbours and abusers
    #[arg(long, default_value_t = 1)]
    client_cpu: usize,

    /// Run as abusers; this program starts itself so
    #[arg(long, hide = true, value_enum, requires_all = ["tcp", "ws", "size"])]
    abuser: Option<Abuse>,
    #[arg(long, hide = true)]
    tcp: Option<SocketAddr>,
    #[arg(long, hide = true)]
    ws: Option<SocketAddr>,
    #[arg(long, hide = true)]
    size: Option<usize>,
    #[arg(long, hide = true, default_value_t = 0)]
    hold_ms: u64,
}

pub fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("abuse: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<bool> {
    if let (Some(abuse), Some(tcp), Some(websocket), Some(size)) =
        (options.abuser, options.tcp, options.ws, options.size)
    {
        let hold = Duration::from_millis(options.hold_ms);
        abuser::run(abuse, Target { tcp, websocket }, size, hold)?;
        return Ok(true);
    }
    let (_, descriptors) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let plan = Plan {
        pairs: if options.bench { usize::from(options.pairs) } else { 1 },
        window: if options.bench { Duration::from_millis(options.window_ms.into()) } else { TRIAL_WINDOW },
        server_cpu: options.server_cpu,
        client_cpu: options.client_cpu,
        divisor: if options.bench { 1 } else { TRIAL_DIVISOR },
        descriptors_max: usize::try_from(descriptors.saturating_sub(DESCRIPTORS_SPARE))?.max(1),
    };
    processes::pin(plan.client_cpu)
        .context("this needs two CPUs; name them with --server-cpu and --client-cpu")?;
    print!("{}\n{}", table::heading(&plan), table::titles());
    let before = Ticks::now()?;
    let abuses = if options.only.is_empty() { Abuse::value_variants() } else { &options.only };
    let mut all_met = true;
    for abuse in abuses {
        let outcome = plan.run(*abuse).with_context(|| abuse.name())?;
        let (rows, met) = table::rows(&outcome);
        print!("{rows}");
        all_met &= met;
    }
    print!("{}", table::notes(Ticks::now()?.stolen_since(before)));
    // A trial measures nothing that could be missed.
    Ok(all_met || !options.bench)
}
