//! redis-server, where it is installed: what users of a key-value store would reach for.
//!
//! It is started afresh on a free port and keeps nothing on disk.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::children::Process;
use crate::roles::Role;

/// Longest that the server may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How often is looked whether it listens.
const POLL: Duration = Duration::from_millis(10);

/// Whether a program of this name can be started.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Starts redis-server on these CPUs; with it comes a connection to it.
pub fn start(cpus: &[usize]) -> anyhow::Result<(Process, TcpStream)> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let quiet =
        ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--loglevel", "warning", "--port"];
    let server = Process::start_foreign(&Role::Program {
        cpus: cpus.to_vec(),
        program: "redis-server".to_owned(),
        arguments: quiet.into_iter().map(str::to_owned).chain([port.to_string()]).collect(),
        quiet: true,
    })?;
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(stream) => return Ok((server, stream)),
            Err(error) if Instant::now() >= give_up_at => bail!("redis-server does not listen: {error}"),
            Err(_) => thread::sleep(POLL),
        }
    }
}
