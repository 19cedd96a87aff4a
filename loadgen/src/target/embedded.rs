//! The embedded server: this executable started once more, as a child that ends with us.
//!
//! It runs in a process of its own so that its CPU and memory can be told from the generator's, and so that its
//! death is seen and not shared. It ends when its standard input does, whatever becomes of us. The null target of
//! `calibrate` is started in the same way, so that it stands in the server's place in every respect.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::{TargetError, null};
use crate::scenario::model::Transport;
use crate::wire::Endpoint;

/// Hidden first argument with which this executable becomes the server.
pub const SUBCOMMAND: &str = "serve-embedded";

/// Longest that it may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest that it may take to say goodbye; the server promises 5 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(6);

/// Becomes the server: the body of the hidden subcommand. `arguments` are the server's own.
#[must_use]
pub fn serve(arguments: Vec<OsString>) -> ExitCode {
    twinwire_server::cli::run(std::iter::once(OsString::from("twinwire-server")).chain(arguments))
}

/// What the child process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Server,
    Null,
}

impl Kind {
    const fn subcommand(self) -> &'static str {
        match self {
            Self::Server => SUBCOMMAND,
            Self::Null => null::SUBCOMMAND,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Server => "embedded server",
            Self::Null => "null target",
        }
    }
}

/// The embedded server as its parent sees it.
#[derive(Debug)]
pub struct Embedded {
    kind: Kind,
    executable: PathBuf,
    log: PathBuf,
    running: Option<Running>,
    endpoints: Vec<Endpoint>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// Kept open: its end would be a broken pipe for the server.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Embedded {
    /// The transports that it offers.
    pub const OFFERS: [Transport; 3] = [Transport::Tcp, Transport::TcpRaw, Transport::WebSocket];

    /// An embedded server that is `executable` with [`SUBCOMMAND`], and logs to the file `log`.
    #[must_use]
    pub fn new(executable: PathBuf, log: &Path) -> Self {
        Self { kind: Kind::Server, executable, log: log.to_owned(), running: None, endpoints: Vec::new() }
    }

    /// The null target in the embedded server's place.
    #[must_use]
    pub fn null(executable: PathBuf, log: &Path) -> Self {
        Self { kind: Kind::Null, ..Self::new(executable, log) }
    }

    /// Whether it is the reference server.
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.kind == Kind::Server
    }

    /// What it is, for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref()?.child.id()
    }

    /// How its process ended, if it has.
    pub fn death(&mut self) -> Option<String> {
        let status = self.running.as_mut()?.child.try_wait().ok()??;
        Some(format!("the {} died ({status}); its log is {}", self.name(), self.log.display()))
    }

    /// Stops the one that runs and starts another.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn restart(&mut self, transports: &[Transport], cpus: &[usize]) -> Result<(), TargetError> {
        self.stop().await;
        let mut command = Command::new(&self.executable);
        command.arg(self.kind.subcommand()).arg("--until-stdin-closes").args(listeners(transports));
        if !cpus.is_empty() {
            let list: Vec<String> = cpus.iter().map(ToString::to_string).collect();
            command.arg("--cpus").arg(list.join(","));
        }
        let machine = |what: &str, error: std::io::Error| TargetError::Machine(format!("{what}: {error}"));
        let log = self.open_log().map_err(|error| machine("cannot write server.log", error))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C in a terminal goes to the whole group; the server must outlive the run's last requests.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| machine("cannot start the embedded server", error))?;
        let stdout = child.stdout.take().expect("its standard output is a pipe");
        let mut lines = BufReader::new(stdout).lines();
        let ready = tokio::time::timeout(START_TIMEOUT, ready(&mut lines, transports.len())).await;
        match ready {
            Ok(Some(endpoints)) => self.endpoints = endpoints,
            Ok(None) => return Err(self.not_started(&self.last_words())),
            Err(_) => return Err(self.not_started(&format!("it was silent for {START_TIMEOUT:?}"))),
        }
        self.running = Some(Running { child, _stdout: lines });
        Ok(())
    }

    /// Stops it in order, or by force where it does not stop.
    pub async fn stop(&mut self) {
        self.endpoints.clear();
        let Some(mut running) = self.running.take() else { return };
        drop(running.child.stdin.take());
        if tokio::time::timeout(STOP_TIMEOUT, running.child.wait()).await.is_err() {
            let _ = running.child.kill().await;
        }
    }

    fn not_started(&self, why: &str) -> TargetError {
        TargetError::NotStarted(format!("the {} did not start: {why}", self.name()))
    }

    fn open_log(&self) -> std::io::Result<File> {
        let mut log = File::options().create(true).append(true).open(&self.log)?;
        if log.metadata()?.len() == 0 {
            writeln!(log, "# The embedded server's log: warnings and errors of every trial, in order.")?;
        }
        Ok(log)
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().rev().find(|line| !line.starts_with('#'));
        last.map_or_else(|| "it ended without a word".to_owned(), ToOwned::to_owned)
    }
}

fn listeners(transports: &[Transport]) -> Vec<&'static str> {
    let flag = |transport: &Transport| match transport {
        Transport::Tcp => Some("--tcp"),
        Transport::TcpRaw => Some("--tcp-raw"),
        Transport::WebSocket => Some("--ws"),
        Transport::Tls | Transport::Wss => None,
    };
    transports.iter().filter_map(flag).flat_map(|flag| [flag, "127.0.0.1:0"]).collect()
}

/// Reads the ready lines; `None` where the output ends before all of them came.
async fn ready(lines: &mut Lines<BufReader<ChildStdout>>, count: usize) -> Option<Vec<Endpoint>> {
    let mut endpoints = Vec::with_capacity(count);
    while endpoints.len() < count {
        let line = lines.next_line().await.ok()??;
        endpoints.extend(ready_line(&line));
    }
    Some(endpoints)
}

/// `listening tcp 127.0.0.1:1601`.
fn ready_line(line: &str) -> Option<Endpoint> {
    let mut words = line.strip_prefix("listening ")?.split(' ');
    let transport = Transport::from_name(words.next()?)?;
    let address = words.next()?.parse().ok()?;
    match transport {
        Transport::Tcp => Some(Endpoint::Tcp(address)),
        Transport::TcpRaw => Some(Endpoint::TcpRaw(address)),
        Transport::WebSocket => Some(Endpoint::WebSocket(address, format!("ws://{address}/"))),
        Transport::Tls | Transport::Wss => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_lines_name_transport_and_address() {
        let address = "127.0.0.1:40001".parse().unwrap();
        assert_eq!(ready_line("listening tcp 127.0.0.1:40001"), Some(Endpoint::Tcp(address)));
        assert_eq!(ready_line("listening tcp-raw 127.0.0.1:40001"), Some(Endpoint::TcpRaw(address)));
        let websocket = Endpoint::WebSocket(address, "ws://127.0.0.1:40001/".to_owned());
        assert_eq!(ready_line("listening websocket 127.0.0.1:40001"), Some(websocket));
        assert_eq!(ready_line("warming up"), None);
    }
}
