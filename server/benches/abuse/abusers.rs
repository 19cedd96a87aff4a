//! The abusers: a process of its own that does one abuse until its standard input ends.
//!
//! It prints `going` when it begins, `full` once the whole abuse is there, and at the end `served N`. A reply that is not what
//! the limits say ends it with an error.

use std::{
    cell::Cell,
    io,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::{LocalSet, spawn_local},
    time::{Instant as TokioInstant, interval_at, sleep, sleep_until, timeout},
};
use twinwire_bench_support::wire::{Client, Endpoint, block_on, reply, request};

use crate::abuse::Abuse;

/// What a slow reader has asked for a thousand times.
const VALUE_BYTES: usize = 60_000;

/// How much a slow reader reads, and how often.
const SLOW_READ: (usize, Duration) = (4096, Duration::from_millis(50));

/// How often a slow writer sends a byte.
const BYTE_PERIOD: Duration = Duration::from_millis(100);

/// When the server should have sent a half-open peer away, and how long it may take beyond that.
const GONE_AFTER: Duration = Duration::from_millis(1500);
const GONE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many puts are on their way at once for each large store.
const PUTS_BATCH: usize = 1000;

/// How long a large store waits before it tries again, while the ones before it are being freed.
const FULL_WAIT: Duration = Duration::from_millis(100);

/// How often each of the stores that grow gets a batch: a hundred thousand puts a second, a part of what a worker can do.
const GROWING_PERIOD: Duration = Duration::from_millis(10);

/// Loopback addresses that abusers come from, from 127.0.0.2 on: the system takes ever longer to find a free port as
/// those of one address run out.
const SOURCES: usize = 20;

/// What the process is to do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Task {
    pub abuse: Abuse,
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
    size: usize,
    /// Part of all names, so that they differ from those of another process.
    run: u32,
    served: Cell<u64>,
    failures: mpsc::UnboundedSender<anyhow::Error>,
}

impl Work {
    fn served(&self, more: u64) {
        self.served.set(self.served.get() + more);
    }

    fn name(&self, number: usize) -> String {
        format!("abuser-{}-{number}", self.run)
    }

    /// Connects as number `number`, which decides on transport and source; a WebSocket is opened as well.
    async fn open(&self, number: usize) -> anyhow::Result<Client> {
        resetting(Client::open(self.task.endpoints[number % 2], source(number)).await?)
    }

    /// Connects over TCP and sends nothing.
    async fn connect(&self, number: usize) -> anyhow::Result<Client> {
        resetting(Client::connect(self.task.endpoints[0], source(number)).await?)
    }

    async fn login(&self, number: usize, name: &str) -> anyhow::Result<Client> {
        let mut client = self.open(number).await?;
        client.ask(name, "success").await?;
        Ok(client)
    }

    /// Starts one of them, which has failed if it ever ends by an error.
    fn spawn(self: &Rc<Self>, task: impl Future<Output = anyhow::Result<()>> + 'static) {
        let work = Rc::clone(self);
        spawn_local(async move {
            if let Err(error) = task.await {
                let _ = work.failures.send(error);
            }
        });
    }
}

fn source(number: usize) -> u8 {
    1 + (number % SOURCES) as u8
}

/// Closed by a reset, so that no port is kept from the next window's connections.
fn resetting(client: Client) -> anyhow::Result<Client> {
    SockRef::from(&client.stream).set_linger(Some(Duration::ZERO))?;
    Ok(client)
}

/// Runs this process as abusers.
pub fn run(task: &Task) -> anyhow::Result<()> {
    let Task { abuse, size, hold, .. } = *task;
    let (end, ended) = oneshot::channel::<()>();
    thread::spawn(move || {
        let _end = end;
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    });
    let (failures, mut failed) = mpsc::unbounded_channel();
    let work = Rc::new(Work { task: *task, size, run: std::process::id(), served: Cell::new(0), failures });
    let abusing = async {
        println!("going");
        start(abuse, &work, hold).await?;
        println!("full");
        std::future::pending::<anyhow::Result<()>>().await
    };
    let everything = async {
        tokio::select! {
            failure = abusing => failure,
            failure = failed.recv() => failure.map_or(Ok(()), Err),
            _ = ended => Ok(()),
        }
    };
    block_on(LocalSet::new().run_until(everything))?;
    println!("served {}", work.served.get());
    Ok(())
}

