//! The streams that framings stand on: TCP, and TLS over it.
//!
//! They differ only in how bytes come: from TCP through one buffer of the worker, from TLS as the library has decrypted
//! them, one record at a time and without another copy.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncBufRead as _, AsyncRead as _, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;
use twinwire_os::clock::{self, Nanos};

use super::Ended;
use super::traffic::CountingStream;

/// Most bytes that one read of TCP takes: more than the longest usual message, so that a batch of replies costs one
/// system call.
const READ_BYTES: usize = 128 * 1024;

thread_local! {
    /// One for all connections of a worker: an idle connection then holds no buffer at all.
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// What a framing reads from and writes to.
pub trait Stream: AsyncWrite + Unpin {
    /// Reads in a row before other connections get their turn, so that a flood does not starve them.
    const READS_MAX: usize;

    /// The socket below.
    fn tcp(&self) -> &CountingStream;

    /// Reads once and hands over what came, with the instant after the read. `None`: there is nothing to read now, and
    /// the task is woken when there is.
    fn read<R>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&[u8], Nanos) -> R,
    ) -> Option<Result<R, Ended>>;
}

impl Stream for CountingStream {
    const READS_MAX: usize = 16;

    fn tcp(&self) -> &CountingStream {
        self
    }

    fn read<R>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&[u8], Nanos) -> R,
    ) -> Option<Result<R, Ended>> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let mut into = ReadBuf::new(buffer);
            match Pin::new(self).poll_read(cx, &mut into) {
                Poll::Pending => None,
                Poll::Ready(Err(error)) => Some(Err(Ended::from_io(&error))),
                Poll::Ready(Ok(())) if into.filled().is_empty() => Some(Err(Ended::Closed)),
                Poll::Ready(Ok(())) => Some(Ok(take(into.filled(), clock::now()))),
            }
        })
    }
}

impl Stream for TlsStream<CountingStream> {
    /// A record holds 16 KiB at most, and may hold a single reply.
    const READS_MAX: usize = 256;

    fn tcp(&self) -> &CountingStream {
        self.get_ref().0
    }

    fn read<R>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&[u8], Nanos) -> R,
    ) -> Option<Result<R, Ended>> {
        // Decrypted bytes are handed over first: the socket's readiness would not report them.
        let (taken, bytes) = match Pin::new(&mut *self).poll_fill_buf(cx) {
            Poll::Pending => return None,
            Poll::Ready(Err(error)) => return Some(Err(Ended::from_io(&error))),
            Poll::Ready(Ok([])) => return Some(Err(Ended::Closed)),
            Poll::Ready(Ok(bytes)) => (take(bytes, clock::now()), bytes.len()),
        };
        Pin::new(self).consume(bytes);
        Some(Ok(taken))
    }
}

/// What waits to be written to a stream.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
}

/// An outgoing buffer that has grown beyond this is freed once it is empty.
const IDLE_CAPACITY_MAX: usize = 4096;

impl Outgoing {
    /// Frees unused capacity.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }

    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Writes as much as possible; `true` once nothing waits, here or in the stream.
    pub(super) fn flush(&mut self, stream: &mut impl Stream, cx: &mut Context<'_>) -> Result<bool, Ended> {
        while self.written < self.bytes.len() {
            match Pin::new(&mut *stream).poll_write(cx, &self.bytes[self.written..]) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(0)) => return Err(Ended::Reset),
                Poll::Ready(Ok(written)) => self.written += written,
                Poll::Ready(Err(error)) => return Err(Ended::from_io(&error)),
            }
        }
        // TLS takes bytes as written while their records still wait for room in the socket.
        match Pin::new(stream).poll_flush(cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Err(error)) => return Err(Ended::from_io(&error)),
            Poll::Ready(Ok(())) => {}
        }
        self.written = 0;
        self.bytes.clear();
        if self.bytes.capacity() > IDLE_CAPACITY_MAX {
            self.bytes = Vec::new();
        }
        Ok(true)
    }
}
