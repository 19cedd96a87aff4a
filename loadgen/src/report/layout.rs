//! Lays `run.json` out: indented to be read and compared line by line, with each small record on one line.
//!
//! Plain pretty-printing would spend a line on every field of every second and of every histogram.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// Containers deeper than this stay on one line: cells, intervals and windows of a pass.
const DEPTH_MAX: usize = 4;

/// The value as JSON text.
pub(super) fn pretty(value: &impl Serialize) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, JsonLayout::default()))?;
    bytes.push(b'\n');
    Ok(String::from_utf8(bytes).expect("JSON is UTF-8"))
}

/// Indents down to a depth.
#[derive(Default)]
struct JsonLayout {
    depth: usize,
    indenting: PrettyFormatter<'static>,
}

impl JsonLayout {
    fn is_deep(&self) -> bool {
        self.depth > DEPTH_MAX
    }

    fn separate<W: ?Sized + Write>(writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }
}

impl Formatter for JsonLayout {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        if self.is_deep() { writer.write_all(b"[") } else { self.indenting.begin_array(writer) }
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let deep = self.is_deep();
        self.depth -= 1;
        if deep { writer.write_all(b"]") } else { self.indenting.end_array(writer) }
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if self.is_deep() {
            Self::separate(writer, first)
        } else {
            self.indenting.begin_array_value(writer, first)
        }
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.is_deep() { Ok(()) } else { self.indenting.end_array_value(writer) }
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        if self.is_deep() { writer.write_all(b"{") } else { self.indenting.begin_object(writer) }
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let deep = self.is_deep();
        self.depth -= 1;
        if deep { writer.write_all(b"}") } else { self.indenting.end_object(writer) }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if self.is_deep() {
            Self::separate(writer, first)
        } else {
            self.indenting.begin_object_key(writer, first)
        }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.is_deep() { Ok(()) } else { self.indenting.end_object_value(writer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_records_stay_on_one_line_and_strings_are_left_alone() {
        let value = serde_json::json!({
            "a": "x,{\"y\":\\",
            "e": [],
            "p": [{ "c": [{ "l": "m", "n": { "h": "==", "k": [1, 2] } }, {}] }],
        });
        insta::assert_snapshot!(pretty(&value).unwrap(), @r#"
        {
          "a": "x,{\"y\":\\",
          "e": [],
          "p": [
            {
              "c": [
                {"l": "m", "n": {"h": "==", "k": [1, 2]}},
                {}
              ]
            }
          ]
        }
        "#);
    }
}
