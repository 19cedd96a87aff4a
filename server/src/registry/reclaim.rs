//! Frees the stores of sessions that have ended, on a thread of its own (LIFE-5).
//!
//! Freeing a store of a million keys takes 200 ms, in which its worker would serve no other connection. A small store
//! is freed at once, which is faster than handing it to the thread.
//!
//! A store that waits here can no longer be reached, but it still takes memory. So it counts towards the limit on all
//! stores together until it is freed, which also bounds how much can wait.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
};

use super::{Registry, store::Entries, user::Store};

/// How much less of a CPU the thread gets if workers want it too: about a tenth. With much less, memory would stay
/// occupied for long on a busy machine.
const NICENESS: i32 = 10;

/// The most bytes that a worker frees itself: a fraction of a millisecond.
const AT_ONCE_BYTES: usize = 256 * 1024;

/// Hands ended stores to the thread that frees them.
#[derive(Debug)]
pub(crate) struct Reclaimer(mpsc::Sender<EndedStore>);

/// A store that can no longer be reached.
#[derive(Debug)]
pub(super) struct EndedStore {
    entries: Entries,
    /// What counts it. The thread ends with the last registry that could send it a store.
    registry: Arc<Registry>,
}

impl Reclaimer {
    /// Starts the thread. It ends with the registry or with the process: a stop does not wait for it.
    pub(crate) fn start() -> io::Result<Self> {
        let (reclaimer, ended) = Self::new();
        thread::Builder::new().name("reclaim".into()).spawn(move || {
            // If this fails, the thread has the same priority as the others.
            let _ = rustix::process::nice(NICENESS);
            for store in ended {
                store.free();
            }
        })?;
        Ok(reclaimer)
    }

    pub(super) fn new() -> (Self, mpsc::Receiver<EndedStore>) {
        let (sender, ended) = mpsc::channel();
        (Self(sender), ended)
    }
}

/// Frees `store`, which has just ended in `registry`: at once or, if it is large, on the reclaimer's thread.
pub(super) fn reclaim(store: Store, registry: &Arc<Registry>) {
    let Store { entries, usage } = store;
    let is_small = entries.is_small() && usage.bytes <= AT_ONCE_BYTES;
    let ended = EndedStore { entries, registry: Arc::clone(registry) };
    match &registry.reclaimer {
        Some(Reclaimer(thread)) if !is_small => {
            if let Err(mpsc::SendError(ended)) = thread.send(ended) {
                ended.free();
            }
        }
        _ => ended.free(),
    }
}

impl EndedStore {
    /// Frees the store part by part, and gives its bytes back to the quota as it goes.
    pub(super) fn free(mut self) {
        while let Some(part) = self.entries.take_part() {
            let usage = part.usage();
            drop(part);
            self.registry.quota.release(usage);
        }
    }
}
