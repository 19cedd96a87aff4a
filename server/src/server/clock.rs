//! The coarse clock of all workers: one thread that sleeps nearly always.
//!
//! It is not on the workers' runtimes, since a runtime that has a timer reads the time twice for each round of
//! events instead of once.

use std::{
    io,
    thread::{self, Scope},
    time::{Duration, Instant},
};

use tokio::{
    runtime::Builder,
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::shutdown::Shutdown;

/// Moves the clock on each `resolution` until the server stops, on a thread of its own.
pub(super) fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    resolution: Duration,
    clock: watch::Sender<Instant>,
    shutdown: &'scope Shutdown,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let run = async move {
        let mut ticks = interval(resolution);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            clock.send_replace(Instant::now());
        }
    };
    let run = move || {
        runtime.block_on(async {
            tokio::select! {
                () = run => {}
                () = shutdown.triggered() => {}
            }
        });
    };
    thread::Builder::new().name("clock".into()).spawn_scoped(scope, run)?;
    Ok(())
}
