//! The subcommands: one file each, with its arguments and an `exec` that returns what to print.
//!
//! Nothing here prints or exits: a command returns its text for stdout, or an error that knows its text and exit code.

pub mod check;
pub mod init;
pub mod schema;

use std::path::PathBuf;

use crate::scenario::Diagnostics;

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Files that are not valid scenarios.
    #[error("{}", joined(failed, false))]
    Scenarios {
        /// What there is to say on stdout all the same: a line for each valid file.
        passed: String,
        /// The errors of each file.
        failed: Vec<Diagnostics>,
    },
    /// A file that would have been overwritten.
    #[error("`{}` exists already: name another file, or remove it first", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file that cannot be written.
    #[error("cannot write `{}`: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl CommandError {
    /// The process's exit code: 2 for errors of usage, scenarios and files.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Scenarios { .. } | Self::Exists { .. } | Self::Write { .. } => 2,
        }
    }

    /// What goes to stdout although the command failed.
    #[must_use]
    pub fn stdout(&self) -> &str {
        if let Self::Scenarios { passed, .. } = self { passed } else { "" }
    }

    /// What goes to stderr, with a final newline; `colour` where that is a terminal and `NO_COLOR` is not set.
    #[must_use]
    pub fn stderr(&self, colour: bool) -> String {
        match self {
            Self::Scenarios { failed, .. } => joined(failed, colour),
            other => format!("error: {other}\n"),
        }
    }
}

/// The errors of several files, an empty line between.
fn joined(failed: &[Diagnostics], colour: bool) -> String {
    failed.iter().map(|errors| errors.render(colour)).collect::<Vec<_>>().join("\n")
}
