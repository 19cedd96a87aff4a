//! The client's side of each transport: messages out, replies in, bytes counted.
//!
//! What a reply means is the oracle's business; when to send is the load engine's. The three framings, two of them also
//! over TLS, differ in how a message ends and in nothing else that a caller sees. Replies are handed to a [`Replies`] as they come, so
//! that none is copied, and reading never waits for writing: a peer that stops reading cannot block its replies.

mod addresses;
mod connect;
mod error;
mod foreign;
mod handshake;
mod header;
mod line;
mod raw;
mod shortage;
mod shown;
mod site;
mod stream;
mod tls;
mod traffic;
mod wait;
mod websocket;

use std::task::{Context, Poll};

use stream::Stream;
use tokio::io::AsyncRead;
use tokio_rustls::client::TlsStream;
use traffic::Counted;
use twinwire_os::clock::Nanos;

pub use addresses::{Addresses, Unresolved};
pub use connect::{ByteStream, Endpoint};
pub use error::{ConnectError, Unreachable};
pub use foreign::{Foreign, advice_on_close, advice_on_silence};
pub use handshake::{BrokenHandshake, HandshakeError};
pub use header::{Header, HeaderError};
pub use raw::SILENCE_NS;
pub use shortage::Shortage;
pub use shown::suspect;
pub use site::{Site, UrlError};
pub use tls::{NotAName, Peer, Trust, TrustError};
pub use traffic::{SocketSample, Traffic};
pub use wait::wait;
pub use websocket::WebSocketConnection;

use crate::domain::{Framing, MESSAGE_BYTES_MAX, Rule};

/// Longest reply that is taken, in bytes: no message of a server may be longer. A peer that sends more without an end does
/// not speak the protocol.
const REPLY_BYTES_MAX: usize = MESSAGE_BYTES_MAX as usize;

/// One reply as it came.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// The message without its terminator.
    pub text: &'a [u8],
    /// Whether it came as a binary WebSocket message, which no reply may (WS-1).
    pub binary: bool,
    /// When the read that completed it returned.
    pub at: Nanos,
}

/// Takes replies as they come.
pub trait Replies {
    /// Whether these bytes are a whole legal reply; asked where the framing has no terminator (RAW-1).
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
    /// The peer ended TCP in order, but without the close frame that goes before it.
    #[error("the server ended TCP without a close frame")]
    Unclosed,
    /// The peer reset it.
    #[error("the server reset the connection")]
    Reset,
    /// The peer broke the framing, which is a wrong reply like any other.
    #[error("the server broke the framing ({rule}): {what}")]
    Framing {
        /// The requirement that it broke.
        rule: Rule,
        /// What came.
        what: String,
    },
    /// The peer closed as a message was longer than it takes.
    #[error("the server takes no message that long")]
    TooLong,
    /// The system failed.
    #[error("the connection failed: {0}")]
    Failed(String),
}

impl Ended {
    /// Whether the peer closed it, not by a reset, and for no known fault.
    #[must_use]
    pub fn is_close(&self) -> bool {
        matches!(self, Self::Closed | Self::Unclosed)
    }

    fn from_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Self::Reset,
            // TLS that ends without its own goodbye; what was cut off would be missed by the request that waits for it.
            ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Failed(tls::words(error)),
        }
    }
}

/// An open connection, not yet logged in: a framing over a stream.
#[derive(Debug)]
pub enum Connection {
    /// Over TCP.
    Plain(Framed<Counted>),
    /// Over TLS.
    Encrypted(Box<Framed<TlsStream<Counted>>>),
}

/// A framing of messages over a stream.
#[derive(Debug)]
pub enum Framed<S> {
    /// One line a message.
    Lines(line::LineConnection<S>),
    /// One chunk a message.
    Chunks(raw::RawConnection<S>),
    /// One text message a message.
    WebSocket(Box<websocket::WebSocketConnection<S>>),
}

