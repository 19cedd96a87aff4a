//! The queue of connections that have more to do than one turn allows.
//!
//! Such a connection does not wake itself. Dozens of woken tasks run between two polls of the kernel, which alone knows
//! what else has arrived: each flooding client would delay all others by a turn, again and again. Instead it enqueues
//! itself here, and after each poll of the kernel one connection of the queue goes on, behind all that the kernel has
//! woken. So a client that asks for little waits for one turn at most, however many floods there are; and one flood gets
//! a turn after each poll, so that none starves. A connection that has not logged in enqueues itself for each of its
//! turns: a storm of newcomers is let in one by one.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    task::{Context, Waker},
};

use tokio::{sync::Notify, task::yield_now};

/// A worker's connections that wait for another turn.
#[derive(Debug, Default)]
pub(crate) struct FairQueue {
    waiting: RefCell<VecDeque<Waker>>,
    /// How many have ever been enqueued, and how many of them have been dequeued.
    enqueued: Cell<u64>,
    dequeued: Cell<u64>,
    added: Notify,
}

/// A connection's position in the queue, counted from the worker's start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueSlot(u64);

impl FairQueue {
    /// Whether a connection may take a turn now. If not, it is enqueued or keeps its slot, and is woken when its turn
    /// comes.
    pub(crate) fn may_run(&self, slot: &mut Option<QueueSlot>, is_logged_in: bool, cx: &Context<'_>) -> bool {
        match slot.take() {
            Some(held) if !self.is_reached(held) => *slot = Some(held),
            None if !is_logged_in => *slot = Some(self.enqueue(cx)),
            _ => {}
        }
        slot.is_none()
    }

    /// Enqueues the task, which is woken when its turn comes.
    pub(crate) fn enqueue(&self, cx: &Context<'_>) -> QueueSlot {
        self.waiting.borrow_mut().push_back(cx.waker().clone());
        self.added.notify_one();
        QueueSlot(self.enqueued.replace(self.enqueued.get() + 1))
    }

    /// Whether the slot's turn has come. The task may have been woken for something else.
    fn is_reached(&self, slot: QueueSlot) -> bool {
        slot.0 < self.dequeued.get()
    }

    /// Wakes one connection after another, for as long as the worker runs.
    pub(crate) async fn run(&self) {
        loop {
            // Until the kernel has been polled and all that it woke is queued.
            yield_now().await;
            let first = self.waiting.borrow_mut().pop_front();
            match first {
                Some(waker) => {
                    self.dequeued.set(self.dequeued.get() + 1);
                    waker.wake();
                }
                None => self.added.notified().await,
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
        task::spawn_local,
    };

    use super::*;
    use crate::runtime::block_on;

    /// Waits for the next turn, whatever else wakes the task meanwhile.
    async fn next_turn(queue: &FairQueue) {
        let mut slot = None;
        poll_fn(|cx| {
            let slot = *slot.get_or_insert_with(|| queue.enqueue(cx));
            if queue.is_reached(slot) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn running() -> Rc<FairQueue> {
        let queue = Rc::new(FairQueue::default());
        let running_queue = Rc::clone(&queue);
        spawn_local(async move { running_queue.run().await });
        queue
    }

    #[test]
    fn life_5_a_task_that_the_kernel_wakes_waits_for_two_turns_of_floods_at_most() {
        block_on(async {
            let (queue, turns) = (running(), Rc::new(Cell::new(0)));
            for _ in 0..20 {
                let (queue, turns) = (Rc::clone(&queue), Rc::clone(&turns));
                spawn_local(async move {
                    loop {
                        turns.set(turns.get() + 1);
                        next_turn(&queue).await;
                    }
                });
            }
            let (mut asking, mut asked) = UnixStream::pair().unwrap();
            for _ in 0..100 {
                // Somewhere among the floods' turns.
                next_turn(&queue).await;
                let before = turns.get();
                asking.write_u8(1).await.unwrap();
                asked.read_u8().await.unwrap();
                assert!(turns.get() - before <= 2, "{} turns", turns.get() - before);
            }
            assert!(turns.get() > 1000, "the floods went on: {}", turns.get());
        });
    }

    #[test]
    fn turns_go_round_and_a_wake_for_something_else_is_no_turn() {
        block_on(async {
            let (queue, order) = (running(), Rc::new(RefCell::new(Vec::new())));
            let tasks: Vec<_> = (0..3)
                .map(|number| {
                    let (queue, order) = (Rc::clone(&queue), Rc::clone(&order));
                    spawn_local(async move {
                        for _ in 0..50 {
                            order.borrow_mut().push(number);
                            let mut turn = std::pin::pin!(next_turn(&queue));
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
