//! A generator over TCP that offers a rate, for comparisons at the same one: each request alone, at its own instant.
//!
//! The connections take turns, so that each has the same load whatever the server does with it. One that still waits
//! for its reply holds up the schedule, and nothing is dropped: a server that cannot keep up shows in the rate.

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use anyhow::ensure;

use crate::clock;
use crate::roles::Task;
use crate::tcp::{Edges, open_all, wait};
use crate::window::Window;

/// Events taken by one wait.
const EVENTS: usize = 64;

/// The token of the timer; connections count from 0.
const TIMER: u64 = u64::MAX;

/// The least that may be achieved of what was offered, for the window to be one at that rate.
const ACHIEVED_MIN: f64 = 0.98;

/// Asks at this rate, in requests a second.
pub fn generate(task: &Task, rate: f64) -> anyhow::Result<Window> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let load = task.talk.load();
    let mut clients = open_all(task, &epoll, &load)?;
    let mut is_busy = vec![false; clients.len()];
    let interval_ns = task.talk.depth() as f64 / rate * clock::SECOND as f64;
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
    let period =
        Expiration::Interval(TimeSpec::from_duration(std::time::Duration::from_nanos(interval_ns as u64)));
    timer.set(period, TimerSetTimeFlags::empty())?;
    // Each expiry is an edge of its own, so the timer need not be read.
    epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, TIMER))?;
    let mut events = [EpollEvent::empty(); EVENTS];
    let (mut sent, mut answered) = (0_u64, 0);
    let start = clock::now();
    let mut edges = Edges::new(task);
    loop {
        for event in wait(&epoll, &mut events, EpollTimeout::NONE)? {
            if event.data() != TIMER {
                let number = event.data() as usize;
                if clients[number].is_answered(&load)? {
                    is_busy[number] = false;
                    answered += 1;
                }
            }
        }
        let due = ((clock::now() - start) as f64 / interval_ns) as u64;
        while sent < due {
            let number = sent as usize % clients.len();
            if is_busy[number] {
                break;
            }
            clients[number].ask(&load)?;
            is_busy[number] = true;
            sent += 1;
        }
        if let Some(window) = edges.pass(task, answered)? {
            let achieved = window.rate();
            ensure!(
                achieved >= ACHIEVED_MIN * rate,
                "only {achieved:.0} of {rate:.0} requests a second were achieved"
            );
            return Ok(window);
        }
    }
}
