//! WebSocket: one text message a request, one text message a reply (WS-1).
//!
//! The library joins fragments, answers pings and closes, and checks UTF-8. The validator checks frame headers before
//! the library sees them. The handshake and the end of the connection are done here.

#[cfg(feature = "fuzzing")]
mod alone;
mod closing;
mod ending;
mod handshake;
mod io;
mod opening;
mod service;
mod validator;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures_util::{Sink, Stream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Error, Message,
        protocol::{Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

#[cfg(feature = "fuzzing")]
pub use self::alone::serve_alone;
pub use self::service::Service;
use self::{closing::end, ending::Ending, handshake::HttpRefusal, io::WebSocketIo};
use super::{
    ConnectionParts, TURN_BUDGET, TURN_COST, WorkerContext, close,
    delayed_reply::DelayedReply,
    is_drained,
    socket::Socket,
    timers::{ConnectionTimers, FlushOutcome},
    write_timeout::TimeBudget,
};
use crate::{
    counters,
    runtime::{Phase, QueueSlot},
    session::Flow,
};

/// What each connection reads at once, and keeps while it is idle. The library's own default, 128 KiB, is zeroed for
/// each read; this holds dozens of short requests.
const READ_BYTES: usize = 2 * 1024;

/// How many bytes of replies are gathered before they are written. An idle connection holds none of this, but one that
/// has sent a batch keeps what it needed.
const WRITE_BYTES: usize = 16 * 1024;

/// The size of a message with its reply from which the library keeps more memory than an idle connection should hold.
const LARGE_BYTES: usize = 2 * READ_BYTES;

/// How long that memory is kept for the next message.
const LARGE_BUFFERS_KEPT: Duration = Duration::from_secs(1);

/// The reply to a client that is refused because the server is full.
pub(super) fn full() -> Vec<u8> {
    HttpRefusal::Full.response()
}

struct Connection<V, S> {
    socket: WebSocketStream<WebSocketIo<S>>,
    service: V,
    /// The answer to a secret, while it is delayed.
    delayed_reply: Option<DelayedReply>,
    timers: ConnectionTimers,
    /// Its slot in the fair queue, while it waits for another turn.
    turn: Option<QueueSlot>,
    /// When a ping was sent, if nothing has come since.
    pinged_at: Option<Instant>,
    /// When a large message last made the library's buffers grow.
    large_buffers_at: Option<Instant>,
    worker: Rc<WorkerContext>,
}

/// Serves one WebSocket connection until it ends. The client has `opening_time` for the handshake.
pub(super) fn serve<V: Service, S: Socket>(
    socket: S,
    service: V,
    parts: ConnectionParts,
    opening_time: TimeBudget,
) -> impl Future<Output = ()> {
    let ConnectionParts { mut permit, timers, worker, open } = parts;
    // The handshake, the connection and its end are each boxed, so that none takes room for the others.
    let begun = Box::pin(begin(socket, timers, opening_time, Rc::clone(&worker), service));
    async move {
        let _open = open;
        let mut connection = match begun.await {
            Ok(connection) => connection,
            Err((socket, refusal)) => {
                permit.release_early(&worker.closing_permits);
                if let Some(refusal) = refusal {
                    if let Some(reason) = refusal.reason() {
                        worker.counters.refused(reason);
                    }
                    tracing::debug!(?refusal, "handshake refused");
                    Box::pin(close::send_and_close(socket, &refusal.response())).await;
                }
                return;
            }
        };
        let ending = loop {
            match connection.run().await {
                Some(ending) => break ending,
                None => connection = Box::pin(connection.with_small_buffers()).await,
            }
        };
        Box::pin(end(connection.into_closing(), ending, permit, worker)).await;
    }
}

/// Makes the opening handshake. If it fails, returns the socket and the refusal that is still to be sent, if any.
async fn begin<V: Service, S: Socket>(
    mut socket: S,
    timers: ConnectionTimers,
    mut time: TimeBudget,
    worker: Rc<WorkerContext>,
    service: V,
) -> Result<Box<Connection<V, S>>, (S, Option<HttpRefusal>)> {
    let opened = tokio::select! {
        opened = opening::open(&mut socket, &mut time, &worker.config.origins) => opened,
        () = worker.phase.stopping() => Err(Some(HttpRefusal::Stopping)),
    };
    let early = match opened {
        Ok(early) => early,
        Err(refusal) => return Err((socket, refusal)),
    };
    let io = WebSocketIo::new(socket, early, V::TAKES_BINARY, Rc::clone(&worker));
    Ok(Box::new(Connection {
        socket: websocket_over(io, &worker).await,
        service,
        delayed_reply: None,
        timers,
        turn: None,
        pinged_at: None,
        large_buffers_at: None,
        worker,
    }))
}

/// The library's stream, at the beginning of a connection or between two messages.
async fn websocket_over<S: Socket>(
    io: WebSocketIo<S>,
    worker: &WorkerContext,
) -> WebSocketStream<WebSocketIo<S>> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_message_size(Some(worker.config.message_bytes_max))
        // A control frame may be longer than a message.
        .max_frame_size(Some(worker.config.message_bytes_max.max(validator::CONTROL_BYTES_MAX as usize)));
    WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await
}

impl<V: Service, S: Socket> Connection<V, S> {
    /// Serves until the connection ends; `None` if it is idle and should give memory back.
    async fn run(&mut self) -> Option<Ending> {
        poll_fn(|cx| {
            if !self.timers.is_registered() {
                self.set_alarm(cx);
            }
            if self.timers.is_due()
                && let Some(ending) = self.check_timeouts(cx)
            {
                return Poll::Ready(Some(ending));
            }
            if self.service.is_disconnect_requested() {
                self.worker.counters.refused(counters::Refusal::Operator);
                return Poll::Ready(Some(Ending::Close(CloseCode::Policy)));
            }
            if !self.worker.turns.may_run(&mut self.turn, self.service.is_logged_in(), cx) {
                return Poll::Pending;
            }
            if let Poll::Ready(ending) = self.turn(cx) {
                return Poll::Ready(Some(ending));
            }
            self.service.wake_on_disconnect(cx.waker());
            if self.large_buffers_at.is_some() {
                if self.may_shrink() {
                    return Poll::Ready(None);
                }
                self.set_alarm(cx);
            }
            Poll::Pending
        })
        .await
    }

