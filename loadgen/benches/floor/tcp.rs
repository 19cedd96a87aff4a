//! The floor over TCP: bare edge-triggered epoll loops, with one read and one write a request and nothing else.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, bail, ensure};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use twinwire::measure::clock;

use crate::message::{self, GETS, KEYS, VALUE};
use crate::roles::Task;
use crate::window::{Sample, Window};

/// Events taken by one wait: as many as there are connections in the usual run.
const EVENTS: usize = 64;

/// Longest request that the server reads at once; the load's have 7 bytes, the puts before it some 30.
const REQUEST_BYTES_MAX: usize = 512;

/// Bytes of the reply to a `get`, with its line end.
const REPLY_BYTES: usize = VALUE.len() + 1;

/// No reply for so long, in ms, means that the server is gone.
const SILENCE_MS: u16 = 5000;

/// The token of the listening socket; connections count from 0.
const LISTENER: u64 = u64::MAX;

/// Answers every line with the same line of the load's size.
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

struct Client {
    stream: TcpStream,
    next_key: usize,
    reply: [u8; REPLY_BYTES],
    read: usize,
}

/// Asks over all connections, one request outstanding on each.
pub fn generate(task: &Task) -> anyhow::Result<Window> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let requests: Vec<String> = GETS.iter().map(|get| format!("{get}\n")).collect();
    let expected = format!("{VALUE}\n");
    let mut clients = Vec::with_capacity(task.connections);
    for number in 0..task.connections {
        let stream = open(task, number).context("setting up the floor generator's clients")?;
        watch(&epoll, &stream, number as u64)?;
        clients.push(Client { stream, next_key: 0, reply: [0; REPLY_BYTES], read: 0 });
    }
    for client in &mut clients {
        client.stream.write_all(requests[0].as_bytes())?;
    }
    let mut events = [EpollEvent::empty(); EVENTS];
    let mut answered = 0;
    let mut from: Option<Sample> = None;
    let mut next_edge = clock::now() + clock::nanos(task.warmup);
    loop {
        let ready = wait(&epoll, &mut events, EpollTimeout::from(SILENCE_MS))?;
        ensure!(!ready.is_empty(), "no reply for {SILENCE_MS} ms");
        for event in ready {
            let client = &mut clients[event.data() as usize];
            if client.is_answered(expected.as_bytes())? {
                answered += 1;
                client.next_key = (client.next_key + 1) % KEYS;
                client.stream.write_all(requests[client.next_key].as_bytes())?;
            }
        }
        if clock::now() >= next_edge {
            let edge = Sample::of_task(task, answered);
            next_edge += clock::nanos(task.length);
            match &from {
                None => from = Some(edge),
                Some(from) => return from.until(&edge),
            }
        }
    }
}

impl Client {
    /// One read; whether it ended the reply.
    fn is_answered(&mut self, expected: &[u8]) -> anyhow::Result<bool> {
        let read = self.stream.read(&mut self.reply[self.read..])?;
        ensure!(read > 0, "the server closed a connection");
        self.read += read;
        if self.read < REPLY_BYTES {
            return Ok(false);
        }
        self.read = 0;
        ensure!(self.reply == *expected, "a wrong reply: {:?}", String::from_utf8_lossy(&self.reply));
        Ok(true)
    }
}

/// Connects, logs in and puts, and makes sure that a `get` is answered by the value.
fn open(task: &Task, number: usize) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(task.server)?;
    stream.set_nodelay(true)?;
    for message in message::opening(number) {
        ask(&mut stream, &message)?;
    }
    for get in GETS {
        let reply = ask(&mut stream, get)?;
        ensure!(reply == VALUE, "`{get}` was answered by `{reply}`");
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn ask(stream: &mut TcpStream, message: &str) -> anyhow::Result<String> {
    stream.write_all(format!("{message}\n").as_bytes())?;
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut bytes = [0; REQUEST_BYTES_MAX];
        match stream.read(&mut bytes)? {
            0 => bail!("the server closed after `{message}`"),
            read => line.extend_from_slice(&bytes[..read]),
        }
    }
    Ok(String::from_utf8(line)?.trim_end().to_owned())
}

fn watch(epoll: &Epoll, stream: &TcpStream, token: u64) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(epoll.add(stream, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, token))?)
}

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
