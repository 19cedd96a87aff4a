//! What connections cost the server that do nothing, and sessions that come and go.
//!
//! `cargo bench -p twinwire-server --bench hold` prints:
//!
//! | figure | how it is taken |
//! |---|---|
//! | memory of each idle session | resident memory before and after 10,000 logins on one transport, on a fresh server |
//! | connections held at once | 18,000, half on each transport; each puts and gets, a few at a time and all at once |
//! | sessions a second | connect, log in, quit, be closed: six times 20,000 sessions, 64 at a time |
//! | what churn leaves behind | memory and descriptors after the first tenth of a million sessions, and after all |
//!
//! The clients are in this process, on a CPU of its own; the server is the program itself on another. Every reply is
//! compared with what it must be, byte for byte, so a server that does less is no faster.
//! Memory and descriptors do not depend on how busy the machine is. Sessions a second do: their bar is held against
//! the worst of the six, `stolen` is the share of both CPUs' time that the host gave to others meanwhile, and the
//! server's CPU for each session is given as well, which repeats where the rate does not.
//!
//! A figure for which the limit on open files is too low is left out, and a row says so. Without `--bench` (as
//! `cargo test` calls it) everything is tried with a hundredth of the numbers, and nothing is printed.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Parser, ValueEnum, value_parser};
use futures_util::{StreamExt, TryStreamExt, stream};
use twinwire_bench_support::children::{Holdings, Server, play};
use twinwire_bench_support::process::CpuTicks;
use twinwire_bench_support::run::{main as run, two_cpus};
use twinwire_bench_support::table::Bar::{self, AtLeast, AtMost};
use twinwire_bench_support::table::{figure, interval, verdict};
use twinwire_bench_support::wire::{Client, Endpoint, Wire, block_on};
use twinwire_bench_support::{Median, cpus, open_files};

/// Memory of each idle session, in KiB.
const TCP_KIB_BAR: f64 = 2.0;
const WEBSOCKET_KIB_BAR: f64 = 5.0;

/// Sessions a second that come and go.
const SESSIONS_BAR: f64 = 10_000.0;

/// How many sessions go on at once while they come and go.
const SESSIONS_AT_ONCE: usize = 64;

/// How often the rate is measured: the fewest that have a 95 % interval, which is from the worst to the best then.
const SESSIONS_ROUNDS: usize = Median::INTERVAL_MIN;

/// What each session may leave behind, in bytes. The smallest thing that can leak is an allocation of 16 bytes and
/// more; less is the allocator's own unrest.
const LEAK_BYTES_BAR: f64 = 1.0;

/// One in this many of the sessions that come and go is over WebSocket where what they leave behind is measured.
const WEBSOCKET_SHARE: u64 = 5;

/// Connections that arrive at once: far below what waits for a server that is busy.
const ARRIVALS_AT_ONCE: usize = 128;

/// Sessions before anything is noted, so that what is only ever needed once is there.
const WARMUP_SESSIONS: u64 = 16;

/// Clients of one source address.
const CLIENTS_PER_ADDRESS: u64 = 5_000;

/// What server and clients need besides a descriptor for each connection: the server keeps some back for connections
/// that are being closed.
const DESCRIPTORS_SPARE: u64 = 256;

/// How long to wait for a figure to stop changing: ends of connections reach the server a little later.
const SETTLE_POLL: Duration = Duration::from_millis(100);
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// By how much everything is smaller in a trial.
const TRIAL_DIVISOR: u64 = 100;

