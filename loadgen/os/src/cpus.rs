//! Which CPUs there are, and keeping to some of them.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The CPUs that this thread may run on; none if the system does not report them.
#[must_use]
pub fn allowed() -> Vec<usize> {
    let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false)).collect()
}

/// Confines this thread, and what it starts from now on, to these CPUs. A refusal is ignored: it costs precision and
/// never correctness.
pub fn pin(cpus: &[usize]) {
    let mut set = CpuSet::new();
    if !cpus.is_empty() && cpus.iter().all(|&cpu| set.set(cpu).is_ok()) {
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}
