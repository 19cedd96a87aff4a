//! A worker's connections: each a future, and all of them run by one task of the runtime.
//!
//! As a task of its own a connection could be woken by any thread at any moment, and would pay for that with several
//! locked instructions for each request. Here nearly every wake comes from the worker's own thread, out of the
//! runtime's look at the kernel: it puts a number into a list. What other threads wake takes a longer way.
//!
//! After each batch the runtime gets its turn, and so looks at the kernel as often as if each connection were a task.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use slab::Slab;
use tokio::{sync::Notify, task::yield_now};

/// How many are polled before the runtime gets its turn: as many tasks as it runs itself between two looks at the
/// kernel, about.
const BATCH: usize = 64;

/// The futures of one thread.
#[derive(Debug)]
pub(crate) struct Crew {
    members: RefCell<Slab<Option<Member>>>,
    desk: Arc<Desk>,
    /// The members of the batch that is being run.
    batch: RefCell<Vec<usize>>,
    /// Told when nobody is left.
    emptied: Notify,
}

struct Member {
    future: Pin<Box<dyn Future<Output = ()>>>,
    bell: Arc<Bell>,
    waker: Waker,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Member").field(&self.bell.key).finish()
    }
}

/// Wakes one member, from whatever thread.
#[derive(Debug)]
struct Bell {
    key: usize,
    /// Whether it is in the thread's list already. Only that thread reads or writes it.
    is_listed: AtomicBool,
    desk: Arc<Desk>,
}

/// What other threads know of a crew.
#[derive(Debug)]
struct Desk {
    crew: u64,
    has_notes: AtomicBool,
    notes: Mutex<Notes>,
}

/// What other threads have left behind.
#[derive(Debug, Default)]
struct Notes {
    keys: Vec<usize>,
    runner: Option<Waker>,
}

/// What a thread knows of its own crew.
#[derive(Debug)]
struct Thread {
    /// Whose the list is; 0 for nobody's.
    crew: Cell<u64>,
    list: RefCell<VecDeque<usize>>,
    runner: RefCell<Option<Waker>>,
    /// Whether the crew's task knows of the list.
    is_awake: Cell<bool>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            crew: Cell::new(0),
            list: RefCell::new(VecDeque::new()),
            runner: RefCell::new(None),
            is_awake: Cell::new(false),
        }
    };
}

impl Crew {
    /// Nobody yet. A thread's first crew is served best; another one at the same time works as well, only slower.
    pub(crate) fn new() -> Self {
        static CREWS: AtomicU64 = AtomicU64::new(1);
        let crew = CREWS.fetch_add(1, Ordering::Relaxed);
        THREAD.with(|thread| {
            if thread.crew.get() == 0 {
                thread.crew.set(crew);
            }
        });
        let desk = Desk { crew, has_notes: AtomicBool::new(false), notes: Mutex::default() };
        Self {
            members: RefCell::default(),
            desk: Arc::new(desk),
            batch: RefCell::default(),
            emptied: Notify::new(),
        }
    }

    /// Has a future run to its end, from the next turn of [`Self::run`] on. A panic in it ends it, and nothing else
    /// (LIFE-5).
    pub(crate) fn add(&self, future: impl Future<Output = ()> + 'static) {
        let bell = {
            let mut members = self.members.borrow_mut();
            let entry = members.vacant_entry();
            let desk = Arc::clone(&self.desk);
            let bell = Arc::new(Bell { key: entry.key(), is_listed: AtomicBool::new(false), desk });
            let waker = Waker::from(Arc::clone(&bell));
            entry.insert(Some(Member { future: Box::pin(future), bell: Arc::clone(&bell), waker }));
            bell
        };
        bell.wake_by_ref();
    }

    /// How many have not come to their end.
    pub(crate) fn len(&self) -> usize {
        self.members.borrow().len()
    }

    /// Ready when all have come to their end.
    pub(crate) async fn gone(&self) {
        while self.len() > 0 {
            self.emptied.notified().await;
        }
    }

