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
    /// What the client sent last, as people read it, in at most so many bytes; `None` where it sent no message.
    #[must_use]
    pub fn sent_shown(&self, bytes_max: usize) -> Option<String> {
        (!self.sent.is_empty()).then(|| quoted_part(&self.sent, 0, bytes_max))
    }

    /// The first byte at which the message that came differs from the one that was due; `None` where either is no single
    /// message.
    #[must_use]
    pub fn differs_at(&self) -> Option<usize> {
        let (Shown::Text(expected), Shown::Text(seen)) = (&self.expected, &self.seen) else { return None };
        let same = expected.iter().zip(seen).take_while(|(expected, seen)| expected == seen).count();
        (expected != seen).then_some(same)
    }
}

/// Bytes of a message that are shown, where nothing else is asked for.
const SHOWN_MAX: usize = 120;

/// What was due and what came, side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// What was due, as people read it.
    pub expected: String,
    /// What came.
    pub seen: String,
    /// Where they differ: the number of the byte, and how many characters of `seen` stand before it. `None` where either is
    /// no single message.
    pub differs: Option<(usize, usize)>,
}

impl Failure {
    /// What was due and what came, each in at most so many bytes, among which is the first that differs.
    #[must_use]
    pub fn compared(&self, bytes_max: usize) -> Compared {
        let at = self.differs_at();
        let (Some(at), Shown::Text(seen)) = (at, &self.seen) else {
            let [expected, seen] = [&self.expected, &self.seen].map(|shown| shown.part(0, bytes_max));
            return Compared { expected, seen, differs: None };
        };
        let from = if at < bytes_max * 2 / 3 { 0 } else { char_start(seen, at - bytes_max / 3) };
        let [expected, shown] = [&self.expected, &self.seen].map(|shown| shown.part(from, bytes_max));
        let before = escaped(&seen[from..char_start(seen, at)]);
        // The backquote, and the sign for what is left out.
        let column = text::width(&before) + if from == 0 { 1 } else { 2 };
        Compared { expected, seen: shown, differs: Some((at, column)) }
    }
}

/// The start of the character that this byte is part of, or the byte itself.
fn char_start(bytes: &[u8], at: usize) -> usize {
    let is_start = |at: &usize| bytes.get(*at).is_none_or(|byte| byte & 0b1100_0000 != 0b1000_0000);
    (at.saturating_sub(3)..=at).rev().find(is_start).unwrap_or(at)
}

/// Bytes as people read them, with escapes for what does not print.
fn escaped(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&text::printable(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// A message as people read it: in backquotes, with escapes for what does not print.
pub(super) fn quoted(bytes: &[u8]) -> String {
    quoted_part(bytes, 0, SHOWN_MAX)
}

/// A part of a message, with signs where something is left out.
fn quoted_part(bytes: &[u8], from: usize, bytes_max: usize) -> String {
    let from = from.min(bytes.len());
    let end = bytes.len().min(from + bytes_max);
    let end = if end < bytes.len() { char_start(bytes, end) } else { end };
    let shown = escaped(&bytes[from..end]);
    let before = if from > 0 { "…" } else { "" };
    if end < bytes.len() || from > 0 {
        let after = if end < bytes.len() { "…" } else { "" };
        format!("`{before}{shown}{after}` ({})", text::plural(bytes.len() as u64, "byte"))
    } else {
        format!("`{shown}`")
    }
}

impl Shown {
    /// It in words; of a single message the part that begins with this byte.
    fn part(&self, from: usize, bytes_max: usize) -> String {
        match self {
            Self::Text(text) if !text.is_empty() => quoted_part(text, from, bytes_max),
            other => other.to_string(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(expected: &[u8], seen: &[u8], bytes_max: usize) -> Compared {
        let [expected, seen] = [expected, seen].map(|bytes| Shown::Text(bytes.to_vec()));
        let failure = Failure {
            place: String::new(),
            client: String::new(),
            sent: Vec::new(),
            expected,
            seen,
            kind: FailureKind::Wrong,
            rule: None,
        };
        failure.compared(bytes_max)
    }

    /// The character of the shown text that the mark points at.
    fn marked(compared: &Compared) -> Option<char> {
        compared.seen.chars().nth(compared.differs.unwrap().1)
    }

    #[test]
    fn the_mark_stands_under_the_first_character_that_differs() {
        for (expected, seen, at, mark) in [
            ("done", "dose", 2, 's'),
            ("done", "", 0, ' '),
            ("done", "done!", 4, '!'),
            ("done!", "done", 4, '`'),
            ("\u{1b}\na", "\u{1b}\nb", 2, 'b'),
            ("aé", "aè", 2, 'è'),
        ] {
            let compared = compared(expected.as_bytes(), seen.as_bytes(), 60);
            assert_eq!(compared.differs.unwrap().0, at, "{compared:?}");
            if !seen.is_empty() {
                assert_eq!(marked(&compared), Some(mark), "{compared:?}");
            }
        }
        let broken = compared(b"a\xffb", b"a\xffc", 60);
        assert_eq!((broken.seen.as_str(), marked(&broken)), ("`a\\xffc`", Some('c')));
    }

    #[test]
    fn of_a_long_message_the_part_that_differs_is_shown() {
        let expected = vec![b'x'; 1000];
        let mut seen = expected.clone();
        seen[900] = b'y';
        let compared = compared(&expected, &seen, 60);
        assert_eq!(compared.seen, format!("`…{}y{}…` (1,000 bytes)", "x".repeat(20), "x".repeat(39)));
        assert_eq!(compared.differs, Some((900, 22)));
        assert_eq!(marked(&compared), Some('y'));
        assert!(compared.expected.starts_with("`…xxx"), "{compared:?}");
    }

    #[test]
    fn a_message_that_ends_early_is_shown_at_its_end() {
        let compared = compared(&[b'x'; 1000], &[b'x'; 900], 60);
        assert_eq!(compared.seen, format!("`…{}` (900 bytes)", "x".repeat(20)));
        assert_eq!(compared.differs, Some((900, 22)));
    }
}