    /// Whether it is time to give the buffers' memory back, and nothing is in them.
    fn may_shrink(&mut self) -> bool {
        self.shrink_due().is_some_and(|due| due <= self.worker.clock.now())
            && self.delayed_reply.is_none()
            && self.turn.is_none()
            && self.socket.get_mut().is_idle()
    }

    fn shrink_due(&self) -> Option<Instant> {
        self.timers.after(self.large_buffers_at?, LARGE_BUFFERS_KEPT)
    }

    /// The same idle connection with buffers as small as at its beginning.
    async fn with_small_buffers(self: Box<Self>) -> Box<Self> {
        let Self { socket, service, delayed_reply, timers, turn, pinged_at, worker, .. } = *self;
        let socket = websocket_over(socket.into_inner(), &worker).await;
        Box::new(Self {
            socket,
            service,
            delayed_reply,
            timers,
            turn,
            pinged_at,
            large_buffers_at: None,
            worker,
        })
    }

    /// Ends the session. The name is freed first, then the permit, and only then can the client see any sign of the close
    /// (LIFE-3).
    #[expect(clippy::boxed_local, reason = "it lives in a box; taking it out first would hold it twice")]
    fn into_closing(self: Box<Self>) -> WebSocketStream<WebSocketIo<S>> {
        let Self { socket, service, .. } = *self;
        drop(service);
        socket
    }

    /// Ends the connection if a time-out has expired; otherwise sets the alarm for the next one. Pings the client if it
    /// is time.
    fn check_timeouts(&mut self, cx: &mut Context<'_>) -> Option<Ending> {
        // A client whose reply is delayed keeps nothing waiting.
        if self.delayed_reply.is_some() {
            self.timers.note_request();
        }
        let expired = self.timers.expired(self.service.is_logged_in(), self.socket.get_ref().socket().tcp());
        let ending = expired.map(|timeout| {
            self.worker.count_timeout(timeout);
            match timeout.status() {
                Some(_) if !self.timers.is_blocked() => Ending::Close(CloseCode::Policy),
                // A client that takes no replies would not take a close either.
                _ => Ending::Broken,
            }
        });
        let ending = ending.or_else(|| self.ping_or_give_up(cx));
        self.set_alarm(cx);
        ending
    }

    /// Pings a client that has been silent for long, and ends the connection if it stays silent.
    fn ping_or_give_up(&mut self, cx: &mut Context<'_>) -> Option<Ending> {
        let now = self.worker.clock.now();
        if self.ping_due().is_none_or(|due| now < due) {
            return None;
        }
        if self.pinged_at.is_some() {
            self.worker.counters.refused(counters::Refusal::PingTimeout);
            return Some(Ending::Close(CloseCode::Policy));
        }
        self.pinged_at = Some(now);
        let pinged = Pin::new(&mut self.socket).start_send(Message::Ping(Bytes::new()));
        if pinged.is_err() || matches!(Pin::new(&mut self.socket).poll_flush(cx), Poll::Ready(Err(_))) {
            return Some(Ending::Broken);
        }
        None
    }

    /// When the client's silence is to be checked. Not while replies wait: the ping would wait behind them.
    fn ping_due(&mut self) -> Option<Instant> {
        if self.timers.is_blocked() || self.delayed_reply.is_some() {
            return None;
        }
        let heard_at = self.socket.get_ref().heard_at();
        // If both show the same tick, the client was silent before the ping and may have answered: it gets the benefit
        // of the doubt.
        self.pinged_at = self.pinged_at.filter(|pinged_at| heard_at < *pinged_at);
        self.timers.after(self.pinged_at.unwrap_or(heard_at), self.worker.config.timeouts.ping?)
    }

