//! The floor over TCP: bare edge-triggered epoll loops, with one read and one write a request and nothing else.
//!
//! [`generate`] measures several servers as near to each other in time as can be: one generator asks them in turn. What
//! disturbs a machine lasts for seconds and affects the server that is being measured. Turns of a tenth of a second
//! spread it evenly, and one generator for all servers has no part in the difference. A server costs nothing in
//! another's turn.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::AsyncWriteExt as _;
use twinwire_os::clock;

use crate::children::Task;
use crate::load::{Exchange, VALUE};
use crate::window::{Sample, Window};
use crate::wire::{self, block_on, request};

/// Turns that make up a window.
pub const TURNS: u32 = 10;

/// Share of a turn before it that is not counted, as a divisor: the last server's data leave the caches.
const TURN_WARMUP: u32 = 5;

/// The most workers that are compared at a fixed rate.
const WORKERS: usize = 2;

/// Events taken by one wait: as many as there are connections in the usual run.
const EVENTS: usize = 64;

/// Longest request that the server reads at once; the load's have 7 bytes, the puts before it some 30.
const REQUEST_BYTES_MAX: usize = 512;

/// No reply for this long, in ms, means that the server is gone.
const SILENCE_MS: u16 = 5000;

/// The tokens of the listening socket and of the timer; connections count from 0.
const LISTENER: u64 = u64::MAX;
const TIMER: u64 = u64::MAX;

/// Answers every line with the same line of the load's size, until it fails.
pub fn serve(listener: &TcpListener) -> anyhow::Result<()> {
    let reply = format!("{VALUE}\n");
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    listener.set_nonblocking(true)?;
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    let mut events = [EpollEvent::empty(); EVENTS];
    loop {
        for event in wait(&epoll, &mut events, EpollTimeout::NONE)? {
            if event.data() == LISTENER {
                let (stream, _) = listener.accept()?;
                watch(&epoll, &stream, connections.len() as u64)?;
                connections.push(Some(stream));
                continue;
            }
            let slot = &mut connections[event.data() as usize];
            if let Some(stream) = slot
                && answer(stream, reply.as_bytes()).is_none()
            {
                *slot = None;
            }
        }
    }
}

/// One read, one write; `None` where the connection is over.
fn answer(mut stream: &TcpStream, reply: &[u8]) -> Option<()> {
    let mut request = [0; REQUEST_BYTES_MAX];
    let read = stream.read(&mut request).ok().filter(|&read| read > 0)?;
    // A client has one request outstanding, so a line end is the last byte; a request in parts has it in the last.
    if request[read - 1] == b'\n' {
        stream.write_all(reply).ok()?;
    }
    Some(())
}

/// A window for each task. Of several tasks each window is made of turns: `length` is the whole window's, and the first
/// turn of each is not counted.
pub fn generate(tasks: &[Task]) -> anyhow::Result<Vec<Window>> {
    if let [task] = tasks {
        return Ok(vec![Generator::open(task)?.turn(task)?]);
    }
    let count = tasks.len();
    let tasks = tasks.iter().map(|task| {
        let length = task.length / TURNS;
        Task { warmup: length / TURN_WARMUP, length, ..task.clone() }
    });
    let mut generators =
        tasks.map(|task| Ok((Generator::open(&task)?, task))).collect::<anyhow::Result<Vec<_>>>()?;
    let mut windows: Vec<Option<Window>> = vec![None; count];
    for turn in 0..=TURNS {
        // There and back: none is always behind the same other.
        for place in 0..count {
            let number = if turn % 2 == 0 { place } else { count - 1 - place };
            let (generator, task) = &mut generators[number];
            let more = generator.turn(task)?;
            if turn > 0 {
                windows[number] = Some(windows[number].map_or(more, |window| window.and(&more)));
            }
        }
    }
    windows.into_iter().map(|window| window.context("a window without turns")).collect()
}

/// A generator: all connections to one server. Any server will do whose load is known byte by byte.
struct Generator {
    epoll: Epoll,
    exchanges: Vec<Exchange>,
    clients: Vec<Client>,
}

