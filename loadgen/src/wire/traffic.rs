//! The bytes of one worker's sockets, the kernel's counters for a sample of them, and a stream that counts its bytes.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use twinwire_os::tcp_info::TcpInfo;

/// Bytes on the wire, framing included. One worker writes the counters, any thread reads them.
#[derive(Debug, Default)]
pub struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
    sampler: Mutex<Sampler>,
}

/// A sample of the sockets, whose kernel counters are read once a second.
#[derive(Debug, Default)]
struct Sampler {
    /// Most sockets that are sampled at a time.
    room: usize,
    sockets: Vec<SampledSocket>,
    /// What the kernel has counted so far, including sockets that have closed since.
    sum: TcpInfo,
}

#[derive(Debug)]
struct SampledSocket {
    /// Weak, so that sampling never keeps a socket open.
    socket: Weak<OwnedFd>,
    counted: TcpInfo,
}

/// What the kernel has counted for some sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketSample {
    /// How many are sampled now.
    pub sockets: u64,
    /// Over all that were ever sampled.
    pub counted: TcpInfo,
}

impl Traffic {
    /// Samples up to this number of sockets at a time.
    #[must_use]
    pub fn sampling(room: usize) -> Self {
        Self { sampler: Mutex::new(Sampler { room, ..Sampler::default() }), ..Self::default() }
    }

    /// The kernel's counters of all sockets sampled so far; `None` if no socket is being sampled now.
    #[must_use]
    pub fn sample(&self) -> Option<SocketSample> {
        let mut guard = self.sampler.lock().unwrap_or_else(PoisonError::into_inner);
        let Sampler { sockets, sum, .. } = &mut *guard;
        let mut number = 0;
        for sampled in sockets {
            let Some(now) = sampled.socket.upgrade().and_then(|socket| TcpInfo::of(&*socket)) else {
                continue;
            };
            sum.add(&now.since(&sampled.counted));
            sampled.counted = now;
            number += 1;
        }
        (number > 0).then_some(SocketSample { sockets: number, counted: *sum })
    }

    /// Samples a socket if there is room, for as long as the caller keeps the returned descriptor.
    fn start_sampling(&self, stream: &TcpStream) -> Option<Arc<OwnedFd>> {
        let mut sampler = self.sampler.lock().unwrap_or_else(PoisonError::into_inner);
        sampler.sockets.retain(|sampled| sampled.socket.strong_count() > 0);
        if sampler.sockets.len() >= sampler.room {
            return None;
        }
        let socket = Arc::new(stream.as_fd().try_clone_to_owned().ok()?);
        sampler
            .sockets
            .push(SampledSocket { socket: Arc::downgrade(&socket), counted: TcpInfo::of(stream)? });
        Some(socket)
    }

    /// Bytes written so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes read so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    fn add_sent(&self, bytes: usize) {
        // There is one writer, so a load and a store are enough; they are cheaper than a locked addition.
        self.sent.store(self.sent() + bytes as u64, Ordering::Relaxed);
    }

    fn add_received(&self, bytes: usize) {
        self.received.store(self.received() + bytes as u64, Ordering::Relaxed);
    }
}

/// A TCP stream that counts its bytes. Under TLS these are the encrypted ones.
#[derive(Debug)]
pub struct CountingStream {
    stream: TcpStream,
    traffic: Arc<Traffic>,
    /// Keeps a sampled socket's second descriptor open for as long as the connection.
    _sampled: Option<Arc<OwnedFd>>,
}

impl CountingStream {
    pub(super) fn new(stream: TcpStream, traffic: Arc<Traffic>) -> Self {
        Self { _sampled: traffic.start_sampling(&stream), stream, traffic }
    }

    /// Makes dropping the connection reset it instead of closing it in order.
    pub(super) fn reset_on_close(&self) {
        // If the system refuses, the connection is closed in order instead.
        let _ = self.stream.set_zero_linger();
    }
}

impl AsyncRead for CountingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.traffic.add_received(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CountingStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.traffic.add_sent(written);
        Poll::Ready(Ok(written))
    }

    /// TLS writes all records of a batch at once.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        self.traffic.add_sent(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair(traffic: &Arc<Traffic>) -> (CountingStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (CountingStream::new(client, traffic.clone()), listener.accept().await.unwrap().0)
    }

    async fn send(client: &mut CountingStream, server: &mut TcpStream, bytes: usize) {
        client.write_all(&vec![1; bytes]).await.unwrap();
        server.read_exact(&mut vec![0; bytes]).await.unwrap();
    }

    #[tokio::test]
    async fn as_many_sockets_are_sampled_as_there_is_room_for() {
        let traffic = Arc::new(Traffic::sampling(2));
        assert_eq!(traffic.sample(), None, "there is none yet");
        let (mut first, mut peer) = pair(&traffic).await;
        let (_second, _) = pair(&traffic).await;
        let (mut third, mut third_peer) = pair(&traffic).await;
        send(&mut first, &mut peer, 500).await;
        send(&mut third, &mut third_peer, 70).await;
        let SocketSample { sockets: number, counted: sum } = traffic.sample().unwrap();
        assert_eq!((number, sum.bytes_sent, traffic.sent()), (2, 500, 570));
        // One that has ended makes room, and what was counted for it stays counted.
        drop(first);
        let (mut fourth, mut fourth_peer) = pair(&traffic).await;
        send(&mut fourth, &mut fourth_peer, 30).await;
        let SocketSample { sockets: number, counted: sum } = traffic.sample().unwrap();
        assert_eq!((number, sum.bytes_sent, traffic.sent()), (2, 530, 600));
        assert!(Traffic::default().sample().is_none());
    }

    #[tokio::test]
    async fn a_sampled_socket_closes_with_its_connection() {
        let traffic = Arc::new(Traffic::sampling(1));
        let (client, mut server) = pair(&traffic).await;
        assert!(traffic.sample().is_some());
        drop(client);
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0, "the peer sees the end");
        assert_eq!(traffic.sample(), None);
    }
}
