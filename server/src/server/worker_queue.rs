//! The queue of connections between the acceptor and a worker.

use std::sync::{Arc, atomic::AtomicUsize};

use tokio::sync::mpsc;

use crate::{runtime::ConnectionPermit, transport::Incoming};

/// A connection on its way from the acceptor to its worker.
#[derive(Debug)]
pub(super) struct AcceptedConnection {
    pub(super) incoming: Incoming,
    pub(super) permit: ConnectionPermit,
}

/// Where the acceptor passes a worker its connections.
#[derive(Debug)]
pub(super) struct WorkerHandle {
    pub(super) queue: mpsc::UnboundedSender<AcceptedConnection>,
    /// The worker's connections, those on their way included.
    pub(super) connections: Arc<AtomicUsize>,
}

/// A handle and the worker's end of it. Unbounded, since the connection limits bound what can be in it.
pub(super) fn channel() -> (WorkerHandle, mpsc::UnboundedReceiver<AcceptedConnection>) {
    let (queue, accepted) = mpsc::unbounded_channel();
    (WorkerHandle { queue, connections: Arc::default() }, accepted)
}