/// What idle sessions and short ones cost the server: memory, descriptors, and how many come and go in a second
///
/// Takes about 2 minutes. The server runs on a CPU of its own, the clients on another. Memory and descriptors repeat on
/// a busy machine too; sessions a second do not.
#[derive(Debug, Parser)]
#[command(name = "hold", bin_name = "cargo bench -p twinwire-server --bench hold --")]
struct Options {
    /// Idle sessions whose memory is looked at, on each transport
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u64).range(1..=100_000))]
    idle: u64,

    /// Connections held at once, half on each transport
    #[arg(long, default_value_t = 18_000, value_parser = value_parser!(u64).range(2..=100_000))]
    held: u64,

    /// Sessions of one measurement of how fast they come and go
    #[arg(long, default_value_t = 20_000, value_parser = value_parser!(u64).range(1..))]
    sessions: u64,

    /// Sessions that come and go to show what they leave behind
    #[arg(long, default_value_t = 1_000_000, value_parser = value_parser!(u64).range(10..))]
    churn: u64,

    /// Only these figures (repeatable)
    #[arg(long, value_enum, value_name = "WHAT")]
    only: Vec<Part>,

    /// Exit with 1 if a bar is not met
    #[arg(long)]
    check: bool,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Memory of idle sessions
    Memory,
    /// Very many connections at once
    Together,
    /// How fast sessions come and go
    Sessions,
    /// What they leave behind
    Churn,
}

fn main() -> ExitCode {
    run(play, |options: &Options, is_bench| {
        let (server_cpu, client_cpu) = two_cpus()?;
        cpus::pin(&[client_cpu]);
        let divisor = if is_bench { 1 } else { TRIAL_DIVISOR };
        let Options { idle, held, sessions, churn, .. } = *options;
        let [idle, held, sessions, churn] = [idle, held, sessions, churn].map(|count| count / divisor);
        let experiment = Experiment { idle, held, sessions, churn, server_cpu, client_cpu };
        if is_bench {
            println!(
                "hold:  idle sessions and short ones; server on CPU {server_cpu}, clients on CPU {client_cpu}\n\n\
                 {:56} {:>8} {:>17} {:>10} {:>7}",
                "figure", "median", "95 % interval", "bar", "stolen"
            );
        }
        let is_wanted = |part: &&Part| options.only.is_empty() || options.only.contains(part);
        let mut all_met = true;
        for part in Part::value_variants().iter().filter(is_wanted) {
            let rows = block_on(async {
                Ok(match part {
                    Part::Memory => {
                        vec![experiment.memory(Wire::Tcp).await?, experiment.memory(Wire::WebSocket).await?]
                    }
                    Part::Together => experiment.together().await?,
                    Part::Sessions => {
                        let tcp = experiment.sessions(Wire::Tcp).await?;
                        tcp.into_iter().chain(experiment.sessions(Wire::WebSocket).await?).collect()
                    }
                    Part::Churn => experiment.churn().await?,
                })
            })?;
            all_met &= rows.iter().all(|row| row.is_met != Some(false));
            rows.iter().filter(|_| is_bench).for_each(|row| println!("{}", row.line()));
        }
        if is_bench {
            println!("\nA bar is met if it holds for the worse end of the interval, if there is one.");
        }
        Ok(all_met || !options.check)
    })
}

/// How much of everything, and where.
struct Experiment {
    idle: u64,
    held: u64,
    sessions: u64,
    churn: u64,
    server_cpu: usize,
    client_cpu: usize,
}

impl Experiment {
    /// A fresh server that has had its first sessions. Pings are off: idle clients answer none.
    async fn start(&self) -> anyhow::Result<Server> {
        let program = env!("CARGO_BIN_EXE_twinwire-server");
        let server = Server::start(program, self.server_cpu, &["--ping-interval", "off"])?;
        for endpoint in server.endpoints {
            come_and_go(endpoint, WARMUP_SESSIONS).await?;
        }
        Ok(server)
    }

    fn ticks(&self) -> Option<CpuTicks> {
        CpuTicks::read(&[self.server_cpu, self.client_cpu])
    }

