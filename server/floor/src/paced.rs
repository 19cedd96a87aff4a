//! A generator over TCP that keeps a pace, for comparisons at the same rate: every client asks once each tick.
//!
//! All of them ask in a row, so that a server is woken once a tick and not once a request, and that the cost of waking
//! does not hide the cost of serving. One that still waits for its reply is passed over: a server that cannot keep
//! up shows in the rate.

use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::roles::Task;
use crate::tcp::{Edges, open_all, wait};
use crate::window::Window;

/// Events taken by one wait: as many as there are connections in the usual run.
const EVENTS: usize = 64;

/// The token of the timer; connections count from 0.
const TIMER: u64 = u64::MAX;

/// Asks over all connections once each `tick`.
pub fn generate(task: &Task, tick: Duration) -> anyhow::Result<Window> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let load = task.talk.load(task.wire);
    let mut clients = open_all(task, &epoll, &load)?;
    let mut is_busy = vec![false; clients.len()];
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
    timer.set(Expiration::Interval(TimeSpec::from_duration(tick)), TimerSetTimeFlags::empty())?;
    epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
    let mut events = [EpollEvent::empty(); EVENTS];
    let mut answered = 0;
    let mut edges = Edges::new(task);
    loop {
        for event in wait(&epoll, &mut events, EpollTimeout::NONE)? {
            if event.data() == TIMER {
                // Only a read sets it for the next tick.
                timer.wait()?;
                for (client, is_busy) in
                    clients.iter_mut().zip(&mut is_busy).filter(|(_, is_busy)| !**is_busy)
                {
                    client.ask(&load)?;
                    *is_busy = true;
                }
                continue;
            }
            let number = event.data() as usize;
            if clients[number].is_answered(&load)? {
                is_busy[number] = false;
                answered += 1;
            }
        }
        if let Some(window) = edges.pass(task, answered)? {
            return Ok(window);
        }
    }
}
