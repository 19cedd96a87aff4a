//! `twinwire-client`: asks a key-value server over TCP or WebSocket, one request at a time.
//!
//! A tool for people and scripts. It shows what a server says and does not judge it: that is the harness's business.
//!
//! | module | what it is |
//! |---|---|
//! | `args` | the command line |
//! | [`words`] | the grammar: words → commands |
//! | [`session`] | connect, log in, ask, leave |
//! | [`reply`] | what a reply means and how it looks |
//! | `interactive`, `lines` | commands from a terminal or a pipe |
//! | `terminal` | the terminal's mode, and the signals that end the client there |
//! | `output` | the one place that prints |

mod args;
mod interactive;
mod lines;
mod output;
pub mod reply;
pub mod session;
mod terminal;
pub mod words;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use nix::sys::signal::Signal;

use args::{Args, ArgsError, Job};
use output::{Lost, Output, Reader};
use reply::{Kind, kind};
use session::{Session, SessionError, upgrade_message};
use words::Command;

/// What became of all commands that were answered.
#[derive(Debug, Default, Clone, Copy)]
struct Outcome {
    /// A reply was a refusal.
    refused: bool,
    /// A line of input was not understood, and nothing of it was sent.
    misunderstood: bool,
}

impl Outcome {
    fn saw(&mut self, reply: &str) {
        self.refused |= kind(reply) == Kind::Refused;
    }

    fn add(&mut self, other: Self) {
        self.refused |= other.refused;
        self.misunderstood |= other.misunderstood;
    }
}

/// Why not all was answered.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Args(#[from] ArgsError),
    #[error("{0}")]
    Session(#[from] SessionError),
    /// The same, which the user has been told.
    #[error("{0}")]
    Told(SessionError),
    #[error("ended by {0}")]
    Signal(Signal),
    #[error("cannot use the terminal: {0}")]
    Terminal(std::io::Error),
    #[error("{0}")]
    Input(String),
    #[error("{0}")]
    Output(#[from] Lost),
    #[error("cannot start an event loop: {0}")]
    Machine(std::io::Error),
}

const ANSWERED: u8 = 0;
const REFUSED: u8 = 1;
const USAGE: u8 = 2;
const NO_SERVER: u8 = 3;

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Args(ArgsError::Unresolved(_)) | Self::Machine(_) => NO_SERVER,
            Self::Args(_) | Self::Terminal(_) | Self::Input(_) | Self::Output(_) => USAGE,
            // As shells count them.
            Self::Signal(signal) => 128 + *signal as u8,
            Self::Session(error) | Self::Told(error) => match error {
                SessionError::Connect(_)
                | SessionError::Ended { .. }
                | SessionError::Speechless(..)
                | SessionError::OtherProtocol(_)
                | SessionError::TimedOut(..)
                | SessionError::Unasked(_) => NO_SERVER,
                SessionError::LoginRefused(_)
                | SessionError::NameTaken(_)
                | SessionError::NoName(_)
                | SessionError::UpgradeRefused(_) => REFUSED,
            },
        }
    }
}

/// The command line, for completions and man pages.
#[must_use]
pub fn command() -> clap::Command {
    Args::command()
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    // Prints help and usage errors by itself, and ends with 0 and 2.
    let args = Args::parse();
    let output = Output::new();
    let code = match run(args, output) {
        Ok(Outcome { misunderstood: true, .. }) => USAGE,
        Ok(Outcome { refused: true, .. }) => REFUSED,
        Ok(_) => ANSWERED,
        Err(failure) => {
            if !matches!(failure, Failure::Told(_) | Failure::Signal(_)) {
                output.complain(&failure.to_string());
            }
            failure.exit_code()
        }
    };
    ExitCode::from(code)
}

fn run(args: Args, output: Output) -> Result<Outcome, Failure> {
    let job = args.into_job()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::Machine)?.block_on(async {
        if job.commands.is_empty() { interactive::run(&job, output).await } else { once(&job, output).await }
    })
}

/// The commands of the command line.
async fn once(job: &Job, output: Output) -> Result<Outcome, Failure> {
    let mut session = Session::open(&job.endpoint, job.timeout).await?;
    log_in(job, &mut session).await?;
    if job.manager {
        session.upgrade(job.secret.as_deref()).await?;
    }
    let mut outcome = Outcome::default();
    for command in &job.commands {
        let reply = ask(job, &mut session, command).await?;
        outcome.saw(&reply);
        if output.reply(&reply)? == Reader::Gone {
            // Who has stopped reading wants no more, and that is no failure.
            outcome = Outcome::default();
            break;
        }
    }
    session.quit().await;
    Ok(outcome)
}

async fn log_in(job: &Job, session: &mut Session) -> Result<(), SessionError> {
    match &job.user {
        Some(user) => session.log_in(user).await,
        None => session.log_in_under_own_name().await,
    }
}

async fn ask(job: &Job, session: &mut Session, command: &Command) -> Result<String, SessionError> {
    match command {
        Command::Message(message) => session.ask(message).await,
        Command::Upgrade(secret) => {
            session.ask(&upgrade_message(secret.as_ref().or(job.secret.as_ref()).map(String::as_str))).await
        }
    }
}
