//! What lies between the WebSocket library and the socket: the validator on the way in, the write buffer on the way
//! out.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use super::{
    super::{BATCH_BYTES, TURN_BUDGET, TURN_COST, WorkerContext, socket::Socket, write_buffer::WriteBuffer},
    ending::Ending,
    validator::{Fault, FrameValidator, Stop},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket whose incoming frames are validated and whose outgoing bytes may wait.
#[derive(Debug)]
pub(super) struct WebSocketIo<S> {
    socket: S,
    /// Frames that came in one segment with the handshake.
    early: Vec<u8>,
    validator: FrameValidator,
    /// How the connection is to end, once the validator has stopped the stream.
    ending: Option<Ending>,
    unsent: WriteBuffer,
    /// How many bytes may still be read in this turn: a message whose fragments never end costs work and is never
    /// whole.
    turn_left: usize,
    /// How many frames may still begin in this turn: each costs work, however small it is.
    frames_left: usize,
    /// When the client last sent anything, by the worker's clock.
    heard_at: Instant,
    worker: Rc<WorkerContext>,
}

impl<S: Socket> WebSocketIo<S> {
    pub(super) fn new(socket: S, early: Vec<u8>, takes_binary: bool, worker: Rc<WorkerContext>) -> Self {
        Self {
            socket,
            early,
            validator: FrameValidator::new(worker.config.message_bytes_max).taking_binary(takes_binary),
            ending: None,
            unsent: WriteBuffer::default(),
            turn_left: 0,
            frames_left: 0,
            heard_at: worker.clock.now(),
            worker,
        }
    }

    /// Allows as much to be read as one turn may: two of the largest messages with control frames between their
    /// fragments, in no more frames than there could be requests. One read may exceed this.
    pub(super) fn begin_turn(&mut self) {
        self.turn_left = 2 * self.worker.config.message_bytes_max + BATCH_BYTES;
        self.frames_left = TURN_BUDGET / TURN_COST;
    }

    /// Whether the last read was pending because the turn was over.
    pub(super) fn is_budget_exhausted(&self) -> bool {
        self.turn_left == 0 || self.frames_left == 0 || self.socket.is_budget_exhausted()
    }

    /// How the connection is to end if the validator has stopped the stream. Reading fails from then on.
    pub(super) fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// The bytes that the kernel has not taken yet.
    pub(super) fn unsent_bytes(&mut self) -> usize {
        self.unsent.len(&mut self.socket)
    }

    /// Whether the client has sent no incomplete message and nothing waits for it.
    pub(super) fn is_idle(&mut self) -> bool {
        self.validator.is_between_messages() && self.unsent_bytes() == 0
    }

    pub(super) fn heard_at(&self) -> Instant {
        self.heard_at
    }

    pub(super) fn socket(&self) -> &S {
        &self.socket
    }

    pub(super) fn into_socket(self) -> S {
        self.socket
    }
}

impl<S: Socket> AsyncRead for WebSocketIo<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ending.is_some() {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if this.turn_left == 0 || this.frames_left == 0 {
            // The connection enqueues itself for another turn, so nothing else need wake the task.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        if this.early.is_empty() {
            ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
        } else {
            let count = this.early.len().min(buf.remaining());
            buf.put_slice(&this.early[..count]);
            // At most once or twice in a connection's life.
            this.early = this.early.split_off(count);
        }
        this.turn_left = this.turn_left.saturating_sub(buf.filled().len() - before);
        this.worker.counters.received(buf.filled().len() - before);
        this.heard_at = this.worker.clock.now();
        match this.validator.inspect(&buf.filled()[before..]) {
            Ok(frames) => this.frames_left = this.frames_left.saturating_sub(frames),
            Err(stop) => {
                let (offset, ending) = match stop {
                    Stop::Fault(Fault { offset, code }) => (offset, Ending::Close(code)),
                    Stop::Closed { offset, echo } => (offset, Ending::Echo(echo)),
                };
                // The library gets what came before, so that those requests are answered (LIFE-4).
                buf.set_filled(before + offset);
                this.ending = Some(ending);
                if offset == 0 {
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for WebSocketIo<S> {
    /// Takes everything up to the limit on unsent bytes: the library need not know that a client reads slowly.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { socket, unsent, worker, .. } = self.get_mut();
        if unsent.len(socket) >= worker.config.unsent_bytes_max {
            ready!(unsent.poll_flush(socket, cx))?;
        }
        unsent.send(socket, cx, buf)?;
        worker.counters.sent(buf.len());
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, unsent, .. } = self.get_mut();
        unsent.poll_flush(socket, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        io::Write,
        net::{TcpListener, TcpStream},
        sync::Arc,
    };

    use super::*;
    use crate::{
        config::Config,
        registry::{Registry, UpgradePolicy},
        runtime::{ClosingPermits, block_on},
        transport::TcpSocket,
    };

    #[test]
    fn life_5_a_turn_takes_no_more_frames_than_requests_however_small_they_are() {
        const READ: usize = 2048;
        // Masked and without payload: a fragment of a message that never ends.
        const FRAGMENT: [u8; 6] = [0x00, 0x80, 1, 2, 3, 4];
        block_on(async {
            let config = Arc::new(Config::on_free_ports(&[]));
            let registry = Arc::new(Registry::new(UpgradePolicy::Closed));
            let worker = Rc::new(WorkerContext::new(config, registry, Arc::default(), ClosingPermits::new()));
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (stream, _) = listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            let begun = [&[0x01, 0x80, 1, 2, 3, 4], FRAGMENT.repeat(5000).as_slice()].concat();
            client.write_all(&begun).unwrap();
            let mut io = WebSocketIo::new(TcpSocket::new(stream).unwrap(), Vec::new(), false, worker);
            for turn in 0..10 {
                io.begin_turn();
                let mut taken = 0;
                while !io.is_budget_exhausted() {
                    let mut bytes = [0; READ];
                    let mut buf = ReadBuf::new(&mut bytes);
                    poll_fn(|cx| Pin::new(&mut io).poll_read(cx, &mut buf)).await.unwrap();
                    taken += buf.filled().len();
                }
                let frames = taken / FRAGMENT.len();
                assert!(frames <= TURN_BUDGET / TURN_COST + READ / FRAGMENT.len() + 1, "{turn}: {frames}");
            }
        });
    }
}
