//! Replies that the kernel has not taken yet.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};

use super::socket::Socket;

/// What still has to be written to one client. Nearly always empty, and then it holds no memory.
///
/// Bytes that the socket itself has buffered, as TLS does, are counted and flushed like the rest.
#[derive(Debug, Default)]
pub(super) struct WriteBuffer(BytesMut);

impl WriteBuffer {
    /// The bytes that wait, here and in the socket.
    pub(super) fn len<S: Socket>(&self, socket: &mut S) -> usize {
        self.0.len() + socket.buffered_bytes()
    }

    /// Whether nothing waits, here or in the socket.
    pub(super) fn is_empty<S: Socket>(&self, socket: &S) -> bool {
        self.0.is_empty() && !socket.has_pending()
    }

    /// Keeps `bytes` for the next flush.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Writes `bytes` after those that wait already, and keeps what the socket does not take.
    pub(super) fn send<S: Socket>(
        &mut self,
        socket: &mut S,
        cx: &mut Context<'_>,
        mut bytes: &[u8],
    ) -> io::Result<()> {
        while self.0.is_empty() && !bytes.is_empty() {
            match Pin::new(&mut *socket).poll_write(cx, bytes) {
                Poll::Ready(written) => bytes = &bytes[nonzero(written?)?..],
                Poll::Pending => break,
            }
        }
        // Nearly always nothing is left, and checking is cheaper than appending nothing.
        if !bytes.is_empty() {
            self.push(bytes);
        }
        Ok(())
    }

    /// Ready when the kernel has everything.
    pub(super) fn poll_flush<S: Socket>(
        &mut self,
        socket: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.0.is_empty() {
            let written = ready!(Pin::new(&mut *socket).poll_write(cx, &self.0))?;
            self.0.advance(nonzero(written)?);
            if self.0.is_empty() {
                self.0 = BytesMut::new();
            }
        }
        if socket.has_pending() { Pin::new(socket).poll_flush(cx) } else { Poll::Ready(Ok(())) }
    }
}

fn nonzero(written: usize) -> io::Result<usize> {
    if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}
