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
//! If the limit on open files is too low for a figure, its row says so. Without `--bench` (as `cargo test` calls it)
//! everything is tried with a hundredth of the numbers. It takes about 2 minutes.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use twinwire_bench_support::children::{Holdings, Server, play};
use twinwire_bench_support::paired::Bar::{self, AtLeast, AtMost, Within};
use twinwire_bench_support::paired::{figure, interval, verdict};
use twinwire_bench_support::process::CpuTicks;
use twinwire_bench_support::run::{Plan, main as run};
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

/// How many idle sessions' memory is looked at, on each transport.
const IDLE: u64 = 10_000;

/// Connections held at once, half on each transport.
const HELD: u64 = 18_000;

/// Sessions of one measurement of how fast they come and go.
const SESSIONS: u64 = 20_000;

/// Sessions that come and go to show what they leave behind.
const CHURN: u64 = 1_000_000;

/// By how much everything is smaller in a trial.
const TRIAL_DIVISOR: u64 = 100;

fn main() -> ExitCode {
    run("hold", play, |plan| {
        plan.need_two_cpus()?;
        cpus::pin(&[plan.generator_cpu]);
        if plan.is_measurement {
            println!(
                "hold:  idle sessions and short ones; server on CPU {}, clients on CPU {}\n\n\
                 {:56} {:>8} {:>17} {:>10} {:>7}",
                plan.server_cpu, plan.generator_cpu, "figure", "median", "95 % interval", "bar", "stolen"
            );
        }
        let mut all_met = true;
        for part in ["memory", "together", "sessions", "churn"].into_iter().filter(|part| plan.includes(part))
        {
            all_met &= block_on(async {
                Ok(match part {
                    "memory" => {
                        memory(plan, Wire::Tcp, TCP_KIB_BAR).await?
                            & memory(plan, Wire::WebSocket, WEBSOCKET_KIB_BAR).await?
                    }
                    "together" => together(plan).await?,
                    "sessions" => {
                        sessions(plan, Wire::Tcp, Some(AtLeast(SESSIONS_BAR))).await?
                            & sessions(plan, Wire::WebSocket, None).await?
                    }
                    _ => churn(plan).await?,
                })
            })?;
        }
        if plan.is_measurement {
            println!("\nA bar is met if it holds for the worse end of the interval, if there is one.");
        }
        Ok(all_met)
    })
}

/// This many, or a trial's share.
fn scaled(plan: &Plan, count: u64) -> u64 {
    if plan.is_measurement { count } else { count / TRIAL_DIVISOR }
}

/// A fresh server that has had its first sessions. Pings are off: idle clients answer none.
async fn start(plan: &Plan) -> anyhow::Result<Server> {
    let program = env!("CARGO_BIN_EXE_twinwire-server");
    let server = Server::start(program, plan.server_cpu, &["--ping-interval", "off"])?;
    for endpoint in server.endpoints {
        come_and_go(endpoint, WARMUP_SESSIONS).await?;
    }
    Ok(server)
}

/// Memory of each idle session. This and the following return whether their bars are met.
async fn memory(plan: &Plan, wire: Wire, bar: f64) -> anyhow::Result<bool> {
    let idle = scaled(plan, IDLE);
    if !has_descriptors(plan, "memory of idle sessions", idle) {
        return Ok(false);
    }
    let server = start(plan).await?;
    let before = settled(&server)?;
    let mut clients = gather(server.endpoints[wire as usize], 0..idle).await?;
    let grown_kib = settled(&server)?.resident_kib.saturating_sub(before.resident_kib);
    // They were idle, and are still there.
    ask_all(&mut clients, &[("get k", "key not found")], ARRIVALS_AT_ONCE).await?;
    let name = format!("{}: memory of each of {idle} idle sessions, KiB", wire.name());
    Ok(row(plan, &name, &[grown_kib as f64 / idle as f64], 2, Some(AtMost(bar)), None))
}

/// Very many connections on both transports, all of which are answered.
async fn together(plan: &Plan) -> anyhow::Result<bool> {
    let held = scaled(plan, HELD);
    if !has_descriptors(plan, "connections held at once", held) {
        return Ok(false);
    }
    let server = start(plan).await?;
    let [tcp, websocket] = server.endpoints;
    let mut clients = gather(tcp, 0..held / 2).await?;
    clients.extend(gather(websocket, held / 2..held / 2 * 2).await?);
    let requests = [("put k v", "done"), ("get k", "v")];
    ask_all(&mut clients, &requests, ARRIVALS_AT_ONCE).await?;
    let begun_at = Instant::now();
    ask_all(&mut clients, &requests, usize::MAX).await?;
    let seconds = begun_at.elapsed().as_secs_f64();
    let (name, count) = (format!("both: of {held} connections held at once, answered"), clients.len());
    row(plan, "both: a put and a get of all of them at once, s", &[seconds], 2, None, None);
    Ok(row(plan, &name, &[count as f64], 0, Some(AtLeast(held as f64)), None))
}