    /// Memory of each idle session.
    async fn memory(&self, wire: Wire) -> anyhow::Result<Row> {
        let name = format!("{}: memory of each of {} idle sessions, KiB", wire.name(), self.idle);
        let bar = if wire == Wire::Tcp { TCP_KIB_BAR } else { WEBSOCKET_KIB_BAR };
        if let Some(reason) = lack_of_descriptors(self.idle) {
            return Ok(Row { value: reason, ..Row::new(name, [], 0, None) });
        }
        let server = self.start().await?;
        let before = settled(&server)?;
        let mut clients = gather(server.endpoints[wire as usize], 0..self.idle).await?;
        let grown_kib = settled(&server)?.resident_kib.saturating_sub(before.resident_kib);
        // They were idle, and are still there.
        ask_all(&mut clients, &[("get k", "key not found")], ARRIVALS_AT_ONCE).await?;
        Ok(Row::new(name, [grown_kib as f64 / self.idle as f64], 2, Some(AtMost(bar))))
    }

    /// Very many connections on both transports, all of which are answered.
    async fn together(&self) -> anyhow::Result<Vec<Row>> {
        let name = format!("both: of {} connections held at once, answered", self.held);
        if let Some(reason) = lack_of_descriptors(self.held) {
            return Ok(vec![Row { value: reason, ..Row::new(name, [], 0, None) }]);
        }
        let server = self.start().await?;
        let [tcp, websocket] = server.endpoints;
        let mut clients = gather(tcp, 0..self.held / 2).await?;
        clients.extend(gather(websocket, self.held / 2..self.held / 2 * 2).await?);
        let requests = [("put k v", "done"), ("get k", "v")];
        ask_all(&mut clients, &requests, ARRIVALS_AT_ONCE).await?;
        let begun_at = Instant::now();
        ask_all(&mut clients, &requests, usize::MAX).await?;
        let seconds = begun_at.elapsed().as_secs_f64();
        Ok(vec![
            Row::new(name, [clients.len() as f64], 0, Some(AtLeast(self.held as f64))),
            Row::new("both: a put and a get of all of them at once, s".to_owned(), [seconds], 2, None),
        ])
    }

    /// How fast sessions come and go.
    async fn sessions(&self, wire: Wire) -> anyhow::Result<[Row; 2]> {
        let server = self.start().await?;
        let (mut rates, mut costs_us) = (Vec::new(), Vec::new());
        let ticks = self.ticks();
        for _ in 0..SESSIONS_ROUNDS {
            let (cpu_ns, begun_at) = (server.cpu_ns()?, Instant::now());
            come_and_go(server.endpoints[wire as usize], self.sessions).await?;
            rates.push(self.sessions as f64 / begun_at.elapsed().as_secs_f64());
            costs_us.push((server.cpu_ns()? - cpu_ns) as f64 / self.sessions as f64 / 1000.0);
        }
        let steal = self.ticks().zip(ticks).and_then(|(end, start)| end.stolen_since(start));
        let (name, bar) = (wire.name(), (wire == Wire::Tcp).then_some(AtLeast(SESSIONS_BAR)));
        let rate = Row::new(format!("{name}: sessions a second, over {}", self.sessions), rates, 0, bar);
        let cost = Row::new(format!("{name}: the server's CPU for each, µs"), costs_us, 1, None);
        Ok([Row { steal, ..rate }, cost])
    }

    /// What very many sessions leave behind.
    async fn churn(&self) -> anyhow::Result<Vec<Row>> {
        let server = self.start().await?;
        let [tcp, websocket] = server.endpoints;
        let (first, all) = (self.churn / 10, self.churn);
        let mut held = Vec::new();
        for count in [first, all - first] {
            come_and_go(tcp, count - count / WEBSOCKET_SHARE).await?;
            come_and_go(websocket, count / WEBSOCKET_SHARE).await?;
            held.push(settled(&server)?);
        }
        let (before, after) = (held[0], held[1]);
        let grown_bytes = (after.resident_kib as f64 - before.resident_kib as f64) * 1024.0;
        let each = grown_bytes / (all - first) as f64;
        let left = after.descriptors.saturating_sub(before.descriptors);
        let resident = |count: u64, holdings: Holdings| {
            let name = format!("both: resident after {count} sessions, KiB");
            Row::new(name, [holdings.resident_kib as f64], 0, None)
        };
        let name = "both: memory that each left, bytes".to_owned();
        let descriptors = "both: descriptors that they left".to_owned();
        Ok(vec![
            resident(first, before),
            resident(all, after),
            Row::new(name, [each], 2, Some(AtMost(LEAK_BYTES_BAR))),
            Row::new(descriptors, [left as f64], 0, Some(AtMost(0.0))),
        ])
    }
}

