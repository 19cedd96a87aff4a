//! What a well-behaved client notices while others abuse the server.
//!
//! `cargo bench -p twinwire-server --bench abuse` starts the server for each abuse, logs a neighbour in over TCP and
//! another over WebSocket, each of which asks once a millisecond, and measures their p90 in windows with and without
//! the abuse, in pairs. What is compared is the p90 of a pair's two windows, and what is
//! reported is the median of these ratios with its 95 % interval: a time on a shared machine does not repeat, two
//! windows that follow each other do. Also reported: that the abusers were served as the limits say, the server's memory
//! against its bound, and that its descriptors came back.
//!
//! The server has a CPU for itself, neighbours and abusers share another. So that it is the server's
//! treatment which is measured and not a fight for that other CPU, the abusers run as a process of their own in the
//! system's idle class (`chrt --idle`, else `nice`), which gives way whenever a neighbour wakes. They take all that is
//! left, so a flood is as fast as one CPU can make it. And a neighbour's latency ends when the kernel received the
//! reply, by the kernel's own time stamp, however late the neighbour then got its CPU.
//!
//! It begins when the neighbour asks, or at the instant at which it meant to, if it could not ask then because the
//! last reply was still due: a stall of the server is not left out.
//!
//! Not for what the server costs or can do at most. Without `--bench` (as `cargo test` calls it) each abuse
//! is tried for a moment and at a hundredth of its size, which shows that it works and what it must leave behind, and
//! measures nothing.

mod abuse;
mod abusers;
mod neighbour;

use std::{
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use abuse::{Abuse, Bound};
use abusers::Task;
use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum, value_parser};
use neighbour::{Latencies, Neighbours};
use twinwire_bench_support::children::{Process, Server, play};
use twinwire_bench_support::process::CpuTicks;
use twinwire_bench_support::run::{ROLE_FLAG, WARMUP, is_installed, main as run, two_cpus};
use twinwire_bench_support::table::{Bar, figure, interval, verdict};
use twinwire_bench_support::wire::Wire;
use twinwire_bench_support::{Median, cpus, open_files};

/// The trial: enough to see replies, too short to measure.
const TRIAL_WINDOW: Duration = Duration::from_millis(200);
const TRIAL_DIVISOR: usize = 100;

/// How many keys a large store has: the default limit.
const STORE_KEYS: usize = 1_000_000;

/// What a process needs besides its abusers' or clients' connections; the server keeps some for those on their way out.
const DESCRIPTORS_SPARE: usize = 512;

/// In how many windows, one after the other, everything of the stores that ended is freed.
const ENDS_WINDOWS: u32 = 3;

/// Longest that abusers may take to be all there, and that the server may take to be rid of them.
const CROWD_TIMEOUT: Duration = Duration::from_mins(3);
const CROWD_POLL: Duration = Duration::from_millis(2);

/// LIFE-5: longest that a neighbour may wait for any reply.
const LONGEST_MAX: Duration = Duration::from_secs(1);

/// Longest that a stop may take, however large the stores are.
const STOP_MAX: Duration = Duration::from_secs(1);

/// The p90 of a well-behaved client with and without others' abuse of the server, in alternating windows
///
/// Exits with 1 if a bar is missed, 0 if all are met.
#[derive(Debug, Parser)]
#[command(name = "abuse", bin_name = "cargo bench -p twinwire-server --bench abuse --")]
struct Options {
    /// Only these abuses
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Abuse>,

    /// Pairs of windows; an interval takes six
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u16).range(1..=1000))]
    pairs: u16,

    /// Length of a window
    #[arg(long, default_value_t = 1000, value_parser = value_parser!(u16).range(50..=60_000))]
    window_ms: u16,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let play_any = |role: &str| match serde_json::from_str::<Task>(role) {
        Ok(task) => abusers::run(&task),
        Err(_) => play(role),
    };
    run(play_any, |options: &Options, is_bench| {
        let (server_cpu, client_cpu) = two_cpus()?;
        cpus::pin(&[client_cpu]);
        let plan = if is_bench {
            let window = Duration::from_millis(options.window_ms.into());
            Plan { pairs: options.pairs.into(), window, server_cpu, client_cpu, divisor: 1 }
        } else {
            Plan { pairs: 1, window: TRIAL_WINDOW, server_cpu, client_cpu, divisor: TRIAL_DIVISOR }
        };
        print_heading(&plan);
        let before = CpuTicks::read(&[]);
        let abuses = if options.only.is_empty() { Abuse::value_variants() } else { &options.only };
        let mut all_met = true;
        for &abuse in abuses {
            let outcome = plan.run(abuse).or_else(|error| {
                // A busy machine may have made one of the processes late.
                eprintln!("{}: {error:#}", abuse.spec().name);
                if is_bench { Err(error) } else { plan.run(abuse) }
            });
            all_met &= outcome.with_context(|| abuse.spec().name)?.print();
        }
        print_notes(CpuTicks::read(&[]).zip(before).and_then(|(after, before)| after.stolen_since(before)));
        // A trial measures nothing that could be missed.
        Ok(all_met || !is_bench)
    })
}

