//! The operator's request to end a session: a flag that the connection checks, and a waker for when it waits.
//!
//! The session ends on its own thread and never under a request that is being handled: until it has seen the flag, it
//! and its store are unchanged (ATOM-1).

use std::{
    convert::Infallible,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use tokio::sync::oneshot;

/// The request to one session, whether it has been made or not.
#[derive(Debug, Default)]
pub(crate) struct DisconnectRequest {
    /// Checked by the connection whenever it is polled. The lock orders everything else.
    is_requested: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waker: Option<Waker>,
    /// Dropped when the session has ended.
    waiting: Vec<oneshot::Sender<Infallible>>,
    is_over: bool,
}

/// Resolves when the session has ended and its name is free.
#[derive(Debug)]
pub(crate) struct SessionEnd(oneshot::Receiver<Infallible>);

impl SessionEnd {
    pub(crate) async fn wait(self) {
        // Nothing is ever sent: dropping the sender is the message.
        let _ = self.0.await;
    }
}

impl DisconnectRequest {
    pub(crate) fn is_requested(&self) -> bool {
        self.is_requested.load(Ordering::Relaxed)
    }

    /// From now on a request wakes `waker`; at once if there has been one.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let mut state = self.state();
        state.waker = Some(waker.clone());
        if self.is_requested() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn request(&self) -> SessionEnd {
        let (waiting, ended) = oneshot::channel();
        let mut state = self.state();
        if !state.is_over {
            self.is_requested.store(true, Ordering::Relaxed);
            state.waiting.push(waiting);
            if let Some(waker) = &state.waker {
                waker.wake_by_ref();
            }
        }
        SessionEnd(ended)
    }

    pub(super) fn session_ended(&self) {
        let mut state = self.state();
        *state = State { is_over: true, ..State::default() };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn role_9_a_request_wakes_the_connection_whichever_comes_first() {
        for request_first in [false, true] {
            let (disconnect, wakes) = (DisconnectRequest::default(), Arc::new(Wakes::default()));
            if request_first {
                let _ = disconnect.request();
            }
            disconnect.set_waker(&Arc::clone(&wakes).into());
            if !request_first {
                assert!(!disconnect.is_requested());
                let _ = disconnect.request();
            }
            assert!(disconnect.is_requested());
            assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        }
    }

    #[test]
    fn role_9_waiting_for_the_end_works_before_and_after_it() {
        let disconnect = DisconnectRequest::default();
        let mut before = disconnect.request();
        assert!(before.0.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        disconnect.session_ended();
        for gone in [&mut before, &mut disconnect.request()] {
            assert!(gone.0.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
        }
    }
}
