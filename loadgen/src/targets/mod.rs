//! The target of a load: the embedded server as a child process, launched programs, or servers at given addresses.
//!
//! No other module starts the embedded server or uses the server's crate. For `calibrate` the null target takes its
//! place, which does as little as a server can.

mod address;
mod certificate;
pub(crate) mod embedded;
pub(crate) mod guard;
mod launch;
pub(crate) mod launched;
pub(crate) mod null;
mod ports;

pub(crate) use address::{AddressError, endpoint};
pub(crate) use certificate::Certificate;
pub(crate) use launch::{Launch, LaunchCommand, LaunchError, TlsSetup, ask_certificate};

use crate::domain::{Framing, Transport};
use crate::wire::{Addresses, Endpoint, Header, TlsPeer, TrustStore, WebSocketUrl};
use embedded::Embedded;
use launched::Launched;
use twinwire_os::tree::Tree;

/// The target of a run.
#[derive(Debug)]
pub enum Target {
    /// Started by this program, again for each trial.
    Embedded(Box<Embedded>),
    /// The user's programs, started by this program, again for each trial.
    Launched(Box<Launched>),
    /// Servers that are already running. This program neither starts nor stops them.
    External {
        /// Where they are; never empty.
        endpoints: Vec<Endpoint>,
        /// The server's process, if it is known: its CPU and memory are then measured.
        pid: Option<u32>,
    },
}

/// Why there is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// A program did not start. Says which one, and why.
    #[error("{0}")]
    NotStarted(String),
    /// This machine refused something.
    #[error("{0}")]
    Machine(String),
}

impl Target {
    /// Whether it offers this transport.
    #[must_use]
    pub fn has(&self, transport: Transport) -> bool {
        match self {
            Self::Embedded(embedded) => embedded.offers().contains(&transport),
            Self::Launched(launched) => launched.launch().transports().contains(&transport),
            Self::External { endpoints, .. } => {
                endpoints.iter().any(|endpoint| endpoint.transport() == transport)
            }
        }
    }

    /// Where it is. Empty until a target that this program starts runs.
    fn endpoints(&self) -> &[Endpoint] {
        match self {
            Self::Embedded(embedded) => embedded.endpoints(),
            Self::Launched(launched) => launched.endpoints(),
            Self::External { endpoints, .. } => endpoints,
        }
    }

    /// Where it offers this transport. `None` until a target that this program starts runs.
    #[must_use]
    pub fn endpoint(&self, transport: Transport) -> Option<Endpoint> {
        self.endpoints().iter().find(|endpoint| endpoint.transport() == transport).cloned()
    }

    /// Whether it still listens somewhere on this machine.
    #[must_use]
    pub fn listens(&self) -> bool {
        let listeners = ports::listeners();
        self.endpoints()
            .iter()
            .any(|endpoint| !ports::reachable(&listeners, endpoint.addresses().all()).is_empty())
    }

    /// Starts the server again, if this program starts it, with these transports on these CPUs. The future may be
    /// dropped; [`Self::stop`] then stops what was begun.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn fresh(&mut self, transports: &[Transport], cpus: &[usize]) -> Result<(), TargetError> {
        match self {
            Self::Embedded(embedded) => embedded.restart(transports, cpus).await,
            Self::Launched(launched) => launched.restart(cpus).await,
            Self::External { .. } => Ok(()),
        }
    }

    /// Whether this program starts it, and so chooses its CPUs.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        !matches!(self, Self::External { .. })
    }

    /// The server's processes, as far as they are known.
    #[must_use]
    pub fn trees(&self) -> Vec<Tree> {
        let tree = |pid: Option<u32>| pid.map(|root| Tree { root, is_guard: false }).into_iter().collect();
        match self {
            Self::Embedded(embedded) => tree(embedded.pid()),
            Self::Launched(launched) => launched.trees(),
            Self::External { pid, .. } => tree(*pid),
        }
    }

    /// How the server's process ended, if it has.
    pub fn death(&mut self) -> Option<String> {
        match self {
            Self::Embedded(embedded) => embedded.death(),
            Self::Launched(launched) => launched.death(),
            Self::External { .. } => None,
        }
    }

    /// Stops what this program has started.
    pub async fn stop(&mut self) {
        match self {
            Self::Embedded(embedded) => embedded.stop().await,
            Self::Launched(launched) => launched.stop().await,
            Self::External { .. } => {}
        }
    }

    /// For people: what it is and where.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Embedded(embedded) => embedded.name().to_owned(),
            Self::Launched(launched) => {
                let commands = launched.launch().texts().map(|text| format!("launched: {text}"));
                commands.collect::<Vec<_>>().join(", ")
            }
            Self::External { endpoints, .. } => {
                endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// A listener on this machine with these addresses, and headers for a WebSocket handshake; `None` for TLS if no
/// certificate is trusted.
fn endpoint_on_this_machine(
    transport: Transport,
    addresses: Addresses,
    headers: &[Header],
    trust: Option<&TrustStore>,
) -> Option<Endpoint> {
    // The name in most certificates for this machine.
    const NAME: &str = "localhost";
    let first = addresses.all().first()?;
    let (ip, port) = (first.ip().to_string(), first.port());
    let encrypted = transport.is_encrypted();
    let peer = if encrypted { Some(TlsPeer::new(NAME, trust?).ok()?) } else { None };
    Some(match transport.framing() {
        Framing::Lines => Endpoint::lines(addresses, peer),
        Framing::Chunks => Endpoint::chunks(addresses),
        Framing::WebSocket => {
            let host = if encrypted { NAME } else { &ip };
            Endpoint::websocket(
                addresses,
                WebSocketUrl::root(encrypted, host, port).with_headers(headers).ok()?,
                peer,
            )
        }
    })
}
