//! The embedded server: a second instance of this executable, as a child process that ends with this one.
//!
//! It has a process of its own, so that its CPU and memory are measured separately and the harness survives its death.
//! It ends when its standard input closes, however this process ends. The null target of `calibrate` is started in the
//! same way, so that it takes the server's place in every respect.
//!
//! For TLS it gets a new certificate, whose files are removed once it listens.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::certificate::{self, Certificate, CertificateFiles, REMOVE};
use super::{TargetError, endpoint_on_this_machine, null};
use crate::domain::Transport;
use crate::wire::{Endpoint, TrustStore};

/// Hidden first argument with which this executable becomes the server.
pub const SUBCOMMAND: &str = "serve-embedded";

/// Longest that it may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest that it may take to stop; the server promises 5 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(6);

/// Prefix of the server's environment variables, which are meant for the user's own server.
const VARIABLES: &str = "TWINWIRE_";

/// Becomes the server: the body of the hidden subcommand. `arguments` are the server's own, except that the first may
/// name a folder to remove at the end.
pub fn serve(mut arguments: Vec<OsString>) -> ExitCode {
    let removes = arguments.first().is_some_and(|first| first.to_string_lossy().starts_with(REMOVE));
    let folder = if removes { arguments.remove(0) } else { OsString::new() };
    let code = twinwire_server::cli::run(std::iter::once(OsString::from("twinwire-server")).chain(arguments));
    certificate::remove(folder.to_str());
    code
}

/// The server's command line, for completions and man pages.
pub fn command() -> clap::Command {
    twinwire_server::cli::command()
}

/// What the child process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ServerKind {
    Server,
    Null,
}

impl ServerKind {
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

/// The embedded server, or the null target, as a child process.
#[derive(Debug)]
pub struct Embedded {
    kind: ServerKind,
    executable: PathBuf,
    log: PathBuf,
    /// The longest message in bytes that it must take, if its default limit is lower.
    message_bytes: Option<u32>,
    /// Further arguments of the server.
    arguments: Vec<OsString>,
    /// Made when first needed.
    certificate: Option<Certificate>,
    running: Option<ServerProcess>,
    endpoints: Vec<Endpoint>,
}

#[derive(Debug)]
struct ServerProcess {
    child: Child,
    /// Kept open: closing it would be a broken pipe for the server.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Embedded {
    /// The transports that the embedded server offers.
    pub const OFFERS: [Transport; 5] = Transport::ALL;

    /// The transports that the null target offers. It measures nothing of TLS.
    pub const NULL_OFFERS: [Transport; 3] = [Transport::Tcp, Transport::TcpRaw, Transport::WebSocket];

    /// The server, which is `executable` with [`SUBCOMMAND`] and logs to the file `log`.
    pub fn new(executable: PathBuf, log: &Path) -> Self {
        Self {
            kind: ServerKind::Server,
            executable,
            log: log.to_owned(),
            message_bytes: None,
            arguments: Vec::new(),
            certificate: None,
            running: None,
            endpoints: Vec::new(),
        }
    }

    /// The null target in the server's place.
    pub fn null(executable: PathBuf, log: &Path) -> Self {
        Self { kind: ServerKind::Null, ..Self::new(executable, log) }
    }

    /// Sets the limit of a message in bytes; `None`: its default.
    pub fn taking(self, message_bytes: Option<u32>) -> Self {
        Self { message_bytes, ..self }
    }

    /// The same with further arguments of the server's own.
    #[must_use]
    pub fn with_arguments(self, arguments: Vec<OsString>) -> Self {
        Self { arguments, ..self }
    }

    /// Whether it is the reference server.
    pub fn is_server(&self) -> bool {
        self.kind == ServerKind::Server
    }

    /// The transports that it offers.
    pub fn offers(&self) -> &'static [Transport] {
        match self.kind {
            ServerKind::Server => &Self::OFFERS,
            ServerKind::Null => &Self::NULL_OFFERS,
        }
    }

