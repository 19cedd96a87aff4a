//! What a well-behaved client notices while others abuse the server.
//!
//! `cargo bench -p twinwire-server --bench abuse` starts the server for each abuse, and logs a neighbour in over TCP and
//! another over WebSocket, each of which asks once a millisecond. It compares their p90 in pairs of windows with and
//! without the abuse, and reports the median of these ratios: a time on a shared machine does not repeat, two windows
//! that follow each other do. It also reports that the abusers were served as the limits say, the server's memory
//! against its bound, and that its descriptors came back.
//!
//! The server has a CPU for itself; neighbours and abusers share another. So that the server's treatment is measured and
//! not a fight for that other CPU, the abusers run as a process of their own in the system's idle class (`chrt --idle`,
//! else `nice`), which gives way whenever a neighbour wakes: a flood is as fast as one CPU can make it. A neighbour's
//! latency begins when it asks, or at the intended instant if the last reply was still due, and ends when the kernel
//! received the reply, by the kernel's own time stamp.
//!
//! Without `--bench` (as `cargo test` calls it) each abuse is tried for a moment at a hundredth of its size, which shows
//! that it works and what it must leave behind, and measures nothing.

mod abusers;
mod neighbour;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use abusers::{Kind, Task};
use anyhow::{Context, ensure};
use neighbour::{Latencies, Neighbours};
use twinwire_bench_support::children::{Process, Server, play, this_program};
use twinwire_bench_support::paired::{Bar, figure, interval, verdict};
use twinwire_bench_support::process::CpuTicks;
use twinwire_bench_support::run::{Plan, ROLE_FLAG, is_installed, main as run};
use twinwire_bench_support::wire::Wire;
use twinwire_bench_support::{Median, cpus, open_files};

/// By how much each abuse is smaller in a trial, and how much longer its window is than that of other benches.
const TRIAL_DIVISOR: usize = 100;
const TRIAL_WINDOW: Duration = Duration::from_millis(200);

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

/// How long neighbours may wait.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    /// Their p90 may be this many times the one without the abuse, and no reply may take longer than [`LONGEST_MAX`].
    P90Ratio(f64),
    /// No reply may take longer than this, from when its request was written.
    Longest(Duration),
}

#[derive(Clone, Copy)]
struct Abuse {
    kind: Kind,
    name: &'static str,
    /// What is counted as served.
    unit: &'static str,
    /// How many at once; of [`Kind::Connections`], how many over all windows.
    size: usize,
    bound: Bound,
    /// The most pairs of windows that it is worth: some take long.
    pairs_max: usize,
    /// The server's flags besides its defaults.
    flags: &'static [&'static str],
    /// How much memory the server may take for each connection while all are there, in KiB. Where it never reads: its
    /// 60 KB of store, what may wait for it and a batch beyond, twice for what the allocator leaves between; where it
    /// has sent half a message, that and the buffers around; else what an idle connection takes.
    growth_kib_each: u64,
}

const USUAL: Abuse = Abuse {
    kind: Kind::Silent,
    name: "",
    unit: "sessions",
    size: 0,
    bound: Bound::P90Ratio(2.0),
    pairs_max: usize::MAX,
    flags: &[],
    growth_kib_each: 8,
};

const STORES: Abuse = Abuse {
    unit: "puts",
    bound: Bound::Longest(Duration::from_millis(50)),
    pairs_max: 3,
    // For each of a million keys, what the limit on all stores counts and as much again.
    growth_kib_each: 200 * 1024,
    ..USUAL
};

