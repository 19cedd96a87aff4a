//! Opening a connection: TCP, and on top of it the handshakes of TLS and WebSocket.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::addresses::Addresses;
use super::error::ConnectError;
use super::foreign::unconnected;
use super::line::LineConnection;
use super::raw::RawConnection;
use super::tls::Peer;
use super::traffic::{Counted, Traffic};
use super::websocket::WebSocketConnection;
use super::{Connection, Site};
use crate::domain::Transport;

/// Where one transport of the target listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Lines over TCP.
    Tcp(Addresses),
    /// Chunks over TCP.
    TcpRaw(Addresses),
    /// WebSocket: the addresses, and what the handshake asks for.
    WebSocket(Addresses, Site),
    /// Lines over TLS, and who must answer there.
    Tls(Addresses, Peer),
    /// WebSocket over TLS: the addresses, what the handshake asks for, and who must answer there.
    Wss(Addresses, Site, Peer),
}

impl Endpoint {
    /// Its transport.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self {
            Self::Tcp(_) => Transport::Tcp,
            Self::TcpRaw(_) => Transport::TcpRaw,
            Self::WebSocket(..) => Transport::WebSocket,
            Self::Tls(..) => Transport::Tls,
            Self::Wss(..) => Transport::Wss,
        }
    }

    /// Its socket addresses.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        match self {
            Self::Tcp(addresses)
            | Self::TcpRaw(addresses)
            | Self::WebSocket(addresses, _)
            | Self::Tls(addresses, _)
            | Self::Wss(addresses, ..) => addresses,
        }
    }

    /// Opens a connection within `timeout`, handshakes included.
    ///
    /// # Errors
    /// Where no server listens there, or it speaks something else, or is not to be trusted.
    pub async fn connect(
        &self,
        traffic: Arc<Traffic>,
        timeout: Duration,
    ) -> Result<Connection, ConnectError> {
        let deadline = Instant::now() + timeout;
        let stream = self.addresses().connect(timeout).await?;
        let begun = timeout_at(deadline, self.begin(stream, traffic)).await;
        begun.unwrap_or_else(|_| {
            let advice = unconnected(self.transport());
            Err(ConnectError::TimedOut { place: self.to_string(), timeout, advice })
        })
    }

    /// Shakes hands over a TCP connection.
    async fn begin(&self, stream: TcpStream, traffic: Arc<Traffic>) -> Result<Connection, ConnectError> {
        let stream = Counted::new(stream, traffic);
        let tls = |error| ConnectError::Tls(self.place(), error);
        let websocket = |error| ConnectError::Handshake(self.place(), error);
        match self {
            Self::Tcp(_) => Ok(Connection::Line(LineConnection::new(stream))),
            Self::TcpRaw(_) => Ok(Connection::Raw(RawConnection::new(stream))),
            Self::WebSocket(_, site) => {
                let connection = WebSocketConnection::handshake(stream, site).await.map_err(websocket)?;
                Ok(Connection::WebSocket(Box::new(connection)))
            }
            Self::Tls(_, peer) => {
                let stream = peer.handshake(stream).await.map_err(tls)?;
                Ok(Connection::Tls(Box::new(LineConnection::new(stream))))
            }
            Self::Wss(_, site, peer) => {
                let stream = peer.handshake(stream).await.map_err(tls)?;
                let connection = WebSocketConnection::handshake(stream, site).await.map_err(websocket)?;
                Ok(Connection::Wss(Box::new(connection)))
            }
        }
    }

    /// The address or URL alone.
    fn place(&self) -> String {
        match self {
            Self::Tcp(addresses) | Self::TcpRaw(addresses) | Self::Tls(addresses, _) => addresses.to_string(),
            Self::WebSocket(_, site) | Self::Wss(_, site, _) => site.to_string(),
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(_) | Self::TcpRaw(_) | Self::Tls(..) => {
                write!(f, "{} {}", self.transport(), self.place())
            }
            Self::WebSocket(..) | Self::Wss(..) => f.write_str(&self.place()),
        }
    }
}
