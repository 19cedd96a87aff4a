//! The harness's own floor for people: next to a run's figures, and as `calibrate` prints it.

use super::comparison::{self, COMPARED, Comparison, comparisons};
use super::figure::{self, FLOOR, MISSING, Unit};
use super::table::{ColumnGroup, ColumnHeader, Table, TableCell};
use crate::domain::{Side, Statistic, Transport};
use crate::record::{FLOOR_RATIO_MAX, Floor, FloorLayout, Latency, RunRecord, TransportFloor, VerdictLevel};
use crate::text::{self, Paint, micros};

/// How to get a floor.
pub(super) const HINT: &str = "`twinwire calibrate` measures it; `--floor FILE` names one kept elsewhere";

/// Why there is no floor to show; [`HINT`] says what to do about it. Not escaped.
pub(super) fn missing(record: &RunRecord) -> Option<String> {
    let Some(floor) = &record.floor else { return Some("not known".to_owned()) };
    floor.layout(&record.environment).err().map(|why| format!("not used: {why}"))
}

/// What is known about the floor, as a sentence without its full stop, and whether [`HINT`] should follow. Safe to
/// print.
pub(super) fn sentence(record: &RunRecord) -> (String, bool) {
    if let Some(why) = missing(record) {
        return (text::printable(&why), true);
    }
    let suspect = comparison::floor(record).is_some_and(|layout| layout.level != VerdictLevel::Valid);
    let settings = record.floor.as_ref().map(settings).unwrap_or_default();
    let suspect = if suspect { ", suspect" } else { "" };
    let settings = settings + &without(record);
    if is_outdone(record) {
        let text = format!(
            "{settings}{suspect}; this run is far below it: measure it again with nothing else running"
        );
        return (text, true);
    }
    (format!("{settings}{suspect}; nothing is subtracted{}", wake_up(record)), false)
}

/// "; the generator wakes 12.0 µs late here": what waking costs this machine in the median, whatever the target.
fn wake_up(record: &RunRecord) -> String {
    let late = comparison::floor(record).and_then(|layout| {
        let medians =
            layout.transports.iter().filter_map(|floor| floor.paced.dispatch_lag.get(Statistic::P50));
        medians.reduce(f64::max)
    });
    late.map_or_else(String::new, |ns| format!("; the generator wakes {} late here", micros(ns)))
}

/// ", none for TLS and WSS": the transports of this run that have no floor, as those over TLS never have one.
fn without(record: &RunRecord) -> String {
    let Some(layout) = comparison::floor(record) else { return String::new() };
    let run = record.transports_run().into_iter();
    let names: Vec<&str> =
        run.filter(|transport| layout.transport(*transport).is_none()).map(Transport::label).collect();
    if names.is_empty() { String::new() } else { format!(", none for {}", names.join(" and ")) }
}

/// Whether a load went so far below the floor that the floor must be wrong: something else ran when it was measured.
fn is_outdone(record: &RunRecord) -> bool {
    let outdone = |comparison: &Comparison<'_>, i: usize| {
        let kind = comparison.load.headline_kind();
        let Some(total) = comparison.total().get(i).and_then(Option::as_ref) else { return false };
        let ns = |latency: Option<Latency>| latency.map(|latency| latency.ns);
        let below = |figure: Option<f64>, floor: Option<f64>| {
            figure.zip(floor).is_some_and(|(figure, floor)| FLOOR_RATIO_MAX * figure < floor)
        };
        below(ns(total.latencies[kind][Statistic::P50]), ns(comparison.floor(i, kind, Statistic::P50)))
            || below(comparison.highest_rate(i), total.rate)
    };
    let all = record.loads.iter().flat_map(|load| comparisons(record, load));
    all.into_iter().any(|comparison| (0..comparison.transports.len()).any(|i| outdone(&comparison, i)))
}

/// "measured at 4,000 requests/s, 64 connections, values of 64 bytes".
fn settings(floor: &Floor) -> String {
    format!(
        "measured at {} requests/s, {}, values of {}",
        figure::rate(Some(floor.rate)),
        text::plural(u64::from(floor.connections), "connection"),
        text::plural(u64::from(floor.value_bytes), "byte"),
    )
}

