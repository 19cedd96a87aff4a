//! One thread of the server: a runtime of its own, and the connections that were dispatched to it.

use std::{io, pin::pin, rc::Rc, sync::Arc, time::Duration};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use tokio::{
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::{mpsc, watch},
    task::spawn_local,
    time::{Instant, timeout_at},
};

use super::{accept::Acceptor, worker_queue::AcceptedConnection};
use crate::{
    config::Config,
    counters::Counters,
    registry::Registry,
    runtime::{ClosingPermits, Executor, Phase, Shutdown},
    transport::{self, WorkerContext},
};

/// How long connections may go on handling what has been received when the server stops: enough for what thousands of
/// clients can have sent at full load. Clients that never stop sending would otherwise delay the stop for ever.
const DRAINING_MAX: Duration = Duration::from_secs(2);

/// How long after the beginning of the stop connections that are still open are dropped. The server promises to end
/// within five seconds, so more than one is left.
const STOPPING_MAX: Duration = Duration::from_millis(3500);

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) index: usize,
    pub(super) cpu: Option<usize>,
    pub(super) accepted: mpsc::UnboundedReceiver<AcceptedConnection>,
    pub(super) config: Arc<Config>,
    pub(super) registry: Arc<Registry>,
    /// This worker's own; other threads read it.
    pub(super) counters: Arc<Counters>,
    pub(super) clock: watch::Receiver<std::time::Instant>,
    pub(super) closing_permits: ClosingPermits,
    pub(super) shutdown: Shutdown,
}

impl Worker {
    /// Pins this thread to the worker's CPU, if it has one, and makes the worker's runtime.
    pub(super) fn prepare(&self) -> io::Result<LocalRuntime> {
        if let Some(cpu) = self.cpu {
            let mut cpus = CpuSet::new();
            cpus.set(cpu)?;
            sched_setaffinity(Pid::from_raw(0), &cpus)?;
        }
        Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default())
    }

    /// Serves on this thread until the server stops, and accepts connections if it is given the acceptor. Tasks that have
    /// not ended by then are dropped with the runtime.
    pub(super) fn run(self, runtime: &LocalRuntime, acceptor: Option<Acceptor>) -> io::Result<()> {
        runtime.block_on(self.work(acceptor))
    }

    async fn work(self, acceptor: Option<Acceptor>) -> io::Result<()> {
        let Self {
            index,
            mut accepted,
            config,
            registry,
            counters,
            mut clock,
            closing_permits,
            shutdown,
            ..
        } = self;
        let context = Rc::new(WorkerContext::new(config, registry, counters, closing_permits));
        let watching = Rc::clone(&context);
        spawn_local(async move {
            while clock.changed().await.is_ok() {
                watching.clock.advance_to(*clock.borrow_and_update());
            }
        });
        let executor = Rc::new(Executor::new());
        let running = Rc::clone(&executor);
        spawn_local(async move { running.run().await });
        let running_queue = Rc::clone(&context);
        spawn_local(async move { running_queue.turns.run().await });
        // Ends by itself when the server stops, and with an error if it cannot go on. The connections that it had
        // accepted by then are in the queue before the queue ends, which it does when no sender is left.
        let accepting = acceptor.map(|acceptor| spawn_local(acceptor.run()));
        let serving = async {
            while let Some(accepted) = accepted.recv().await {
                let AcceptedConnection { incoming, permit } = accepted;
                if let Err(error) = transport::start(&executor, incoming, permit, Rc::clone(&context)) {
                    tracing::warn!(%error, "cannot watch an accepted connection: it is dropped");
                }
            }
        };
        let mut serving = pin!(serving);
        let has_served = tokio::select! {
            () = shutdown.triggered() => false,
            () = &mut serving => true,
        };
        let stopped_at = Instant::now();
        context.enter(Phase::Draining);
        let drained = async {
            if !has_served {
                serving.await;
            }
            executor.wait_idle().await;
        };
        if timeout_at(stopped_at + DRAINING_MAX, drained).await.is_err() {
            context.enter(Phase::Closing);
            if timeout_at(stopped_at + STOPPING_MAX, executor.wait_idle()).await.is_err() {
                tracing::warn!(worker = index, connections = executor.len(), "dropped at shutdown");
            }
        }
        match accepting {
            Some(accepting) => accepting.await?,
            None => Ok(()),
        }
    }
}