/// The size of the experiment.
#[derive(Debug, Clone, Copy)]
struct Plan {
    pairs: usize,
    window: Duration,
    server_cpu: usize,
    client_cpu: usize,
    /// By how much each abuse is smaller than it should be.
    divisor: usize,
}

/// The two windows of a pair, over each transport.
struct Pair {
    without: [Latencies; 2],
    with: [Latencies; 2],
}

struct Outcome {
    abuse: Abuse,
    /// How many abusers there were at once, or connections in each window.
    size: usize,
    /// Whether the limit on descriptors allowed no more.
    is_short: bool,
    pairs: Vec<Pair>,
    served: u64,
    resident_kib_before: u64,
    /// The most at the end of a window.
    resident_kib_max: u64,
    /// How long the server took to stop with all large stores in it.
    stop: Option<Duration>,
}

impl Plan {
    /// Runs one abuse. An error if the server did not serve as its limits say, or kept descriptors.
    fn run(&self, abuse: Abuse) -> anyhow::Result<Outcome> {
        let spec = abuse.spec();
        // Two at least, for there are two transports.
        let all = (spec.size / self.divisor).max(2);
        let (meant, size) =
            if abuse.is_crowd() { (all, affordable(all)) } else { (all, all.div_ceil(self.pairs)) };
        let cpu_list = self.server_cpu.to_string();
        // On the CPU of the first one.
        let second_worker: &[&str] = if abuse.has_managers() { &["--cpus", &cpu_list] } else { &[] };
        let program = env!("CARGO_BIN_EXE_twinwire-server");
        let server = Server::start(program, self.server_cpu, &[spec.flags, second_worker].concat())?;
        let mut neighbours = Neighbours::login(server.endpoints, abuse.has_managers())?;
        quiet_window(&mut neighbours, WARMUP)?;
        let before = server.holdings()?;
        let mut outcome = Outcome {
            abuse,
            size,
            is_short: abuse.is_crowd() && size < meant,
            pairs: Vec::with_capacity(self.pairs),
            served: 0,
            resident_kib_before: before.resident_kib,
            resident_kib_max: 0,
            stop: None,
        };
        let task = Task {
            abuse,
            endpoints: server.endpoints,
            size,
            hold: self.window,
            store_keys: STORE_KEYS / self.divisor,
        };
        for number in 0..self.pairs.min(spec.pairs_max) {
            // Each comes first as often as second, in the order of the Thue-Morse sequence: no drift favours one.
            let (without, with) = if number.count_ones().is_multiple_of(2) {
                let without = quiet_window(&mut neighbours, self.window)?;
                (without, self.abused_window(&task, &server, &mut neighbours, &mut outcome)?)
            } else {
                let with = self.abused_window(&task, &server, &mut neighbours, &mut outcome)?;
                settle(&server, before.descriptors)?;
                (quiet_window(&mut neighbours, self.window)?, with)
            };
            settle(&server, before.descriptors).with_context(|| format!("after {}", spec.name))?;
            outcome.pairs.push(Pair { without, with });
        }
        outcome.resident_kib_max = outcome.resident_kib_max.max(server.holdings()?.resident_kib);
        if abuse == Abuse::LargeStores {
            let abusers = Abusers::start(&task, self.divisor > 1)?;
            abusers.line("full")?;
            // A client that does not close when the server does is waited for, which is not what is measured here.
            drop(neighbours);
            let began = Instant::now();
            drop(server);
            outcome.stop = Some(began.elapsed());
        }
        Ok(outcome)
    }

