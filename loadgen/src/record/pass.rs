//! What one pass measured: cells, seconds, set-up, ledger and cost.

use serde::{Deserialize, Serialize};

use super::Latencies;

/// What one pass over one transport (or, mixed, over all) measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pass {
    /// The load's name.
    pub load: String,
    /// The variant's label; empty where nothing is swept.
    pub variant: String,
    /// Counts from 1.
    pub trial: u32,
    /// The transports that took part: one, or all of a mixed load.
    pub transports: Vec<String>,
    /// Start since the run's start, in seconds.
    pub started_s: f64,
    /// Measured time in seconds (shorter than asked for where the run was cut).
    pub measured_s: f64,
    /// Whether it ran to its end.
    pub complete: bool,
    /// Clients that took part.
    pub clients: u32,
    /// Clients that ended before their time, by a time-out, a reset or a close.
    pub clients_lost: u32,
    /// Figures by transport, group, role and operation.
    pub cells: Vec<Cell>,
    /// Setting the clients up, by transport.
    pub setup: Vec<Setup>,
    /// A row a second and transport.
    pub intervals: Vec<Interval>,
    /// The ledger of the measured part, set-up left out, warm-up included.
    pub ledger: Ledger,
    /// Processes over the measured part.
    pub cost: Cost,
    /// Intended to dispatched: the generator's own lateness, over all requests.
    pub dispatch_lag: Latencies,
    /// Open loads: what limits were reached, and how far the server fell behind.
    #[serde(default)]
    pub backlog: Backlog,
    /// New sessions in mid-load; none where no group reconnects.
    #[serde(default)]
    pub renewals: Option<Setup>,
    /// The windows of an interleaved load, in the order of their pairs.
    #[serde(default)]
    pub windows: Vec<WindowRow>,
}

impl Pass {
    /// Whether clients of several transports ran at once, as the scenario put them.
    #[must_use]
    pub fn is_mixed(&self) -> bool {
        self.transports.len() > 1
    }
}

/// What waited for the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// Requests that were due while their connection had as many outstanding as `in-flight` allows, or was being
    /// renewed.
    pub waited: u64,
    /// Most requests that were due and not sent at one time, as seen 20 times a second; open loads only.
    pub max: Option<u64>,
}

/// One window of an interleaved load: one transport's half of a pair.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WindowRow {
    /// Number of the pair, from 0: the windows of this number on all transports belong together.
    pub pair: u32,
    /// Whether it came first, second, … in its pair, from 0.
    pub position: u32,
    /// Start since the pass's first window began, by the clock, in seconds.
    pub started_s: f64,
    /// Its length in seconds.
    pub length_s: f64,
    /// Figures by role; roles without a request are left out.
    pub roles: Vec<WindowRole>,
    /// Processes over the window.
    pub cost: Cost,
}

/// One role's figures in one window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WindowRole {
    /// Role's name; `all`: both together.
    pub role: String,
    /// Requests intended in it.
    pub requests: u64,
    /// Of them, answered.
    pub replies: u64,
    /// Mean of service in ns.
    pub service_mean_ns: Option<f64>,
    /// Quantiles of service, ns; only with ten samples beyond.
    pub service_p50_ns: Option<u64>,
    /// See above.
    pub service_p90_ns: Option<u64>,
    /// See above.
    pub service_p99_ns: Option<u64>,
    /// Mean of response in ns.
    pub response_mean_ns: Option<f64>,
    /// Quantiles of response, ns; only with ten samples beyond.
    pub response_p50_ns: Option<u64>,
    /// See above.
    pub response_p90_ns: Option<u64>,
    /// See above.
    pub response_p99_ns: Option<u64>,
}

/// Figures of one transport × group × role × operation in one pass.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cell {
    /// Transport's name.
    pub transport: String,
    /// Group's name.
    pub group: String,
    /// Role's name, at the time of the request.
    pub role: String,
    /// Operation's name.
    pub op: String,
    /// Counters.
    pub counts: Counts,
    /// Intended to sent.
    pub lag: Latencies,
    /// Sent to replied.
    pub service: Latencies,
    /// Intended to replied.
    pub response: Latencies,
}

