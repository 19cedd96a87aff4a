//! redis-server, where it is installed: what users of a key-value store would reach for.
//!
//! It is started afresh on a free port and keeps nothing on disk. A bare generator asks it as it asks us
//! ([`crate::message::Talk::RedisMix`]), or redis-benchmark does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::children::Process;
use crate::message::MIX_VALUE;
use crate::options::Plan;
use crate::roles::Role;
use crate::window::{Sample, Window};

/// Longest that the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often is looked whether it listens.
const POLL: Duration = Duration::from_millis(10);

/// More than any window lasts.
const REQUESTS: &str = "1000000000";

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

/// One window of redis-benchmark against it: `SET` and `GET`, half of the window each. Requests are the commands that
/// the server says it has processed.
pub fn benchmark_window(plan: &Plan) -> anyhow::Result<Window> {
    let (server, connection) = start(&[plan.server_cpu])?;
    let port = connection.peer_addr()?.port();
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut info = Info(BufReader::new(connection));
    let mut whole: Option<Window> = None;
    for test in ["set", "get"] {
        let generator = Process::start_foreign(&benchmark(plan, port, test))?;
        thread::sleep(plan.warmup);
        let cpus = [plan.server_cpu, plan.generator_cpu];
        let begin = Sample::take(server.id(), generator.id(), &cpus, info.commands()?);
        thread::sleep(plan.length / 2);
        let end = Sample::take(server.id(), generator.id(), &cpus, info.commands()?);
        let half = begin.until(&end)?;
        whole = Some(whole.map_or(half, |first| first.and(&half)));
    }
    whole.context("nothing was measured")
}

fn benchmark(plan: &Plan, port: u16, test: &str) -> Role {
    let (port, connections, bytes) =
        (port.to_string(), plan.connections.to_string(), MIX_VALUE.len().to_string());
    let arguments =
        ["-p", &port, "-c", &connections, "-d", &bytes, "-P", "1", "-t", test, "-n", REQUESTS, "-q"];
    Role::Program {
        cpus: vec![plan.generator_cpu],
        program: "redis-benchmark".to_owned(),
        arguments: arguments.map(str::to_owned).into(),
        quiet: true,
    }
}

/// A connection that asks the server how much it has done.
struct Info(BufReader<TcpStream>);

impl Info {
    /// Commands processed so far, ours included, which are too few to matter.
    fn commands(&mut self) -> anyhow::Result<u64> {
        self.0.get_mut().write_all(b"INFO stats\r\n")?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let length: usize = line.trim_end().strip_prefix('$').context("no INFO")?.parse()?;
        let mut text = vec![0; length + 2];
        self.0.read_exact(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let count = text.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        Ok(count.context("INFO without a count")?.trim().parse()?)
    }
}
