//! A fresh server of our own on a CPU of its own, and what the system tells of it.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use twinwire_floor::{
    children::Process,
    process,
    roles::{Role, Wire},
};

use crate::crowd::Door;

/// What server and clients need beside a descriptor for each connection: the server keeps some back for connections
/// that are being closed.
const DESCRIPTORS_SPARE: u64 = 256;

/// How often is looked whether a figure still changes, and for how long at most.
const SETTLE_POLL: Duration = Duration::from_millis(100);
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Server {
    process: Process,
    pub tcp: Door,
    pub websocket: Door,
}

/// Memory and descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    pub resident_kib: u64,
    pub descriptors: usize,
}

impl Server {
    /// Pings are off: the clients here answer only what they have asked for.
    pub fn start(cpu: usize) -> anyhow::Result<Self> {
        let cpu_list = cpu.to_string();
        let arguments = [
            "--until-stdin-closes",
            "--tcp",
            "127.0.0.1:0",
            "--ws",
            "127.0.0.1:0",
            "--cpus",
            &cpu_list,
            "--ping-interval",
            "off",
        ];
        let process = Process::start(&Role::Program {
            cpus: vec![cpu],
            program: env!("CARGO_BIN_EXE_twinwire-server").to_owned(),
            arguments: arguments.map(str::to_owned).into(),
            quiet: false,
        })?;
        let tcp = Door { wire: Wire::Tcp, address: process.address()? };
        let websocket = Door { wire: Wire::WebSocket, address: process.address()? };
        Ok(Self { process, tcp, websocket })
    }

    pub fn door(&self, wire: Wire) -> Door {
        match wire {
            Wire::Tcp => self.tcp,
            Wire::WebSocket => self.websocket,
        }
    }

    /// CPU time that it has used, in ns.
    pub fn cpu_ns(&self) -> anyhow::Result<u64> {
        process::cpu_ns(self.process.id()).context("the system does not tell the server's CPU time")
    }

    /// What it holds once that has stopped changing: ends of connections reach it a little later.
    pub fn settled(&self) -> anyhow::Result<Holdings> {
        let give_up_at = Instant::now() + SETTLE_TIMEOUT;
        let mut last = self.holdings()?;
        loop {
            thread::sleep(SETTLE_POLL);
            let now = self.holdings()?;
            if now == last || Instant::now() >= give_up_at {
                return Ok(now);
            }
            last = now;
        }
    }

    fn holdings(&self) -> anyhow::Result<Holdings> {
        let pid = self.process.id();
        let resident_kib =
            process::rss_kib(Some(pid)).context("the system does not tell the server's memory")?;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).context("the server has ended")?.count();
        Ok(Holdings { resident_kib, descriptors })
    }
}

/// Why so many connections are too many for this process or the server, if they are. Raises the soft limit.
pub fn lack_of_descriptors(connections: u64) -> anyhow::Result<Option<String>> {
    let needed = connections + DESCRIPTORS_SPARE;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < needed && hard >= needed {
        setrlimit(Resource::RLIMIT_NOFILE, needed, hard)?;
    }
    Ok((hard < needed).then(|| {
        format!("not measured: needs {needed} open files, and the hard limit is {hard} (see ulimit -Hn)")
    }))
}
