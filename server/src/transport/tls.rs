//! TLS: the handshake, and an encrypting socket. What is said inside is left to the framings.

use std::{
    io,
    net::{self, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use rustix::net::sockopt::set_tcp_quickack;
use rustls::server::Acceptor;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Mutex,
    task::{coop::has_budget_remaining, yield_now},
    time::{sleep, timeout},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{
    BATCH_BYTES, ConnectionParts, TcpSocket, WorkerContext, close,
    socket::Socket,
    write_timeout::{TimeBudget, TimedOut},
};
use crate::{
    counters::Refusal,
    protocol::{Framing, Transport},
    runtime::{LogRateLimit, TaskFuture},
    session::Session,
    tls::Tls,
};

/// How long a handshake may go on when the server stops: requests may follow right behind it, and they are answered
/// (LIFE-4). A small part of the time for the stop.
const STOPPING_MAX: Duration = Duration::from_millis(500);

/// Makes the TLS handshakes of one thread.
#[derive(Debug)]
pub(crate) struct Handshaker {
    tls: Option<Tls>,
    /// Held while a handshake is computed, which takes a good part of a millisecond. Many clients that connect at once
    /// would delay all others for that long each, so handshakes are made one at a time, and the thread serves its other
    /// connections in between.
    computing: Mutex<()>,
    failure_log: LogRateLimit,
}

/// Why a handshake failed, and the connection if it can still be closed cleanly.
struct HandshakeError {
    error: io::Error,
    socket: Option<TcpSocket>,
}

impl Handshaker {
    pub(crate) fn new(tls: Option<Tls>) -> Self {
        Self { tls, computing: Mutex::new(()), failure_log: LogRateLimit::default() }
    }

    /// Makes the server's part of one handshake. Waits for the client as long as it takes.
    async fn accept(&self, socket: TcpSocket, transport: Transport) -> Result<TlsSocket, HandshakeError> {
        let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), socket.budgeted());
        let start = match (&mut acceptor).await {
            Ok(start) => start,
            Err(error) => return Err(HandshakeError { error, socket: acceptor.take_io() }),
        };
        let Some(tls) = &self.tls else {
            let error = io::Error::other("there is no certificate");
            return Err(HandshakeError { error, socket: Some(start.io) });
        };
        let configs = tls.current();
        let config =
            if transport.framing() == Framing::WebSocket { configs.websocket } else { configs.lines };
        let computing = self.computing.lock().await;
        // Nearly all of the time is spent here. The library may buffer one batch of replies, so that a batch leaves in
        // one write.
        let accept =
            start.into_stream_with(config, |connection| connection.set_buffer_limit(Some(BATCH_BYTES)));
        yield_now().await;
        drop(computing);
        match accept.into_fallible().await {
            Ok(stream) => {
                // The client's last message has no answer. If Nagle's algorithm is on at its end, its first request
                // would wait for the kernel's delayed acknowledgement, usually 40 ms.
                let _ = set_tcp_quickack(stream.get_ref().0.tcp(), true);
                Ok(TlsSocket(Box::new(stream)))
            }
            Err((error, socket)) => Err(HandshakeError { error, socket: Some(socket) }),
        }
    }

    /// Logs a failure, within the rate limit.
    fn log_failure(&self, transport: Transport, error: &io::Error, peer: Option<SocketAddr>) {
        if let Some(suppressed) = self.failure_log.pass(Instant::now()) {
            let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
            tracing::info!(%transport, peer, %error, suppressed, "a TLS handshake failed");
        }
    }
}

/// Serves one connection from its handshake until it ends.
pub(super) fn serve(
    socket: TcpSocket,
    transport: Transport,
    session: Session,
    parts: ConnectionParts,
    opening_time: TimeBudget,
) -> impl Future<Output = ()> {
    // Each boxed by itself, so that a connection in service takes no room for its handshake.
    let begun = Box::pin(begin(socket, transport, session, parts, opening_time));
    async move {
        if let Some(service) = begun.await {
            service.await;
        }
    }
}

/// Makes the handshake and returns the future that serves the connection; `None` if it fails.
async fn begin(
    socket: TcpSocket,
    transport: Transport,
    session: Session,
    mut parts: ConnectionParts,
    mut opening_time: TimeBudget,
) -> Option<TaskFuture> {
    match handshake(socket, transport, &mut opening_time, &parts.worker).await {
        Ok(socket) => Some(super::serve(transport.framing(), socket, session, parts, opening_time)),
        Err(socket) => {
            parts.permit.release_early(&parts.worker.closing_permits);
            if let Some(socket) = socket {
                // The alert that says why is on its way: no reset must overtake it.
                close::close(socket).await;
            }
            None
        }
    }
}

