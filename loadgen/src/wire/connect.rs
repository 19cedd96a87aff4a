//! Opening a connection: TCP, then the handshakes of TLS and WebSocket.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use super::addresses::Addresses;
use super::error::ConnectError;
use super::foreign::advice_on_connect_timeout;
use super::line::LineConnection;
use super::raw::RawConnection;
use super::stream::Stream;
use super::tls::Peer;
use super::traffic::{Counted, Traffic};
use super::websocket::WebSocketConnection;
use super::{Connection, Framed, Site};
use crate::domain::Transport;

/// Where one transport of the target listens, and what it takes to speak with it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    addresses: Addresses,
    speech: Speech,
    /// Who must answer there, over TLS; `None`: over TCP.
    peer: Option<Peer>,
}

/// A framing with what its handshake needs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Speech {
    Lines,
    Chunks,
    WebSocket(Site),
}

impl Endpoint {
    /// A server of lines, over TLS where its `peer` is named.
    #[must_use]
    pub fn lines(addresses: Addresses, peer: Option<Peer>) -> Self {
        Self { addresses, speech: Speech::Lines, peer }
    }

    /// A server of chunks.
    #[must_use]
    pub fn chunks(addresses: Addresses) -> Self {
        Self { addresses, speech: Speech::Chunks, peer: None }
    }

    /// A WebSocket server at `site`, over TLS where its `peer` is named.
    #[must_use]
    pub fn websocket(addresses: Addresses, site: Site, peer: Option<Peer>) -> Self {
        Self { addresses, speech: Speech::WebSocket(site), peer }
    }

    /// Its transport.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match (&self.speech, &self.peer) {
            (Speech::Lines, None) => Transport::Tcp,
            (Speech::Lines, Some(_)) => Transport::Tls,
            (Speech::Chunks, _) => Transport::TcpRaw,
            (Speech::WebSocket(_), None) => Transport::WebSocket,
            (Speech::WebSocket(_), Some(_)) => Transport::Wss,
        }
    }

    /// Its socket addresses.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
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
        let stream = self.addresses.connect(timeout).await?;
        let begun = timeout_at(deadline, self.begin(stream, traffic)).await;
        begun.unwrap_or_else(|_| {
            let advice = advice_on_connect_timeout(self.transport());
            Err(ConnectError::TimedOut { place: self.to_string(), timeout, advice })
        })
    }

    /// What a WebSocket's handshake asks for; `None` where there is none.
    #[must_use]
    pub fn site(&self) -> Option<&Site> {
        match &self.speech {
            Speech::WebSocket(site) => Some(site),
            Speech::Lines | Speech::Chunks => None,
        }
    }

    /// Opens a stream of bytes within `timeout`: TCP, and TLS where the server is behind it. No framing begins, and no
    /// WebSocket handshake.
    ///
    /// # Errors
    /// Where no server listens there, or it is not to be trusted.
    pub async fn open(&self, timeout: Duration) -> Result<ByteStream, ConnectError> {
        let deadline = Instant::now() + timeout;
        let stream = Counted::new(self.addresses.connect(timeout).await?, Arc::default());
        let Some(peer) = &self.peer else { return Ok(ByteStream::Plain(stream)) };
        match timeout_at(deadline, peer.handshake(stream)).await {
            Ok(Ok(stream)) => Ok(ByteStream::Encrypted(Box::new(stream))),
            Ok(Err(error)) => Err(ConnectError::Tls(self.place(), error)),
            Err(_) => {
                let advice = advice_on_connect_timeout(self.transport());
                Err(ConnectError::TimedOut { place: self.to_string(), timeout, advice })
            }
        }
    }

    /// Shakes hands over a TCP connection.
    async fn begin(&self, stream: TcpStream, traffic: Arc<Traffic>) -> Result<Connection, ConnectError> {
        let stream = Counted::new(stream, traffic);
        let Some(peer) = &self.peer else { return Ok(Connection::Plain(self.framed(stream).await?)) };
        let encrypted = peer.handshake(stream).await;
        let stream = encrypted.map_err(|error| ConnectError::Tls(self.place(), error))?;
        Ok(Connection::Encrypted(Box::new(self.framed(stream).await?)))
    }

    async fn framed<S: Stream + AsyncRead>(&self, stream: S) -> Result<Framed<S>, ConnectError> {
        Ok(match &self.speech {
            Speech::Lines => Framed::Lines(LineConnection::new(stream)),
            Speech::Chunks => Framed::Chunks(RawConnection::new(stream)),
            Speech::WebSocket(site) => {
                let connection = WebSocketConnection::handshake(stream, site).await;
                let failed = |error| ConnectError::Handshake(self.place(), error);
                Framed::WebSocket(Box::new(connection.map_err(failed)?))
            }
        })
    }

    /// The address or URL alone.
    fn place(&self) -> String {
        match &self.speech {
            Speech::Lines | Speech::Chunks => self.addresses.to_string(),
            Speech::WebSocket(site) => site.to_string(),
        }
    }
}

/// A connection's bytes, with no framing.
#[derive(Debug)]
pub enum ByteStream {
    /// Over TCP.
    Plain(Counted),
    /// Over TLS.
    Encrypted(Box<TlsStream<Counted>>),
}

impl ByteStream {
    /// Has the connection reset once it is dropped, not closed in order.
    pub fn reset_on_close(&self) {
        match self {
            Self::Plain(stream) => stream.reset_on_close(),
            Self::Encrypted(stream) => stream.get_ref().0.reset_on_close(),
        }
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.speech {
            Speech::Lines | Speech::Chunks => write!(f, "{} {}", self.transport(), self.place()),
            // The URL's scheme says it.
            Speech::WebSocket(_) => f.write_str(&self.place()),
        }
    }
}
