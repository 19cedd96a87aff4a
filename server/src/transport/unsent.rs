//! Replies that the kernel would not take yet.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

use super::plain::Plain;

/// What still has to be written to one client. Empty, and without memory, nearly always.
#[derive(Debug, Default)]
pub(super) struct Unsent(BytesMut);

impl Unsent {
    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps `bytes` for the next flush.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Writes `bytes` after what waits already, and keeps what the kernel does not take.
    pub(super) fn send(
        &mut self,
        stream: &mut Plain,
        cx: &mut Context<'_>,
        mut bytes: &[u8],
    ) -> io::Result<()> {
        while self.is_empty() && !bytes.is_empty() {
            match Pin::new(&mut *stream).poll_write(cx, bytes) {
                Poll::Ready(written) => bytes = &bytes[nonzero(written?)?..],
                Poll::Pending => break,
            }
        }
        self.push(bytes);
        Ok(())
    }

    /// Ready when everything is written.
    pub(super) fn poll_flush(&mut self, stream: &mut Plain, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, &self.0))?;
            self.0.advance(nonzero(written)?);
            if self.is_empty() {
                self.0 = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn nonzero(written: usize) -> io::Result<usize> {
    if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}
