//! What a stretch of time cost: CPU, memory, bytes, switches.

use serde::{Deserialize, Serialize};

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
    /// CPU time of other programs on the used CPUs, as a share of their time (0 to 1); what cannot be told from the
    /// target's is not known.
    pub others: Option<f64>,
    /// Bytes written, framing included.
    pub bytes_sent: u64,
    /// Bytes read.
    pub bytes_received: u64,
    /// More of the server's processes.
    pub server_processes: Processes,
    /// More of this process.
    pub generator_processes: Processes,
    /// The server's resident memory in KiB: at the end, of several times the largest.
    pub server_rss_kib: Option<u64>,
    /// This process's.
    pub generator_rss_kib: Option<u64>,
    /// A sample of the sockets, of all transports that took part; `None` where the system does not tell.
    pub sockets: Option<Sockets>,
}

/// Descriptors and context switches of one side's processes; what the system does not tell is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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

impl Cost {
    /// Adds another stretch's cost to this one. What one of them does not know, the sum does not.
    pub fn add(&mut self, other: &Self) {
        let both = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b);
        // Weighted by time, before the seconds are added.
        let seconds = (self.seconds, other.seconds);
        let weighted = |a: Option<f64>, b: Option<f64>| {
            let sum = a.zip(b).map(|(a, b)| a * seconds.0 + b * seconds.1);
            sum.map(|sum| sum / (seconds.0 + seconds.1).max(f64::MIN_POSITIVE))
        };
        self.steal = weighted(self.steal, other.steal);
        self.others = weighted(self.others, other.others);
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
