//! What one pass measured: cells, seconds, set-up, ledger and cost.

use serde::{Deserialize, Serialize};

use super::{Cost, KindStatistics, Latencies, Processes, Sockets};
use crate::domain::{Op, PerKind, Role, Transport};

/// What one pass measured over one transport, or over all of a mixed load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pass {
    /// The load's name.
    pub load: String,
    /// The variant's label; empty if nothing is swept.
    pub variant: String,
    /// Counts from 1.
    pub trial: u32,
    /// The transports that took part: one, or all of a mixed load.
    pub transports: Vec<Transport>,
    /// Start since the run's start, in seconds.
    pub started_s: f64,
    /// Measured time in seconds (shorter than asked for if the run was cut).
    pub measured_s: f64,
    /// Whether it ran to its end.
    pub complete: bool,
    /// Clients that took part.
    pub clients: u32,
    /// Threads of the generator.
    pub workers: u32,
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
    /// Requests of an open load's measured part that lost clients had not sent yet.
    pub due_of_lost: u64,
    /// When the harness itself stood still during the measured part and its replies.
    pub pauses: Vec<Pause>,
    /// Which limits an open load reached, and how far the server fell behind.
    pub backlog: Backlog,
    /// New sessions in mid-load; none if no group reconnects.
    pub renewals: Option<Setup>,
    /// The windows of an interleaved load, in the order of their pairs.
    pub windows: Vec<WindowRow>,
}

impl Pass {
    /// Whether clients of several transports ran at once.
    #[must_use]
    pub fn is_mixed(&self) -> bool {
        self.transports.len() > 1
    }

    /// Keeps only counts and costs.
    pub(super) fn forget_latencies(&mut self) {
        self.dispatch_lag = Latencies::default();
        for cell in &mut self.cells {
            cell.latencies = PerKind::default();
        }
        for setup in self.setup.iter_mut().chain(&mut self.renewals) {
            (setup.quit, setup.connect, setup.login) = Default::default();
            (setup.upgrade, setup.preload) = Default::default();
        }
        for second in &mut self.intervals {
            second.latencies = KindStatistics::default();
            second.dispatch_lag_p99_ns = None;
        }
        // Windows serve no other purpose.
        self.windows.clear();
    }
}

/// A time in which the harness, or a part of its workers, stood still: stopped, frozen, asleep or without a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    /// Load time since the measured part began, in seconds.
    pub at_s: f64,
    /// Its length in seconds, the machine's sleep included.
    pub length_s: f64,
}

/// What waited for the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// Requests that were due while their connection had as many outstanding as `in-flight` allows, or was being
    /// renewed.
    pub waited: u64,
    /// Most requests that were due but not sent at one time, sampled 20 times a second; open loads only.
    pub max: Option<u64>,
    /// Requests that waited for the server to the end and so were never sent.
    pub never_sent: u64,
    /// The backlog that stood to the end: the fewest requests that were due and not sent in the last quarter of the
    /// measured part, of an interleaved load those of its windows together.
    pub standing: u64,
    /// How long after the load's end, or that of a window, the last reply came, in ns.
    pub drained_ns: u64,
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
    /// The role; `None`: both together.
    pub role: Option<Role>,
    /// Requests intended in it.
    pub requests: u64,
    /// Of them, answered.
    pub replies: u64,
    /// Means and quantiles of service and response.
    #[serde(flatten)]
    pub latencies: KindStatistics,
}

/// Figures of one transport × group × role × operation in one pass.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cell {
    /// The transport.
    pub transport: Transport,
    /// Group's name.
    pub group: String,
    /// The role at the time of the request.
    pub role: Role,
    /// The operation.
    pub op: Op,
    /// Counters.
    pub counts: Counts,
    /// Histograms.
    #[serde(flatten)]
    pub latencies: PerKind<Latencies>,
}

/// Counters that add up over cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests whose intended instant lies in the measured part.
    pub requests: u64,
    /// Replies in the measured part, whenever their requests were intended.
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
    /// The transport.
    pub transport: Transport,
    /// Clients set up.
    pub clients: u32,
    /// Wall time for all of them, in seconds.
    pub elapsed_s: f64,
    /// `q` to its reply, of sessions that are renewed.
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
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Interval {
    /// The transport.
    pub transport: Transport,
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
    /// Median and 99th percentile of service and response, by intended instant.
    #[serde(flatten)]
    pub latencies: KindStatistics,
    /// Quantile of the generator's own lateness, ns.
    pub dispatch_lag_p99_ns: Option<u64>,
    /// The server's CPU in cores; `None` if its process is not ours to read.
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
    pub server_processes: Processes,
    /// More of this process.
    pub generator_processes: Processes,
    /// A sample of this transport's sockets; `None` if the system does not report it.
    pub sockets: Option<Sockets>,
}

impl Interval {
    /// A second of which nothing is known yet.
    #[must_use]
    pub fn new(transport: Transport, second: u32) -> Self {
        Self {
            transport,
            second,
            length_s: 0.0,
            offered: 0,
            achieved: 0,
            errors: 0,
            violations: 0,
            latencies: KindStatistics::default(),
            dispatch_lag_p99_ns: None,
            server_cpu: None,
            generator_cpu: None,
            steal: None,
            server_rss_kib: None,
            generator_rss_kib: None,
            bytes_sent: 0,
            bytes_received: 0,
            server_processes: Processes::default(),
            generator_processes: Processes::default(),
            sockets: None,
        }
    }
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
