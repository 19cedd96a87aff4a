//! The transports that clients may use.

use std::fmt;

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Lines over TCP.
    Tcp,
    /// Whatever one read brings is one message, as the original clients send it.
    TcpRaw,
    /// One text message for each request (RFC 6455).
    WebSocket,
    /// Lines over TLS.
    Tls,
    /// WebSocket over TLS.
    Wss,
}

impl Transport {
    /// In the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Tcp, Self::TcpRaw, Self::WebSocket, Self::Tls, Self::Wss];

    /// The name in ready lines, messages and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::TcpRaw => "tcp-raw",
            Self::WebSocket => "websocket",
            Self::Tls => "tls",
            Self::Wss => "wss",
        }
    }

    /// Whether its connections begin with a TLS handshake.
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
