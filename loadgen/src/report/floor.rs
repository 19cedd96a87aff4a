//! The harness's own floor for people: beside a run's figures, and as `calibrate` prints it.

use super::figures::{Comparison, comparisons};
use super::format::{self, MISSING, NOT_VALID, Unit};
use super::grid;
use crate::domain::{LatencyKind, Side, Statistic, Transport};
use crate::record::{
    FLOOR_RATIO_MAX, Floor, Latency, Layout, LoadInfo, RunRecord, Statistics, TransportFloor, VerdictLevel,
};
use crate::text;
use crate::text::micros;

/// Marks a figure that is within the floor.
pub(super) const MARK: char = '†';

/// How a floor comes here.
pub(super) const HINT: &str = "`twinwire calibrate` measures it; `--floor FILE` names one kept elsewhere";

/// What [`MARK`] means.
pub(super) fn legend() -> String {
    format!("{MARK} ≈ floor: within {FLOOR_RATIO_MAX} × of what the harness itself takes, or can offer")
}

/// The text, marked where it is within the floor.
pub(super) fn marked(text: String, within: bool) -> String {
    if within { format!("{text}{MARK}") } else { text }
}

/// Keeps the digits of a column below each other where some of its cells are marked.
pub(super) fn align(cells: &mut [String]) {
    let signs = |cell: &String| cell.chars().rev().take_while(|c| [MARK, NOT_VALID].contains(c)).count();
    let most = cells.iter().map(signs).max().unwrap_or(0);
    for cell in cells {
        let lacking = most - signs(cell);
        cell.extend(std::iter::repeat_n(' ', lacking));
    }
}

/// The floor where this run ran, if it may stand beside its figures.
pub(super) fn used(record: &RunRecord) -> Option<&Layout> {
    record.floor.as_ref()?.layout(&record.environment).ok()
}

/// A statistic of the floor as a figure.
pub(super) fn latency(floor: &TransportFloor, kind: LatencyKind, statistic: Statistic) -> Option<Latency> {
    floor.paced.latencies[kind].get(statistic).map(|ns| Latency { ns, at_least: false })
}

/// CPU of both sides for each request, under the load of this kind.
pub(super) fn cost_ns(floor: &TransportFloor, load: &LoadInfo) -> Option<f64> {
    if load.model.saturates() { floor.saturated.cost.both_ns } else { floor.paced.cost.both_ns }
}

/// Why there is no floor to show; [`HINT`] says what to do about it. Not escaped.
pub(super) fn missing(record: &RunRecord) -> Option<String> {
    let Some(floor) = &record.floor else { return Some("not known".to_owned()) };
    floor.layout(&record.environment).err().map(|why| format!("not used: {why}"))
}

/// What is known of the floor, in a sentence without its full stop, and whether [`HINT`] should follow. Safe to print.
pub(super) fn sentence(record: &RunRecord) -> (String, bool) {
    if let Some(why) = missing(record) {
        return (text::printable(&why), true);
    }
    let suspect = used(record).is_some_and(|layout| layout.level != VerdictLevel::Valid);
    let settings = record.floor.as_ref().map(settings).unwrap_or_default();
    let suspect = if suspect { ", suspect" } else { "" };
    let settings = settings + &without(record);
    if is_outdone(record) {
        let text = format!(
            "{settings}{suspect}; this run is far below it: measure it anew with nothing else running"
        );
        return (text, true);
    }
    (format!("{settings}{suspect}; nothing is subtracted{}", wake_up(record)), false)
}

/// "; the generator wakes 12.0 µs late here": what waking costs this machine in the median, whatever the target.
fn wake_up(record: &RunRecord) -> String {
    let late = used(record).and_then(|layout| {
        let medians =
            layout.transports.iter().filter_map(|floor| floor.paced.dispatch_lag.get(Statistic::P50));
        medians.reduce(f64::max)
    });
    late.map_or_else(String::new, |ns| format!("; the generator wakes {} late here", micros(ns)))
}

/// ", none for TLS and WSS": the transports of this run that have no floor, as those over TLS never have one.
fn without(record: &RunRecord) -> String {
    let Some(layout) = used(record) else { return String::new() };
    let run = record.transports_run().into_iter();
    let names: Vec<&str> =
        run.filter(|transport| layout.transport(*transport).is_none()).map(Transport::label).collect();
    if names.is_empty() { String::new() } else { format!(", none for {}", names.join(" and ")) }
}

/// Whether a load went so far below the floor that the floor cannot be one: something else ran when it was measured.
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
        format::rate(Some(floor.rate)),
        text::plural(u64::from(floor.connections), "connection"),
        text::plural(u64::from(floor.value_bytes), "byte"),
    )
}

