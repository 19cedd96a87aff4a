//! Accepts on every listener and gives each connection to the worker that has the fewest.

use std::{
    cell::Cell,
    io, net,
    pin::pin,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{
    net::TcpListener,
    sync::OwnedSemaphorePermit,
    task::{JoinSet, spawn_local},
    time::{sleep, timeout},
};

use super::{
    listen::BACKLOG,
    worker_queue::{AcceptedConnection, WorkerHandle},
};
use crate::{
    counters::{Counters, Refusal},
    protocol::Transport,
    runtime::{
        ClosingPermits, ConnectionLimits, ConnectionPermit, LimitPermits, LimitReached, LogRateLimit,
        Shutdown,
    },
    tls::Tls,
    transport::{self, Handshaker, Incoming},
};

/// How long a client that finds the server full waits for a permit before it is refused.
///
/// The server may not have noticed yet that another client has left, since closes and new connections come from different
/// sockets in no order, and it must not refuse wrongly. Short enough that no client minds.
const FULL_WAIT: Duration = Duration::from_millis(100);

/// How long accepting pauses after a lasting error, such as too few descriptors. The connection still waits, so accepting
/// again at once would only spin.
const ERROR_WAIT: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) listeners: Vec<(Transport, net::TcpListener)>,
    pub(super) dispatcher: Dispatcher,
    pub(super) shutdown: Shutdown,
}

impl Acceptor {
    /// Accepts until the server stops. When this returns, the listeners are closed, and every client that had connected
    /// before is served or refused.
    pub(super) async fn run(self) -> io::Result<()> {
        let dispatcher = Rc::new(self.dispatcher);
        let mut loops = JoinSet::new();
        for (transport, listener) in self.listeners {
            let listener = TcpListener::from_std(listener)?;
            loops.spawn_local(accept(listener, transport, Rc::clone(&dispatcher), self.shutdown.clone()));
        }
        drop(dispatcher);
        while let Some(ended) = loops.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn accept(
    listener: TcpListener,
    transport: Transport,
    dispatcher: Rc<Dispatcher>,
    shutdown: Shutdown,
) -> io::Result<()> {
    let mut stopping = pin!(shutdown.triggered());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopping => return accept_the_last(listener, transport, &dispatcher),
        };
        match accepted {
            Ok((stream, peer)) => {
                // The stream leaves this thread's poller: its worker registers it with its own.
                let Ok(stream) = stream.into_std() else { continue };
                if let Some(incoming) = dispatcher.admit(Incoming { stream, peer, transport }) {
                    // It waits here, and those behind it in the backlog, until there is a permit for it, or room to
                    // refuse it properly.
                    tokio::select! {
                        permits = dispatcher.limits.acquire(peer.ip()) => match permits {
                            Some(permits) => dispatcher.dispatch(incoming, permits),
                            None => dispatcher.refuse_at_once(&incoming, LimitReached::Address),
                        },
                        Some(room) = dispatcher.closing.acquire() => {
                            dispatcher.wait_in_background(incoming, LimitReached::Server, room);
                        }
                        () = &mut stopping => {
                            dispatcher.refuse_at_once(&incoming, LimitReached::Server);
                            return accept_the_last(listener, transport, &dispatcher);
                        }
                    }
                }
            }
            // The client has gone again, or a signal came.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                if let Some(suppressed) = dispatcher.error_log.pass(Instant::now()) {
                    tracing::warn!(%transport, %error, suppressed, "cannot accept connections; trying again");
                }
                sleep(ERROR_WAIT).await;
            }
        }
        // A storm of connections must not keep this thread from those that it serves.
        tokio::task::coop::consume_budget().await;
    }
}

/// A client that had connected before the server was told to stop may have sent requests, and gets replies to them.
fn accept_the_last(
    listener: TcpListener,
    transport: Transport,
    dispatcher: &Rc<Dispatcher>,
) -> io::Result<()> {
    let listener = listener.into_std()?;
    for _ in 0..BACKLOG {
        // An error nearly always means that no client is left; and whatever it means, it is time to stop.
        let Ok((stream, peer)) = listener.accept() else { break };
        if stream.set_nonblocking(true).is_ok()
            && let Some(incoming) = dispatcher.admit(Incoming { stream, peer, transport })
        {
            dispatcher.refuse_at_once(&incoming, LimitReached::Server);
        }
    }
    Ok(())
}

/// Gives connections to workers, or refuses them.
#[derive(Debug)]
pub(super) struct Dispatcher {
    workers: Vec<WorkerHandle>,
    /// Where the search for the least loaded worker begins, so that equals take turns.
    next: Cell<usize>,
    limits: ConnectionLimits,
    closing: ClosingPermits,
    error_log: LogRateLimit,
    refusal_log: LogRateLimit,
    /// Those of the worker on whose thread this runs.
    counters: Arc<Counters>,
    /// For clients that are refused.
    handshaker: Rc<Handshaker>,
}

