//! The abusers: a process of its own that does one abuse until its standard input ends.
//!
//! It prints `going` when it begins, `full` once the whole abuse is there, and at the end `served N`. A reply that is not
//! what the limits say ends it with an error.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use std::{io, thread};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};
use twinwire_bench_support::wire::{Client, Endpoint, block_on, reply, request};

/// What a slow reader has asked for a thousand times.
const VALUE_BYTES: usize = 60_000;

/// How much a slow reader reads, and how often.
const SLOW_READ: (usize, Duration) = (4096, Duration::from_millis(50));

/// How often a slow writer sends a byte.
const BYTE_PERIOD: Duration = Duration::from_millis(100);

/// When the server should have sent a half-open peer away, and how long it may take beyond that.
const GONE_AFTER: Duration = Duration::from_millis(1500);
const GONE_TIMEOUT: Duration = Duration::from_secs(5);

/// Tries or replies of a flood in one write or read, half of each kind.
const FLOOD_BATCH: usize = 1000;

/// How many puts are on their way at once for each large store.
const PUTS_BATCH: usize = 1000;

/// How long a large store waits before it tries again, while the ones before it are being freed.
const FULL_WAIT: Duration = Duration::from_millis(100);

/// How often each of the stores that grow gets a batch: a hundred thousand puts a second, a part of what a worker can do.
const GROWING_PERIOD: Duration = Duration::from_millis(10);

/// Loopback addresses that abusers come from, from 127.0.0.2 on: the system takes ever longer to find a free port as
/// those of one address run out.
const SOURCES: usize = 20;

/// The name of the session whose store managers read.
pub const READ_STORE: &str = "large-store-0";

/// What abusers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Sessions that ask for 60 MB each and read 4 KiB of it every 50 ms.
    SlowReaders,
    /// Sessions that send a byte every 100 ms: half of them short requests, half of them one that does not end.
    SlowWriters,
    /// Peers that have gone without a word, or closed their half: they ask nothing, answer no ping and close nothing,
    /// and come again as soon as they are sent away.
    HalfOpen,
    /// Sessions that are reset in the middle of a message, one after the other over each transport.
    Resets,
    /// Taken names and malformed names, pipelined without end on several connections.
    LoginFlood,
    /// Sessions one after the other, as fast as they go.
    Connections,
    /// Connections that are opened and say nothing, or half a name.
    Silent,
    /// Sessions with a full store each, up to the default limit of keys, that all end at once.
    LargeStores,
    /// Sessions that fill a store up to the default limit of keys, at a rate that leaves the server time.
    GrowingStores,
}

/// What the process is to do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Task {
    pub kind: Kind,
    pub endpoints: [Endpoint; 2],
    pub size: usize,
    /// How long silent connections are held before they are checked.
    pub hold: Duration,
    /// How many keys a large store gets.
    pub store_keys: usize,
}

/// What the abusers of one process share.
struct Work {
    task: Task,
    served: Cell<u64>,
    /// How many of the abusers have begun in full.
    there: Cell<usize>,
    all_there: Notify,
    /// They connect one after the other.
    door: Mutex<()>,
}

/// Runs this process as abusers.
pub fn run(task: Task) -> anyhow::Result<()> {
    let (end, ended) = oneshot::channel::<()>();
    thread::spawn(move || {
        let _end = end;
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    });
    let (failures, mut failed) = mpsc::unbounded_channel();
    let (served, there) = (Cell::new(0), Cell::new(0));
    let work = Rc::new(Work { task, served, there, all_there: Notify::new(), door: Mutex::new(()) });
    let abusing = async {
        println!("going");
        for number in 0..work.abusers() {
            let (work, failures) = (Rc::clone(&work), failures.clone());
            spawn_local(async move {
                if let Err(error) = work.abuse(number).await {
                    let _ = failures.send(error);
                }
            });
        }
        work.all_there.notified().await;
        println!("full");
        tokio::select! {
            failure = failed.recv() => failure.map_or(Ok(()), Err),
            () = std::future::pending() => Ok(()),
        }
    };
    block_on(LocalSet::new().run_until(async {
        tokio::select! {
            failure = abusing => failure,
            _ = ended => Ok(()),
        }
    }))?;
    println!("served {}", work.served.get());
    Ok(())
}

impl Work {
    fn abusers(&self) -> usize {
        if self.task.kind == Kind::Connections { 1 } else { self.task.size }
    }

