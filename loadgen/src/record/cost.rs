//! What a length of time cost (CPU, memory, bytes, switches), and what that makes for each reply.

use serde::{Deserialize, Serialize};

/// What the measured part of a pass cost.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Replies during the time over which CPU and bytes were taken.
    pub replies: u64,
    /// That time in seconds.
    pub seconds: f64,
    /// The server's CPU time in ns, if its process is ours to read.
    pub server_cpu_ns: Option<u64>,
    /// This process's CPU time in ns.
    pub generator_cpu_ns: Option<u64>,
    /// CPU time stolen by the host on the used CPUs, as a share of their time (0 to 1).
    pub steal: Option<f64>,
    /// CPU time of other programs on the used CPUs, as a share of their time (0 to 1); `None` if it cannot be separated
    /// from the target's.
    pub others: Option<f64>,
    /// Bytes written, framing included.
    pub bytes_sent: u64,
    /// Bytes read.
    pub bytes_received: u64,
    /// More of the server's processes.
    pub server_processes: Processes,
    /// More of this process.
    pub generator_processes: Processes,
    /// The server's resident memory in KiB: at the end; the largest if several times are added.
    pub server_rss_kib: Option<u64>,
    /// This process's.
    pub generator_rss_kib: Option<u64>,
    /// A sample of the sockets, of all transports that took part; `None` if the system does not report it.
    pub sockets: Option<Sockets>,
}

/// Descriptors and context switches of one side's processes; what the system does not report is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processes {
    /// Open descriptors, at the end of the time in question.
    pub descriptors: Option<u64>,
    /// Context switches because a thread had to wait.
    pub voluntary_switches: Option<u64>,
    /// Context switches because a thread's time was up, or another thread's turn had come.
    pub involuntary_switches: Option<u64>,
}

/// What the kernel counted (`TCP_INFO`) for a sample of this process's sockets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    /// How many sockets were sampled at a time; the figures are sums over these.
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
    /// Adds another cost to this one. What is unknown in either is unknown in the sum.
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

    /// The sum of all of them; `None` if there are none.
    #[must_use]
    pub fn sum<'a>(parts: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let mut parts = parts;
        let mut sum = *parts.next()?;
        parts.for_each(|part| sum.add(part));
        Some(sum)
    }
}

impl Processes {
    /// Adds another time's switches to these; descriptors are the larger ones. What either side does not know is
    /// missing.
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

    /// All times together; what one does not know is unknown in the sum.
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

/// What one reply costs on average. What is unknown is `None`, never 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestCost {
    /// CPU of both sides, in ns.
    pub cpu_ns: Option<f64>,
    /// The server's part; on loopback the split is approximate.
    pub server_cpu_ns: Option<f64>,
    /// This process's part.
    pub generator_cpu_ns: Option<f64>,
    /// Bytes that the clients sent, framing included.
    pub bytes_sent: Option<f64>,
    /// Bytes that they received.
    pub bytes_received: Option<f64>,
    /// TCP segments in both directions, acknowledgements included: as many for each byte as the sampled sockets had.
    pub segments: Option<f64>,
    /// The server's context switches, voluntary and involuntary.
    pub server_switches: Option<f64>,
    /// This process's.
    pub generator_switches: Option<f64>,
}

