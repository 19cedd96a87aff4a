//! Listeners, workers, admission and shutdown: everything around connections, and nothing inside them.
//!
//! One thread for each worker; the first one is the thread that called [`Server::run`], which also accepts.

mod accept;
mod check;
mod descriptors;
mod listen;
mod worker;

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
    accept::Acceptor,
    worker::{Shared, Worker},
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
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {transport}: {source}; {}", listen_advice(source))]
    Listen {
        /// What it was for.
        transport: Transport,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is no certificate to listen with.
    #[error(
        "a listener for {transport} needs a certificate and its key: name their files with --tls-cert and --tls-key"
    )]
    NoCertificate {
        /// What it was for.
        transport: Transport,
    },
    /// Two listeners are to be in one place.
    #[error("{what} cannot listen on {address}, where {other} is to: give one of them another port")]
    SameAddress {
        /// What the second one is for.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the first one is for.
        other: &'static str,
    },
    /// The metrics cannot be served where they are wanted.
    #[error("cannot listen on {address} for metrics: {source}; {}", listen_advice(source))]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is no control socket.
    #[error(transparent)]
    Control(#[from] SocketError),
    /// The operator's thread could not be set up.
    #[error("cannot start the operator's thread: {source}")]
    Operator {
        /// What the system said.
        source: io::Error,
    },
    /// The process may not open as many files as there are to be connections.
    #[error(
        "{connections} connections need {needed} file descriptors, and this process may have {limit}; \
         raise the limit (ulimit -Hn) or lower --max-connections"
    )]
    Descriptors {
        /// The connections asked for.
        connections: usize,
        /// What they need, the server's own included.
        needed: usize,
        /// The hard limit.
        limit: usize,
    },
    /// The process may not open as many files as any server needs.
    #[error(
        "a server needs {needed} file descriptors at least, and this process may have {limit}; raise the limit \
         (ulimit -Hn)"
    )]
    TooFewDescriptors {
        /// What the least server needs.
        needed: usize,
        /// The hard limit.
        limit: usize,
    },
    /// A CPU to run on is not there for this process.
    #[error("CPU {cpu} of --cpus is not available to this process")]
    NoSuchCpu {
        /// The CPU's number.
        cpu: usize,
    },
    /// The thread that looks after time-outs could not be set up.
    #[error("cannot start the clock: {source}")]
    Clock {
        /// What the system said.
        source: io::Error,
    },
    /// The thread that frees stores could not be set up.
    #[error("cannot start the thread that frees stores: {source}{}", worker_advice(source))]
    Reclaimer {
        /// What the system said.
        source: io::Error,
    },
    /// A worker could not be set up.
    #[error("cannot start worker {index}: {source}{}", worker_advice(source))]
    Worker {
        /// Which one, from 0.
        index: usize,
        /// What the system said.
        source: io::Error,
    },
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

fn worker_advice(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE) => "; raise the limit on open files (ulimit -Hn) or lower --workers",
        Some(Errno::EAGAIN) => "; raise the limit on threads (ulimit -u) or lower --workers",
        _ => "",
    }
}

/// A listener that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    /// How its connections speak.
    pub transport: Transport,
    /// Where it is, with the real port.
    pub address: SocketAddr,
}

/// A server whose listeners are open; clients may connect, and wait until it runs.
#[derive(Debug)]
pub struct Server {
    config: Config,
    connections_max: usize,
    listeners: Vec<(Transport, TcpListener)>,
    addresses: Vec<Listening>,
    operator_listeners: OperatorListeners,
}

impl Server {
    /// What would keep a server of `config` from starting on this machine, as far as it shows without opening
    /// anything.
    pub fn check(config: &Config) -> Result<(), StartError> {
        check::all(config)
    }

    /// Opens every listener of `config`. Nothing is open if one fails.
    pub fn bind(config: Config) -> Result<Self, StartError> {
        Self::check(&config)?;
        let connections_max = descriptors::connections_max(&config)?;
        let mut listeners = Vec::with_capacity(config.listeners.len());
        let mut addresses = Vec::with_capacity(config.listeners.len());
        for Endpoint { transport, addresses: wanted } in &config.listeners {
            let transport = *transport;
            let failed = |(address, source)| StartError::Listen { transport, address, source };
            for listener in listen::on_all(transport.name(), wanted).map_err(failed)? {
                let address = listener.local_addr().map_err(|source| failed((wanted[0], source)))?;
                addresses.push(Listening { transport, address });
                listeners.push((transport, listener));
            }
        }
        let operator_listeners = OperatorListeners::open(&config, |addresses| {
            listen::on_all("metrics", addresses)
                .map_err(|(address, source)| StartError::Metrics { address, source })
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

    /// Serves until `shutdown` is triggered, then for as long as goodbyes take, at most a few seconds.
    ///
    /// Blocks. With pinned workers the calling thread stays on the first of their CPUs.
    pub fn run(self, shutdown: &Shutdown) -> Result<(), StartError> {
        self.run_and_notify(shutdown, || ())
    }

    /// The same, and calls `ready` once every worker has what it needs: from then on nothing keeps it from serving.
    pub(crate) fn run_and_notify(self, shutdown: &Shutdown, ready: impl FnOnce()) -> Result<(), StartError> {
        let cpus = match &self.config.workers {
            Workers::Floating(count) => vec![None; count.get()],
            Workers::Pinned(cpus) => cpus.iter().copied().map(Some).collect(),
        };
        let config = Arc::new(self.config);
        // Before the first worker moves this thread to its CPU, where the other one would be as well.
        let reclaimer = Reclaimer::start().map_err(|source| StartError::Reclaimer { source })?;
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
            let (handle, queue) = worker::handle();
            handles.push(handle);
            workers.push(Worker::new(
                index,
                cpu,
                queue,
                Shared {
                    config: Arc::clone(&config),
                    registry: Arc::clone(&registry),
                    counters: Arc::clone(&counters[index]),
                    clock: clock.subscribe(),
                    closing_permits: closing_permits.clone(),
                    shutdown: shutdown.clone(),
                },
            ));
        }
        let limits = ConnectionLimits::new(self.connections_max, config.connections_per_ip_max);
        // It runs on the first worker's thread.
        let own = counters.into_iter().next().unwrap_or_default();
        let tls = config.tls.clone();
        let acceptor =
            Acceptor::new(self.listeners, handles, limits, closing_permits, own, tls, shutdown.clone());
        tracing::info!(workers = workers.len(), connections_max = self.connections_max, "serving");
        let outcome = thread::scope(|scope| {
            start_ticking(scope, config.timeouts.resolution().unwrap_or(Timeouts::COARSEST), clock, shutdown)
                .map_err(|source| StartError::Clock { source })?;
            self.operator_listeners.serve(scope, admin_state, shutdown.clone()).map_err(|source| {
                shutdown.trigger();
                StartError::Operator { source }
            })?;
            run_workers(scope, workers, acceptor, shutdown, ready)
        });
        tracing::info!("stopped");
        outcome
    }
}

/// Runs the first worker here and the others on threads of their own, and calls `ready` in between: when all of them
/// stand. Nobody serves if one does not, since connections that were dealt to it would be lost.
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
        let index = worker.index();
        let failed = move |source| StartError::Worker { index, source };
        let builder = thread::Builder::new().name(format!("worker-{index}"));
        let ready_sender = ready_sender.clone();
        let run = move || {
            let runtime = worker.prepare().map_err(failed)?;
            // Whoever waits for this may have given up, and has triggered the shutdown then.
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
        // Ends when each of them has either told or failed.
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
