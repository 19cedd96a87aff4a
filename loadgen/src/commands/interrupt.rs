//! Signals that end a run: the first one is a wish to stop, a later one the end at once.

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::CommandError;
use crate::record::Status;

/// Signals that come this soon after the first one are the same wish: `timeout` sends its signal to the process and to
/// its group, a service manager SIGTERM and SIGHUP. A person who means it presses a key twice more slowly.
const REPEAT_WINDOW: Duration = Duration::from_millis(500);

/// Turns the first SIGINT, SIGTERM, SIGHUP or SIGQUIT into a wish to stop, and one that comes half a second later or
/// more into an end at once. SIGHUP stays ignored where it is ignored at the start, as `nohup` has it. From then on a
/// file that may not grow (SIGXFSZ) is an error of its write and not the end of the process.
///
/// # Errors
/// If the system does not let signals be caught.
pub(super) fn interrupts() -> Result<watch::Receiver<bool>, CommandError> {
    let (sender, receiver) = watch::channel(false);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::Machine)?;
    let (mut interrupt, mut terminate, mut quit, mut hangup) = {
        let _inside = runtime.enter();
        let caught = |kind: SignalKind| signal(kind).map_err(CommandError::Machine);
        let hangup = if is_hangup_ignored() { None } else { Some(caught(SignalKind::hangup())?) };
        let _caught_for_good = caught(SignalKind::from_raw(nix::sys::signal::Signal::SIGXFSZ as i32))?;
        (
            caught(SignalKind::interrupt())?,
            caught(SignalKind::terminate())?,
            caught(SignalKind::quit())?,
            hangup,
        )
    };
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let mut signals = SignalHistory::default();
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = quit.recv() => {}
                    () = received(&mut hangup) => {}
                }
                match signals.next(Instant::now()) {
                    SignalAction::Stop => {
                        sender.send_replace(true);
                    }
                    SignalAction::Same => {}
                    SignalAction::End => std::process::exit(i32::from(Status::Interrupted.exit_code())),
                }
            }
        });
    });
    Ok(receiver)
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignalAction {
    /// Stop, and report what was measured.
    Stop,
    /// What was asked for already.
    Same,
    /// End at once.
    End,
}

#[derive(Debug, Default)]
struct SignalHistory {
    first: Option<Instant>,
}

impl SignalHistory {
    fn next(&mut self, now: Instant) -> SignalAction {
        match self.first {
            None => {
                self.first = Some(now);
                SignalAction::Stop
            }
            Some(first) if now.saturating_duration_since(first) < REPEAT_WINDOW => SignalAction::Same,
            Some(_) => SignalAction::End,
        }
    }
}

/// Whether this process began with SIGHUP ignored; `false` if the system does not report it.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The first bit stands for signal 1, which is SIGHUP.
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_within_half_a_second_are_one_request_and_a_later_one_ends_at_once() {
        let begin = Instant::now();
        let mut signals = SignalHistory::default();
        let mut at = |ms| signals.next(begin + Duration::from_millis(ms));
        assert_eq!([at(0), at(20), at(499)], [SignalAction::Stop, SignalAction::Same, SignalAction::Same]);
        assert_eq!(at(500), SignalAction::End);
    }
}