/// Counters that add up over cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests whose intended instant lies in the measured part.
    pub requests: u64,
    /// Replies in the measured part, whenever their requests were intended; records of older versions have none.
    #[serde(default)]
    pub achieved: u64,
    /// Of the requests, ended by a time-out, a reset or a close.
    pub errors: u64,
    /// Of them, answered wrongly.
    pub violations: u64,
    /// Of them, neither answered nor failed when the run ended.
    pub unfinished: u64,
    /// Of them, reads that returned a value: proof that something was read.
    pub values: u64,
    /// Of them, legally refused (`store full`, `upgrade refused`).
    pub refused: u64,
}

impl Counts {
    /// Adds the other's counters to these.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.achieved += other.achieved;
        self.errors += other.errors;
        self.violations += other.violations;
        self.unfinished += other.unfinished;
        self.values += other.values;
        self.refused += other.refused;
    }
}

/// Setting up one transport's clients in one pass.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    /// Transport's name.
    pub transport: String,
    /// Clients set up.
    pub clients: u32,
    /// Wall time for all of them, in seconds.
    pub elapsed_s: f64,
    /// `q` to its reply, of sessions that are renewed.
    #[serde(default)]
    pub quit: Latencies,
    /// Connect, with the WebSocket handshake.
    pub connect: Latencies,
    /// Login's service time.
    pub login: Latencies,
    /// Upgrade's service time.
    pub upgrade: Latencies,
    /// Preloading one client's keys, from the first put to the last reply.
    pub preload: Latencies,
}

/// One second (or the rest of one) of one transport in one pass.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Interval {
    /// Transport's name.
    pub transport: String,
    /// Seconds since the measured part began; the first row is 0.
    pub second: u32,
    /// Length in seconds; 1 but for the last row.
    pub length_s: f64,
    /// Requests whose intended instant lies in it.
    pub offered: u64,
    /// Requests answered in it.
    pub achieved: u64,
    /// Errors in it.
    pub errors: u64,
    /// Violations in it.
    pub violations: u64,
    /// Quantiles of response by intended instant, ns.
    pub response_p50_ns: Option<u64>,
    /// See above.
    pub response_p99_ns: Option<u64>,
    /// Quantiles of service by intended instant, ns.
    pub service_p50_ns: Option<u64>,
    /// See above.
    pub service_p99_ns: Option<u64>,
    /// Quantile of the generator's own lateness, ns.
    pub dispatch_lag_p99_ns: Option<u64>,
    /// The server's CPU in cores; `None` where its process is not ours to read.
    pub server_cpu: Option<f64>,
    /// This process's CPU in cores.
    pub generator_cpu: Option<f64>,
    /// CPU time stolen by the host, as a share of the used CPUs' time (0 to 1).
    pub steal: Option<f64>,
    /// The server's resident memory in KiB.
    pub server_rss_kib: Option<u64>,
    /// This process's resident memory in KiB.
    pub generator_rss_kib: Option<u64>,
    /// Bytes written to this transport's sockets, framing included.
    pub bytes_sent: u64,
    /// Bytes read from them.
    pub bytes_received: u64,
    /// More of the server's processes.
    #[serde(default)]
    pub server_processes: Processes,
    /// More of this process.
    #[serde(default)]
    pub generator_processes: Processes,
    /// A sample of this transport's sockets; `None` where the system does not tell.
    #[serde(default)]
    pub sockets: Option<Sockets>,
}

/// Descriptors and context switches of one side's processes; what the system does not tell is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Processes {
    /// Open descriptors, at the end of the time in question.
    pub descriptors: Option<u64>,
    /// Context switches because a thread had to wait.
    pub voluntary_switches: Option<u64>,
    /// Context switches because a thread's time was up, or another one's turn had come.
    pub involuntary_switches: Option<u64>,
}

/// What the kernel counted (`TCP_INFO`) for a sample of this process's sockets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    /// How many sockets at a time; the figures are sums over these.
    pub sampled: u64,
    /// Bytes sent and acknowledged.
    pub bytes_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Segments sent, acknowledgements and repetitions included.
    pub segments_sent: u64,
    /// Segments received, acknowledgements included.
    pub segments_received: u64,
    /// Segments sent again.
    pub retransmits: u64,
}

/// Sums that must balance: requests = replies + errors + unfinished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Requests written.
    pub requests: u64,
    /// Replies matched to a request.
    pub replies: u64,
    /// Requests that ended in an error.
    pub errors: u64,
    /// Requests open when the run ended.
    pub unfinished: u64,
    /// Replies that no request asked for.
    pub unasked: u64,
    /// Replies checked by the oracle; equals `replies`.
    pub checked: u64,
    /// Reads that returned a value.
    pub values_read: u64,
    /// Reads of another user's key that returned a value.
    pub foreign_values_read: u64,
    /// Denials that were due and came.
    pub denials: u64,
}

