//! A TCP socket that is read and written at the lowest cost.
//!
//! The runtime's own `poll_read` and `poll_write` check readiness and the task's budget on each call. This asks the
//! kernel first if the socket was ready when last polled, and registers for a wake-up only if there is nothing to do.
//! The system calls are made directly: the C library's are cancellation points, which doubles their cost in a program
//! with threads.
//!
//! Known flaw: a read stops short at urgent data (RFC 6093) too, so what a client sends behind such a byte waits for
//! its next segment. Detecting it would cost every request a second read or the count of what is left (`TCP_INQ`), and
//! the runtime offers interest in urgent data only through `unsafe`.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::net::{RecvFlags, SendFlags};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

use super::socket::Socket;

#[derive(Debug)]
pub(crate) struct PlainSocket {
    stream: TcpStream,
    /// Whether the last read emptied the socket, so that the next one need not ask the kernel.
    is_drained: bool,
}

impl From<TcpStream> for PlainSocket {
    fn from(stream: TcpStream) -> Self {
        Self { stream, is_drained: false }
    }
}

impl Socket for PlainSocket {
    fn tcp(&self) -> &TcpStream {
        &self.stream
    }

    fn into_tcp(self) -> TcpStream {
        self.stream
    }

    fn has_pending(&self) -> bool {
        false
    }

    fn buffered_bytes(&mut self) -> usize {
        0
    }
}

impl PlainSocket {
    /// One read, if the socket may have something.
    ///
    /// A read that does not fill the buffer has emptied the socket, and the kernel reports what comes after it
    /// (epoll(7), edge triggering). So the readiness is taken back, which is what "would block" means to the runtime.
    fn try_recv(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let room = bytes.len();
        let mut short = None;
        let outcome = self.stream.try_io(Interest::READABLE, || {
            let (count, _) = rustix::net::recv(&self.stream, bytes, RecvFlags::empty())?;
            if 0 < count && count < room {
                short = Some(count);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(count)
        });
        self.is_drained = short.is_some();
        short.map_or(outcome, Ok)
    }
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

impl AsyncRead for PlainSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.is_drained) {
            ready!(self.stream.poll_read_ready(cx))?;
        }
        loop {
            match self.try_recv(buf.initialize_unfilled()) {
                Ok(count) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if would_block(&error) => ready!(self.stream.poll_read_ready(cx))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for PlainSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let written = self.stream.try_io(Interest::WRITABLE, || {
                // No signal: that the client has gone is an error like any other.
                Ok(rustix::net::send(&self.stream, buf, SendFlags::NOSIGNAL)?)
            });
            match written {
                Err(error) if would_block(&error) => ready!(self.stream.poll_write_ready(cx))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
