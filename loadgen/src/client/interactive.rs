//! Commands as they are typed or piped: a line may hold several.

use super::lines::{Line, Lines, Prompt};
use super::output::{Output, Reader};
use super::session::{Session, SessionError};
use super::words::{self, Command};
use super::{Failure, Outcome, ask};
use crate::client::args::Job;

const HELP: &str = "Commands:
  get KEY          the value of your own key
  get USER KEY     the value of another user's key, for managers
  put KEY VALUE    store a value
  upgrade          become a manager (upgrade SECRET where the server asks for one)
  q                leave; so do quit, exit and Ctrl-D
Several commands may stand on a line: put a 1 get a
Quotes make one whole message of what holds white space, for keys that are command words: 'get get'
";

/// Serves whoever is at standard input until they leave.
pub(super) async fn run(job: &Job, output: Output) -> Result<Outcome, Failure> {
    let mut session = Session::open(&job.endpoint, job.timeout).await?;
    let mut lines = Lines::start();
    let outcome = async {
        if !log_in(job, &mut session, &mut lines, output).await? {
            return Ok(Outcome::default());
        }
        if job.manager {
            session.upgrade(job.secret.as_deref()).await?;
        }
        converse(job, &mut session, &mut lines, output).await
    }
    .await;
    lines.finish();
    if outcome.is_ok() {
        session.quit().await;
    }
    outcome
}

/// `false` where the user leaves instead.
async fn log_in(
    job: &Job,
    session: &mut Session,
    lines: &mut Lines,
    output: Output,
) -> Result<bool, Failure> {
    if !lines.is_terminal() {
        super::log_in(job, session).await?;
        return Ok(true);
    }
    let mut name = job.user.clone();
    loop {
        let outcome = match name.take() {
            Some(name) => session.log_in(&name).await,
            None => match next(session, lines, Prompt::Name).await? {
                Line::Text(typed) => session.log_in(&typed).await,
                Line::Interrupted => continue,
                Line::End => return Ok(false),
                Line::Failed(why) => return Err(Failure::Input(why)),
            },
        };
        match outcome {
            Err(error @ (SessionError::NameTaken(_) | SessionError::NoName(_))) => {
                output.complain(&error.to_string());
            }
            other => return Ok(other.map(|()| true)?),
        }
    }
}

async fn converse(
    job: &Job,
    session: &mut Session,
    lines: &mut Lines,
    output: Output,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let mut number = 0_u64;
    loop {
        number += 1;
        let line = match next(session, lines, Prompt::Commands).await? {
            Line::Text(line) => line,
            Line::Interrupted => continue,
            Line::End => break,
            Line::Failed(why) => return Err(Failure::Input(why)),
        };
        match line.trim() {
            "q" | "quit" | "exit" => break,
            "help" | "?" => {
                if output.text(HELP)? == Reader::Gone {
                    break;
                }
                continue;
            }
            _ => {}
        }
        match words::commands(words::line(&line)) {
            Ok(commands) => match answer(job, session, &commands, output).await? {
                Some(answered) => outcome.add(answered),
                None => break,
            },
            Err(error) if lines.is_terminal() => output.complain(&format!("{error} (help shows all)")),
            Err(error) => {
                output.complain(&format!("line {number}: {error}"));
                outcome.misunderstood = true;
            }
        }
    }
    // To whoever has seen every reply at the terminal, its end is no failure.
    Ok(if lines.is_terminal() { Outcome::default() } else { outcome })
}

/// The commands of one line; nothing where the reader is gone.
async fn answer(
    job: &Job,
    session: &mut Session,
    commands: &[Command],
    output: Output,
) -> Result<Option<Outcome>, Failure> {
    let mut outcome = Outcome::default();
    for command in commands {
        let reply = ask(job, session, command).await?;
        outcome.saw(&reply);
        if output.reply(&reply)? == Reader::Gone {
            return Ok(None);
        }
    }
    Ok(Some(outcome))
}

/// The next line, unless the server goes first.
async fn next(session: &mut Session, lines: &mut Lines, prompt: Prompt) -> Result<Line, Failure> {
    lines.ask(prompt);
    let lost = tokio::select! {
        // What was typed before the close was seen can no longer be sent: the close is the news.
        biased;
        lost = session.ended() => lost,
        line = lines.next() => return Ok(line),
    };
    if lines.is_terminal() {
        lines.notice(&format!("{lost}; press Enter to leave"));
        lines.next().await;
    }
    Err(lost.into())
}
