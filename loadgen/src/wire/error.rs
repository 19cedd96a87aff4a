//! Why there is no connection.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::handshake::HandshakeError;
use super::shortage::Shortage;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot connect to {0}")]
    Tcp(Unreachable),
    #[error("{0}")]
    Shortage(Shortage),
    #[error("no TLS at {0}: {1}")]
    Tls(String, String),
    #[error("no WebSocket at {0}: {1}")]
    Handshake(String, HandshakeError),
    #[error("no connection to {place} within {timeout:?}{advice}")]
    TimedOut {
        /// Where.
        place: String,
        /// The limit.
        timeout: Duration,
        /// The likely cause, as the end of the sentence.
        advice: &'static str,
    },
}

/// A server that accepts a connection at none of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    pub(super) name: String,
    /// Each address that was tried, and why it failed.
    pub(super) failed: Vec<(SocketAddr, String)>,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.failed {
            [(address, why)] if address.to_string() == self.name => write!(f, "{address}: {why}"),
            all => {
                f.write_str(&self.name)?;
                for (index, (address, why)) in all.iter().enumerate() {
                    write!(f, "{} {address}: {why}", if index == 0 { ":" } else { ";" })?;
                }
                Ok(())
            }
        }
    }
}