impl Cost {
    /// The sums divided by the replies.
    #[must_use]
    pub fn for_each_reply(&self) -> RequestCost {
        let each = |sum: u64| (self.replies > 0).then(|| sum as f64 / self.replies as f64);
        let bytes = self.bytes_sent + self.bytes_received;
        let of_bytes = |sum: u64| each(sum).filter(|_| bytes > 0);
        let switches = |processes: &Processes| {
            let both = processes.voluntary_switches.zip(processes.involuntary_switches);
            both.and_then(|(voluntary, involuntary)| each(voluntary + involuntary))
        };
        let segments_per_byte = self.sockets.and_then(|sockets| {
            let bytes = sockets.bytes_sent + sockets.bytes_received;
            let segments = sockets.segments_sent + sockets.segments_received;
            (bytes > 0).then(|| segments as f64 / bytes as f64)
        });
        let both = self.server_cpu_ns.zip(self.generator_cpu_ns);
        RequestCost {
            cpu_ns: both.and_then(|(server, ours)| each(server + ours)),
            server_cpu_ns: self.server_cpu_ns.and_then(each),
            generator_cpu_ns: self.generator_cpu_ns.and_then(each),
            bytes_sent: of_bytes(self.bytes_sent),
            bytes_received: of_bytes(self.bytes_received),
            segments: segments_per_byte.zip(of_bytes(bytes)).map(|(segments, bytes)| segments * bytes),
            server_switches: switches(&self.server_processes),
            generator_switches: switches(&self.generator_processes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Transport;
    use crate::record::fixture;
    use crate::record::rows::{Selection, by_transport};

    fn cost() -> Cost {
        Cost {
            replies: 100,
            seconds: 2.0,
            server_cpu_ns: Some(700),
            generator_cpu_ns: Some(800),
            bytes_sent: 4_000,
            bytes_received: 6_000,
            sockets: Some(Sockets {
                sampled: 5,
                bytes_sent: 400,
                bytes_received: 600,
                segments_sent: 12,
                segments_received: 8,
                retransmits: 1,
            }),
            ..Cost::default()
        }
    }

    #[test]
    fn each_reply_has_its_part_and_segments_go_by_bytes() {
        let each = cost().for_each_reply();
        assert_eq!(
            (each.cpu_ns, each.server_cpu_ns, each.generator_cpu_ns),
            (Some(15.0), Some(7.0), Some(8.0))
        );
        assert_eq!((each.bytes_sent, each.bytes_received), (Some(40.0), Some(60.0)));
        // A fiftieth of a segment for each byte, 100 bytes for each reply.
        assert_eq!(each.segments, Some(2.0));
    }

    #[test]
    fn what_is_not_known_is_missing() {
        let unknown = Cost { server_cpu_ns: None, sockets: None, ..cost() }.for_each_reply();
        assert_eq!((unknown.cpu_ns, unknown.server_cpu_ns, unknown.segments), (None, None, None));
        assert_eq!((unknown.generator_cpu_ns, unknown.server_switches), (Some(8.0), None));
        assert_eq!(Cost { replies: 0, ..cost() }.for_each_reply(), RequestCost::default());
        let silent = Cost { bytes_sent: 0, bytes_received: 0, ..cost() }.for_each_reply();
        assert_eq!((silent.bytes_sent, silent.segments), (None, None));
    }

    #[test]
    fn merged_trials_are_the_sum_of_their_parts() {
        let record = fixture::record();
        let parts = || {
            record.passes.iter().filter(|pass| pass.load == "paced" && pass.transports == [Transport::Tcp])
        };
        let sum = |of: fn(&Cost) -> u64| parts().map(|pass| of(&pass.cost)).sum::<u64>();
        let merged = Selection::of("paced", "").over(Transport::Tcp).cost(&record.passes).unwrap();
        assert!(parts().count() > 1);
        let figures: [fn(&Cost) -> u64; 6] = [
            |cost| cost.replies,
            |cost| cost.server_processes.voluntary_switches.unwrap(),
            |cost| cost.generator_processes.involuntary_switches.unwrap(),
            |cost| cost.sockets.unwrap().retransmits,
            |cost| cost.sockets.unwrap().segments_sent,
            |cost| cost.sockets.unwrap().bytes_received,
        ];
        for (index, figure) in figures.into_iter().enumerate() {
            assert_eq!(figure(&merged), sum(figure), "figure {index}");
        }
        assert_eq!(merged.server_processes.descriptors, Some(112), "the most at a time, not the sum");
        assert_eq!((merged.server_rss_kib, merged.sockets.unwrap().sampled), (Some(8_200), 32));
        let all = by_transport(&record);
        assert_eq!(all.len(), 4, "two loads over two transports");
        assert_eq!((all[0].transport, all[0].replies), (Transport::Tcp, merged.replies));
    }
}
