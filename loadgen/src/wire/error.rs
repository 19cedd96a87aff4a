//! Why there is no connection.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::handshake::HandshakeError;
use super::shortage::Shortage;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No TCP connection to any address.
    #[error("cannot connect to {0}")]
    Tcp(Unreachable),
    /// Our side has no means for another connection, whatever the server is like.
    #[error("{0}")]
    Shortage(Shortage),
    /// TCP, but no TLS with a server that is trusted.
    #[error("no TLS at {0}: {1}")]
    Tls(String, String),
    /// A connection, but no WebSocket.
    #[error("no WebSocket at {0}: {1}")]
    Handshake(String, HandshakeError),
    /// A connection whose handshakes took too long.
    #[error("no connection to {place} within {timeout:?}{advice}")]
    TimedOut {
        /// Where.
        place: String,
        /// The longest that it was given.
        timeout: Duration,
        /// What it may be.
        advice: &'static str,
    },
}

/// A server of which no address takes a connection.
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
