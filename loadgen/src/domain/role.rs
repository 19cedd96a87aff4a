//! The roles that a client can have.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a client may do on the server (ROLE-1 to ROLE-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Sees its own store only.
    Guest,
    /// May read every store.
    Manager,
}

impl Role {
    /// Both, guests first.
    pub const ALL: [Self; 2] = [Self::Guest, Self::Manager];

    /// The name used in scenarios and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Manager => "manager",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
