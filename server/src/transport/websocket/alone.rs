//! A WebSocket connection outside of any server.

use std::{io, net::TcpStream, rc::Rc, sync::Arc};

use super::{
    super::{ConnectionParts, TcpSocket, WorkerContext, timers::ConnectionTimers},
    Service, serve,
};
use crate::{
    config::Config,
    protocol::Transport,
    registry::{Registry, UpgradePolicy},
    runtime::{ClosingPermits, ConnectionPermit},
};

/// Serves one connection with `service` in the place of a session, to test the framing alone.
///
/// Must be called on a current-thread runtime with time and I/O; `stream` must not block. Limits and time-outs are those of `config`.
pub async fn serve_alone<S: Service>(stream: TcpStream, config: Arc<Config>, service: S) -> io::Result<()> {
    let socket = TcpSocket::new(stream)?;
    let registry = Arc::new(Registry::new(UpgradePolicy::Closed));
    let worker = Rc::new(WorkerContext::new(config, registry, Arc::default(), ClosingPermits::new()));
    let opening_time = worker.opening_time();
    let parts = ConnectionParts {
        permit: ConnectionPermit::unlimited(),
        timers: ConnectionTimers::start(&worker),
        open: worker.counters.open(Transport::WebSocket),
        worker: Rc::clone(&worker),
    };
    tokio::select! {
        () = serve(socket, service, parts, opening_time) => {}
        () = worker.turns.run() => {}
    }
    Ok(())
}
