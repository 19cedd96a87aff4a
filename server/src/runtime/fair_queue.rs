//! Whose turn it is among connections that have more to do than one turn allows.
//!
//! Such a connection does not have itself woken. Dozens of those that are woken run between two looks at the kernel, which
//! knows who else has something to say, so a flood would hold everybody up for one turn after the other, and each
//! further flood for as many more. It lines up here instead, and after each look at the kernel one connection of those
//! in line goes on, behind all whom the kernel has woken. Whoever asks little so waits for one turn at most, however many
//! floods there are; and floods still get a turn at each look, so none starves. Who is not logged in lines up, too, for
//! each of its turns: a storm of newcomers is let in one by one.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    task::{Context, Waker},
};

use tokio::{sync::Notify, task::yield_now};

/// A worker's connections that wait for another turn.
#[derive(Debug, Default)]
pub(crate) struct Rota {
    line: RefCell<VecDeque<Waker>>,
    /// How many have ever lined up, and how many of them have been called: tickets are numbers between.
    issued: Cell<u64>,
    called: Cell<u64>,
    arrived: Notify,
}

/// A place in the line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket(u64);

impl Rota {
    /// Whether a connection may take a turn now. Else it lines up, or stays in the line where its ticket is, and is
    /// woken when its turn comes.
    pub(crate) fn admits(&self, ticket: &mut Option<Ticket>, is_logged_in: bool, cx: &Context<'_>) -> bool {
        match ticket.take() {
            Some(held) if !self.is_called(held) => *ticket = Some(held),
            None if !is_logged_in => *ticket = Some(self.line_up(cx)),
            _ => {}
        }
        ticket.is_none()
    }

    /// Has the task woken when its turn comes.
    pub(crate) fn line_up(&self, cx: &Context<'_>) -> Ticket {
        self.line.borrow_mut().push_back(cx.waker().clone());
        self.arrived.notify_one();
        Ticket(self.issued.replace(self.issued.get() + 1))
    }

    /// Whether the turn has come. Not, if the task has been woken for something else.
    fn is_called(&self, ticket: Ticket) -> bool {
        ticket.0 < self.called.get()
    }

    /// Calls one after the other, for as long as the worker runs.
    pub(crate) async fn call(&self) {
        loop {
            // Until the kernel has been asked, and all whom that woke are queued.
            yield_now().await;
            let first = self.line.borrow_mut().pop_front();
            match first {
                Some(waker) => {
                    self.called.set(self.called.get() + 1);
                    waker.wake();
                }
                None => self.arrived.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, rc::Rc, task::Poll};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
        runtime::{Builder, LocalOptions},
        task::spawn_local,
    };

    use super::*;

    /// Waits until it is one's turn again, whoever else wakes the task meanwhile.
    async fn next_turn(rota: &Rota) {
        let mut ticket = None;
        poll_fn(|cx| {
            let ticket = *ticket.get_or_insert_with(|| rota.line_up(cx));
            if rota.is_called(ticket) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn run(test: impl Future<Output = ()>) {
        Builder::new_current_thread()
            .enable_io()
            .build_local(LocalOptions::default())
            .unwrap()
            .block_on(test);
    }

    fn calling() -> Rc<Rota> {
        let rota = Rc::new(Rota::default());
        let calling = Rc::clone(&rota);
        spawn_local(async move { calling.call().await });
        rota
    }

    #[test]
    fn life_5_whoever_the_kernel_wakes_waits_for_two_turns_of_floods_at_most() {
        run(async {
            let (rota, turns) = (calling(), Rc::new(Cell::new(0)));
            for _ in 0..20 {
                let (rota, turns) = (Rc::clone(&rota), Rc::clone(&turns));
                spawn_local(async move {
                    loop {
                        turns.set(turns.get() + 1);
                        next_turn(&rota).await;
                    }
                });
            }
            let (mut asking, mut asked) = UnixStream::pair().unwrap();
            for _ in 0..100 {
                // Somewhere among the floods' turns.
                next_turn(&rota).await;
                let before = turns.get();
                asking.write_u8(1).await.unwrap();
                asked.read_u8().await.unwrap();
                assert!(turns.get() - before <= 2, "{} turns", turns.get() - before);
            }
            assert!(turns.get() > 1000, "the floods went on: {}", turns.get());
        });
    }

    #[test]
    fn turns_go_round_and_a_wake_for_something_else_is_none() {
        run(async {
            let (rota, order) = (calling(), Rc::new(RefCell::new(Vec::new())));
            let tasks: Vec<_> = (0..3)
                .map(|number| {
                    let (rota, order) = (Rc::clone(&rota), Rc::clone(&order));
                    spawn_local(async move {
                        for _ in 0..50 {
                            order.borrow_mut().push(number);
                            let mut turn = std::pin::pin!(next_turn(&rota));
                            poll_fn(|cx| {
                                let turn = turn.as_mut().poll(cx);
                                if turn.is_pending() {
                                    cx.waker().wake_by_ref();
                                }
                                turn
                            })
                            .await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            assert!(order.borrow().chunks(3).all(|round| round == [0, 1, 2]), "{:?}", order.borrow());
        });
    }
}
