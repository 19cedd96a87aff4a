//! The child's side: this executable started once more to be one server or one generator for one window.
//!
//! A server prints `listening … ADDRESS` and serves until its standard input ends; a generator prints its window as
//! one line of JSON and ends. Either ends with its standard input, so that none outlives the bench.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;
use std::{io, process, thread};

use serde::{Deserialize, Serialize};
use twinwire::load::engine::Placement;
use twinwire::target::embedded;

use crate::message::Mix;
use crate::{ours, redis, tcp, websocket};

/// The hidden first argument before a role.
pub const FLAG: &str = "--role";

/// What the bench compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Wire {
    Tcp,
    WebSocket,
}

impl Wire {
    /// Its name in scenarios.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "websocket",
        }
    }
}

/// What a child is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Role {
    FloorServer {
        wire: Wire,
        cpu: usize,
    },
    ReferenceServer {
        wire: Wire,
        cpu: usize,
    },
    FloorGenerator(Task),
    OurGenerator(Task),
    /// Ours, with puts and gets of redis-benchmark's size.
    OurMixedGenerator(Task),
    RedisServer {
        cpu: usize,
        port: u16,
    },
    RedisBenchmark {
        cpu: usize,
        port: u16,
        connections: usize,
        test: String,
    },
}

impl Role {
    /// Whether it is another program, which does not end with its standard input.
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::RedisServer { .. } | Self::RedisBenchmark { .. })
    }
}

/// What a generator is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    pub wire: Wire,
    pub server: SocketAddr,
    pub server_pid: u32,
    pub server_cpu: usize,
    pub generator_cpu: usize,
    pub connections: usize,
    pub warmup: Duration,
    pub length: Duration,
}

/// Becomes what the argument says.
pub fn play(role: &str) -> ExitCode {
    let outcome = serde_json::from_str(role).map_err(anyhow::Error::from).and_then(|role| match role {
        Role::ReferenceServer { wire, cpu } => Ok(reference_server(wire, cpu)),
        role => other(&role).map(|()| ExitCode::SUCCESS),
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("floor: {error:#}");
        ExitCode::FAILURE
    })
}

fn reference_server(wire: Wire, cpu: usize) -> ExitCode {
    Placement::pin(&[cpu]);
    let listener = match wire {
        Wire::Tcp => "--tcp",
        Wire::WebSocket => "--ws",
    };
    let cpu = cpu.to_string();
    let arguments = ["--until-stdin-closes", listener, "127.0.0.1:0", "--cpus", &cpu];
    embedded::serve(arguments.into_iter().map(Into::into).collect())
}

fn other(role: &Role) -> anyhow::Result<()> {
    let cpu = match role {
        Role::FloorServer { cpu, .. } | Role::ReferenceServer { cpu, .. } => *cpu,
        Role::FloorGenerator(task) | Role::OurGenerator(task) | Role::OurMixedGenerator(task) => {
            task.generator_cpu
        }
        Role::RedisServer { cpu, port } => return Err(redis::become_server(*cpu, *port)),
        Role::RedisBenchmark { cpu, port, connections, test } => {
            return Err(redis::become_benchmark(*cpu, *port, *connections, test, 1));
        }
    };
    // Before any thread starts, so that all of them inherit it.
    Placement::pin(&[cpu]);
    end_with_stdin();
    let window = match role {
        Role::FloorServer { wire, .. } => return floor_server(*wire),
        Role::ReferenceServer { .. } | Role::RedisServer { .. } | Role::RedisBenchmark { .. } => {
            anyhow::bail!("it is started elsewhere")
        }
        Role::FloorGenerator(task) if task.wire == Wire::Tcp => tcp::generate(task)?,
        Role::FloorGenerator(task) => websocket::generate(task)?,
        Role::OurGenerator(task) => ours::generate(task, Mix::Gets)?,
        Role::OurMixedGenerator(task) => ours::generate(task, Mix::PutsAndGets)?,
    };
    println!("{}", serde_json::to_string(&window)?);
    Ok(())
}

fn floor_server(wire: Wire) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("listening {} {}", wire.name(), listener.local_addr()?);
    match wire {
        Wire::Tcp => tcp::serve(&listener),
        Wire::WebSocket => websocket::serve(listener),
    }
}

fn end_with_stdin() {
    thread::spawn(|| {
        // An error is an end as well.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        process::exit(0);
    });
}
