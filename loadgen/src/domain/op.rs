//! The kinds of request.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One kind of request that a client can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// `put KEY VALUE` of a tagged value.
    Put,
    /// `get KEY` of a key of its own.
    Get,
    /// `get KEY` of a key that nobody ever puts.
    GetMissing,
    /// `get USER KEY`: a manager reads, a guest is denied.
    GetOther,
    /// What a server must refuse, mostly a malformed command; or what a careless one takes for that.
    Bad,
    /// `upgrade`, again for a manager.
    Upgrade,
}

impl Op {
    /// All of them, in the order in which reports show them.
    pub const ALL: [Self; 6] =
        [Self::Put, Self::Get, Self::GetMissing, Self::GetOther, Self::Bad, Self::Upgrade];

    /// The name used in scenarios and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::GetMissing => "get-missing",
            Self::GetOther => "get-other",
            Self::Bad => "bad",
            Self::Upgrade => "upgrade",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
