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

use tokio_rustls::client::TlsStream;
use traffic::Counted;

pub use addresses::{Addresses, Unresolved};
pub use connect::Endpoint;
pub use error::{ConnectError, Unreachable};
pub use foreign::{Foreign, speechless, unanswered};
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

use crate::domain::{MESSAGE_BYTES_MAX, Rule};
use crate::measure::clock::Nanos;

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
    /// Whether the peer closed it, by no reset and for no fault that anybody knows of.
    #[must_use]
    pub fn is_close(&self) -> bool {
        matches!(self, Self::Closed | Self::Unclosed)
    }

    fn from_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Self::Reset,
            // TLS that ends without its own goodbye; what was cut off would be missed by whoever waits for it.
            ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Failed(tls::words(error)),
        }
    }
}

/// An open connection, not yet logged in.
#[derive(Debug)]
pub enum Connection {
    /// One line a message.
    Line(line::LineConnection<Counted>),
    /// One chunk a message.
    Raw(raw::RawConnection),
    /// One text message a message.
    WebSocket(Box<websocket::WebSocketConnection<Counted>>),
    /// One line a message, over TLS.
    Tls(Box<line::LineConnection<TlsStream<Counted>>>),
    /// One text message a message, over TLS.
    Wss(Box<websocket::WebSocketConnection<TlsStream<Counted>>>),
}

impl Connection {
    /// Queues one message. It holds no line end.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub fn push(&mut self, message: &[u8]) -> Result<(), Ended> {
        match self {
            Self::Line(line) => line.push(message),
            Self::Raw(raw) => raw.push(message),
            Self::WebSocket(websocket) => return websocket.push(message),
            Self::Tls(line) => line.push(message),
            Self::Wss(websocket) => return websocket.push(message),
        }
        Ok(())
    }

    /// Writes what is queued; `true` once all of it is written. Otherwise the task is woken when there is room.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        match self {
            Self::Line(line) => line.flush(cx),
            Self::Raw(raw) => raw.flush(cx),
            Self::WebSocket(websocket) => websocket.flush(cx),
            Self::Tls(line) => line.flush(cx),
            Self::Wss(websocket) => websocket.flush(cx),
        }
    }

    /// Gives back memory that setting up needed and an idle connection does not.
    pub fn shrink(&mut self) {
        match self {
            Self::Line(line) => line.shrink(),
            Self::Raw(raw) => raw.shrink(),
            Self::Tls(line) => line.shrink(),
            // The library keeps its buffers to itself.
            Self::WebSocket(_) | Self::Wss(_) => {}
        }
    }

    /// Hands over every reply that is there; the task is woken when more comes.
    ///
    /// # Errors
    /// Where the connection has ended, after the replies that came before its end.
    pub fn drain(&mut self, cx: &mut Context<'_>, replies: &mut impl Replies) -> Result<(), Ended> {
        match self {
            Self::Line(line) => line.drain(cx, replies),
            Self::Raw(raw) => raw.drain(cx, replies),
            Self::WebSocket(websocket) => websocket.drain(cx, replies),
            Self::Tls(line) => line.drain(cx, replies),
            Self::Wss(websocket) => websocket.drain(cx, replies),
        }
    }

    /// Closes it in order, over WebSocket with a close frame; ready once the peer has its say, which `replies` takes.
    pub fn poll_close(&mut self, cx: &mut Context<'_>, replies: &mut impl Replies) -> Poll<()> {
        match self {
            Self::Line(line) => line.poll_close(cx),
            Self::Raw(raw) => raw.poll_close(cx),
            Self::Tls(line) => line.poll_close(cx),
            Self::WebSocket(websocket) => websocket.poll_close(cx, replies),
            Self::Wss(websocket) => websocket.poll_close(cx, replies),
        }
    }

    /// Ends it by a reset.
    pub fn reset(self) {
        let stream = match &self {
            Self::Line(line) => line.stream(),
            Self::Raw(raw) => raw.stream(),
            Self::Tls(line) => line.stream().get_ref().0,
            Self::WebSocket(websocket) => websocket.stream(),
            Self::Wss(websocket) => websocket.stream().get_ref().0,
        };
        stream.reset_on_close();
    }

    /// Whether it began without a handshake, which would have shown that the port is the right one.
    #[must_use]
    pub fn is_unproved(&self) -> bool {
        matches!(self, Self::Line(_) | Self::Raw(_))
    }

    /// Most requests that may be outstanding on it: the raw framing cannot tell two replies apart.
    #[must_use]
    pub fn outstanding_max(&self) -> usize {
        if matches!(self, Self::Raw(_)) { 1 } else { usize::MAX }
    }
}
