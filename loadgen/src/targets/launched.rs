//! Launched targets: programs that the harness starts again for each trial and stops at the end.
//!
//! Each runs under a guard (see `guard.rs`), which ends the program even if the harness dies. The programs' output goes
//! to server.log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::Instant;
use twinwire_os::tree::Tree;

use super::certificate::{CertificateFiles, REMOVE};
use super::guard::{self, GuardMessage};
use super::launch::{Launch, LaunchCommand};
use super::ports::{self, FreePorts};
use super::{Certificate, TargetError, endpoint_on_this_machine};
use crate::domain::Transport;
use crate::wire::{Addresses, Endpoint};

/// How often the listening sockets are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long a guard itself may take to end, in addition to its program's time-out.
const GUARD_TIMEOUT: Duration = Duration::from_secs(3);

/// Most lines of a program's output that an error shows.
const LAST_LINES: usize = 8;
/// Most bytes of the output in which they are looked for.
const LAST_BYTES: u64 = 700;

/// The launched programs.
#[derive(Debug)]
pub struct Launched {
    launch: Launch,
    executable: PathBuf,
    log: PathBuf,
    ports: FreePorts,
    running: Vec<LaunchedProgram>,
    /// The certificate of the running programs, if the harness made it.
    files: Option<CertificateFiles>,
    endpoints: Vec<Endpoint>,
}

#[derive(Debug)]
struct LaunchedProgram {
    command: String,
    /// Not killed when dropped: it first has to end its program, which it does when its standard input closes.
    guard: Child,
    message: Arc<Mutex<Option<GuardMessage>>>,
    /// Length of the log when the program was started.
    log_from: u64,
}

impl Launched {
    /// Programs under guards, which are `executable` with `guard::SUBCOMMAND`. Their output goes to the file `log`.
    pub fn new(launch: Launch, executable: PathBuf, log: &Path) -> Self {
        Self {
            launch,
            executable,
            log: log.to_owned(),
            ports: FreePorts::default(),
            running: Vec::new(),
            files: None,
            endpoints: Vec::new(),
        }
    }

    /// What is launched.
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// Where they listen; empty unless they run.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Their processes.
    pub fn trees(&self) -> Vec<Tree> {
        let guards = self.running.iter().filter_map(|running| running.guard.id());
        guards.map(|root| Tree { root, is_guard: true }).collect()
    }

    /// How the first program that has ended did so, with the end of its output.
    pub fn death(&self) -> Option<String> {
        self.running.iter().find_map(|running| match running.last_message()? {
            GuardMessage::Started(_) => None,
            GuardMessage::Failed(why) => Some(why),
            GuardMessage::Ended(how) => {
                let words = self.last_words(running.log_from);
                Some(format!("`{}` ended ({how}){words}", running.command))
            }
        })
    }

    /// Stops running programs, starts all of them, and waits until they listen.
    pub async fn restart(&mut self, cpus: &[usize]) -> Result<(), TargetError> {
        self.stop().await;
        let machine = |what: &str, error: std::io::Error| TargetError::Machine(format!("{what}: {error}"));
        let ports = self.free_ports()?;
        self.check_given()?;
        let awaited = self.awaited(&ports);
        let files = self.launch.tls.certificate.as_ref().map(Certificate::write).transpose();
        self.files = files.map_err(|error| machine("cannot write a certificate", error))?;
        for command in &self.launch.commands {
            let words = command.words(&ports, self.files.as_ref());
            let log_from = log_line(&self.log, &format!("started: {}", shell_words::join(&words)))
                .map_err(|error| machine("cannot write server.log", error))?;
            let running = self
                .start(&words, cpus, log_from)
                .map_err(|error| machine("cannot start a program's guard", error))?;
            self.running.push(running);
        }
        let outcome = self.wait(awaited).await;
        if outcome.is_err() {
            self.stop().await;
        }
        outcome
    }

