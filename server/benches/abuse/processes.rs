//! The two child processes: the server on its CPU, and the abusers in the system's idle class.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use twinwire_floor::{
    children::Process,
    redis::is_installed,
    roles::{self, Role},
    server::Server,
};

use crate::{abuse::Abuse, abuser::Task};

/// Longest that abusers may take to be all there, and that the server may take to be rid of them.
const PATIENCE: Duration = Duration::from_mins(3);

/// How often is looked whether something has changed.
const POLL: Duration = Duration::from_millis(2);

/// The server for an abuse.
pub fn serve(abuse: Abuse, cpu: usize) -> anyhow::Result<Server> {
    let cpu_list = cpu.to_string();
    // Beside the one that it has there already.
    let second_worker = ["--cpus", &cpu_list];
    let workers = if abuse.has_managers() { &second_worker[..] } else { &[] };
    Server::start(env!("CARGO_BIN_EXE_twinwire-server"), cpu, &[abuse.flags(), workers].concat())
}

/// Waits until the server has no more descriptors open than `before`.
pub fn settle(server: &Server, before: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let now = server.holdings()?.descriptors;
        if now <= before {
            return Ok(());
        }
        ensure!(began.elapsed() <= PATIENCE, "{now} descriptors are open where {before} were");
        thread::sleep(POLL);
    }
}

/// Abusers at work.
pub struct Abusers(Process);

impl Abusers {
    /// Starts them; they have begun when this returns. In a trial they are like any program: in the idle class they
    /// would wait for ever beside one that takes all of the CPU.
    pub fn start(task: &Task, is_trial: bool) -> anyhow::Result<Self> {
        let abusers = Self(Process::start(&role(task, !is_trial)?)?);
        abusers.line("going")?;
        Ok(abusers)
    }

    /// Waits until all of the abuse is there.
    pub fn wait_until_full(&self) -> anyhow::Result<()> {
        self.line("full").map(drop)
    }

    /// Ends them; how often they were served.
    pub fn stop(mut self) -> anyhow::Result<u64> {
        self.0.end_input();
        Ok(self.line("served ")?.parse()?)
    }

    /// The rest of the next line, which begins like this.
    fn line(&self, beginning: &str) -> anyhow::Result<String> {
        let line = self.0.line(PATIENCE)?;
        let rest = line.strip_prefix(beginning);
        Ok(rest.with_context(|| format!("`{line}` instead of `{beginning}`"))?.to_owned())
    }
}

/// This program as abusers: where they are to be idle, such that run only when nothing else wants the CPU, as far as the
/// system's tools allow.
fn role(task: &Task, is_idle: bool) -> anyhow::Result<Role> {
    let executable = std::env::current_exe().context("this executable cannot be found")?;
    let executable = executable.to_str().context("this executable's path is no text")?;
    let (program, how): (_, &[&str]) = match is_idle {
        false => ("nice", &["-n", "0"]),
        true if is_installed("chrt") => ("chrt", &["--idle", "0"]),
        true => ("nice", &["-n", "19"]),
    };
    let task = serde_json::to_string(task)?;
    let arguments = [how, &[executable, roles::FLAG, &task]].concat();
    Ok(Role::Program {
        // Where it was started: with the neighbours.
        cpus: Vec::new(),
        program: program.to_owned(),
        arguments: arguments.into_iter().map(str::to_owned).collect(),
        quiet: false,
    })
}
