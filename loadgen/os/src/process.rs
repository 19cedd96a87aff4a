//! Figures of processes and of the machine, as far as the system reports them.
//!
//! Everything is optional: what a system does not report is `None`, never 0.

use std::fs;

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::clock::{Nanos, SECOND};

/// CPU time that this process has used, in ns, all threads together.
#[must_use]
pub fn own_cpu_ns() -> Option<Nanos> {
    clock_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time that another process has used, in ns. A process's clock is exact; `/proc/PID/stat` counts in 10 ms.
#[must_use]
pub fn cpu_ns(pid: u32) -> Option<Nanos> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?);
    clock_ns(clock_getcpuclockid(pid).ok()?)
}

fn clock_ns(clock: ClockId) -> Option<Nanos> {
    let time = clock.now().ok()?;
    Some(u64::try_from(time.tv_sec()).ok()? * SECOND + u64::try_from(time.tv_nsec()).ok()?)
}

/// Resident memory of a process in KiB; `None` for `pid`: this process.
#[must_use]
pub fn rss_kib(pid: Option<u32>) -> Option<u64> {
    field_kib(&fs::read_to_string(folder(pid) + "/status").ok()?, "VmRSS:")
}

/// Open descriptors of a process; `None` for `pid`: this process.
#[must_use]
pub fn descriptors(pid: Option<u32>) -> Option<u64> {
    let folder = folder(pid) + "/fd";
    // Since Linux 6.2 the folder's size is their number; to count tens of thousands each second costs too much.
    match fs::metadata(&folder).ok()?.len() {
        0 => Some(fs::read_dir(folder).ok()?.count() as u64),
        number => Some(number),
    }
}

fn folder(pid: Option<u32>) -> String {
    pid.map_or("/proc/self".to_owned(), |pid| format!("/proc/{pid}"))
}

/// The machine's memory in KiB.
#[must_use]
pub fn memory_kib() -> Option<u64> {
    field_kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

fn field_kib(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// Processor model as the system names it.
#[must_use]
pub fn cpu_model() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Operating system and kernel release.
#[must_use]
pub fn os() -> String {
    match nix::sys::utsname::uname() {
        Ok(name) => format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy()),
        Err(_) => std::env::consts::OS.to_owned(),
    }
}

/// How long a clock tick is in which the system counts CPU time, in ns.
#[must_use]
pub fn tick_ns() -> Option<Nanos> {
    SECOND.checked_div(u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?)
}

/// Clock ticks of some CPUs: all, those in which they did nothing, and those that the host took for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuTicks {
    total: u64,
    idle: u64,
    stolen: u64,
}

impl CpuTicks {
    /// Reads the ticks of these CPUs (none named: of all).
    #[must_use]
    pub fn read(cpus: &[usize]) -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?, cpus)
    }

    fn parse(stat: &str, cpus: &[usize]) -> Option<Self> {
        let mut sum = Self { total: 0, idle: 0, stolen: 0 };
        let mut any = false;
        for line in stat.lines() {
            let mut fields = line.split_whitespace();
            let Some(number) = fields.next().and_then(|name| name.strip_prefix("cpu")) else { continue };
            let wanted = match number {
                "" => cpus.is_empty(),
                number => number.parse().is_ok_and(|number| cpus.contains(&number)),
            };
            if wanted {
                // user nice system idle iowait irq softirq steal; guest time is part of user time.
                let ticks: Vec<u64> = fields.take(8).filter_map(|field| field.parse().ok()).collect();
                sum.total += ticks.iter().sum::<u64>();
                sum.idle += ticks.get(3)? + ticks.get(4)?;
                sum.stolen += ticks.get(7)?;
                any = true;
            }
        }
        any.then_some(sum)
    }

    /// Share (0 to 1) of the time since `earlier` that the host took; `None` where no tick has passed.
    #[must_use]
    pub fn stolen_since(self, earlier: Self) -> Option<f64> {
        let total = self.total.checked_sub(earlier.total).filter(|&ticks| ticks > 0)?;
        Some(self.stolen.saturating_sub(earlier.stolen) as f64 / total as f64)
    }

    /// Share (0 to 1) of the time since `earlier` that neither programs which used `known_ns` nor the host took, nor was
    /// left over: what other programs took.
    #[must_use]
    pub fn others_since(self, earlier: Self, known_ns: Nanos) -> Option<f64> {
        let total = self.total.checked_sub(earlier.total).filter(|&ticks| ticks > 0)?;
        let spare = self.idle.saturating_sub(earlier.idle) + self.stolen.saturating_sub(earlier.stolen);
        let busy_ns = total.saturating_sub(spare) * tick_ns()?;
        Some(busy_ns.saturating_sub(known_ns) as f64 / (total * tick_ns()?) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "cpu  30 0 30 20 0 0 10 10 0 0\ncpu0 10 0 10 10 0 0 0 10 0 0\ncpu1 20 0 20 10 0 0 10 0 0 0\nintr 5\n";

    #[test]
    fn ticks_are_summed_over_the_named_cpus() {
        assert_eq!(CpuTicks::parse(STAT, &[0]), Some(CpuTicks { total: 40, idle: 10, stolen: 10 }));
        assert_eq!(CpuTicks::parse(STAT, &[0, 1]), Some(CpuTicks { total: 100, idle: 20, stolen: 10 }));
        assert_eq!(CpuTicks::parse(STAT, &[]), Some(CpuTicks { total: 100, idle: 20, stolen: 10 }));
        assert_eq!(CpuTicks::parse(STAT, &[7]), None);
    }

    #[test]
    fn a_share_of_no_time_is_missing_not_zero() {
        let ticks = CpuTicks { total: 40, idle: 10, stolen: 10 };
        assert_eq!(ticks.stolen_since(ticks), None);
        assert_eq!(CpuTicks { total: 140, idle: 10, stolen: 35 }.stolen_since(ticks), Some(0.25));
    }

    #[test]
    fn others_took_what_is_neither_known_nor_idle_nor_stolen() {
        let earlier = CpuTicks { total: 40, idle: 10, stolen: 10 };
        let now = CpuTicks { total: 140, idle: 30, stolen: 20 };
        let known_ns = 60 * tick_ns().unwrap();
        assert_eq!(now.others_since(earlier, known_ns), Some(0.1));
        assert_eq!(now.others_since(earlier, 2 * known_ns), Some(0.0), "clocks differ by a little");
        assert_eq!(now.others_since(now, 0), None);
    }

    #[test]
    fn this_process_has_used_some_cpu_and_memory() {
        assert!(own_cpu_ns().is_some_and(|ns| ns > 0));
        assert!(cpu_ns(std::process::id()).is_some());
        assert!(rss_kib(None).is_some_and(|kib| kib > 100));
    }
}