    /// A window with the abuse: from its beginning until all of it has been there, and no shorter than the others.
    fn abused_window(
        &self,
        task: &Task,
        server: &Server,
        neighbours: &mut Neighbours,
        outcome: &mut Outcome,
    ) -> anyhow::Result<[Latencies; 2]> {
        let began = Instant::now();
        let abusers = Abusers::start(task, self.divisor > 1)?;
        if task.abuse == Abuse::LargeStores {
            // What neighbours may notice comes when the sessions end, not while a flood fills their stores.
            abusers.line("full")?;
            outcome.resident_kib_max = outcome.resident_kib_max.max(server.holdings()?.resident_kib);
            return window(neighbours, || {
                outcome.served += abusers.stop()?;
                thread::sleep(self.window * ENDS_WINDOWS);
                Ok(())
            });
        }
        let measured = window(neighbours, || {
            abusers.line("full")?;
            thread::sleep(self.window.saturating_sub(began.elapsed()));
            outcome.resident_kib_max = outcome.resident_kib_max.max(server.holdings()?.resident_kib);
            Ok(())
        })?;
        outcome.served += abusers.stop()?;
        Ok(measured)
    }
}

/// This many connections, or as many as the limit on open files allows.
fn affordable(connections: usize) -> usize {
    let limit = open_files::raise_limit((connections + DESCRIPTORS_SPARE) as u64);
    let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(DESCRIPTORS_SPARE).max(1);
    connections.min(most)
}

fn quiet_window(neighbours: &mut Neighbours, length: Duration) -> anyhow::Result<[Latencies; 2]> {
    window(neighbours, || {
        thread::sleep(length);
        Ok(())
    })
}

/// Has the neighbours ask while `wait` waits.
fn window(
    neighbours: &mut Neighbours,
    wait: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<[Latencies; 2]> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let measuring = scope.spawn(|| neighbours.measure(&is_over));
        let waited = wait();
        is_over.store(true, Ordering::Relaxed);
        let measured = measuring.join().expect("the neighbours do not panic");
        waited?;
        measured
    })
}

/// Waits until the server has no more descriptors open than `before`.
fn settle(server: &Server, before: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let now = server.holdings()?.descriptors;
        if now <= before {
            return Ok(());
        }
        ensure!(began.elapsed() <= CROWD_TIMEOUT, "{now} descriptors are open where {before} were");
        thread::sleep(CROWD_POLL);
    }
}

/// The process of the abusers.
struct Abusers(Process);

impl Abusers {
    /// Starts this program as abusers in the idle class, as far as the system's tools allow; they have begun when this
    /// returns. In a trial they are like any program: in the idle class they would wait for ever beside one that takes
    /// all of the CPU.
    fn start(task: &Task, is_trial: bool) -> anyhow::Result<Self> {
        let executable = std::env::current_exe().context("this executable cannot be found")?;
        let executable = executable.to_str().context("this executable's path is no text")?;
        let (program, how): (_, &[&str]) = match is_trial {
            true => ("nice", &["-n", "0"]),
            false if is_installed("chrt") => ("chrt", &["--idle", "0"]),
            false => ("nice", &["-n", "19"]),
        };
        let task = serde_json::to_string(task)?;
        // They run where they are started: with the neighbours.
        let started = Process::start_program(program, &[how, &[executable, ROLE_FLAG, &task]].concat(), &[])?;
        let abusers = Self(started);
        abusers.line("going")?;
        Ok(abusers)
    }

    /// Ends them; how often they were served.
    fn stop(mut self) -> anyhow::Result<u64> {
        self.0.end_input();
        Ok(self.line("served ")?.parse()?)
    }

    /// The rest of the next line, which begins like this.
    fn line(&self, beginning: &str) -> anyhow::Result<String> {
        let line = self.0.line(CROWD_TIMEOUT)?;
        let rest = line.strip_prefix(beginning);
        Ok(rest.with_context(|| format!("`{line}` instead of `{beginning}`"))?.to_owned())
    }
}

