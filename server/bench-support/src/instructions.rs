//! Instructions of single functions. The bench runs itself under valgrind's callgrind, once for each case, which counts
//! only inside [`counted`].
//!
//! Instructions, not time, so that a regression shows on a busy machine too. Counts of hash tables differ by a few
//! between runs, since their seeds do.

use std::hint::black_box;
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};

use crate::run::{ROLE_FLAG, main as run, need_valgrind};

/// One row of the table.
pub struct Case {
    pub name: String,
    /// What its count is divided by.
    pub requests: usize,
    /// Makes what it works on, passes the work itself to [`counted`], and fails if the result is wrong.
    pub run: Box<dyn Fn() -> anyhow::Result<()>>,
}

/// Does this work where callgrind counts. What it returns is dropped by the caller, uncounted.
#[inline(never)]
pub fn counted<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

/// The main function of a bench that counts these cases. Without `--bench` each is run once, uncounted.
pub fn main(name: &'static str, title: &str, cases: &[Case]) -> ExitCode {
    let case = |name: &str| {
        let case = cases.iter().find(|case| case.name == name).with_context(|| format!("no case {name}"))?;
        (case.run)()
    };
    run(name, case, |plan| {
        if plan.is_measurement {
            need_valgrind()?;
            println!("{title}\n");
        }
        for case in cases.iter().filter(|case| plan.includes(&case.name)) {
            if plan.is_measurement {
                println!("{:44} {:>8.0}", case.name, count(case)?);
            } else {
                (case.run)().with_context(|| case.name.clone())?;
            }
        }
        Ok(true)
    })
}

/// Instructions for each request.
fn count(case: &Case) -> anyhow::Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={}::counted*", module_path!()))
        .arg(std::env::current_exe()?)
        .args([ROLE_FLAG, &case.name])
        .output()
        .context("cannot start valgrind")?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed under valgrind:\n{log}", case.name);
    let collected = log.lines().find_map(|line| line.split_once("Collected :"));
    let instructions: f64 = collected
        .and_then(|(_, count)| count.trim().parse().ok())
        .with_context(|| format!("no count in:\n{log}"))?;
    ensure!(instructions > 0.0, "callgrind counted nothing");
    Ok(instructions / case.requests as f64)
}
