//! The floor over TCP: bare edge-triggered epoll loops, with one read and one write a request and nothing else.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, bail, ensure};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::clock;
use crate::message::{Exchange, VALUE};
use crate::roles::{Task, Wire};
use crate::speech::{self, Step};
use crate::window::{Sample, Window};

/// Events taken by one wait: as many as there are connections in the usual run.
const EVENTS: usize = 64;

/// Longest request that the server reads at once; the load's have 7 bytes, the puts before it some 30.
const REQUEST_BYTES_MAX: usize = 512;

/// Longest reply before the load.
const REPLY_BYTES_MAX: usize = 512;

/// No reply for so long, in ms, means that the server is gone.
const SILENCE_MS: u16 = 5000;

/// The token of the listening socket; connections count from 0.
const LISTENER: u64 = u64::MAX;

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
                connections.extend(accept(&epoll, listener, connections.len() as u64)?.map(Some));
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

fn accept(epoll: &Epoll, listener: &TcpListener, token: u64) -> anyhow::Result<Option<TcpStream>> {
    let stream = match listener.accept() {
        Ok((stream, _)) => stream,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    watch(epoll, &stream, token)?;
    Ok(Some(stream))
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

/// Asks over all connections, one exchange outstanding on each.
pub fn generate(task: &Task) -> anyhow::Result<Window> {
    Crowd::open(task)?.turn(task)
}

/// All connections to one server. Any server will do whose load is known byte by byte.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) epoll: Epoll,
    pub(crate) load: Vec<Exchange>,
    pub(crate) clients: Vec<Client>,
}

impl Crowd {
    /// Connects, with nothing outstanding.
    pub(crate) fn open(task: &Task) -> anyhow::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let load = task.talk.load(task.wire);
        let clients = open_all(task, &epoll, &load)?;
        Ok(Self { epoll, load, clients })
    }

    /// Warms up, measures one window, and waits for what is outstanding then.
    pub(crate) fn turn(&mut self, task: &Task) -> anyhow::Result<Window> {
        if let Some(tick) = task.tick {
            return self.paced_turn(task, tick);
        }
        for client in &mut self.clients {
            client.ask(&self.load)?;
        }
        let mut events = [EpollEvent::empty(); EVENTS];
        let (mut answered, mut outstanding) = (0, self.clients.len());
        let (mut edges, mut window) = (Edges::new(task), None);
        while outstanding > 0 {
            let ready = wait(&self.epoll, &mut events, EpollTimeout::from(SILENCE_MS))?;
            ensure!(!ready.is_empty(), "no reply for {SILENCE_MS} ms");
            for event in ready {
                let client = &mut self.clients[event.data() as usize];
                if !client.is_answered(&self.load)? {
                    continue;
                }
                answered += 1;
                match window {
                    None => client.ask(&self.load)?,
                    Some(_) => outstanding -= 1,
                }
            }
            if window.is_none() {
                window = edges.pass(task, answered)?;
            }
        }
        window.context("a load of no connection")
    }
}

/// The instants at which a window begins and ends.
#[derive(Debug)]
pub(crate) struct Edges {
    from: Option<Sample>,
    next: clock::Nanos,
}

impl Edges {
    /// From now on.
    pub(crate) fn new(task: &Task) -> Self {
        Self { from: None, next: clock::now() + clock::nanos(task.warmup) }
    }

    /// Looks whether an edge has come, after so many exchanges; the window when it has ended.
    pub(crate) fn pass(&mut self, task: &Task, answered: u64) -> anyhow::Result<Option<Window>> {
        if clock::now() < self.next {
            return Ok(None);
        }
        let edge = Sample::of_task(task, answered * task.talk.depth() as u64);
        self.next += clock::nanos(task.length);
        if let Some(from) = &self.from {
            return from.until(&edge).map(Some);
        }
        self.from = Some(edge);
        Ok(None)
    }
}

/// One connection of a generator.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    /// Which exchange is outstanding, or comes next.
    place: usize,
    reply: Box<[u8]>,
    read: usize,
}

impl Client {
    /// Sends the exchange whose turn it is.
    pub(crate) fn ask(&mut self, load: &[Exchange]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(&load[self.place].request)?)
    }

    /// One read; whether it ended the reply. The next exchange has its turn then.
    pub(crate) fn is_answered(&mut self, load: &[Exchange]) -> anyhow::Result<bool> {
        let expected = &*load[self.place].reply;
        let read = self.stream.read(&mut self.reply[self.read..expected.len()])?;
        ensure!(read > 0, "the server closed a connection");
        self.read += read;
        if self.read < expected.len() {
            return Ok(false);
        }
        let reply = &self.reply[..self.read];
        ensure!(reply == expected, "a wrong reply: {:?}", String::from_utf8_lossy(reply));
        self.read = 0;
        self.place = (self.place + 1) % load.len();
        Ok(true)
    }
}

/// Connects all clients, each ready for its load.
fn open_all(task: &Task, epoll: &Epoll, load: &[Exchange]) -> anyhow::Result<Vec<Client>> {
    let room = load.iter().map(|exchange| exchange.reply.len()).max().context("a load of nothing")?;
    let mut clients = Vec::with_capacity(task.connections);
    for number in 0..task.connections {
        let stream = open(task, number, load).context("setting up the floor generator's clients")?;
        watch(epoll, &stream, number as u64)?;
        clients.push(Client { stream, place: 0, reply: vec![0; room].into(), read: 0 });
    }
    Ok(clients)
}

/// Connects, says what comes before the load, and makes sure that each of its exchanges is answered as it must be.
fn open(task: &Task, number: usize, load: &[Exchange]) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(task.server)?;
    stream.set_nodelay(true)?;
    if task.wire == Wire::WebSocket {
        Step::Handshake.take(&stream, task.wire, number as u64)?;
    }
    for message in task.talk.opening(task.wire, number) {
        stream.write_all(&message)?;
        read_message(&mut stream, task.wire)?;
    }
    for Exchange { request, reply } in load {
        stream.write_all(request)?;
        let mut got = vec![0; reply.len()];
        stream.read_exact(&mut got)?;
        ensure!(
            got == *reply,
            "{:?} was answered by {:?}",
            String::from_utf8_lossy(request),
            String::from_utf8_lossy(&got)
        );
    }
    Ok(stream)
}

/// Whatever it says: the floor's server says the same to everything.
fn read_message(stream: &mut TcpStream, wire: Wire) -> anyhow::Result<()> {
    let mut bytes = [0; REPLY_BYTES_MAX];
    let mut read = 0;
    loop {
        match stream.read(&mut bytes[read..])? {
            0 => bail!("the server closed before the load"),
            more => read += more,
        }
        if speech::is_whole(wire, &bytes[..read]) {
            return Ok(());
        }
    }
}

fn watch(epoll: &Epoll, stream: &TcpStream, token: u64) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(epoll.add(stream, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, token))?)
}

/// What is ready; an interrupted wait is begun again.
pub(crate) fn wait<'e>(
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
