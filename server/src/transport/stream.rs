//! TCP, raw TCP and lines over TLS: the loop that reads, handles and writes for one connection.
//!
//! A request is handled within one poll: one read into the worker's buffer, all whole messages, and all replies of the
//! batch in one write. Nothing is allocated and no timer is set.

use std::{
    future::{Future, poll_fn},
    io,
    ops::ControlFlow,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::ReadBuf;

use super::{
    BATCH_BYTES, Buffers, ConnectionParts, TURN_BUDGET, TURN_COST, WorkerContext, close,
    delayed_reply::DelayedReply,
    framing::{Codec, Pause},
    is_drained,
    socket::Socket,
    timers::{ConnectionTimers, FlushOutcome},
    write_buffer::WriteBuffer,
};
use crate::{
    counters::Refusal,
    protocol::Status,
    runtime::{ConnectionPermit, Phase, QueueSlot},
    session::{Flow, Session},
};

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The session, the client's sending side or the server has ended. What is unsent still goes out (LIFE-4).
    Orderly,
    /// A time-out has expired. The client is told so (TCP-7).
    TimedOut(Status),
    /// The connection broke, or the client takes no replies, so that nothing can be sent to it.
    Broken,
}

struct Connection<C, S> {
    socket: S,
    codec: C,
    session: Session,
    unsent: WriteBuffer,
    /// The answer to a secret, while it is delayed.
    delayed_reply: Option<DelayedReply>,
    timers: ConnectionTimers,
    /// Its slot in the fair queue, while it waits for another turn.
    turn: Option<QueueSlot>,
    permit: ConnectionPermit,
    worker: Rc<WorkerContext>,
}

/// Serves one connection until it ends.
///
/// A hand-written future without others inside while the connection is in service: after a system call, the processor
/// mispredicts every return on the way out.
pub(super) fn serve<C: Codec, S: Socket + 'static>(
    socket: S,
    session: Session,
    parts: ConnectionParts,
) -> impl Future<Output = ()> {
    let ConnectionParts { permit, timers, worker, open } = parts;
    let mut serving = Some(Connection {
        socket,
        codec: C::default(),
        session,
        unsent: WriteBuffer::default(),
        delayed_reply: None,
        timers,
        turn: None,
        permit,
        worker,
    });
    // Boxed, so that a connection in service needs no room for its own end.
    let mut closing: Option<Pin<Box<dyn Future<Output = ()>>>> = None;
    poll_fn(move |cx| {
        let _ = &open;
        if let Some(connection) = &mut serving {
            let ending = ready!(connection.poll(cx));
            if let Some(connection) = serving.take() {
                closing = connection.into_closing(ending);
            }
        }
        closing.as_mut().map_or(Poll::Ready(()), |closing| closing.as_mut().poll(cx))
    })
}

