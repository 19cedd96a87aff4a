//! What the oracle costs: instructions for each request that it writes and each reply that it judges.
//!
//! Instructions, not time, so that a regression shows on a busy machine too. The bench runs itself under valgrind's
//! callgrind, which counts only inside the two functions below; without valgrind it says so and prints nothing else.
//! Without `--bench` (as `cargo test` calls it) everything is run once, uncounted.
//!
//! `write` makes the request's text, value included, and takes the bounds of its reply; `judge` is all that happens
//! once the reply is there.

use std::hint::black_box;
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};
use twinwire::oracle::{ClientSpec, Expectation, ReferenceModel, SessionModel, ValueSpec, texts};
use twinwire_bench_support::run::{ROLE_FLAG, main as run, need_valgrind};

/// Replies of one count: enough that a reply's share of the fixed cost is far below one instruction.
const REPLIES: usize = 4_096;

/// Outstanding requests: one at a time, and as deep as a pipelined load.
const DEPTHS: [usize; 2] = [1, 32];

/// Bytes of a value: the smallest, which is all tag, and larger ones.
const VALUE_BYTES: [u32; 3] = [16, 64, 1_024];

/// Clients of the reference, and keys of each: as many registers as a load has, so nothing is specially small.
const CLIENTS: u32 = 64;
const KEYS: u32 = 100;

/// Instructions of the oracle for each reply, counted by callgrind
#[derive(Debug, Parser)]
#[command(name = "oracle", bin_name = "cargo bench -p twinwire --bench oracle --")]
struct Options {
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
enum Operation {
    /// An owner's `put`.
    Put,
    /// An owner's `get` of a value.
    Get,
    /// A manager's `get` of another's value.
    GetOther,
    /// A guest's `get` of another's value.
    Denied,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Work {
    operation: Operation,
    depth: usize,
    value_bytes: u32,
}

fn main() -> ExitCode {
    let play = |role: &str| work(serde_json::from_str(role)?);
    run(play, |_: &Options, is_bench| {
        if is_bench {
            need_valgrind()?;
            println!("instructions for each reply, the oracle's part\n");
            println!("| operation | value bytes | outstanding | write | judge | both |");
            println!("|---|---:|---:|---:|---:|---:|");
        }
        for &operation in Operation::value_variants() {
            let has_value = operation != Operation::Denied;
            for depth in DEPTHS {
                for &value_bytes in if has_value { &VALUE_BYTES[..] } else { &VALUE_BYTES[..1] } {
                    let row = Work { operation, depth, value_bytes };
                    if !is_bench {
                        work(row)?;
                        continue;
                    }
                    let (write, judge) = (count(row, "counted_write")?, count(row, "counted_judge")?);
                    let name = operation.to_possible_value().context("an operation without a name")?;
                    println!(
                        "| {} | {} | {depth} | {write:.0} | {judge:.0} | {:.0} |",
                        name.get_name(),
                        if has_value { value_bytes.to_string() } else { String::new() },
                        write + judge
                    );
                }
            }
        }
        Ok(true)
    })
}

/// Instructions for each reply inside the function of this name.
fn count(work: Work, function: &str) -> anyhow::Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg(format!("--toggle-collect=*{function}*"))
        .arg(std::env::current_exe()?)
        .args([ROLE_FLAG, &serde_json::to_string(&work)?])
        .output()
        .context("cannot start valgrind")?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{work:?} failed under valgrind:\n{log}");
    let collected = log.lines().find_map(|line| line.split_once("Collected :"));
    let instructions: f64 = collected
        .and_then(|(_, count)| count.trim().parse().ok())
        .with_context(|| format!("no count in:\n{log}"))?;
    ensure!(instructions > 0.0, "callgrind found no function `{function}`");
    Ok(instructions / REPLIES as f64)
}

/// Does the work that is counted. Fails if a reply was judged wrong.
fn work(Work { operation, depth, value_bytes }: Work) -> anyhow::Result<()> {
    let values = ValueSpec { min: value_bytes, max: value_bytes };
    let client = |number| ClientSpec { name: format!("user{number}"), group: 0, keys: KEYS, values };
    let reference = ReferenceModel::new(7, (0..CLIENTS).map(client));
    let mut sessions: Vec<SessionModel> = (0..CLIENTS).map(|client| logged_in(&reference, client)).collect();
    let values: Vec<Vec<Vec<u8>>> = sessions.iter_mut().map(|session| preload(&reference, session)).collect();
    let mut session = sessions.swap_remove(0);
    let mut all_right = operation != Operation::GetOther
        || session.judge(&reference, Expectation::Upgrade, texts::UPGRADED.as_bytes()).is_ok();
    let mut message = Vec::new();
    let mut open = Vec::with_capacity(depth);
    for batch in 0..(REPLIES / depth) as u32 {
        for number in 0..depth as u32 {
            let place = batch * depth as u32 + number;
            let (target, key) = (1 + place % (CLIENTS - 1), place * 7 % KEYS);
            message.clear();
            let expect = counted_write(operation, &reference, &mut session, target, key, &mut message);
            black_box(&message);
            let reply = match operation {
                Operation::Put => texts::DONE.as_bytes(),
                Operation::Get => &values[0][key as usize],
                Operation::GetOther => &values[target as usize][key as usize],
                Operation::Denied => texts::DENIED.as_bytes(),
            };
            open.push((expect, reply));
        }
        for (expect, reply) in open.drain(..) {
            all_right &= counted_judge(&reference, &mut session, expect, black_box(reply));
        }
    }
    ensure!(all_right, "a right reply was judged wrong");
    Ok(())
}

#[inline(never)]
fn counted_write(
    operation: Operation,
    reference: &ReferenceModel,
    session: &mut SessionModel,
    target: u32,
    key: u32,
    out: &mut Vec<u8>,
) -> Expectation {
    match operation {
        Operation::Put => session.put(reference, key, out),
        Operation::Get => session.get(key, out),
        Operation::GetOther | Operation::Denied => session.get_other(reference, Some(target), Some(key), out),
    }
}

#[inline(never)]
fn counted_judge(
    reference: &ReferenceModel,
    session: &mut SessionModel,
    expect: Expectation,
    reply: &[u8],
) -> bool {
    session.judge(reference, expect, reply).is_ok()
}

fn logged_in(reference: &ReferenceModel, client: u32) -> SessionModel {
    let session = SessionModel::new(reference, client);
    reference.set_live(client);
    session
}

/// Puts every key once; the values by key.
fn preload(reference: &ReferenceModel, session: &mut SessionModel) -> Vec<Vec<u8>> {
    let put = |key| {
        let mut message = Vec::new();
        let expect = session.put(reference, key, &mut message);
        let judged = session.judge(reference, expect, texts::DONE.as_bytes());
        assert!(judged.is_ok(), "a put that is done is right");
        message.rsplit(|&byte| byte == b' ').next().unwrap_or_default().to_vec()
    };
    (0..KEYS).map(put).collect()
}
