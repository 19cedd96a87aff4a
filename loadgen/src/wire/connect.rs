//! Opening a connection: TCP, and on top of it the handshakes of TLS and WebSocket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};

use super::Connection;
use super::line::LineConnection;
use super::raw::RawConnection;
use super::tls::Peer;
use super::traffic::{Counted, Traffic};
use super::websocket::WebSocketConnection;
use crate::scenario::model::Transport;

/// Where one transport of the target listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Lines over TCP.
    Tcp(SocketAddr),
    /// Chunks over TCP.
    TcpRaw(SocketAddr),
    /// WebSocket: the address, and the URL that the handshake names.
    WebSocket(SocketAddr, String),
    /// Lines over TLS, and who must answer there.
    Tls(SocketAddr, Peer),
    /// WebSocket over TLS: the address, the URL, and who must answer there.
    Wss(SocketAddr, String, Peer),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No TCP connection.
    #[error("cannot connect to {0}: {1}")]
    Tcp(SocketAddr, io::Error),
    /// TCP, but no TLS with a server that is trusted.
    #[error("no TLS at {0}: {1}")]
    Tls(String, String),
    /// A connection, but no WebSocket.
    #[error("no WebSocket at {0}: {1}")]
    Handshake(String, String),
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

    /// Its socket address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Tcp(address)
            | Self::TcpRaw(address)
            | Self::WebSocket(address, _)
            | Self::Tls(address, _)
            | Self::Wss(address, ..) => *address,
        }
    }

    /// Opens a connection, without a time-out of its own.
    ///
    /// # Errors
    /// Where nobody listens there, or what listens speaks something else, or is not to be trusted.
    pub async fn connect(&self, traffic: Arc<Traffic>) -> Result<Connection, ConnectError> {
        let address = self.address();
        let open = async {
            let stream = TcpStream::connect(address).await?;
            // Nagle's algorithm would hold back a request until the last one is acknowledged.
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = open.await.map_err(|error| ConnectError::Tcp(address, error))?;
        let stream = Counted::new(stream, traffic);
        let tls = |error| ConnectError::Tls(self.place(), error);
        let websocket =
            |error: WsError| ConnectError::Handshake(self.place(), refusal(&error, &self.place()));
        match self {
            Self::Tcp(_) => Ok(Connection::Line(LineConnection::new(stream))),
            Self::TcpRaw(_) => Ok(Connection::Raw(RawConnection::new(stream))),
            Self::WebSocket(_, url) => {
                let connection = WebSocketConnection::handshake(stream, url).await.map_err(websocket)?;
                Ok(Connection::WebSocket(Box::new(connection)))
            }
            Self::Tls(_, peer) => {
                let stream = peer.handshake(stream).await.map_err(tls)?;
                Ok(Connection::Tls(Box::new(LineConnection::new(stream))))
            }
            Self::Wss(_, url, peer) => {
                let stream = peer.handshake(stream).await.map_err(tls)?;
                let connection = WebSocketConnection::handshake(stream, url).await.map_err(websocket)?;
                Ok(Connection::Wss(Box::new(connection)))
            }
        }
    }

    /// The address or URL alone.
    fn place(&self) -> String {
        match self {
            Self::Tcp(address) | Self::TcpRaw(address) | Self::Tls(address, _) => address.to_string(),
            Self::WebSocket(_, url) | Self::Wss(_, url, _) => url.clone(),
        }
    }
}

/// Why there is no WebSocket at `url`.
pub(super) fn refusal(error: &WsError, url: &str) -> String {
    match error {
        WsError::Protocol(ProtocolError::HttparseError(_)) => {
            let unless = if url.starts_with("wss:") { "" } else { ", unless over TLS" };
            format!("the server does not speak WebSocket on this port{unless}: its answer is not HTTP")
        }
        WsError::Http(response) => format!("the server answered HTTP {}", response.status()),
        other => other.to_string(),
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
