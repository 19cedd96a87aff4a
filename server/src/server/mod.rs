//! Listeners, workers, dispatch and shutdown: everything around connections, and nothing inside them.
//!
//! There is one thread for each worker. The first one is the thread that called [`Server::run`], which also accepts.

mod accept;
mod check;
mod descriptors;
mod listen;
mod worker;
mod worker_queue;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, mpsc},
    thread,
    time::Instant,
};

use nix::errno::Errno;
use tokio::sync::watch;

use self::{
    accept::{Acceptor, Dispatcher},
    listen::{ListenError, listen_on_all},
    worker::Worker,
};
use crate::{
    config::{Config, Endpoint, Timeouts, Workers},
    counters::Counters,
    operator::{AdminState, OperatorListeners, SocketError},
    protocol::Transport,
    registry::{Reclaimer, Registry},
    runtime::{ClosingPermits, ConnectionLimits, Shutdown, start_ticking},
};

/// Why a server could not start or go on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its variant is for")]
pub enum StartError {
    #[error("cannot listen on {address} for {transport}: {source}; {}", listen_advice(source))]
    Listen { transport: Transport, address: SocketAddr, source: io::Error },
    #[error(
        "a listener for {transport} needs a certificate and its key: name their files with --tls-cert and --tls-key"
    )]
    NoCertificate { transport: Transport },
    #[error("{what} and {other} cannot both listen on {address}: give one of them another port")]
    SameAddress { what: &'static str, address: SocketAddr, other: &'static str },
    #[error("cannot listen on {address} for metrics: {source}; {}", listen_advice(source))]
    Metrics { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Control(#[from] SocketError),
    #[error(
        "{connections} connections need {needed} file descriptors, but this process may have only {limit}; \
         raise the limit (ulimit -Hn) or lower --max-connections"
    )]
    Descriptors {
        connections: usize,
        /// The server's own included.
        needed: usize,
        limit: usize,
    },
    #[error(
        "a server needs at least {needed} file descriptors, but this process may have only {limit}; raise the limit \
         (ulimit -Hn)"
    )]
    TooFewDescriptors { needed: usize, limit: usize },
    #[error("CPU {cpu} of --cpus is not available to this process")]
    NoSuchCpu { cpu: usize },
    #[error("cannot start the thread {name}: {source}{}", thread_advice(source))]
    Thread { name: &'static str, source: io::Error },
    #[error("cannot start worker {index}: {source}{}", thread_advice(source))]
    Worker { index: usize, source: io::Error },
}

fn listen_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there: stop it, or choose another port (0 takes a free one)"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need privileges: choose a higher one",
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
        _ => "choose another address",
    }
}

fn thread_advice(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE) => "; raise the limit on open files (ulimit -Hn) or lower --workers",
        Some(Errno::EAGAIN) => "; raise the limit on threads (ulimit -u) or lower --workers",
        _ => "",
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    pub transport: Transport,
    /// With the real port.
    pub address: SocketAddr,
}

/// A server whose listeners are open. Clients may connect, and wait until it runs.
#[derive(Debug)]
pub struct Server {
    config: Config,
    connections_max: usize,
    listeners: Vec<(Transport, TcpListener)>,
    addresses: Vec<Listening>,
    operator_listeners: OperatorListeners,
}

impl Server {
    /// Whether a server of `config` could start on this machine, as far as it shows without opening anything.
    pub fn check(config: &Config) -> Result<(), StartError> {
        check::check(config)
    }

    /// Opens every listener of `config`, or none if one fails.
    pub fn bind(config: Config) -> Result<Self, StartError> {
        Self::check(&config)?;
        let connections_max = descriptors::connections_max(&config)?;
        let mut listeners = Vec::with_capacity(config.listeners.len());
        let mut addresses = Vec::with_capacity(config.listeners.len());
        for Endpoint { transport, addresses: wanted } in &config.listeners {
            let transport = *transport;
            let failed =
                |ListenError { address, error }| StartError::Listen { transport, address, source: error };
            for listener in listen_on_all(transport.name(), wanted).map_err(failed)? {
                let address = listener
                    .local_addr()
                    .map_err(|error| failed(ListenError { address: wanted[0], error }))?;
                addresses.push(Listening { transport, address });
                listeners.push((transport, listener));
            }
        }
        let operator_listeners = OperatorListeners::open(&config, |addresses| {
            listen_on_all("metrics", addresses)
                .map_err(|ListenError { address, error }| StartError::Metrics { address, source: error })
        })?;
        Ok(Self { config, connections_max, listeners, addresses, operator_listeners })
    }

    /// Where the metrics are served, with the real port.
    #[must_use]
    pub fn metrics_addresses(&self) -> Vec<SocketAddr> {
        self.operator_listeners.metrics_addresses()
    }

