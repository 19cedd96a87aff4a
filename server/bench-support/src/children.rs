//! Child processes, each a server or a generator on CPUs of its own, and ending them whatever happens.
//!
//! A server prints `listening … ADDRESS` and serves; a generator prints what it measured as one line of JSON and ends.
//! Either ends with its standard input, so that none outlives the bench.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::load::Load;
use crate::process::{cpu_ns, descriptors, rss_kib};
use crate::run::ROLE_FLAG;
use crate::wire::{Endpoint, Wire};
use crate::{cpus, tcp, websocket};

/// Longest that a server may take to listen, and a generator to set up its clients and end, its windows aside.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Longest that a child may take to end once its standard input is closed; the reference server promises 5 s.
const END_TIMEOUT: Duration = Duration::from_secs(6);

const END_POLL: Duration = Duration::from_millis(5);

/// What a child is to do. A bench may have roles of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Role {
    /// A bare server.
    Server { wire: Wire, cpus: Vec<usize> },
    /// A bare generator: one window.
    Generator(Task),
    /// One bare generator that asks several servers in turn: a window for each.
    Alternator(Vec<Task>),
    /// Another program.
    Program { cpus: Vec<usize>, program: String, arguments: Vec<String>, quiet: bool },
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
    /// How often each client asks over TCP; without it, the next request follows each reply at once.
    pub period: Option<Duration>,
}

impl Task {
    /// All CPUs that are in use.
    #[must_use]
    pub fn cpus(&self) -> Vec<usize> {
        let mut cpus = [&*self.server_cpus, &*self.generator_cpus].concat();
        cpus.sort_unstable();
        cpus.dedup();
        cpus
    }
}

impl Role {
    fn program(program: &str, arguments: &[&str], cpus: &[usize], quiet: bool) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self::Program { cpus: cpus.to_vec(), program: program.to_owned(), arguments, quiet }
    }
}

/// Plays a role that any bench has; returns when a generator has ended.
pub fn play(role: &str) -> anyhow::Result<()> {
    match serde_json::from_str(role)? {
        Role::Server { wire, cpus } => {
            confine(&cpus);
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            println!("listening {} {}", wire.name(), listener.local_addr()?);
            match wire {
                Wire::Tcp => tcp::serve(&listener),
                Wire::WebSocket => websocket::serve(listener),
            }
        }
        Role::Generator(task) => generate(&task.generator_cpus, || match task.endpoint.wire {
            Wire::Tcp => tcp::generate(&task),
            Wire::WebSocket => websocket::generate(&task),
        }),
        Role::Alternator(tasks) => generate(&tasks[0].generator_cpus, || tcp::alternate(&tasks)),
        Role::Program { cpus, program, arguments, quiet } => {
            cpus::pin(&cpus);
            let mut command = Command::new(program);
            command.args(arguments);
            // Settings that the user's own servers may have are not for a measured one.
            for (name, _) in
                env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TWINWIRE_"))
            {
                command.env_remove(name);
            }
            if quiet {
                command.stdout(Stdio::null());
            }
            Err(command.exec().into())
        }
    }
}

/// Generates on these CPUs and prints the result.
pub fn generate<T: Serialize>(cpus: &[usize], run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<()> {
    confine(cpus);
    println!("{}", serde_json::to_string(&run()?)?);
    Ok(())
}

/// Keeps to these CPUs, before any thread starts, so that all of them do; and ends with standard input.
fn confine(cpus: &[usize]) {
    cpus::pin(cpus);
    thread::spawn(|| {
        // An error is an end as well.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        process::exit(0);
    });
}

/// A child process. It ends when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    is_killed: bool,
}

impl Process {
    /// Starts this executable in a role.
    pub fn start(role: &impl Serialize) -> anyhow::Result<Self> {
        let executable = env::current_exe().context("this executable cannot be found")?;
        let role = serde_json::to_string(role)?;
        let mut child = Command::new(executable)
            .args([ROLE_FLAG, &role])
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
        Ok(Self { child, lines, is_killed: false })
    }

    /// Starts another program by way of this executable.
    pub fn start_program(program: &str, arguments: &[&str], cpus: &[usize]) -> anyhow::Result<Self> {
        Self::start(&Role::program(program, arguments, cpus, false))
    }

    /// The same for a program that does not end with its standard input, and whose output does not matter.
    pub fn start_foreign(program: &str, arguments: &[&str], cpus: &[usize]) -> anyhow::Result<Self> {
        let mut process = Self::start(&Role::program(program, arguments, cpus, true))?;
        process.is_killed = true;
        Ok(process)
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends its standard input, which is its sign to end.
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
    pub fn measured<T: DeserializeOwned>(&self, length: Duration) -> anyhow::Result<T> {
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
        let give_up_at = Instant::now() + if self.is_killed { Duration::ZERO } else { END_TIMEOUT };
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

/// The reference server as a process on one CPU, over both transports. It ends when this is dropped.
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
    /// Starts `program` with these flags besides those that say where.
    pub fn start(program: &str, cpu: usize, flags: &[&str]) -> anyhow::Result<Self> {
        let cpu_list = cpu.to_string();
        let common =
            ["--until-stdin-closes", "--cpus", &cpu_list, "--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0"];
        let process = Process::start_program(program, &[&common, flags].concat(), &[cpu])?;
        let [tcp, websocket] = Wire::BOTH;
        let tcp = Endpoint { wire: tcp, address: process.address()? };
        let websocket = Endpoint { wire: websocket, address: process.address()? };
        Ok(Self { process, endpoints: [tcp, websocket] })
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