/// Begins the abuse; returns once the whole abuse is there.
async fn start(abuse: Abuse, work: &Rc<Work>, hold: Duration) -> anyhow::Result<()> {
    match abuse {
        Abuse::SlowReaders => slow_readers(work).await,
        Abuse::SlowWriters => slow_writers(work).await,
        Abuse::HalfOpen => {
            half_open(work).await;
            Ok(())
        }
        Abuse::Resets => {
            resets(work);
            Ok(())
        }
        Abuse::LoginFlood => login_flood(work).await,
        Abuse::Connections => connections(work).await,
        Abuse::Silent => silent(work, hold).await,
        Abuse::LargeStores => fill_stores(work, Duration::ZERO).await,
        Abuse::GrowingStores => fill_stores(work, GROWING_PERIOD).await,
    }
}

async fn slow_readers(work: &Rc<Work>) -> anyhow::Result<()> {
    for number in 0..work.size {
        let mut client = work.login(number, &work.name(number)).await?;
        client.ask(&format!("put k {}", "v".repeat(VALUE_BYTES)), "done").await?;
        let requests = request(client.wire, "get k").repeat(1000);
        let (mut reader, mut writer) = client.stream.into_split();
        // Stays where the server has stopped reading.
        work.spawn(async move { Ok(writer.write_all(&requests).await?) });
        let shared = Rc::clone(work);
        work.spawn(async move {
            let mut bytes = vec![0; SLOW_READ.0];
            loop {
                sleep(SLOW_READ.1).await;
                let read = reader.read(&mut bytes).await?;
                ensure!(read > 0, "a slow reader was closed");
                shared.served(read as u64 / 1024);
            }
        });
    }
    Ok(())
}

async fn slow_writers(work: &Rc<Work>) -> anyhow::Result<()> {
    let began = Instant::now();
    for number in 0..work.size {
        let mut client = work.login(number, &work.name(number)).await?;
        let shared = Rc::clone(work);
        // Half of either transport.
        let is_endless = number % 4 < 2;
        let text = if is_endless { format!("put k {}", "v".repeat(VALUE_BYTES)) } else { "get k".to_owned() };
        let request = request(client.wire, &text);
        // Spread over the period, so that they do not come all at once.
        let offset = BYTE_PERIOD.mul_f64(number as f64 / work.size as f64);
        let mut ticks = interval_at((began + BYTE_PERIOD + offset).into(), BYTE_PERIOD);
        work.spawn(async move {
            loop {
                for byte in &request {
                    ticks.tick().await;
                    client.stream.write_u8(*byte).await.context("a slow writer was closed")?;
                }
                client.expect(&reply(client.wire, "key not found")).await?;
                shared.served(1);
            }
        });
    }
    // Until the short ones have all been answered once.
    let answered = work.size as u64 / 2;
    while work.served.get() < answered {
        sleep(BYTE_PERIOD).await;
    }
    Ok(())
}

async fn half_open(work: &Rc<Work>) {
    for number in 0..work.size {
        let shared = Rc::clone(work);
        // Spread, so that they do not come all at once.
        let offset = GONE_AFTER.mul_f64(number as f64 / work.size as f64);
        work.spawn(async move {
            sleep(offset).await;
            for round in 0.. {
                let name = format!("{}-{round}", shared.name(number));
                let mut client = shared.login(number, &name).await?;
                if number % 4 < 2 {
                    // Closed in one direction: what was asked before is answered, then the server closes, too.
                    client.ask("get k", "key not found").await?;
                    client.stream.shutdown().await?;
                }
                sleep(GONE_AFTER).await;
                let mut rest = Vec::new();
                let read = timeout(GONE_TIMEOUT, client.stream.read_to_end(&mut rest)).await;
                ensure!(read.is_ok(), "a half-open peer is still there");
                shared.served(1);
            }
            Ok(())
        });
    }
    // Until as many have been sent away as there are: by then all have been there together.
    while work.served.get() < work.size as u64 {
        sleep(SLOW_READ.1).await;
    }
}

fn resets(work: &Rc<Work>) {
    for number in 0..work.size {
        let shared = Rc::clone(work);
        work.spawn(async move {
            for round in 0.. {
                let name = format!("{}-{round}", shared.name(number));
                let mut client = shared.login(number + 2 * round, &name).await?;
                let request = request(client.wire, &format!("put k {}", "v".repeat(round * 37 % 40_000)));
                client.stream.write_all(&request[..request.len() - 1]).await?;
                shared.served(1);
            }
            Ok(())
        });
    }
}

