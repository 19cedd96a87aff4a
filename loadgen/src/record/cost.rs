//! What a request costs: the sums of a [`Cost`] for each reply, by load, variant and transport.

use serde::{Deserialize, Serialize};

use super::rows::Selection;
use super::{Cost, Processes, RunRecord};
use crate::domain::Transport;

/// What one reply costs on average. What is not known is `None`, never 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestCost {
    /// CPU of both sides, in ns.
    pub cpu_ns: Option<f64>,
    /// The server's part of it; on loopback the split is approximate.
    pub server_cpu_ns: Option<f64>,
    /// This process's part of it.
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

/// A [`RequestCost`] and whose it is, trials together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransportCost {
    /// Load's name.
    pub load: String,
    /// Variant's label.
    pub variant: String,
    /// The transport.
    pub transport: Transport,
    /// Replies over which it was taken.
    pub replies: u64,
    /// The cost.
    pub for_each_reply: RequestCost,
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

/// The costs of every load, variant and transport that ran by itself.
#[must_use]
pub fn by_transport(record: &RunRecord) -> Vec<TransportCost> {
    let mut costs = Vec::new();
    for load in &record.loads {
        for variant in &load.variants {
            for &transport in &record.scenario.transports {
                let of = Selection::of(&load.name, &variant.label).over(transport);
                let Some(cost) = of.cost(&record.passes) else { continue };
                costs.push(TransportCost {
                    load: load.name.clone(),
                    variant: variant.label.clone(),
                    transport,
                    replies: cost.replies,
                    for_each_reply: cost.for_each_reply(),
                });
            }
        }
    }
    costs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Sockets, fixture};

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
