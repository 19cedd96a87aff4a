//! `histograms/*.hgrm`: percentile distributions as text, in microseconds, for HdrHistogram's plotter.
//!
//! The format is that of the Java library's `outputPercentileDistribution`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use hdrhistogram::Histogram;

use crate::domain::{ALL, Op, Role};
use crate::record::RunRecord;
use crate::record::rows::{self, Key};
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
        files.push((unique(&mut names, &stem(&key, kind.name())), text(&histogram)));
    }
    files
}

fn stem(key: &Key, kind: &str) -> String {
    let (role, op) = (key.role.map_or(ALL, Role::name), key.op.map_or(ALL, Op::name));
    join(&key.load, &key.variant, [key.transport.name(), role, op, kind])
}

/// The name of a file of this load, variant, transport, role, operation and kind of latency, where no other one has
/// it.
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
    // What tells the files of a variant apart is at the end: it stays, and long labels are cut.
    start.truncate(STEM_MAX.saturating_sub(end.len() + 1));
    format!("{start}-{end}")
}

/// Names that differ only in what a file name cannot hold, or in case, which some file systems do not tell apart, get
/// a number.
fn unique(names: &mut BTreeSet<String>, stem: &str) -> String {
    let mut name = format!("{stem}.hgrm");
    let mut number = 2;
    while !names.insert(name.to_ascii_lowercase()) {
        name = format!("{stem}-{number}.hgrm");
        number += 1;
    }
    name
}

fn text(histogram: &Histogram<u64>) -> String {
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
