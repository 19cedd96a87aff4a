//! A `--launch` command: its words as a shell would split them, and the ports that it asks for.
//!
//! Nothing is run here. No shell is involved either: no variables, no globs, no pipes.

use std::collections::BTreeMap;

use super::certificate::Files;
use crate::domain::Transport;

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
        "--launch: `{{{0}}}` is not a placeholder; there are {{tcp}}, {{tcp-raw}}, {{ws}}, {{tls}} and {{wss}}, each a \
         free port, and {{cert}} and {{key}}, the files of a certificate that is made for it. To get the word itself in \
         braces, write `{{{{{0}}}}}`"
    )]
    UnknownPlaceholder(String),
    /// Half a certificate.
    #[error("--launch: {{cert}} and {{key}} belong together, but only one of them is given")]
    HalfACertificate,
    /// A placeholder in the program's own name.
    #[error("--launch `{0}`: the first word is the program to run and takes no placeholder")]
    PlaceholderAsProgram(String),
    /// A transport with a placeholder and an address.
    #[error(
        "`{0}` has two ports: {{{flag}}} in --launch makes a fresh one, and --{flag} names another; keep one of them",
        flag = .0.flag()
    )]
    TwoPorts(Transport),
    /// Nothing says where the launched programs listen.
    #[error(
        "--launch does not say where the target listens: put {{tcp}}, {{tcp-raw}}, {{ws}}, {{tls}} or {{wss}} where its \
         port goes, or give its address with --tcp, --tcp-raw, --ws, --tls or --wss"
    )]
    NoAddress,
}

/// What is put in a placeholder's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Port(Transport),
    Certificate,
    Key,
}

/// What the placeholder of this name stands for: the port of the transport with this flag, or a certificate's file.
fn placeholder(name: &str) -> Option<Value> {
    match name {
        "cert" => Some(Value::Certificate),
        "key" => Some(Value::Key),
        _ => Transport::ALL.into_iter().find(|transport| transport.flag() == name).map(Value::Port),
    }
}

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Value),
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
        if parts(program)?.iter().any(|part| matches!(part, Part::Value(_))) {
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

    fn values(&self) -> impl Iterator<Item = Value> + '_ {
        self.arguments.iter().flatten().filter_map(|part| match part {
            Part::Value(value) => Some(*value),
            Part::Text(_) => None,
        })
    }

    /// The transports for which it asks a port.
    pub fn transports(&self) -> impl Iterator<Item = Transport> + '_ {
        self.values()
            .filter_map(|value| if let Value::Port(transport) = value { Some(transport) } else { None })
    }

    /// Program and arguments with ports and files in their places.
    #[must_use]
    pub fn words(&self, ports: &BTreeMap<Transport, u16>, files: Option<&Files>) -> Vec<String> {
        let value = |value: &Value| match (value, files) {
            (Value::Port(transport), _) => ports.get(transport).map(u16::to_string),
            (Value::Certificate, Some(files)) => Some(files.certificate.display().to_string()),
            (Value::Key, Some(files)) => Some(files.key.display().to_string()),
            (Value::Certificate | Value::Key, None) => None,
        };
        let word = |parts: &Vec<Part>| {
            let text = parts.iter().map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Value(of) => value(of).unwrap_or_default(),
            });
            text.collect::<String>()
        };
        std::iter::once(self.program.clone()).chain(self.arguments.iter().map(word)).collect()
    }
}

/// Whether these commands ask for the files of a certificate.
///
/// # Errors
/// Where they ask for one of the two files only.
pub fn ask_certificate(commands: &[LaunchCommand]) -> Result<bool, LaunchError> {
    let asks = |file: Value| commands.iter().flat_map(LaunchCommand::values).any(|value| value == file);
    match (asks(Value::Certificate), asks(Value::Key)) {
        (true, true) => Ok(true),
        (false, false) => Ok(false),
        _ => Err(LaunchError::HalfACertificate),
    }
}

