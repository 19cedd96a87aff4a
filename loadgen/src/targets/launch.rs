//! `--launch` commands: their words as a shell would split them, and where their programs will listen.
//!
//! Nothing is run here. No shell is involved either: no variables, no globs, no pipes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::certificate::{Certificate, CertificateFiles};
use crate::domain::Transport;
use crate::wire::{Endpoint, Header, TrustStore};

/// What to launch, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    pub(super) commands: Vec<LaunchCommand>,
    pub(super) given: Vec<Endpoint>,
    pub(super) headers: Vec<Header>,
    pub(super) tls: TlsSetup,
    pub(super) timeout: Duration,
}

/// TLS of the launched programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSetup {
    /// Which certificates to trust; `None` if no program speaks TLS.
    pub trust: Option<TrustStore>,
    /// The certificate that is made for them, if they ask for one.
    pub certificate: Option<Certificate>,
}

impl Launch {
    /// These commands. Their programs listen on the ports in them, or at the `given` addresses, within `timeout`.
    pub fn new(
        commands: Vec<LaunchCommand>,
        given: Vec<Endpoint>,
        tls: TlsSetup,
        timeout: Duration,
    ) -> Result<Self, LaunchError> {
        let asked: Vec<Transport> = commands.iter().flat_map(LaunchCommand::transports).collect();
        if asked.is_empty() && given.is_empty() {
            return Err(LaunchError::NoAddress);
        }
        match given.iter().map(Endpoint::transport).find(|given| asked.contains(given)) {
            Some(transport) => Err(LaunchError::TwoPorts(transport)),
            None => Ok(Self { commands, given, headers: Vec::new(), tls, timeout }),
        }
    }

    /// Adds these headers to the handshakes of WebSockets on fresh ports. Given addresses have theirs already.
    pub fn with_headers(self, headers: Vec<Header>) -> Self {
        Self { headers, ..self }
    }

    /// The transports that the programs offer, in the order in which reports show them.
    pub fn transports(&self) -> Vec<Transport> {
        let given = self.given.iter().map(Endpoint::transport);
        let mut all: Vec<_> = self.commands.iter().flat_map(LaunchCommand::transports).chain(given).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The commands as the user wrote them.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().map(LaunchCommand::text)
    }
}

/// What is wrong with one `--launch` command, or with all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    #[error(
        "--launch is empty: write a program and its arguments, as in --launch \"./server --port {{tcp}}\""
    )]
    Empty,
    #[error("--launch `{0}`: a quote is not closed")]
    Unbalanced(String),
    #[error(
        "--launch: `{{{0}}}` is not a placeholder; there are {{tcp}}, {{tcp-raw}}, {{ws}}, {{tls}} and {{wss}}, each a \
         free port, and {{cert}} and {{key}}, the files of a certificate that is made for it. To get the word itself in \
         braces, write `{{{{{0}}}}}`"
    )]
    UnknownPlaceholder(String),
    #[error("--launch: {{cert}} and {{key}} belong together, but only one of them is given")]
    IncompleteCertificate,
    #[error("--launch `{0}`: the first word is the program to run and takes no placeholder")]
    PlaceholderAsProgram(String),
    #[error(
        "`{0}` has two ports: {{{flag}}} in --launch makes a fresh one, and --{flag} names another; keep one of them",
        flag = .0.flag()
    )]
    TwoPorts(Transport),
    #[error(
        "--launch does not say where the target listens: put {{tcp}}, {{tcp-raw}}, {{ws}}, {{tls}} or {{wss}} where its \
         port goes, or give its address with --tcp, --tcp-raw, --ws, --tls or --wss"
    )]
    NoAddress,
}

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    Port(Transport),
    Certificate,
    Key,
}

/// The placeholder of this name: a transport's flag, `cert` or `key`.
fn placeholder(name: &str) -> Option<Placeholder> {
    match name {
        "cert" => Some(Placeholder::Certificate),
        "key" => Some(Placeholder::Key),
        _ => Transport::ALL.into_iter().find(|transport| transport.flag() == name).map(Placeholder::Port),
    }
}

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
enum WordPart {
    Text(String),
    Placeholder(Placeholder),
}

/// A command to launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchCommand {
    text: String,
    program: String,
    arguments: Vec<Vec<WordPart>>,
}

