//! Closing a connection so that the last reply arrives.
//!
//! A socket that is closed with unread input sends a reset, and a reset makes the client's kernel discard replies that
//! its program has not read yet (TCP-8). So: finish writing, close the sending side, and read what still comes, within
//! bounds, until the client has closed too.

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    time::timeout,
};

use super::{TcpSocket, WorkerContext, socket::Socket, write_buffer::WriteBuffer, write_timeout};
use crate::runtime::ConnectionPermit;

/// How long a client may take to receive a short last message.
pub(super) const FLUSH_MAX: Duration = Duration::from_secs(5);

/// How long a closed connection waits for the client to close its side: longer than a round trip across the world, and no
/// longer than a descriptor should be held for a client that has gone.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// How much a client may still send into a closed connection: as much as may have been in flight, not an endless stream.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// Writes what is unsent, then closes as [`close`] does. The session must have ended before.
///
/// What was asked before the end is answered (LIFE-4), within the time-out for replies. A client that still has replies
/// to take costs as much as any other, so it keeps its permit, which is given back before the close.
pub(super) async fn flush_and_close<S: Socket>(
    mut socket: S,
    mut unsent: WriteBuffer,
    mut permit: ConnectionPermit,
    worker: Rc<WorkerContext>,
) {
    let time = worker.config.timeouts.unsent;
    let flush = |socket: &mut S, cx: &mut Context<'_>| unsent.poll_flush(socket, cx);
    let acked = |socket: &S| write_timeout::acked_bytes(socket.tcp());
    if write_timeout::flush_within(&mut socket, time, acked, flush).await.is_ok() {
        permit.release_early(&worker.closing_permits);
        close(socket).await;
    }
}

/// Sends a short last message on a connection that has nothing else unsent, then closes as [`close`] does.
pub(super) async fn send_and_close<S: Socket>(mut socket: S, message: &[u8]) {
    // Bounded, though a socket that has sent next to nothing takes this at once.
    if matches!(timeout(FLUSH_MAX, socket.write_all(message)).await, Ok(Ok(()))) {
        close(socket).await;
    }
}

/// Closes the sending side and discards what still comes until the client closes too.
pub(crate) async fn close<S: Socket>(mut socket: S) {
    // After the time-out the socket is dropped as well.
    let _ = timeout(LINGER_MAX, async {
        if socket.shutdown().await.is_ok() {
            // What comes now is discarded, encrypted or not.
            discard(socket.into_tcp()).await;
        }
    })
    .await;
}

/// Reads until the client closes its side or has sent too much.
async fn discard(mut socket: TcpSocket) {
    let mut left = LINGER_BYTES_MAX;
    poll_fn(|cx| {
        // On the stack, so that a closing connection owns no buffer.
        let mut scratch = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut socket).poll_read(cx, &mut buffer));
            let count = buffer.filled().len();
            if read.is_err() || count == 0 || count > left {
                return Poll::Ready(());
            }
            left -= count;
        }
    })
    .await;
}
