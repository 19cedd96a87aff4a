use std::{rc::Rc, thread};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot},
    task::spawn_local,
};

use super::*;

fn run(test: impl Future<Output = ()>) {
    Builder::new_current_thread().enable_io().build_local(LocalOptions::default()).unwrap().block_on(test);
}

fn crew() -> Rc<Crew> {
    let crew = Rc::new(Crew::new());
    let running = Rc::clone(&crew);
    spawn_local(async move { running.run().await });
    crew
}

#[test]
fn members_are_woken_by_the_kernel_by_each_other_and_by_other_threads() {
    run(async {
        let crew = crew();
        let (mut asking, mut asked) = UnixStream::pair().unwrap();
        let (to_next, mut next) = mpsc::unbounded_channel();
        let (done, mut is_done) = oneshot::channel();
        crew.add(async move {
            let byte = asked.read_u8().await.unwrap();
            to_next.send(byte).unwrap();
        });
        crew.add(async move {
            let byte = next.recv().await.unwrap();
            let (answer, answered) = oneshot::channel();
            thread::spawn(move || answer.send(byte + 1));
            done.send(answered.await.unwrap()).unwrap();
        });
        // Both are asleep before the first byte comes.
        yield_now().await;
        assert!(is_done.try_recv().is_err() && crew.len() == 2);
        asking.write_u8(1).await.unwrap();
        assert_eq!(is_done.await, Ok(2));
        crew.gone().await;
    });
}

#[test]
fn every_wake_from_another_thread_arrives() {
    run(async {
        let crew = crew();
        let (send, mut receive) = mpsc::channel(1);
        let sum = Rc::new(Cell::new(0));
        let adding = Rc::clone(&sum);
        crew.add(async move {
            while let Some(number) = receive.recv().await {
                adding.set(adding.get() + number);
            }
        });
        let sender = thread::spawn(move || {
            for number in 1..=10_000_u64 {
                send.blocking_send(number).unwrap();
            }
        });
        crew.gone().await;
        sender.join().unwrap();
        assert_eq!(sum.get(), 10_000 * 10_001 / 2);
    });
}

#[test]
fn life_5_a_panic_ends_its_member_alone() {
    run(async {
        let crew = crew();
        let (send, receive) = oneshot::channel();
        crew.add(async { panic!("a faulty member") });
        crew.add(async move {
            yield_now().await;
            send.send(7).unwrap();
        });
        assert_eq!(receive.await, Ok(7));
        crew.gone().await;
    });
}

#[test]
fn a_wake_after_the_end_reaches_nobody_and_harms_nobody() {
    run(async {
        let crew = crew();
        let kept: Rc<RefCell<Option<Waker>>> = Rc::default();
        let keeping = Rc::clone(&kept);
        crew.add(poll_fn(move |cx| {
            keeping.replace(Some(cx.waker().clone()));
            Poll::Ready(())
        }));
        crew.gone().await;
        let waker = kept.take().unwrap();
        waker.wake_by_ref();
        // The next member has the place of the first, and may be woken once too often.
        let (send, receive) = oneshot::channel::<()>();
        crew.add(async move { receive.await.unwrap() });
        let late = waker.clone();
        thread::spawn(move || late.wake()).join().unwrap();
        yield_now().await;
        assert_eq!(crew.len(), 1);
        send.send(()).unwrap();
        crew.gone().await;
        drop(crew);
        waker.wake();
    });
}

#[test]
fn a_second_crew_of_a_thread_works_as_well_and_a_later_one_has_the_place_of_the_first() {
    run(async {
        for _ in 0..3 {
            let crews = [crew(), crew()];
            let (send, mut receive) = mpsc::unbounded_channel();
            for crew in &crews {
                let send = send.clone();
                crew.add(async move {
                    for number in 0..100 {
                        yield_now().await;
                        send.send(number).unwrap();
                    }
                });
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

async fn never_sleeps_and_leaves_the_runtime_its_turns(crew: &Crew, bound: u64) {
    let turns = Rc::new(Cell::new(0_u64));
    for _ in 0..1000 {
        let turns = Rc::clone(&turns);
        crew.add(poll_fn(move |cx| {
            turns.set(turns.get() + 1);
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
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
    assert!(turns.get() > 1000, "they all had turns: {}", turns.get());
}

#[test]
fn members_that_never_sleep_leave_the_runtime_its_turns() {
    run(async { never_sleeps_and_leaves_the_runtime_its_turns(&crew(), 2 * BATCH as u64).await });
}

/// Its members leave notes, which the runtime runs like any task that wakes itself: 61 times between two looks at the
/// kernel, and a thousand members each time.
#[test]
fn those_of_a_second_crew_do_as_well_if_later() {
    run(async {
        let _first = crew();
        never_sleeps_and_leaves_the_runtime_its_turns(&crew(), 2 * 61 * 1000).await;
    });
}

#[test]
fn whoever_adds_a_member_while_it_runs_itself_is_served() {
    run(async {
        let crew = crew();
        let (send, receive) = oneshot::channel();
        let adding = Rc::clone(&crew);
        crew.add(async move { adding.add(async move { send.send(1).unwrap() }) });
        assert_eq!(receive.await, Ok(1));
        crew.gone().await;
    });
}

#[test]
fn nobody_outlives_the_crew() {
    run(async {
        let held = Rc::new(());
        let crew = Rc::new(Crew::new());
        for _ in 0..3 {
            let held = Rc::clone(&held);
            crew.add(async move {
                std::future::pending::<()>().await;
                drop(held);
            });
        }
        assert_eq!(Rc::strong_count(&held), 4);
        drop(crew);
        assert_eq!(Rc::strong_count(&held), 1);
    });
}