    /// What it is, for people.
    pub fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Where it listens.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref()?.child.id()
    }

    /// How its process ended, if it has.
    pub fn death(&mut self) -> Option<String> {
        let status = self.running.as_mut()?.child.try_wait().ok()??;
        Some(format!("the {} died ({status}); its log is {}", self.name(), self.log.display()))
    }

    /// Stops it if it runs, and starts it again.
    pub async fn restart(&mut self, transports: &[Transport], cpus: &[usize]) -> Result<(), TargetError> {
        self.stop().await;
        let machine = |what: &str, error: std::io::Error| TargetError::Machine(format!("{what}: {error}"));
        let files = self.files(transports)?;
        let log = self.open_log().map_err(|error| machine("cannot write server.log", error))?;
        let mut child = self
            .command(transports, cpus, files.as_ref())
            .stderr(log)
            .spawn()
            .map_err(|error| machine("cannot start the embedded server", error))?;
        let stdout = child.stdout.take().expect("its standard output is a pipe");
        let mut lines = BufReader::new(stdout).lines();
        let trust = self.certificate.as_ref().map(Certificate::trust);
        let ready = ready(&mut lines, transports.len(), trust);
        // Once it listens it has read the certificate's files, which are removed with `files`.
        match tokio::time::timeout(START_TIMEOUT, ready).await {
            Ok(Some(endpoints)) => self.endpoints = endpoints,
            Ok(None) => return Err(self.not_started(&self.last_words())),
            Err(_) => return Err(self.not_started(&format!("it was silent for {START_TIMEOUT:?}"))),
        }
        self.running = Some(ServerProcess { child, _stdout: lines });
        Ok(())
    }

    /// Stops it in order, or by force if it does not stop.
    pub async fn stop(&mut self) {
        self.endpoints.clear();
        let Some(mut running) = self.running.take() else { return };
        drop(running.child.stdin.take());
        if tokio::time::timeout(STOP_TIMEOUT, running.child.wait()).await.is_err() {
            let _ = running.child.kill().await;
        }
    }

    /// The certificate's files, if one of the transports needs them.
    fn files(&mut self, transports: &[Transport]) -> Result<Option<CertificateFiles>, TargetError> {
        if !transports.iter().any(|transport| transport.is_encrypted()) {
            return Ok(None);
        }
        let certificate = match &mut self.certificate {
            Some(certificate) => certificate,
            none => none.insert(Certificate::generate()?),
        };
        let written = certificate.write();
        written
            .map(Some)
            .map_err(|error| TargetError::Machine(format!("cannot write a certificate: {error}")))
    }

    fn command(&self, transports: &[Transport], cpus: &[usize], files: Option<&CertificateFiles>) -> Command {
        let mut command = Command::new(&self.executable);
        command.arg(self.kind.subcommand());
        if let Some(files) = files {
            command.arg(format!("{REMOVE}{}", files.folder().display()));
        }
        command.arg("--until-stdin-closes").args(listeners(transports));
        if let Some(bytes) = self.message_bytes {
            command.arg("--message-max").arg(bytes.to_string());
        }
        command.args(&self.arguments);
        if let Some(files) = files {
            command.arg("--tls-cert").arg(&files.certificate).arg("--tls-key").arg(&files.key);
        }
        if !cpus.is_empty() {
            let list: Vec<String> = cpus.iter().map(ToString::to_string).collect();
            command.arg("--cpus").arg(list.join(","));
        }
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(VARIABLES))
        {
            command.env_remove(name);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C in a terminal goes to the whole process group, and the server must outlive the run's last
            // requests.
            .process_group(0)
            .kill_on_drop(true);
        command
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

fn listeners(transports: &[Transport]) -> Vec<String> {
    let listener = |transport: &Transport| [format!("--{}", transport.flag()), "127.0.0.1:0".to_owned()];
    transports.iter().flat_map(listener).collect()
}

/// Reads the ready lines; `None` if the output ends before all have come.
async fn ready(
    lines: &mut Lines<BufReader<ChildStdout>>,
    count: usize,
    trust: Option<&TrustStore>,
) -> Option<Vec<Endpoint>> {
    let mut endpoints = Vec::with_capacity(count);
    while endpoints.len() < count {
        let line = lines.next_line().await.ok()??;
        endpoints.extend(ready_line(&line, trust));
    }
    Some(endpoints)
}

/// `listening tcp 127.0.0.1:1601`.
fn ready_line(line: &str, trust: Option<&TrustStore>) -> Option<Endpoint> {
    let mut words = line.strip_prefix("listening ")?.split(' ');
    let transport = Transport::from_name(words.next()?)?;
    let address: SocketAddr = words.next()?.parse().ok()?;
    endpoint_on_this_machine(transport, address.into(), &[], trust)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::WebSocketUrl;

    #[test]
    fn ready_lines_name_transport_and_address() {
        let address: SocketAddr = "127.0.0.1:40001".parse().unwrap();
        let of = |line: &str| ready_line(line, None);
        assert_eq!(of("listening tcp 127.0.0.1:40001"), Some(Endpoint::lines(address.into(), None)));
        assert_eq!(of("listening tcp-raw 127.0.0.1:40001"), Some(Endpoint::chunks(address.into())));
        let websocket =
            Endpoint::websocket(address.into(), WebSocketUrl::root(false, "127.0.0.1", 40_001), None);
        assert_eq!(of("listening websocket 127.0.0.1:40001"), Some(websocket));
        assert_eq!(of("warming up"), None);
        let certificate = Certificate::generate().unwrap();
        for transport in [Transport::Tls, Transport::Wss] {
            let line = format!("listening {transport} 127.0.0.1:40001");
            assert_eq!(of(&line), None, "whom to trust there?");
            let endpoint = ready_line(&line, Some(certificate.trust())).unwrap();
            assert_eq!((endpoint.transport(), endpoint.addresses().all()), (transport, &[address][..]));
        }
    }

    #[test]
    fn a_certificate_is_made_only_where_it_is_needed_and_once() {
        let mut embedded = Embedded::new(PathBuf::from("twinwire"), Path::new("server.log"));
        assert!(embedded.files(&[Transport::Tcp, Transport::WebSocket]).unwrap().is_none());
        assert!(embedded.certificate.is_none());
        let first = embedded.files(&[Transport::Tcp, Transport::Wss]).unwrap().unwrap();
        let made = embedded.certificate.clone();
        let second = embedded.files(&[Transport::Tls]).unwrap().unwrap();
        assert_ne!(first.folder(), second.folder());
        assert!(
            made.is_some() && embedded.certificate == made,
            "clients trust one certificate for the whole run"
        );
    }
}
