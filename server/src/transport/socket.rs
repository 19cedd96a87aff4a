//! What carries a connection's bytes: TCP alone, or something on top of it that may hold them back.

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// A stream over TCP. Whatever serves connections is made once for each kind, so that TCP alone pays for no other.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// The TCP connection beneath.
    fn tcp(&self) -> &TcpStream;

    /// The TCP connection beneath, when nothing more is to be said on it.
    fn into_tcp(self) -> TcpStream;

    /// Whether it holds bytes that it has taken and the kernel has not. They leave with the next flush.
    fn has_pending(&self) -> bool;

    /// How many it holds.
    fn buffered_bytes(&mut self) -> usize;

    /// Whether the last read came to no end because the connection has had enough of this turn, while more may be
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
