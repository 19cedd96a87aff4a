//! TCP, raw TCP and lines over TLS: the loop that reads, runs and writes for one connection.
//!
//! Everything on the way of a request happens inside one poll: one read into the worker's buffer, every whole
//! message run, all replies of the batch in one write. Nothing is allocated, no timer is armed.

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
    BATCH_BYTES, Buffers, Host, TURN_BUDGET, TURN_COST, close,
    delayed_reply::Withheld,
    framing::{Framing, Pause},
    is_drained,
    socket::Socket,
    timers::{Overdue, Vigil},
    write_buffer::Unsent,
};
use crate::{
    counters::{Open, Refusal},
    protocol::Status,
    registry::Peer,
    runtime::{Phase, Seat, Ticket},
    session::{Flow, Session},
};

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The session, the client's sending side or the server has ended: what is unsent still goes out (LIFE-4).
    Orderly,
    /// The client has kept the server waiting, and is told so (TCP-7).
    TimedOut(Status),
    /// The connection broke, or the client takes no replies: there is nobody to write to.
    Broken,
}

struct Connection<F, S> {
    socket: S,
    framing: F,
    session: Session,
    unsent: Unsent,
    /// The answer to a secret, while it is held back.
    withheld: Option<Withheld>,
    vigil: Vigil,
    /// Its place in the line, while it waits for another turn.
    ticket: Option<Ticket>,
    seat: Seat,
    host: Rc<Host>,
}

/// Serves one connection until it ends, and counts it as `open` until then. It has been waited for since `vigil` began.
///
/// A future written by hand, without others inside while the connection is in service: after each system call the
/// processor guesses wrong where any function on the way out returns to.
pub(super) fn serve<F: Framing, S: Socket + 'static>(
    socket: S,
    peer: Peer,
    seat: Seat,
    vigil: Vigil,
    host: Rc<Host>,
    open: Option<Open>,
) -> impl Future<Output = ()> {
    let session = host.new_session(peer);
    let mut serving = Some(Connection {
        socket,
        framing: F::default(),
        session,
        unsent: Unsent::default(),
        withheld: None,
        vigil,
        ticket: None,
        seat,
        host,
    });
    // Boxed, so that a connection in service need not have room for its own end.
    let mut leaving: Option<Pin<Box<dyn Future<Output = ()>>>> = None;
    poll_fn(move |cx| {
        let _ = &open;
        if let Some(connection) = &mut serving {
            let ending = ready!(connection.poll(cx));
            if let Some(connection) = serving.take() {
                leaving = connection.give_up(ending);
            }
        }
        leaving.as_mut().map_or(Poll::Ready(()), |leaving| leaving.as_mut().poll(cx))
    })
}

