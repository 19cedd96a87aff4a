//! What carries a connection's bytes: TCP alone, or a layer on top of it that may buffer them.

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// A stream over TCP. All that serves connections is generic over it, so that TCP alone pays for nothing else.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// The TCP connection underneath.
    fn tcp(&self) -> &TcpStream;

    /// The TCP connection underneath, when nothing more is to be sent on it.
    fn into_tcp(self) -> TcpStream;

    /// Whether it has buffered bytes that the kernel has not taken. They leave with the next flush.
    fn has_pending(&self) -> bool;

    /// The number of those bytes.
    fn buffered_bytes(&mut self) -> usize;

    /// Whether the last read was pending because the connection's budget for this turn is used up, so that more may be
    /// there.
    fn is_budget_exhausted(&self) -> bool {
        false
    }
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }

    fn into_tcp(self) -> TcpStream {
        self
    }

    fn has_pending(&self) -> bool {
        false
    }

    fn buffered_bytes(&mut self) -> usize {
        0
    }
}