impl Generator {
    /// Connects, with nothing outstanding, and checks that each exchange is answered as it must be.
    fn open(task: &Task) -> anyhow::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let exchanges = task.load.exchanges(task.endpoint.wire);
        let room =
            exchanges.iter().map(|exchange| exchange.reply.len()).max().context("a load of nothing")?;
        let streams = block_on(async {
            let mut streams = Vec::with_capacity(task.connections);
            for number in 0..task.connections {
                let mut client = wire::Client::open(task.endpoint, 0).await?;
                for message in task.load.opening(number) {
                    client.stream.write_all(&request(client.wire, &message)).await?;
                    // The floor's server gives the same reply to everything.
                    client.message().await?;
                }
                for Exchange { request, reply } in &exchanges {
                    client.stream.write_all(request).await?;
                    client
                        .expect(reply)
                        .await
                        .with_context(|| String::from_utf8_lossy(request).into_owned())?;
                }
                streams.push(client.stream.into_std()?);
            }
            Ok(streams)
        });
        let mut clients = Vec::with_capacity(task.connections);
        for stream in streams.context("setting up the floor generator's clients")? {
            watch(&epoll, &stream, clients.len() as u64)?;
            let reply = vec![0; room].into();
            clients.push(Client { stream, place: 0, reply, read: 0, is_waiting: false });
        }
        Ok(Self { epoll, exchanges, clients })
    }

    /// Warms up, measures one window, and waits for what is outstanding then. Without a period each reply is followed
    /// by the next request.
    ///
    /// With one, every client asks once each period, all of them in a row, so that a server is woken once and not for
    /// each request, and the cost of waking does not hide the cost of serving. Those that connected first, third and so
    /// on ask before the others: a server deals connections to its two workers in turn, and a worker then finds as many
    /// requests at once as a single worker does. Asked at every second request it would go to sleep after each, which
    /// is a cost of less load and not of sharing it. A client that still waits for its reply is passed over: a server
    /// that cannot keep up shows in the rate.
    fn turn(&mut self, task: &Task) -> anyhow::Result<Window> {
        let Self { epoll, exchanges, clients } = self;
        let timer = task.period.map(|period| start_timer(epoll, period)).transpose()?;
        if timer.is_none() {
            clients.iter_mut().try_for_each(|client| client.ask(exchanges))?;
        }
        let mut events = [EpollEvent::empty(); EVENTS];
        let mut answered = 0;
        let mut edge_at = clock::now() + clock::nanos(task.warmup);
        let (mut from, mut window): (Option<Sample>, Option<Window>) = (None, None);
        while window.is_none() || clients.iter().any(|client| client.is_waiting) {
            let ready = wait(epoll, &mut events, EpollTimeout::from(SILENCE_MS))?;
            ensure!(!ready.is_empty(), "no reply for {SILENCE_MS} ms");
            for event in ready {
                if event.data() == TIMER {
                    // Only a read arms it for the next period.
                    timer.as_ref().map_or(Ok(()), TimerFd::wait)?;
                    let count = if window.is_none() { clients.len() } else { 0 };
                    for number in (0..WORKERS).flat_map(|first| (first..count).step_by(WORKERS)) {
                        if !clients[number].is_waiting {
                            clients[number].ask(exchanges)?;
                        }
                    }
                    continue;
                }
                let client = &mut clients[event.data() as usize];
                if client.is_answered(exchanges)? {
                    answered += 1;
                    if window.is_none() && timer.is_none() {
                        client.ask(exchanges)?;
                    }
                }
            }
            if window.is_none() && clock::now() >= edge_at {
                let edge = Sample::of_task(task, answered * task.load.depth() as u64);
                edge_at += clock::nanos(task.length);
                window = from.as_ref().map(|from| from.until(&edge)).transpose()?;
                from.get_or_insert(edge);
            }
        }
        if let Some(timer) = timer {
            epoll.delete(&timer)?;
        }
        window.context("nothing was measured")
    }
}

fn start_timer(epoll: &Epoll, period: Duration) -> anyhow::Result<TimerFd> {
    let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
    timer.set(Expiration::Interval(TimeSpec::from_duration(period)), TimerSetTimeFlags::empty())?;
    epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
    Ok(timer)
}

/// One connection of a generator.
struct Client {
    stream: TcpStream,
    /// Which exchange is outstanding, or comes next.
    place: usize,
    reply: Box<[u8]>,
    read: usize,
    is_waiting: bool,
}

impl Client {
    /// Sends the exchange whose turn it is.
    fn ask(&mut self, exchanges: &[Exchange]) -> anyhow::Result<()> {
        self.is_waiting = true;
        Ok(self.stream.write_all(&exchanges[self.place].request)?)
    }

    /// One read; whether it ended the reply. The next exchange has its turn then.
    fn is_answered(&mut self, exchanges: &[Exchange]) -> anyhow::Result<bool> {
        let expected = &*exchanges[self.place].reply;
        let read = self.stream.read(&mut self.reply[self.read..expected.len()])?;
        ensure!(read > 0, "the server closed a connection");
        self.read += read;
        if self.read < expected.len() {
            return Ok(false);
        }
        let reply = &self.reply[..self.read];
        ensure!(reply == expected, "a wrong reply: {:?}", String::from_utf8_lossy(reply));
        self.read = 0;
        self.is_waiting = false;
        self.place = (self.place + 1) % exchanges.len();
        Ok(true)
    }
}

fn watch(epoll: &Epoll, stream: &TcpStream, token: u64) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(epoll.add(stream, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, token))?)
}

/// What is ready; an interrupted wait is begun again.
fn wait<'e>(
    epoll: &Epoll,
    events: &'e mut [EpollEvent],
    timeout: EpollTimeout,
) -> anyhow::Result<&'e [EpollEvent]> {
    let ready = loop {
        match epoll.wait(events, timeout) {
            Err(Errno::EINTR) => {}
            result => break result?,
        }
    };
    Ok(&events[..ready])
}
