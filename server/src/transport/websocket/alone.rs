//! A WebSocket connection outside of any server.

use std::{rc::Rc, sync::Arc};

use tokio::net::TcpStream;

use super::{
    super::{ConnectionParts, WorkerContext, plain::PlainSocket, timers::ConnectionTimers},
    Service, serve,
};
use crate::{
    config::Config,
    registry::{Registry, UpgradePolicy},
    runtime::{ClosingPermits, ConnectionPermit},
};

/// Serves one connection with `service` in the place of a session, to test the framing alone.
///
/// Must be called on a current-thread runtime with time and I/O. Limits and time-outs are those of `config`.
pub async fn serve_alone<S: Service>(stream: TcpStream, config: Arc<Config>, service: S) {
    let registry = Arc::new(Registry::new(UpgradePolicy::Closed));
    let worker = Rc::new(WorkerContext::new(config, registry, Arc::default(), ClosingPermits::new()));
    let opening_time = worker.opening_time();
    let parts = ConnectionParts {
        permit: ConnectionPermit::unlimited(),
        timers: ConnectionTimers::start(&worker),
        worker: Rc::clone(&worker),
    };
    tokio::select! {
        () = serve(PlainSocket::from(stream), service, parts, opening_time) => {}
        () = worker.turns.run() => {}
    }
}