impl Cost {
    /// Adds another stretch's cost to this one. What one of them does not know, the sum does not.
    pub fn add(&mut self, other: &Self) {
        let both = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b);
        // Weighted by time, before the seconds are added.
        self.steal = self.steal.zip(other.steal).map(|(a, b)| {
            (a * self.seconds + b * other.seconds) / (self.seconds + other.seconds).max(f64::MIN_POSITIVE)
        });
        self.replies += other.replies;
        self.seconds += other.seconds;
        self.server_cpu_ns = both(self.server_cpu_ns, other.server_cpu_ns);
        self.generator_cpu_ns = both(self.generator_cpu_ns, other.generator_cpu_ns);
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        let larger = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.max(b));
        self.server_rss_kib = larger(self.server_rss_kib, other.server_rss_kib);
        self.generator_rss_kib = larger(self.generator_rss_kib, other.generator_rss_kib);
        self.server_processes.add(&other.server_processes);
        self.generator_processes.add(&other.generator_processes);
        self.sockets = Sockets::sum([self.sockets, other.sockets].into_iter());
    }

    /// The cost of all stretches; `None` of none.
    #[must_use]
    pub fn sum<'a>(stretches: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let mut stretches = stretches;
        let mut sum = *stretches.next()?;
        stretches.for_each(|stretch| sum.add(stretch));
        Some(sum)
    }
}

impl Ledger {
    /// Adds the other's sums to these.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.replies += other.replies;
        self.errors += other.errors;
        self.unfinished += other.unfinished;
        self.unasked += other.unasked;
        self.checked += other.checked;
        self.values_read += other.values_read;
        self.foreign_values_read += other.foreign_values_read;
        self.denials += other.denials;
    }
}

/// What the measured part of a pass cost.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Replies during the time over which CPU and bytes were taken.
    pub replies: u64,
    /// That time in seconds.
    pub seconds: f64,
    /// The server's CPU time in ns, where its process is ours to read.
    pub server_cpu_ns: Option<u64>,
    /// This process's CPU time in ns.
    pub generator_cpu_ns: Option<u64>,
    /// CPU time stolen by the host on the used CPUs, as a share of their time (0 to 1).
    pub steal: Option<f64>,
    /// Bytes written, framing included.
    pub bytes_sent: u64,
    /// Bytes read.
    pub bytes_received: u64,
    /// More of the server's processes.
    #[serde(default)]
    pub server_processes: Processes,
    /// More of this process.
    #[serde(default)]
    pub generator_processes: Processes,
    /// The server's resident memory in KiB: at the end, of several times the largest.
    #[serde(default)]
    pub server_rss_kib: Option<u64>,
    /// This process's.
    #[serde(default)]
    pub generator_rss_kib: Option<u64>,
    /// A sample of the sockets, of all transports that took part; `None` where the system does not tell.
    #[serde(default)]
    pub sockets: Option<Sockets>,
}

impl Processes {
    /// Adds another time's switches to these; descriptors are the larger ones. What is not known of both is missing.
    pub fn add(&mut self, other: &Self) {
        let sum = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b);
        self.descriptors = self.descriptors.zip(other.descriptors).map(|(a, b)| a.max(b));
        self.voluntary_switches = sum(self.voluntary_switches, other.voluntary_switches);
        self.involuntary_switches = sum(self.involuntary_switches, other.involuntary_switches);
    }
}

impl Sockets {
    /// Adds what was counted at another time to this; the number of sockets is the larger one.
    pub fn add(&mut self, other: &Self) {
        self.sampled = self.sampled.max(other.sampled);
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.segments_sent += other.segments_sent;
        self.segments_received += other.segments_received;
        self.retransmits += other.retransmits;
    }

    /// All times together; what is not known of one is not known of all.
    #[must_use]
    pub fn sum(times: impl Iterator<Item = Option<Self>>) -> Option<Self> {
        let both = |sum: Option<Self>, other: Option<Self>| {
            let (mut sum, other) = sum.zip(other)?;
            sum.add(&other);
            Some(sum)
        };
        times.reduce(both).flatten()
    }
}
