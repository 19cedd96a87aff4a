//! A worker's local executor: one task of the runtime that runs the futures of all its connections.
//!
//! Any thread may wake a task of the runtime at any moment, and every request would pay for that with several locked
//! instructions. Here nearly every wake comes from the worker's own thread, while the runtime handles events, and only
//! adds a number to a queue. Wakes from other threads take a slower path.
//!
//! After each batch the runtime gets its turn, so that it polls the kernel as often as if each connection were a task.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::{Future, poll_fn},
    num::NonZeroU64,
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

/// How many tasks are polled before the runtime gets its turn: about as many as the runtime itself runs between two
/// polls of the kernel.
const BATCH: usize = 64;

/// The tasks of one thread.
#[derive(Debug)]
pub(crate) struct Executor {
    /// A task is taken out while it is polled.
    tasks: RefCell<Slab<Option<Task>>>,
    remote: Arc<RemoteQueue>,
    /// The keys of the tasks that are being polled.
    batch: RefCell<Vec<usize>>,
    /// Notified when the last task has ended.
    idle: Notify,
}

/// What a task does.
pub(crate) type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    future: TaskFuture,
    handle: Arc<TaskHandle>,
    waker: Waker,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Task").field(&self.handle.key).finish()
    }
}

/// What a task's waker refers to. Any thread may wake it.
#[derive(Debug)]
struct TaskHandle {
    key: usize,
    /// Whether the task is in its thread's queue. Only that thread reads or writes it.
    is_queued: AtomicBool,
    remote: Arc<RemoteQueue>,
}

/// Identifies an executor in this process.
type ExecutorId = NonZeroU64;

/// Where other threads leave the tasks that they wake.
#[derive(Debug)]
struct RemoteQueue {
    executor: ExecutorId,
    has_wakes: AtomicBool,
    wakes: Mutex<RemoteWakes>,
}

#[derive(Debug, Default)]
struct RemoteWakes {
    keys: Vec<usize>,
    /// The waker of [`Executor::run`].
    runner: Option<Waker>,
}

/// The queue of the tasks that a thread itself has woken.
#[derive(Debug)]
struct LocalQueue {
    /// The executor that the queue belongs to.
    executor: Cell<Option<ExecutorId>>,
    keys: RefCell<VecDeque<usize>>,
    /// The waker of [`Executor::run`].
    runner: RefCell<Option<Waker>>,
    /// Whether the runner has been woken since the queue was last empty.
    is_runner_woken: Cell<bool>,
}

thread_local! {
    static LOCAL_QUEUE: LocalQueue = const {
        LocalQueue {
            executor: Cell::new(None),
            keys: RefCell::new(VecDeque::new()),
            runner: RefCell::new(None),
            is_runner_woken: Cell::new(false),
        }
    };
}

