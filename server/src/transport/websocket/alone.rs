//! A WebSocket outside of any server.

use std::{rc::Rc, sync::Arc};

use tokio::net::TcpStream;

use super::{
    super::{Host, plain::Plain, timers::Vigil},
    Service, serve,
};
use crate::{
    config::Config,
    registry::{Registry, UpgradePolicy},
    runtime::{Departures, Seat},
};

/// Serves one connection outside of any server, with `service` in the place of a session: for trying the framing by
/// itself. Must be called on a current-thread runtime with time and I/O; limits and time-outs are those of `config`.
pub async fn serve_alone<S: Service>(stream: TcpStream, config: Arc<Config>, service: S) {
    let registry = Arc::new(Registry::new(UpgradePolicy::Closed));
    let host = Rc::new(Host::new(config, registry, Arc::default(), Departures::new()));
    let (vigil, time) = (Vigil::start(&host), host.opening_time());
    tokio::select! {
        () = serve(Plain::from(stream), Seat::alone(), vigil, time, Rc::clone(&host), service) => {}
        () = host.rota.call() => {}
    }
}
