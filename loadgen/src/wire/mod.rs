//! The client's side of each transport: messages out, replies in, bytes counted.
//!
//! The oracle decides what a reply means, and the load engine when to send. The three framings, two of them also over
//! TLS, differ for the caller only in how a message ends. Replies go to a [`ReplyHandler`] as they come, without a
//! copy. Reading never waits for writing: a peer that stops reading cannot block its replies.

mod addresses;
mod connect;
mod error;
mod handshake;
mod header;
mod line;
mod raw;
mod redact;
mod shortage;
mod stream;
mod timeout;
mod tls;
mod traffic;
mod url;
mod websocket;
mod wrong_protocol;

use std::task::{Context, Poll};

use tokio_rustls::client::TlsStream;
use twinwire_os::clock::Nanos;

use line::LineConnection;
use raw::RawConnection;
use stream::Stream as _;
use traffic::CountingStream;

pub(crate) use addresses::{Addresses, ResolveError};
pub(crate) use connect::ByteStream;
pub use connect::Endpoint;
pub(crate) use error::ConnectError;
pub(crate) use handshake::{BrokenHandshake, HandshakeError};
pub(crate) use header::{Header, HeaderError};
pub(crate) use raw::RAW_SILENCE_NS;
pub(crate) use redact::redact_input;
pub(crate) use timeout::poll_with_timeout;
pub(crate) use tls::{InvalidServerName, TrustStoreError};
pub use tls::{TlsPeer, TrustStore};
pub(crate) use traffic::SocketSample;
pub use traffic::Traffic;
pub(crate) use url::UrlError;
pub use url::WebSocketUrl;
pub use websocket::WebSocketConnection;
pub(crate) use wrong_protocol::{WrongProtocol, advice_on_close, advice_on_silence};

use crate::domain::{Framing, MESSAGE_BYTES_MAX, Rule};

/// Longest reply in bytes: no message of a server may be longer. A peer that sends more without an end does not speak
/// the protocol.
const REPLY_BYTES_MAX: usize = MESSAGE_BYTES_MAX as usize;

/// One reply as it came.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// The message without its terminator.
    pub text: &'a [u8],
    /// Whether it came as a binary WebSocket message, which a reply must not be (WS-1).
    pub binary: bool,
    /// When the read that completed it returned.
    pub at: Nanos,
}

/// Takes replies as they come.
pub trait ReplyHandler {
    /// Whether these bytes are a whole legal reply. Only the framing without a terminator asks (RAW-1).
    fn is_whole(&self, bytes: &[u8]) -> bool;
    /// Takes the next reply.
    fn reply(&mut self, reply: Reply<'_>);
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The peer closed in order.
    #[error("the server closed the connection")]
    Closed,
    /// The peer ended TCP in order, but sent no close frame first.
    #[error("the server ended TCP without a close frame")]
    NoCloseFrame,
    /// The peer reset it.
    #[error("the server reset the connection")]
    Reset,
    /// The peer broke the framing: a wrong reply like any other.
    #[error("the server broke the framing ({rule}): {what}")]
    Framing {
        /// The requirement that it broke.
        rule: Rule,
        /// What came.
        what: String,
    },
    /// The peer closed because a message was longer than its limit.
    #[error("the server takes no message that long")]
    TooLong,
    /// The system failed.
    #[error("the connection failed: {0}")]
    Failed(String),
}

impl Ended {
    /// Whether the peer closed it without a reset and without naming a fault.
    #[must_use]
    pub fn is_close(&self) -> bool {
        matches!(self, Self::Closed | Self::NoCloseFrame)
    }

    fn from_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Self::Reset,
            // TLS ended without its own close message. If a reply was cut off, the request that waits for it shows
            // that.
            ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Failed(tls::words(error)),
        }
    }
}

