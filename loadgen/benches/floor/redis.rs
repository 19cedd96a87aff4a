//! redis-benchmark against redis-server, where both are installed: what users of a key-value store would reach for.
//!
//! Half of the window is `SET`, half is `GET`. Requests are the commands that the server says it has processed, CPU
//! is from both processes' clocks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;

use anyhow::Context;
use twinwire_floor::children::Process;
use twinwire_floor::message::MIX_VALUE;
use twinwire_floor::options::Plan;
use twinwire_floor::redis::{PATIENCE, start};
use twinwire_floor::roles::Role;
use twinwire_floor::window::{Sample, Window};

/// More than any window lasts.
const REQUESTS: &str = "1000000000";

/// One window: `SET` and `GET`, half of it each.
pub fn window(plan: &Plan) -> anyhow::Result<Window> {
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
