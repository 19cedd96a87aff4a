//! What tells the program to stop, SIGTERM, SIGINT, or the end of standard input; and SIGHUP, on which it reads its
//! certificate again.

use std::{
    io::{self, IsTerminal},
    process, thread,
};

use nix::sys::signal::{SigSet, Signal};

use super::notify;
use crate::{runtime::Shutdown, tls::Tls};

/// The exit code of a program that was interrupted, by convention 128 and the number of SIGINT.
const EXIT_INTERRUPTED: i32 = 130;

/// Triggers `shutdown` on the first SIGTERM or SIGINT, and ends the process at once on the second. On SIGHUP reads the
/// certificate again, if there is one. The stop is told with `tell_manager`, before it begins.
///
/// Blocks the signals in this thread, so in those that it starts, and waits for them in one of their own: no
/// handler ever interrupts a worker. Must come before any other thread is started.
pub(super) fn obey(
    shutdown: &Shutdown,
    tls: Option<Tls>,
    notify_manager: fn(notify::State),
) -> io::Result<()> {
    let mut signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    // Without a certificate, in a terminal, it means that this has been closed: the program ends as any other does.
    if tls.is_some() || !io::stdin().is_terminal() {
        signals.add(Signal::SIGHUP);
    }
    signals.thread_block()?;
    let shutdown = shutdown.clone();
    let wait = move || {
        let mut is_stopping = false;
        // Waiting fails only for a set that makes no sense.
        while let Ok(signal) = signals.wait() {
            match signal {
                Signal::SIGHUP => reload(tls.as_ref()),
                _ if is_stopping => process::exit(EXIT_INTERRUPTED),
                _ => {
                    is_stopping = true;
                    // Before the stop, since nothing waits for this thread. Neither of the two ever blocks.
                    notify_manager(notify::State::Stopping);
                    shutdown.trigger();
                    tracing::info!(%signal, "stopping");
                }
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}

/// A certificate that was renewed is to be used; one that cannot be is told of, and the server goes on as it was.
fn reload(tls: Option<&Tls>) {
    match tls.map(Tls::reload) {
        Some(Ok(())) => tracing::info!("the certificate was read again"),
        Some(Err(error)) => tracing::error!(%error, "the certificate stays as it was"),
        None => tracing::info!("SIGHUP: there is no certificate to read again"),
    }
}

/// Triggers `shutdown` when standard input ends: a parent that dies, however it dies, takes its server with it.
pub(super) fn stop_when_stdin_closes(shutdown: &Shutdown) {
    let shutdown = shutdown.clone();
    thread::spawn(move || {
        // An error is an end as well.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        shutdown.trigger();
        tracing::info!("standard input closed: stopping");
    });
}
