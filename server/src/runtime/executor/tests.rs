use std::{rc::Rc, thread};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::{mpsc, oneshot},
    task::spawn_local,
};

use super::*;
use crate::runtime::block_on;

fn executor() -> Rc<Executor> {
    let executor = Rc::new(Executor::new());
    let running = Rc::clone(&executor);
    spawn_local(async move { running.run().await });
    executor
}

#[test]
fn tasks_are_woken_by_the_kernel_by_each_other_and_by_other_threads() {
    block_on(async {
        let executor = executor();
        let (mut asking, mut asked) = UnixStream::pair().unwrap();
        let (to_next, mut next) = mpsc::unbounded_channel();
        let (done, mut is_done) = oneshot::channel();
        executor.spawn(Box::pin(async move {
            let byte = asked.read_u8().await.unwrap();
            to_next.send(byte).unwrap();
        }));
        executor.spawn(Box::pin(async move {
            let byte = next.recv().await.unwrap();
            let (answer, answered) = oneshot::channel();
            thread::spawn(move || answer.send(byte + 1));
            done.send(answered.await.unwrap()).unwrap();
        }));
        // Both are asleep before the first byte comes.
        yield_now().await;
        assert!(is_done.try_recv().is_err() && executor.len() == 2);
        asking.write_u8(1).await.unwrap();
        assert_eq!(is_done.await, Ok(2));
        executor.wait_idle().await;
    });
}

#[test]
fn every_wake_from_another_thread_arrives() {
    block_on(async {
        let executor = executor();
        let (send, mut receive) = mpsc::channel(1);
        let sum = Rc::new(Cell::new(0));
        let adding = Rc::clone(&sum);
        executor.spawn(Box::pin(async move {
            while let Some(number) = receive.recv().await {
                adding.set(adding.get() + number);
            }
        }));
        let sender = thread::spawn(move || {
            for number in 1..=10_000_u64 {
                send.blocking_send(number).unwrap();
            }
        });
        executor.wait_idle().await;
        sender.join().unwrap();
        assert_eq!(sum.get(), 10_000 * 10_001 / 2);
    });
}

#[test]
fn life_5_a_panic_ends_its_task_alone() {
    block_on(async {
        let executor = executor();
        let (send, receive) = oneshot::channel();
        executor.spawn(Box::pin(async { panic!("a faulty task") }));
        executor.spawn(Box::pin(async move {
            yield_now().await;
            send.send(7).unwrap();
        }));
        assert_eq!(receive.await, Ok(7));
        executor.wait_idle().await;
    });
}

#[test]
fn a_wake_after_the_end_of_a_task_does_no_harm() {
    block_on(async {
        let executor = executor();
        let kept: Rc<RefCell<Option<Waker>>> = Rc::default();
        let keeping = Rc::clone(&kept);
        executor.spawn(Box::pin(poll_fn(move |cx| {
            keeping.replace(Some(cx.waker().clone()));
            Poll::Ready(())
        })));
        executor.wait_idle().await;
        let waker = kept.take().unwrap();
        waker.wake_by_ref();
        // The next task has the key of the first, and may be woken once too often.
        let (send, receive) = oneshot::channel::<()>();
        executor.spawn(Box::pin(async move { receive.await.unwrap() }));
        let late = waker.clone();
        thread::spawn(move || late.wake()).join().unwrap();
        yield_now().await;
        assert_eq!(executor.len(), 1);
        send.send(()).unwrap();
        executor.wait_idle().await;
        drop(executor);
        waker.wake();
    });
}

#[test]
fn a_second_executor_of_a_thread_works_and_a_later_one_gets_the_local_queue() {
    block_on(async {
        for _ in 0..3 {
            let executors = [executor(), executor()];
            let (send, mut receive) = mpsc::unbounded_channel();
            for executor in &executors {
                let send = send.clone();
                executor.spawn(Box::pin(async move {
                    for number in 0..100 {
                        yield_now().await;
                        send.send(number).unwrap();
                    }
                }));
            }
            drop(send);
            let mut sum = 0;
            while let Some(number) = receive.recv().await {
                sum += number;
            }
            assert_eq!(sum, 2 * 99 * 50);
        }
    });
}

async fn tasks_that_never_sleep_leave_the_runtime_its_turns(executor: &Executor, bound: u64) {
    let turns = Rc::new(Cell::new(0_u64));
    for _ in 0..1000 {
        let turns = Rc::clone(&turns);
        executor.spawn(Box::pin(poll_fn(move |cx| {
            turns.set(turns.get() + 1);
            cx.waker().wake_by_ref();
            Poll::Pending
        })));
    }
    let (mut asking, mut asked) = UnixStream::pair().unwrap();
    for _ in 0..100 {
        yield_now().await;
        let before = turns.get();
        asking.write_u8(1).await.unwrap();
        asked.read_u8().await.unwrap();
        let waited = turns.get() - before;
        assert!(waited <= bound, "{waited} turns");
    }
    assert!(turns.get() > 1000, "each task had turns: {}", turns.get());
}

#[test]
fn busy_tasks_leave_the_runtime_its_turns() {
    block_on(async {
        tasks_that_never_sleep_leave_the_runtime_its_turns(&executor(), 2 * BATCH as u64).await;
    });
}

/// Its tasks go through the remote queue, so that the runner wakes itself like any task of the runtime: 61 times between two
/// polls of the kernel, with a thousand tasks each time.
#[test]
fn busy_tasks_of_a_second_executor_do_so_later() {
    block_on(async {
        let _first = executor();
        tasks_that_never_sleep_leave_the_runtime_its_turns(&executor(), 2 * 61 * 1000).await;
    });
}

#[test]
fn a_task_may_spawn_another() {
    block_on(async {
        let executor = executor();
        let (send, receive) = oneshot::channel();
        let adding = Rc::clone(&executor);
        executor.spawn(Box::pin(async move { adding.spawn(Box::pin(async move { send.send(1).unwrap() })) }));
        assert_eq!(receive.await, Ok(1));
        executor.wait_idle().await;
    });
}

#[test]
fn no_task_outlives_the_executor() {
    block_on(async {
        let held = Rc::new(());
        let executor = Rc::new(Executor::new());
        for _ in 0..3 {
            let held = Rc::clone(&held);
            executor.spawn(Box::pin(async move {
                std::future::pending::<()>().await;
                drop(held);
            }));
        }
        assert_eq!(Rc::strong_count(&held), 4);
        drop(executor);
        assert_eq!(Rc::strong_count(&held), 1);
    });
}
