//! What a request costs in instructions: parsing, session and registry, and cutting a stream into lines.
//!
//! Instructions, not time, so that a regression shows on a busy machine too. `cargo bench -p twinwire-server --bench
//! instructions` counts each function of `counted.rs` once, under valgrind's callgrind by way of gungraun, and shows
//! beside each count how far it is from that of the last run; `-- --save-baseline=NAME` and `-- --baseline=NAME` name
//! one to compare with. Each function is one request, but for the batch of lines; making the session and the registry
//! that it works on is not counted, nor is dropping them.
//!
//! Counts of hash tables differ by a few instructions between runs, since their seeds do.
//!
//! Without valgrind or gungraun's runner it says what is missing, and that is no failure. Without `--bench` (as `cargo
//! test` calls it) each function is run once, uncounted, and its result looked at.

mod counted;
mod work;

use std::process::{Command, ExitCode, Stdio};

/// The version of gungraun's library here, which its runner must have as well.
const VERSION: &str = "0.20.0";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        // The runner starts this executable under valgrind, once for each function.
        Some("--gungraun-run") => counted::run(),
        _ if !std::env::args().any(|argument| argument == "--bench") => work::try_all(),
        _ if !answers("valgrind") => {
            println!(
                "instructions: not counted: valgrind is not installed (Debian: apt-get install valgrind)"
            );
        }
        // Whatever it makes of the question, it is there.
        _ if Command::new("gungraun-runner")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_err() =>
        {
            println!(
                "instructions: not counted: gungraun's runner is not installed \
                 (cargo install gungraun-runner --version {VERSION})"
            );
        }
        _ => counted::run(),
    }
    ExitCode::SUCCESS
}

fn answers(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}
