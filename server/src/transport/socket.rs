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
pub(crate) struct TcpSocket(AsyncFd<net::TcpStream>);

impl TcpSocket {
    /// Registers a socket that does not block with this thread's runtime.
    pub(crate) fn new(stream: net::TcpStream) -> io::Result<Self> {
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        #[expect(deprecated, reason = "unsound only with a type that may close its descriptor early")]
        AsyncFd::with_interest(stream, interest).map(Self)
    }

    /// Whether urgent data has come since this was last asked.
    fn take_urgent(&self) -> bool {
        let mut has_come = false;
        let _ = self.0.try_io(Interest::PRIORITY, |_| {
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
            match self.0.try_io(Interest::WRITABLE, |stream| Ok(send(stream)?)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.0.poll_write_ready(cx))?.retain_ready();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return Poll::Ready(sent),
            }
        }
    }
}

impl Socket for TcpSocket {
    fn tcp(&self) -> &net::TcpStream {
        self.0.get_ref()
    }

    fn into_tcp(self) -> Self {
        self
    }
}

impl AsyncRead for TcpSocket {
    /// One read, if the socket may have something.
    ///
    /// A read that does not fill the buffer has emptied the socket, and the kernel reports what comes after it (epoll(7),
    /// edge triggering). But a read also stops at urgent data (RFC 6093), whatever follows it.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut readiness = ready!(self.0.poll_read_ready(cx))?;
            let bytes = buf.initialize_unfilled();
            let room = bytes.len();
            match rustix::net::recv(self.tcp(), bytes, RecvFlags::empty()) {
                Ok((count, _)) => {
                    if 0 < count && count < room && !self.take_urgent() {
                        readiness.clear_ready();
                    }
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(rustix::io::Errno::AGAIN) => readiness.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
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