    /// Stops them in order, or by force if they do not stop.
    pub async fn stop(&mut self) {
        self.endpoints.clear();
        // All are asked before the first wait.
        self.running.iter_mut().for_each(|running| drop(running.guard.stdin.take()));
        for mut running in self.running.drain(..) {
            let timeout = guard::STOP_TIMEOUT + GUARD_TIMEOUT;
            if tokio::time::timeout(timeout, running.guard.wait()).await.is_err() {
                let _ = running.guard.kill().await;
            }
        }
        self.files = None;
    }

    fn free_ports(&mut self) -> Result<BTreeMap<Transport, u16>, TargetError> {
        let asked: Vec<_> = self.launch.commands.iter().flat_map(LaunchCommand::transports).collect();
        let mut free = BTreeMap::new();
        for transport in asked {
            if let std::collections::btree_map::Entry::Vacant(vacant) = free.entry(transport) {
                let none = || TargetError::Machine("no free port was found for --launch".to_owned());
                vacant.insert(self.ports.take().ok_or_else(none)?);
            }
        }
        Ok(free)
    }

    /// Given addresses must belong to this machine and still be free.
    fn check_given(&self) -> Result<(), TargetError> {
        let listeners = ports::listeners();
        for endpoint in &self.launch.given {
            let addresses = endpoint.addresses();
            let not_started = |why: String| Err(TargetError::NotStarted(why));
            if !addresses.all().iter().any(|address| ports::is_local(address.ip())) {
                return not_started(format!(
                    "--launch starts programs on this machine, and {addresses} is not one of its addresses"
                ));
            }
            if let Some(taken) = ports::reachable(&listeners, addresses.all()).first() {
                return not_started(format!(
                    "something else already listens on {taken}, so the launched program cannot: stop it, or give \
                     the program a free port with {{{}}}",
                    endpoint.transport().flag()
                ));
            }
        }
        Ok(())
    }

    /// Each transport with its possible addresses.
    fn awaited(&self, ports: &BTreeMap<Transport, u16>) -> Vec<(Transport, Vec<SocketAddr>)> {
        let fresh = ports.iter().map(|(transport, port)| {
            let loopback = [(Ipv4Addr::LOCALHOST, *port).into(), (Ipv6Addr::LOCALHOST, *port).into()];
            (*transport, loopback.to_vec())
        });
        let given = &self.launch.given;
        let given = given.iter().map(|given| (given.transport(), given.addresses().all().to_vec()));
        fresh.chain(given).collect()
    }

