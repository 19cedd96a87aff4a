//! The files for HdrHistogram's own tools.
//!
//! `histograms/*.hgrm` are percentile distributions as text, in microseconds, in the format of the Java library's
//! `outputPercentileDistribution`. `latencies.hlog` is an interval log of every histogram of the run, with an entry for
//! each pass, transport, role, operation and kind of latency. Its values are nanoseconds; the column of maxima, which
//! is for people only, is in milliseconds.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::ReportError;
use crate::domain::{ALL, Op, Role};
use crate::record::rows::{self, Key};
use crate::record::{Latencies, Pass, RunRecord};
use crate::text;

/// Steps in each half of the way to 100 %: the Java tools' default.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

const NS_PER_US: f64 = 1e3;

/// Longest name of a file without its ending. File systems take 255 bytes; this leaves room for a number and the
/// ending.
const STEM_MAX: usize = 230;

/// Name and text of each file: the headline latency of each load, variant, transport, role and operation, of each
/// role, and of all; trials and groups merged.
#[must_use]
pub fn files(record: &RunRecord) -> Vec<(String, String)> {
    let record = &*record.results();
    let mut names = BTreeSet::new();
    let mut files = Vec::new();
    for key in rows::keys(record) {
        let wanted = key.trial.is_none() && key.group.is_none() && (key.role.is_some() || key.op.is_none());
        let Some(load) = record.load(&key.load).filter(|_| wanted) else { continue };
        let kind = load.headline_kind();
        let row = key.selection().row(&record.passes).unwrap_or_default();
        let Some(histogram) = row.latencies[kind].histogram() else { continue };
        files.push((unique(&mut names, &stem(&key, kind.name())), distribution(&histogram)));
    }
    files
}

fn stem(key: &Key, kind: &str) -> String {
    let (role, op) = (key.role.map_or(ALL, Role::name), key.op.map_or(ALL, Op::name));
    join(&key.load, &key.variant, [key.transport.name(), role, op, kind])
}

/// The name of a file of this load, variant, transport, role, operation and kind of latency, unless another file has
/// it already.
#[must_use]
pub fn file_name(load: &str, variant: &str, rest: [&str; 4]) -> String {
    format!("{}.hgrm", join(load, variant, rest))
}

fn join(load: &str, variant: &str, rest: [&str; 4]) -> String {
    let parts = |parts: &[&str]| {
        let parts = parts.iter().filter(|part| !part.is_empty()).map(|part| text::file_name(part));
        parts.collect::<Vec<_>>().join("-")
    };
    let (mut start, end) = (parts(&[load, variant]), parts(&rest));
    // The end distinguishes the files of a variant: it stays, and long labels are cut.
    start.truncate(STEM_MAX.saturating_sub(end.len() + 1));
    format!("{start}-{end}")
}

/// Names get a number if they differ only in what a file name cannot hold, or in case, which some file systems ignore.
fn unique(names: &mut BTreeSet<String>, stem: &str) -> String {
    let mut name = format!("{stem}.hgrm");
    let mut number = 2;
    while !names.insert(name.to_ascii_lowercase()) {
        name = format!("{stem}-{number}.hgrm");
        number += 1;
    }
    name
}

fn distribution(histogram: &Histogram<u64>) -> String {
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / NS_PER_US;
        let quantile = step.quantile_iterated_to();
        let _ = write!(text, "{value:12.3} {quantile:2.12} {total:10}");
        // The last step has no distance to 100 %.
        let _ =
            if quantile < 1.0 { writeln!(text, " {:14.2}", 1.0 / (1.0 - quantile)) } else { writeln!(text) };
    }
    let (mean, deviation) = (histogram.mean() / NS_PER_US, histogram.stdev() / NS_PER_US);
    let (max, count) = (histogram.max() as f64 / NS_PER_US, histogram.len());
    let _ = writeln!(text, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {count:12}]");
    let (buckets, sub_buckets) = shape(histogram);
    let _ = writeln!(text, "#[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]");
    text
}

/// Buckets and sub-buckets, which the Java library prints and this one keeps to itself.
fn shape(histogram: &Histogram<u64>) -> (u32, u64) {
    // Sub-buckets must tell apart twice as many values as the significant digits promise.
    let sub_buckets = (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two();
    let mut buckets = 1;
    let mut smallest_beyond = sub_buckets;
    while smallest_beyond <= histogram.high() {
        smallest_beyond = smallest_beyond.saturating_mul(2);
        buckets += 1;
        if smallest_beyond == u64::MAX {
            break;
        }
    }
    (buckets, sub_buckets)
}

/// Nanoseconds to milliseconds, the divisor that HdrHistogram's tools expect by default.
const MAX_VALUE_DIVISOR: f64 = 1e6;

/// The bytes of `latencies.hlog`.
///
/// # Errors
/// If a histogram could not be serialized.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_load_and_variant_make_a_name_that_every_file_system_takes() {
        let (load, label) = ("l".repeat(64), format!("{}=1", "k".repeat(300)));
        let name = file_name(&load, &label, ["websocket", "manager", "get-missing", "response"]);
        assert!(name.len() <= 240, "{}", name.len());
        assert!(name.ends_with("-websocket-manager-get-missing-response.hgrm"), "{name}");
    }

    #[test]
    fn names_that_differ_only_in_case_get_a_number() {
        let mut names = BTreeSet::new();
        let made: Vec<String> = ["a", "A", "a"].iter().map(|stem| unique(&mut names, stem)).collect();
        assert_eq!(made, ["a.hgrm", "A-2.hgrm", "a-3.hgrm"]);
    }
}
