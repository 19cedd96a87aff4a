//! Errors in a scenario, collected and shown as a compiler shows them: file, line, column, the line, a mark and help.
//!
//! It knows texts and places only, nothing of scenarios.

use crate::text::{self, Paint};
use std::fmt::{self, Write as _};
use std::ops::Range;

/// Errors shown; the rest is counted.
const SHOWN_MAX: usize = 50;

/// Columns of a source line shown around the mark; a line of a megabyte must not flood the terminal.
const COLUMNS_MAX: usize = 120;

/// Bytes in one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index of the source: 0 is the file, others are arguments.
    pub(crate) source: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Place {
    pub(crate) fn new(source: usize, span: Range<usize>) -> Self {
        Self { source, start: span.start, end: span.end }
    }
}

/// One error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    message: String,
    place: Option<Place>,
    label: String,
    help: Option<String>,
}

impl Diagnostic {
    /// Sets the text next to the mark.
    pub(crate) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = label.into();
        self
    }

    /// Sets the line of advice under the mark.
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn place(&self) -> Option<Place> {
        self.place
    }

    pub(crate) fn label_text(&self) -> &str {
        &self.label
    }
}

/// Errors as they are being collected.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    items: Vec<Diagnostic>,
}

impl Problems {
    /// Reports an error at a place.
    pub(crate) fn add(&mut self, message: impl Into<String>, place: Place) -> &mut Diagnostic {
        self.push(message.into(), Some(place))
    }

    /// Reports an error of the whole file.
    pub(crate) fn add_unplaced(&mut self, message: impl Into<String>) -> &mut Diagnostic {
        self.push(message.into(), None)
    }

    fn push(&mut self, message: String, place: Option<Place>) -> &mut Diagnostic {
        self.items.push(Diagnostic { message, place, label: String::new(), help: None });
        self.items.last_mut().expect("one was just pushed")
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether something was reported at this very place.
    pub(crate) fn has(&self, place: Place) -> bool {
        self.items.iter().any(|item| item.place == Some(place))
    }

    pub(crate) fn first(&self) -> Option<&Diagnostic> {
        self.items.first()
    }

    /// The finished list, in the order of the text, with the texts that it points into.
    pub(crate) fn finish(mut self, sources: Vec<Source>) -> Diagnostics {
        self.items.sort_by_key(|item| item.place.map_or((0, 0), |place| (place.source, place.start)));
        self.items.dedup();
        Diagnostics { sources, items: self.items }
    }
}

/// A text that errors point into.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The file's name, or the flag.
    pub(crate) name: String,
    pub(crate) text: String,
    /// Whether it has line numbers: a file does, an argument does not.
    pub(crate) is_file: bool,
}

/// All errors of a scenario. `Display` shows them without colour; see [`Diagnostics::render`].
#[derive(Debug, Clone)]
pub struct Diagnostics {
    sources: Vec<Source>,
    items: Vec<Diagnostic>,
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl Diagnostics {
    /// One error about a file as a whole (it cannot be read, say).
    pub(crate) fn of_file(name: &str, message: impl Into<String>, help: &str) -> Self {
        let mut problems = Problems::default();
        problems.add_unplaced(message).help(help);
        problems.finish(vec![Source { name: name.to_owned(), text: String::new(), is_file: true }])
    }

    /// How many errors there are; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.items.len()
    }

    /// The errors' first lines, without places, in the order of the text.
    pub fn messages(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(Diagnostic::message)
    }

    /// All errors as text for people, with a final newline; `colour` adds terminal colours.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let paint = Paint { colour };
        let mut out = String::new();
        for (index, item) in self.items.iter().take(SHOWN_MAX).enumerate() {
            if index > 0 {
                out.push('\n');
            }
            self.render_one(item, paint, &mut out);
        }
        if self.items.len() > SHOWN_MAX {
            let _ = writeln!(out, "\n… and {} more errors", self.items.len() - SHOWN_MAX);
        }
        out
    }

    fn render_one(&self, item: &Diagnostic, paint: Paint, out: &mut String) {
        let error = paint.red("error");
        let message = paint.bold(&format!(": {}", escape(&item.message)));
        let _ = writeln!(out, "{error}{message}");
        let bar = paint.blue("|");
        let Some((source, place)) =
            item.place.and_then(|place| Some((self.sources.get(place.source)?, place)))
        else {
            let name = self.sources.first().map_or("", |source| source.name.as_str());
            let _ = writeln!(out, "  {} {}", paint.blue("-->"), escape(name));
            if let Some(help) = &item.help {
                let _ = writeln!(out, "   {} help: {}", paint.blue("="), escape(help));
            }
            return;
        };
        let excerpt = Excerpt::new(&source.text, place);
        let number = if source.is_file { excerpt.line.to_string() } else { String::new() };
        let margin = " ".repeat(number.len().max(1));
        let arrow = paint.blue("-->");
        let name = escape(&source.name);
        if source.is_file {
            let _ = writeln!(out, "{margin}{arrow} {name}:{}:{}", excerpt.line, excerpt.column);
        } else {
            let _ = writeln!(out, "{margin}{arrow} {name}");
        }
        let marks = "^".repeat(excerpt.marked.max(1));
        let marks = paint.red(format!("{marks} {}", escape(&item.label)).trim_end());
        let _ = writeln!(out, "{margin} {bar}");
        let _ = writeln!(out, "{} {bar} {}", paint.blue(&format!("{number:1}")), excerpt.text);
        let _ = writeln!(out, "{margin} {bar} {}{marks}", " ".repeat(excerpt.before));
        if let Some(help) = &item.help {
            let _ = writeln!(out, "{margin} {} help: {}", paint.blue("="), escape(help));
        }
    }
}