/// Cuts a word at its placeholders. Braces around anything but a name (`{"a":1}`, `{}`) are plain text; `{{name}}` stands
/// for the text `{name}`.
fn parts(word: &str) -> Result<Vec<Part>, LaunchError> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = word;
    while let Some(start) = rest.find('{') {
        let (before, after) = (&rest[..start], &rest[start + 1..]);
        if let Some(name) =
            after.strip_prefix('{').and_then(|inner| inner.split_once("}}")).map(|(name, _)| name)
            && is_name(name)
        {
            text.extend([before, "{", name, "}"]);
            rest = &after[name.len() + 3..];
            continue;
        }
        let Some(name) = after.find('}').map(|end| &after[..end]).filter(|name| is_name(name)) else {
            text += &rest[..=start];
            rest = after;
            continue;
        };
        let value = placeholder(name).ok_or_else(|| LaunchError::UnknownPlaceholder(name.to_owned()))?;
        text += before;
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(Part::Value(value));
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
        LaunchCommand::parse(text).unwrap().words(&BTreeMap::from(ports), None)
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
    fn a_certificate_is_its_two_files() {
        let files = crate::targets::Certificate::generate().unwrap().write().unwrap();
        let command = LaunchCommand::parse("server {tls} --pem={cert},{key}").unwrap();
        let pem = format!("--pem={},{}", files.certificate.display(), files.key.display());
        let ports = BTreeMap::from([(Transport::Tls, 1004)]);
        assert_eq!(command.words(&ports, Some(&files)), ["server", "1004", &pem]);
        let asked = |texts: &[&str]| {
            let commands: Vec<_> = texts.iter().map(|text| LaunchCommand::parse(text).unwrap()).collect();
            ask_certificate(&commands)
        };
        assert_eq!(asked(&["server {tls}"]), Ok(false));
        assert_eq!(asked(&["server {cert}", "other {key}"]), Ok(true));
        assert_eq!(asked(&["server {cert}"]), Err(LaunchError::HalfACertificate));
    }

    #[test]
    fn braces_around_no_name_are_text() {
        assert_eq!(
            words(r#"x '{"a": {tcp}}' {} { } a{ {1}"#),
            ["x", r#"{"a": 1001}"#, "{}", "{", "}", "a{", "{1}"]
        );
    }

    #[test]
    fn doubled_braces_are_a_word_in_braces() {
        assert_eq!(words("x a={{name}} {{tcp}}b {tcp}"), ["x", "a={name}", "{tcp}b", "1001"]);
        assert_eq!(words(r#"x '{"a":{"b":{tcp}}}' {{}} {{"#), ["x", r#"{"a":{"b":1001}}"#, "{{}}", "{{"]);
        let error = LaunchCommand::parse("x {name}").unwrap_err().to_string();
        assert!(error.contains("To get the word itself in braces, write `{{name}}`"), "{error}");
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
            (
                "server {port}",
                "`{port}` is not a placeholder; there are {tcp}, {tcp-raw}, {ws}, {tls} and {wss}",
            ),
            ("server {TCP}", "`{TCP}` is not a placeholder"),
            ("run-{tcp} x", "takes no placeholder"),
        ] {
            assert!(error(text).contains(part), "{text}: {}", error(text));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in r#"[a{}'"\\ tcp-]{0,40}"#) {
            if let Ok(command) = LaunchCommand::parse(&text) {
                prop_assert!(!command.words(&BTreeMap::new(), None)[0].is_empty());
            }
        }

        #[test]
        fn a_quoted_word_comes_out_as_it_went_in(word in "[^{}\0]{0,40}") {
            let text = format!("x {}", shell_words::quote(&word));
            prop_assert_eq!(LaunchCommand::parse(&text).unwrap().words(&BTreeMap::new(), None), ["x", &word]);
        }
    }
}