    /// Runs whoever is woken, for as long as the worker runs.
    pub(crate) async fn run(&self) {
        poll_fn(|cx| {
            self.desk.notes().runner = Some(cx.waker().clone());
            let _ = self.desk.with_own_list(|thread| thread.runner.replace(Some(cx.waker().clone())));
            Poll::Ready(())
        })
        .await;
        loop {
            poll_fn(|_| self.poll_woken()).await;
            let mut batch = self.batch.take();
            for key in batch.drain(..) {
                self.poll(key);
            }
            self.batch.replace(batch);
            if self.has_more() {
                yield_now().await;
            }
        }
    }

    /// Ready as soon as somebody has been woken: the first of them are the batch then.
    fn poll_woken(&self) -> Poll<()> {
        let mut batch = self.batch.borrow_mut();
        // A load first: it is nearly always false, and what comes after wakes this task.
        if self.desk.has_notes.load(Ordering::Relaxed) && self.desk.has_notes.swap(false, Ordering::AcqRel) {
            batch.append(&mut self.desk.notes().keys);
        }
        self.desk.with_own_list(|thread| {
            let mut list = thread.list.borrow_mut();
            let count = list.len().min(BATCH);
            batch.extend(list.drain(..count));
            thread.is_awake.set(!batch.is_empty());
        });
        if batch.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Whether somebody has been woken since the batch was made, from this thread or from another.
    fn has_more(&self) -> bool {
        self.desk.has_notes.load(Ordering::Relaxed)
            || self.desk.with_own_list(|thread| !thread.list.borrow().is_empty()) == Some(true)
    }

    fn poll(&self, key: usize) {
        // Out of the list while it runs: it may add others. Of a wake that came too late, nobody is there.
        let member = self.members.borrow_mut().get_mut(key).and_then(Option::take);
        let Some(mut member) = member else { return };
        member.bell.is_listed.store(false, Ordering::Relaxed);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            member.future.as_mut().poll(&mut Context::from_waker(&member.waker))
        }));
        if matches!(polled, Ok(Poll::Pending)) {
            if let Some(place) = self.members.borrow_mut().get_mut(key) {
                *place = Some(member);
            }
            return;
        }
        let _ = catch_unwind(AssertUnwindSafe(|| drop(member)));
        let mut members = self.members.borrow_mut();
        members.try_remove(key);
        if members.is_empty() {
            self.emptied.notify_one();
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // While the thread's list is still this crew's: what the members wake as they go finds its way.
        let members = self.members.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(members)));
        self.desk.with_own_list(|thread| {
            thread.crew.set(0);
            thread.list.borrow_mut().clear();
            thread.runner.take();
            thread.is_awake.set(false);
        });
        self.desk.notes().runner = None;
    }
}

impl Desk {
    /// What the thread knows of this crew; nothing where it is another's, or ending.
    fn with_own_list<R>(&self, look: impl FnOnce(&Thread) -> R) -> Option<R> {
        let look = |thread: &Thread| (thread.crew.get() == self.crew).then(|| look(thread));
        THREAD.try_with(look).ok().flatten()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Nothing under the lock can panic.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let listed = self.desk.with_own_list(|thread| {
            // No other thread comes here: neither has to be one instruction, nor both.
            if self.is_listed.load(Ordering::Relaxed) {
                return;
            }
            self.is_listed.store(true, Ordering::Relaxed);
            thread.list.borrow_mut().push_back(self.key);
            if !thread.is_awake.replace(true)
                && let Some(runner) = &*thread.runner.borrow()
            {
                runner.wake_by_ref();
            }
        });
        if listed.is_none() {
            self.leave_note();
        }
    }
}

impl Bell {
    #[cold]
    fn leave_note(&self) {
        let runner = {
            let mut notes = self.desk.notes();
            notes.keys.push(self.key);
            notes.runner.clone()
        };
        self.desk.has_notes.store(true, Ordering::Release);
        if let Some(runner) = runner {
            runner.wake();
        }
    }
}

#[cfg(test)]
mod tests;
