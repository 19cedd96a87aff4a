//! The parent's side of the children: starting, listening to them, and stopping them whatever happens.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::roles;
use crate::window::Window;

/// Longest that a server may take to listen, and a generator to set up its clients and end, its window aside.
const PATIENCE: Duration = Duration::from_secs(20);

/// Longest that a child may take to end once its standard input is closed; the reference server promises 5 s.
const END_TIMEOUT: Duration = Duration::from_secs(6);

/// How often is looked whether it has ended: short against a window.
const END_POLL: Duration = Duration::from_millis(5);

/// A child that ends when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    foreign: bool,
}

impl Process {
    /// Starts this executable in a role, which ends with its standard input.
    pub fn start(role: &impl serde::Serialize) -> anyhow::Result<Self> {
        Self::spawn(role, false)
    }

    /// Starts this executable in a role that makes it another program, which is killed at its end.
    pub fn start_foreign(role: &impl serde::Serialize) -> anyhow::Result<Self> {
        Self::spawn(role, true)
    }

    fn spawn(role: &impl serde::Serialize, foreign: bool) -> anyhow::Result<Self> {
        let executable = std::env::current_exe().context("this executable cannot be found")?;
        let role = serde_json::to_string(role)?;
        let mut child = Command::new(executable)
            .arg(roles::FLAG)
            .arg(&role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {role}"))?;
        let stdout = child.stdout.take().expect("its standard output is a pipe");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines, foreign })
    }

    /// Ends its standard input, which is its sign to end.
    pub fn end_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where a server listens, once it does; of several listeners, the next.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        let line = self.line(PATIENCE)?;
        let address = line.rsplit(' ').next().and_then(|address| address.parse().ok());
        address.with_context(|| format!("no ready line: `{line}`"))
    }

    /// The window of a generator that measures for `length`.
    pub fn window(&self, length: Duration) -> anyhow::Result<Window> {
        Ok(serde_json::from_str(&self.line(length + PATIENCE)?)?)
    }

    /// The windows of a generator that takes so long for all of them.
    pub fn windows(&self, length: Duration) -> anyhow::Result<Vec<Window>> {
        Ok(serde_json::from_str(&self.line(length + PATIENCE)?)?)
    }

    /// The next line that it prints, which may take so long.
    pub fn line(&self, timeout: Duration) -> anyhow::Result<String> {
        self.lines.recv_timeout(timeout).context("a child process ended, or was silent for too long")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_input();
        if self.foreign {
            let _ = self.child.kill();
        }
        let give_up_at = Instant::now() + END_TIMEOUT;
        while Instant::now() < give_up_at {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(END_POLL);
        }
        // It may have ended just now; either way it is gone after this.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
