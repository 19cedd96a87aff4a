//! What the oracle costs: instructions for each request that it writes and each reply that it judges.
//!
//! Instructions, not time, so that a regression shows on a busy machine too. The bench runs itself under valgrind's
//! callgrind, which counts only inside the functions below; without valgrind it says so and prints nothing else.
//!
//! `write` makes the request's text, value included, and takes the bounds of its reply; `judge` is all that happens
//! once the reply is there.

mod counted;

use std::process::{Command, ExitCode};

use counted::{Operation, PART_JUDGE, PART_WRITE};

/// Replies of one count: enough that a reply's share of the fixed cost is far below one instruction.
const REPLIES: usize = 4_096;

/// Outstanding requests: one at a time, and as deep as a pipelined load.
const DEPTHS: [usize; 2] = [1, 32];

/// Bytes of a value: the smallest, which is all tag, and larger ones.
const VALUE_BYTES: [u32; 3] = [16, 64, 1_024];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, operation, depth, bytes] = arguments.as_slice()
        && mode == "--counted"
    {
        return run_counted(operation, depth, bytes);
    }
    if !Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("valgrind is not installed: instructions cannot be counted");
        return ExitCode::SUCCESS;
    }
    println!("instructions for each reply, the oracle's part\n");
    println!("| operation | value bytes | outstanding | write | judge | both |");
    println!("|---|---:|---:|---:|---:|---:|");
    for operation in Operation::ALL {
        for depth in DEPTHS {
            for &bytes in if operation.has_value() { &VALUE_BYTES[..] } else { &VALUE_BYTES[..1] } {
                match row(operation, depth, bytes) {
                    Ok(row) => println!("{row}"),
                    Err(message) => {
                        eprintln!("error: {message}");
                        return ExitCode::FAILURE;
                    }
                }
            }
        }
    }
    ExitCode::SUCCESS
}

/// The child's part: does the work, and fails where a reply was judged wrong.
fn run_counted(operation: &str, depth: &str, bytes: &str) -> ExitCode {
    let operation = Operation::ALL.into_iter().find(|known| known.name() == operation);
    match (operation, depth.parse(), bytes.parse()) {
        (Some(operation), Ok(depth), Ok(bytes)) if counted::run(operation, depth, bytes, REPLIES) => {
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}

fn row(operation: Operation, depth: usize, bytes: u32) -> Result<String, String> {
    let write = count(operation, depth, bytes, PART_WRITE)?;
    let judge = count(operation, depth, bytes, PART_JUDGE)?;
    let shown_bytes = if operation.has_value() { bytes.to_string() } else { String::new() };
    Ok(format!(
        "| {} | {shown_bytes} | {depth} | {write:.0} | {judge:.0} | {:.0} |",
        operation.name(),
        write + judge
    ))
}

/// Instructions for each reply inside the function of this name.
fn count(operation: Operation, depth: usize, bytes: u32, function: &str) -> Result<f64, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg(format!("--toggle-collect=*{function}*"))
        .arg(own)
        .args(["--counted", operation.name(), &depth.to_string(), &bytes.to_string()])
        .output()
        .map_err(|error| format!("cannot start valgrind: {error}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{} failed under valgrind:\n{log}", operation.name()));
    }
    let collected =
        log.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim());
    let instructions: f64 =
        collected.and_then(|count| count.parse().ok()).ok_or_else(|| format!("no count in:\n{log}"))?;
    if instructions == 0.0 {
        return Err(format!("callgrind found no function `{function}`"));
    }
    Ok(instructions / REPLIES as f64)
}
