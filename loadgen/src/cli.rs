//! The command line: parses, calls one command, prints its result and maps it to an exit code.
//!
//! Only this file writes to stdout and decides how the process ends.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::client;
use crate::commands::completions::{Completions, Man, Program};
use crate::commands::{
    CommandError, CommandOutput, calibrate, check, conform, explain, init, quick, report, run, schema,
};
use crate::targets::{embedded, guard, null};

/// Load generator and conformance harness for a key-value service over TCP and WebSocket
///
/// Replays many concurrent guests and managers over both transports, checks every reply, and writes latency
/// histograms, CSV files and charts that compare the transports.
#[derive(Debug, Parser)]
#[command(name = "twinwire", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Exit codes, the first that applies.
const EXIT_CODES: &str = "\
Exit codes (the first that applies):
  2    wrong usage, scenario or file
  1    a reply was wrong, or a threshold on errors, violations, unfinished or
       lost was missed. These are judged in every run; without such thresholds
       no client may be lost, and 1 % of a load's requests may stay unfinished
  3    no target, or it was lost
  4    the measurement is not valid, or nothing was measured
  1    another threshold was missed
  130  interrupted
  0    all passed";

/// Commands with reserved names that this version does not have yet: they say so, with exit code 2.
const NOT_YET: [&str; 7] = ["ab", "agent", "capacity", "compare", "explore", "grade", "probe"];

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Run>),
    Quick(Box<quick::Quick>),
    Conform(Box<conform::Conform>),
    Explain(explain::Explain),
    Check(check::Check),
    Schema(schema::Schema),
    Init(init::Init),
    Report(report::Report),
    Calibrate(calibrate::Calibrate),
    Completions(Completions),
    Man(Man),
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let _program = arguments.next();
    // This comes before clap: a server and a launched program parse their own arguments.
    match arguments.next() {
        Some(first) if first == embedded::SUBCOMMAND => return embedded::serve(arguments.collect()),
        Some(first) if first == null::SUBCOMMAND => return null::serve(arguments.collect()),
        Some(first) if first == guard::SUBCOMMAND => {
            return guard::guard(&arguments.collect::<Vec<OsString>>());
        }
        Some(first) if NOT_YET.iter().any(|name| first == *name) => {
            return fail(&CommandError::NotYet(format!("`twinwire {}`", first.display())));
        }
        _ => {}
    }
    let result = match Cli::parse().command {
        Command::Run(run) => run.exec(colour(&io::stdout())),
        Command::Quick(quick) => quick.exec(colour(&io::stdout())),
        Command::Conform(conform) => conform.exec(colour(&io::stdout())),
        Command::Explain(explain) => explain.exec(colour(&io::stdout())),
        Command::Check(check) => check.exec().map(CommandOutput::success),
        Command::Schema(schema) => schema.exec().map(CommandOutput::success),
        Command::Init(init) => init.exec().map(CommandOutput::success),
        Command::Report(report) => report.exec(colour(&io::stdout())),
        Command::Calibrate(calibrate) => calibrate.exec(),
        Command::Completions(completions) => completions.exec(command_line).map(CommandOutput::success),
        Command::Man(man) => man.exec(command_line).map(CommandOutput::success),
    };
    match result {
        Ok(outcome) => {
            let printed = print(&outcome.stdout);
            complain(&outcome.stderr);
            // A result that could not be printed is a file error, which does not hide another exit code.
            ExitCode::from(if printed || outcome.exit_code != 0 { outcome.exit_code } else { 2 })
        }
        Err(error) => fail(&error),
    }
}

fn command_line(program: Program) -> clap::Command {
    match program {
        Program::Twinwire => Cli::command(),
        Program::TwinwireClient => client::command(),
        Program::TwinwireServer => embedded::command(),
    }
}

fn fail(error: &CommandError) -> ExitCode {
    print(error.stdout());
    complain(&error.stderr(colour(&io::stderr())));
    ExitCode::from(error.exit_code())
}

/// Writes to stderr. If that is closed, the message is lost.
fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Writes a result to stdout. Returns `false` on an error, except that a closed pipe is fine: its reader has seen
/// enough.
fn print(text: &str) -> bool {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("error: cannot write the result to stdout: {error}\n"));
            false
        }
        _ => true,
    }
}

fn colour(stream: &impl io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