/// How fast sessions come and go.
async fn sessions(plan: &Plan, wire: Wire, bar: Option<Bar>) -> anyhow::Result<bool> {
    let (server, count, name) = (start(plan).await?, scaled(plan, SESSIONS), wire.name());
    let (mut rates, mut costs_us) = (Vec::new(), Vec::new());
    let ticks = || CpuTicks::read(&[plan.server_cpu, plan.generator_cpu]);
    let before = ticks();
    for _ in 0..SESSIONS_ROUNDS {
        let (cpu_ns, begun_at) = (server.cpu_ns()?, Instant::now());
        come_and_go(server.endpoints[wire as usize], count).await?;
        rates.push(count as f64 / begun_at.elapsed().as_secs_f64());
        costs_us.push((server.cpu_ns()? - cpu_ns) as f64 / count as f64 / 1000.0);
    }
    let steal = ticks().zip(before).and_then(|(end, start)| end.stolen_since(start));
    let is_met = row(plan, &format!("{name}: sessions a second, over {count}"), &rates, 0, bar, steal);
    row(plan, &format!("{name}: the server's CPU for each, µs"), &costs_us, 1, None, None);
    Ok(is_met)
}

/// What very many sessions leave behind.
async fn churn(plan: &Plan) -> anyhow::Result<bool> {
    let server = start(plan).await?;
    let [tcp, websocket] = server.endpoints;
    let all = scaled(plan, CHURN);
    let first = all / 10;
    let mut held = Vec::new();
    for (count, after) in [(first, first), (all - first, all)] {
        come_and_go(tcp, count - count / WEBSOCKET_SHARE).await?;
        come_and_go(websocket, count / WEBSOCKET_SHARE).await?;
        let now = settled(&server)?;
        let name = format!("both: resident after {after} sessions, KiB");
        row(plan, &name, &[now.resident_kib as f64], 0, None, None);
        held.push(now);
    }
    let grown_bytes = (held[1].resident_kib as f64 - held[0].resident_kib as f64) * 1024.0;
    let each = grown_bytes / (all - first) as f64;
    let left = held[1].descriptors.saturating_sub(held[0].descriptors) as f64;
    let (memory, descriptors) = ("both: memory that each left, bytes", "both: descriptors that they left");
    Ok(row(plan, memory, &[each], 2, Some(AtMost(LEAK_BYTES_BAR)), None)
        & row(plan, descriptors, &[left], 0, Some(AtMost(0.0)), None))
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
    let asking = clients.iter_mut().map(|client| async move {
        for (request, reply) in requests {
            client.ask(request, reply).await?;
        }
        anyhow::Ok(())
    });
    stream::iter(asking).buffer_unordered(at_once).try_collect().await
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

/// Whether this process and the server may have this many connections, after raising the limit if it must be. If not, a
/// row says so.
fn has_descriptors(plan: &Plan, what: &str, connections: u64) -> bool {
    let needed = connections + DESCRIPTORS_SPARE;
    let limit = open_files::raise_limit(needed);
    if limit < needed && plan.is_measurement {
        println!(
            "{what}: not measured: needs {needed} open files, and the hard limit is {limit} (see ulimit -Hn)"
        );
    }
    limit >= needed
}

/// Prints a figure, which is the median if there are several; whether its bar is met.
fn row(
    plan: &Plan,
    name: &str,
    values: &[f64],
    decimals: usize,
    bar: Option<Bar>,
    steal: Option<f64>,
) -> bool {
    let median = Median::of(values.iter().copied());
    let is_met = bar.map(|bar| match values {
        [value] => bar.holds(*value),
        _ => bar.is_met(median).unwrap_or(false),
    });
    if plan.is_measurement {
        let bar = bar.map_or("–".to_owned(), |bar| match bar {
            AtMost(bar) => format!("≤ {bar}"),
            AtLeast(bar) | Within(bar) => format!("≥ {bar}"),
        });
        let (value, interval) =
            (figure(median.map(|median| median.value), decimals), interval(median, decimals));
        let steal = steal.map_or("–".to_owned(), |steal| format!("{:.0} %", steal * 100.0));
        let (verdict, _) = verdict(is_met, "");
        println!("{name:56} {value:>8} {interval:>17} {bar:>10} {steal:>7}  {verdict}");
    }
    is_met.unwrap_or(true)
}
