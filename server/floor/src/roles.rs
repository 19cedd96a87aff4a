//! The child's side: this executable started once more to be one server or one generator for one window.
//!
//! A server prints `listening … ADDRESS` and serves until its standard input ends; a generator prints its window,
//! or its windows, as one line of JSON and ends. Either ends with its standard input, so that none outlives the bench.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use std::{io, process, thread};

use serde::{Deserialize, Serialize};

use crate::message::Talk;
use crate::options::outcome;
use crate::window::Window;
use crate::{cpus, tcp, turns, websocket};

/// The hidden first argument before a role.
pub const FLAG: &str = "--role";

/// How the names of variables begin that set what our programs do.
const SETTINGS: &str = "TWINWIRE_";

/// A transport that there is a floor for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Wire {
    /// Lines over TCP.
    Tcp,
    /// Text messages over WebSocket.
    WebSocket,
}

impl Wire {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::Tcp, Self::WebSocket];

    /// Its name in scenarios and ready lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "websocket",
        }
    }
}

/// What a child is to be, on which CPUs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Role {
    /// A bare server.
    FloorServer {
        /// What it speaks.
        wire: Wire,
        /// Where it runs.
        cpus: Vec<usize>,
    },
    /// A bare generator.
    FloorGenerator(Task),
    /// A bare generator that asks several servers in turn, and prints a window for each.
    Alternator(Vec<Task>),
    /// Another program, which may print its ready lines or its window.
    Program {
        /// Where it runs.
        cpus: Vec<usize>,
        /// Its path, or its name if it is to be searched for.
        program: String,
        /// What it is told.
        arguments: Vec<String>,
        /// Whether nobody listens to what it prints.
        quiet: bool,
    },
}

/// What a generator is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// What it speaks.
    pub wire: Wire,
    /// Whom to.
    pub server: SocketAddr,
    /// Whose CPU time is read.
    pub server_pid: u32,
    /// Where the server runs.
    pub server_cpus: Vec<usize>,
    /// Where the generator runs.
    pub generator_cpus: Vec<usize>,
    /// Clients, each with a connection.
    pub connections: usize,
    /// Before the window.
    pub warmup: Duration,
    /// Of the window.
    pub length: Duration,
    /// What is said; over WebSocket it is always [`Talk::Gets`].
    pub talk: Talk,
    /// How often each client asks over TCP; without it, each reply is followed by the next request at once.
    pub tick: Option<Duration>,
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

/// The role that this executable was started for, if it was started by a bench.
#[must_use]
pub fn asked() -> Option<String> {
    let mut arguments = std::env::args().skip(1);
    (arguments.next()? == FLAG).then(|| arguments.next())?
}

/// Plays the role that this executable was started for, if it was; the first that a bench's `main` does.
#[must_use]
pub fn played(bench: &str) -> Option<ExitCode> {
    let role = asked()?;
    let played = serde_json::from_str(&role).map_err(Into::into).and_then(|role| play(&role));
    Some(outcome(bench, played.map(|()| true)))
}

/// Does what the role says, or becomes it; comes back when a generator has ended, or with an error.
pub fn play(role: &Role) -> anyhow::Result<()> {
    match role {
        Role::FloorServer { wire, cpus } => {
            settle(cpus);
            serve(*wire)
        }
        Role::FloorGenerator(task) => generate(task, |task| match task.wire {
            Wire::WebSocket => websocket::generate(task),
            Wire::Tcp => tcp::generate(task),
        }),
        Role::Alternator(tasks) => {
            settle(tasks.first().map_or(&[], |task| &task.generator_cpus));
            println!("{}", serde_json::to_string(&turns::alternate(tasks)?)?);
            Ok(())
        }
        Role::Program { cpus, program, arguments, quiet } => {
            cpus::pin(cpus);
            let mut command = Command::new(program);
            command.args(arguments);
            // Settings that the user's own servers may have are none of a measured one's.
            for (name, _) in std::env::vars_os() {
                if name.to_string_lossy().starts_with(SETTINGS) {
                    command.env_remove(name);
                }
            }
            if *quiet {
                command.stdout(Stdio::null());
            }
            Err(command.exec().into())
        }
    }
}

/// Runs a generator on its CPUs and prints its window.
pub fn generate(task: &Task, run: impl FnOnce(&Task) -> anyhow::Result<Window>) -> anyhow::Result<()> {
    settle(&task.generator_cpus);
    println!("{}", serde_json::to_string(&run(task)?)?);
    Ok(())
}

/// Keeps to these CPUs, before any thread starts, so that all of them do; and ends with standard input.
fn settle(cpus: &[usize]) {
    cpus::pin(cpus);
    thread::spawn(|| {
        // An error is an end as well.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        process::exit(0);
    });
}

fn serve(wire: Wire) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("listening {} {}", wire.name(), listener.local_addr()?);
    match wire {
        Wire::Tcp => tcp::serve(&listener),
        Wire::WebSocket => websocket::serve(listener),
    }
}