impl LaunchCommand {
    /// Splits and checks what was written after `--launch`.
    pub fn parse(text: &str) -> Result<Self, LaunchError> {
        let words = shell_words::split(text).map_err(|_| LaunchError::Unbalanced(text.to_owned()))?;
        let (program, arguments) = words.split_first().ok_or(LaunchError::Empty)?;
        if program.is_empty() {
            return Err(LaunchError::Empty);
        }
        if parts(program)?.iter().any(|part| matches!(part, WordPart::Placeholder(_))) {
            return Err(LaunchError::PlaceholderAsProgram(program.clone()));
        }
        let arguments = arguments.iter().map(|word| parts(word)).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), program: program.clone(), arguments })
    }

    /// As the user wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn placeholders(&self) -> impl Iterator<Item = Placeholder> + '_ {
        self.arguments.iter().flatten().filter_map(|part| match part {
            WordPart::Placeholder(placeholder) => Some(*placeholder),
            WordPart::Text(_) => None,
        })
    }

    /// The transports for which it asks for a port.
    pub fn transports(&self) -> impl Iterator<Item = Transport> + '_ {
        self.placeholders().filter_map(|placeholder| match placeholder {
            Placeholder::Port(transport) => Some(transport),
            Placeholder::Certificate | Placeholder::Key => None,
        })
    }

    /// Program and arguments, with ports and files in place of the placeholders.
    pub fn words(&self, ports: &BTreeMap<Transport, u16>, files: Option<&CertificateFiles>) -> Vec<String> {
        let value = |placeholder: &Placeholder| match (placeholder, files) {
            (Placeholder::Port(transport), _) => ports.get(transport).map(u16::to_string),
            (Placeholder::Certificate, Some(files)) => Some(files.certificate.display().to_string()),
            (Placeholder::Key, Some(files)) => Some(files.key.display().to_string()),
            (Placeholder::Certificate | Placeholder::Key, None) => None,
        };
        let word = |parts: &Vec<WordPart>| {
            let text = parts.iter().map(|part| match part {
                WordPart::Text(text) => text.clone(),
                WordPart::Placeholder(placeholder) => value(placeholder).unwrap_or_default(),
            });
            text.collect::<String>()
        };
        std::iter::once(self.program.clone()).chain(self.arguments.iter().map(word)).collect()
    }
}

/// Whether these commands ask for the files of a certificate.
pub fn ask_certificate(commands: &[LaunchCommand]) -> Result<bool, LaunchError> {
    let asks =
        |file: Placeholder| commands.iter().flat_map(LaunchCommand::placeholders).any(|asked| asked == file);
    match (asks(Placeholder::Certificate), asks(Placeholder::Key)) {
        (true, true) => Ok(true),
        (false, false) => Ok(false),
        _ => Err(LaunchError::IncompleteCertificate),
    }
}

/// Splits a word at its placeholders. Braces around anything but a name (`{"a":1}`, `{}`) are plain text, and
/// `{{name}}` stands for the text `{name}`.
fn parts(word: &str) -> Result<Vec<WordPart>, LaunchError> {
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
        let placeholder =
            placeholder(name).ok_or_else(|| LaunchError::UnknownPlaceholder(name.to_owned()))?;
        text += before;
        if !text.is_empty() {
            parts.push(WordPart::Text(std::mem::take(&mut text)));
        }
        parts.push(WordPart::Placeholder(placeholder));
        rest = &after[name.len() + 1..];
    }
    text += rest;
    if !text.is_empty() {
        parts.push(WordPart::Text(text));
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
        assert_eq!(asked(&["server {cert}"]), Err(LaunchError::IncompleteCertificate));
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
    fn errors_say_what_is_wrong() {
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

    fn launch(commands: &[&str], given: Vec<Endpoint>) -> Result<Launch, LaunchError> {
        let commands = commands.iter().map(|text| LaunchCommand::parse(text).unwrap()).collect();
        Launch::new(commands, given, TlsSetup::default(), Duration::from_secs(1))
    }

    fn tcp() -> Endpoint {
        Endpoint::lines("127.0.0.1:1601".parse::<std::net::SocketAddr>().unwrap().into(), None)
    }

    #[test]
    fn a_launch_offers_what_it_has_ports_or_addresses_for() {
        let both = launch(&["a {ws}", "b {tcp-raw} {ws}"], vec![tcp()]).unwrap();
        assert_eq!(both.transports(), [Transport::Tcp, Transport::TcpRaw, Transport::WebSocket]);
        assert_eq!(launch(&["a"], vec![tcp()]).unwrap().transports(), [Transport::Tcp]);
    }

    #[test]
    fn it_must_be_clear_where_a_target_listens() {
        assert_eq!(launch(&["a", "b c"], Vec::new()), Err(LaunchError::NoAddress));
        assert_eq!(launch(&["a {tcp}"], vec![tcp()]), Err(LaunchError::TwoPorts(Transport::Tcp)));
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
