//! The client's command line: text → where to connect, as whom, and what to ask. It opens nothing but the secret's
//! file.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, CommandFactory as _, Parser};
use jiff::SignedDuration;

use super::words::{self, Command, WordsError};
use crate::wire::{
    Addresses, Endpoint, Header, HeaderError, InvalidServerName, ResolveError, TlsPeer, TrustStore,
    TrustStoreError, UrlError, WebSocketUrl,
};

/// Where the secret is looked for when no file is named: the server's own variable, so that one setting serves both.
const SECRET_VARIABLE: &str = "TWINWIRE_UPGRADE_SECRET";

/// Ask a key-value server over TCP or WebSocket, with TLS or without
///
/// With commands: logs in, prints one reply a line, and leaves. Without: reads commands from the terminal, with
/// line editing and history, or from standard input, line by line.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "independent flags of a command line")]
#[command(name = "twinwire-client", version, after_help = AFTER_HELP)]
pub(super) struct Args {
    /// Name or address of the server
    #[arg(value_parser = host)]
    host: String,

    /// Port of the server
    #[arg(value_parser = port)]
    port: u16,

    /// Speak WebSocket, one text message a request
    #[arg(long, conflicts_with = "raw")]
    ws: bool,

    /// Speak TCP without line ends, one chunk a request, as the original clients do
    #[arg(long)]
    raw: bool,

    /// Encrypt the connection; the server's certificate must be valid for HOST
    #[arg(long, conflicts_with = "raw")]
    tls: bool,

    /// Trust only the certificates in this PEM file: a CA's, or the server's own self-signed one [default: those that
    /// this system trusts]
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca: Option<PathBuf>,

    /// Send this header field in the WebSocket handshake, for example for a proxy that needs a key. NAME=@VARIABLE
    /// takes the value from the environment, which no other user can see (repeatable)
    #[arg(long = "header", value_name = "NAME=VALUE", requires = "ws")]
    headers: Vec<String>,

    /// Log in under this name [default: a name that is free]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// Become a manager before the first command
    #[arg(long)]
    manager: bool,

    /// The upgrade secret is in this file, else in the environment as `TWINWIRE_UPGRADE_SECRET`: one word
    ///
    /// It goes with --manager and with each bare `upgrade`. Set it only for a server that asks for one.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,

    /// Longest wait for the connection and for each reply, such as 5s or 500ms
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    timeout: Duration,

    /// Any number of: get KEY | get USER KEY | put KEY VALUE | upgrade
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    commands: Vec<String>,
}

/// Wrapped for 80 columns: clap breaks longer lines once more, in a narrower terminal.
const AFTER_HELP: &str = "\
Commands (options come before them):
  get KEY          the value of your own key
  get USER KEY     the value of another user's key, for managers
  put KEY VALUE    store a value
  upgrade          become a manager
  Give one or several. Keys, values and names are any UTF-8 text without white
  space.

A key that is itself a command word, or any word that is an option:
  A command ends where the next get, put or upgrade begins. An argument that
  contains white space is one whole message, sent as it is: 'get get' reads the
  key get, 'put upgrade 1' writes the key upgrade. In input lines, quotes do the
  same: get a 'get get' put b 2. An input line may also be help, or q to leave.

Examples:
  twinwire-client localhost 1601 put a 1 get a
  twinwire-client localhost 1603 --ws --user bob --manager get alice a
  twinwire-client localhost 1604 --tls --ca cert.pem put a 1
  echo 'put a 1 get a' | twinwire-client localhost 1601
  twinwire-client localhost 1601

Exit codes:
  0  every command was answered (`key not found` and `user not found` count)
  1  a reply was a refusal or `wrong message format`, the name is taken, or
     --manager was refused
  2  wrong usage: of a command line or an input line that was not understood,
     nothing was sent; or standard output could not be written
  3  no server, no reply in time, or the connection was lost
When several apply: 3, then 2, then 1.";

