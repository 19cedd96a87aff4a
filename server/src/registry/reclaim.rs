//! Frees the stores of sessions that have ended, on a thread of its own (LIFE-5).
//!
//! A store of a million keys takes 200 ms to free, for which its worker would serve no other connection. A small one is
//! freed at once, which is quicker than telling the thread.
//!
//! What waits here is gone for everybody but for the limit on all stores together: it takes memory still, and so it
//! counts until it is freed. That bounds how much can wait.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
};

use super::{Registry, limits::Usage, store::Entries, user::Store};

/// How much less of a CPU the thread gets where workers want it, too: about a tenth. Much less would keep memory from
/// others for long on a busy machine.
const NICENESS: i32 = 10;

/// The bytes that a worker frees by itself at most: a fraction of a millisecond.
const AT_ONCE_BYTES: usize = 256 * 1024;

/// Where stores go that have come to their end.
#[derive(Debug)]
pub(crate) struct Reclaimer(mpsc::Sender<EndedStore>);

/// A store that nobody can reach any more.
#[derive(Debug)]
pub(super) struct EndedStore {
    entries: Entries,
    /// What counts it. The thread ends when the last registry is gone that could send it something.
    registry: Arc<Registry>,
}

impl Reclaimer {
    /// Starts the thread. It ends with the registry that has this, or with the process: a stop does not wait for it.
    pub(crate) fn start() -> io::Result<Self> {
        let (reclaimer, ended) = Self::new();
        thread::Builder::new().name("reclaim".into()).spawn(move || {
            // Where that fails, it is as important as the others.
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

/// Frees `store`, which has just ended in `registry`: at once or, where it is large, on the registry's thread for that.
pub(super) fn reclaim(store: Store, registry: &Arc<Registry>) {
    let (entries, usage) = store.into_parts();
    let is_small = entries.is_small() && usage.keys_and_bytes().1 <= AT_ONCE_BYTES;
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
    /// Frees it, and gives its room back part by part.
    pub(super) fn free(mut self) {
        while let Some(part) = self.entries.take_part() {
            let (keys, bytes) = part.keys_and_bytes();
            drop(part);
            self.registry.quota.release(&Usage::of(keys, bytes));
        }
    }
}
