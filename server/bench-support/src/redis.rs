//! redis-server, where it is installed: what users of a key-value store would reach for.
//!
//! Each is started on a free port and keeps nothing on disk. A bare generator asks it as it asks our server
//! ([`crate::load::Load::RedisMix`]), or redis-benchmark does.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::children::Process;
use crate::load::MIX_VALUE;
use crate::run::{Plan, is_installed};
use crate::window::{Sample, Window};

const START_TIMEOUT: Duration = Duration::from_secs(10);
const START_POLL: Duration = Duration::from_millis(10);

/// More than any window lasts.
const REQUESTS: &str = "1000000000";

/// Whether everything that is used here is installed.
pub fn is_available() -> bool {
    ["redis-server", "redis-benchmark", "redis-cli"].into_iter().all(is_installed)
}

/// Starts redis-server on these CPUs.
pub fn start(cpus: &[usize]) -> anyhow::Result<(Process, SocketAddr)> {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let port = address.port().to_string();
    let arguments =
        ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--loglevel", "warning", "--port", &port];
    let server = Process::start_foreign("redis-server", &arguments, cpus)?;
    let give_up_at = Instant::now() + START_TIMEOUT;
    loop {
        match TcpStream::connect(address) {
            Ok(_) => return Ok((server, address)),
            Err(error) if Instant::now() >= give_up_at => bail!("redis-server does not listen: {error}"),
            Err(_) => thread::sleep(START_POLL),
        }
    }
}

/// One window of redis-benchmark against it: `SET` and `GET`, half of the window each. Requests are the commands that
/// the server counts.
pub fn benchmark_window(plan: &Plan) -> anyhow::Result<Window> {
    let (server, address) = start(&[plan.server_cpu])?;
    let (port, connections, bytes) =
        (address.port().to_string(), plan.connections.to_string(), MIX_VALUE.len().to_string());
    let half = |test| {
        let arguments =
            ["-p", &port, "-c", &connections, "-d", &bytes, "-P", "1", "-t", test, "-n", REQUESTS, "-q"];
        let generator = Process::start_foreign("redis-benchmark", &arguments, &[plan.generator_cpu])?;
        let cpus = [plan.server_cpu, plan.generator_cpu];
        let sample =
            || Ok::<_, anyhow::Error>(Sample::take(server.id(), generator.id(), &cpus, commands(&port)?));
        thread::sleep(plan.warmup);
        let begin = sample()?;
        thread::sleep(plan.length / 2);
        begin.until(&sample()?)
    };
    Ok(half("set")?.and(&half("get")?))
}

/// Commands processed so far. Those that ask for it are too few to matter.
fn commands(port: &str) -> anyhow::Result<u64> {
    let output = Command::new("redis-cli").args(["-p", port, "INFO", "stats"]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let count = text.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
    Ok(count.context("redis-cli gave no count of commands")?.trim().parse()?)
}
