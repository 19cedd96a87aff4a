//! What the load goes to: the embedded server, as a child process, or servers at given addresses.
//!
//! Nothing else starts the embedded server, and nothing else of the server's crate is used.

mod address;
pub mod embedded;

pub use address::{AddressError, socket_address, websocket};

use crate::measure::tree::Tree;
use crate::scenario::model::Transport;
use crate::wire::Endpoint;
use embedded::Embedded;

/// The target of a run.
#[derive(Debug)]
pub enum Target {
    /// Ours to start, afresh for each trial.
    Embedded(Box<Embedded>),
    /// Somebody else's to start and to stop.
    External {
        /// Where it is; never empty.
        endpoints: Vec<Endpoint>,
        /// Its process, where it is one of this machine and known: its CPU and memory are then measured.
        pid: Option<u32>,
    },
}

/// Why there is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The embedded server did not come up.
    #[error("the embedded server did not start: {0}")]
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
            Self::Embedded(_) => Embedded::OFFERS.contains(&transport),
            Self::External { endpoints, .. } => {
                endpoints.iter().any(|endpoint| endpoint.transport() == transport)
            }
        }
    }

    /// Where it offers this transport; an embedded server only once it runs.
    #[must_use]
    pub fn endpoint(&self, transport: Transport) -> Option<Endpoint> {
        let endpoints = match self {
            Self::Embedded(embedded) => embedded.endpoints(),
            Self::External { endpoints, .. } => endpoints,
        };
        endpoints.iter().find(|endpoint| endpoint.transport() == transport).cloned()
    }

    /// A fresh server where it is ours to start, with these transports, on these CPUs.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn fresh(&mut self, transports: &[Transport], cpus: &[usize]) -> Result<(), TargetError> {
        match self {
            Self::Embedded(embedded) => embedded.restart(transports, cpus).await,
            Self::External { .. } => Ok(()),
        }
    }

    /// The server's processes, where they are known.
    #[must_use]
    pub fn trees(&self) -> Vec<Tree> {
        let pid = match self {
            Self::Embedded(embedded) => embedded.pid(),
            Self::External { pid, .. } => *pid,
        };
        pid.map(|root| Tree { root, is_guard: false }).into_iter().collect()
    }

    /// How the server's process ended, if it has.
    pub fn death(&mut self) -> Option<String> {
        match self {
            Self::Embedded(embedded) => embedded.death(),
            Self::External { .. } => None,
        }
    }

    /// Stops what is ours.
    pub async fn stop(&mut self) {
        if let Self::Embedded(embedded) = self {
            embedded.stop().await;
        }
    }

    /// For people: what it is and where.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Embedded(_) => "embedded server".to_owned(),
            Self::External { endpoints, .. } => {
                endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            }
        }
    }
}