/// The line of a place, cut to what fits, and where in it the mark goes.
struct Excerpt {
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
    text: String,
    /// Columns before the mark, and under it.
    before: usize,
    marked: usize,
}

impl Excerpt {
    fn new(text: &str, place: Place) -> Self {
        let start = floor_char(text, place.start);
        let end = floor_char(text, place.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let end = end.min(line_end);
        let line = text[..start].matches('\n').count() + 1;
        let mut before = visible(&text[line_start..start]);
        let mut marked = visible(&text[start..end]);
        let mut after = visible(text[end..line_end].trim_end());
        let column = text[line_start..start].chars().count() + 1;
        // The beginning of the mark matters most, then its end, then its surroundings.
        if before.len() > COLUMNS_MAX / 2 {
            before.drain(..before.len() - COLUMNS_MAX / 2);
            before.insert(0, '…');
        }
        truncate(&mut marked, COLUMNS_MAX);
        truncate(&mut after, COLUMNS_MAX.saturating_sub(before.len() + marked.len()));
        let text = before.iter().chain(&marked).chain(&after).collect::<String>();
        let text = text.trim_end().to_owned();
        Self { line, column, text, before: before.len(), marked: marked.len() }
    }
}

/// The nearest character boundary at or below `index`.
fn floor_char(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

/// Characters as shown: a tab is one space, so that the mark stands below what it marks; control characters are
/// replaced.
fn visible(text: &str) -> Vec<char> {
    let show = |c: char| match c {
        '\t' => ' ',
        c if text::is_unprintable(c) => '\u{fffd}',
        c => c,
    };
    text.chars().filter(|c| *c != '\r').map(show).collect()
}

fn truncate(chars: &mut Vec<char>, max: usize) {
    if chars.len() > max {
        chars.truncate(max);
        chars.push('…');
    }
}

/// Text of a message, without control characters and cut if it is very long.
fn escape(text: &str) -> String {
    text::cut(text, 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: Range<usize>) -> String {
        let mut problems = Problems::default();
        problems.add("bad\u{1b}[2J thing", Place::new(0, span)).label("here").help("do better");
        let source = Source { name: "x.toml".to_owned(), text: text.to_owned(), is_file: true };
        problems.finish(vec![source]).to_string()
    }

    #[test]
    fn the_mark_stands_under_what_it_marks_despite_tabs_and_wide_bytes() {
        insta::assert_snapshot!(shown("a = 1\n\tüö = [\"\u{7}\"] # c\r\nb = 2\n", 7..11), @r#"
    error: bad\u{1b}[2J thing
     --> x.toml:2:2
      |
    2 |  üö = ["�"] # c
      |  ^^ here
      = help: do better
    "#);
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_mark() {
        let text = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let rendered = shown(&text, 5000..5001);
        assert!(rendered.lines().all(|line| line.chars().count() < 140), "{rendered}");
        assert!(rendered.contains("aX"), "{rendered}");
    }

    #[test]
    fn a_span_beyond_the_text_or_inside_a_character_is_shown_all_the_same() {
        assert!(shown("ü", 1..900).contains("x.toml:1:1"));
        assert!(shown("", 3..9).contains("x.toml:1:1"));
    }

    #[test]
    fn colour_is_only_added_on_demand() {
        let diagnostics = Diagnostics::of_file("x", "no", "help");
        assert!(!diagnostics.to_string().contains('\u{1b}'));
        assert!(diagnostics.render(true).contains('\u{1b}'));
    }

    #[test]
    fn beyond_fifty_errors_the_rest_is_counted() {
        let mut problems = Problems::default();
        for index in 0..60 {
            problems.add_unplaced(format!("number {index}"));
        }
        let text = problems.finish(Vec::new()).to_string();
        assert!(text.ends_with("… and 10 more errors"), "{text}");
    }
}
