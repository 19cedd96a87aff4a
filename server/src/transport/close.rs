//! How a connection ends so that the last reply arrives.
//!
//! A socket that is closed while input waits unread answers with a reset, and a reset makes the client's kernel
//! throw away replies that its program has not read yet (TCP-8). So: finish writing, close the sending side,
//! and read what still comes until the client has closed too, within bounds.

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};

use super::{Host, socket::Socket, write_buffer::Unsent, write_timeout};
use crate::runtime::Seat;

/// How long a client may take to accept a few words that it is told at once.
pub(super) const FLUSH_MAX: Duration = Duration::from_secs(5);

/// How long a closed connection waits for the client to close its side. Longer than a round trip across the
/// world, and no longer than a descriptor should be held for somebody who has gone.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// How much a client may still send into a closed connection: what it can have had in flight, not a stream.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// Writes what is unsent, then closes as [`close`] does. The session must have ended before.
///
/// Who still has replies to take is as much of a load as any client, and keeps its seat and its time for that: what was
/// asked before the end is answered (LIFE-4). The seat is free before the close.
pub(super) async fn flush_and_close<S: Socket>(
    mut socket: S,
    mut unsent: Unsent,
    mut seat: Seat,
    host: Rc<Host>,
) {
    let patience = host.config.timeouts.unsent;
    let flush = |socket: &mut S, cx: &mut Context<'_>| unsent.poll_flush(socket, cx);
    let taken = |socket: &S| write_timeout::taken_bytes(socket.tcp());
    if write_timeout::wait_for(&mut socket, patience, taken, flush).await.is_ok() {
        seat.leave(&host.departures);
        close(socket).await;
    }
}

/// Sends a short last message on a connection that has nothing unsent, then closes as [`close`] does.
pub(super) async fn say_and_close<S: Socket>(mut socket: S, last_words: &[u8]) {
    // Bounded like any flush, though a socket that has sent next to nothing takes this at once.
    if matches!(timeout(FLUSH_MAX, socket.write_all(last_words)).await, Ok(Ok(()))) {
        close(socket).await;
    }
}

/// Closes the sending side and discards what still comes until the client closes too.
pub(crate) async fn close<S: Socket>(mut socket: S) {
    // Out of time or patience: the socket is dropped either way.
    let _ = timeout(LINGER_MAX, async {
        if socket.shutdown().await.is_ok() {
            // What comes now means nothing any more, whatever it was wrapped in.
            discard(socket.into_tcp()).await;
        }
    })
    .await;
}

/// Reads until the client closes its side, or has sent too much for that.
async fn discard(mut stream: TcpStream) {
    let mut left = LINGER_BYTES_MAX;
    poll_fn(|cx| {
        // On the stack, since nothing is kept: a connection that lingers owns no buffer.
        let mut scratch = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut stream).poll_read(cx, &mut buffer));
            let count = buffer.filled().len();
            if read.is_err() || count == 0 || count > left {
                return Poll::Ready(());
            }
            left -= count;
        }
    })
    .await;
}
