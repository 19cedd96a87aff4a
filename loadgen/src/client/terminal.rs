//! The terminal's mode while the client runs in it, and the signals that end the client there.
//!
//! Between two prompts keys that are typed ahead wait in the kernel. Left in its usual mode it would edit them as lines
//! of its own: a line of over 4,095 bytes would be cut, an end of input turned into a zero byte, and each key echoed
//! twice.

use std::fs::File;
use std::future::{Future, pending};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};

use nix::libc;
use nix::sys::signal::{self, SigSet, Signal};
use nix::sys::termios::{self, LocalFlags, SetArg, SpecialCharacterIndices as Key, Termios};
use nix::unistd::{Pid, dup2_stdin};
use tokio::sync::oneshot;

/// The terminal at standard input. Its mode is the client's own until [`Terminal::restore`].
pub(super) struct Terminal {
    /// Apart from standard input, which may be closed before.
    descriptor: OwnedFd,
    before: Mutex<Termios>,
}

impl Terminal {
    /// Leaves keys to the editor, but for those that end a program: they must work while a reply is awaited.
    pub(super) fn enter() -> io::Result<Self> {
        let descriptor = io::stdin().as_fd().try_clone_to_owned()?;
        let before = termios::tcgetattr(&descriptor)?;
        let mut mode = before.clone();
        mode.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::IEXTEN);
        mode.control_chars[Key::VMIN as usize] = 1;
        mode.control_chars[Key::VTIME as usize] = 0;
        // The editor suspends the client, at its next prompt: only there the mode can be put back before.
        mode.control_chars[Key::VSUSP as usize] = libc::_POSIX_VDISABLE;
        termios::tcsetattr(&descriptor, SetArg::TCSADRAIN, &mode)?;
        Ok(Self { descriptor, before: Mutex::new(before) })
    }

    /// The key that the user has for this, if any.
    pub(super) fn key(&self, key: Key) -> Option<char> {
        let code = self.before.lock().unwrap_or_else(PoisonError::into_inner).control_chars[key as usize];
        (code != libc::_POSIX_VDISABLE).then(|| char::from(code))
    }

    /// Puts the terminal back as it was found.
    pub(super) fn restore(&self) {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        // At once: output that the user has stopped must not hold up the end. A terminal that is gone needs nothing.
        let _ = termios::tcsetattr(&self.descriptor, SetArg::TCSANOW, &before);
    }

    /// Stops the client's whole process group, as the terminal's driver does, and returns when it goes on. No other
    /// thread may take the signal: this one would go on, and set the mode again, before the process stands still.
    pub(super) fn suspend(&self) {
        let during = termios::tcgetattr(&self.descriptor);
        self.restore();
        let _ = signal::kill(Pid::from_raw(0), Signal::SIGTSTP);
        if let Ok(during) = during {
            let _ = termios::tcsetattr(&self.descriptor, SetArg::TCSADRAIN, &during);
        }
    }
}

/// This thread takes no SIGTSTP from now on, nor do threads that it starts.
pub(super) fn leave_stop_signal_to_others() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTSTP);
    // It fails for no valid signal.
    let _ = signals.thread_block();
}

/// Signals that end the client, once the terminal is as it was.
const ENDING: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

/// This thread and those that it starts take none of these signals from now on: they wait for [`ending_signal`].
pub(super) fn block_ending_signals() -> io::Result<SigSet> {
    let signals = SigSet::from_iter(ENDING);
    signals.thread_block()?;
    Ok(signals)
}

/// Gives the first of the blocked signals that comes.
///
/// A thread waits for them. A handler would not do: while the editor reads a line, it has one of its own for SIGINT,
/// which drops a signal that comes just when the line ends.
pub(super) fn ending_signal(signals: SigSet) -> impl Future<Output = Signal> {
    let (send, came) = oneshot::channel();
    std::thread::spawn(move || {
        // Waiting fails only for an invalid set.
        if let Ok(signal) = signals.wait() {
            let _ = send.send(signal);
        }
    });
    async {
        match came.await {
            Ok(signal) => signal,
            Err(_) => pending().await,
        }
    }
}

/// Puts an empty file in the place of standard input.
pub(super) fn end_input() {
    if let Ok(empty) = File::open("/dev/null") {
        let _ = dup2_stdin(empty);
    }
}
