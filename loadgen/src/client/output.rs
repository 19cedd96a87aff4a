//! The one place that writes to standard output and standard error.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use super::reply::ReplyStyle;

/// The reader of standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StdoutReader {
    Reads,
    /// Has seen enough, which is no failure.
    Gone,
}

/// Standard output could not be written, for example because a disk is full: a reply is lost.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub(super) struct Lost(io::Error);

/// Where replies go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    style: ReplyStyle,
}

impl Output {
    /// As the streams and the environment ask for.
    pub(super) fn new() -> Self {
        let terminal = io::stdout().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { style: ReplyStyle { colour, terminal } }
    }

    /// One reply, one line; seen at once, as a reader may be waiting for it.
    pub(super) fn reply(self, text: &str) -> Result<StdoutReader, Lost> {
        self.text(&(self.style.show(text) + "\n"))
    }

    /// Text of the client itself.
    #[expect(clippy::unused_self, reason = "only an `Output` may print")]
    pub(super) fn text(self, text: &str) -> Result<StdoutReader, Lost> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(StdoutReader::Reads),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(StdoutReader::Gone),
            Err(error) => Err(Lost(error)),
        }
    }

    /// A message that is not a reply. A server's words in it cannot drive a terminal.
    pub(super) fn complain(self, message: &str) {
        // If stderr is closed, there is nowhere to report that.
        let _ = writeln!(io::stderr(), "twinwire-client: {}", self.safe(message));
    }

    /// The same text without what could drive a terminal.
    #[expect(clippy::unused_self, reason = "see `text`")]
    pub(super) fn safe(self, message: &str) -> String {
        ReplyStyle { colour: false, terminal: true }.show(message)
    }
}
