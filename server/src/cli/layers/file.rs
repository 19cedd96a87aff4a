//! The file of options: a flat TOML table, `max-connections = 100`, whose mistakes are shown where they stand.

use std::{
    fmt::{self, Write},
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use clap::Arg;
use toml::de::{DeTable, DeValue};

use super::{Options, Raw, Source};
use crate::small_file::read_text;

/// A file of options that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum FileError {
    #[error("cannot read the configuration from {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}", MistakeList(path, mistakes))]
    Mistakes { path: PathBuf, mistakes: Vec<Mistake> },
}

/// One mistake and its position. All mistakes of a file are reported at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Mistake {
    message: String,
    /// From 1, in characters.
    column: usize,
    /// From 1.
    line: usize,
    /// The line itself.
    text: String,
    /// How many characters to underline, at least one.
    width: usize,
}

/// What the file at `path` sets.
pub(super) fn read<'o>(path: &Path, options: &'o Options) -> Result<Vec<(&'o Arg, Source, Raw)>, FileError> {
    let text = read_text(path).map_err(|source| FileError::Unreadable { path: path.to_owned(), source })?;
    let (mut found, mut mistakes) = (Vec::new(), Vec::new());
    let (table, errors) = DeTable::parse_recoverable(&text);
    for error in errors {
        mistakes.push(Mistake::new(&text, error.span().unwrap_or_default(), error.message().to_owned()));
    }
    // What was parsed next to a syntax error has no position to show.
    let entries = table.get_ref().iter().filter(|_| mistakes.is_empty()).collect::<Vec<_>>();
    for (key, value) in entries {
        let Some(arg) = options.named(key.get_ref()) else {
            mistakes.push(Mistake::new(&text, key.span(), unknown(options, key.get_ref())));
            continue;
        };
        match from_toml(value.get_ref()).and_then(|raw| options.check(arg, &raw).map(|()| raw)) {
            Ok(raw) => {
                let (line, _) = place(&text, key.span().start);
                found.push((arg, Source::File { path: path.to_owned(), line }, raw));
            }
            Err(message) => mistakes.push(Mistake::new(&text, value.span(), message)),
        }
    }
    if mistakes.is_empty() {
        return Ok(found);
    }
    mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
    Err(FileError::Mistakes { path: path.to_owned(), mistakes })
}

fn from_toml(value: &DeValue<'_>) -> Result<Raw, String> {
    match value {
        DeValue::Boolean(on) => Ok(Raw::Flag(*on)),
        DeValue::Array(values) => {
            values.iter().map(|value| text(value.get_ref())).collect::<Result<_, _>>().map(Raw::Texts)
        }
        value => Ok(Raw::Texts(vec![text(value)?])),
    }
}

fn text(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(integer) if integer.radix() == 10 => Ok(integer.as_str().to_owned()),
        other => Err(format!("expected text or a whole number, not a value of type {}", other.type_str())),
    }
}

/// What to say about a key that is not an option.
fn unknown(options: &Options, key: &str) -> String {
    if key == "upgrade-secret" {
        return "a secret does not belong here: name its file with upgrade-secret-file".to_owned();
    }
    match options.resembling(key) {
        Some(name) => format!("unknown option '{key}': did you mean '{name}'?"),
        None => format!("unknown option '{key}': --help lists them all"),
    }
}

impl Mistake {
    fn new(source: &str, span: Range<usize>, message: String) -> Self {
        let (line, column) = place(source, span.start);
        let text = source.lines().nth(line - 1).unwrap_or_default().to_owned();
        let marked = source.get(span).unwrap_or_default().lines().next().unwrap_or_default();
        Self { message, column, line, text, width: marked.chars().count().max(1) }
    }
}

/// Line and column of a byte of `source`, both from 1.
fn place(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

struct MistakeList<'a>(&'a Path, &'a [Mistake]);

impl fmt::Display for MistakeList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(path, mistakes) = self;
        for (index, Mistake { message, column, line, text, width }) in mistakes.iter().enumerate() {
            if index > 0 {
                f.write_char('\n')?;
            }
            let margin = line.to_string().len();
            // The file's contents must not control the terminal.
            let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            writeln!(f, "{}:{line}:{column}: {message}", path.display())?;
            writeln!(f, "{line} | {text}")?;
            write!(f, "{:margin$} | {:>2$}", "", "^".repeat(*width), column - 1 + width)?;
        }
        Ok(())
    }
}
