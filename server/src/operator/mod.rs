//! The operator's access to a running server: the control socket (ROLE-9) and the metrics.
//!
//! One thread serves both, so that neither a long list nor a client that sends nothing or never reads costs a worker
//! anything. Users are changed through the registry.

mod answer;
mod ask;
mod connections;
mod control;
mod exposition;
mod metrics;
mod negotiation;
mod process;
mod socket;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Instant,
};

use tokio::runtime::Builder;

pub use socket::SocketError;
pub(crate) use {
    answer::{Answer, Role, Stats, UserRow},
    ask::{AskError, ask},
    socket::check as check_socket,
};

use crate::{
    config::Config,
    counters::{Counters, Totals},
    registry::{Registry, Usage},
    runtime::Shutdown,
};
use socket::ControlSocket;

/// How many operators are served at once. They come one at a time.
const OPERATORS_MAX: usize = 8;

/// How many scrapers are served at once. They come one at a time too. The rest is for clients that only connect: even
/// hundreds of them a second leave a real scraper enough time.
const SCRAPERS_MAX: usize = 64;

/// The descriptors that the operator's thread may need: two listeners, a lock, their clients and one of each kind that
/// has just been accepted, a list of descriptors for the metrics, and those of its runtime.
pub(crate) const DESCRIPTORS: usize = 2 + 1 + OPERATORS_MAX + 1 + SCRAPERS_MAX + 1 + 4 + 8;

/// What the operator can see and change.
#[derive(Debug)]
pub(crate) struct AdminState {
    registry: Arc<Registry>,
    counters: Vec<Arc<Counters>>,
    started: Instant,
}

impl AdminState {
    pub(crate) fn new(registry: Arc<Registry>, counters: Vec<Arc<Counters>>) -> Self {
        Self { registry, counters, started: Instant::now() }
    }

    fn totals(&self) -> Totals {
        Totals::of(&self.counters)
    }

    /// What all stores hold together.
    fn stored(&self) -> Usage {
        let mut stored = Usage::default();
        self.registry.for_each(|_, info| {
            stored.keys += info.usage.keys;
            stored.bytes += info.usage.bytes;
        });
        stored
    }

    /// The requests that each worker has answered, in the order of the workers' numbers.
    fn requests_by_worker(&self) -> Vec<u64> {
        let answered = |worker| {
            Totals::of(std::slice::from_ref(worker)).requests.iter().map(|request| request.count).sum()
        };
        self.counters.iter().map(answered).collect()
    }
}

/// The operator's listeners, open but not yet served.
#[derive(Debug)]
pub(crate) struct OperatorListeners {
    control: Option<ControlSocket>,
    metrics: Vec<TcpListener>,
}

impl OperatorListeners {
    /// Opens what `config` asks for; `listen` opens TCP listeners.
    pub(crate) fn open<E: From<SocketError>>(
        config: &Config,
        listen: impl Fn(&[SocketAddr]) -> Result<Vec<TcpListener>, E>,
    ) -> Result<Self, E> {
        let metrics = if config.metrics.is_empty() { Vec::new() } else { listen(&config.metrics)? };
        let control = config.control.as_deref().map(ControlSocket::bind).transpose()?;
        Ok(Self { control, metrics })
    }

    /// Where the metrics are served, with the real port.
    pub(crate) fn metrics_addresses(&self) -> Vec<SocketAddr> {
        self.metrics.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves on a thread of `scope` until `shutdown` is triggered. Does nothing if there is nothing to serve.
    pub(crate) fn serve<'scope>(
        self,
        scope: &'scope thread::Scope<'scope, '_>,
        state: AdminState,
        shutdown: Shutdown,
    ) -> io::Result<()> {
        if self.control.is_none() && self.metrics.is_empty() {
            return Ok(());
        }
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        thread::Builder::new().name("operator".into()).spawn_scoped(scope, move || {
            let served = runtime.block_on(async {
                tokio::select! {
                    () = shutdown.triggered() => Ok(()),
                    failed = self.run(Arc::new(state)) => failed,
                }
            });
            if let Err(error) = served {
                // Serving the clients matters more than serving the operator.
                tracing::error!(%error, "neither control socket nor metrics are served any more");
            }
        })?;
        Ok(())
    }

    /// Serves until it is dropped, which removes the socket; returns only with an error.
    async fn run(self, state: Arc<AdminState>) -> io::Result<()> {
        let control = async {
            match &self.control {
                Some(socket) => control::serve(socket, Arc::clone(&state)).await,
                None => std::future::pending().await,
            }
        };
        let metrics = metrics::serve(self.metrics, Arc::clone(&state));
        tokio::try_join!(control, metrics).map(|((), ())| ())
    }
}
