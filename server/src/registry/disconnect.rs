//! The operator's hold on a session: a flag that its connection looks at, and a waker for when it waits.
//!
//! The session ends on its own thread, never under a request that is being run: until it has seen the flag, it and its
//! store are what they were (ATOM-1).

use std::{
    convert::Infallible,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use tokio::sync::oneshot;

/// One session's leash.
#[derive(Debug, Default)]
pub(crate) struct Leash {
    /// For the connection, which looks at it each time that it is polled. The lock orders everything else.
    is_pulled: AtomicBool,
    ends: Mutex<Ends>,
}

#[derive(Debug, Default)]
struct Ends {
    waker: Option<Waker>,
    /// Dropped when the session is gone.
    waiting: Vec<oneshot::Sender<Infallible>>,
    is_released: bool,
}

/// Resolves when the session that was told to end has ended, and its name is free.
#[derive(Debug)]
pub(crate) struct Gone(oneshot::Receiver<Infallible>);

impl Gone {
    pub(crate) async fn wait(self) {
        // Nothing is ever sent: the sender's end is the message.
        let _ = self.0.await;
    }
}

impl Leash {
    /// Whether the session is to end.
    pub(crate) fn is_pulled(&self) -> bool {
        self.is_pulled.load(Ordering::Relaxed)
    }

    /// From now on a pull wakes `waker`; at once if there was one.
    pub(crate) fn attach(&self, waker: &Waker) {
        let mut ends = self.ends();
        ends.waker = Some(waker.clone());
        if self.is_pulled() {
            waker.wake_by_ref();
        }
    }

    /// Tells the session to end.
    pub(super) fn pull(&self) -> Gone {
        let (waiting, gone) = oneshot::channel();
        let mut ends = self.ends();
        if !ends.is_released {
            self.is_pulled.store(true, Ordering::Relaxed);
            ends.waiting.push(waiting);
            if let Some(waker) = &ends.waker {
                waker.wake_by_ref();
            }
        }
        Gone(gone)
    }

    /// The session is gone.
    pub(super) fn release(&self) {
        let mut ends = self.ends();
        *ends = Ends { is_released: true, ..Ends::default() };
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        // Nothing under the lock can panic.
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn role_9_a_pull_wakes_the_connection_whichever_comes_first() {
        for pulled_first in [false, true] {
            let (leash, wakes) = (Leash::default(), Arc::new(Wakes::default()));
            if pulled_first {
                let _ = leash.pull();
            }
            leash.attach(&Arc::clone(&wakes).into());
            if !pulled_first {
                assert!(!leash.is_pulled());
                let _ = leash.pull();
            }
            assert!(leash.is_pulled());
            assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        }
    }

    #[test]
    fn role_9_whoever_waits_for_the_end_is_told_also_when_it_was_before() {
        let leash = Leash::default();
        let mut before = leash.pull();
        assert!(before.0.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        leash.release();
        for gone in [&mut before, &mut leash.pull()] {
            assert!(gone.0.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
        }
    }
}
