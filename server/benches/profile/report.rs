//! Running, counting, and the table.

use std::{fs, process::Command, process::ExitCode};

use anyhow::Context;
use twinwire_floor::{
    children::Process,
    cpus,
    options::{is_bench, outcome},
    roles::{self, Role, Wire},
};

use crate::{
    callgrind::{self, C_LIBRARY, Counts, OURS, STANDARD},
    exchange::{CONNECTIONS, Exchange},
};

/// The columns.
const EXCHANGES: [(&str, Exchange); 4] = [
    ("tcp", Exchange { wire: Wire::Tcp, depth: 1 }),
    ("websocket", Exchange { wire: Wire::WebSocket, depth: 1 }),
    ("tcp, 32 deep", Exchange { wire: Wire::Tcp, depth: 32 }),
    ("websocket, 32 deep", Exchange { wire: Wire::WebSocket, depth: 32 }),
];

/// Rounds of the two runs whose difference is shown. What begins and ends a run is the same in both.
const ROUNDS: [usize; 2] = [40, 440];

/// Rounds of a trial.
const ROUNDS_TRIAL: usize = 3;

/// A crate below this share of a column's sum in every column is not told by name.
const SHARE_MIN: f64 = 0.01;

/// Everything; the executable's body.
pub fn main() -> ExitCode {
    if let Some(ended) = roles::played("profile") {
        return ended;
    }
    if !is_bench() {
        return outcome("profile", try_all().map(|()| true));
    }
    if !Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("profile: not measured: valgrind is not installed (Debian: apt-get install valgrind)");
        return ExitCode::SUCCESS;
    }
    outcome("profile", print_all().map(|()| true))
}

fn try_all() -> anyhow::Result<()> {
    for (_, exchange) in EXCHANGES {
        serve(exchange, ROUNDS_TRIAL, env!("CARGO_BIN_EXE_twinwire-server"), &[])?;
    }
    Ok(())
}

fn print_all() -> anyhow::Result<()> {
    let mut columns = Vec::new();
    for (name, exchange) in EXCHANGES {
        columns.push((name, for_each_request(exchange).with_context(|| format!("counting {name}"))?));
    }
    println!(
        "profile: the server's own instructions for each `get`, by crate; {CONNECTIONS} connections, one worker\n"
    );
    println!("{}", line("crate", columns.iter().map(|(name, _)| (*name).to_owned())));
    for row in rows(&columns) {
        println!("{row}");
    }
    println!(
        "\nCounted by callgrind; what is inlined counts where it was written. The kernel's work is not in it."
    );
    Ok(())
}

/// Instructions of one request, by crate.
fn for_each_request(exchange: Exchange) -> anyhow::Result<Vec<(String, f64)>> {
    let [few, many] = ROUNDS;
    let (before, after) = (count(exchange, few)?, count(exchange, many)?);
    let requests = exchange.requests(many - few) as f64;
    let share = |(name, count): (String, u64)| {
        let base = before.get(&name).copied().unwrap_or_default();
        // Some code runs at the start and the end alone, and not always as often.
        (name, count.saturating_sub(base) as f64 / requests)
    };
    Ok(after.into_iter().map(share).collect())
}

fn rows(columns: &[(&str, Vec<(String, f64)>)]) -> Vec<String> {
    let of = |column: &Vec<(String, f64)>, name: &str| {
        column.iter().find(|(known, _)| known == name).map_or(0.0, |(_, count)| *count)
    };
    let sums: Vec<f64> =
        columns.iter().map(|(_, column)| column.iter().map(|(_, count)| count).sum()).collect();
    let is_told = |name: &str| {
        matches!(name, OURS | STANDARD | C_LIBRARY)
            || columns.iter().zip(&sums).any(|((_, column), sum)| of(column, name) >= SHARE_MIN * sum)
    };
    let mut names: Vec<&str> =
        columns.iter().flat_map(|(_, column)| column.iter().map(|(name, _)| name.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    let (told, rest): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|name| is_told(name));
    let counted = |name: &str, counts: Vec<f64>| line(name, counts.iter().map(|count| format!("{count:.0}")));
    let mut told: Vec<(&str, Vec<f64>)> = told
        .into_iter()
        .map(|name| (name, columns.iter().map(|(_, column)| of(column, name)).collect()))
        .collect();
    told.sort_by(|(_, a), (_, b)| b[0].total_cmp(&a[0]));
    let others = columns.iter().map(|(_, column)| rest.iter().map(|name| of(column, name)).sum()).collect();
    let mut lines: Vec<String> = told.into_iter().map(|(name, counts)| counted(name, counts)).collect();
    lines.push(counted("other crates", others));
    lines.push(counted("all", sums));
    lines
}

/// A row of the table.
fn line(name: &str, cells: impl Iterator<Item = String>) -> String {
    cells.fold(format!("{name:24}"), |row, cell| row + &format!("{cell:>20}"))
}

/// Everything that the server does in a run of so many rounds, by crate.
fn count(exchange: Exchange, rounds: usize) -> anyhow::Result<Counts> {
    let folder = tempfile::tempdir()?;
    let dump = folder.path().join("callgrind.out");
    let out = format!("--callgrind-out-file={}", dump.display());
    serve(
        exchange,
        rounds,
        "valgrind",
        &["-q", "--tool=callgrind", &out, env!("CARGO_BIN_EXE_twinwire-server")],
    )?;
    callgrind::counts(&fs::read_to_string(&dump).context("callgrind has left no counts")?)
}

/// Runs the server by way of `program`, and asks it for so many rounds.
fn serve(exchange: Exchange, rounds: usize, program: &str, before: &[&str]) -> anyhow::Result<()> {
    let listener = match exchange.wire {
        Wire::Tcp => "--tcp",
        Wire::WebSocket => "--ws",
    };
    let arguments = [before, &["--until-stdin-closes", "--workers", "1", listener, "127.0.0.1:0"]].concat();
    let process = Process::start(&Role::Program {
        cpus: cpus::allowed(),
        program: program.to_owned(),
        arguments: arguments.into_iter().map(str::to_owned).collect(),
        quiet: false,
    })?;
    exchange.run(process.address()?, rounds)
}
