//! What was expected and what came instead.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use crate::domain::Rule;
use crate::text;

/// Why a run of a case failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where in the case, like `step 3`; `set-up` before its first step and after its last.
    pub place: String,
    /// The client, as the case calls it.
    pub client: String,
    /// What it sent last: the message, not its framing.
    pub sent: Vec<u8>,
    /// What was due.
    pub expected: Shown,
    /// What came.
    pub seen: Shown,
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// The rule that is broken, where that is another one than the case's.
    pub rule: Option<Rule>,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Something else came.
    Wrong,
    /// Nothing came in time.
    Late,
    /// No connection was possible.
    Unreachable,
}

/// What was due or what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// A message.
    Text(Vec<u8>),
    /// One of these messages.
    OneOf(Vec<Vec<u8>>),
    /// A pong with this payload.
    Pong(Vec<u8>),
    /// How often each message.
    Counts(BTreeMap<Vec<u8>, u32>),
    /// Something else, in words.
    Words(String),
}

impl Shown {
    pub(super) fn texts(texts: &[Vec<u8>]) -> Self {
        match texts {
            [text] => Self::Text(text.clone()),
            texts => Self::OneOf(texts.to_vec()),
        }
    }
}

impl Failure {
    /// The first byte at which the message that came differs from the one that was due; `None` where either is no single
    /// message.
    #[must_use]
    pub fn differs_at(&self) -> Option<usize> {
        let (Shown::Text(expected), Shown::Text(seen)) = (&self.expected, &self.seen) else { return None };
        let same = expected.iter().zip(seen).take_while(|(expected, seen)| expected == seen).count();
        (expected != seen).then_some(same)
    }
}

/// Bytes of a message as people read them: in backquotes, with escapes for what does not print.
pub(super) fn quoted(bytes: &[u8]) -> String {
    /// Longest message that is shown whole.
    const SHOWN_MAX: usize = 120;
    let mut shown = String::new();
    for chunk in bytes[..bytes.len().min(SHOWN_MAX)].utf8_chunks() {
        shown.push_str(&text::printable(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    if bytes.len() > SHOWN_MAX {
        format!("`{shown}…` ({})", text::plural(bytes.len() as u64, "byte"))
    } else {
        format!("`{shown}`")
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) if text.is_empty() => f.write_str("an empty message"),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::OneOf(texts) => {
                let quoted: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
                write!(f, "{}", quoted.join(" or "))
            }
            Self::Pong(payload) => write!(f, "a pong with {}", quoted(payload)),
            Self::Counts(counts) if counts.is_empty() => f.write_str("no replies"),
            Self::Counts(counts) => {
                let each: Vec<String> =
                    counts.iter().map(|(text, times)| format!("{times} × {}", quoted(text))).collect();
                f.write_str(&each.join(", "))
            }
            Self::Words(words) => f.write_str(&text::printable(words)),
        }
    }
}
