//! The two sides of a load.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who may be at its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The target.
    Server,
    /// This program.
    Generator,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Server => "server",
            Self::Generator => "generator",
        })
    }
}