impl Connection {
    /// Queues one message. It holds no line end.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub fn push(&mut self, message: &[u8]) -> Result<(), Ended> {
        match self {
            Self::Plain(framed) => framed.push(message),
            Self::Encrypted(framed) => framed.push(message),
        }
    }

    /// Writes what is queued; `true` once all of it is written. Otherwise the task is woken when there is room.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        match self {
            Self::Plain(framed) => framed.flush(cx),
            Self::Encrypted(framed) => framed.flush(cx),
        }
    }

    /// Gives back memory that setting up needed and an idle connection does not.
    pub fn shrink(&mut self) {
        match self {
            Self::Plain(framed) => framed.shrink(),
            Self::Encrypted(framed) => framed.shrink(),
        }
    }

    /// Hands over every reply that is there; the task is woken when more comes.
    ///
    /// # Errors
    /// Where the connection has ended, after the replies that came before its end.
    pub fn drain(&mut self, cx: &mut Context<'_>, replies: &mut impl Replies) -> Result<(), Ended> {
        match self {
            Self::Plain(framed) => framed.drain(cx, replies),
            Self::Encrypted(framed) => framed.drain(cx, replies),
        }
    }

    /// Closes it in order, over WebSocket with a close frame; ready once the peer has its say, which `replies` takes.
    pub fn poll_close(&mut self, cx: &mut Context<'_>, replies: &mut impl Replies) -> Poll<()> {
        match self {
            Self::Plain(framed) => framed.poll_close(cx, replies),
            Self::Encrypted(framed) => framed.poll_close(cx, replies),
        }
    }

    /// Ends it by a reset.
    pub fn reset(self) {
        match &self {
            Self::Plain(framed) => framed.stream().tcp().reset_on_close(),
            Self::Encrypted(framed) => framed.stream().tcp().reset_on_close(),
        }
    }

    /// How its messages are framed.
    #[must_use]
    pub fn framing(&self) -> Framing {
        match self {
            Self::Plain(framed) => framed.framing(),
            Self::Encrypted(framed) => framed.framing(),
        }
    }

    /// Whether it runs over TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Self::Encrypted(_))
    }

    /// Whether it began without a handshake, which would have shown that the port is the right one.
    #[must_use]
    pub fn is_unproved(&self) -> bool {
        !self.is_encrypted() && self.framing() != Framing::WebSocket
    }

    /// Most requests that may be outstanding on it: the raw framing cannot tell two replies apart.
    #[must_use]
    pub fn outstanding_max(&self) -> usize {
        if self.framing() == Framing::Chunks { 1 } else { usize::MAX }
    }
}

impl<S: Stream + AsyncRead> Framed<S> {
    fn framing(&self) -> Framing {
        match self {
            Self::Lines(_) => Framing::Lines,
            Self::Chunks(_) => Framing::Chunks,
            Self::WebSocket(_) => Framing::WebSocket,
        }
    }

    fn stream(&self) -> &S {
        match self {
            Self::Lines(lines) => lines.stream(),
            Self::Chunks(chunks) => chunks.stream(),
            Self::WebSocket(websocket) => websocket.stream(),
        }
    }

    fn push(&mut self, message: &[u8]) -> Result<(), Ended> {
        match self {
            Self::Lines(lines) => lines.push(message),
            Self::Chunks(chunks) => chunks.push(message),
            Self::WebSocket(websocket) => return websocket.push(message),
        }
        Ok(())
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        match self {
            Self::Lines(lines) => lines.flush(cx),
            Self::Chunks(chunks) => chunks.flush(cx),
            Self::WebSocket(websocket) => websocket.flush(cx),
        }
    }

    fn shrink(&mut self) {
        match self {
            Self::Lines(lines) => lines.shrink(),
            Self::Chunks(chunks) => chunks.shrink(),
            // The library keeps its buffers to itself.
            Self::WebSocket(_) => {}
        }
    }

    fn drain(&mut self, cx: &mut Context<'_>, replies: &mut impl Replies) -> Result<(), Ended> {
        match self {
            Self::Lines(lines) => lines.drain(cx, replies),
            Self::Chunks(chunks) => chunks.drain(cx, replies),
            Self::WebSocket(websocket) => websocket.drain(cx, replies),
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, replies: &mut impl Replies) -> Poll<()> {
        match self {
            Self::Lines(lines) => lines.poll_close(cx),
            Self::Chunks(chunks) => chunks.poll_close(cx),
            Self::WebSocket(websocket) => websocket.poll_close(cx, replies),
        }
    }
}