/// One of the resets over each transport keeps a CPU busy already.
#[rustfmt::skip]
const ABUSES: [Abuse; 9] = [
    Abuse { kind: Kind::SlowReaders, name: "slow readers", unit: "KiB read", size: 100, flags: &["--max-unsent", "64KiB"], growth_kib_each: 512, ..USUAL },
    Abuse { kind: Kind::SlowWriters, name: "slow writers", unit: "requests", size: 1000, growth_kib_each: 24, ..USUAL },
    Abuse { kind: Kind::HalfOpen, name: "half-open peers", unit: "sent away", size: 1000, flags: &["--idle-timeout", "1s", "--ping-interval", "500ms"], ..USUAL },
    Abuse { kind: Kind::Resets, name: "resets in mid-message", size: 2, ..USUAL },
    Abuse { kind: Kind::LoginFlood, name: "floods of logins", unit: "refusals", size: 4, ..USUAL },
    Abuse { kind: Kind::Connections, name: "connections in a row", size: 100_000, growth_kib_each: 0, ..USUAL },
    Abuse { kind: Kind::Silent, name: "opened, left silent", unit: "held", size: 10_000, ..USUAL },
    Abuse { kind: Kind::LargeStores, name: "ends of large stores", size: 10, ..STORES },
    Abuse { kind: Kind::GrowingStores, name: "stores that grow", size: 2, ..STORES },
];

fn main() -> ExitCode {
    let play_any = |role: &str| match serde_json::from_str::<Task>(role) {
        Ok(task) => abusers::run(task),
        Err(_) => play(role),
    };
    run("abuse", play_any, |plan| {
        plan.need_two_cpus()?;
        cpus::pin(&[plan.generator_cpu]);
        let length = if plan.is_measurement { plan.length } else { TRIAL_WINDOW };
        let mut plan = plan.clone();
        plan.length = length;
        let plan = &plan;
        print_heading(plan);
        let before = CpuTicks::read(&[]);
        let mut all_met = true;
        for abuse in ABUSES.iter().filter(|abuse| plan.includes(abuse.name)) {
            let result = Experiment::run(plan, abuse).or_else(|error| {
                // A busy machine may have made one of the processes late.
                eprintln!("{}: {error:#}", abuse.name);
                if plan.is_measurement { Err(error) } else { Experiment::run(plan, abuse) }
            });
            all_met &= result.with_context(|| abuse.name)?.print();
        }
        print_notes(CpuTicks::read(&[]).zip(before).and_then(|(after, before)| after.stolen_since(before)));
        // A trial measures nothing that could be missed.
        Ok(all_met || !plan.is_measurement)
    })
}

/// The two windows of a pair, over each transport.
struct Pair {
    without: [Latencies; 2],
    with: [Latencies; 2],
}

/// One abuse, and what was seen so far.
struct Experiment<'a> {
    plan: &'a Plan,
    abuse: &'a Abuse,
    task: Task,
    /// Whether the limit on descriptors allows no more abusers.
    is_short: bool,
    pairs: Vec<Pair>,
    served: u64,
    resident_kib_before: u64,
    /// The most at the end of a window.
    resident_kib_max: u64,
    /// How long the server took to stop with all large stores in it.
    stop: Option<Duration>,
}

