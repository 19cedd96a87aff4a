//! Lines of input, from a terminal with editing and history, from a plain terminal, or from a pipe.
//!
//! Reading blocks, so it has a thread of its own: the client answers pings and notices a close while the user types.

use std::future::{Future, pending};
use std::io::{self, BufRead as _, ErrorKind, IsTerminal as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::thread::JoinHandleExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::pthread::pthread_kill;
use nix::sys::signal::Signal;
use nix::sys::termios::SpecialCharacterIndices as Key;
use rustyline::error::ReadlineError;
use rustyline::{
    Cmd, ConditionalEventHandler, Config, DefaultEditor, Event, EventContext, EventHandler, ExternalPrinter,
    KeyCode, KeyEvent, Modifiers, RepeatCount,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::output::Output;
use super::terminal::{
    Terminal, block_ending_signals, end_input, ending_signal, leave_stop_signal_to_others,
};
use super::words;

/// Lines that the history keeps.
const HISTORY_LINES: usize = 1000;

/// Longest line that the history keeps, in bytes: longer ones are not worth recalling, and a thousand of these stay
/// small.
const HISTORY_LINE_MAX: usize = 4096;

/// Longest wait for the editor to let go of the terminal. It needs microseconds unless the terminal takes no output.
const EDITOR_END_MAX: Duration = Duration::from_secs(1);

/// What was read.
#[derive(Debug)]
pub(super) enum Input {
    /// A line, without its end.
    Text(String),
    /// Ctrl-C: the line is given up, the program is not.
    Interrupted,
    /// A signal that ends the program.
    Signal(Signal),
    /// The end of input.
    End,
    /// Input that cannot be read.
    Failed(String),
}

/// What is asked for, which decides about history.
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

/// Where lines come from.
enum Source {
    Pipe,
    /// A terminal that cannot move its cursor; the kernel edits its lines.
    PlainTerminal,
    Editor(Editing),
}

struct Editing {
    terminal: Arc<Terminal>,
    thread: Option<JoinHandle<()>>,
    notices: Box<dyn ExternalPrinter + Send>,
}

/// The reading thread, seen from the session's. It reads a line only when one was asked for.
pub(super) struct InputLines {
    prompts: Option<mpsc::Sender<Prompt>>,
    came: UnboundedReceiver<Input>,
    source: Source,
    output: Output,
}

/// The signal that ends the program, when one comes.
pub(super) type Ending = Pin<Box<dyn Future<Output = Signal>>>;

impl InputLines {
    /// From the terminal if both ends are one, else from standard input as it comes. The terminal keeps its mode
    /// until this is dropped, and signals are reported instead of obeyed.
    pub(super) fn start(output: Output) -> io::Result<(Self, Ending)> {
        let (prompts, asked) = mpsc::channel();
        let (send, came) = unbounded_channel();
        let (source, ending): (_, Ending) = if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
            std::thread::spawn(move || read(None, &asked, &send));
            (Source::Pipe, Box::pin(pending()))
        } else if let Some((mut editor, notices)) = editor() {
            let signals = block_ending_signals()?;
            let terminal = Arc::new(Terminal::enter()?);
            let interrupted = bind_keys(&mut editor, &terminal);
            let thread = std::thread::spawn(move || edit(&mut editor, &interrupted, &asked, &send));
            leave_stop_signal_to_others();
            let editing = Editing { terminal, thread: Some(thread), notices };
            (Source::Editor(editing), Box::pin(ending_signal(signals)))
        } else {
            std::thread::spawn(move || read(Some(output), &asked, &send));
            (Source::PlainTerminal, Box::pin(pending()))
        };
        Ok((Self { prompts: Some(prompts), came, source, output }, ending))
    }

    /// Whether there is a user who can be asked again.
    pub(super) fn is_terminal(&self) -> bool {
        !matches!(self.source, Source::Pipe)
    }

    /// Asks for a line, to be taken from [`InputLines::next`].
    pub(super) fn ask(&self, prompt: Prompt) {
        if let Some(prompts) = &self.prompts {
            // A thread that has ended has sent why.
            let _ = prompts.send(prompt);
        }
    }

    /// The line that was asked for. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Input {
        let gone = || Input::Failed("the line editor has failed".to_owned());
        self.came.recv().await.unwrap_or_else(gone)
    }

    /// Says something above the line that is being typed.
    pub(super) fn notice(&mut self, text: &str) {
        let told = match &mut self.source {
            Source::Editor(editing) => editing.notices.print(format!("{}\n", self.output.safe(text))).is_ok(),
            Source::PlainTerminal | Source::Pipe => false,
        };
        if !told {
            self.output.complain(text);
        }
    }
}

impl Drop for InputLines {
    /// However the client ends, the terminal is left as it was found. A pipe needs nothing.
    fn drop(&mut self) {
        self.prompts = None;
        if let Source::Editor(editing) = &mut self.source {
            if let Some(thread) = editing.thread.take() {
                end(&thread);
            }
            editing.terminal.restore();
        }
    }
}

