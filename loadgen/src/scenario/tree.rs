//! A parsed TOML document as a plain tree in which every key and value knows where it was written.
//!
//! Parsing only: what the keys mean is the business of [`super::format`] and [`super::decode`].

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Place, Problems};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) value: Value,
}

/// A TOML value; `Invalid` stands for one that has been reported already and must not be looked at again.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime,
    List(Vec<Node>),
    Table(Vec<Entry>),
    Invalid,
}

/// A key of a table with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Place,
    pub(crate) node: Node,
    /// Written by the user; else a default.
    pub(crate) given: bool,
}

impl Value {
    /// What it is, for "found …".
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Boolean(_) => "true or false",
            Self::Datetime => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Invalid => "an invalid value",
        }
    }
}

impl Node {
    /// The entries of a table; none of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        if let Value::Table(entries) = &self.value { entries } else { &[] }
    }

    /// The elements of a list; none of anything else.
    pub(crate) fn elements(&self) -> &[Node] {
        if let Value::List(elements) = &self.value { elements } else { &[] }
    }

    /// The entry of this key in a table.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// A number of either kind.
    pub(crate) fn number(&self) -> Option<f64> {
        match self.value {
            Value::Integer(whole) => Some(whole as f64),
            Value::Float(real) => Some(real),
            _ => None,
        }
    }
}

/// Parses a whole document; `None` after reporting its syntax errors.
pub(crate) fn document(text: &str, source: usize, problems: &mut Problems) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let at = Place::new(source, table.span());
        return Some(Node { at, value: Builder { source, offset: 0, problems }.table(table.get_ref()) });
    }
    let mut errors: Vec<_> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    errors.sort_by_key(|(span, _)| span.start);
    let mut reported = None;
    for (span, message) in errors {
        // After an error the parser reports more on the rest of the line: only a line's first error is meaningful.
        let same_line = |last| !text.get(last..span.start).unwrap_or_default().contains('\n');
        if !reported.is_some_and(same_line) {
            reported = Some(span.start);
            problems.add(message, Place::new(source, span)).label("this is not valid TOML");
        }
    }
    None
}

/// Parses one value that begins at byte `offset` of its source; `None` where it is not valid TOML.
pub(crate) fn value(text: &str, source: usize, offset: usize, problems: &mut Problems) -> Option<Node> {
    let parsed = DeValue::parse(text).ok()?;
    Some(Builder { source, offset, problems }.node(&parsed))
}

/// The value of a key that was left out of the table at `at`, from the text of its default.
pub(crate) fn default_entry(key: &str, text: &str, at: Place) -> Entry {
    let mut problems = Problems::default();
    let mut node = value(text, at.source, 0, &mut problems).expect("a default of the format is valid TOML");
    relocate(&mut node, at);
    Entry { key: key.to_owned(), key_at: at, node, given: false }
}

fn relocate(node: &mut Node, at: Place) {
    node.at = at;
    match &mut node.value {
        Value::List(elements) => elements.iter_mut().for_each(|element| relocate(element, at)),
        Value::Table(entries) => entries.iter_mut().for_each(|entry| {
            entry.key_at = at;
            relocate(&mut entry.node, at);
        }),
        _ => {}
    }
}

/// Copies the parser's borrowed tree into ours.
struct Builder<'a> {
    source: usize,
    offset: usize,
    problems: &'a mut Problems,
}

impl Builder<'_> {
    fn place<T>(&self, spanned: &Spanned<T>) -> Place {
        let span = spanned.span();
        Place::new(self.source, span.start + self.offset..span.end + self.offset)
    }

    fn node(&mut self, spanned: &Spanned<DeValue<'_>>) -> Node {
        let at = self.place(spanned);
        let value = match spanned.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(integer) => {
                if let Ok(whole) = i64::from_str_radix(integer.as_str(), integer.radix()) {
                    Value::Integer(whole)
                } else {
                    self.problems.add("this number is too large", at).label("does not fit into 64 bits");
                    Value::Invalid
                }
            }
            DeValue::Float(float) => match float.as_str().parse() {
                Ok(real) => Value::Float(real),
                Err(_) => Value::Invalid,
            },
            DeValue::Boolean(flag) => Value::Boolean(*flag),
            DeValue::Datetime(_) => Value::Datetime,
            DeValue::Array(array) => Value::List(array.iter().map(|element| self.node(element)).collect()),
            DeValue::Table(table) => self.table(table),
        };
        Node { at, value }
    }

    /// The entries in the order in which they were written (the parser sorts them).
    fn table(&mut self, table: &DeTable<'_>) -> Value {
        let mut entries = Vec::with_capacity(table.len());
        for (key, value) in table {
            let (key_at, node) = (self.place(key), self.node(value));
            entries.push(Entry { key: key.get_ref().to_string(), key_at, node, given: true });
        }
        entries.sort_by_key(|entry| entry.key_at.start);
        Value::Table(entries)
    }
}
