//! Placeholders in a case's texts: `{alice}`, `{fill:1000}`, `{i}`; `{{` and `}}` stand for braces.

use super::model::{Part, Size, Text};
use crate::scenario::grammar::name_fault;
use crate::scenario::shape::nearest;
use crate::text::backquoted;

/// Longest user name (LOGIN-1): a client's placeholder becomes at most this.
pub(super) const NAME_BYTES_MAX: usize = 64;

/// Largest `{fill:N}`: many times the longest message, and still no burden.
const FILL_BYTES_MAX: usize = 1024 * 1024;

/// Names that clients cannot have, since they mean something else in braces.
pub(super) const RESERVED: [&str; 6] = ["i", "fill", "fill-to", "filled", "word", "secret"];

/// What placeholders may mean.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    /// The clients' names in the case, by index.
    pub(super) clients: &'a [String],
    /// Whether there is a round to count.
    pub(super) in_repeat: bool,
}

/// What is wrong with a placeholder.
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) label: String,
}

fn fault(message: impl Into<String>, label: impl Into<String>) -> Fault {
    Fault { message: message.into(), label: label.into() }
}

/// Reads a text.
///
/// # Errors
/// All its faults.
pub(super) fn parse(text: &str, names: Names<'_>) -> Result<Text, Vec<Fault>> {
    let mut parts = Vec::new();
    let mut faults = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        literal.push_str(before);
        if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
            literal.push_str(&from[..1]);
            rest = after;
            continue;
        }
        let Some((inside, after)) = from.strip_prefix('{').and_then(|inside| inside.split_once('}')) else {
            let (what, twice) = if from.starts_with('{') { ("{", "{{") } else { ("}", "}}") };
            faults.push(fault(format!("a lone `{what}`"), format!("write `{twice}` for a brace")));
            rest = &from[1..];
            continue;
        };
        match placeholder(inside, names) {
            Ok(part) => {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(part);
            }
            Err(fault) => faults.push(fault),
        }
        rest = after;
    }
    if parts.iter().filter(|part| matches!(part, Part::FillTo(_))).count() > 1 {
        faults.push(fault("two `{fill-to:…}` in one text", "only one can make it as long as that"));
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    if faults.is_empty() { Ok(Text { parts }) } else { Err(faults) }
}

fn placeholder(inside: &str, names: Names<'_>) -> Result<Part, Fault> {
    if let Some(number) = inside.strip_prefix("fill:") {
        let bytes = number.parse().ok().filter(|bytes| (1..=FILL_BYTES_MAX).contains(bytes));
        let wrong = || {
            fault(
                format!("`{{{inside}}}` fills nothing"),
                "`{fill:N}` has a number from 1 to 1,048,576 bytes",
            )
        };
        return bytes.map(Part::Fill).ok_or_else(wrong);
    }
    if let Some(size) = inside.strip_prefix("fill-to:") {
        let wrong = || {
            fault(
                format!("`{{{inside}}}` is no size"),
                "`{fill-to:N}` has a number up to 1,048,576, or message-max or name-max, either with +1 to +9 if need be",
            )
        };
        return self::size(size).map(Part::FillTo).ok_or_else(wrong);
    }
    if let Some(word) = inside.strip_prefix("word:") {
        let wrong = || fault(format!("`{{{inside}}}` names no word"), "`{word:NAME}` has a name");
        return name_fault(word).is_none().then(|| Part::Word(word.to_owned())).ok_or_else(wrong);
    }
    match inside {
        "filled" => return Ok(Part::Filled),
        "secret" => return Ok(Part::Secret),
        _ => {}
    }
    if inside == "i" {
        let outside = || fault("`{i}` outside `repeat`", "only the rounds of a repeat are counted");
        return names.in_repeat.then_some(Part::Index).ok_or_else(outside);
    }
    if let Some(index) = names.clients.iter().position(|name| name == inside) {
        return Ok(Part::Client(index));
    }
    let known: Vec<&str> = names.clients.iter().map(String::as_str).collect();
    let label = match nearest(inside, &known) {
        Some(name) => format!("did you mean `{{{name}}}`?"),
        None => format!("there is {}; write `{{{{` for a brace", backquoted(&known)),
    };
    Err(fault(format!("`{{{inside}}}` is no client of this case"), label))
}

