//! The terminal's mode while the client runs in it, and the signals that end the client there.
//!
//! Between two prompts keys that are typed ahead wait in the kernel. Left in its usual mode it would edit them as lines
//! of its own: a line of over 4,095 bytes would be cut, an end of input turned into a zero byte, and each key echoed
//! twice.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use nix::libc;
use nix::sys::signal::{self, SigSet, Signal};
use nix::sys::termios::{self, LocalFlags, SetArg, SpecialCharacterIndices as Key, Termios};
use nix::unistd::Pid;
use tokio::signal::unix::{self, SignalKind};

/// The terminal at standard input. Its mode is the client's own until [`Terminal::restore`].
pub(super) struct Terminal {
    before: Mutex<Termios>,
}

impl Terminal {
    /// Leaves keys to the editor, but for those that end a program: they must work while a reply is awaited.
    pub(super) fn enter() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut mode = before.clone();
        mode.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::IEXTEN);
        mode.control_chars[Key::VMIN as usize] = 1;
        mode.control_chars[Key::VTIME as usize] = 0;
        // The editor suspends the client, at its next prompt: only there the mode can be put back before.
        mode.control_chars[Key::VSUSP as usize] = libc::_POSIX_VDISABLE;
        termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &mode)?;
        Ok(Self { before: Mutex::new(before) })
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
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &before);
    }

    /// Stops the client's whole process group, as the terminal's driver does, and returns when it goes on. No other
    /// thread may take the signal: this one would go on, and set the mode again, before the process stands still.
    pub(super) fn suspend(&self) {
        let during = termios::tcgetattr(io::stdin());
        self.restore();
        let _ = signal::kill(Pid::from_raw(0), Signal::SIGTSTP);
        if let Ok(during) = during {
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &during);
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

/// Takes the place of the system's handling of these signals, and gives the first one that comes.
pub(super) fn ending_signal() -> io::Result<impl Future<Output = Signal>> {
    let listen = |signal| Ok((signal, unix::signal(SignalKind::from_raw(signal as i32))?));
    let mut listeners = ENDING.into_iter().map(listen).collect::<io::Result<Vec<_>>>()?;
    Ok(poll_fn(move |cx| {
        let mut came = listeners.iter_mut().filter_map(|(signal, listener)| match listener.poll_recv(cx) {
            Poll::Ready(_) => Some(*signal),
            Poll::Pending => None,
        });
        came.next().map_or(Poll::Pending, Poll::Ready)
    }))
}