/// What to do.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) endpoint: Endpoint,
    pub(super) user: Option<String>,
    pub(super) manager: bool,
    pub(super) secret: Option<String>,
    pub(super) timeout: Duration,
    /// Empty: those that are typed or piped.
    pub(super) commands: Vec<Command>,
}

/// Arguments that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArgsError {
    #[error("{0}")]
    TrustStore(#[from] TrustStoreError),
    #[error("{0}")]
    InvalidServerName(#[from] InvalidServerName),
    #[error("--user: a name cannot contain a line break")]
    User,
    #[error("{0} (see --help)")]
    Words(#[from] WordsError),
    #[error(
        "`{0}` is an option, and options come before the commands. To send it as a word, quote the whole command: \
         'put KEY {0}'"
    )]
    LateOption(String),
    #[error(
        "`upgrade` takes no secret on the command line, where every user of this machine can read it. Put it into a \
         file (--secret-file FILE) or into {SECRET_VARIABLE}"
    )]
    SecretInArguments,
    #[error("cannot read the secret from {0}: {1}")]
    SecretFile(String, std::io::Error),
    #[error("the secret in {0} must be exactly one word")]
    SecretForm(String),
    /// The name has no address, which need not be the user's mistake.
    #[error("{0}")]
    ResolveError(#[from] ResolveError),
    #[error(
        "HOST is only a name or an address, without scheme, user or path; credentials go with --header \
         Authorization=@VARIABLE, over WebSocket"
    )]
    Host,
    #[error("{0}")]
    Header(#[from] HeaderError),
    #[error("{0}")]
    Url(#[from] UrlError),
}

impl Args {
    /// Checks everything and resolves the host.
    pub(super) fn into_job(mut self) -> Result<Job, ArgsError> {
        if self.user.as_ref().is_some_and(|user| user.contains('\n')) {
            return Err(ArgsError::User);
        }
        if let Some(option) = self.commands.iter().find(|word| is_option(word)) {
            return Err(ArgsError::LateOption(option.clone()));
        }
        let secret = self.secret()?;
        let commands = words::commands(words::arguments(std::mem::take(&mut self.commands))?)?;
        if commands.iter().any(|command| matches!(command, Command::Upgrade(Some(_)))) {
            return Err(ArgsError::SecretInArguments);
        }
        let endpoint = self.endpoint()?;
        let Self { user, manager, timeout, .. } = self;
        Ok(Job { endpoint, user, manager, secret, timeout, commands })
    }

    fn endpoint(&self) -> Result<Endpoint, ArgsError> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        if host.contains(NO_HOST) {
            return Err(ArgsError::Host);
        }
        let variable = |name: &str| std::env::var_os(name);
        let headers: Vec<Header> =
            self.headers.iter().map(|text| Header::parse(text, variable)).collect::<Result<_, _>>()?;
        // Before anything is looked up: what is wrong with the arguments does not depend on the network.
        let peer = self.tls.then(|| Ok::<_, ArgsError>(TlsPeer::new(host, &self.trust()?)?)).transpose()?;
        let url = WebSocketUrl::root(self.tls, host, self.port).with_headers(&headers)?;
        let addresses = Addresses::resolve(host, self.port)?;
        Ok(if self.ws {
            Endpoint::websocket(addresses, url, peer)
        } else if self.raw {
            Endpoint::chunks(addresses)
        } else {
            Endpoint::lines(addresses, peer)
        })
    }

    fn trust(&self) -> Result<TrustStore, TrustStoreError> {
        self.ca.as_deref().map_or_else(TrustStore::system, TrustStore::file)
    }

    fn secret(&self) -> Result<Option<String>, ArgsError> {
        let (text, place) = match &self.secret_file {
            Some(path) => {
                let place = path.display().to_string();
                let text = std::fs::read_to_string(path);
                (text.map_err(|error| ArgsError::SecretFile(place.clone(), error))?, place)
            }
            // Many scripts unset a variable by making it empty.
            None => match std::env::var_os(SECRET_VARIABLE).filter(|text| !text.is_empty()) {
                Some(text) => (text.to_string_lossy().into_owned(), SECRET_VARIABLE.to_owned()),
                None => return Ok(None),
            },
        };
        let mut words = text.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some(secret), None) => Ok(Some(secret.to_owned())),
            _ => Err(ArgsError::SecretForm(place)),
        }
    }
}

