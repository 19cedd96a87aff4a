//! `latencies.hlog`: every histogram of the run as an HdrHistogram interval log, for HdrHistogram's own tools.
//!
//! One entry for each pass, transport, role, operation and kind of latency, with the pass's start and length.
//! Values are nanoseconds; the column of maxima, which is for people only, is in milliseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::ReportError;
use crate::record::{Latencies, Pass, RunRecord};
use crate::text;

/// Nanoseconds to milliseconds, the divisor that HdrHistogram's tools expect by default.
const MAX_VALUE_DIVISOR: f64 = 1e6;

/// The file's bytes.
///
/// # Errors
/// Where a histogram could not be serialized.
pub fn log(record: &RunRecord) -> Result<Vec<u8>, ReportError> {
    let record = &*record.results();
    let failed = |error: &dyn std::fmt::Display| ReportError::Histogram(error.to_string());
    let start = started(record)?;
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(&format!("[twinwire {}: {}]", record.twinwire, record.scenario.name))
        .add_comment(&format!("[Started {}]", record.started))
        .add_comment("[Tags are load/transport/role/op/kind; values are nanoseconds, the maximum is in ms]")
        .with_start_time(start)
        .with_base_time(start)
        .with_max_value_divisor(MAX_VALUE_DIVISOR)
        .begin_log_with(&mut bytes, &mut serializer)
        .map_err(|error| failed(&error))?;
    // Readers expect intervals in the order of their start.
    let mut passes: Vec<&Pass> = record.passes.iter().collect();
    passes.sort_by(|a, b| a.started_s.total_cmp(&b.started_s));
    for pass in passes {
        for (tag, latencies) in entries(record, pass) {
            let Some(histogram) = latencies.histogram() else { continue };
            let tag = Tag::new(&tag);
            let (from, length) = (duration(pass.started_s), duration(pass.measured_s));
            writer.write_histogram(&histogram, from, length, tag).map_err(|error| failed(&error))?;
        }
    }
    Ok(bytes)
}

fn started(record: &RunRecord) -> Result<SystemTime, ReportError> {
    let start = record.started.parse::<jiff::Timestamp>().map_err(|error| ReportError::Started {
        text: text::printable(&record.started),
        error: error.to_string(),
    })?;
    // A clock before 1970 is wrong anyway; the log's times are relative to it.
    Ok(UNIX_EPOCH + Duration::try_from(start.duration_since(jiff::Timestamp::UNIX_EPOCH)).unwrap_or_default())
}

/// A pass's latencies by tag, groups of one role merged.
fn entries(record: &RunRecord, pass: &Pass) -> Vec<(String, Latencies)> {
    // Variants are different experiments: their histograms must not be added up under one tag.
    let swept = record.load(&pass.load).is_some_and(|load| load.variants.len() > 1);
    let load = if swept { format!("{}:{}", pass.load, pass.variant) } else { pass.load.clone() };
    let mut entries: Vec<(String, Latencies)> = Vec::new();
    for cell in &pass.cells {
        for (kind, latencies) in cell.latencies.iter() {
            let parts = [load.as_str(), cell.transport.name(), cell.role.name(), cell.op.name(), kind.name()];
            let tag = parts.map(tag_part).join("/");
            match entries.iter_mut().find(|(known, _)| *known == tag) {
                Some((_, sum)) => sum.merge(latencies),
                None => entries.push((tag, latencies.clone())),
            }
        }
    }
    entries
}

/// Tags take no comma, space or line end, and `/` separates their parts.
fn tag_part(text: &str) -> String {
    text.split(':').map(text::file_name).collect::<Vec<_>>().join(":")
}

/// Seconds of a record, which may hold anything, as a duration.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
