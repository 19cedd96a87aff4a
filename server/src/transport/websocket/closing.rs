//! How a connection ends.

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
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::ProtocolError,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{
    super::{
        WorkerContext, close,
        socket::Socket,
        write_timeout::{self, acked_bytes},
    },
    io::WebSocketIo,
};
use crate::runtime::ConnectionPermit;

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// The server closes, and says why.
    Close(CloseCode),
    /// The client has closed with a code that the library does not know, and gets the same again.
    Echo(CloseFrame),
    /// The client has closed; what is due, its close frame's echo included, still goes out.
    Closed,
    /// The connection broke.
    Broken,
}

impl Ending {
    /// What the client is told about a fault of its own (WS-4a): the library's verdict, or else the guard's.
    pub(super) fn after(error: &Error, guards: Option<&Self>) -> Self {
        match error {
            // The guard's verdict is on what comes after all that the library has seen: the library's own goes first.
            Error::Io(_) => guards.cloned().unwrap_or(Self::Broken),
            Error::Utf8(_) => Self::Close(CloseCode::Invalid),
            Error::Capacity(_) => Self::Close(CloseCode::Size),
            // The client closed its side without a close frame: what came before is answered (LIFE-4).
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Closed,
            Error::Protocol(_) => Self::Close(CloseCode::Protocol),
            _ => Self::Broken,
        }
    }
}

/// Says goodbye and closes. The server is the side that closes TCP (section 7.1.1).
///
/// What is due goes out first, for which the client has its time and keeps its seat, as over TCP. Without that the seat
/// is free before the echo of the client's own close.
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

/// Writes all that waits, for as long as the client has the patience of the server.
async fn flush<S: Socket>(
    socket: &mut WebSocketStream<WebSocketIo<S>>,
    worker: &WorkerContext,
) -> io::Result<()> {
    let acked = |socket: &WebSocketStream<WebSocketIo<S>>| acked_bytes(socket.get_ref().socket().tcp());
    let flush = |socket: &mut WebSocketStream<WebSocketIo<S>>, cx: &mut Context<'_>| {
        ready!(Pin::new(&mut *socket).poll_flush(cx)).map_err(io::Error::other)?;
        // Once the client has closed, the library hands over what it has, and waits for nothing.
        Pin::new(socket.get_mut()).poll_flush(cx)
    };
    write_timeout::flush_within(socket, worker.config.timeouts.unsent, acked, flush).await
}
