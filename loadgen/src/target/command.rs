//! A `--launch` command: its words as a shell would split them, and the ports that it asks for.
//!
//! Nothing is run here. No shell is involved either: no variables, no globs, no pipes.

use std::collections::BTreeMap;

use crate::scenario::model::Transport;

/// What is wrong with a `--launch` command, or with all of them together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// No word at all.
    #[error(
        "--launch is empty: write a program and its arguments, as in --launch \"./server --port {{tcp}}\""
    )]
    Empty,
    /// Quotes that are not closed, or a backslash at the end.
    #[error("--launch `{0}`: a quote is not closed")]
    Unbalanced(String),
    /// A word in braces that means nothing.
    #[error(
        "--launch: `{{{0}}}` is no placeholder; there are {{tcp}}, {{tcp-raw}} and {{ws}}, each a free port"
    )]
    UnknownPlaceholder(String),
    /// A placeholder for a transport that cannot be used yet.
    #[error("--launch: `{{{0}}}` is not built yet; README.md says what is")]
    NotYet(String),
    /// A placeholder in the program's own name.
    #[error("--launch `{0}`: the first word is the program to run and takes no placeholder")]
    PlaceholderAsProgram(String),
    /// A transport with a placeholder and an address.
    #[error(
        "`{0}` has two ports: {{{1}}} in --launch makes a fresh one, and --{1} names another; keep one of them"
    )]
    TwoPorts(Transport, &'static str),
    /// Nothing says where the launched programs listen.
    #[error(
        "--launch says not where the target listens: put {{tcp}}, {{tcp-raw}} or {{ws}} where its port goes, \
         or give its address with --tcp, --tcp-raw or --ws"
    )]
    NoAddress,
}

/// The placeholders, and the transports for which each stands.
const PLACEHOLDERS: [(&str, Transport); 5] = [
    ("tcp", Transport::Tcp),
    ("tcp-raw", Transport::TcpRaw),
    ("ws", Transport::WebSocket),
    ("tls", Transport::Tls),
    ("wss", Transport::Wss),
];

/// The flag and placeholder of a transport.
#[must_use]
pub fn placeholder(transport: Transport) -> &'static str {
    PLACEHOLDERS.iter().find(|(_, known)| *known == transport).map_or("", |(name, _)| *name)
}

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Port(Transport),
}

/// A command to launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchCommand {
    text: String,
    program: String,
    arguments: Vec<Vec<Part>>,
}

impl LaunchCommand {
    /// Splits and checks what was written after `--launch`.
    ///
    /// # Errors
    /// Where it is empty, has an open quote, or a placeholder that there is not.
    pub fn parse(text: &str) -> Result<Self, LaunchError> {
        let words = shell_words::split(text).map_err(|_| LaunchError::Unbalanced(text.to_owned()))?;
        let (program, arguments) = words.split_first().ok_or(LaunchError::Empty)?;
        if program.is_empty() {
            return Err(LaunchError::Empty);
        }
        if parts(program)?.iter().any(|part| matches!(part, Part::Port(_))) {
            return Err(LaunchError::PlaceholderAsProgram(program.clone()));
        }
        let arguments = arguments.iter().map(|word| parts(word)).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), program: program.clone(), arguments })
    }

    /// As the user wrote it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The transports for which it asks a port.
    pub fn transports(&self) -> impl Iterator<Item = Transport> + '_ {
        self.arguments.iter().flatten().filter_map(|part| match part {
            Part::Port(transport) => Some(*transport),
            Part::Text(_) => None,
        })
    }

    /// Program and arguments with the ports in their places.
    #[must_use]
    pub fn words(&self, ports: &BTreeMap<Transport, u16>) -> Vec<String> {
        let word = |parts: &Vec<Part>| {
            let text = parts.iter().map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Port(transport) => ports.get(transport).map(u16::to_string).unwrap_or_default(),
            });
            text.collect::<String>()
        };
        std::iter::once(self.program.clone()).chain(self.arguments.iter().map(word)).collect()
    }
}

/// Cuts a word at its placeholders. Braces around anything but a name (`{"a":1}`, `{}`) are plain text.
fn parts(word: &str) -> Result<Vec<Part>, LaunchError> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = word;
    while let Some(start) = rest.find('{') {
        let (before, after) = (&rest[..start], &rest[start + 1..]);
        let Some(name) = after.find('}').map(|end| &after[..end]).filter(|name| is_name(name)) else {
            text += &rest[..=start];
            rest = after;
            continue;
        };
        let known = PLACEHOLDERS.iter().find(|(known, _)| *known == name);
        let (_, transport) = known.ok_or_else(|| LaunchError::UnknownPlaceholder(name.to_owned()))?;
        if matches!(transport, Transport::Tls | Transport::Wss) {
            return Err(LaunchError::NotYet(name.to_owned()));
        }
        text += before;
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(Part::Port(*transport));
        rest = &after[name.len() + 1..];
    }
    text += rest;
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        let ports = [(Transport::Tcp, 1001), (Transport::TcpRaw, 1002), (Transport::WebSocket, 1003)];
        LaunchCommand::parse(text).unwrap().words(&BTreeMap::from(ports))
    }

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        assert_eq!(words("server --port 7"), ["server", "--port", "7"]);
        assert_eq!(words(r#"  'my server'  "a b"c\ d '$HOME' "" "#), ["my server", "a bc d", "$HOME", ""]);
    }

    #[test]
    fn placeholders_become_ports_wherever_they_stand() {
        assert_eq!(
            words("server {tcp} --raw=127.0.0.1:{tcp-raw} 'ws://x:{ws}/' {tcp}{ws}"),
            ["server", "1001", "--raw=127.0.0.1:1002", "ws://x:1003/", "10011003"]
        );
        let command = LaunchCommand::parse("server {ws} {tcp}").unwrap();
        assert_eq!(command.transports().collect::<Vec<_>>(), [Transport::WebSocket, Transport::Tcp]);
    }

    #[test]
    fn braces_around_no_name_are_text() {
        assert_eq!(
            words(r#"x '{"a": {tcp}}' {} { } a{ {1}"#),
            ["x", r#"{"a": 1001}"#, "{}", "{", "}", "a{", "{1}"]
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text: &str| LaunchCommand::parse(text).unwrap_err().to_string();
        for (text, part) in [
            ("", "--launch is empty"),
            ("  ", "--launch is empty"),
            ("'' x", "--launch is empty"),
            ("server 'a b", "a quote is not closed"),
            ("server \"", "a quote is not closed"),
            ("server {port}", "`{port}` is no placeholder; there are {tcp}, {tcp-raw} and {ws}"),
            ("server {TCP}", "`{TCP}` is no placeholder"),
            ("server {wss}", "`{wss}` is not built yet"),
            ("run-{tcp} x", "takes no placeholder"),
        ] {
            assert!(error(text).contains(part), "{text}: {}", error(text));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in r#"[a{}'"\\ tcp-]{0,40}"#) {
            if let Ok(command) = LaunchCommand::parse(&text) {
                prop_assert!(!command.words(&BTreeMap::new())[0].is_empty());
            }
        }

        #[test]
        fn a_quoted_word_comes_out_as_it_went_in(word in "[^{}\0]{0,40}") {
            let text = format!("x {}", shell_words::quote(&word));
            prop_assert_eq!(LaunchCommand::parse(&text).unwrap().words(&BTreeMap::new()), ["x", &word]);
        }
    }
}
