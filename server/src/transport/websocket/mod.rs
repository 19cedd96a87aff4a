//! WebSocket: one text message a request, one text message a reply (WS-1).
//!
//! The library joins fragments, answers pings and closes, and checks UTF-8. Headers are checked by [`guard`]
//! before it sees them, the handshake and the end of the connection are ours.

mod guard;
mod handshake;
mod link;
mod opening;

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};

use futures_util::{Sink, SinkExt, Stream};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::ProtocolError,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use self::link::Link;
use super::{Host, TURN_BUDGET, TURN_COST, UNSENT_BYTES_MAX, is_drained, leave};
use crate::{
    counters::Refusal,
    protocol::{MESSAGE_BYTES_MAX, Reply},
    server::{Phase, Seat},
    session::{Flow, Session},
};

/// What each connection reads at once and keeps for it while idle. The library's own default, 128 KiB, is zeroed
/// for each read; this holds dozens of short requests.
const READ_BYTES: usize = 2 * 1024;

/// From how many bytes on replies go out before a batch is done. Idle connections hold none of this, but one that
/// has sent a batch keeps what it needed.
const WRITE_BYTES: usize = 16 * 1024;

/// The reply to a client that there is no room for.
pub(super) fn full() -> Vec<u8> {
    handshake::Refusal::Full.response()
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ending {
    /// The server closes, and says why.
    Close(CloseCode),
    /// The client has closed; what is due, its close frame's echo included, still goes out.
    Closed,
    /// The connection broke.
    Broken,
}

struct Connection {
    socket: WebSocketStream<Link>,
    session: Session,
    host: Rc<Host>,
}

/// Serves one WebSocket connection until it ends.
pub(super) async fn serve(mut stream: TcpStream, mut seat: Seat, host: Rc<Host>) {
    // Boxed, so that a connection in service need not have room for its own beginning and end.
    let opening = Box::pin(opening::open(&mut stream));
    let opened = tokio::select! {
        opened = opening => opened,
        () = host.phase.stopping() => Err(None),
    };
    let early = match opened {
        Ok(early) => early,
        Err(refusal) => {
            seat.leave(&host.departures);
            if let Some(refusal) = refusal {
                host.counters.refused(Refusal::Handshake);
                tracing::debug!(?refusal, "handshake refused");
                Box::pin(leave::say_and_close(stream, &refusal.response())).await;
            }
            return;
        }
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let socket = WebSocketStream::from_raw_socket(
        Link::new(stream, early, host.counters.clone()),
        Role::Server,
        Some(config),
    )
    .await;
    let mut connection = Connection {
        socket,
        session: Session::new(host.registry.clone(), host.counters.clone()),
        host: host.clone(),
    };
    let ending = connection.run().await;
    let Connection { socket, session, .. } = connection;
    // The name first, then the seat, and only then anything that the client can take for a close (LIFE-3).
    drop(session);
    seat.leave(&host.departures);
    Box::pin(end(socket, ending)).await;
}

/// Says goodbye and closes. The server is the side that closes TCP (section 7.1.1).
async fn end(mut socket: WebSocketStream<Link>, ending: Ending) {
    let goodbye = async {
        match ending {
            Ending::Close(code) => {
                socket.close(Some(CloseFrame { code, reason: Utf8Bytes::default() })).await.is_ok()
            }
            Ending::Closed => socket.flush().await.is_ok(),
            Ending::Broken => false,
        }
    };
    if timeout(leave::FLUSH_MAX, goodbye).await == Ok(true) {
        leave::close(socket.into_inner().into_stream()).await;
    }
}

impl Connection {
    async fn run(&mut self) -> Ending {
        let host = Rc::clone(&self.host);
        let mut stopping = pin!(host.phase.changed());
        let mut registered = false;
        poll_fn(|cx| {
            // Polled once: it leaves this task's waker behind. From then on the phase itself is looked at.
            if !registered {
                registered = true;
                let _ = stopping.as_mut().poll(cx);
            }
            if self.session.is_dismissed() {
                host.counters.refused(Refusal::Operator);
                return Poll::Ready(Ending::Close(CloseCode::Policy));
            }
            let ending = self.turn(cx);
            if ending.is_pending() {
                self.session.wake_on_dismissal(cx.waker());
            }
            ending
        })
        .await
    }

    /// Works until there is nothing to do, no room for replies, or the turn is over.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let mut budget = TURN_BUDGET;
        loop {
            if self.socket.get_ref().unsent_bytes() >= UNSENT_BYTES_MAX {
                match Pin::new(&mut self.socket).poll_flush(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Ending::Broken),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if self.host.phase.get() == Phase::Closing {
                return Poll::Ready(Ending::Close(CloseCode::Away));
            }
            let spent = match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Ready(Some(Ok(Message::Text(text)))) => match self.answer(&text) {
                    Ok((Flow::Continue, spent)) => spent,
                    Ok((Flow::Close, _)) => return Poll::Ready(Ending::Close(CloseCode::Normal)),
                    Err(_) => return Poll::Ready(Ending::Broken),
                },
                Poll::Ready(Some(Ok(Message::Close(_)))) => return Poll::Ready(Ending::Closed),
                // Pings are answered by the library, and the guard lets nothing else pass.
                Poll::Ready(Some(Ok(_))) => TURN_COST,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(self.failure(&error)),
                Poll::Ready(None) => return Poll::Ready(Ending::Broken),
                Poll::Pending => return self.rest(cx),
            };
            budget = budget.saturating_sub(spent);
            if budget == 0 {
                cx.waker().wake_by_ref();
                return self.flush(cx);
            }
        }
    }

    /// Runs one message, queues its reply, and tells what that took of the turn's budget.
    fn answer(&mut self, text: &Utf8Bytes) -> Result<(Flow, usize), Error> {
        let mut message = None;
        let flow = self.session.handle_text(text, |reply| {
            message = Some(match reply {
                Reply::Status(status) => Utf8Bytes::from_static(status.text()),
                Reply::Value(value) => Utf8Bytes::from(value),
            });
        });
        let message = message.unwrap_or_default();
        let spent = TURN_COST + text.len() + message.len();
        Pin::new(&mut self.socket).start_send(Message::Text(message))?;
        Ok((flow, spent))
    }

    /// All that has come is run: the replies go out in one write.
    fn rest(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if is_drained(&self.host) {
            return Poll::Ready(Ending::Close(CloseCode::Away));
        }
        self.flush(cx)
    }

    /// Writes what the kernel takes now; the rest goes when this task is woken for it.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        match Pin::new(&mut self.socket).poll_flush(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(Ending::Broken),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// What the client is told about a fault of its own (WS-4a).
    fn failure(&self, error: &Error) -> Ending {
        if let Some(code) = self.socket.get_ref().fault() {
            return Ending::Close(code);
        }
        match error {
            Error::Utf8(_) => Ending::Close(CloseCode::Invalid),
            Error::Capacity(_) => Ending::Close(CloseCode::Size),
            // The client closed its side without a close frame: what came before is answered (LIFE-4).
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Ending::Closed,
            Error::Protocol(_) => Ending::Close(CloseCode::Protocol),
            _ => Ending::Broken,
        }
    }
}