/// `100`, `message-max`, `name-max+1`.
fn size(text: &str) -> Option<Size> {
    let (base, more) = match text.split_once('+') {
        Some((base, more)) => (base, more.parse().ok().filter(|more| (1..=9).contains(more))?),
        None => (text, 0),
    };
    match base {
        "message-max" => Some(Size::MessageMax(more)),
        "name-max" => Some(Size::NameMax(more)),
        _ if more > 0 => None,
        number => number.parse().ok().filter(|bytes| *bytes <= FILL_BYTES_MAX).map(Size::Bytes),
    }
}

impl Text {
    /// A text without placeholders.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self { parts: vec![Part::Literal(text.to_owned())] }
    }

    /// Bytes that it has at least.
    pub(in crate::conform) fn bytes_min(&self) -> usize {
        self.bytes(1)
    }

    /// Bytes that it has at least, whatever the target's limits are.
    pub(in crate::conform) fn bytes_fixed(&self) -> usize {
        let to = |part: &Part| if let Part::FillTo(Size::Bytes(bytes)) = part { *bytes } else { 0 };
        self.parts.iter().map(to).max().unwrap_or_default().max(self.bytes_min())
    }

    /// Bytes that it has at most.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes(NAME_BYTES_MAX)
    }

    fn bytes(&self, name: usize) -> usize {
        let bytes = |part: &Part| match part {
            Part::Literal(literal) => literal.len(),
            Part::Fill(bytes) => *bytes,
            Part::Client(_) | Part::Index | Part::Word(_) | Part::Secret => name,
            Part::FillTo(_) | Part::Filled if name == 1 => 0,
            Part::FillTo(_) | Part::Filled => FILL_BYTES_MAX,
        };
        self.parts.iter().map(bytes).sum()
    }

    /// Whether it is exactly one word, whatever its placeholders become.
    pub(super) fn is_word(&self) -> bool {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | 0x0C | b'\r');
        let spaced =
            |part: &Part| matches!(part, Part::Literal(text) if text.as_bytes().iter().any(is_space));
        !self.parts.is_empty() && !self.parts.iter().any(spaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Part>, Vec<String>> {
        let clients = ["alice".to_owned(), "bob".to_owned()];
        let names = Names { clients: &clients, in_repeat: true };
        parse(text, names)
            .map(|text| text.parts)
            .map_err(|faults| faults.into_iter().map(|fault| fault.message).collect())
    }

    #[test]
    fn placeholders_stand_between_literals() {
        let literal = |text: &str| Part::Literal(text.to_owned());
        assert_eq!(
            read("get {bob} k{i} {fill:7}").unwrap(),
            [literal("get "), Part::Client(1), literal(" k"), Part::Index, literal(" "), Part::Fill(7)]
        );
        assert_eq!(read("").unwrap(), []);
        assert_eq!(read("{alice}{bob}").unwrap(), [Part::Client(0), Part::Client(1)]);
    }

    #[test]
    fn doubled_braces_are_braces() {
        assert_eq!(read("{{alice}} }}{{").unwrap(), [Part::Literal("{alice} }{".to_owned())]);
        assert_eq!(
            read("{{{alice}}}").unwrap(),
            [Part::Literal("{".to_owned()), Part::Client(0), Part::Literal("}".to_owned())]
        );
    }

    #[test]
    fn every_fault_of_a_text_is_found() {
        assert_eq!(
            read("{carol} {fill:0} {fill:x} } {").unwrap_err(),
            [
                "`{carol}` is no client of this case",
                "`{fill:0}` fills nothing",
                "`{fill:x}` fills nothing",
                "a lone `}`",
                "a lone `{`"
            ]
        );
    }
}
