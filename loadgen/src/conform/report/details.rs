//! A case's failure in full, as plain lines: the rule, what was sent, expected and seen, and what went over the wire. All that
//! the target sent is escaped.

use std::fmt::Write as _;
use std::iter::repeat_n;

use super::super::cutting::Cutting;
use super::super::failure::FailureKind;
use super::super::transcript::{Entry, Happened};
use super::super::verdict::CaseResult;
use super::summary::{broken_rules, rule_in_short};
use crate::text;

/// Columns before what a line is about.
const MARGIN: usize = 12;

/// How much room there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Columns of a line of prose.
    columns: usize,
    /// Bytes of a message.
    message_bytes: usize,
    /// Entries of a transcript, the last ones, and bytes of each.
    entries: usize,
    entry_bytes: usize,
}

impl Room {
    /// Eighty columns.
    pub(super) const TERMINAL: Self = Self { columns: 80, message_bytes: 60, entries: 12, entry_bytes: 44 };
    /// A file that scrolls.
    pub(super) const FILE: Self = Self { columns: 120, message_bytes: 1024, entries: 200, entry_bytes: 256 };
}

/// A failure's lines.
#[derive(Debug)]
pub(super) struct Details {
    /// What is to be known.
    pub(super) lines: Vec<String>,
    /// What went over the wire.
    pub(super) transcript: Vec<String>,
}

impl Details {
    pub(super) fn of(case: &CaseResult, room: Room) -> Self {
        let mut lines = Vec::new();
        if case.server_died {
            lines.push(line("note", "the server died in it"));
        }
        if !case.reason.is_empty() {
            lines.extend(entry("note", &text::printable(&case.reason), room));
        }
        for rule in broken_rules(case) {
            lines.extend(entry(rule.name(), &rule_in_short(rule), room));
        }
        if let Some(failure) = &case.failure {
            let who = if failure.client.is_empty() { String::new() } else { format!(", {}", failure.client) };
            lines.extend(entry("where", &format!("{}{who}", failure.place), room));
            if let Some(sent) = failure.sent_shown(room.message_bytes) {
                lines.push(line("sent", &sent));
            }
            let compared = failure.compared(room.message_bytes);
            lines.push(line("expected", &compared.expected));
            lines.push(line("seen", &compared.seen));
            if let Some((byte, column)) = compared.differs {
                // A mark beyond the line's end on the screen would point at nothing.
                if MARGIN + column < room.columns {
                    lines.push(line("", &format!("{}^ byte {byte}", " ".repeat(column))));
                } else {
                    lines.push(line("", &format!("they differ from byte {byte} on")));
                }
            }
            if failure.kind == FailureKind::Late {
                lines.push(line("", "it is about time only"));
            }
        }
        if case.cutting != Cutting::Whole {
            lines.extend(entry("cutting", &format!("{}: it passes when nothing is cut", case.cutting), room));
        }
        Self { lines, transcript: transcript(case, room) }
    }

    /// All of it.
    pub(super) fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().chain(&self.transcript).map(String::as_str).collect();
        if lines.is_empty() { String::new() } else { lines.join("\n") + "\n" }
    }
}

fn line(name: &str, what: &str) -> String {
    format!("  {name:<9} {what}").trim_end().to_owned()
}

/// Prose behind a name, wrapped.
fn entry(name: &str, prose: &str, room: Room) -> Vec<String> {
    let names = std::iter::once(name).chain(repeat_n("", usize::MAX));
    wrapped(prose, room.columns - MARGIN).iter().zip(names).map(|(prose, name)| line(name, prose)).collect()
}

