//! The transports that clients may use.

use std::fmt;

named_enum! {
    /// A transport: a framing over TCP or over TLS.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Transport,
    /// The name in ready lines, messages and logs.
    fn name {
        /// Lines over TCP.
        Tcp = "tcp",
        /// Chunks over TCP, as the original clients send them.
        TcpRaw = "tcp-raw",
        /// WebSocket over TCP.
        WebSocket = "websocket",
        /// Lines over TLS.
        Tls = "tls",
        /// WebSocket over TLS.
        Wss = "wss",
    }
}

/// How messages are delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Each ends at a line feed.
    Lines,
    /// Each is what one read brings.
    Chunks,
    /// Each is one text message (RFC 6455).
    WebSocket,
}

impl Transport {
    pub(crate) const fn framing(self) -> Framing {
        match self {
            Self::Tcp | Self::Tls => Framing::Lines,
            Self::TcpRaw => Framing::Chunks,
            Self::WebSocket | Self::Wss => Framing::WebSocket,
        }
    }

    /// Whether it runs over TLS.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
