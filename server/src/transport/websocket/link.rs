//! What lies between the WebSocket library and the socket: the guard on the way in, patience on the way out.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{
    super::{UNSENT_BYTES_MAX, unsent::Unsent},
    guard::{Fault, FrameGuard},
};
use crate::counters::Counters;

/// A socket whose incoming frames are guarded and whose outgoing bytes may wait.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    /// Frames that came in one segment with the handshake.
    early: Vec<u8>,
    guard: FrameGuard,
    fault: Option<CloseCode>,
    unsent: Unsent,
    counters: Arc<Counters>,
}

impl Link {
    pub(super) fn new(stream: TcpStream, early: Vec<u8>, counters: Arc<Counters>) -> Self {
        Self { stream, early, guard: FrameGuard::default(), fault: None, unsent: Unsent::default(), counters }
    }

    /// Why the guard stopped the stream, if it did. Reading fails from then on.
    pub(super) fn fault(&self) -> Option<CloseCode> {
        self.fault
    }

    /// How many bytes the kernel has not taken yet.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.unsent.len()
    }

    /// The socket, for closing it.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

impl AsyncRead for Link {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.fault.is_some() {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let before = buf.filled().len();
        if this.early.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        } else {
            let count = this.early.len().min(buf.remaining());
            buf.put_slice(&this.early[..count]);
            // At most once or twice in a connection's life.
            this.early = this.early.split_off(count);
        }
        this.counters.received(buf.filled().len() - before);
        if let Err(Fault { offset, code }) = this.guard.inspect(&buf.filled()[before..]) {
            // The library gets what came before the fault, so that those requests are answered (LIFE-4).
            buf.set_filled(before + offset);
            this.fault = Some(code);
            if offset == 0 {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Link {
    /// Takes everything until [`UNSENT_BYTES_MAX`] wait: the library need not know that a client reads slowly.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, unsent, counters, .. } = self.get_mut();
        if unsent.len() >= UNSENT_BYTES_MAX {
            ready!(unsent.poll_flush(stream, cx))?;
        }
        unsent.send(stream, cx, buf)?;
        counters.sent(buf.len());
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, unsent, .. } = self.get_mut();
        unsent.poll_flush(stream, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
