//! The whole program as a function: arguments go in, an exit code comes out.
//!
//! Only this prints to standard output or ends the process.

mod args;
mod control;
mod error;
mod layers;
mod limits;
mod log;
mod notify;
mod secret;
mod signals;
mod tls;
mod units;

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
};

use clap::CommandFactory as _;

use self::{
    args::{Args, Subcommands},
    layers::{Effective, LayerError},
    log::Log,
};
use crate::{
    runtime::Shutdown,
    server::{Listening, Server},
};

/// The arguments make no sense; 2 is usual for command lines.
const EXIT_USAGE: u8 = 2;

/// The server could not start or go on, or did not do what its operator asked for.
const EXIT_FAILED: u8 = 1;

/// No server answers the operator.
const EXIT_NO_SERVER: u8 = 3;

/// The control socket belongs to another user.
const EXIT_NOT_PERMITTED: u8 = 4;

/// The command line, for completions and man pages.
#[must_use]
pub fn command() -> clap::Command {
    Args::command()
}

/// Runs the program: `args` begin with its name, as from [`std::env::args_os`].
///
/// Returns 0 after an orderly stop, 1 if the server could not start, 2 if the arguments make no sense; the codes of the
/// subcommand `control` are in its help. During the call the process's SIGTERM, SIGINT and SIGHUP belong to the server.
pub fn run<I: IntoIterator<Item = OsString>>(args: I) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let (args, effective) = match layers::resolve(&args, &env::vars_os().collect()) {
        Ok(resolved) => resolved,
        Err(LayerError::CommandLine(error)) => {
            // Help goes to standard output and is a success, unlike anything else. A closed pipe is not an error.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE));
        }
        Err(error) => return fail(&error, EXIT_USAGE),
    };
    if let Some(Subcommands::Control(control)) = args.command {
        return print_output(&control.exec(), "the answer");
    }
    let log = match Log::start(args.log) {
        Ok(log) => log,
        Err(error) => return fail(&error, EXIT_FAILED),
    };
    effective.warn_of_unknown_variables();
    let code = match start(args, &effective) {
        Ok(code) => code,
        Err(Failure { error, code }) => {
            // After all that was logged before.
            log.add(error_line(&*error));
            ExitCode::from(code)
        }
    };
    log.finish();
    code
}

/// Why the program ends without having done what it was asked for.
struct Failure {
    error: Box<dyn std::error::Error>,
    code: u8,
}

/// Checks the configuration or serves, as asked.
fn start(args: Args, effective: &Effective) -> Result<ExitCode, Failure> {
    let (until_stdin_closes, check_config) = (args.until_stdin_closes, args.check_config);
    let config = args.into_config().map_err(|error| Failure { error: error.into(), code: EXIT_USAGE })?;
    if check_config {
        let error = Server::check(&config).err().map(|error| error.to_string());
        let code = if error.is_some() { EXIT_USAGE } else { 0 };
        return Ok(print_output(
            &control::Output { text: effective.to_string(), error, code },
            "the options in force",
        ));
    }
    let shutdown = Shutdown::new();
    // A server that another program started is a part of that program's service, whose start and stop it must not
    // announce.
    let notify_manager = if until_stdin_closes { |_| () } else { notify::send_state };
    // Before anything is announced: from the ready lines on, a signal means an orderly stop.
    signals::handle(&shutdown, config.tls.clone(), notify_manager)
        .map_err(|error| Failure { error: error.into(), code: EXIT_FAILED })?;
    if until_stdin_closes {
        signals::stop_when_stdin_closes(&shutdown);
    }
    let outcome = Server::bind(config).and_then(|server| {
        let (addresses, metrics) = (server.addresses().to_vec(), server.metrics_addresses());
        server.run_and_notify(&shutdown, || {
            announce(&addresses, &metrics);
            notify_manager(notify::ServiceState::Ready);
        })
    });
    outcome.map(|()| ExitCode::SUCCESS).map_err(|error| Failure { error: error.into(), code: EXIT_FAILED })
}

/// Prints `output`, which an error in writing it calls `what`.
fn print_output(output: &control::Output, what: &str) -> ExitCode {
    if let Some(error) = &output.error {
        let _ = writeln!(io::stderr(), "twinwire-server: {error}");
    }
    match io::stdout().write_all(output.text.as_bytes()) {
        // A reader that has seen enough is a success.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let unwritten = format!("cannot write {what} to standard output: {error}");
            fail(&io::Error::other(unwritten), EXIT_FAILED)
        }
        _ => ExitCode::from(output.code),
    }
}

/// Prints one line for each listener, for people and for programs that wait for the server.
fn announce(addresses: &[Listening], metrics: &[SocketAddr]) {
    let mut stdout = io::stdout().lock();
    let announced = addresses
        .iter()
        .try_for_each(|Listening { transport, address }| writeln!(stdout, "listening {transport} {address}"));
    let announced = announced.and_then(|()| {
        metrics.iter().try_for_each(|address| writeln!(stdout, "listening metrics {address}"))
    });
    if let Err(error) = announced.and_then(|()| stdout.flush()) {
        tracing::warn!(%error, "cannot write to standard output");
    }
}

/// An error as a line for standard error.
fn error_line(error: &dyn std::error::Error) -> String {
    format!("twinwire-server: {error}\n")
}

fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    // If standard error is closed, the exit code still shows.
    let _ = io::stderr().write_all(error_line(error).as_bytes());
    ExitCode::from(code)
}