    /// Waits until each transport has a listener, and sets the endpoints.
    async fn wait(&mut self, mut awaited: Vec<(Transport, Vec<SocketAddr>)>) -> Result<(), TargetError> {
        let deadline = Instant::now() + self.launch.timeout;
        loop {
            // This comes first: if the program has ended, something else listens on its port.
            if let Some(death) = self.death() {
                return Err(TargetError::NotStarted(death));
            }
            let listeners = ports::listeners();
            awaited.retain(|(transport, addresses)| {
                let reachable = ports::reachable(&listeners, addresses);
                let Some(first) = reachable.first() else { return true };
                let given = self.launch.given.iter().find(|given| given.transport() == *transport);
                self.endpoints.extend(given.cloned().or_else(|| {
                    let Launch { headers, tls, .. } = &self.launch;
                    let addresses = Addresses::new(first.to_string(), &reachable)?;
                    endpoint_on_this_machine(*transport, addresses, headers, tls.trust.as_ref())
                }));
                false
            });
            if awaited.is_empty() && self.running.iter().all(LaunchedProgram::has_started) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(TargetError::NotStarted(self.never_listened(&awaited)));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn never_listened(&self, awaited: &[(Transport, Vec<SocketAddr>)]) -> String {
        let place = |(transport, addresses): &(Transport, Vec<SocketAddr>)| {
            let address = addresses.first().map(ToString::to_string).unwrap_or_default();
            format!("{address} ({transport})")
        };
        let places: Vec<String> = awaited.iter().map(place).collect();
        let words = self.last_words(self.running.first().map_or(0, |running| running.log_from));
        let timeout = self.launch.timeout;
        format!("nothing listened on {} within {timeout:?} of --launch{words}", places.join(" and "))
    }

    fn start(&self, words: &[String], cpus: &[usize], log_from: u64) -> std::io::Result<LaunchedProgram> {
        let cpus: Vec<String> = cpus.iter().map(ToString::to_string).collect();
        let folder = self.files.as_ref().map(|files| files.folder().display().to_string());
        let mut guard = Command::new(&self.executable)
            .arg(guard::SUBCOMMAND)
            .arg(format!("{}{}", guard::CPUS, cpus.join(",")))
            .arg(format!("{REMOVE}{}", folder.unwrap_or_default()))
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::options().append(true).open(&self.log)?)
            // Ctrl-C in a terminal goes to the whole process group, and the target must outlive the run's last
            // requests.
            .process_group(0)
            .spawn()?;
        let message = Arc::new(Mutex::new(None));
        if let Some(stdout) = guard.stdout.take() {
            tokio::spawn(listen(stdout, message.clone()));
        }
        Ok(LaunchedProgram { command: words.first().cloned().unwrap_or_default(), guard, message, log_from })
    }

    /// The end of what was logged since, for an error.
    fn last_words(&self, from: u64) -> String {
        let words = read_last(&self.log, from).unwrap_or_default();
        let lines: Vec<&str> = words.lines().filter(|line| !line.trim().is_empty()).collect();
        match &lines[lines.len().saturating_sub(LAST_LINES)..] {
            [] => " without a word".to_owned(),
            last => format!("; its last words: {}", last.join(" / ")),
        }
    }
}

impl LaunchedProgram {
    fn last_message(&self) -> Option<GuardMessage> {
        self.message.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn has_started(&self) -> bool {
        matches!(self.last_message(), Some(GuardMessage::Started(_)))
    }
}

/// Keeps a guard's latest message. A guard that ends without reporting its program's end was killed, so its program
/// must be killed too.
async fn listen(stdout: ChildStdout, message: Arc<Mutex<Option<GuardMessage>>>) {
    let mut lines = BufReader::new(stdout).lines();
    let keep = |new: GuardMessage| *message.lock().unwrap_or_else(PoisonError::into_inner) = Some(new);
    let mut latest = None;
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(new) = GuardMessage::parse(&line) {
            latest = Some(new.clone());
            keep(new);
        }
    }
    if let None | Some(GuardMessage::Started(_)) = latest {
        if let Some(GuardMessage::Started(group)) = latest {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        keep(GuardMessage::Ended("killed, like its guard".to_owned()));
    }
}

/// Writes a line of the harness into the log. Returns the log's length after it.
fn log_line(log: &Path, line: &str) -> std::io::Result<u64> {
    let mut log = File::options().create(true).append(true).open(log)?;
    writeln!(log, "# {}", line.replace(char::is_control, " "))?;
    Ok(log.metadata()?.len())
}

/// The last bytes of a file from `from` on.
fn read_last(path: &Path, from: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_BYTES).max(from)))?;
    let mut bytes = Vec::new();
    file.take(LAST_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::TlsSetup;

    #[test]
    fn last_words_are_the_end_of_what_was_logged_since() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("server.log");
        let from = log_line(&log, "started: x").unwrap();
        let commands = vec![LaunchCommand::parse("a {tcp}").unwrap()];
        let launch = Launch::new(commands, Vec::new(), TlsSetup::default(), Duration::ZERO).unwrap();
        let launched = Launched::new(launch, PathBuf::new(), &log);
        assert_eq!(launched.last_words(from), " without a word");
        let endless = "x".repeat(10_000);
        std::fs::write(&log, format!("# started: x\n{endless}\n\n1\n2\n3\n4\n5\n6\n7\n8\n9\n")).unwrap();
        assert_eq!(launched.last_words(from), "; its last words: 2 / 3 / 4 / 5 / 6 / 7 / 8 / 9");
    }
}
