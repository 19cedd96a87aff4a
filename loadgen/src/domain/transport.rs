//! The ways to reach the service, by name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A way to reach the service: a framing of messages over a stream, which is encrypted or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// TCP, one line a message.
    Tcp,
    /// TCP, one chunk a message (the original clients' framing).
    TcpRaw,
    /// WebSocket, one text message a message.
    #[serde(rename = "websocket")]
    WebSocket,
    /// The TCP framing over TLS.
    Tls,
    /// WebSocket over TLS.
    Wss,
}

/// How a stream of bytes is cut into messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// One line a message.
    Lines,
    /// One chunk a message, as it was written.
    Chunks,
    /// One WebSocket text message a message.
    WebSocket,
}

/// The properties of a transport.
struct Facts {
    name: &'static str,
    label: &'static str,
    flag: &'static str,
    framing: Framing,
    encrypted: bool,
}

impl Transport {
    /// All of them, in the order in which reports show them.
    pub const ALL: [Self; 5] = [Self::Tcp, Self::TcpRaw, Self::WebSocket, Self::Tls, Self::Wss];

    const fn facts(self) -> Facts {
        use Framing::{Chunks, Lines, WebSocket};
        let (name, label, flag, framing, encrypted) = match self {
            Self::Tcp => ("tcp", "TCP", "tcp", Lines, false),
            Self::TcpRaw => ("tcp-raw", "TCP raw", "tcp-raw", Chunks, false),
            Self::WebSocket => ("websocket", "WebSocket", "ws", WebSocket, false),
            Self::Tls => ("tls", "TLS", "tls", Lines, true),
            Self::Wss => ("wss", "WSS", "wss", WebSocket, true),
        };
        Facts { name, label, flag, framing, encrypted }
    }

    /// The name used in scenarios, records and files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// The name that tables and charts show.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.facts().label
    }

    /// The flag of its listener without hyphens, in the server and in the harness. It is also the placeholder of its
    /// port in `--launch` and, over WebSocket, the scheme of its URLs.
    #[must_use]
    pub const fn flag(self) -> &'static str {
        self.facts().flag
    }

    /// How its messages are framed.
    #[must_use]
    pub const fn framing(self) -> Framing {
        self.facts().framing
    }

    /// Whether it runs over TLS.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        self.facts().encrypted
    }

    /// The names of all of them.
    pub const NAMES: [&'static str; Self::ALL.len()] = {
        let mut names = [""; Self::ALL.len()];
        let mut index = 0;
        while index < names.len() {
            names[index] = Self::ALL[index].name();
            index += 1;
        }
        names
    };

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_call_a_transport_by_its_name() {
        for transport in Transport::ALL {
            assert_eq!(serde_json::to_value(transport).unwrap(), transport.name());
        }
    }
}
