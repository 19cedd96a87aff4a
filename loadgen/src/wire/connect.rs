//! Opening a connection: TCP, then the handshakes of TLS and WebSocket.

use std::fmt;
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
use super::line::LineConnection;
use super::raw::RawConnection;
use super::stream::Stream;
use super::tls::TlsPeer;
use super::traffic::{CountingStream, Traffic};
use super::websocket::WebSocketConnection;
use super::wrong_protocol::advice_on_connect_timeout;
use super::{Connection, WebSocketUrl};
use crate::domain::Transport;

/// Where one transport of the target listens, and what its handshakes need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    addresses: Addresses,
    protocol: Protocol,
}

/// A framing over TCP, or over TLS where the peer is named that must answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Protocol {
    Lines(Option<TlsPeer>),
    Chunks,
    WebSocket(WebSocketUrl, Option<TlsPeer>),
}

impl Endpoint {
    /// A server of lines, over TLS where its `peer` is named.
    #[must_use]
    pub fn lines(addresses: Addresses, peer: Option<TlsPeer>) -> Self {
        Self { addresses, protocol: Protocol::Lines(peer) }
    }

    /// A server of chunks.
    #[must_use]
    pub fn chunks(addresses: Addresses) -> Self {
        Self { addresses, protocol: Protocol::Chunks }
    }

    /// A WebSocket server at `url`, over TLS where its `peer` is named.
    #[must_use]
    pub fn websocket(addresses: Addresses, url: WebSocketUrl, peer: Option<TlsPeer>) -> Self {
        Self { addresses, protocol: Protocol::WebSocket(url, peer) }
    }

    /// Its transport.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match &self.protocol {
            Protocol::Lines(None) => Transport::Tcp,
            Protocol::Lines(Some(_)) => Transport::Tls,
            Protocol::Chunks => Transport::TcpRaw,
            Protocol::WebSocket(_, None) => Transport::WebSocket,
            Protocol::WebSocket(_, Some(_)) => Transport::Wss,
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
    /// Where no server listens there, it speaks something else, or its certificate is not trusted.
    pub async fn connect(
        &self,
        traffic: Arc<Traffic>,
        timeout: Duration,
    ) -> Result<Connection, ConnectError> {
        let deadline = Instant::now() + timeout;
        let stream = self.addresses.connect(timeout).await?;
        let handshakes = timeout_at(deadline, self.handshakes(stream, traffic)).await;
        handshakes.unwrap_or_else(|_| {
            let advice = advice_on_connect_timeout(self.transport());
            Err(ConnectError::TimedOut { place: self.to_string(), timeout, advice })
        })
    }

    /// The URL of a WebSocket server; `None` for the others.
    #[must_use]
    pub fn url(&self) -> Option<&WebSocketUrl> {
        match &self.protocol {
            Protocol::WebSocket(url, _) => Some(url),
            Protocol::Lines(_) | Protocol::Chunks => None,
        }
    }

    /// Opens a stream of bytes within `timeout`: TCP, and TLS where the server is behind it. No framing begins, and no
    /// WebSocket handshake.
    ///
    /// # Errors
    /// Where no server listens there, or its certificate is not trusted.
    pub async fn open(&self, timeout: Duration) -> Result<ByteStream, ConnectError> {
        let deadline = Instant::now() + timeout;
        let stream = CountingStream::new(self.addresses.connect(timeout).await?, Arc::default());
        let (Protocol::Lines(Some(peer)) | Protocol::WebSocket(_, Some(peer))) = &self.protocol else {
            return Ok(ByteStream::Plain(stream));
        };
        let encrypted = timeout_at(deadline, self.encrypted(peer, stream)).await.unwrap_or_else(|_| {
            let advice = advice_on_connect_timeout(self.transport());
            Err(ConnectError::TimedOut { place: self.to_string(), timeout, advice })
        });
        Ok(ByteStream::Encrypted(Box::new(encrypted?)))
    }

    async fn handshakes(&self, stream: TcpStream, traffic: Arc<Traffic>) -> Result<Connection, ConnectError> {
        let stream = CountingStream::new(stream, traffic);
        Ok(match &self.protocol {
            Protocol::Lines(None) => Connection::Lines(LineConnection::new(stream)),
            Protocol::Lines(Some(peer)) => {
                Connection::TlsLines(Box::new(LineConnection::new(self.encrypted(peer, stream).await?)))
            }
            Protocol::Chunks => Connection::Chunks(RawConnection::new(stream)),
            Protocol::WebSocket(url, None) => {
                Connection::WebSocket(Box::new(self.upgraded(url, stream).await?))
            }
            Protocol::WebSocket(url, Some(peer)) => {
                let stream = self.encrypted(peer, stream).await?;
                Connection::TlsWebSocket(Box::new(self.upgraded(url, stream).await?))
            }
        })
    }

    async fn encrypted(
        &self,
        peer: &TlsPeer,
        stream: CountingStream,
    ) -> Result<TlsStream<CountingStream>, ConnectError> {
        peer.handshake(stream).await.map_err(|error| ConnectError::Tls(self.place(), error))
    }

    async fn upgraded<S: Stream + AsyncRead>(
        &self,
        url: &WebSocketUrl,
        stream: S,
    ) -> Result<WebSocketConnection<S>, ConnectError> {
        let connection = WebSocketConnection::handshake(stream, url).await;
        connection.map_err(|error| ConnectError::Handshake(self.place(), error))
    }

    /// The address or URL alone.
    fn place(&self) -> String {
        match &self.protocol {
            Protocol::Lines(_) | Protocol::Chunks => self.addresses.to_string(),
            Protocol::WebSocket(url, _) => url.to_string(),
        }
    }
}

/// A connection's bytes, with no framing.
#[derive(Debug)]
pub enum ByteStream {
    /// Over TCP.
    Plain(CountingStream),
    /// Over TLS.
    Encrypted(Box<TlsStream<CountingStream>>),
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

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL's scheme names the transport.
        if !matches!(self.protocol, Protocol::WebSocket(..)) {
            write!(f, "{} ", self.transport())?;
        }
        f.write_str(&self.place())
    }
}