    fn set_alarm(&mut self, cx: &Context<'_>) {
        let also = [self.ping_due(), self.shrink_due()].into_iter().flatten().min();
        self.timers.set_alarm(cx, self.service.is_logged_in(), also);
    }

    /// Works until there is nothing to do, no room for replies, or the turn is over.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let (mut budget, mut is_over) = (TURN_BUDGET, false);
        self.socket.get_mut().begin_turn();
        loop {
            if self.socket.get_mut().unsent_bytes() >= self.worker.config.unsent_bytes_max
                && let Some(ending) = ready!(self.make_room(cx))
            {
                return Poll::Ready(ending);
            }
            if let Some(reply) = &mut self.delayed_reply {
                let tcp = self.socket.get_ref().socket().tcp();
                let Poll::Ready(outcome) = reply.poll(cx, &self.worker, tcp) else { return self.flush(cx) };
                self.delayed_reply = None;
                let reply = self.service.finish_delayed(outcome);
                if Pin::new(&mut self.socket).start_send(reply).is_err() {
                    return Poll::Ready(Ending::Broken);
                }
            }
            if self.worker.phase.get() == Phase::Closing {
                return Poll::Ready(Ending::Close(CloseCode::Away));
            }
            let spent = match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Ready(Some(Ok(message @ (Message::Text(_) | Message::Binary(_))))) => {
                    match self.answer(&message) {
                        Ok((Flow::Continue | Flow::ContinueAfter { .. }, spent)) => spent,
                        Ok((Flow::Close, _)) => return Poll::Ready(Ending::Close(CloseCode::Normal)),
                        Err(_) => return Poll::Ready(Ending::Broken),
                    }
                }
                Poll::Ready(Some(Ok(Message::Close(_)))) => return Poll::Ready(Ending::Closed),
                // Pings are answered by the library, and the validator lets nothing else pass.
                Poll::Ready(Some(Ok(_))) => TURN_COST,
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Ending::after(&error, self.socket.get_ref().ending()));
                }
                Poll::Ready(None) => return Poll::Ready(Ending::Broken),
                Poll::Pending if self.socket.get_ref().is_budget_exhausted() => {
                    self.turn = Some(self.worker.turns.enqueue(cx));
                    return self.flush(cx);
                }
                Poll::Pending => return self.idle(cx),
            };
            budget = budget.saturating_sub(spent);
            // A client that has asked for something large rarely has more to ask: one more read finds out.
            if budget == 0 && std::mem::replace(&mut is_over, true) {
                self.turn = Some(self.worker.turns.enqueue(cx));
                return self.flush(cx);
            }
        }
    }

    /// Waits until a client that reads slowly has taken all that waits for it.
    fn make_room(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ending>> {
        self.poll_flush(cx).map(|flushed| flushed.err().map(|_| Ending::Broken))
    }

    /// Writes what waits, and notes whether the client takes it.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let before = self.socket.get_mut().unsent_bytes();
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        // Nearly always nothing waits, before or after.
        if flushed.is_pending() || self.timers.is_blocked() {
            let has_progressed = self.socket.get_mut().unsent_bytes() < before;
            let outcome = FlushOutcome { is_pending: flushed.is_pending(), has_progressed };
            if self.timers.note_flush(outcome, self.service.is_logged_in()) {
                self.set_alarm(cx);
            }
        }
        flushed
    }

    /// Handles one message, queues its reply, and returns what that took of the turn's budget.
    fn answer(&mut self, message: &Message) -> Result<(Flow, usize), Error> {
        let (reply, flow) = self.service.answer(message);
        if self.service.is_logged_in() {
            self.timers.note_request();
            self.service.note_active(self.worker.clock.now_ms());
        }
        let bytes = message.len() + reply.len();
        if bytes > LARGE_BYTES {
            self.large_buffers_at = Some(self.worker.clock.now());
        }
        let spent = TURN_COST + bytes;
        if let Flow::ContinueAfter { delay, is_wrong } = flow {
            if is_wrong {
                self.worker.log_wrong_secret(self.service.name(), self.socket.get_ref().socket().tcp());
            }
            self.delayed_reply = Some(DelayedReply::new(delay));
        } else {
            Pin::new(&mut self.socket).start_send(reply)?;
        }
        Ok((flow, spent))
    }

    /// All that has come is handled: the replies go out in one write.
    fn idle(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if is_drained(&self.worker, self.socket.get_ref().socket().tcp()) {
            return Poll::Ready(Ending::Close(CloseCode::Away));
        }
        self.flush(cx)
    }

    /// Writes what the kernel takes now. The rest goes when the task is woken for it.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        match self.poll_flush(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(Ending::Broken),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }
}