/// Waits for a handshake. If it fails, counts and logs it, and returns the connection if it is still to be closed.
async fn handshake(
    socket: TcpSocket,
    transport: Transport,
    time: &mut TimeBudget,
    worker: &WorkerContext,
) -> Result<TlsSocket, Option<TcpSocket>> {
    // Now, since a time-out drops the connection.
    let peer = socket.tcp().peer_addr().ok();
    let stopping = async {
        worker.phase.stopping().await;
        sleep(STOPPING_MAX).await;
    };
    let made = tokio::select! {
        biased;
        made = time.wait_for(worker.handshaker.accept(socket, transport)) => made,
        () = stopping => return Err(None),
    };
    let HandshakeError { error, socket } = match made {
        Ok(Ok(socket)) => return Ok(socket),
        Ok(Err(failed)) => failed,
        Err(TimedOut) => {
            let error = io::Error::new(io::ErrorKind::TimedOut, "the client took too long");
            HandshakeError { error, socket: None }
        }
    };
    // A client that has gone was not refused: it may only have checked whether the port is open.
    if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::TimedOut) {
        worker.counters.refused(Refusal::TlsHandshake);
        worker.handshaker.log_failure(transport, &error, peer);
    }
    Err(socket)
}

/// Sends `message` to a client that is refused: after a handshake, since it understands nothing else.
pub(super) async fn refuse(socket: TcpSocket, transport: Transport, message: &[u8], handshaker: &Handshaker) {
    match timeout(close::FLUSH_MAX, handshaker.accept(socket, transport)).await {
        Ok(Ok(socket)) => close::send_and_close(socket, message).await,
        Ok(Err(HandshakeError { socket: Some(socket), .. })) => close::close(socket).await,
        Ok(Err(_)) | Err(_) => {}
    }
}

/// A TCP connection that is encrypted.
///
/// A close counts like one of plain TCP, announced or not: lines and frames show by themselves whether they are whole.
/// A violation of TLS counts as a close too, since nothing can be read after it; the alert leaves like a last reply.
#[derive(Debug)]
pub(super) struct TlsSocket(Box<TlsStream<TcpSocket>>);

impl Socket for TlsSocket {
    fn tcp(&self) -> &net::TcpStream {
        self.0.get_ref().0.tcp()
    }

    fn into_tcp(self) -> TcpSocket {
        self.0.into_inner().0
    }

    fn has_pending(&self) -> bool {
        self.0.get_ref().1.wants_write()
    }

    fn buffered_bytes(&mut self) -> usize {
        if !self.has_pending() {
            return 0;
        }
        // Everything is processed as soon as it is read, so this only reports how much there is.
        self.0.get_mut().1.process_new_packets().map_or(0, |state| state.tls_bytes_to_write())
    }

    fn is_budget_exhausted(&self) -> bool {
        // The runtime's own budget, in reads from the socket: records may be so small that one turn has many of them.
        !has_budget_remaining()
    }
}

impl AsyncRead for TlsSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut *this.0).poll_read(cx, buf);
        // TLS answers some of what it reads by itself. If that cannot be written, the next write will report it.
        if this.has_pending() {
            let _ = Pin::new(&mut *this.0).poll_flush(cx);
        }
        match read {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::debug!(%error, "TLS broke off");
                Poll::Ready(Ok(()))
            }
            read => read,
        }
    }
}

impl AsyncWrite for TlsSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Write},
        rc::Rc,
    };

    use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::aws_lc_rs};
    use tokio::task::spawn_local;

    use super::*;
    use crate::runtime::block_on;

    fn certificate() -> Tls {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        Tls::load(cert, key).unwrap()
    }

    /// A client that has sent its hello and waits.
    fn client(address: net::SocketAddr) -> net::TcpStream {
        let provider = std::sync::Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let mut tls = ClientConnection::new(config.into(), "localhost".try_into().unwrap()).unwrap();
        let (mut stream, mut hello) = (net::TcpStream::connect(address).unwrap(), Vec::new());
        tls.write_tls(&mut hello).unwrap();
        stream.write_all(&hello).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    }

    #[test]
    fn life_5_of_many_handshakes_one_is_made_at_a_time_and_others_get_their_turn_between() {
        const CLIENTS: usize = 20;
        block_on(async {
            let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
            let handshaker = Rc::new(Handshaker::new(Some(certificate())));
            let mut clients = Vec::new();
            for _ in 0..CLIENTS {
                clients.push(client(listener.local_addr().unwrap()));
                let (stream, _) = listener.accept().unwrap();
                stream.set_nonblocking(true).unwrap();
                let socket = TcpSocket::new(stream).unwrap();
                let handshaker = Rc::clone(&handshaker);
                spawn_local(async move { handshaker.accept(socket, Transport::Tls).await.map(drop).is_ok() });
            }
            // Another connection of the same thread checks in each of its turns which clients have been answered.
            let (mut answered, mut most_at_once) = (0, 0);
            let deadline = Instant::now() + Duration::from_secs(20);
            while answered < CLIENTS {
                assert!(Instant::now() < deadline, "only {answered} were answered");
                yield_now().await;
                let is_answered = |client: &net::TcpStream| match client.peek(&mut [0]) {
                    Ok(count) => count > 0,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock);
                        false
                    }
                };
                let now = clients.iter().filter(|client| is_answered(client)).count();
                most_at_once = most_at_once.max(now - answered);
                answered = now;
            }
            assert!(most_at_once <= 2, "{most_at_once} answers between two turns");
        });
    }
}
