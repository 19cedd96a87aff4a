//! `intervals.csv`: how each pass went, a row a second and transport.
//!
//! Requests are counts of that second, so they add up to the totals; the last row may be shorter than a second, and
//! `length_s` says how long it is.

use super::ReportError;
use super::summary::{decimal, micros};
use crate::domain::{LatencyKind, Statistic};
use crate::record::{Interval, Pass, RunRecord, Sockets};

/// Other programs rely on the first 21 columns and their order; new ones are appended.
const HEADER: [&str; 34] = [
    "load",
    "variant",
    "trial",
    "transport",
    "second",
    "offered",
    "achieved",
    "errors",
    "violations",
    "response_p50",
    "response_p99",
    "service_p50",
    "service_p99",
    "dispatch_lag_p99",
    "server_cpu",
    "generator_cpu",
    "steal",
    "server_rss_kib",
    "generator_rss_kib",
    "bytes_sent",
    "bytes_received",
    "server_descriptors",
    "generator_descriptors",
    "server_voluntary_switches",
    "server_involuntary_switches",
    "generator_voluntary_switches",
    "generator_involuntary_switches",
    "sampled_sockets",
    "sampled_bytes_sent",
    "sampled_bytes_received",
    "sampled_segments_sent",
    "sampled_segments_received",
    "sampled_retransmits",
    "length_s",
];

/// The file's bytes.
///
/// # Errors
/// Where a row could not be written.
pub fn csv(record: &RunRecord) -> Result<Vec<u8>, ReportError> {
    let record = &*record.results();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for pass in &record.passes {
        for interval in &pass.intervals {
            writer.write_record(fields(pass, interval))?;
        }
    }
    writer.into_inner().map_err(|error| ReportError::Csv(error.into_error().into()))
}

fn fields(pass: &Pass, interval: &Interval) -> [String; HEADER.len()] {
    let latency = |kind, statistic| micros(interval.latencies.get((kind, statistic)));
    let sampled = |of: fn(&Sockets) -> u64| {
        interval.sockets.as_ref().map(of).map(|n| n.to_string()).unwrap_or_default()
    };
    let whole = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    [
        pass.load.clone(),
        pass.variant.clone(),
        pass.trial.to_string(),
        interval.transport.to_string(),
        interval.second.to_string(),
        interval.offered.to_string(),
        interval.achieved.to_string(),
        interval.errors.to_string(),
        interval.violations.to_string(),
        latency(LatencyKind::Response, Statistic::P50),
        latency(LatencyKind::Response, Statistic::P99),
        latency(LatencyKind::Service, Statistic::P50),
        latency(LatencyKind::Service, Statistic::P99),
        micros(interval.dispatch_lag_p99_ns.map(|ns| ns as f64)),
        decimal(interval.server_cpu),
        decimal(interval.generator_cpu),
        // A share: 0.001 is a tenth of a percent, too coarse for steal.
        interval.steal.map(|share| format!("{share:.5}")).unwrap_or_default(),
        whole(interval.server_rss_kib),
        whole(interval.generator_rss_kib),
        interval.bytes_sent.to_string(),
        interval.bytes_received.to_string(),
        whole(interval.server_processes.descriptors),
        whole(interval.generator_processes.descriptors),
        whole(interval.server_processes.voluntary_switches),
        whole(interval.server_processes.involuntary_switches),
        whole(interval.generator_processes.voluntary_switches),
        whole(interval.generator_processes.involuntary_switches),
        sampled(|sockets| sockets.sampled),
        sampled(|sockets| sockets.bytes_sent),
        sampled(|sockets| sockets.bytes_received),
        sampled(|sockets| sockets.segments_sent),
        sampled(|sockets| sockets.segments_received),
        sampled(|sockets| sockets.retransmits),
        decimal(Some(interval.length_s)),
    ]
}
