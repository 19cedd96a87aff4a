//! The end of a WebSocket connection.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, ready},
};

use futures_util::Sink;
use tokio::io::AsyncWrite;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, Utf8Bytes, protocol::CloseFrame},
};

use super::{
    super::{
        WorkerContext, close,
        socket::Socket,
        write_timeout::{self, acked_bytes},
    },
    ending::Ending,
    io::WebSocketIo,
};
use crate::runtime::ConnectionPermit;

/// Sends the close frame and closes. The server is the side that closes TCP (section 7.1.1).
///
/// As over TCP, what is due goes out first, within the time-out for replies, and the permit is kept until then. If
/// nothing is due, the permit is given back before the client's own close is echoed.
pub(super) async fn end<S: Socket>(
    mut socket: WebSocketStream<WebSocketIo<S>>,
    ending: Ending,
    mut permit: ConnectionPermit,
    worker: Rc<WorkerContext>,
) {
    if ending == Ending::Broken {
        return;
    }
    if socket.get_mut().unsent_bytes() > 0 && flush(&mut socket, &worker).await.is_err() {
        return;
    }
    permit.release_early(&worker.closing_permits);
    let frame = match ending {
        Ending::Close(code) => Some(CloseFrame { code, reason: Utf8Bytes::default() }),
        Ending::Echo(frame) => Some(frame),
        Ending::Closed | Ending::Broken => None,
    };
    if let Some(frame) = frame
        && Pin::new(&mut socket).start_send(Message::Close(Some(frame))).is_err()
    {
        return;
    }
    if flush(&mut socket, &worker).await.is_ok() {
        close::close(socket.into_inner().into_socket()).await;
    }
}

/// Writes all that waits, within the time-out for replies.
async fn flush<S: Socket>(
    socket: &mut WebSocketStream<WebSocketIo<S>>,
    worker: &WorkerContext,
) -> io::Result<()> {
    let acked = |socket: &WebSocketStream<WebSocketIo<S>>| acked_bytes(socket.get_ref().socket().tcp());
    let flush = |socket: &mut WebSocketStream<WebSocketIo<S>>, cx: &mut Context<'_>| {
        ready!(Pin::new(&mut *socket).poll_flush(cx)).map_err(io::Error::other)?;
        // Once the client has closed, the library passes on what it has and does not flush.
        Pin::new(socket.get_mut()).poll_flush(cx)
    };
    write_timeout::flush_within(socket, worker.config.timeouts.unsent, acked, flush).await
}
