//! What a port may speak instead of the expected protocol, judged by how it treats a login without a handshake.

use std::fmt;

use super::{Connection, Ended};
use crate::domain::{Framing, Transport};

/// How every alert of TLS 1.0 to 1.3 begins (RFC 8446, sections 5.1 and 6).
const TLS_ALERT: &str = "\x15\x03";

/// Another protocol. The server refused the request in that protocol instead of replying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrongProtocol {
    /// An alert.
    Tls,
    /// A status line.
    Http,
}

impl WrongProtocol {
    /// The other protocol in which a login without a handshake was answered, if there is one.
    pub fn detect(answer: &str) -> Option<Self> {
        if answer.starts_with(TLS_ALERT) {
            Some(Self::Tls)
        } else if answer.starts_with("HTTP/") {
            Some(Self::Http)
        } else {
            None
        }
    }
}

impl fmt::Display for WrongProtocol {
    /// Names the flag for that protocol, which the client and the harness share.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (protocol, flag) = match self {
            Self::Tls => ("TLS", "--tls"),
            Self::Http => ("HTTP", "--ws"),
        };
        write!(f, "the server speaks {protocol} on this port: use {flag}")
    }
}

/// The likely cause if a connection ends instead of answering a login that no handshake came before: a port for TLS or
/// WebSocket does that.
pub fn advice_on_close(ended: &Ended) -> Option<&'static str> {
    matches!(ended, Ended::Closed | Ended::Reset)
        .then_some(" without an answer to the login: does it want TLS (--tls), or WebSocket (--ws)?")
}

/// The likely cause of a connection that timed out, as the end of an error message.
pub(super) fn advice_on_connect_timeout(transport: Transport) -> &'static str {
    match transport.framing() {
        _ if transport.is_encrypted() => ": the server hangs, or does not speak TLS on this port",
        Framing::WebSocket => ": the server hangs, or does not speak WebSocket on this port",
        Framing::Lines | Framing::Chunks => "",
    }
}

/// The likely cause of a first login that got no reply, as the end of an error message.
pub fn advice_on_silence(connection: &Connection) -> &'static str {
    match connection.framing() {
        Framing::Lines if connection.is_encrypted() => {
            ": the server hangs, or speaks another framing on this port (try --wss)"
        }
        Framing::Lines => {
            ": the server hangs, or speaks another framing on this port (try --ws, or --tcp-raw)"
        }
        Framing::Chunks => ": the server hangs, or speaks another framing on this port (try --tcp, or --ws)",
        Framing::WebSocket => ": the server hangs",
    }
}
