//! The two child processes: the server on its CPU, and the abusers in the system's idle class.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use crate::{abuse::Abuse, peer::Target};

/// Longest that a child may take to get ready, and to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often is looked whether something has changed.
const POLL: Duration = Duration::from_millis(2);

/// Puts this thread, and the threads and children that it starts from now on, on one CPU.
pub fn pin(cpu: usize) -> anyhow::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &cpus).with_context(|| format!("cannot run on CPU {cpu}"))
}

/// What `/proc/stat` has counted for all CPUs so far.
#[derive(Debug, Clone, Copy)]
pub struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    pub fn now() -> anyhow::Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let line =
            stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("no line for all CPUs")?;
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows is counted among these already.
        let ticks = line.split_whitespace().take(8).map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        Ok(Self { all: ticks.iter().sum(), stolen: ticks.get(7).copied().unwrap_or(0) })
    }

    /// The share of time since `before` that the host gave to others.
    pub fn stolen_since(self, before: Self) -> f64 {
        self.stolen.saturating_sub(before.stolen) as f64 / self.all.saturating_sub(before.all).max(1) as f64
    }
}

/// A child whose lines are read, and that ends when its standard input does.
struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let stdout = child.stdout.take().expect("its standard output is a pipe");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// The rest of the next line, which begins like this.
    fn line(&self, beginning: &str) -> anyhow::Result<String> {
        let line =
            self.lines.recv_timeout(PATIENCE).context("a child process ended, or was silent for too long")?;
        let rest =
            line.strip_prefix(beginning).with_context(|| format!("`{line}` instead of `{beginning}`"))?;
        Ok(rest.trim().to_owned())
    }

    /// Tells it to end.
    fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended just now; either way it is gone after this.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server, alone on its CPU.
pub struct Server {
    process: Process,
    pub target: Target,
}

impl Server {
    /// Starts it on `cpu`, and comes back to `own_cpu`.
    pub fn start(abuse: Abuse, cpu: usize, own_cpu: usize) -> anyhow::Result<Self> {
        let cpu_list = cpu.to_string();
        let flags =
            ["--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--cpus", &cpu_list, "--until-stdin-closes"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinwire-server"));
        command.args(flags).args(abuse.flags());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TWINWIRE_") {
                command.env_remove(name);
            }
        }
        // Its other threads inherit this.
        pin(cpu)?;
        let process = Process::spawn(&mut command);
        pin(own_cpu)?;
        let process = process?;
        let address = |transport: &str| -> anyhow::Result<SocketAddr> {
            Ok(process.line(&format!("listening {transport} "))?.parse()?)
        };
        let target = Target { tcp: address("tcp")?, websocket: address("websocket")? };
        Ok(Self { process, target })
    }

    /// Its memory, by the system's count.
    pub fn resident_kib(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.child.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS: it has ended")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Its open descriptors.
    pub fn descriptors(&self) -> anyhow::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.process.child.id()))
            .context("the server has ended")?
            .count())
    }

    /// Waits until no more descriptors are open than `before`.
    pub fn settle(&self, before: usize) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.descriptors()? > before {
            if began.elapsed() > PATIENCE {
                bail!("{} descriptors are open where {before} were", self.descriptors()?);
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

/// Abusers at work.
pub struct Abusers(Process);

impl Abusers {
    /// Starts them; they have begun when this returns.
    pub fn start(abuse: Abuse, target: Target, size: usize, hold: Duration) -> anyhow::Result<Self> {
        let mut command = yielding(&std::env::current_exe().context("this executable cannot be found")?);
        let role = abuse.to_possible_value().expect("none is skipped").get_name().to_owned();
        command.args([
            "--abuser",
            &role,
            "--size",
            &size.to_string(),
            "--hold-ms",
            &hold.as_millis().to_string(),
        ]);
        command.args(["--tcp", &target.tcp.to_string(), "--ws", &target.websocket.to_string()]);
        let process = Process::spawn(&mut command)?;
        process.line("going")?;
        Ok(Self(process))
    }

    /// Waits until all of the abuse is there.
    pub fn wait_until_full(&self) -> anyhow::Result<()> {
        self.0.line("full").map(drop)
    }

    /// Ends them; how often they were served.
    pub fn stop(mut self) -> anyhow::Result<u64> {
        self.0.close_stdin();
        let served = self.0.line("served ")?.parse()?;
        ensure!(self.0.child.wait()?.success(), "the abusers failed");
        Ok(served)
    }
}

/// A program that runs only when nothing else wants the CPU, as far as the system's tools allow.
fn yielding(program: &Path) -> Command {
    let is_installed = |tool: &str| {
        Command::new(tool).arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    let wrapper: &[&str] =
        if is_installed("chrt") { &["chrt", "--idle", "0"] } else { &["nice", "-n", "19"] };
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(program);
    command
}
