//! Makes text of others safe to show: in a terminal, in Markdown, in TOML, in a file's name.
//!
//! A target chooses what it answers, so its text must not move a cursor, end a table's cell or run a script.

use std::fmt::Write as _;

/// Longest piece of a target's text in a report, in characters; the whole is in `run.json`.
const SHOWN_CHARS_MAX: usize = 160;

/// One printable line: control and direction-changing characters are written out.
pub(crate) fn line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            let _ = write!(safe, "{}", c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// What a target said, in one printable line that is cut where it gets long.
pub(crate) fn said(text: &str) -> String {
    let mut kept: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if kept.len() < text.len() {
        kept.push('…');
    }
    line(&kept)
}

/// Text inside Markdown, in a table too: nothing of it is markup.
pub(crate) fn markdown(text: &str) -> String {
    entities(&line(text))
}

/// A target's text as code inside Markdown. An HTML element with entities, because a code span in a table has no
/// way to hold a backslash before a bar.
pub(crate) fn markdown_code(text: &str) -> String {
    if text.is_empty() { "(empty)".to_owned() } else { format!("<code>{}</code>", entities(&said(text))) }
}

/// A text as a TOML string that reads back as the same text.
pub(crate) fn toml(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() || is_invisible(c) => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A name that is safe in a file's name and in a histogram log's tag.
pub(crate) fn name(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.=".contains(c) { c } else { '-' };
    let name: String = text.chars().map(safe).collect();
    // No hidden file, no way up.
    name.strip_prefix('.').map_or_else(|| name.clone(), |rest| format!("-{rest}"))
}

fn entities(text: &str) -> String {
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

/// Characters that change how others are shown without showing themselves.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_control_byte_and_no_direction_change() {
        assert_eq!(line("\u{1b}[2J\r\na\u{202e}b\u{9b}"), "\\u{1b}[2J\\r\\na\\u{202e}b\\u{9b}");
        assert_eq!(line("naïve ü ☃"), "naïve ü ☃");
    }

    #[test]
    fn long_text_is_cut_with_a_sign() {
        let cut = said(&"x".repeat(500));
        assert_eq!(cut.chars().count(), SHOWN_CHARS_MAX + 1);
        assert!(cut.ends_with('…'));
        assert_eq!(said("short"), "short");
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
            assert!(!quoted.contains(|c: char| c.is_control() || is_invisible(c)), "{quoted}");
            let table: toml::Table = format!("x = {quoted}").parse().unwrap();
            assert_eq!(table["x"].as_str(), Some(text));
        }
    }

    #[test]
    fn a_name_leads_nowhere() {
        assert_eq!(name("../a b,c/d\n"), "-.-a-b-c-d-");
        assert_eq!(name("clients.guests=10"), "clients.guests=10");
    }
}