    /// Where the server listens, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> &[Listening] {
        &self.addresses
    }

    /// Serves until `shutdown` is triggered, then until every connection is closed, a few seconds at most.
    ///
    /// Blocks. With pinned workers the calling thread stays on the first of their CPUs.
    pub fn run(self, shutdown: &Shutdown) -> Result<(), StartError> {
        self.run_and_notify(shutdown, || ())
    }

    /// The same, and calls `ready` once every worker has all that it needs to serve.
    pub(crate) fn run_and_notify(self, shutdown: &Shutdown, ready: impl FnOnce()) -> Result<(), StartError> {
        let cpus = match &self.config.workers {
            Workers::Floating(count) => vec![None; count.get()],
            Workers::Pinned(cpus) => cpus.iter().copied().map(Some).collect(),
        };
        let config = Arc::new(self.config);
        // Before the first worker moves this thread to its CPU, which the new thread would inherit.
        let reclaimer =
            Reclaimer::start().map_err(|source| StartError::Thread { name: "reclaim", source })?;
        let registry = Registry::new(config.upgrade.clone())
            .with_limits(config.managers_max, config.stores)
            .with_reclaimer(reclaimer);
        let registry = Arc::new(registry);
        let clock = watch::Sender::new(Instant::now());
        let counters: Vec<Arc<Counters>> = cpus.iter().map(|_| Arc::default()).collect();
        let admin_state = AdminState::new(Arc::clone(&registry), counters.clone());
        let closing_permits = ClosingPermits::new();
        let mut handles = Vec::with_capacity(cpus.len());
        let mut workers = Vec::with_capacity(cpus.len());
        for (index, cpu) in cpus.into_iter().enumerate() {
            let (handle, accepted) = worker_queue::channel();
            handles.push(handle);
            workers.push(Worker {
                index,
                cpu,
                accepted,
                config: Arc::clone(&config),
                registry: Arc::clone(&registry),
                counters: Arc::clone(&counters[index]),
                clock: clock.subscribe(),
                closing_permits: closing_permits.clone(),
                shutdown: shutdown.clone(),
            });
        }
        let limits = ConnectionLimits::new(self.connections_max, config.connections_per_ip_max);
        // The acceptor runs on the first worker's thread.
        let own = counters.into_iter().next().unwrap_or_default();
        let dispatcher = Dispatcher::new(handles, limits, closing_permits, own, config.tls.clone());
        let acceptor = Acceptor { listeners: self.listeners, dispatcher, shutdown: shutdown.clone() };
        tracing::info!(workers = workers.len(), connections_max = self.connections_max, "serving");
        let outcome = thread::scope(|scope| {
            start_ticking(scope, config.timeouts.resolution().unwrap_or(Timeouts::COARSEST), clock, shutdown)
                .map_err(|source| StartError::Thread { name: "clock", source })?;
            self.operator_listeners.serve(scope, admin_state, shutdown.clone()).map_err(|source| {
                shutdown.trigger();
                StartError::Thread { name: "operator", source }
            })?;
            run_workers(scope, workers, acceptor, shutdown, ready)
        });
        tracing::info!("stopped");
        outcome
    }
}

/// Runs the first worker here and the others on threads of their own, and calls `ready` in between, when all of them
/// are prepared. If one is not, none serves, since connections that were dispatched to it would be lost.
fn run_workers<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    workers: Vec<Worker>,
    acceptor: Acceptor,
    shutdown: &Shutdown,
    ready: impl FnOnce(),
) -> Result<(), StartError> {
    let mut workers = workers.into_iter();
    let Some(first) = workers.next() else { return Ok(()) };
    let (ready_sender, ready_workers) = mpsc::channel();
    let mut others = Vec::new();
    let mut spawned = Ok(());
    for worker in workers {
        let index = worker.index;
        let failed = move |source| StartError::Worker { index, source };
        let builder = thread::Builder::new().name(format!("worker-{index}"));
        let ready_sender = ready_sender.clone();
        let run = move || {
            let runtime = worker.prepare().map_err(failed)?;
            // The receiver may have given up, and has triggered the shutdown then.
            let _ = ready_sender.send(());
            drop(ready_sender);
            worker.run(&runtime, None).map_err(failed)
        };
        match builder.spawn_scoped(scope, run) {
            Ok(thread) => others.push(thread),
            Err(source) => {
                spawned = Err(failed(source));
                break;
            }
        }
    }
    drop(ready_sender);
    let outcome = spawned.and_then(|()| {
        let failed = |source| StartError::Worker { index: 0, source };
        let runtime = first.prepare().map_err(failed)?;
        // Ends when each of them has either reported or failed.
        if ready_workers.iter().count() < others.len() {
            return Ok(());
        }
        ready();
        first.run(&runtime, Some(acceptor)).map_err(failed)
    });
    // Whatever ended the first worker, the server cannot do without its acceptor.
    shutdown.trigger();
    others.into_iter().fold(outcome, |outcome, thread| match thread.join() {
        Ok(ended) => outcome.and(ended),
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
