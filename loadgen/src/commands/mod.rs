//! The subcommands: one file each, with its arguments and an `exec` that returns what to print.
//!
//! Nothing here prints or exits: a command returns its text for stdout, or an error that knows its text and exit code.

pub mod calibrate;
pub mod check;
pub mod completions;
pub mod conform;
pub mod explain;
pub mod floor_args;
pub mod init;
mod interrupt;
pub mod quick;
pub mod report;
pub mod run;
pub mod schema;
pub mod target_args;

use std::path::PathBuf;

use crate::chart;
use crate::conform::built_in::ChoiceError;
use crate::load::engine::EngineError;
use crate::record::{ReadError, RunRecord};
use crate::report::contents::{self, Contents};
use crate::report::{Folder, FolderError, Plot, ReportError};
use crate::scenario::Diagnostics;
use crate::targets::{AddressError, LaunchError, TargetError};
use crate::wire::{HeaderError, TrustStoreError};

/// The result of a command that did its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    /// The result for stdout.
    pub stdout: String,
    /// What went wrong, for stderr; usually empty.
    pub stderr: String,
    /// The process's exit code.
    pub exit_code: u8,
}

impl CommandOutput {
    /// All well.
    #[must_use]
    pub fn success(stdout: String) -> Self {
        Self { stdout, stderr: String::new(), exit_code: 0 }
    }
}

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Files that are not valid scenarios, cases or profiles.
    #[error("{}", joined(failed, false))]
    Scenarios {
        /// The text for stdout all the same: a line for each valid file.
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
    /// Wrong usage, such as flags that cannot be combined.
    #[error("{0}")]
    Usage(String),
    /// Something with a reserved name that this version does not have.
    #[error("{0} is not built yet; README.md says what is")]
    NotYet(String),
    /// An address that is not valid.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Cases that cannot be found or read.
    #[error(transparent)]
    Cases(#[from] ChoiceError),
    /// A `--launch` that cannot be understood.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A `--header` that cannot be sent.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// No certificates to trust over TLS.
    #[error(transparent)]
    TrustStore(#[from] TrustStoreError),
    /// A target that cannot be prepared.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A run that cannot begin.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A record that cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A report folder that cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A report that cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A result that cannot be turned into JUnit XML.
    #[error("cannot write JUnit XML: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// A chart that cannot be drawn.
    #[error("cannot draw a chart: {0}")]
    Chart(#[from] chart::DrawError),
    /// The system refused something that every run needs.
    #[error("the system refuses what every run needs: {0}")]
    Machine(std::io::Error),
}

impl CommandError {
    /// The process's exit code: 3 if there is no target, else 2, for errors of usage, scenarios, files and the machine.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        if matches!(self, Self::Address(AddressError::ResolveError(_))) { 3 } else { 2 }
    }

    /// What goes to stdout although the command failed.
    #[must_use]
    pub fn stdout(&self) -> &str {
        if let Self::Scenarios { passed, .. } = self { passed } else { "" }
    }

    /// What goes to stderr, with a final newline; `colour` if that is a terminal and `NO_COLOR` is not set.
    #[must_use]
    pub fn stderr(&self, colour: bool) -> String {
        match self {
            Self::Scenarios { failed, .. } => joined(failed, colour),
            other => format!("error: {other}\n"),
        }
    }
}

/// A report folder's error with the flag that it is about.
fn of_out(error: FolderError) -> CommandError {
    match error {
        FolderError::NotAFolder(_) | FolderError::NotOurs { .. } | FolderError::Link(_) => {
            CommandError::Usage(format!("--out {error}"))
        }
        error => error.into(),
    }
}

/// The errors of several files, an empty line between.
fn joined(failed: &[Diagnostics], colour: bool) -> String {
    failed.iter().map(|errors| errors.render(colour)).collect::<Vec<_>>().join("\n")
}

/// Writes everything but the record into a folder, charts included. A file that fails does not stop the others.
fn write_report(
    folder: &mut Folder,
    record: &RunRecord,
    contents: Contents,
    figures: Vec<chart::Figure>,
) -> Vec<CommandError> {
    let mut failed: Vec<CommandError> = contents.failed.into_iter().map(CommandError::from).collect();
    let mut write = |name: &str, bytes: &[u8], failed: &mut Vec<CommandError>| {
        failed.extend(folder.write(name, bytes).err().map(CommandError::from));
    };
    for (name, bytes) in &contents.files {
        write(name, bytes, &mut failed);
    }
    let mut plots = Vec::new();
    for figure in figures {
        match draw(figure) {
            Ok(plot) => {
                for (name, bytes) in contents::plot_files(&plot) {
                    write(&name, bytes, &mut failed);
                }
                plots.push(plot);
            }
            Err(error) => failed.push(error.into()),
        }
    }
    let (name, text) = contents::text_file(record, &plots);
    write(name, &text, &mut failed);
    failed
}

fn draw(figure: chart::Figure) -> Result<Plot, chart::DrawError> {
    Ok(Plot { svg: figure.svg()?, png: figure.png()?, name: figure.name, caption: figure.caption })
}

/// The lines for these errors on stderr: a full disk gives one for each file, and a few of them are enough.
fn lines(errors: &[CommandError]) -> String {
    const SHOWN: usize = 3;
    let mut lines: Vec<String> = errors.iter().take(SHOWN).map(|error| format!("error: {error}\n")).collect();
    if errors.len() > SHOWN {
        lines.push(format!("error: and {} more files of the report\n", errors.len() - SHOWN));
    }
    lines.concat()
}
