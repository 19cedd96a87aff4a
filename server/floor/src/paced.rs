//! Turns at a pace, for comparisons at the same rate: every client asks once each tick.
//!
//! All of them ask in a row, so that a server is woken once a tick and not once a request, and that the cost of waking
//! does not hide the cost of serving. Those who connected first, third and so on ask before the others: a server deals
//! them to one of two workers, which then finds as many of them at once as a single worker does. Asked at every second
//! request it would go to sleep after each: what less load costs, not what sharing it does.
//!
//! One that still waits for its reply is passed over: a server that cannot keep up shows in the rate.

use std::time::Duration;

use anyhow::Context;
use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::roles::Task;
use crate::tcp::{Crowd, Edges, wait};
use crate::window::Window;

/// The most workers that are compared.
const WORKERS: usize = 2;

/// Events taken by one wait: as many as there are connections in the usual run.
const EVENTS: usize = 64;

/// The token of the timer; connections count from 0.
const TIMER: u64 = u64::MAX;

impl Crowd {
    /// As [`Crowd::turn`], but every client asks once each `tick`.
    pub(crate) fn paced_turn(&mut self, task: &Task, tick: Duration) -> anyhow::Result<Window> {
        let Self { epoll, load, clients } = self;
        let order: Vec<usize> =
            (0..WORKERS).flat_map(|first| (first..clients.len()).step_by(WORKERS)).collect();
        let mut is_busy = vec![false; clients.len()];
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        timer.set(Expiration::Interval(TimeSpec::from_duration(tick)), TimerSetTimeFlags::empty())?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        let mut events = [EpollEvent::empty(); EVENTS];
        let mut answered = 0;
        let (mut edges, mut window) = (Edges::new(task), None);
        while window.is_none() || is_busy.contains(&true) {
            for event in wait(epoll, &mut events, EpollTimeout::NONE)? {
                if event.data() == TIMER {
                    // Only a read sets it for the next tick.
                    timer.wait()?;
                    if window.is_none() {
                        for &number in order.iter().filter(|&&number| !is_busy[number]) {
                            clients[number].ask(load)?;
                        }
                        is_busy.fill(true);
                    }
                    continue;
                }
                let number = event.data() as usize;
                if clients[number].is_answered(load)? {
                    is_busy[number] = false;
                    answered += 1;
                }
            }
            if window.is_none() {
                window = edges.pass(task, answered)?;
            }
        }
        epoll.delete(&timer)?;
        window.context("nothing was measured")
    }
}