/// An open connection, not yet logged in: a framing over TCP or TLS. The large ones are boxed.
#[derive(Debug)]
pub enum Connection {
    /// One line a message, over TCP.
    Lines(LineConnection<CountingStream>),
    /// One chunk a message, over TCP.
    Chunks(RawConnection<CountingStream>),
    /// One text message a message, over TCP.
    WebSocket(Box<WebSocketConnection<CountingStream>>),
    /// One line a message, over TLS.
    TlsLines(Box<LineConnection<TlsStream<CountingStream>>>),
    /// One text message a message, over TLS.
    TlsWebSocket(Box<WebSocketConnection<TlsStream<CountingStream>>>),
}

/// The same expression for each kind of connection.
macro_rules! each {
    ($connection:expr, $inner:ident => $body:expr) => {
        match $connection {
            Self::Lines($inner) => $body,
            Self::Chunks($inner) => $body,
            Self::WebSocket($inner) => $body,
            Self::TlsLines($inner) => $body,
            Self::TlsWebSocket($inner) => $body,
        }
    };
}

impl Connection {
    /// Queues one message, which must not hold a line end.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub fn push(&mut self, message: &[u8]) -> Result<(), Ended> {
        match self {
            Self::Lines(lines) => lines.push(message),
            Self::Chunks(chunks) => chunks.push(message),
            Self::TlsLines(lines) => lines.push(message),
            Self::WebSocket(websocket) => return websocket.push(message),
            Self::TlsWebSocket(websocket) => return websocket.push(message),
        }
        Ok(())
    }

    /// Writes what is queued; `true` once all of it is written. Otherwise the task is woken when there is room.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        each!(self, connection => connection.flush(cx))
    }

    /// Gives back memory that setting up needed and an idle connection does not. WebSocket's library keeps its buffers.
    pub fn shrink(&mut self) {
        match self {
            Self::Lines(lines) => lines.shrink(),
            Self::Chunks(chunks) => chunks.shrink(),
            Self::TlsLines(lines) => lines.shrink(),
            Self::WebSocket(_) | Self::TlsWebSocket(_) => {}
        }
    }

    /// Hands over every reply that is there; the task is woken when more comes.
    ///
    /// # Errors
    /// Where the connection has ended, after the replies that came before its end.
    pub fn drain(&mut self, cx: &mut Context<'_>, replies: &mut impl ReplyHandler) -> Result<(), Ended> {
        each!(self, connection => connection.drain(cx, replies))
    }

    /// Closes it in order, over WebSocket with a close frame. Ready once the sending side is closed; over WebSocket,
    /// once the server has answered, and `replies` takes what comes before that.
    pub fn poll_close(&mut self, cx: &mut Context<'_>, replies: &mut impl ReplyHandler) -> Poll<()> {
        match self {
            Self::Lines(lines) => lines.poll_close(cx),
            Self::Chunks(chunks) => chunks.poll_close(cx),
            Self::TlsLines(lines) => lines.poll_close(cx),
            Self::WebSocket(websocket) => websocket.poll_close(cx, replies),
            Self::TlsWebSocket(websocket) => websocket.poll_close(cx, replies),
        }
    }

    /// Ends it by a reset.
    pub fn reset(self) {
        each!(&self, connection => connection.stream().tcp().reset_on_close());
    }

    /// How its messages are framed.
    #[must_use]
    pub fn framing(&self) -> Framing {
        match self {
            Self::Lines(_) | Self::TlsLines(_) => Framing::Lines,
            Self::Chunks(_) => Framing::Chunks,
            Self::WebSocket(_) | Self::TlsWebSocket(_) => Framing::WebSocket,
        }
    }

    /// Whether it runs over TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Self::TlsLines(_) | Self::TlsWebSocket(_))
    }

    /// Whether it began without a handshake, so that nothing has shown yet that the port is the right one.
    #[must_use]
    pub fn is_unproved(&self) -> bool {
        matches!(self, Self::Lines(_) | Self::Chunks(_))
    }

    /// Most requests that may be outstanding on it: the raw framing cannot tell two replies apart.
    #[must_use]
    pub fn outstanding_max(&self) -> usize {
        if self.framing() == Framing::Chunks { 1 } else { usize::MAX }
    }
}
