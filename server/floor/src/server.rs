//! The reference server as a process: on a CPU of its own, over both transports, and what the system tells of it.

use std::net::SocketAddr;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::children::Process;
use crate::process;
use crate::roles::{Role, Wire};

/// Where a server is to be reached.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Door {
    /// What is spoken there.
    pub wire: Wire,
    /// Where it is.
    pub address: SocketAddr,
}

/// Memory and descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// Resident memory in KiB.
    pub resident_kib: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

/// A server that ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    process: Process,
    doors: [Door; 2],
}

impl Server {
    /// Starts `program` on this CPU, with these flags beside those that say where.
    pub fn start(program: &str, cpu: usize, flags: &[&str]) -> anyhow::Result<Self> {
        let cpu_list = cpu.to_string();
        let listening = ["--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0"];
        let arguments = [&["--until-stdin-closes", "--cpus", &cpu_list], &listening[..], flags].concat();
        let process = Process::start(&Role::Program {
            cpus: vec![cpu],
            program: program.to_owned(),
            arguments: arguments.into_iter().map(str::to_owned).collect(),
            quiet: false,
        })?;
        let tcp = Door { wire: Wire::Tcp, address: process.address()? };
        let websocket = Door { wire: Wire::WebSocket, address: process.address()? };
        Ok(Self { process, doors: [tcp, websocket] })
    }

    /// Where it listens, over TCP and over WebSocket.
    #[must_use]
    pub fn doors(&self) -> [Door; 2] {
        self.doors
    }

    /// Where it listens for this transport.
    #[must_use]
    pub fn door(&self, wire: Wire) -> Door {
        match wire {
            Wire::Tcp => self.doors[0],
            Wire::WebSocket => self.doors[1],
        }
    }

    /// CPU time that it has used, in ns.
    pub fn cpu_ns(&self) -> anyhow::Result<u64> {
        process::cpu_ns(self.process.id()).context("the system does not tell the server's CPU time")
    }

    /// What it holds now.
    pub fn holdings(&self) -> anyhow::Result<Holdings> {
        let pid = Some(self.process.id());
        let holdings = process::rss_kib(pid).zip(process::descriptors(pid));
        let (resident_kib, descriptors) = holdings.context("the server has ended")?;
        Ok(Holdings { resident_kib, descriptors })
    }
}
