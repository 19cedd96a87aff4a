//! Servers and generators as child processes on CPUs of their own. Each ends when it is dropped.
//!
//! A server prints `listening … ADDRESS` and serves; a generator prints what it measured as one line of JSON and ends.
//! Either ends with its standard input, so that none outlives the bench.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::load::Load;
use crate::process::{cpu_ns, descriptors, rss_kib};
use crate::run::ROLE_FLAG;
use crate::window::Window;
use crate::wire::{Endpoint, Wire};
use crate::{cpus, tcp};

/// Longest that a server may take to listen, and a generator to set up its clients and end, its windows aside.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Longest that a child may take to end once its standard input is closed; the reference server promises 5 s.
const END_TIMEOUT: Duration = Duration::from_secs(6);

const END_POLL: Duration = Duration::from_millis(5);

/// What a child is to do. A bench may have roles of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Role {
    /// The bare server.
    Server,
    /// The bare generator: a window of each task.
    Generator(Vec<Task>),
}

/// What a generator is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    pub endpoint: Endpoint,
    pub server_pid: u32,
    pub server_cpus: Vec<usize>,
    pub generator_cpus: Vec<usize>,
    pub connections: usize,
    /// Before the window.
    pub warmup: Duration,
    /// Of the window.
    pub length: Duration,
    pub load: Load,
    /// How often each client asks; without it, the next request follows each reply at once.
    pub period: Option<Duration>,
}

/// Plays a role that any bench has; returns when a generator has ended.
pub fn play(role: &str) -> anyhow::Result<()> {
    match serde_json::from_str(role)? {
        Role::Server => {
            end_with_input();
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            println!("listening tcp {}", listener.local_addr()?);
            tcp::serve(&listener)
        }
        Role::Generator(tasks) => generate(|| tcp::generate(&tasks)),
    }
}

/// Generates and prints the windows.
pub fn generate(run: impl FnOnce() -> anyhow::Result<Vec<Window>>) -> anyhow::Result<()> {
    end_with_input();
    println!("{}", serde_json::to_string(&run()?)?);
    Ok(())
}

fn end_with_input() {
    thread::spawn(|| {
        // An error is an end as well.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        process::exit(0);
    });
}

/// A child process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    /// How long it has to end by itself.
    grace: Duration,
}

impl Process {
    /// Starts this executable in a role.
    pub fn play(role: &impl Serialize, cpus: &[usize]) -> anyhow::Result<Self> {
        Self::start(&this_program()?, &[ROLE_FLAG, &serde_json::to_string(role)?], cpus)
    }

    /// Starts a program on these CPUs; on those of this thread if there are none.
    pub fn start(program: &str, arguments: &[&str], cpus: &[usize]) -> anyhow::Result<Self> {
        Self::spawn(program, arguments, cpus, Stdio::piped(), END_TIMEOUT)
    }

    /// Starts a program that does not end with its standard input, and whose output does not matter.
    pub fn start_foreign(program: &str, arguments: &[&str], cpus: &[usize]) -> anyhow::Result<Self> {
        Self::spawn(program, arguments, cpus, Stdio::null(), Duration::ZERO)
    }

    fn spawn(
        program: &str,
        arguments: &[&str],
        cpus: &[usize],
        stdout: Stdio,
        grace: Duration,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(stdout);
        // Settings that the user's own servers may have are not for a measured one.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TWINWIRE_")) {
            command.env_remove(name);
        }
        // A child inherits the CPUs of the thread that starts it.
        let own = cpus::allowed();
        cpus::pin(cpus);
        let child = command.spawn();
        cpus::pin(&own);
        let mut child = child.with_context(|| format!("cannot start {program}"))?;
        let (sender, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            let send = move |line| sender.send(line).is_ok();
            thread::spawn(|| BufReader::new(stdout).lines().map_while(Result::ok).all(send));
        }
        Ok(Self { child, lines, grace })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Closes its standard input, which asks it to end.
    pub fn end_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Where a server listens, once it does; of several listeners, the next.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        let line = self.line(START_TIMEOUT)?;
        let address = line.rsplit(' ').next().and_then(|address| address.parse().ok());
        address.with_context(|| format!("no ready line: `{line}`"))
    }

    /// What a generator measured that takes this long.
    pub fn windows(&self, length: Duration) -> anyhow::Result<Vec<Window>> {
        Ok(serde_json::from_str(&self.line(length + START_TIMEOUT)?)?)
    }

    /// The next line that it prints.
    pub fn line(&self, timeout: Duration) -> anyhow::Result<String> {
        self.lines.recv_timeout(timeout).context("a child process ended, or was silent for too long")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_input();
        let give_up_at = Instant::now() + self.grace;
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

/// The path of this executable.
pub fn this_program() -> anyhow::Result<String> {
    let path = env::current_exe().context("this executable cannot be found")?;
    Ok(path.to_str().context("this executable's path is not valid UTF-8")?.to_owned())
}

/// The reference server as a process on one CPU, over both transports.
#[derive(Debug)]
pub struct Server {
    process: Process,
    /// Over TCP and over WebSocket.
    pub endpoints: [Endpoint; 2],
}

/// Memory and descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    pub resident_kib: u64,
    pub descriptors: u64,
}

impl Server {
    /// Starts `program` with these flags besides those for its CPU and listeners.
    pub fn start(program: &str, cpu: usize, flags: &[&str]) -> anyhow::Result<Self> {
        let cpu_list = cpu.to_string();
        let common =
            ["--until-stdin-closes", "--cpus", &cpu_list, "--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0"];
        let process = Process::start(program, &[&common, flags].concat(), &[cpu])?;
        let (tcp, websocket) = (process.address()?, process.address()?);
        let endpoints = [(Wire::Tcp, tcp), (Wire::WebSocket, websocket)];
        Ok(Self { process, endpoints: endpoints.map(|(wire, address)| Endpoint { wire, address }) })
    }

    /// CPU time that it has used, in ns.
    pub fn cpu_ns(&self) -> anyhow::Result<u64> {
        cpu_ns(self.process.id()).context("the system does not report the server's CPU time")
    }

    pub fn holdings(&self) -> anyhow::Result<Holdings> {
        let pid = Some(self.process.id());
        let (resident_kib, descriptors) =
            rss_kib(pid).zip(descriptors(pid)).context("the server has ended")?;
        Ok(Holdings { resident_kib, descriptors })
    }
}
