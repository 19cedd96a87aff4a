//! `twinwire-client`: asks a key-value server over TCP or WebSocket, one request at a time.
//!
//! A tool for people and scripts. It shows what a server says and does not judge it: that is the harness's job.
//!
//! | module | what it is |
//! |---|---|
//! | `args` | the command line |
//! | `words` | the grammar: words → commands |
//! | `session` | connect, log in, ask, leave |
//! | `reply` | what a reply means and how it looks |
//! | `interactive`, `lines` | commands from a terminal or a pipe |
//! | `terminal` | the terminal's mode, and the signals that end the client there |
//! | `output` | the one place that prints |

mod args;
mod interactive;
mod lines;
mod output;
mod reply;
mod session;
mod terminal;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use nix::sys::signal::Signal;

use args::{Args, ArgsError, Job};
use output::{Lost, Output, StdoutReader};
use reply::{ReplyKind, kind};
use session::{Client, ClientError, upgrade_message};
use words::Command;

/// The outcome of all commands that were answered.
#[derive(Debug, Default, Clone, Copy)]
struct Answers {
    /// A reply was a refusal.
    refused: bool,
    /// A line of input was not understood; none of its commands was sent.
    misunderstood: bool,
}

impl Answers {
    fn saw(&mut self, reply: &str) {
        self.refused |= kind(reply) == ReplyKind::Refused;
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
    Client(#[from] ClientError),
    /// The same, after it has been reported.
    #[error("{0}")]
    Reported(ClientError),
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
            Self::Args(ArgsError::ResolveError(_)) | Self::Machine(_) => NO_SERVER,
            Self::Args(_) | Self::Terminal(_) | Self::Input(_) | Self::Output(_) => USAGE,
            // As shells count them.
            Self::Signal(signal) => 128 + *signal as u8,
            Self::Client(error) | Self::Reported(error) => match error {
                ClientError::Connect(_)
                | ClientError::Ended { .. }
                | ClientError::Speechless(..)
                | ClientError::OtherProtocol(_)
                | ClientError::TimedOut(..)
                | ClientError::Unasked(_) => NO_SERVER,
                ClientError::LoginRefused(_)
                | ClientError::NameTaken(_)
                | ClientError::NoName(_)
                | ClientError::UpgradeRefused(_) => REFUSED,
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
        Ok(Answers { misunderstood: true, .. }) => USAGE,
        Ok(Answers { refused: true, .. }) => REFUSED,
        Ok(_) => ANSWERED,
        Err(failure) => {
            if !matches!(failure, Failure::Reported(_) | Failure::Signal(_)) {
                output.complain(&failure.to_string());
            }
            failure.exit_code()
        }
    };
    ExitCode::from(code)
}

fn run(args: Args, output: Output) -> Result<Answers, Failure> {
    let job = args.into_job()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::Machine)?.block_on(async {
        if job.commands.is_empty() { interactive::run(&job, output).await } else { once(&job, output).await }
    })
}

/// The commands of the command line.
async fn once(job: &Job, output: Output) -> Result<Answers, Failure> {
    let mut client = Client::open(&job.endpoint, job.timeout).await?;
    log_in(job, &mut client).await?;
    if job.manager {
        client.upgrade(job.secret.as_deref()).await?;
    }
    let mut answers = Answers::default();
    for command in &job.commands {
        let reply = ask(job, &mut client, command).await?;
        answers.saw(&reply);
        if output.reply(&reply)? == StdoutReader::Gone {
            // A reader that has gone wants no more replies, which is not a failure.
            answers = Answers::default();
            break;
        }
    }
    client.quit().await;
    Ok(answers)
}

async fn log_in(job: &Job, client: &mut Client) -> Result<(), ClientError> {
    match &job.user {
        Some(user) => client.log_in(user).await,
        None => client.log_in_under_own_name().await,
    }
}

async fn ask(job: &Job, client: &mut Client, command: &Command) -> Result<String, ClientError> {
    match command {
        Command::Message(message) => client.ask(message).await,
        Command::Upgrade(secret) => {
            client.ask(&upgrade_message(secret.as_ref().or(job.secret.as_ref()).map(String::as_str))).await
        }
    }
}
