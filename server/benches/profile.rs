//! Where a request's instructions are spent: the server's own, crate by crate, over TCP and over WebSocket.
//!
//! `cargo bench -p twinwire-server --bench profile` runs the server under valgrind's callgrind, twice for each column:
//! with few rounds of requests and with many. The difference is what the requests alone have cost, and it repeats on a
//! busy machine. What the compiler has inlined counts where it was written. The kernel's part is not in it, which is
//! most of a request's time: `--bench cpu` has that.
//!
//! Without valgrind it says what is missing, and that is no failure. Without `--bench` (as `cargo test` calls it) the
//! requests are sent to the server itself, a few of them and uncounted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use twinwire_bench_support::children::{Process, play};
use twinwire_bench_support::run::{main as run, need_valgrind};
use twinwire_bench_support::wire::{Client, Endpoint, Wire, block_on, reply, request};

const SERVER: &str = env!("CARGO_BIN_EXE_twinwire-server");

/// As many as make the server find several of them ready at once.
const CONNECTIONS: usize = 16;

/// Rounds of the two runs whose difference is shown. What begins and ends a run is the same in both.
const ROUNDS: [usize; 2] = [40, 440];

/// Rounds of a trial.
const TRIAL_ROUNDS: usize = 3;

/// A crate below this share of a column's sum in every column is not shown by name.
const SHARE_MIN: f64 = 0.01;

/// The server's own code, what comes with the compiler, and everything that is not Rust: always shown.
const OURS: &str = "twinwire-server";
const STANDARD: &str = "standard library";
const C_LIBRARY: &str = "C library";

/// Name, transport, and requests in one write of each column.
const COLUMNS: [(&str, Wire, usize); 4] = [
    ("tcp", Wire::Tcp, 1),
    ("websocket", Wire::WebSocket, 1),
    ("tcp, 32 deep", Wire::Tcp, 32),
    ("websocket, 32 deep", Wire::WebSocket, 32),
];

const VALUE: &str = "0123456789abcdefghij";

/// Instructions by crate.
type Counts = BTreeMap<String, u64>;

fn main() -> ExitCode {
    run("profile", play, |plan| {
        if !plan.is_measurement {
            COLUMNS.iter().try_for_each(|&(_, wire, depth)| serve(wire, depth, TRIAL_ROUNDS, SERVER, &[]))?;
            return Ok(true);
        }
        need_valgrind()?;
        let columns = COLUMNS
            .iter()
            .map(|&(name, wire, depth)| per_request(wire, depth).with_context(|| format!("counting {name}")));
        print_table(&columns.collect::<Result<Vec<_>, _>>()?);
        Ok(true)
    })
}

/// Instructions of one request, by crate.
fn per_request(wire: Wire, depth: usize) -> anyhow::Result<BTreeMap<String, f64>> {
    let [few, many] = ROUNDS;
    let (before, after) = (count(wire, depth, few)?, count(wire, depth, many)?);
    let requests = ((many - few) * depth * CONNECTIONS) as f64;
    let share = |(name, count): (String, u64)| {
        // Some code runs at the start and the end alone, and not always as often.
        let more = count.saturating_sub(before.get(&name).copied().unwrap_or_default());
        (name, more as f64 / requests)
    };
    Ok(after.into_iter().map(share).collect())
}

