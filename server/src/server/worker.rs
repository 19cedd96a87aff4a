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
    transport::{self, TcpSocket, WorkerContext},
};

/// How long connections may go on handling what has been received when the server stops: enough for what thousands of
/// them can have sent at full load. Clients that never stop sending would keep it up for ever.
const DRAINING_MAX: Duration = Duration::from_secs(2);

/// When connections that are still open are dropped. Leaves more than one of the five seconds within which the server
/// promises to be gone.
const STOPPING_MAX: Duration = Duration::from_millis(3500);

#[derive(Debug)]
pub(super) struct Worker {
    index: usize,
    cpu: Option<usize>,
    accepted: mpsc::UnboundedReceiver<AcceptedConnection>,
    shared: Shared,
}

/// What a worker gets from the server.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) registry: Arc<Registry>,
    /// This worker's own; other threads read it.
    pub(super) counters: Arc<Counters>,
    pub(super) clock: watch::Receiver<std::time::Instant>,
    pub(super) closing_permits: ClosingPermits,
    pub(super) shutdown: Shutdown,
}

impl Worker {
    pub(super) fn new(
        index: usize,
        cpu: Option<usize>,
        accepted: mpsc::UnboundedReceiver<AcceptedConnection>,
        shared: Shared,
    ) -> Self {
        Self { index, cpu, accepted, shared }
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Moves this thread to the worker's CPU, and opens all that it needs to serve.
    pub(super) fn prepare(&self) -> io::Result<LocalRuntime> {
        if let Some(cpu) = self.cpu {
            let mut cpus = CpuSet::new();
            cpus.set(cpu)?;
            sched_setaffinity(Pid::from_raw(0), &cpus)?;
        }
        Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default())
    }

    /// Serves on this thread until the server stops; accepts as well if it is given the acceptor. Tasks that have not
    /// ended by then go with the runtime.
    pub(super) fn run(self, runtime: &LocalRuntime, acceptor: Option<Acceptor>) -> io::Result<()> {
        runtime.block_on(self.work(acceptor))
    }

    async fn work(self, acceptor: Option<Acceptor>) -> io::Result<()> {
        let Self { index, mut accepted, shared, .. } = self;
        let Shared { config, registry, counters, mut clock, closing_permits, shutdown } = shared;
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
                serve(accepted, &context, &executor);
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

fn serve(accepted: AcceptedConnection, context: &Rc<WorkerContext>, executor: &Executor) {
    let AcceptedConnection { stream, peer, transport, permit } = accepted;
    let socket = match TcpSocket::new(stream) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!(%error, "cannot watch an accepted connection: it is dropped");
            return;
        }
    };
    transport::start(executor, socket, peer, transport, permit, Rc::clone(context));
}
