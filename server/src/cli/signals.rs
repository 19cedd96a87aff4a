//! What stops the program: SIGTERM, SIGINT or the end of standard input. SIGHUP makes it reload its certificate.

use std::{
    io::{self, IsTerminal},
    process, thread,
};

use nix::sys::signal::{SigSet, Signal};

use super::notify;
use crate::{runtime::Shutdown, tls::Tls};

/// The exit code of an interrupted program: by convention 128 plus the number of SIGINT.
const EXIT_INTERRUPTED: i32 = 130;

/// Triggers `shutdown` on the first SIGTERM or SIGINT, and ends the process at once on the second. On SIGHUP reads the
/// certificate again, if there is one. `notify_manager` is called before the stop begins.
///
/// Blocks the signals in this thread, and so in those that it starts, and waits for them in a thread of their own: no
/// handler ever interrupts a worker. Must be called before any other thread is started.
pub(super) fn handle(
    shutdown: &Shutdown,
    tls: Option<Tls>,
    notify_manager: fn(notify::ServiceState),
) -> io::Result<()> {
    let mut signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    // Without a certificate, in a terminal, it means that the terminal has been closed: the program ends like any
    // other.
    if tls.is_some() || !io::stdin().is_terminal() {
        signals.add(Signal::SIGHUP);
    }
    signals.thread_block()?;
    let shutdown = shutdown.clone();
    let wait = move || {
        let mut is_stopping = false;
        // Waiting fails only for an invalid set.
        while let Ok(signal) = signals.wait() {
            match signal {
                Signal::SIGHUP => reload(tls.as_ref()),
                _ if is_stopping => process::exit(EXIT_INTERRUPTED),
                _ => {
                    is_stopping = true;
                    // Before the stop, since nothing waits for this thread. Neither call blocks.
                    notify_manager(notify::ServiceState::Stopping);
                    shutdown.trigger();
                    tracing::info!(%signal, "stopping");
                }
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}

/// If the renewed certificate cannot be used, that is logged and the server goes on with the old one.
fn reload(tls: Option<&Tls>) {
    match tls.map(Tls::reload) {
        Some(Ok(())) => tracing::info!("reloaded the certificate"),
        Some(Err(error)) => {
            tracing::error!(%error, "cannot reload the certificate; the old one stays in use");
        }
        None => tracing::info!("SIGHUP: there is no certificate to reload"),
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