async fn login_flood(work: &Rc<Work>) -> anyhow::Result<()> {
    let holder = work.login(0, &work.name(0)).await?;
    for number in 0..work.size {
        let client = work.open(number).await?;
        let tries = [request(client.wire, &work.name(0)), request(client.wire, "two words")].concat();
        let refusals =
            [reply(client.wire, "duplicate user name"), reply(client.wire, "wrong message format")].concat();
        let (mut reader, mut writer) = client.stream.into_split();
        work.spawn(async move {
            let flood = tries.repeat(500);
            loop {
                writer.write_all(&flood).await?;
            }
        });
        let shared = Rc::clone(work);
        work.spawn(async move {
            let mut bytes = vec![0; refusals.len() * 500];
            let right = refusals.repeat(500);
            loop {
                reader.read_exact(&mut bytes).await.context("a flood was closed")?;
                ensure!(bytes == right, "a flood got a wrong reply");
                shared.served(1000);
            }
        });
    }
    work.spawn(async move {
        let _holder = holder;
        std::future::pending().await
    });
    Ok(())
}

async fn connections(work: &Rc<Work>) -> anyhow::Result<()> {
    let (all_there, is_full) = oneshot::channel();
    let (shared, mut all_there) = (Rc::clone(work), Some(all_there));
    work.spawn(async move {
        for number in 0.. {
            let mut client = shared.login(number, &shared.name(number)).await?;
            client.ask("put k v", "done").await?;
            // Some quit, some just close.
            if number % 4 < 2 {
                client.ask("q", "exiting").await?;
            }
            drop(client);
            shared.served(1);
            if shared.served.get() >= shared.size as u64
                && let Some(all_there) = all_there.take()
            {
                let _ = all_there.send(());
            }
        }
        Ok(())
    });
    Ok(is_full.await?)
}

async fn silent(work: &Rc<Work>, hold: Duration) -> anyhow::Result<()> {
    let mut clients = Vec::with_capacity(work.size);
    for number in 0..work.size {
        clients.push(match number % 3 {
            0 => work.connect(number).await?,
            1 => work.open(2 * number + 1).await?,
            _ => {
                let mut client = work.connect(number).await?;
                client.stream.write_all(b"half a na").await?;
                client
            }
        });
    }
    sleep(hold).await;
    for client in &clients {
        match client.stream.try_read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => work.served(1),
            _ => bail!("a silent connection was answered or closed before its time"),
        }
    }
    work.spawn(async move {
        let _peers = clients;
        std::future::pending().await
    });
    Ok(())
}

/// The name of the session whose store managers read.
pub const READ_STORE: &str = "large-store-0";

/// A session over TCP that puts in batches.
struct Filler(BufReader<TcpStream>);

/// Fills a store in each of the sessions, with a batch of puts in every `period`. The sessions last as long as the
/// abusers.
async fn fill_stores(work: &Rc<Work>, period: Duration) -> anyhow::Result<()> {
    let mut filling = Vec::new();
    for number in 0..work.size {
        let stream = work.connect(number).await?.stream;
        let mut filler = Filler(BufReader::new(stream));
        let name = format!("large-store-{number}\n");
        // The session of the last window may be ending still.
        while !filler.send(name.as_bytes(), 1, "success", "duplicate user name").await? {
            sleep(FULL_WAIT).await;
        }
        let shared = Rc::clone(work);
        filling.push(spawn_local(async move { filler.fill(&shared, period).await }));
    }
    for filled in filling {
        let Filler(mut stream) = filled.await??;
        // Closed as soon as the server does, which waits for that.
        work.spawn(async move { Ok(stream.read_to_end(&mut Vec::new()).await.map(drop)?) });
    }
    Ok(())
}

impl Filler {
    async fn fill(mut self, work: &Work, period: Duration) -> anyhow::Result<Self> {
        let mut due = TokioInstant::now();
        for first in (0..work.task.store_keys).step_by(PUTS_BATCH) {
            let puts = (first..first + PUTS_BATCH).map(|key| format!("put {key} v\n"));
            let batch: Vec<u8> = puts.flat_map(String::into_bytes).collect();
            while !self.send(&batch, PUTS_BATCH, "done", "store full").await? {
                sleep(FULL_WAIT).await;
            }
            work.served(PUTS_BATCH as u64);
            due += period;
            sleep_until(due).await;
        }
        Ok(self)
    }

    /// Sends `count` messages; whether all are done, and none has to be sent again.
    async fn send(&mut self, messages: &[u8], count: usize, done: &str, later: &str) -> anyhow::Result<bool> {
        self.0.get_mut().write_all(messages).await?;
        let (mut are_done, mut reply) = (true, String::new());
        for _ in 0..count {
            reply.clear();
            self.0.read_line(&mut reply).await?;
            let reply = reply.trim_end();
            ensure!(reply == done || reply == later, "`{reply}` instead of `{done}`");
            are_done &= reply == done;
        }
        Ok(are_done)
    }
}