/// What `calibrate` prints: a block for each layout, a line for each transport. `file` is where the floor was written.
#[must_use]
pub fn table(floor: &Floor, file: &str) -> String {
    let mut text = format!("The harness's own floor, {}\n", settings(floor));
    for layout in &floor.layouts {
        text += &format!("\n{}\n", place(layout));
        for line in grid_of(layout).blocks(super::table::WIDTH).concat() {
            text += &format!("{line}\n");
        }
        text += &verdict(layout);
    }
    text + &format!("\n{MISSING} too few samples, or not known\nfloor     {}\n", text::printable(file))
}

fn place(layout: &Layout) -> String {
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

fn verdict(layout: &Layout) -> String {
    let word = super::outcome::level(layout.level);
    let reasons = layout.reasons.iter().map(|reason| format!("{:<9} - {}\n", "", text::printable(reason)));
    format!("verdict   {word}\n{}", reasons.collect::<String>())
}

/// A column with its header.
type Column = (String, Vec<String>);

fn grid_of(layout: &Layout) -> grid::Grid {
    let floors = &layout.transports;
    let column = |name: &str, cell: &dyn Fn(&TransportFloor) -> String| -> Column {
        (name.to_owned(), floors.iter().map(cell).collect())
    };
    let micros = |ns: Option<f64>| Unit::Micros.latency(ns.map(|ns| Latency { ns, at_least: false }));
    let cpu = |ns: Option<f64>| format::optional(ns.map(|ns| ns / 1e3), 1);
    let quantiles = |title: &str, of: fn(&TransportFloor) -> &Statistics| grid::Group {
        title: format!("{title}, µs"),
        columns: vec![
            column("p50", &|floor| micros(of(floor).get(Statistic::P50))),
            column("p99", &|floor| micros(of(floor).get(Statistic::P99))),
        ],
    };
    grid::Grid {
        lead: vec![column("transport", &|floor| floor.transport.label().to_owned())],
        groups: vec![
            quantiles("response", |floor| &floor.paced.latencies.response),
            quantiles("service", |floor| &floor.paced.latencies.service),
            quantiles("timer's lateness", |floor| &floor.paced.dispatch_lag),
            grid::Group {
                title: "CPU, µs/request".to_owned(),
                columns: vec![
                    column("both", &|floor| cpu(floor.paced.cost.both_ns)),
                    column("generator", &|floor| cpu(floor.paced.cost.generator_ns)),
                ],
            },
            grid::Group {
                title: "highest rate it can offer".to_owned(),
                columns: vec![
                    column("requests/s", &|floor| format::rate(floor.saturated.rate)),
                    column("limited by", &|floor| limit(floor).to_owned()),
                    column("CPU of both", &|floor| cpu(floor.saturated.cost.both_ns)),
                    column("generator", &|floor| cpu(floor.saturated.cost.generator_ns)),
                ],
            },
        ],
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
    let Some(layout) = used(record) else { return text };
    let micros = |ns: Option<f64>, decimals| format::optional(ns.map(|ns| ns / 1e3), decimals);
    let headers = [
        "transport",
        "response p50, µs",
        "p99",
        "service p50, µs",
        "p99",
        "timer's lateness p50, µs",
        "p99",
        "CPU of both sides, µs/request",
        "highest rate, requests/s",
        "limited by",
        "CPU at it, µs/request",
    ];
    let rows: Vec<Vec<String>> = layout
        .transports
        .iter()
        .map(|floor| {
            let paced = &floor.paced;
            let mut cells = vec![floor.transport.label().to_owned()];
            for statistics in [&paced.latencies.response, &paced.latencies.service, &paced.dispatch_lag] {
                cells.extend(
                    [Statistic::P50, Statistic::P99].map(|statistic| micros(statistics.get(statistic), 1)),
                );
            }
            cells.push(micros(paced.cost.both_ns, 2));
            cells.push(format::rate(floor.saturated.rate));
            cells.push(limit(floor).to_owned());
            cells.push(micros(floor.saturated.cost.both_ns, 2));
            cells
        })
        .collect();
    text += &format!("\n{}", grid::markdown(&headers.map(str::to_owned), &rows, 1));
    text += &format!(
        "\nThis is what the harness measures against a target that does next to nothing, on the same CPUs. A figure \
         that is at most {FLOOR_RATIO_MAX} times the floor's same quantile is marked {MARK}: it says as much of the harness \
         as of the target. So are CPU times, and rates from which the harness's highest is at most {FLOOR_RATIO_MAX} times \
         away. The floor moves with rate, connections and sizes: `twinwire calibrate --rate R --connections N \
         --value-size S` measures it for a load like yours.\n"
    );
    text
}