    /// One abuser; it returns only by an error, or if it is there and has no more to do.
    async fn abuse(&self, number: usize) -> anyhow::Result<()> {
        match self.task.kind {
            Kind::SlowReaders => self.read_slowly(number).await,
            Kind::SlowWriters => self.write_slowly(number).await,
            Kind::HalfOpen => self.stay_half_open(number).await,
            Kind::Resets => self.reset(number).await,
            Kind::LoginFlood => self.flood(number).await,
            Kind::Connections => self.come_and_go().await,
            Kind::Silent => self.stay_silent(number).await,
            Kind::LargeStores => self.fill_store(number, Duration::ZERO).await,
            Kind::GrowingStores => self.fill_store(number, GROWING_PERIOD).await,
        }
    }

    fn served(&self, more: u64) {
        self.served.set(self.served.get() + more);
    }

    fn is_there(&self) {
        self.there.set(self.there.get() + 1);
        if self.there.get() == self.abusers() {
            self.all_there.notify_one();
        }
    }

    /// Connects as number `number`, which decides on transport and source. It closes by a reset, so that no port is kept
    /// from the next window's connections.
    async fn open(&self, number: usize) -> anyhow::Result<Client> {
        let _turn = self.door.lock().await;
        let client = Client::open(self.task.endpoints[number % 2], source(number)).await?;
        SockRef::from(&client.stream).set_linger(Some(Duration::ZERO))?;
        Ok(client)
    }

    /// Logs in under a name that differs from those of other rounds and of another process.
    async fn login(&self, number: usize, round: usize) -> anyhow::Result<(Client, String)> {
        let mut client = self.open(number + 2 * round).await?;
        let name = format!("abuser-{}-{number}-{round}", std::process::id());
        client.ask(&name, "success").await?;
        Ok((client, name))
    }

    /// Spreads what all would otherwise do at once over this time.
    async fn spread(&self, over: Duration, number: usize) {
        sleep(over.mul_f64(number as f64 / self.task.size as f64)).await;
    }

    async fn read_slowly(&self, number: usize) -> anyhow::Result<()> {
        let (mut client, _) = self.login(number, 0).await?;
        client.ask(&format!("put k {}", "v".repeat(VALUE_BYTES)), "done").await?;
        let requests = request(client.wire, "get k").repeat(1000);
        let (mut reader, mut writer) = client.stream.split();
        self.is_there();
        // Stays where the server has stopped reading.
        let write = async { Ok(writer.write_all(&requests).await?) };
        let read = async {
            let mut bytes = vec![0; SLOW_READ.0];
            loop {
                sleep(SLOW_READ.1).await;
                let read = reader.read(&mut bytes).await?;
                ensure!(read > 0, "a slow reader was closed");
                self.served(read as u64 / 1024);
            }
        };
        tokio::try_join!(write, read).map(|((), ())| ())
    }

    async fn write_slowly(&self, number: usize) -> anyhow::Result<()> {
        let (mut client, _) = self.login(number, 0).await?;
        // Half of either transport.
        let is_endless = number % 4 < 2;
        let text = if is_endless { format!("put k {}", "v".repeat(VALUE_BYTES)) } else { "get k".to_owned() };
        let request = request(client.wire, &text);
        self.spread(BYTE_PERIOD, number).await;
        let mut ticks = interval(BYTE_PERIOD);
        let mut is_there = is_endless;
        if is_there {
            self.is_there();
        }
        loop {
            for byte in &request {
                ticks.tick().await;
                client.stream.write_u8(*byte).await.context("a slow writer was closed")?;
            }
            client.expect(&reply(client.wire, "key not found")).await?;
            self.served(1);
            if !std::mem::replace(&mut is_there, true) {
                self.is_there();
            }
        }
    }

    async fn stay_half_open(&self, number: usize) -> anyhow::Result<()> {
        self.spread(GONE_AFTER, number).await;
        for round in 0.. {
            let (mut client, _) = self.login(number, round).await?;
            if number % 4 < 2 {
                // Closed in one direction: what was asked before is answered, then the server closes, too.
                client.ask("get k", "key not found").await?;
                client.stream.shutdown().await?;
            }
            sleep(GONE_AFTER).await;
            let mut rest = Vec::new();
            let read = timeout(GONE_TIMEOUT, client.stream.read_to_end(&mut rest)).await;
            ensure!(read.is_ok(), "a half-open peer is still there");
            self.served(1);
            // By then all of them have been there together.
            if round == 0 {
                self.is_there();
            }
        }
        Ok(())
    }

