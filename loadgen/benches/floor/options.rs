//! The command line, and what it leads to: a child's role, a measuring run, or a moment's trial under `cargo test`.

use std::process::ExitCode;

use clap::Parser;
use twinwire_floor::options::{Common, Plan, is_bench, outcome};
use twinwire_floor::redis::is_installed;
use twinwire_floor::{roles as shared, rounds};

use crate::pairings::{self, Pair};
use crate::{report, roles};

/// CPU for each request of our generator and our server, as ratios to bare loops, over TCP and WebSocket
///
/// Server and generator run as processes on a CPU each, in short windows in a drawn order. Over TCP the floor is an
/// epoll loop with one read and one write a request, over WebSocket tokio-tungstenite with 4 KiB buffers. Our
/// generator is compared with the floor's against our server, our server with the floor's against the floor
/// generator. Where redis is installed, redis-benchmark against redis-server is measured beside ours. A bar is met
/// where the upper end of the interval of the median ratio is at most the bar. Absolute times are those of this
/// machine in this minute; only the ratios repeat. Takes about 4 minutes; keep the machine idle meanwhile, and
/// distrust a run with more than a few percent of stolen time.
#[derive(Debug, Parser)]
#[command(name = "floor", bin_name = "cargo bench -p twinwire --bench floor --")]
struct Options {
    #[command(flatten)]
    common: Common,
}

/// Everything; the executable's body.
pub fn main() -> ExitCode {
    if let Some(role) = shared::asked() {
        return roles::play(&role);
    }
    let options = is_bench().then(Options::parse);
    let plan = options.as_ref().map_or_else(Plan::trial, |options| Plan::of(&options.common));
    let Some(plan) = plan else {
        println!(
            "floor: not measured: server and generator need a CPU each, and this process may use only one"
        );
        return ExitCode::SUCCESS;
    };
    let redis = ["redis-server", "redis-benchmark"].into_iter().all(is_installed);
    let pairs = Pair::all(redis);
    let windows = |block: &[Pair]| block.iter().map(|pair| pairings::window(&plan, *pair)).collect();
    let blocks: Vec<_> = pairs.iter().map(|pair| vec![*pair]).collect();
    let Some(options) = options else {
        return outcome("floor", rounds::run(&blocks, plan.rounds, windows, |_, _| {}).map(|_| true));
    };
    print!("{}", report::heading(&plan));
    let told = |number, round: &_| eprintln!("{}", report::progress(number, plan.rounds, round));
    let met = rounds::run(&blocks, plan.rounds, windows, told).map(|rounds| {
        let (text, met) = report::result(&rounds, redis);
        print!("\n{text}");
        met || !options.common.check
    });
    outcome("floor", met)
}
