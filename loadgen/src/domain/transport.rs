//! The ways to reach the service, by name.

use std::fmt;

/// A way to reach the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP, one line a message.
    Tcp,
    /// TCP, one chunk a message (the original clients' framing).
    TcpRaw,
    /// WebSocket, one text message a message.
    WebSocket,
    /// The TCP framing over TLS.
    Tls,
    /// WebSocket over TLS.
    Wss,
}

impl Transport {
    /// All of them, in the order in which reports show them.
    pub const ALL: [Self; 5] = [Self::Tcp, Self::TcpRaw, Self::WebSocket, Self::Tls, Self::Wss];

    /// The name used in scenarios, flags and reports.
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

    /// Whether it runs over TLS.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// The transport of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transport| transport.name() == name)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