impl<'a> Experiment<'a> {
    /// Runs one abuse. An error if the server did not serve as its limits say, or kept descriptors.
    fn run(plan: &'a Plan, abuse: &'a Abuse) -> anyhow::Result<Self> {
        let divisor = if plan.is_measurement { 1 } else { TRIAL_DIVISOR };
        // Two at least, for there are two transports.
        let all = (abuse.size / divisor).max(2);
        let is_crowd = abuse.kind != Kind::Connections;
        let size = if is_crowd { affordable(all) } else { all.div_ceil(plan.rounds) };
        let cpu_list = plan.server_cpu.to_string();
        // With stores that grow the server has a second worker, on the CPU of the first. There is a neighbour on each,
        // a manager that reads an abuser's store, so that it waits where the store is locked for long.
        let has_managers = abuse.kind == Kind::GrowingStores;
        let second_worker: &[&str] = if has_managers { &["--cpus", &cpu_list] } else { &[] };
        let program = env!("CARGO_BIN_EXE_twinwire-server");
        let server = Server::start(program, plan.server_cpu, &[abuse.flags, second_worker].concat())?;
        let mut neighbours = Neighbours::login(server.endpoints, has_managers)?;
        quiet_window(&mut neighbours, plan.warmup)?;
        let before = server.holdings()?;
        let mut experiment = Self {
            plan,
            abuse,
            task: Task {
                kind: abuse.kind,
                endpoints: server.endpoints,
                size,
                hold: plan.length,
                store_keys: STORE_KEYS / divisor,
            },
            is_short: is_crowd && size < all,
            pairs: Vec::with_capacity(plan.rounds),
            served: 0,
            resident_kib_before: before.resident_kib,
            resident_kib_max: 0,
            stop: None,
        };
        for number in 0..plan.rounds.min(abuse.pairs_max) {
            // Each comes first as often as second, in the order of the Thue-Morse sequence: no drift favours one.
            let (without, with) = if number.count_ones().is_multiple_of(2) {
                let without = quiet_window(&mut neighbours, plan.length)?;
                (without, experiment.abused_window(&server, &mut neighbours)?)
            } else {
                let with = experiment.abused_window(&server, &mut neighbours)?;
                settle(&server, before.descriptors)?;
                (quiet_window(&mut neighbours, plan.length)?, with)
            };
            settle(&server, before.descriptors).with_context(|| format!("after {}", abuse.name))?;
            experiment.pairs.push(Pair { without, with });
        }
        experiment.note_memory(&server)?;
        if abuse.kind == Kind::LargeStores {
            let abusers = experiment.start_abusers()?;
            abusers.line("full")?;
            // A client that does not close when the server does is waited for, which is not what is measured here.
            drop(neighbours);
            let began = Instant::now();
            drop(server);
            experiment.stop = Some(began.elapsed());
        }
        Ok(experiment)
    }

    fn note_memory(&mut self, server: &Server) -> anyhow::Result<()> {
        self.resident_kib_max = self.resident_kib_max.max(server.holdings()?.resident_kib);
        Ok(())
    }

    /// A window with the abuse: from its beginning until all of it has been there, and no shorter than the others.
    fn abused_window(
        &mut self,
        server: &Server,
        neighbours: &mut Neighbours,
    ) -> anyhow::Result<[Latencies; 2]> {
        let began = Instant::now();
        let abusers = self.start_abusers()?;
        let length = self.plan.length;
        if self.abuse.kind == Kind::LargeStores {
            // What neighbours may notice comes when the sessions end, not while a flood fills their stores.
            abusers.line("full")?;
            self.note_memory(server)?;
            return window(neighbours, || {
                self.served += abusers.stop()?;
                thread::sleep(length * ENDS_WINDOWS);
                Ok(())
            });
        }
        let measured = window(neighbours, || {
            abusers.line("full")?;
            thread::sleep(length.saturating_sub(began.elapsed()));
            self.note_memory(server)
        })?;
        self.served += abusers.stop()?;
        Ok(measured)
    }

    /// Starts this program as abusers in the idle class, as far as the system's tools allow; they have begun when this
    /// returns. In a trial they are like any program: in the idle class they would wait for ever if another one takes
    /// all of the CPU.
    fn start_abusers(&self) -> anyhow::Result<Abusers> {
        let (program, how): (_, &[&str]) = match self.plan.is_measurement {
            false => ("nice", &["-n", "0"]),
            true if is_installed("chrt") => ("chrt", &["--idle", "0"]),
            true => ("nice", &["-n", "19"]),
        };
        let (this, task) = (this_program()?, serde_json::to_string(&self.task)?);
        // They run where they are started: with the neighbours.
        let arguments = [how, &[&this, ROLE_FLAG, &task]].concat();
        let abusers = Abusers(Process::start(program, &arguments, &[])?);
        abusers.line("going")?;
        Ok(abusers)
    }