/// Whether this is one of the client's own options, or that with its value; other words may begin with hyphens.
fn is_option(word: &str) -> bool {
    let Some(text) = word.strip_prefix("--").filter(|text| !text.contains(char::is_whitespace)) else {
        return false;
    };
    let name = text.split('=').next().unwrap_or(text);
    let command = Args::command();
    command.get_arguments().filter_map(Arg::get_long).chain(["help", "version"]).any(|known| known == name)
}

/// Characters of URLs that no host contains. Such a word may hold a secret, which an error must not repeat.
const NO_HOST: [char; 4] = ['@', '/', '?', '#'];

/// A host alone: a word that ends in a port is host and port in one. An IPv6 address has more colons.
fn host(text: &str) -> Result<String, String> {
    if text.contains(NO_HOST) {
        // Refused later: the error of a command line shows the word.
        return Ok(text.to_owned());
    }
    let both = text
        .rsplit_once(':')
        .filter(|(host, port)| (!host.contains(':') || host.ends_with(']')) && port.parse::<u16>().is_ok());
    match both {
        Some((host, port)) => Err(format!("host and port are two words: {host} {port}")),
        None => Ok(text.to_owned()),
    }
}

fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|&port| port > 0);
    port.ok_or_else(|| "PORT comes after HOST and is a number from 1 to 65535".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    let duration = parsed.ok_or("write a number with its unit, such as 5s or 500ms")?;
    // From a timer's resolution to a day, which is long enough and overflows no instant.
    let range = Duration::from_millis(1)..=Duration::from_hours(24);
    if range.contains(&duration) { Ok(duration) } else { Err("must be between 1ms and 24h".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_bounds() {
        assert_eq!(duration("5s").unwrap(), Duration::from_secs(5));
        assert_eq!(duration("1.5ms").unwrap(), Duration::from_micros(1500));
        assert_eq!(duration("2m").unwrap(), Duration::from_mins(2));
        for wrong in ["", "5", "s", "-1s", "0s", "NaNs", "infs", "1e300s", "25000m"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_stand_before_the_commands_and_words_may_begin_with_a_hyphen() {
        let args = ["c", "::1", "9", "--ws", "--user", "get", "put", "-1", "--x"];
        let job = Args::try_parse_from(args).unwrap().into_job().unwrap();
        assert_eq!(job.commands, [Command::Message("put -1 --x".to_owned())]);
        assert_eq!(job.user.as_deref(), Some("get"));
        assert_eq!(job.endpoint.to_string(), "ws://[::1]:9/");
    }

    #[test]
    fn an_option_among_the_commands_is_no_word_unless_it_is_quoted() {
        let job =
            |words: &[&str]| Args::try_parse_from([&["c", "::1", "9"], words].concat()).unwrap().into_job();
        for option in ["--ws", "--user=bob", "--timeout", "--help"] {
            let error = job(&["get", "a", option]).unwrap_err().to_string();
            assert!(error.contains("options come before the commands") && error.contains(option), "{error}");
        }
        let quoted = job(&["put a --ws"]).unwrap().commands;
        assert_eq!(quoted, [Command::Message("put a --ws".to_owned())]);
    }

    #[test]
    fn host_and_port_are_two_words() {
        assert_eq!(host("127.0.0.1:1601").unwrap_err(), "host and port are two words: 127.0.0.1 1601");
        assert_eq!(host("[::1]:1601").unwrap_err(), "host and port are two words: [::1] 1601");
        for alone in ["localhost", "::1", "[::1]", "fe80::1:1601", "host:name"] {
            assert_eq!(host(alone).as_deref(), Ok(alone));
        }
        assert_eq!(port("1601"), Ok(1601));
        for wrong in ["get", "0", "65536", ""] {
            assert!(port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_helps_own_lines_fit_80_columns() {
        assert!(AFTER_HELP.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
