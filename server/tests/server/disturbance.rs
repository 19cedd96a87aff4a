//! Tests with bars on time, on machines that have other things to do.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// A CPU that gives a thread no time for this long was taken away. Other programs on it cost some milliseconds.
const STALL: Duration = Duration::from_millis(50);

/// How often a test may be disturbed.
const TRIES: usize = 6;

/// Runs a test, and runs it again where it failed while a CPU stood still: its bars on time were not the server's fault
/// then.
pub(crate) fn undisturbed(test: impl Fn()) {
    for rest in (0..TRIES).rev() {
        let (outcome, stall) = watched(|| catch_unwind(AssertUnwindSafe(&test)));
        match outcome {
            Ok(()) => return,
            Err(failure) if stall < STALL || rest == 0 => resume_unwind(failure),
            Err(_) => eprintln!("a CPU stood still for {stall:?} meanwhile: once more"),
        }
    }
}

/// The longest that any CPU stood still while `run` ran.
fn watched<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let cpus = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu) == Ok(true));
        let watchers: Vec<_> = cpus
            .map(|cpu| {
                scope.spawn({
                    let is_over = &is_over;
                    move || watch(cpu, is_over)
                })
            })
            .collect();
        let outcome = run();
        is_over.store(true, Ordering::Relaxed);
        let stalls = watchers.into_iter().map(|watcher| watcher.join().unwrap());
        (outcome, stalls.max().unwrap_or_default())
    })
}

fn watch(cpu: usize, is_over: &AtomicBool) -> Duration {
    const NAP: Duration = Duration::from_millis(5);
    let mut only = CpuSet::new();
    only.set(cpu).unwrap();
    sched_setaffinity(Pid::from_raw(0), &only).unwrap();
    let (mut longest, mut woke) = (Duration::ZERO, Instant::now());
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(NAP);
        longest = longest.max(woke.elapsed().saturating_sub(NAP));
        woke = Instant::now();
    }
    longest
}
