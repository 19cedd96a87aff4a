//! Samples of processes and sockets, and what was spent between two of them.

use twinwire_os::clock::{self, Nanos};
use twinwire_os::process::CpuTicks;
use twinwire_os::tree::{Figures as ProcessFigures, Tree};

use super::super::context::PassContext;
use crate::measure::recorder::TimeRange;
use crate::record::{Cost, Processes, Sockets};
use crate::wire::SocketSample;

/// Bytes of one transport so far.
#[derive(Debug, Clone, Copy, Default)]
struct ByteCounts {
    sent: u64,
    received: u64,
}

/// Figures of processes and sockets at one instant.
#[derive(Debug, Clone)]
pub struct Sample {
    at: Nanos,
    replies: u64,
    server: ProcessFigures,
    generator: ProcessFigures,
    ticks: Option<CpuTicks>,
    /// By transport.
    bytes: Vec<ByteCounts>,
    /// By transport.
    sockets: Vec<Option<SocketSample>>,
}

impl Sample {
    /// Takes a sample now. `server` are the server's processes, if they are known; `cpus` are those in use.
    pub fn take(context: &PassContext, server: &[Tree], cpus: &[usize]) -> Self {
        // What is divided by time is read first, next to the clock.
        let at = clock::now();
        let replies = context.live_sum(|live| &live.replies);
        let transports = 0..context.endpoints.len();
        let of_all = |transport: usize| context.traffic.iter().map(move |worker| &worker[transport]);
        let bytes = transports.clone().map(|transport| {
            of_all(transport).fold(ByteCounts::default(), |sum, traffic| ByteCounts {
                sent: sum.sent + traffic.sent(),
                received: sum.received + traffic.received(),
            })
        });
        let bytes = bytes.collect();
        let (server, generator) = (ProcessFigures::of(server), ProcessFigures::own());
        let ticks = CpuTicks::read(cpus);
        let sockets = transports.map(|transport| {
            let workers = of_all(transport).filter_map(|traffic| traffic.sample());
            workers.reduce(|mut sum, worker| {
                sum.sockets += worker.sockets;
                sum.counted.add(&worker.counted);
                sum
            })
        });
        Self { at, replies, server, generator, ticks, bytes, sockets: sockets.collect() }
    }

    /// What was spent since `earlier`, sockets left out.
    fn cost_since(&self, earlier: &Self) -> Cost {
        let sent = |sample: &Self| sample.bytes.iter().map(|bytes| bytes.sent).sum::<u64>();
        let received = |sample: &Self| sample.bytes.iter().map(|bytes| bytes.received).sum::<u64>();
        let server_cpu_ns = difference(self.server.cpu_ns, earlier.server.cpu_ns);
        let generator_cpu_ns = difference(self.generator.cpu_ns, earlier.generator.cpu_ns);
        let ticks = self.ticks.zip(earlier.ticks);
        // Nothing is known of a server whose processes are not known: what it uses here counts as others'.
        let ours_ns = generator_cpu_ns.map(|generator| generator + server_cpu_ns.unwrap_or(0));
        Cost {
            replies: self.replies - earlier.replies,
            seconds: (self.at - earlier.at) as f64 / clock::SECOND as f64,
            server_cpu_ns,
            generator_cpu_ns,
            steal: ticks.and_then(|(now, then)| now.stolen_since(then)),
            others: ticks.zip(ours_ns).and_then(|((now, then), ours)| now.others_since(then, ours)),
            bytes_sent: sent(self) - sent(earlier),
            bytes_received: received(self) - received(earlier),
            server_rss_kib: self.server.rss_kib,
            generator_rss_kib: self.generator.rss_kib,
            server_processes: processes(&self.server, &earlier.server),
            generator_processes: processes(&self.generator, &earlier.generator),
            sockets: None,
        }
    }

    /// What each transport's sockets carried since `earlier`.
    fn carried_since(&self, earlier: &Self) -> Vec<TransportTraffic> {
        let carried = |transport: usize| {
            let (now, then) = (self.bytes[transport], earlier.bytes[transport]);
            let sockets = self.sockets[transport].zip(earlier.sockets[transport]);
            TransportTraffic {
                bytes_sent: now.sent - then.sent,
                bytes_received: now.received - then.received,
                sockets: sockets.map(|(SocketSample { sockets: sampled, counted: now }, then)| Sockets {
                    sampled,
                    bytes_sent: now.bytes_sent - then.counted.bytes_sent,
                    bytes_received: now.bytes_received - then.counted.bytes_received,
                    segments_sent: now.segments_sent - then.counted.segments_sent,
                    segments_received: now.segments_received - then.counted.segments_received,
                    retransmits: now.retransmits - then.counted.retransmits,
                }),
            }
        };
        (0..self.bytes.len()).map(carried).collect()
    }
}

fn processes(now: &ProcessFigures, then: &ProcessFigures) -> Processes {
    Processes {
        descriptors: now.descriptors,
        voluntary_switches: difference(now.voluntary_switches, then.voluntary_switches),
        involuntary_switches: difference(now.involuntary_switches, then.involuntary_switches),
    }
}

fn difference(now: Option<Nanos>, then: Option<Nanos>) -> Option<Nanos> {
    now?.checked_sub(then?)
}

#[derive(Debug, Clone)]
pub struct SampleInterval {
    pub window: usize,
    /// The transport under load; `None`: all.
    pub transport: Option<u8>,
    /// In load time.
    pub between: TimeRange,
    /// What all transports under load spent in it.
    pub cost: Cost,
    pub carried: Vec<TransportTraffic>,
}

/// The sum of two transports; `None` if one of them is not known.
fn with_others(sum: Option<Sockets>, other: Option<Sockets>) -> Option<Sockets> {
    let (mut sum, other) = sum.zip(other)?;
    let sampled = sum.sampled + other.sampled;
    sum.add(&other);
    Some(Sockets { sampled, ..sum })
}

/// What one transport's sockets carried between two samples.
#[derive(Debug, Clone, Copy)]
pub struct TransportTraffic {
    /// Bytes written, framing included.
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// A sample of the sockets.
    pub sockets: Option<Sockets>,
}

impl SampleInterval {
    /// What happened between two samples, while this transport (`None`: all) was under load.
    pub fn new(
        window: usize,
        transport: Option<u8>,
        between: TimeRange,
        before: &Sample,
        after: &Sample,
    ) -> Self {
        let (cost, carried) = (after.cost_since(before), after.carried_since(before));
        let mut interval = Self { window, transport, between, cost, carried };
        let active = (0_u8..).zip(&interval.carried).filter(|(transport, _)| interval.is_of(*transport));
        interval.cost.sockets = active.map(|(_, carried)| carried.sockets).reduce(with_others).flatten();
        interval
    }

    pub fn is_of(&self, transport: u8) -> bool {
        self.transport.is_none_or(|active| active == transport)
    }

    /// Its middle, in load time.
    pub fn middle(&self) -> Nanos {
        u64::midpoint(self.between.from, self.between.until)
    }
}