fn print_table(columns: &[BTreeMap<String, f64>]) {
    let line = |name: &str, cells: Vec<String>| {
        println!("{}", cells.iter().fold(format!("{name:24}"), |row, cell| row + &format!("{cell:>20}")));
    };
    let counted =
        |name: &str, counts: &[f64]| line(name, counts.iter().map(|count| format!("{count:.0}")).collect());
    println!(
        "profile: the server's own instructions for each `get`, by crate; {CONNECTIONS} connections, one worker\n"
    );
    line("crate", COLUMNS.iter().map(|(name, ..)| (*name).to_owned()).collect());
    let sums: Vec<f64> = columns.iter().map(|column| column.values().sum()).collect();
    let names: BTreeSet<&String> = columns.iter().flat_map(BTreeMap::keys).collect();
    let (mut shown, mut others) = (Vec::new(), vec![0.0; columns.len()]);
    for name in names {
        let counts: Vec<f64> =
            columns.iter().map(|column| column.get(name).copied().unwrap_or_default()).collect();
        let is_large = counts.iter().zip(&sums).any(|(count, sum)| *count >= SHARE_MIN * sum);
        if is_large || [OURS, STANDARD, C_LIBRARY].contains(&name.as_str()) {
            shown.push((name, counts));
        } else {
            others.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }
    shown.sort_by(|(_, a), (_, b)| b[0].total_cmp(&a[0]));
    for (name, counts) in &shown {
        counted(name, counts);
    }
    counted("other crates", &others);
    counted("all", &sums);
    println!(
        "\nCounted by callgrind; what is inlined counts where it was written. The kernel's work is not in it."
    );
}

/// Everything that the server does in a run of this many rounds, by crate.
fn count(wire: Wire, depth: usize, rounds: usize) -> anyhow::Result<Counts> {
    let folder = tempfile::tempdir()?;
    let dump = folder.path().join("callgrind.out");
    let out = format!("--callgrind-out-file={}", dump.display());
    serve(wire, depth, rounds, "valgrind", &["-q", "--tool=callgrind", &out, SERVER])?;
    by_crate(&fs::read_to_string(&dump).context("callgrind has left no counts")?)
}

/// Runs the server by way of `program`; every connection asks, then every connection reads, round after round.
fn serve(wire: Wire, depth: usize, rounds: usize, program: &str, before: &[&str]) -> anyhow::Result<()> {
    let arguments = ["--until-stdin-closes", "--workers", "1"];
    let process = Process::start(program, &[before, &arguments, &wire.listen()].concat(), &[])?;
    let endpoint = Endpoint { wire, address: process.address()? };
    let mut streams = block_on(async {
        let mut streams = Vec::new();
        for number in 0..CONNECTIONS {
            let mut client = Client::login(endpoint, 0, &format!("client-{number}")).await?;
            client.ask(&format!("put k0 {VALUE}"), "done").await?;
            streams.push(client.into_blocking()?);
        }
        Ok(streams)
    })?;
    let requests = request(wire, "get k0").repeat(depth);
    let expected = reply(wire, VALUE).repeat(depth);
    let mut got = vec![0; expected.len()];
    for _round in 0..rounds {
        for stream in &mut streams {
            stream.write_all(&requests)?;
        }
        for stream in &mut streams {
            stream.read_exact(&mut got).context("reading replies")?;
            ensure!(got == expected, "a wrong reply: {:?}", String::from_utf8_lossy(&got));
        }
    }
    Ok(())
}

/// Adds up a whole dump (the format: <https://valgrind.org/docs/manual/cl-format.html>). Fails unless the parts add up to
/// the sum that it states itself.
fn by_crate(dump: &str) -> anyhow::Result<Counts> {
    // A file is named once, and by its number from then on.
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    let (mut counts, mut total) = (Counts::new(), None);
    let (mut file, mut is_call) = ("", false);
    for line in dump.lines() {
        let (key, value) = line.split_once('=').unwrap_or_default();
        if matches!(key, "fl" | "fi" | "fe" | "cfi" | "cfl") {
            let (number, name) = value.split_once(')').context("a file without a number")?;
            if !name.is_empty() {
                names.insert(number, crate_of(name.trim_start()).to_owned());
            }
            if !key.starts_with('c') {
                file = number;
            }
        } else if key == "calls" {
            is_call = true;
        } else if let Some(sum) = line.strip_prefix("summary: ") {
            total = Some(sum.trim().parse::<u64>()?);
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            // What a call has cost is counted where it was spent.
            if !std::mem::take(&mut is_call) {
                let cost: u64 = line.split(' ').nth(1).unwrap_or("0").parse()?;
                let name = names.get(file).map_or(C_LIBRARY, String::as_str);
                *counts.entry(name.to_owned()).or_default() += cost;
            }
        }
    }
    let sum: u64 = counts.values().sum();
    ensure!(total == Some(sum), "callgrind counted {total:?} instructions, and {sum} of them have a file");
    Ok(counts)
}

/// The crate whose file this is.
fn crate_of(path: &str) -> &str {
    let in_registry = path.split_once("/registry/src/").and_then(|(_, rest)| rest.split('/').nth(1));
    match in_registry.and_then(|folder| folder.rsplit_once('-')) {
        Some((name, _version)) => name,
        None if path.contains("/server/src/") => OURS,
        None if path.starts_with("/rustc/") || path.starts_with("/rust/deps/") => STANDARD,
        None => C_LIBRARY,
    }
}
