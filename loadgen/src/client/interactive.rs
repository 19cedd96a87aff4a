//! Commands as they are typed or piped: a line may hold several.

use super::lines::{Input, InputLines, Prompt};
use super::output::{Output, StdoutReader};
use super::session::{Client, ClientError};
use super::words::{self, Command};
use super::{Answers, Failure, ask};
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
pub(super) async fn run(job: &Job, output: Output) -> Result<Answers, Failure> {
    let (mut lines, ending) = InputLines::start(output).map_err(Failure::Terminal)?;
    let ended = tokio::select! {
        biased;
        signal = ending => Err(Failure::Signal(signal)),
        ended = serve(job, &mut lines, output) => ended,
    };
    // The terminal's mode is restored before the server is waited for or an error is reported.
    drop(lines);
    let (client, answers) = ended?;
    client.quit().await;
    Ok(answers)
}

async fn serve(job: &Job, lines: &mut InputLines, output: Output) -> Result<(Client, Answers), Failure> {
    let mut client = Client::open(&job.endpoint, job.timeout).await?;
    let mut answers = Answers::default();
    if log_in(job, &mut client, lines, output).await? {
        if job.manager {
            client.upgrade(job.secret.as_deref()).await?;
        }
        answers = converse(job, &mut client, lines, output).await?;
    }
    Ok((client, answers))
}

/// `false` if the user leaves instead.
async fn log_in(
    job: &Job,
    client: &mut Client,
    lines: &mut InputLines,
    output: Output,
) -> Result<bool, Failure> {
    if !lines.is_terminal() {
        super::log_in(job, client).await?;
        return Ok(true);
    }
    let mut name = job.user.clone();
    loop {
        let logged_in = match name.take() {
            Some(name) => client.log_in(&name).await,
            None => match next(client, lines, Prompt::Name).await? {
                Input::Text(typed) => client.log_in(&typed).await,
                Input::Interrupted => continue,
                Input::End => return Ok(false),
                Input::Signal(signal) => return Err(Failure::Signal(signal)),
                Input::Failed(why) => return Err(Failure::Input(why)),
            },
        };
        match logged_in {
            Err(error @ (ClientError::NameTaken(_) | ClientError::NoName(_))) => {
                output.complain(&error.to_string());
            }
            other => return Ok(other.map(|()| true)?),
        }
    }
}

async fn converse(
    job: &Job,
    client: &mut Client,
    lines: &mut InputLines,
    output: Output,
) -> Result<Answers, Failure> {
    let mut answers = Answers::default();
    let mut number = 0_u64;
    loop {
        number += 1;
        let line = match next(client, lines, Prompt::Commands).await? {
            Input::Text(line) => line,
            Input::Interrupted => continue,
            Input::End => break,
            Input::Signal(signal) => return Err(Failure::Signal(signal)),
            Input::Failed(why) => return Err(Failure::Input(why)),
        };
        match line.trim() {
            "q" | "quit" | "exit" => break,
            "help" | "?" => {
                if output.text(HELP)? == StdoutReader::Gone {
                    break;
                }
                continue;
            }
            _ => {}
        }
        match words::commands(words::line(&line)) {
            Ok(commands) => match answer(job, client, &commands, output).await? {
                Some(answered) => answers.add(answered),
                None => break,
            },
            Err(error) if lines.is_terminal() => {
                output.complain(&format!("{error} (type help for the commands)"));
            }
            Err(error) => {
                output.complain(&format!("line {number}: {error}"));
                answers.misunderstood = true;
            }
        }
    }
    // At a terminal the user has seen every reply: leaving is not a failure.
    Ok(if lines.is_terminal() { Answers::default() } else { answers })
}

/// The commands of one line; nothing if the reader is gone.
async fn answer(
    job: &Job,
    client: &mut Client,
    commands: &[Command],
    output: Output,
) -> Result<Option<Answers>, Failure> {
    let mut answers = Answers::default();
    for command in commands {
        let reply = ask(job, client, command).await?;
        answers.saw(&reply);
        if output.reply(&reply)? == StdoutReader::Gone {
            return Ok(None);
        }
    }
    Ok(Some(answers))
}

/// The next line, unless the server goes first.
async fn next(client: &mut Client, lines: &mut InputLines, prompt: Prompt) -> Result<Input, Failure> {
    lines.ask(prompt);
    let lost = tokio::select! {
        // What was typed before the close was noticed can no longer be sent: the close comes first.
        biased;
        lost = client.ended() => lost,
        line = lines.next() => return Ok(line),
    };
    if lines.is_terminal() {
        // A line that is half typed must not end in the shell.
        lines.notice(&format!("{lost}; press Enter to leave"));
        lines.next().await;
        return Err(Failure::Reported(lost));
    }
    Err(lost.into())
}
