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
    /// This machine or process cannot open another connection, whatever the server does.
    #[error("{0}")]
    Shortage(Shortage),
    /// TCP works, but there is no TLS with a trusted server.
    #[error("no TLS at {0}: {1}")]
    Tls(String, String),
    /// TCP (and TLS) work, but there is no WebSocket.
    #[error("no WebSocket at {0}: {1}")]
    Handshake(String, HandshakeError),
    /// The handshakes took too long.
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
