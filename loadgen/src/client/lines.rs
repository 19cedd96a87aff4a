//! Lines of input, from a terminal with editing and history, or from a pipe.
//!
//! Reading blocks, so it has a thread of its own: the session answers pings and sees a close while somebody types.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::sync::mpsc;

use rustyline::config::Configurer as _;
use rustyline::error::ReadlineError;
use rustyline::{DefaultEditor, ExternalPrinter};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::words;

/// Lines that the history keeps.
const HISTORY_LINES: usize = 1000;

/// What came.
#[derive(Debug)]
pub(super) enum Line {
    /// A line, without its end.
    Text(String),
    /// Ctrl-C: the line is given up, the program is not.
    Interrupted,
    /// The end of input.
    End,
    /// Input that cannot be read.
    Failed(String),
}

/// What is asked for; it decides about history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prompt {
    /// Commands, which are kept.
    Commands,
    /// The user's name, which is not.
    Name,
}

impl Prompt {
    fn text(self) -> &'static str {
        match self {
            Self::Commands => "> ",
            Self::Name => "user name: ",
        }
    }
}

/// The reading thread, seen from the session's. It reads a line only when one was asked for, and at its end, or
/// when nobody asks any more, it saves the history.
pub(super) struct Lines {
    prompts: Option<mpsc::Sender<Prompt>>,
    came: UnboundedReceiver<Line>,
    thread: Option<std::thread::JoinHandle<()>>,
    notices: Option<Box<dyn ExternalPrinter + Send>>,
}

impl Lines {
    /// From the terminal where both ends are one, else from standard input as it comes.
    pub(super) fn start() -> Self {
        let (prompts, asked) = mpsc::channel();
        let (send, came) = unbounded_channel();
        let editor = (io::stdin().is_terminal() && io::stdout().is_terminal())
            .then(|| DefaultEditor::new().ok())
            .flatten();
        let (thread, notices) = if let Some(mut editor) = editor {
            let printer = editor.create_external_printer().ok();
            let notices = printer.map(|printer| Box::new(printer) as Box<dyn ExternalPrinter + Send>);
            (Some(std::thread::spawn(move || edit(&mut editor, &asked, &send))), notices)
        } else {
            std::thread::spawn(move || read(&asked, &send));
            (None, None)
        };
        Self { prompts: Some(prompts), came, thread, notices }
    }

    /// Whether somebody sits there and can be asked again.
    pub(super) fn is_terminal(&self) -> bool {
        self.thread.is_some()
    }

    /// Asks for a line, to be taken from [`Lines::next`].
    pub(super) fn ask(&self, prompt: Prompt) {
        if let Some(prompts) = &self.prompts {
            // A thread that has ended has sent why.
            let _ = prompts.send(prompt);
        }
    }

    /// The line that was asked for. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Line {
        self.came.recv().await.unwrap_or(Line::End)
    }

    /// Says something above the line that is being typed.
    pub(super) fn notice(&mut self, text: &str) {
        if let Some(notices) = &mut self.notices {
            let _ = notices.print(format!("{text}\n"));
        }
    }

    /// Waits until the terminal is as it was and the history is kept. A pipe is just left.
    pub(super) fn finish(mut self) {
        self.prompts = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(asked: &mpsc::Receiver<Prompt>, send: &UnboundedSender<Line>) {
    let mut input = io::stdin().lock().lines();
    for _ in asked {
        let line = match input.next() {
            Some(Ok(line)) => Line::Text(line),
            Some(Err(error)) => Line::Failed(format!("cannot read standard input: {error}")),
            None => Line::End,
        };
        if send.send(line).is_err() {
            return;
        }
    }
}

fn edit(editor: &mut DefaultEditor, asked: &mpsc::Receiver<Prompt>, send: &UnboundedSender<Line>) {
    let history = history_file();
    // A history that cannot be read or written is one that is not there.
    let _ = editor.set_max_history_size(HISTORY_LINES);
    editor.set_history_ignore_space(true);
    if let Some(file) = &history {
        let _ = editor.load_history(file);
    }
    for prompt in asked {
        let line = match editor.readline(prompt.text()) {
            Ok(line) => {
                if prompt == Prompt::Commands && !words::may_hold_secret(&line) {
                    let _ = editor.add_history_entry(line.as_str());
                }
                Line::Text(line)
            }
            Err(ReadlineError::Interrupted) => Line::Interrupted,
            Err(ReadlineError::Eof) => Line::End,
            Err(error) => Line::Failed(format!("cannot read the terminal: {error}")),
        };
        if send.send(line).is_err() {
            break;
        }
    }
    if let Some(file) = &history {
        let _ = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        let _ = editor.append_history(file);
    }
}

/// By the XDG base directory specification: state that outlives the program and is worth no backup.
fn history_file() -> Option<PathBuf> {
    let absolute = |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("twinwire/client-history"))
}