    /// Prints its rows; whether all its bars are met.
    fn print(&self) -> bool {
        let (abuse, mut all_met) = (self.abuse, true);
        let growth_kib = self.resident_kib_max.saturating_sub(self.resident_kib_before);
        // 4 MiB for the batches and buffers that any load makes the server keep.
        let growth_kib_max = 4096 + abuse.growth_kib_each * self.task.size as u64;
        for (index, transport) in Wire::BOTH.map(Wire::name).into_iter().enumerate() {
            let median = |of: &dyn Fn(&Pair) -> f64| Median::of(self.pairs.iter().map(of));
            let p90 = |latencies: &[Latencies; 2]| latencies[index].p90.as_secs_f64();
            let ratio = median(&|pair| p90(&pair.with) / p90(&pair.without));
            let micros = |median: Option<Median>| figure(median.map(|median| median.value * 1e6), 0);
            let longest = self.pairs.iter().map(|pair| match abuse.bound {
                Bound::P90Ratio(_) => pair.with[index].max,
                Bound::Longest(_) => pair.with[index].longest_wait,
            });
            let longest = longest.max().unwrap_or_default();
            let (bar, is_met) = match abuse.bound {
                Bound::P90Ratio(max) => {
                    let is_met = Bar::AtMost(max).is_met(ratio);
                    (format!("{max:.1}"), is_met.map(|is_met| is_met && longest <= LONGEST_MAX))
                }
                Bound::Longest(max) => (format!("{} ms", max.as_millis()), Some(longest <= max)),
            };
            let (verdict, is_met) = verdict(is_met, "–");
            all_met &= is_met;
            let once = |text: String| if index == 0 { text } else { String::new() };
            println!(
                "{:22} {:>6} {transport:10} {:>8} µs {:>6} µs {:>6} {:>15} {bar:>5} {verdict:7} {:>5} ms {:>22} {:>26}",
                once(abuse.name.to_owned()),
                once(self.task.size.to_string()),
                micros(median(&|pair| p90(&pair.without))),
                micros(median(&|pair| p90(&pair.with))),
                figure(ratio.map(|median| median.value), 2),
                interval(ratio, 2),
                longest.as_millis(),
                once(format!("{} +{growth_kib}/{growth_kib_max}", self.resident_kib_before)),
                once(format!("{} {}", self.served, abuse.unit)),
            );
        }
        if growth_kib > growth_kib_max {
            all_met = false;
            println!("    memory grew by {growth_kib} KiB, more than its bound");
        }
        if let Bound::Longest(_) = abuse.bound {
            let windows = self.pairs.iter().flat_map(|pair| &pair.without);
            let longest = windows.map(|window| window.longest_wait).max().unwrap_or_default();
            println!("    the longest without it: {} ms", longest.as_millis());
        }
        if let Some(stop) = self.stop {
            let (verdict, is_met) = verdict(Some(stop <= STOP_MAX), "");
            all_met &= is_met;
            println!("    the stop with all of them there: {} ms (1 s, {verdict})", stop.as_millis());
        }
        if self.is_short {
            all_met = false;
            println!("    fewer than the intended {}: too few descriptors are allowed", abuse.size);
        }
        all_met
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
        "abuse: p90 of a well-behaved neighbour with and without abuse, {} pairs of windows of {:?}\n\
         load:  a request a millisecond over each transport; server on CPU {}, neighbours on CPU {} together with the\n\
         \x20      abusers, which are in the system's idle class and have what the neighbours leave\n\n\
         {:22} {:>6} {:10} {:>11} {:>9} {:>6} {:>15} {:>5} {:7} {:>8} {:>22} {:>26}",
        plan.rounds,
        plan.length,
        plan.server_cpu,
        plan.generator_cpu,
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

fn print_notes(stolen: Option<f64>) {
    println!(
        "\nA bar is met if the upper end of the interval is at most the bar and no reply took longer than a second, or,\n\
         if it is a time, if the longest is within it. Each window with abuse begins as the abuse does and ends once all\n\
         of it is there. Memory: the server's before, how much it grew at most, and what it may. After each window the\n\
         server had as many descriptors as before, and the abusers got what the limits say; otherwise the run would have\n\
         stopped here. The host gave {} % of the CPUs' time to others: over a percent or two, or if other programs were\n\
         at work, p90 is theirs and not the server's.",
        figure(stolen.map(|share| share * 100.0), 1)
    );
}