/// Prose in lines of so many columns; a longer word has a line of its own.
pub(super) fn wrapped(prose: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in prose.split_whitespace() {
        let last = lines.last_mut().expect("there is always a last line");
        if last.is_empty() {
            last.push_str(word);
        } else if text::width(last) + 1 + text::width(word) <= columns {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

fn transcript(case: &CaseResult, room: Room) -> Vec<String> {
    let left_out = case.transcript.len().saturating_sub(room.entries);
    let mut lines = Vec::new();
    if left_out > 0 {
        lines.push(format!("  … {} before", text::plural(left_out as u64, "event")));
    }
    for Entry { at, client, what } in &case.transcript[left_out..] {
        let name = case.clients.get(*client).map_or("", String::as_str);
        let what = match what {
            Happened::Sent { bytes, length } => {
                format!("> {}", on_the_wire(bytes, *length, room.entry_bytes))
            }
            Happened::Received { bytes, length } => {
                format!("< {}", on_the_wire(bytes, *length, room.entry_bytes))
            }
            Happened::Note(note) => format!("  {}", text::printable(note)),
        };
        lines.push(format!("  {:>9.1} ms  {name:<8} {what}", at.as_secs_f64() * 1000.0));
    }
    lines
}

/// Bytes on the wire: text in quotes where they are, else hexadecimal digits.
fn on_the_wire(bytes: &[u8], length: usize, bytes_max: usize) -> String {
    let part = &bytes[..bytes.len().min(bytes_max)];
    // A character that the end cuts is no reason to show the whole as digits.
    let valid = match str::from_utf8(part) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => str::from_utf8(&part[..error.valid_up_to()]).ok(),
        Err(_) => None,
    };
    let is_text = |text: &&str| !text.chars().any(|c| c.is_control() && !"\r\n\t".contains(c));
    let shown = match valid.filter(is_text) {
        Some(text) => format!("\"{}\"", text::printable(text).replace('"', "\\\"")),
        None => part.chunks(4).map(hexadecimal).collect::<Vec<_>>().join(" "),
    };
    if length > part.len() { format!("{shown} … ({})", text::plural(length as u64, "byte")) } else { shown }
}

/// Two digits for each byte.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::verdict::Verdict;
    use super::super::fixture::{NASTY, failed};
    use super::*;
    use crate::domain::Rule;

    #[test]
    fn a_failure_says_what_was_due_and_marks_the_first_byte_that_differs() {
        let case = failed("a", Rule::Store1, Verdict::Failed, b"valve");
        let details = Details::of(&case, Room::TERMINAL);
        let rule = rule_in_short(Rule::Store1);
        assert!(details.lines[0].starts_with(&format!("  STORE-1   {}", &rule[..20])), "{:?}", details.lines);
        let from = details.lines.iter().position(|line| line.starts_with("  where")).unwrap();
        assert_eq!(
            details.lines[from..],
            [
                "  where     step 2, alice",
                "  sent      `get k`",
                "  expected  `value`",
                "  seen      `valve`",
                "                ^ byte 3",
                "  cutting   one byte at a time: it passes when nothing is cut",
            ]
        );
        assert_eq!(
            details.transcript,
            [
                "        0.2 ms  alice    > \"get k\\n\"",
                "        0.5 ms  alice    < \"valve\" … (5,000 bytes)",
                "        1.0 ms  alice      ends",
            ]
        );
    }

    #[test]
    fn nothing_that_the_target_sent_reaches_a_terminal_as_it_is() {
        let case = failed("a", Rule::Store1, Verdict::Failed, NASTY);
        for room in [Room::TERMINAL, Room::FILE] {
            let text = Details::of(&case, room).text();
            assert!(!text.contains(|c: char| c != '\n' && text::is_unprintable(c)), "{text:?}");
            assert!(text.contains("\\u{1b}[2J"), "{text}");
        }
    }

    #[test]
    fn prose_and_bytes_fit_eighty_columns() {
        for rule in Rule::ALL {
            let case = failed("a", rule, Verdict::Failed, &[b'x'; 3000]);
            for line in Details::of(&case, Room::TERMINAL).text().lines() {
                assert!(text::width(line) <= 90, "{line}");
            }
        }
    }

    #[test]
    fn bytes_are_text_where_they_can_be() {
        assert_eq!(on_the_wire(b"a\"b\r\n", 5, 72), "\"a\\\"b\\r\\n\"");
        assert_eq!(on_the_wire(b"\x81\x05hello", 7, 72), "81056865 6c6c6f");
        assert_eq!(on_the_wire("aé".as_bytes(), 3, 2), "\"a\" … (3 bytes)");
    }
}