impl<C: Codec, S: Socket + 'static> Connection<C, S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if !self.timers.is_registered() {
            self.timers.set_alarm(cx, false, None);
        }
        if self.timers.is_due()
            && let Some(ending) = self.check_timeouts(cx)
        {
            return Poll::Ready(ending);
        }
        if self.session.is_disconnect_requested() {
            self.worker.counters.refused(Refusal::Operator);
            return Poll::Ready(Ending::Orderly);
        }
        if !self.worker.turns.may_run(&mut self.turn, self.session.is_logged_in(), cx) {
            return Poll::Pending;
        }
        let ending = self.turn(cx);
        if ending.is_pending() {
            self.session.wake_on_disconnect(cx.waker());
        }
        ending
    }

    /// Ends the session and returns the future that closes the connection. The name is freed first, then the permit, and
    /// only then can the client see any sign of the close (LIFE-3).
    fn into_closing(self, ending: Ending) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
        let Self { socket, session, mut unsent, permit, worker, .. } = self;
        drop(session);
        match ending {
            Ending::Broken => return None,
            Ending::Orderly => {}
            Ending::TimedOut(status) => {
                unsent.push(status.text().as_bytes());
                unsent.push(C::TERMINATOR);
            }
        }
        Some(Box::pin(close::flush_and_close(socket, unsent, permit, worker)))
    }

    /// Ends the connection if a time-out has expired; otherwise sets the alarm for the next one.
    fn check_timeouts(&mut self, cx: &Context<'_>) -> Option<Ending> {
        // A client whose reply is delayed keeps nothing waiting.
        let expired = if self.delayed_reply.is_some() {
            self.timers.note_request();
            None
        } else {
            self.timers.expired(self.session.is_logged_in(), self.socket.tcp())
        };
        self.timers.set_alarm(cx, self.session.is_logged_in(), None);
        let timeout = expired?;
        self.worker.count_timeout(timeout);
        Some(match timeout.status() {
            Some(status) if !self.timers.is_blocked() => Ending::TimedOut(status),
            // A client that takes no replies would not take this one either.
            _ => Ending::Broken,
        })
    }

    /// Works until there is nothing to do, no room for replies, or the turn is over.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let Self { socket, codec, session, unsent, delayed_reply, timers, turn, permit: _, worker } = self;
        let mut buffers = worker.buffers.borrow_mut();
        let Buffers { input, output } = &mut *buffers;
        let (mut budget, mut is_over) = (TURN_BUDGET, false);
        loop {
            if !unsent.is_empty(socket) {
                match flush(unsent, socket, timers, worker, session, cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Ending::Broken),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if let Some(reply) = delayed_reply {
                let outcome = ready!(reply.poll(cx, worker, socket.tcp()));
                *delayed_reply = None;
                output.clear();
                session.finish_delayed(outcome, |reply| {
                    output.extend_from_slice(reply.text().as_bytes());
                    output.extend_from_slice(C::TERMINATOR);
                });
                worker.counters.sent(output.len());
                if unsent.send(socket, cx, output).is_err() {
                    return Poll::Ready(Ending::Broken);
                }
            }
            let mut fresh = ReadBuf::new(input);
            if !codec.has_pending() {
                if worker.phase.get() == Phase::Closing {
                    return Poll::Ready(Ending::Orderly);
                }
                match Pin::new(&mut *socket).poll_read(cx, &mut fresh) {
                    Poll::Ready(Ok(())) if fresh.filled().is_empty() => return Poll::Ready(Ending::Orderly),
                    Poll::Ready(Ok(())) => worker.counters.received(fresh.filled().len()),
                    Poll::Ready(Err(_)) => return Poll::Ready(Ending::Broken),
                    Poll::Pending if is_drained(worker, socket.tcp()) => return Poll::Ready(Ending::Orderly),
                    Poll::Pending => {
                        if socket.is_budget_exhausted() {
                            *turn = Some(worker.turns.enqueue(cx));
                        }
                        return Poll::Pending;
                    }
                }
            }
            output.clear();
            let mut was_secret_wrong = false;
            let outcome = codec.feed(fresh.filled(), worker.config.message_bytes_max, |message| {
                let before = output.len();
                let flow = session.handle(message, |reply| {
                    output.extend_from_slice(reply.text().as_bytes());
                    output.extend_from_slice(C::TERMINATOR);
                });
                let spent = TURN_COST + message.len() + output.len() - before;
                budget = budget.saturating_sub(spent);
                match flow {
                    Flow::Close => ControlFlow::Break(Pause::End),
                    Flow::ContinueAfter { delay, is_wrong } => {
                        was_secret_wrong = is_wrong;
                        *delayed_reply = Some(DelayedReply::new(delay));
                        ControlFlow::Break(Pause::Hold)
                    }
                    Flow::Continue if budget == 0 || output.len() >= BATCH_BYTES => {
                        ControlFlow::Break(Pause::Hold)
                    }
                    Flow::Continue => ControlFlow::Continue(()),
                }
            });
            worker.counters.sent(output.len());
            if unsent.send(socket, cx, output).is_err() {
                return Poll::Ready(Ending::Broken);
            }
            if outcome == ControlFlow::Break(Pause::End) {
                return Poll::Ready(Ending::Orderly);
            }
            if budget < TURN_BUDGET && session.is_logged_in() {
                timers.note_request();
                session.note_active(worker.clock.now_ms());
            }
            if was_secret_wrong {
                worker.log_wrong_secret(session.name(), socket.tcp());
            }
            // A client that has asked for something large rarely has more to ask: one more read finds out.
            if budget == 0 && (std::mem::replace(&mut is_over, true) || codec.has_pending()) {
                *turn = Some(worker.turns.enqueue(cx));
                return Poll::Pending;
            }
        }
    }
}

/// Writes what waits. Pending only if so much remains that nothing more may be read.
fn flush<S: Socket>(
    unsent: &mut WriteBuffer,
    socket: &mut S,
    timers: &mut ConnectionTimers,
    worker: &WorkerContext,
    session: &Session,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let before = unsent.len(socket);
    let flushed = unsent.poll_flush(socket, cx)?;
    let left = unsent.len(socket);
    let outcome = FlushOutcome { is_pending: flushed.is_pending(), has_progressed: left < before };
    if timers.note_flush(outcome, session.is_logged_in()) {
        timers.set_alarm(cx, session.is_logged_in(), None);
    }
    let is_full = flushed.is_pending() && left >= worker.config.unsent_bytes_max;
    if is_full { Poll::Pending } else { Poll::Ready(Ok(())) }
}
