//! TCP and raw TCP: the loop that reads, runs and writes for one connection.
//!
//! Everything on the way of a request happens inside one poll: one read into the worker's buffer, every whole
//! message run, all replies of the batch in one write. Nothing is allocated, no timer is armed.

use std::{
    future::{Future, poll_fn},
    ops::ControlFlow,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

use super::{
    BATCH_BYTES, Buffers, Host, TURN_BUDGET, TURN_COST, UNSENT_BYTES_MAX,
    framing::{Framing, Pause},
    is_drained, leave,
    unsent::Unsent,
};
use crate::{
    counters::Refusal,
    server::{Phase, Seat},
    session::{Flow, Session},
};

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The session, the client's sending side or the server has ended: what is unsent still goes out (LIFE-4).
    Orderly,
    /// The connection broke: there is nobody to write to.
    Broken,
}

struct Connection<F> {
    stream: TcpStream,
    framing: F,
    session: Session,
    unsent: Unsent,
    host: Rc<Host>,
}

/// Serves one TCP connection until it ends.
pub(super) async fn serve<F: Framing>(stream: TcpStream, mut seat: Seat, host: Rc<Host>) {
    let session = Session::new(host.registry.clone(), host.counters.clone());
    let mut connection =
        Connection { stream, framing: F::default(), session, unsent: Unsent::default(), host: host.clone() };
    let ending = connection.run().await;
    let Connection { stream, session, unsent, .. } = connection;
    // The name first, then the seat, and only then anything that the client can take for a close (LIFE-3).
    drop(session);
    seat.leave(&host.departures);
    if ending == Ending::Orderly {
        // Boxed, so that a connection in service need not have room for its own end.
        Box::pin(leave::flush_and_close(stream, unsent)).await;
    }
}

impl<F: Framing> Connection<F> {
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
                return Poll::Ready(Ending::Orderly);
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
        let Self { stream, framing, session, unsent, host } = self;
        let mut buffers = host.buffers.borrow_mut();
        let Buffers { input, output } = &mut *buffers;
        let mut budget = TURN_BUDGET;
        loop {
            if !unsent.is_empty() {
                match unsent.poll_flush(stream, cx) {
                    Poll::Ready(Err(_)) => return Poll::Ready(Ending::Broken),
                    Poll::Pending if unsent.len() >= UNSENT_BYTES_MAX => return Poll::Pending,
                    Poll::Ready(Ok(())) | Poll::Pending => {}
                }
            }
            let mut fresh = ReadBuf::new(input);
            if !framing.is_holding() {
                if host.phase.get() == Phase::Closing {
                    return Poll::Ready(Ending::Orderly);
                }
                match Pin::new(&mut *stream).poll_read(cx, &mut fresh) {
                    Poll::Ready(Ok(())) if fresh.filled().is_empty() => return Poll::Ready(Ending::Orderly),
                    Poll::Ready(Ok(())) => host.counters.received(fresh.filled().len()),
                    Poll::Ready(Err(_)) => return Poll::Ready(Ending::Broken),
                    Poll::Pending if is_drained(host) => return Poll::Ready(Ending::Orderly),
                    Poll::Pending => return Poll::Pending,
                }
            }
            output.clear();
            let outcome = framing.feed(fresh.filled(), |message| {
                let before = output.len();
                let flow = session.handle(message, |reply| {
                    output.extend_from_slice(reply.text().as_bytes());
                    output.extend_from_slice(F::TERMINATOR);
                });
                let spent = TURN_COST + message.len() + output.len() - before;
                budget = budget.saturating_sub(spent);
                match flow {
                    Flow::Close => ControlFlow::Break(Pause::End),
                    Flow::Continue if budget == 0 || output.len() >= BATCH_BYTES => {
                        ControlFlow::Break(Pause::Hold)
                    }
                    Flow::Continue => ControlFlow::Continue(()),
                }
            });
            host.counters.sent(output.len());
            if unsent.send(stream, cx, output).is_err() {
                return Poll::Ready(Ending::Broken);
            }
            if outcome == ControlFlow::Break(Pause::End) {
                return Poll::Ready(Ending::Orderly);
            }
            if budget == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}