    async fn reset(&self, number: usize) -> anyhow::Result<()> {
        self.is_there();
        for round in 0.. {
            let (mut client, _) = self.login(number, round).await?;
            let request = request(client.wire, &format!("put k {}", "v".repeat(round * 37 % 40_000)));
            client.stream.write_all(&request[..request.len() - 1]).await?;
            self.served(1);
        }
        Ok(())
    }

    async fn flood(&self, number: usize) -> anyhow::Result<()> {
        let (_holder, name) = self.login(number, 0).await?;
        let mut client = self.open(number).await?;
        let wire = client.wire;
        let tries = [request(wire, &name), request(wire, "two words")].concat().repeat(FLOOD_BATCH / 2);
        let refusals = [reply(wire, "duplicate user name"), reply(wire, "wrong message format")];
        let right = refusals.concat().repeat(FLOOD_BATCH / 2);
        let (mut reader, mut writer) = client.stream.split();
        self.is_there();
        let write = async {
            loop {
                writer.write_all(&tries).await?;
            }
        };
        let read = async {
            let mut bytes = vec![0; right.len()];
            loop {
                reader.read_exact(&mut bytes).await.context("a flood was closed")?;
                ensure!(bytes == right, "a flood got a wrong reply");
                self.served(FLOOD_BATCH as u64);
            }
        };
        tokio::select! {
            error = write => error,
            error = read => error,
        }
    }

    async fn come_and_go(&self) -> anyhow::Result<()> {
        for number in 1.. {
            let (mut client, _) = self.login(number, 0).await?;
            client.ask("put k v", "done").await?;
            // Some quit, some just close.
            if number % 4 < 2 {
                client.ask("q", "exiting").await?;
            }
            self.served(1);
            if number == self.task.size {
                self.is_there();
            }
        }
        Ok(())
    }

    async fn stay_silent(&self, number: usize) -> anyhow::Result<()> {
        // A third each: nothing, an open WebSocket, half a name.
        let mut client = self.open(if number % 3 == 1 { 2 * number + 1 } else { 2 * number }).await?;
        if number % 3 == 2 {
            client.stream.write_all(b"half a na").await?;
        }
        sleep(self.task.hold).await;
        match client.stream.try_read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.served(1),
            _ => bail!("a silent connection was answered or closed before its time"),
        }
        self.is_there();
        std::future::pending().await
    }

    /// Fills a store over TCP, with a batch of puts in every `period`; then stays.
    async fn fill_store(&self, number: usize, period: Duration) -> anyhow::Result<()> {
        let mut stream = BufReader::new(self.open(2 * number).await?.stream);
        let name = format!("large-store-{number}\n");
        // The session of the last window may be ending still.
        while !all_done(&mut stream, &name, "success", "duplicate user name").await? {
            sleep(FULL_WAIT).await;
        }
        let mut due = Instant::now();
        for first in (0..self.task.store_keys).step_by(PUTS_BATCH) {
            let puts: Vec<_> = (first..first + PUTS_BATCH).map(|key| format!("put {key} v\n")).collect();
            let batch = puts.concat();
            while !all_done(&mut stream, &batch, "done", "store full").await? {
                sleep(FULL_WAIT).await;
            }
            self.served(PUTS_BATCH as u64);
            due += period;
            sleep_until(due).await;
        }
        self.is_there();
        // Closes as soon as the server does, which waits for that.
        Ok(stream.read_to_end(&mut Vec::new()).await.map(drop)?)
    }
}

fn source(number: usize) -> u8 {
    1 + (number % SOURCES) as u8
}

/// Sends these lines; whether all are done, and none has to be sent again.
async fn all_done(
    stream: &mut BufReader<tokio::net::TcpStream>,
    lines: &str,
    done: &str,
    later: &str,
) -> anyhow::Result<bool> {
    stream.get_mut().write_all(lines.as_bytes()).await?;
    let (mut are_done, mut reply) = (true, String::new());
    for _ in lines.lines() {
        reply.clear();
        stream.read_line(&mut reply).await?;
        let reply = reply.trim_end();
        ensure!(reply == done || reply == later, "`{reply}` instead of `{done}`");
        are_done &= reply == done;
    }
    Ok(are_done)
}