/// Waits until the editor is at no prompt any more, so that it sets no mode after us. While it waits for a key, it does
/// not see that its input has ended until a signal makes it look: a change of the window's size does no harm.
fn end(thread: &JoinHandle<()>) {
    end_input();
    let deadline = Instant::now() + EDITOR_END_MAX;
    while !thread.is_finished() && Instant::now() < deadline {
        let _ = pthread_kill(thread.as_pthread_t(), Signal::SIGWINCH);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Lines as the kernel or a pipe gives them; `terminal` shows prompts.
fn read(terminal: Option<Output>, asked: &mpsc::Receiver<Prompt>, send: &UnboundedSender<Input>) {
    let mut input = io::stdin().lock().lines();
    for prompt in asked {
        if let Some(output) = terminal {
            // If nothing can be shown, the replies show it.
            let _ = output.text(prompt.text());
        }
        let line = match input.next() {
            Some(Ok(line)) => Input::Text(line),
            Some(Err(error)) => Input::Failed(unreadable("standard input", &error)),
            None => Input::End,
        };
        if send.send(line).is_err() {
            return;
        }
    }
}

fn unreadable(what: &str, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::InvalidData => {
            format!("cannot read {what}: it contains bytes that are not UTF-8; nothing after them was sent")
        }
        _ => format!("cannot read {what}: {error}"),
    }
}

/// An editor with a way to print above its line; nothing if the terminal cannot move its cursor.
fn editor() -> Option<(DefaultEditor, Box<dyn ExternalPrinter + Send>)> {
    let config = Config::builder()
        .max_history_size(HISTORY_LINES)
        .ok()?
        .history_ignore_space(true)
        // What is pasted runs as if it were typed, a line after the other.
        .bracketed_paste(false)
        .build();
    let mut editor = DefaultEditor::with_config(config).ok()?;
    let notices = editor.create_external_printer().ok()?;
    Some((editor, Box::new(notices)))
}

/// Keys for which the editor's own ways lose what was typed after them, or the terminal's mode. Gives what Ctrl-C sets.
fn bind_keys(editor: &mut DefaultEditor, terminal: &Arc<Terminal>) -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    if let Some(key) = terminal.key(Key::VINTR) {
        let handler = EventHandler::Conditional(Box::new(Interrupt(Arc::clone(&interrupted))));
        editor.bind_sequence(KeyEvent::new(key, Modifiers::NONE), handler);
    }
    if let Some(key) = terminal.key(Key::VSUSP) {
        let handler = EventHandler::Conditional(Box::new(Suspend(Arc::clone(terminal))));
        editor.bind_sequence(KeyEvent::new(key, Modifiers::NONE), handler);
    }
    // The editor takes this key for the one to suspend if the terminal has none.
    editor.bind_sequence(KeyEvent::new('\0', Modifiers::NONE), Cmd::Noop);
    // There is nothing to complete, and pasted words may stand apart by it.
    editor.bind_sequence(KeyEvent::new('\t', Modifiers::NONE), Cmd::Insert(1, "\t".to_owned()));
    // A terminal may mark what is pasted though it was not asked to.
    for mark in [KeyCode::BracketedPasteStart, KeyCode::BracketedPasteEnd] {
        editor.bind_sequence(KeyEvent(mark, Modifiers::NONE), Cmd::Noop);
    }
    interrupted
}

/// Ctrl-C: ends the line as Enter does, so that what was typed after it stays, and says that it is to be given up.
struct Interrupt(Arc<AtomicBool>);

impl ConditionalEventHandler for Interrupt {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        self.0.store(true, Ordering::Relaxed);
        Some(Cmd::AcceptLine)
    }
}

/// Ctrl-Z: the shell gets the terminal as the client found it.
struct Suspend(Arc<Terminal>);

impl ConditionalEventHandler for Suspend {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        self.0.suspend();
        Some(Cmd::Repaint)
    }
}

fn edit(
    editor: &mut DefaultEditor,
    interrupted: &AtomicBool,
    asked: &mpsc::Receiver<Prompt>,
    send: &UnboundedSender<Input>,
) {
    let history = history_file();
    if let Some(file) = &history {
        // A history that cannot be read or written is treated as missing.
        let _ = editor.load_history(file);
    }
    for prompt in asked {
        let line = match editor.readline(prompt.text()) {
            Ok(_) if interrupted.swap(false, Ordering::Relaxed) => Input::Interrupted,
            Ok(line) => {
                if prompt == Prompt::Commands {
                    keep(editor, &line, history.as_deref());
                }
                Input::Text(line)
            }
            // The key that quits a program.
            Err(ReadlineError::Interrupted) => Input::Signal(Signal::SIGINT),
            Err(ReadlineError::Eof) => Input::End,
            Err(ReadlineError::Io(error)) => Input::Failed(unreadable("the terminal", &error)),
            Err(error) => Input::Failed(format!("cannot read the terminal: {error}")),
        };
        if send.send(line).is_err() {
            break;
        }
    }
}

/// Adds a line to the history, and to its file at once: no end of the client loses it.
fn keep(editor: &mut DefaultEditor, line: &str, file: Option<&Path>) {
    if words::may_hold_secret(line) || line.len() > HISTORY_LINE_MAX {
        return;
    }
    let _ = editor.add_history_entry(line);
    if let Some(file) = file {
        if let Some(folder) = file.parent() {
            let _ = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        }
        // It sets the file's mode to 0600 by itself.
        let _ = editor.append_history(file);
    }
}

/// By the XDG base directory specification: state that outlives the program and is worth no backup.
fn history_file() -> Option<PathBuf> {
    let absolute = |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("twinwire/client-history"))
}
