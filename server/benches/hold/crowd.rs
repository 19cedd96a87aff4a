//! Very many clients in one thread: a level-triggered epoll loop, one read for each event, one write for each step.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use anyhow::{Context, bail, ensure};
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use socket2::{Domain, Socket, Type};
use twinwire_floor::{roles::Wire, server::Door, speech::Step};

/// Events taken by one wait.
const EVENTS: usize = 256;

/// The longest reply is the head of the handshake, some 130 bytes.
const REPLY_BYTES_MAX: usize = 512;

/// Nothing at all for so long, in ms, means that the server does not answer.
const SILENCE_MS: u16 = 10_000;

/// Clients of one source address. Each address has some 28,000 ports for all connections to one listener, and those
/// that were closed keep theirs for a while.
const CLIENTS_OF_ADDRESS: usize = 5_000;

struct Client {
    stream: TcpStream,
    wire: Wire,
    name: u64,
    /// Which of the steps it waits for.
    at: usize,
    got: Vec<u8>,
}

/// Clients that are connected.
pub struct Crowd {
    epoll: Epoll,
    clients: Vec<Option<Client>>,
    /// Places in `clients` that nobody has.
    free: Vec<usize>,
    /// How many there ever were: each has a name of its own.
    names: u64,
}

impl Crowd {
    pub fn new() -> anyhow::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { epoll, clients: Vec::new(), free: Vec::new(), names: 0 })
    }

    /// How many are connected.
    pub fn len(&self) -> usize {
        self.clients.len() - self.free.len()
    }

    /// Connects so many more, who take these steps, at most `at_once` at a time, and stay.
    pub fn gather(&mut self, door: Door, count: u64, steps: &[Step], at_once: usize) -> anyhow::Result<()> {
        self.come(door, count, steps, at_once, true)
    }

    /// Connects so many, one after the other, who take these steps and leave.
    pub fn pass_through(
        &mut self,
        door: Door,
        count: u64,
        steps: &[Step],
        at_once: usize,
    ) -> anyhow::Result<()> {
        self.come(door, count, steps, at_once, false)
    }

    fn come(
        &mut self,
        door: Door,
        count: u64,
        steps: &[Step],
        at_once: usize,
        they_stay: bool,
    ) -> anyhow::Result<()> {
        let last = self.names + count;
        self.walk(steps, at_once, they_stay, |crowd| {
            (crowd.names < last).then(|| crowd.connect(door)).transpose()
        })
    }

    /// Everybody takes these steps, at most `at_once` at a time; how many did.
    pub fn all(&mut self, steps: &[Step], at_once: usize) -> anyhow::Result<usize> {
        let mut places = 0..self.clients.len();
        let mut count = 0;
        self.walk(steps, at_once, true, |crowd| {
            let place = places.find(|&place| crowd.clients[place].is_some());
            count += usize::from(place.is_some());
            Ok(place)
        })?;
        Ok(count)
    }

    /// Takes those that `next` gives through the steps.
    fn walk(
        &mut self,
        steps: &[Step],
        at_once: usize,
        they_stay: bool,
        mut next: impl FnMut(&mut Self) -> anyhow::Result<Option<usize>>,
    ) -> anyhow::Result<()> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let mut walking = 0;
        loop {
            while walking < at_once
                && let Some(place) = next(self)?
            {
                self.client(place)?.begin(steps)?;
                walking += 1;
            }
            if walking == 0 {
                return Ok(());
            }
            for event in wait(&self.epoll, &mut events)? {
                let place = event.data() as usize;
                if self.client(place)?.goes_on(steps)? {
                    continue;
                }
                walking -= 1;
                if !they_stay {
                    // Its end takes it out of epoll as well.
                    self.clients[place] = None;
                    self.free.push(place);
                }
            }
        }
    }

    fn client(&mut self, place: usize) -> anyhow::Result<&mut Client> {
        self.clients.get_mut(place).and_then(Option::as_mut).context("an event for nobody")
    }

    /// A new client's place.
    fn connect(&mut self, door: Door) -> anyhow::Result<usize> {
        let place = self.free.pop().unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let block = u8::try_from(place / CLIENTS_OF_ADDRESS).context("too many clients")?;
        if block > 0 {
            socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 1, block), 0)).into())?;
        }
        // Waits for as long as the server's queue is full.
        socket.connect(&door.address.into()).context("the server takes no connection")?;
        socket.set_nonblocking(true)?;
        let stream = TcpStream::from(socket);
        self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, place as u64))?;
        self.clients[place] =
            Some(Client { stream, wire: door.wire, name: self.names, at: 0, got: Vec::new() });
        self.names += 1;
        Ok(place)
    }
}

impl Client {
    fn begin(&mut self, steps: &[Step]) -> anyhow::Result<()> {
        self.at = 0;
        self.say(steps)
    }

    /// One read; whether there are steps left.
    fn goes_on(&mut self, steps: &[Step]) -> anyhow::Result<bool> {
        let Some(step) = steps.get(self.at) else { bail!("client {} was told something unasked", self.name) };
        let mut bytes = [0; REPLY_BYTES_MAX];
        let read = self.stream.read(&mut bytes).with_context(|| format!("in step {step:?}"))?;
        ensure!((read == 0) == (*step == Step::End), "{step:?} was answered by {read} bytes");
        self.got.extend_from_slice(&bytes[..read]);
        match step.is_answered(self.wire, &self.got) {
            Some(true) => {}
            Some(false) => return Ok(true),
            None => bail!("{step:?} was answered by {:?}", String::from_utf8_lossy(&self.got)),
        }
        self.got.clear();
        self.at += 1;
        if self.at < steps.len() {
            self.say(steps)?;
        }
        Ok(self.at < steps.len())
    }

    fn say(&mut self, steps: &[Step]) -> anyhow::Result<()> {
        let request = steps[self.at].request(self.wire, self.name);
        if !request.is_empty() {
            self.stream.write_all(&request).with_context(|| format!("in step {:?}", steps[self.at]))?;
        }
        Ok(())
    }
}

fn wait<'e>(epoll: &Epoll, events: &'e mut [EpollEvent]) -> anyhow::Result<&'e [EpollEvent]> {
    loop {
        match epoll.wait(events, EpollTimeout::from(SILENCE_MS)) {
            Err(Errno::EINTR) => {}
            Ok(0) => bail!("no reply for {SILENCE_MS} ms"),
            ready => return Ok(&events[..ready?]),
        }
    }
}