impl Executor {
    /// An executor without tasks. The first one of a thread gets the thread's local queue; a second one at the same time
    /// works too, but more slowly.
    pub(crate) fn new() -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let id = NonZeroU64::new(NEXT_ID.fetch_add(1, Ordering::Relaxed)).unwrap_or(NonZeroU64::MIN);
        LOCAL_QUEUE.with(|queue| {
            if queue.executor.get().is_none() {
                queue.executor.set(Some(id));
            }
        });
        let remote = RemoteQueue { executor: id, has_wakes: AtomicBool::new(false), wakes: Mutex::default() };
        Self {
            tasks: RefCell::default(),
            remote: Arc::new(remote),
            batch: RefCell::default(),
            idle: Notify::new(),
        }
    }

    /// Adds a task, which is first polled in the next turn of [`Self::run`]. A panic in it ends this task and nothing else
    /// (LIFE-5).
    pub(crate) fn spawn(&self, future: TaskFuture) {
        let handle = {
            let mut tasks = self.tasks.borrow_mut();
            let entry = tasks.vacant_entry();
            let remote = Arc::clone(&self.remote);
            let handle = Arc::new(TaskHandle { key: entry.key(), is_queued: AtomicBool::new(false), remote });
            let waker = Waker::from(Arc::clone(&handle));
            entry.insert(Some(Task { future, handle: Arc::clone(&handle), waker }));
            handle
        };
        handle.wake_by_ref();
    }

    /// The number of tasks that have not ended.
    pub(crate) fn len(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Ready when every task has ended.
    pub(crate) async fn wait_idle(&self) {
        while self.len() > 0 {
            self.idle.notified().await;
        }
    }

    /// Polls woken tasks, for as long as the worker runs.
    pub(crate) async fn run(&self) {
        poll_fn(|cx| {
            self.remote.wakes().runner = Some(cx.waker().clone());
            let _ = self.remote.with_local_queue(|queue| queue.runner.replace(Some(cx.waker().clone())));
            Poll::Ready(())
        })
        .await;
        loop {
            poll_fn(|_| self.poll_batch()).await;
            let mut batch = self.batch.take();
            for key in batch.drain(..) {
                self.poll(key);
            }
            self.batch.replace(batch);
            if self.has_woken() {
                yield_now().await;
            }
        }
    }

    /// Ready as soon as tasks have been woken; the first of them then form the batch.
    fn poll_batch(&self) -> Poll<()> {
        let mut batch = self.batch.borrow_mut();
        // A plain load first, since it is nearly always false. A wake that comes later wakes this task.
        if self.remote.has_wakes.load(Ordering::Relaxed)
            && self.remote.has_wakes.swap(false, Ordering::AcqRel)
        {
            batch.append(&mut self.remote.wakes().keys);
        }
        self.remote.with_local_queue(|queue| {
            let mut keys = queue.keys.borrow_mut();
            let count = keys.len().min(BATCH);
            batch.extend(keys.drain(..count));
            queue.is_runner_woken.set(!batch.is_empty());
        });
        if batch.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Whether a task has been woken, by any thread, since the batch was formed.
    fn has_woken(&self) -> bool {
        self.remote.has_wakes.load(Ordering::Relaxed)
            || self.remote.with_local_queue(|queue| !queue.keys.borrow().is_empty()) == Some(true)
    }

    fn poll(&self, key: usize) {
        // The task is taken out while it is polled, since it may spawn others. A late wake finds no task.
        let task = self.tasks.borrow_mut().get_mut(key).and_then(Option::take);
        let Some(mut task) = task else { return };
        task.handle.is_queued.store(false, Ordering::Relaxed);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            task.future.as_mut().poll(&mut Context::from_waker(&task.waker))
        }));
        if matches!(polled, Ok(Poll::Pending)) {
            if let Some(place) = self.tasks.borrow_mut().get_mut(key) {
                *place = Some(task);
            }
            return;
        }
        let _ = catch_unwind(AssertUnwindSafe(|| drop(task)));
        let mut tasks = self.tasks.borrow_mut();
        tasks.try_remove(key);
        if tasks.is_empty() {
            self.idle.notify_one();
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // The local queue is still this executor's here: tasks may wake each other while they are dropped.
        let tasks = self.tasks.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(tasks)));
        self.remote.with_local_queue(|queue| {
            queue.executor.set(None);
            queue.keys.borrow_mut().clear();
            queue.runner.take();
            queue.is_runner_woken.set(false);
        });
        self.remote.wakes().runner = None;
    }
}

impl RemoteQueue {
    /// Applies `use_queue` to this thread's local queue; `None` if it belongs to another executor, or the thread is ending.
    fn with_local_queue<R>(&self, use_queue: impl FnOnce(&LocalQueue) -> R) -> Option<R> {
        let if_own =
            |queue: &LocalQueue| (queue.executor.get() == Some(self.executor)).then(|| use_queue(queue));
        LOCAL_QUEUE.try_with(if_own).ok().flatten()
    }

    fn wakes(&self) -> MutexGuard<'_, RemoteWakes> {
        // Nothing under the lock can panic.
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn push(&self, key: usize) {
        let runner = {
            let mut wakes = self.wakes();
            wakes.keys.push(key);
            wakes.runner.clone()
        };
        self.has_wakes.store(true, Ordering::Release);
        if let Some(runner) = runner {
            runner.wake();
        }
    }
}

impl Wake for TaskHandle {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let queued = self.remote.with_local_queue(|queue| {
            // No other thread gets here, so the load and the store need not be one atomic operation.
            if self.is_queued.load(Ordering::Relaxed) {
                return;
            }
            self.is_queued.store(true, Ordering::Relaxed);
            queue.keys.borrow_mut().push_back(self.key);
            if !queue.is_runner_woken.replace(true)
                && let Some(runner) = &*queue.runner.borrow()
            {
                runner.wake_by_ref();
            }
        });
        if queued.is_none() {
            self.remote.push(self.key);
        }
    }
}

#[cfg(test)]
mod tests;
