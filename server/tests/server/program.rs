//! The program as a child process.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use twinwire_server::Transport;

use crate::replies::SUCCESS;
use crate::support::Client;

pub(crate) const ON_FREE_PORTS: [&str; 6] =
    ["--tcp", "127.0.0.1:0", "--tcp-raw", "127.0.0.1:0", "--ws", "127.0.0.1:0"];

/// What the program prints, and its exit code, when it is not to start.
pub(crate) fn refusal(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert_eq!(stdout, b"");
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// The program with these arguments, and nothing of ours in its environment.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinwire-server"));
    command.args(args);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TWINWIRE_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A started server; killed if a test fails before it has ended.
pub(crate) struct Program {
    pub(crate) child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::spawn(&mut command(args))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// Where the next of its listeners is, which must be one for `transport`.
    pub(crate) fn address(&mut self, transport: Transport) -> SocketAddr {
        let line = self.line();
        let (name, address) = line.trim_end().strip_prefix("listening ").unwrap().split_once(' ').unwrap();
        assert_eq!(name, transport.name());
        address.parse().unwrap()
    }

    pub(crate) fn client(&mut self, transport: Transport) -> Client {
        let mut client = Client::connect(transport, self.address(transport));
        assert_eq!(client.ask(transport.name()), SUCCESS);
        client
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Has it stand still until `SIGCONT`.
    pub(crate) fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let pid = Pid::from_raw(self.child.id().cast_signed());
        let seen = waitpid(pid, Some(WaitPidFlag::WUNTRACED));
        assert_eq!(seen, Ok(WaitStatus::Stopped(pid, Signal::SIGSTOP)));
    }

    /// How much memory it has, by the system's count.
    pub(crate) fn resident_kib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// The exit code and what was logged.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (status.code(), stderr)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