impl Dispatcher {
    pub(super) fn new(
        workers: Vec<WorkerHandle>,
        limits: ConnectionLimits,
        closing: ClosingPermits,
        counters: Arc<Counters>,
        tls: Option<Tls>,
    ) -> Self {
        Self {
            workers,
            next: Cell::new(0),
            limits,
            closing,
            error_log: LogRateLimit::default(),
            refusal_log: LogRateLimit::default(),
            counters,
            handshaker: Rc::new(Handshaker::new(tls)),
        }
    }

    /// Dispatches a connection, or lets it wait in the background to be served or refused. Returns it if there is no
    /// room for waiting either.
    fn admit(self: &Rc<Self>, incoming: Incoming) -> Option<Incoming> {
        match self.limits.try_acquire(incoming.peer.ip()) {
            Ok(permits) => self.dispatch(incoming, permits),
            Err(full) => match (full, self.closing.try_acquire()) {
                (_, Some(room)) => self.wait_in_background(incoming, full, room),
                // Other clients need not wait for an address that is at its limit.
                (LimitReached::Address, None) => self.refuse_at_once(&incoming, full),
                (LimitReached::Server, None) => return Some(incoming),
            },
        }
        None
    }

    fn dispatch(&self, incoming: Incoming, permits: LimitPermits) {
        let connections =
            self.workers.iter().map(|worker| worker.connections.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let Some(index) = least_loaded(&connections, self.next.get()) else { return };
        self.next.set(index + 1);
        let WorkerHandle { queue, connections } = &self.workers[index];
        let permit = ConnectionPermit::new(permits, connections.clone());
        if queue.send(AcceptedConnection { incoming, permit }).is_err() {
            tracing::error!(worker = index, "the worker is gone: its connection is dropped");
        }
    }

    /// Waiting takes a descriptor, which `room` stands for.
    fn wait_in_background(
        self: &Rc<Self>,
        incoming: Incoming,
        full: LimitReached,
        room: OwnedSemaphorePermit,
    ) {
        let waiting = Rc::clone(self).wait_or_refuse(incoming, full);
        spawn_local(async move {
            waiting.await;
            drop(room);
        });
    }

    async fn wait_or_refuse(self: Rc<Self>, incoming: Incoming, full: LimitReached) {
        let address = incoming.peer.ip();
        let permits = timeout(FULL_WAIT, async {
            match full {
                LimitReached::Server => self.limits.acquire(address).await,
                LimitReached::Address => loop {
                    if let Ok(permits) = self.limits.try_acquire(address) {
                        break Some(permits);
                    }
                    sleep(FULL_WAIT / 10).await;
                },
            }
        });
        if let Ok(Some(permits)) = permits.await {
            self.dispatch(incoming, permits);
        } else {
            // From here on nothing goes to a worker, so the shutdown need not wait for this task.
            self.count_refusal(&incoming, full);
            let handshaker = Rc::clone(&self.handshaker);
            drop(self);
            transport::refuse(incoming, &handshaker).await;
        }
    }

    fn refuse_at_once(&self, incoming: &Incoming, full: LimitReached) {
        self.count_refusal(incoming, full);
        transport::refuse_at_once(incoming);
    }

    /// Counts a client that is refused, and logs it within the rate limit.
    fn count_refusal(&self, incoming: &Incoming, full: LimitReached) {
        let (refusal, reason) = match full {
            LimitReached::Server => (Refusal::ServerFull, "the server is full"),
            LimitReached::Address => (Refusal::AddressFull, "an address is at its limit"),
        };
        self.counters.refused(refusal);
        if let Some(suppressed) = self.refusal_log.pass(Instant::now()) {
            let Incoming { transport, peer, .. } = incoming;
            tracing::warn!(%transport, peer = %peer.ip(), suppressed, "{reason}: a client was refused");
        }
    }
}

/// The index of the least load; of equals, the first from `from` on.
fn least_loaded(connections: &[usize], from: usize) -> Option<usize> {
    let count = connections.len();
    (from..from + count).map(|index| index % count).min_by_key(|index| connections[*index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_to_the_least_loaded_and_equals_take_turns() {
        let (mut connections, mut from) = ([0; 3], 0);
        for _ in 0..9 {
            let index = least_loaded(&connections, from).unwrap();
            connections[index] += 1;
            from = index + 1;
        }
        assert_eq!(connections, [3, 3, 3]);
        assert_eq!(least_loaded(&[3, 1, 3], 2), Some(1));
        assert_eq!(least_loaded(&[1, 1, 1], 2), Some(2));
        assert_eq!(least_loaded(&[], 0), None);
    }
}