impl<F: Framing, S: Socket + 'static> Connection<F, S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if !self.vigil.is_watched() {
            self.vigil.set_alarm(cx, false, None);
        }
        if self.vigil.is_due()
            && let Some(ending) = self.overdue(cx)
        {
            return Poll::Ready(ending);
        }
        if self.session.is_dismissed() {
            self.host.counters.refused(Refusal::Operator);
            return Poll::Ready(Ending::Orderly);
        }
        if !self.host.rota.admits(&mut self.ticket, self.session.is_logged_in(), cx) {
            return Poll::Pending;
        }
        let ending = self.turn(cx);
        if ending.is_pending() {
            self.session.wake_on_dismissal(cx.waker());
        }
        ending
    }

    /// Ends the session. The name first, then the seat, and only then, in what is given back, anything that the client
    /// can take for a close (LIFE-3).
    fn give_up(self, ending: Ending) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
        let Self { socket, session, mut unsent, seat, host, .. } = self;
        drop(session);
        match ending {
            Ending::Broken => return None,
            Ending::Orderly => {}
            Ending::TimedOut(status) => {
                unsent.push(status.text().as_bytes());
                unsent.push(F::TERMINATOR);
            }
        }
        Some(Box::pin(close::flush_and_close(socket, unsent, seat, host)))
    }

    /// Ends the connection if it has waited for too long, else has it woken when it next may have.
    fn overdue(&mut self, cx: &Context<'_>) -> Option<Ending> {
        // A client whose reply is held back is not the one who keeps others waiting.
        let overdue = if self.withheld.is_some() {
            self.vigil.note_request();
            None
        } else {
            self.vigil.overdue(self.session.is_logged_in(), self.socket.tcp())
        };
        self.vigil.set_alarm(cx, self.session.is_logged_in(), None);
        overdue.map(|overdue| match self.host.counted(overdue) {
            Overdue::Message(status) if !self.vigil.is_blocked() => Ending::TimedOut(status),
            // A client that leaves replies waiting would not take this one either.
            Overdue::Message(_) | Overdue::Reader => Ending::Broken,
        })
    }

    /// Works until there is nothing to do, no room for replies, or the turn is over.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let Self { socket, framing, session, unsent, withheld, vigil, ticket, seat: _, host } = self;
        let mut buffers = host.buffers.borrow_mut();
        let Buffers { input, output } = &mut *buffers;
        let (mut budget, mut is_over) = (TURN_BUDGET, false);
        loop {
            if !unsent.is_empty(socket) {
                match flush(unsent, socket, vigil, host, session, cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Ending::Broken),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if let Some(reply) = withheld {
                let wait = ready!(reply.poll(cx, host, socket.tcp()));
                *withheld = None;
                output.clear();
                session.conclude(wait, |reply| {
                    output.extend_from_slice(reply.text().as_bytes());
                    output.extend_from_slice(F::TERMINATOR);
                });
                host.counters.sent(output.len());
                if unsent.send(socket, cx, output).is_err() {
                    return Poll::Ready(Ending::Broken);
                }
            }
            let mut fresh = ReadBuf::new(input);
            if !framing.is_holding() {
                if host.phase.get() == Phase::Closing {
                    return Poll::Ready(Ending::Orderly);
                }
                match Pin::new(&mut *socket).poll_read(cx, &mut fresh) {
                    Poll::Ready(Ok(())) if fresh.filled().is_empty() => return Poll::Ready(Ending::Orderly),
                    Poll::Ready(Ok(())) => host.counters.received(fresh.filled().len()),
                    Poll::Ready(Err(_)) => return Poll::Ready(Ending::Broken),
                    Poll::Pending if is_drained(host, socket.tcp()) => return Poll::Ready(Ending::Orderly),
                    Poll::Pending => {
                        if socket.is_cut_short() {
                            *ticket = Some(host.rota.line_up(cx));
                        }
                        return Poll::Pending;
                    }
                }
            }
            output.clear();
            let mut has_guessed_wrong = false;
            let outcome = framing.feed(fresh.filled(), host.config.message_bytes_max, |message| {
                let before = output.len();
                let flow = session.handle(message, |reply| {
                    output.extend_from_slice(reply.text().as_bytes());
                    output.extend_from_slice(F::TERMINATOR);
                });
                let spent = TURN_COST + message.len() + output.len() - before;
                budget = budget.saturating_sub(spent);
                match flow {
                    Flow::Close => ControlFlow::Break(Pause::End),
                    Flow::ContinueAfter { delay, is_wrong } => {
                        has_guessed_wrong = is_wrong;
                        *withheld = Some(Withheld::new(delay));
                        ControlFlow::Break(Pause::Hold)
                    }
                    Flow::Continue if budget == 0 || output.len() >= BATCH_BYTES => {
                        ControlFlow::Break(Pause::Hold)
                    }
                    Flow::Continue => ControlFlow::Continue(()),
                }
            });
            host.counters.sent(output.len());
            if unsent.send(socket, cx, output).is_err() {
                return Poll::Ready(Ending::Broken);
            }
            if outcome == ControlFlow::Break(Pause::End) {
                return Poll::Ready(Ending::Orderly);
            }
            if budget < TURN_BUDGET && session.is_logged_in() {
                vigil.note_request();
                session.note_active(host.watch.now_ms());
            }
            if has_guessed_wrong {
                host.log_wrong_secret(session.name(), socket.tcp());
            }
            // Whoever has asked for something large mostly has nothing more to ask: one more read tells.
            if budget == 0 && (std::mem::replace(&mut is_over, true) || framing.is_holding()) {
                *ticket = Some(host.rota.line_up(cx));
                return Poll::Pending;
            }
        }
    }
}

/// Writes what waits. Pending only where so much still does that nothing more may be read.
fn flush<S: Socket>(
    unsent: &mut Unsent,
    socket: &mut S,
    vigil: &mut Vigil,
    host: &Host,
    session: &Session,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let before = unsent.len(socket);
    let flushed = unsent.poll_flush(socket, cx)?;
    let left = unsent.len(socket);
    if vigil.note_unsent(flushed.is_pending(), left < before, session.is_logged_in()) {
        vigil.set_alarm(cx, session.is_logged_in(), None);
    }
    let is_full = flushed.is_pending() && left >= host.config.unsent_bytes_max;
    if is_full { Poll::Pending } else { Poll::Ready(Ok(())) }
}
