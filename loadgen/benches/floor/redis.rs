//! redis-benchmark against redis-server, where both are installed: what users of a key-value store would reach for.
//!
//! The server is started afresh on a free port and keeps nothing; half of the window is `SET`, half is `GET`. Requests
//! are the commands that the server says it has processed, CPU is from both processes' clocks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use twinwire::load::engine::Placement;

use crate::children::Process;
use crate::roles::Role;
use crate::rounds::Plan;
use crate::window::{Sample, Window};

/// Bytes of a value, as in our own mix.
pub const VALUE_BYTES: usize = 16;

/// Longest that the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// More than any window lasts.
const REQUESTS: &str = "1000000000";

/// Whether both programs are here.
pub fn is_installed() -> bool {
    ["redis-server", "redis-benchmark"].iter().all(|program| {
        let version =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok()
    })
}

/// Becomes redis-server; comes back only where that fails.
pub fn become_server(cpu: usize, port: u16) -> anyhow::Error {
    Placement::pin(&[cpu]);
    let port = port.to_string();
    let quiet = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--loglevel", "warning"];
    Command::new("redis-server").args(["--port", &port]).args(quiet).stdout(Stdio::null()).exec().into()
}

/// Becomes redis-benchmark; comes back only where that fails.
pub fn become_benchmark(
    cpu: usize,
    port: u16,
    connections: usize,
    test: &str,
    depth: usize,
) -> anyhow::Error {
    Placement::pin(&[cpu]);
    let numbers = [port as usize, connections, VALUE_BYTES, depth].map(|number| number.to_string());
    let [port, connections, bytes, depth] = &numbers;
    Command::new("redis-benchmark")
        .args(["-p", port, "-c", connections, "-d", bytes, "-P", depth, "-t", test, "-n", REQUESTS, "-q"])
        .stdout(Stdio::null())
        .exec()
        .into()
}

/// One window: `SET` and `GET`, half of it each.
pub fn window(plan: &Plan) -> anyhow::Result<Window> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let server = Process::start(&Role::RedisServer { cpu: plan.server_cpu, port })?;
    let mut info = Info::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let mut whole: Option<Window> = None;
    for test in ["set", "get"] {
        let generator = Process::start(&Role::RedisBenchmark {
            cpu: plan.generator_cpu,
            port,
            connections: plan.connections,
            test: test.to_owned(),
        })?;
        thread::sleep(plan.warmup);
        let cpus = [plan.server_cpu, plan.generator_cpu];
        let begin = Sample::take(server.id(), generator.id(), cpus, info.commands()?);
        thread::sleep(plan.length / 2);
        let end = Sample::take(server.id(), generator.id(), cpus, info.commands()?);
        let half = begin.until(&end)?;
        whole = Some(whole.map_or(half, |first| first.and(&half)));
    }
    whole.context("nothing was measured")
}

/// A connection that asks the server how much it has done.
struct Info(BufReader<TcpStream>);

impl Info {
    fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let give_up_at = Instant::now() + PATIENCE;
        loop {
            match TcpStream::connect(address) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    return Ok(Self(BufReader::new(stream)));
                }
                Err(error) if Instant::now() >= give_up_at => bail!("redis-server does not listen: {error}"),
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

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
