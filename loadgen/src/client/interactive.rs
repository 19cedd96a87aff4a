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
A line may hold several commands: put a 1 get a
Quotes around a whole command send it as it is, for keys that are command words: 'get get'
";

/// Serves standard input until its end, `q`, or a signal.
pub(super) async fn run(job: &Job, output: Output) -> Result<Outcome, Failure> {
    let (mut lines, ending) = Lines::start(output).map_err(Failure::Terminal)?;
    let ended = tokio::select! {
        biased;
        signal = ending => Err(Failure::Signal(signal)),
        ended = serve(job, &mut lines, output) => ended,
    };
    // The terminal is the user's again before the server is waited for, or an error is told.
    drop(lines);
    let (session, outcome) = ended?;
    session.quit().await;
    Ok(outcome)
}

async fn serve(job: &Job, lines: &mut Lines, output: Output) -> Result<(Session, Outcome), Failure> {
    let mut session = Session::open(&job.endpoint, job.timeout).await?;
    let mut outcome = Outcome::default();
    if log_in(job, &mut session, lines, output).await? {
        if job.manager {
            session.upgrade(job.secret.as_deref()).await?;
        }
        outcome = converse(job, &mut session, lines, output).await?;
    }
    Ok((session, outcome))
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
                Line::Signal(signal) => return Err(Failure::Signal(signal)),
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
            Line::Signal(signal) => return Err(Failure::Signal(signal)),
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
            Err(error) if lines.is_terminal() => {
                output.complain(&format!("{error} (type help for the commands)"));
            }
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
        // A line that is half typed must not end in the shell.
        lines.notice(&format!("{lost}; press Enter to leave"));
        lines.next().await;
        return Err(Failure::Told(lost));
    }
    Err(lost.into())
}
