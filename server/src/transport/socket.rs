//! What carries a connection's bytes: TCP alone, or a layer on top of it that may buffer them.

use std::{
    io::{self, IoSlice},
    net::{self, Shutdown},
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd};

/// A stream over TCP. All that serves connections is generic over it, so that TCP alone pays for nothing else.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// The TCP connection underneath.
    fn tcp(&self) -> &net::TcpStream;

    /// The TCP connection underneath, when nothing more is to be sent on it.
    fn into_tcp(self) -> TcpSocket;

    /// Whether it has buffered bytes that the kernel has not taken. They leave with the next flush.
    fn has_pending(&self) -> bool {
        false
    }

    /// The number of those bytes.
    fn buffered_bytes(&mut self) -> usize {
        0
    }

    /// Whether the last read was pending because the connection's budget for this turn is used up, so that more may be
    /// there.
    fn is_budget_exhausted(&self) -> bool {
        false
    }
}

/// A TCP connection that is read and written at the lowest cost.
///
/// Unlike the runtime's own, it asks the kernel first if the socket was ready when last polled, and registers for a
/// wake-up only if there is nothing to do. The system calls are made directly: the C library's are cancellation points,
/// which doubles their cost in a program with threads. And it knows of urgent data.
#[derive(Debug)]
pub(crate) struct TcpSocket {
    stream: AsyncFd<net::TcpStream>,
    /// Whether the last read emptied the socket, so that the next one need not ask the kernel.
    is_drained: bool,
    /// Whether each read counts towards the runtime's budget for the task.
    is_budgeted: bool,
}

impl TcpSocket {
    /// Registers a socket that does not block with this thread's runtime.
    pub(crate) fn new(stream: net::TcpStream) -> io::Result<Self> {
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        #[expect(deprecated, reason = "unsound only with a type that may close its descriptor early")]
        let stream = AsyncFd::with_interest(stream, interest)?;
        Ok(Self { stream, is_drained: false, is_budgeted: false })
    }

    /// The same for a layer that may read any number of times in one poll.
    pub(super) fn budgeted(self) -> Self {
        Self { is_budgeted: true, ..self }
    }

    /// One read, if the socket may have something.
    ///
    /// A read that does not fill the buffer has emptied the socket, and the kernel reports what comes after it (epoll(7),
    /// edge triggering). So the readiness is taken back, which is what "would block" means to the runtime. But a read
    /// also stops at urgent data (RFC 6093), whatever follows it.
    fn try_recv(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let room = bytes.len();
        let mut short = None;
        let received = self.stream.try_io(Interest::READABLE, |stream| {
            let (count, _) = rustix::net::recv(stream, bytes, RecvFlags::empty())?;
            if 0 < count && count < room && !self.take_urgent() {
                short = Some(count);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(count)
        });
        self.is_drained = short.is_some();
        short.map_or(received, Ok)
    }

    /// Whether urgent data has come since this was last asked.
    fn take_urgent(&self) -> bool {
        let mut has_come = false;
        let _ = self.stream.try_io(Interest::PRIORITY, |_| {
            has_come = true;
            Err::<(), _>(io::ErrorKind::WouldBlock.into())
        });
        has_come
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        send: impl Fn(&net::TcpStream) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.stream.try_io(Interest::WRITABLE, |stream| Ok(send(stream)?)) {
                Err(error) if would_block(&error) => ready!(self.stream.poll_write_ready(cx))?.retain_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

impl Socket for TcpSocket {
    fn tcp(&self) -> &net::TcpStream {
        self.stream.get_ref()
    }

    fn into_tcp(self) -> Self {
        self
    }
}

impl AsyncRead for TcpSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.is_drained) || self.is_budgeted {
            ready!(self.stream.poll_read_ready(cx))?.retain_ready();
        }
        loop {
            match self.try_recv(buf.initialize_unfilled()) {
                Ok(count) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if would_block(&error) => ready!(self.stream.poll_read_ready(cx))?.retain_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// No signal: that the client has gone is an error like any other.
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;

impl AsyncWrite for TcpSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |stream| rustix::net::send(stream, buf, SEND_FLAGS))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |stream| {
            rustix::net::sendmsg(stream, bufs, &mut SendAncillaryBuffer::default(), SEND_FLAGS)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.tcp().shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        net::{TcpListener, TcpStream},
        time::Duration,
    };

    use socket2::SockRef;
    use tokio::{io::AsyncReadExt, time::timeout};

    use super::*;
    use crate::runtime::block_on;

    #[test]
    fn tcp_2_what_follows_urgent_data_is_read_at_once() {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (stream, _) = listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut socket = TcpSocket::new(stream).unwrap();
            for round in 0..3 {
                // All of it has come before the runtime polls the kernel, and nothing comes after it.
                client.write_all(b"before\n").unwrap();
                SockRef::from(&client).send_out_of_band(b"!").unwrap();
                client.write_all(b"behind\n").unwrap();
                let mut bytes = [0; 14];
                let mut filled = 0;
                while filled < bytes.len() {
                    let mut room = [0; 100];
                    let count = timeout(Duration::from_secs(20), socket.read(&mut room)).await;
                    let count =
                        count.unwrap_or_else(|_| panic!("round {round}: {filled} bytes came")).unwrap();
                    bytes[filled..filled + count].copy_from_slice(&room[..count]);
                    filled += count;
                }
                assert_eq!(&bytes, b"before\nbehind\n");
            }
        });
    }
}
