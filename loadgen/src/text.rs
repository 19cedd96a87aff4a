//! Text for people: numbers, lists and durations as they are read, and the text of others made safe to show.
//!
//! It uses no other module. Files for programs (CSV, JSON) hold plain numbers.

use std::fmt::Write as _;

/// Most characters of a target's text in a message or a report; `run.json` has all of it.
const EXCERPT_CHARS_MAX: usize = 160;

/// A whole number with thousands separators.
pub fn thousands(number: impl Into<i128>) -> String {
    let number = number.into();
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", separated(&number.unsigned_abs().to_string()))
}

/// Digits with thousands separators.
fn separated(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with this number of decimals, and thousands separators.
pub fn decimal(number: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", number.abs());
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let sign = if number < 0.0 { "-" } else { "" };
    format!("{sign}{}{fraction}", separated(whole))
}

/// A number with at most this number of decimals, without trailing zeros.
pub fn trimmed(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A duration in the unit that suits it: `20 µs`, `1.5 s`.
pub fn duration(ns: f64) -> String {
    let (unit, length) = match ns {
        ..1e3 => ("ns", 1.0),
        ..1e6 => ("µs", 1e3),
        ..1e9 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    format!("{} {unit}", trimmed(ns / length, 3))
}

/// A length of time in seconds.
pub fn seconds(seconds: f64) -> String {
    format!("{} s", trimmed(seconds, 1))
}

/// Nanoseconds as microseconds.
pub fn micros(ns: f64) -> String {
    format!("{:.1} µs", ns / 1e3)
}

/// A number of things: `1 client`, `2 clients`, `1,000 replies`.
pub fn plural(number: u64, noun: &str) -> String {
    let number_text = thousands(number);
    match noun.strip_suffix('y') {
        _ if number == 1 => format!("1 {noun}"),
        Some(stem) => format!("{number_text} {stem}ies"),
        None => format!("{number_text} {noun}s"),
    }
}

/// A list in running text: `TCP, TLS and WebSocket`.
pub fn list(words: &[impl AsRef<str>]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        words => words.concat(),
    }
}

/// Words in quotes, with commas.
pub fn quoted(words: &[impl AsRef<str>]) -> String {
    words.iter().map(|word| format!("\"{}\"", word.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Words in backquotes, with commas.
pub fn backquoted(words: &[impl AsRef<str>]) -> String {
    words.iter().map(|word| format!("`{}`", word.as_ref())).collect::<Vec<_>>().join(", ")
}

/// The text with its first letter in upper case.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Whether and how text is coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Paint {
    /// With ANSI colours.
    pub colour: bool,
}

impl Paint {
    /// The text under this ANSI code.
    pub fn with(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// For headings and sums.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// For explanations.
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// For what is good.
    pub fn green(self, text: &str) -> String {
        self.with("1;32", text)
    }

    /// For what is doubtful.
    pub fn yellow(self, text: &str) -> String {
        self.with("1;33", text)
    }

    /// For what is bad.
    pub fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    /// For places.
    pub fn blue(self, text: &str) -> String {
        self.with("1;34", text)
    }
}

/// Number of characters, which is the width unless some are wide.
pub fn width(text: &str) -> usize {
    text.chars().count()
}

/// The text with spaces behind it, up to this width.
pub fn left(text: &str, width_min: usize) -> String {
    format!("{text}{}", " ".repeat(width_min.saturating_sub(width(text))))
}

/// The text with spaces before it, up to this width.
pub fn right(text: &str, width_min: usize) -> String {
    format!("{}{text}", " ".repeat(width_min.saturating_sub(width(text))))
}

/// Whether a terminal would obey the character or not show it: a control character, or one that changes the direction
/// of text or how other characters are shown.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fdd0}'..='\u{fdef}')
        // Noncharacters: XML knows neither U+FFFE nor U+FFFF.
        || u32::from(c) & 0xfffe == 0xfffe
}

/// One printable line: unprintable characters are escaped.
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unprintable(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

/// The text's first characters in one printable line, with `…` if it is cut.
pub fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => printable(&text[..end]) + "…",
        None => printable(text),
    }
}

/// A target's text in one printable line, cut if it is long.
pub fn excerpt(text: &str) -> String {
    cut(text, EXCERPT_CHARS_MAX)
}

/// Text for Markdown, in which nothing is markup, not even in a table.
pub fn markdown(text: &str) -> String {
    let text = printable(text);
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '`' | '|' | '\\' | '*' | '_' | '[' | ']' | '~' | '$' => {
                let _ = write!(safe, "&#{};", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    safe.replace("://", "&#58;//").replace("www.", "www&#46;")
}

/// A target's text as code in Markdown. It is an HTML element with entities, because a code span in a table cannot hold
/// a backslash before a bar.
pub fn markdown_code(text: &str) -> String {
    if text.is_empty() { "(empty)".to_owned() } else { format!("<code>{}</code>", markdown(&excerpt(text))) }
}

/// A text as a TOML string that reads back as the same text.
pub fn toml(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if is_unprintable(c) => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A name that is safe in a file's name and in a histogram log's tag.
pub fn file_name(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.=".contains(c) { c } else { '-' };
    let name: String = text.chars().map(safe).collect();
    // No hidden file, and no parent folder.
    name.strip_prefix('.').map_or_else(|| name.clone(), |rest| format!("-{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        assert_eq!([999_u64, 1_000, 1_234_567].map(thousands), ["999", "1,000", "1,234,567"]);
        assert_eq!(thousands(-12_345), "-12,345");
        assert_eq!(decimal(-1_234.56, 1), "-1,234.6");
        assert_eq!(decimal(1e21, 0), "1,000,000,000,000,000,000,000");
    }

    #[test]
    fn durations_have_the_unit_that_suits_them() {
        assert_eq!([5.0, 12_500.0, 2e7, 1.5e9].map(duration), ["5 ns", "12.5 µs", "20 ms", "1.5 s"]);
    }

    #[test]
    fn nouns_follow_their_number_and_lists_end_with_and() {
        assert_eq!((plural(1, "reply"), plural(2_000, "reply")), ("1 reply".into(), "2,000 replies".into()));
        assert_eq!((plural(0, "byte"), list(&["a", "b", "c"])), ("0 bytes".into(), "a, b and c".into()));
        assert_eq!((list(&["a"]), list(&[""; 0])), ("a".into(), String::new()));
    }

    #[test]
    fn a_terminal_gets_no_control_byte_and_no_direction_change() {
        assert_eq!(printable("\u{1b}[2J\r\na\u{202e}b\u{9b}"), "\\u{1b}[2J\\r\\na\\u{202e}b\\u{9b}");
        assert_eq!(printable("naïve ü ☃"), "naïve ü ☃");
    }

    #[test]
    fn long_text_is_cut_with_a_sign() {
        assert_eq!((cut("xxx", 2), cut("ßß", 2)), ("xx…".into(), "ßß".into()));
    }

    #[test]
    fn markdown_gets_no_markup() {
        assert_eq!(
            markdown_code("a|b`c`</code><script>\\|"),
            "<code>a&#124;b&#96;c&#96;&lt;/code&gt;&lt;script&gt;&#92;&#124;</code>"
        );
        assert_eq!(
            markdown("[x](javascript:1) *b* http://e"),
            "&#91;x&#93;(javascript:1) &#42;b&#42; http&#58;//e"
        );
    }

    #[test]
    fn toml_reads_back_what_was_written_and_hides_nothing() {
        for text in ["", "a\"b\\c", "\u{1b}[2J\r\n\u{202e}x", "naïve ☃ {a}"] {
            let quoted = toml(text);
            assert!(!quoted.contains(is_unprintable), "{quoted}");
            let table: toml::Table = format!("x = {quoted}").parse().unwrap();
            assert_eq!(table["x"].as_str(), Some(text));
        }
    }

    #[test]
    fn a_name_leads_nowhere() {
        assert_eq!(file_name("../a b,c/d\n"), "-.-a-b-c-d-");
        assert_eq!(file_name("clients.guests=10"), "clients.guests=10");
    }
}