/// Sessions that log in, quit and are closed.
async fn come_and_go(endpoint: Endpoint, count: u64) -> anyhow::Result<()> {
    let session = |number| async move {
        let name = format!("client-{number}");
        Client::login(endpoint, 0, &name).await?.quit().await.with_context(|| name)
    };
    stream::iter(0..count).map(session).buffer_unordered(SESSIONS_AT_ONCE).try_collect().await
}

/// Sessions that log in and stay.
async fn gather(endpoint: Endpoint, numbers: std::ops::Range<u64>) -> anyhow::Result<Vec<Client>> {
    let login = |number| async move {
        Client::login(endpoint, (number / CLIENTS_PER_ADDRESS) as u8, &format!("client-{number}")).await
    };
    stream::iter(numbers).map(login).buffer_unordered(ARRIVALS_AT_ONCE).try_collect().await
}

/// Every client asks these requests, `at_once` of them at a time.
async fn ask_all(clients: &mut [Client], requests: &[(&str, &str)], at_once: usize) -> anyhow::Result<()> {
    let asking = clients.iter_mut().map(|client| ask(client, requests));
    stream::iter(asking).buffer_unordered(at_once).try_collect().await
}

async fn ask(client: &mut Client, requests: &[(&str, &str)]) -> anyhow::Result<()> {
    for (request, reply) in requests {
        client.ask(request, reply).await?;
    }
    Ok(())
}

/// What the server holds once that has stopped changing.
fn settled(server: &Server) -> anyhow::Result<Holdings> {
    let give_up_at = Instant::now() + SETTLE_TIMEOUT;
    let mut last = server.holdings()?;
    loop {
        thread::sleep(SETTLE_POLL);
        let now = server.holdings()?;
        if now == last || Instant::now() >= give_up_at {
            return Ok(now);
        }
        last = now;
    }
}

/// Why this many connections are too many for this process or the server, if they are. Raises the limit where it must.
fn lack_of_descriptors(connections: u64) -> Option<String> {
    let needed = connections + DESCRIPTORS_SPARE;
    let limit = open_files::raise_limit(needed);
    (limit < needed).then(|| {
        format!("not measured: needs {needed} open files, and the hard limit is {limit} (see ulimit -Hn)")
    })
}

/// One figure.
struct Row {
    name: String,
    value: String,
    interval: String,
    bar: Option<Bar>,
    is_met: Option<bool>,
    steal: Option<f64>,
}

impl Row {
    /// A figure that does not vary, or the median of several.
    fn new(name: String, values: impl IntoIterator<Item = f64>, decimals: usize, bar: Option<Bar>) -> Self {
        let median = Median::of(values);
        let is_met = bar.zip(median).map(|(bar, median)| match median.count {
            1 => bar.holds(median.value),
            _ => bar.is_met(Some(median)).unwrap_or(false),
        });
        let value = figure(median.map(|median| median.value), decimals);
        Self { name, value, interval: interval(median, decimals), bar, is_met, steal: None }
    }

    fn line(&self) -> String {
        let Self { name, value, interval, .. } = self;
        let bar = self.bar.map_or("–".to_owned(), |bar| match bar {
            AtMost(bar) => format!("≤ {bar}"),
            bar => bar.to_string().trim_end_matches(".00").to_owned(),
        });
        let steal = self.steal.map_or("–".to_owned(), |steal| format!("{:.0} %", steal * 100.0));
        let (verdict, _) = verdict(self.is_met, "");
        format!("{name:56} {value:>8} {interval:>17} {bar:>10} {steal:>7}  {verdict}").trim_end().to_owned()
    }
}
