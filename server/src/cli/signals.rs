//! What tells the program to stop: SIGTERM, SIGINT, or the end of standard input.

use std::{io, process, thread};

use nix::sys::signal::{SigSet, Signal};

use crate::server::Shutdown;

/// The exit code of a program that was interrupted, by convention 128 and the number of SIGINT.
const EXIT_INTERRUPTED: i32 = 130;

/// Triggers `shutdown` on the first SIGTERM or SIGINT, and ends the process at once on the second.
///
/// Blocks the signals in this thread, so in those that it starts, and waits for them in one of their own: no
/// handler ever interrupts a worker. Must come before any other thread is started.
pub(super) fn stop_on_signals(shutdown: &Shutdown) -> io::Result<()> {
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    signals.thread_block()?;
    let shutdown = shutdown.clone();
    let wait = move || {
        // Waiting fails only for a set that makes no sense.
        let Ok(signal) = signals.wait() else { return };
        tracing::info!(%signal, "stopping");
        shutdown.trigger();
        if signals.wait().is_ok() {
            process::exit(EXIT_INTERRUPTED);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}

/// Triggers `shutdown` when standard input ends: a parent that dies, however it dies, takes its server with it.
pub(super) fn stop_when_stdin_closes(shutdown: &Shutdown) {
    let shutdown = shutdown.clone();
    thread::spawn(move || {
        // An error is an end as well.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        tracing::info!("standard input closed: stopping");
        shutdown.trigger();
    });
}
