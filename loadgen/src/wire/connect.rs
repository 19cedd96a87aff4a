//! Opening a connection: TCP, and the WebSocket handshake on top of it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::error::Error as WsError;

use super::Connection;
use super::line::LineConnection;
use super::raw::RawConnection;
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
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No TCP connection.
    #[error("cannot connect to {0}: {1}")]
    Tcp(SocketAddr, io::Error),
    /// TCP, but no WebSocket.
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
        }
    }

    /// Its socket address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Tcp(address) | Self::TcpRaw(address) | Self::WebSocket(address, _) => *address,
        }
    }

    /// Opens a connection, without a time-out of its own.
    ///
    /// # Errors
    /// Where nobody listens there, or what listens is no WebSocket server.
    pub async fn connect(&self, traffic: Arc<Traffic>) -> Result<Connection, ConnectError> {
        let address = self.address();
        let open = async {
            let stream = TcpStream::connect(address).await?;
            // Nagle's algorithm would hold back a request until the last one is acknowledged.
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = open.await.map_err(|error| ConnectError::Tcp(address, error))?;
        match self {
            Self::Tcp(_) => Ok(Connection::Line(LineConnection::new(stream, traffic))),
            Self::TcpRaw(_) => Ok(Connection::Raw(RawConnection::new(stream, traffic))),
            Self::WebSocket(_, url) => {
                let websocket = WebSocketConnection::handshake(Counted::new(stream, traffic), url)
                    .await
                    .map_err(|error| ConnectError::Handshake(url.clone(), refusal(&error)))?;
                Ok(Connection::WebSocket(Box::new(websocket)))
            }
        }
    }
}

pub(super) fn refusal(error: &WsError) -> String {
    match error {
        WsError::Http(response) => format!("the server answered HTTP {}", response.status()),
        other => other.to_string(),
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) | Self::TcpRaw(address) => write!(f, "{} {address}", self.transport()),
            Self::WebSocket(_, url) => f.write_str(url),
        }
    }
}
