//! The guard: a second instance of this executable, between the harness and a launched program.
//!
//! It starts the program in a process group of its own, on the CPUs meant for it. When its standard input closes, it
//! ends the program and everything that the program started, however the harness ended. Orphans of the program become
//! the guard's children, so it can end them too. On its standard output it reports to the harness what happens to the
//! program; the program's own output goes to the guard's stderr.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::Pid;
use twinwire_os::tree;

use super::certificate;

/// Hidden first argument with which this executable becomes a guard.
pub const SUBCOMMAND: &str = "guard-launched";

/// Precedes the CPUs in the first argument. After it come the folder to remove at the end, and the program with its
/// arguments.
pub(super) const CPUS: &str = "--cpus=";

/// How long the program and its children may take to end after SIGTERM.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for killed processes to end, as the kernel may still be working for them.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the remaining processes are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// What a guard reports about its program; each message is a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GuardMessage {
    /// It runs, in the process group of this number.
    Started(i32),
    /// It could not be started, and why.
    Failed(String),
    /// It ended, and how.
    Ended(String),
}

impl GuardMessage {
    pub(super) fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("started", group) => group.parse().ok().map(Self::Started),
            ("failed", why) => Some(Self::Failed(why.to_owned())),
            ("ended", how) => Some(Self::Ended(how.to_owned())),
            _ => None,
        }
    }

    fn send(&self) {
        let line = match self {
            Self::Started(group) => format!("started {group}"),
            Self::Failed(why) => format!("failed {}", why.replace('\n', " ")),
            Self::Ended(how) => format!("ended {how}"),
        };
        // If the harness is gone, the end of standard input shows it.
        let _ = writeln!(io::stdout(), "{line}");
    }
}

/// Becomes a guard: the body of the hidden subcommand.
pub fn guard(arguments: &[OsString]) -> ExitCode {
    let [cpus, folder, program, arguments @ ..] = arguments else { return ExitCode::from(2) };
    let folder = folder.to_str().map(str::to_owned);
    if let Some(cpus) = cpus.to_str().and_then(|cpus| cpus.strip_prefix(CPUS)) {
        confine(cpus);
    }
    // Without it only the program's orphans are out of reach.
    let _ = set_child_subreaper(true);
    let target = match start(program, arguments) {
        Ok(target) => target,
        Err(error) => {
            GuardMessage::Failed(format!("cannot run `{}`: {error}", program.display())).send();
            certificate::remove(folder.as_deref());
            return ExitCode::FAILURE;
        }
    };
    GuardMessage::Started(target.as_raw()).send();
    let clean_up = move || {
        end(target);
        certificate::remove(folder.as_deref());
    };
    let when_released = clean_up.clone();
    std::thread::spawn(move || {
        // The harness never writes to it: it closes when the harness closes it or dies.
        let _ = io::stdin().read(&mut [0]);
        when_released();
        std::process::exit(0);
    });
    GuardMessage::Ended(wait_for(target)).send();
    clean_up();
    ExitCode::SUCCESS
}

/// Confines the guard, and so everything that it starts, to these CPUs, as far as the system allows.
fn confine(cpus: &str) {
    let mut set = CpuSet::new();
    let named = cpus.split(',').filter_map(|cpu| cpu.parse().ok());
    if named.filter(|cpu| set.set(*cpu).is_ok()).count() > 0 {
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}

fn start(program: &OsString, arguments: &[OsString]) -> io::Result<Pid> {
    let output = io::stderr().as_fd().try_clone_to_owned()?;
    let child =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(output).process_group(0).spawn()?;
    // `wait_for` waits for it, as for all other processes that may end here.
    Ok(Pid::from_raw(child.id().cast_signed()))
}

/// Waits until the program ends. Orphans that end before it are reaped too.
fn wait_for(target: Pid) -> String {
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, code)) if pid == target => return format!("exit status {code}"),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == target => return format!("signal {signal}"),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return format!("in an unknown way: {error}"),
        }
    }
}

/// Ends every process that is left: SIGTERM, then SIGKILL after a time-out.
fn end(group: Pid) {
    send(group, Signal::SIGTERM);
    if !gone_within(STOP_TIMEOUT) {
        send(group, Signal::SIGKILL);
        gone_within(KILL_TIMEOUT);
    }
}

/// Signals the program's process group, and those of its descendants that have left the group.
fn send(group: Pid, signal: Signal) {
    let _ = killpg(group, signal);
    for pid in tree::descendants(std::process::id()).into_iter().map(|pid| Pid::from_raw(pid.cast_signed())) {
        if nix::unistd::getpgid(Some(pid)).is_ok_and(|of| of != group) {
            let _ = kill(pid, signal);
        }
    }
}

fn gone_within(timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    loop {
        if tree::descendants(std::process::id()).is_empty() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_lines() {
        assert_eq!(GuardMessage::parse("started 42"), Some(GuardMessage::Started(42)));
        assert_eq!(
            GuardMessage::parse("failed cannot run `x`: no"),
            Some(GuardMessage::Failed("cannot run `x`: no".to_owned()))
        );
        assert_eq!(
            GuardMessage::parse("ended signal SIGKILL"),
            Some(GuardMessage::Ended("signal SIGKILL".to_owned()))
        );
        assert_eq!(GuardMessage::parse("hello"), None);
    }
}
