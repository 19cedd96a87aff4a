//! Commands whose names are taken, but which this version does not have yet: they say so, with exit code 2.

use std::ffi::OsString;

use clap::Subcommand;

use super::CommandError;

/// Hidden from `--help` until they exist.
#[derive(Debug, Subcommand)]
pub enum NotYet {
    /// Conformance
    #[command(hide = true)]
    Conform(Rest),
    /// Highest rate that meets an objective
    #[command(hide = true)]
    Capacity(Rest),
    /// Two runs against each other
    #[command(hide = true)]
    Compare(Rest),
    /// Two servers interleaved
    #[command(hide = true)]
    Ab(Rest),
    /// Random command sequences against a model
    #[command(hide = true)]
    Explore(Rest),
    /// Rules and cases
    #[command(hide = true)]
    Explain(Rest),
}

/// Whatever was written after the command's name.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _arguments: Vec<OsString>,
}

impl NotYet {
    /// The error that says so.
    #[must_use]
    pub fn error(&self) -> CommandError {
        let name = match self {
            Self::Conform(_) => "conform",
            Self::Capacity(_) => "capacity",
            Self::Compare(_) => "compare",
            Self::Ab(_) => "ab",
            Self::Explore(_) => "explore",
            Self::Explain(_) => "explain",
        };
        CommandError::NotYet(format!("`twinwire {name}`"))
    }
}