fn print_heading(plan: &Plan) {
    println!(
        "abuse: p90 of a well-behaved neighbour with and without abuse, {} pairs of windows of {} s\n\
         load:  a request a millisecond over each transport; server on CPU {}, neighbours on CPU {} together with the\n\
         \x20      abusers, which are in the system's idle class and have what the neighbours leave\n\n\
         {:22} {:>6} {:10} {:>11} {:>9} {:>6} {:>15} {:>5} {:7} {:>8} {:>22} {:>26}",
        plan.pairs,
        plan.window.as_secs_f64(),
        plan.server_cpu,
        plan.client_cpu,
        "abuse",
        "number",
        "neighbour",
        "p90 without",
        "p90 with",
        "ratio",
        "95 % interval",
        "bar",
        "",
        "longest",
        "memory KiB, +most/bound",
        "served"
    );
}

impl Outcome {
    /// Prints its rows; whether all its bars are met.
    fn print(&self) -> bool {
        let (spec, mut all_met) = (self.abuse.spec(), true);
        let growth_kib = self.resident_kib_max.saturating_sub(self.resident_kib_before);
        let growth_kib_max = self.abuse.growth_kib_max(self.size);
        for (index, transport) in Wire::BOTH.map(Wire::name).into_iter().enumerate() {
            let p90 = |of: fn(&Pair) -> &[Latencies; 2]| {
                self.pairs.iter().map(move |pair| of(pair)[index].p90().as_secs_f64())
            };
            let (without, with) = (|| p90(|pair| &pair.without), || p90(|pair| &pair.with));
            let ratio = Median::of(with().zip(without()).map(|(with, without)| with / without));
            let longest = self.pairs.iter().map(|pair| match spec.bound {
                Bound::P90Ratio(_) => pair.with[index].max(),
                Bound::Longest(_) => pair.with[index].longest_wait(),
            });
            let longest = longest.max().unwrap_or_default();
            let (bar, is_met) = match spec.bound {
                Bound::P90Ratio(max) => {
                    let is_met = Bar::AtMost(max).is_met(ratio);
                    (format!("{max:.1}"), is_met.map(|is_met| is_met && longest <= LONGEST_MAX))
                }
                Bound::Longest(max) => (format!("{} ms", max.as_millis()), Some(longest <= max)),
            };
            let (verdict, is_met) = verdict(is_met, "–");
            all_met &= is_met;
            let once = |text: String| if index == 0 { text } else { String::new() };
            let micros = |seconds| figure(Some(seconds * 1e6), 0);
            println!(
                "{:22} {:>6} {transport:10} {:>8} µs {:>6} µs {:>6} {:>15} {bar:>5} {verdict:7} {:>5} ms {:>22} {:>26}",
                once(spec.name.to_owned()),
                once(self.size.to_string()),
                Median::of(without()).map_or("–".to_owned(), |median| micros(median.value)),
                Median::of(with()).map_or("–".to_owned(), |median| micros(median.value)),
                figure(ratio.map(|median| median.value), 2),
                interval(ratio, 2),
                longest.as_millis(),
                once(format!("{} +{growth_kib}/{growth_kib_max}", self.resident_kib_before)),
                once(format!("{} {}", self.served, spec.unit)),
            );
        }
        if growth_kib > growth_kib_max {
            all_met = false;
            println!("    memory grew by {growth_kib} KiB, more than its bound");
        }
        if let Bound::Longest(_) = spec.bound {
            let windows = self.pairs.iter().flat_map(|pair| &pair.without);
            let longest = windows.map(Latencies::longest_wait).max().unwrap_or_default();
            println!("    the longest without it: {} ms", longest.as_millis());
        }
        if let Some(stop) = self.stop {
            let (verdict, is_met) = verdict(Some(stop <= STOP_MAX), "");
            all_met &= is_met;
            println!("    the stop with all of them there: {} ms (1 s, {verdict})", stop.as_millis());
        }
        if self.is_short {
            all_met = false;
            println!("    not the {} that are meant: too few descriptors are allowed", spec.size);
        }
        all_met
    }
}

fn print_notes(stolen: Option<f64>) {
    println!(
        "\nA bar is met if the upper end of the interval is at most the bar and no reply took longer than a second, or \
         if\nit is a time and the longest is within it. Each window with abuse begins as the abuse does and ends once all \
         of it is there. Memory: the server's before, how much\nit grew at most, and what it may. After each window its \
         descriptors were as many as before, and what the abusers\ngot was what the limits say; otherwise the run would \
         have stopped here. The host gave {} % of the CPUs' time to\nothers: over a percent or two, or with other \
         programs at work here, p90 is theirs and not the server's.",
        figure(stolen.map(|share| share * 100.0), 1)
    );
}