/// What `calibrate` prints: a block for each layout, a line for each transport. `file` is where the floor was written.
#[must_use]
pub fn calibration(floor: &Floor, file: &str) -> String {
    let mut text = format!("The harness's own floor, {}\n", settings(floor));
    for layout in &floor.layouts {
        text += &format!("\n{}\n", place(layout));
        for line in table(layout).text(Paint::default()) {
            text += &format!("{line}\n");
        }
        text += &verdict(layout);
    }
    text + &format!("\n{MISSING} too few samples, or not known\nfloor     {}\n", text::printable(file))
}

fn place(layout: &FloorLayout) -> String {
    let environment = &layout.environment;
    let list = |cpus: &[usize]| cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    if environment.server_cpus.is_empty() {
        return "No CPUs of their own, as with a server at a given address".to_owned();
    }
    format!(
        "Target on CPU {}, generator on CPU {}, as with the embedded server",
        list(&environment.server_cpus),
        list(&environment.generator_cpus)
    )
}

fn verdict(layout: &FloorLayout) -> String {
    let word = super::outcome::level(layout.level);
    let reasons = layout.reasons.iter().map(|reason| format!("{:<9} - {}\n", "", text::printable(reason)));
    format!("verdict   {word}\n{}", reasons.collect::<String>())
}

fn table(layout: &FloorLayout) -> Table {
    let of = |title: &str, unit, columns: &[&str]| ColumnGroup {
        title: title.to_owned(),
        unit,
        columns: columns.iter().map(|&column| ColumnHeader::OfGroup(column.to_owned())).collect(),
    };
    let row = |floor: &TransportFloor| {
        let TransportFloor { paced, saturated, .. } = floor;
        let micros =
            |ns: Option<f64>| Unit::Micros.latency(ns.map(|ns| Latency { ns, at_least: false })).into();
        let cpu = |ns: Option<f64>| TableCell::from(figure::optional(ns.map(|ns| ns / 1e3), 1));
        let mut cells = vec![TableCell::from(floor.transport.label())];
        for statistics in [&paced.latencies.response, &paced.latencies.service, &paced.dispatch_lag] {
            cells.extend(COMPARED.map(|statistic| micros(statistics.get(statistic))));
        }
        cells.extend([cpu(paced.cost.both_ns), cpu(paced.cost.generator_ns)]);
        cells.extend([figure::rate(saturated.rate).into(), limit(floor).into()]);
        cells.extend([cpu(saturated.cost.both_ns), cpu(saturated.cost.generator_ns)]);
        cells
    };
    let quantiles = COMPARED.map(Statistic::name);
    Table {
        lead: vec!["transport".to_owned()],
        groups: vec![
            of("response", "µs", &quantiles),
            of("service", "µs", &quantiles),
            of("timer's lateness", "µs", &quantiles),
            of("CPU", "µs/request", &["both", "generator"]),
            of("at the highest rate", "", &["requests/s", "limited by", "CPU of both", "generator"]),
        ],
        rows: layout.transports.iter().map(row).collect(),
    }
}

/// The side that was full at the highest rate.
fn limit(floor: &TransportFloor) -> &'static str {
    match floor.saturated.limited_by {
        Some(Side::Server) => "null target",
        Some(Side::Generator) => "generator",
        None => "neither",
    }
}

/// The floor's own section of `report.md`.
pub(super) fn markdown(record: &RunRecord) -> String {
    let escape = text::markdown;
    let (sentence, how) = sentence(record);
    let how = if how { format!(" {HINT}.") } else { String::new() };
    let mut text = format!("## The harness's own floor\n\n{}.{how}\n", text::capital(&escape(&sentence)));
    let Some(layout) = comparison::floor(record) else { return text };
    text += &format!("\n{}", table(layout).markdown());
    text += &format!(
        "\nThis is what the harness measures against a target that does next to nothing, on the same CPUs. A figure \
         that is at most {FLOOR_RATIO_MAX} times the floor's same quantile is marked {FLOOR}: it says as much of the harness \
         as of the target. So are CPU times, and rates from which the harness's highest is at most {FLOOR_RATIO_MAX} times \
         away. The floor moves with rate, connections and sizes: `twinwire calibrate --rate R --connections N \
         --value-size S` measures it for a load like yours.\n"
    );
    text
}
