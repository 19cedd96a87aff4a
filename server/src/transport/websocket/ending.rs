//! Why a WebSocket connection ends.

use tokio_tungstenite::tungstenite::{
    Error,
    error::ProtocolError,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// The server closes with this code.
    Close(CloseCode),
    /// The client has closed with a code that the library does not know; it is sent back.
    Echo(CloseFrame),
    /// The client has closed. What is due, the echo of its close frame included, still goes out.
    Closed,
    /// The connection broke.
    Broken,
}

impl Ending {
    /// What the client is told about a fault of its own (WS-4a): the library's verdict, or else the validator's.
    pub(super) fn after(error: &Error, guards: Option<&Self>) -> Self {
        match error {
            // The validator has seen more than the library, so its verdict concerns what comes later: the library's
            // goes first.
            Error::Io(_) => guards.cloned().unwrap_or(Self::Broken),
            Error::Utf8(_) => Self::Close(CloseCode::Invalid),
            Error::Capacity(_) => Self::Close(CloseCode::Size),
            // The client closed its side without a close frame: what came before is answered (LIFE-4).
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Closed,
            Error::Protocol(_) => Self::Close(CloseCode::Protocol),
            _ => Self::Broken,
        }
    }
}
