//! Figure: throughput, and CPU time for each request on both sides, a bar for each transport.

use super::Figure;
use super::axis::{self, names, number};
use super::source::View;
use super::spec::{Axis, Fill, Ink, LegendEntry, LegendKey, Mark, Marker, Panel, Shape, Spec};
use super::style::{DARK, FLOOR, FLOOR_NAME, look};
use crate::domain::Transport;
use crate::record::rows::Selection;

/// Begins the names of its files.
pub(super) const STEM: &str = "cost";

/// The server's part of a CPU bar.
const SERVER: Fill = Fill { ink: Ink(0x4A, 0x4A, 0x4A), hatched: false };
/// The generator's part.
const GENERATOR: Fill = Fill { ink: Ink(0x8C, 0x8C, 0x8C), hatched: true };
/// Half a bar's thickness, as a share of the distance between two bars.
const HALF_BAR: f64 = 0.3;
/// Height for each transport in nominal pixels.
const BAR_HEIGHT: f64 = 64.0;
/// Room at the end of the longest bar for its label, as a share of it.
const LABEL_ROOM: f64 = 1.22;

/// What one transport did and took.
struct Bar {
    transport: Transport,
    rate: f64,
    trials: Vec<f64>,
    /// Server's and generator's CPU for a request, in µs.
    cpu: Option<(f64, f64)>,
    /// The highest rate that the harness can offer, if that may be this load's limit.
    highest: Option<f64>,
    /// What the harness itself takes of CPU for a request on both sides, in µs.
    floor_us: Option<f64>,
}

/// The figure; `None` if no transport was measured alone (mixed loads) or nothing was answered.
pub(super) fn figure(view: View<'_>) -> Option<Figure> {
    let bars: Vec<Bar> = view.transports().into_iter().filter_map(|t| bar(view, t)).collect();
    if bars.is_empty() {
        return None;
    }
    let with_cpu = bars.iter().any(|bar| bar.cpu.is_some());
    let y = names(bars.iter().map(|bar| bar.transport.label().to_owned()), true);
    let mut panels = vec![throughput(&bars, y.clone())];
    if with_cpu {
        panels.push(cpu(&bars, y.unlabelled()));
    }
    let mut notes = view.warnings();
    if !view.load.model.is_open() {
        notes.push(match view.load.verdict.saturated {
            Some(side) => format!("The {side}’s CPU was full: this is the {side}’s limit."),
            None if !with_cpu => {
                "It is not known whose limit this is: not all CPU times could be read.".to_owned()
            }
            None if view.load.model.saturates() => {
                "Neither side’s CPU was full: each waited for the other, or for the host.".to_owned()
            }
            None => "Neither side’s CPU was full: the clients’ think time set this throughput.".to_owned(),
        });
    }
    if bars.iter().any(|bar| bar.trials.len() > 1) {
        notes.push("Small circles: single trials.".to_owned());
    }
    if with_cpu {
        notes.push(
            "On loopback each side’s system calls do part of the other’s work: compare the sums first."
                .to_owned(),
        );
    }
    if bars.iter().any(|bar| bar.highest.is_some()) {
        notes.push(
            "Dashed line next to throughput: the highest rate that the harness can offer here.".to_owned(),
        );
    }
    let title = if with_cpu { "Throughput and CPU time for each request" } else { "Throughput" };
    Some(Figure {
        name: view.stem(STEM),
        caption: format!("{title} by transport, load “{}”.", view.load.name),
        spec: Spec {
            title: format!("{title}, by transport"),
            subtitle: view.subtitle(),
            legend: legend(with_cpu, &bars),
            columns: panels.len(),
            plot_height: bars.len() as f64 * BAR_HEIGHT,
            panels,
            notes,
        },
    })
}

fn bar(view: View<'_>, transport: Transport) -> Option<Bar> {
    // The same rates as in every table: answered requests of the measured part over its time.
    let of = view.selection().over(transport);
    let alone = || of.unmixed(&view.record.passes);
    let rate = |trial| Selection { trial, ..of }.row(alone())?.rate().filter(|rate| *rate > 0.0);
    let sum = of.cost(alone()).filter(|sum| sum.replies > 0)?;
    let each = |ns: u64| ns as f64 / 1e3 / sum.replies as f64;
    let floor = view.floor(transport);
    let saturates = view.load.model.saturates();
    let floor_cost = floor.map(|f| if saturates { f.saturated.cost } else { f.paced.cost });
    Some(Bar {
        transport,
        rate: rate(None)?,
        trials: alone().filter_map(|pass| rate(Some(pass.trial))).collect(),
        cpu: sum.server_cpu_ns.zip(sum.generator_cpu_ns).map(|(s, g)| (each(s), each(g))),
        highest: floor.filter(|_| saturates).and_then(|floor| floor.saturated.rate),
        floor_us: floor_cost.and_then(|cost| cost.both_ns).map(|ns| ns / 1e3),
    })
}

fn throughput(bars: &[Bar], y: Axis) -> Panel {
    let rates =
        |bar: &Bar| bar.trials.iter().chain([&bar.rate]).chain(&bar.highest).copied().fold(0.0, f64::max);
    let high = bars.iter().map(rates).fold(0.0, f64::max);
    let x = axis::exactly_to("Requests/s", high * LABEL_ROOM);
    let mut marks = Vec::new();
    for (i, bar) in bars.iter().enumerate() {
        let i = i as f64;
        let fill = look(bar.transport).fill();
        marks.push(Mark::Bar { from: (0.0, i - HALF_BAR), to: (bar.rate, i + HALF_BAR), fill });
        let spread: &[f64] = if bar.trials.len() > 1 { &bar.trials } else { &[] };
        let marker = Marker { shape: Shape::Circle, ink: DARK, hollow: true, radius: 3.2 };
        marks.extend(spread.iter().map(|rate| Mark::Dot { at: (*rate, i), marker }));
        marks.extend(bar.highest.map(|highest| floor_line(highest, i)));
        let end = spread.iter().chain(&bar.highest).copied().fold(bar.rate, f64::max);
        marks.push(Mark::Text { at: (end, i), text: number(bar.rate) });
    }
    Panel { title: "Throughput".to_owned(), x, y, marks }
}

fn cpu(bars: &[Bar], y: Axis) -> Panel {
    let sums = bars.iter().filter_map(|bar| bar.cpu).map(|(s, g)| s + g);
    let high = sums.chain(bars.iter().filter_map(|bar| bar.floor_us)).fold(0.0, f64::max);
    let x = axis::exactly_to("CPU time of both sides, µs", high * LABEL_ROOM);
    let mut marks = Vec::new();
    for (i, bar) in bars.iter().enumerate() {
        let (i, Some((server, generator))) = (i as f64, bar.cpu) else { continue };
        let sum = server + generator;
        marks.push(Mark::Bar { from: (0.0, i - HALF_BAR), to: (server, i + HALF_BAR), fill: SERVER });
        marks.push(Mark::Bar { from: (server, i - HALF_BAR), to: (sum, i + HALF_BAR), fill: GENERATOR });
        marks.extend(bar.floor_us.map(|floor| floor_line(floor, i)));
        let end = bar.floor_us.map_or(sum, |floor| floor.max(sum));
        marks.push(Mark::Text { at: (end, i), text: format!("{} µs", number(sum)) });
    }
    Panel { title: "CPU time for each request".to_owned(), x, y, marks }
}

/// Across a bar, where the harness's own floor is.
fn floor_line(at: f64, i: f64) -> Mark {
    let half = HALF_BAR * 1.25;
    Mark::Line { points: vec![(at, i - half), (at, i + half)], stroke: FLOOR, marker: None }
}

fn legend(with_cpu: bool, bars: &[Bar]) -> Vec<LegendEntry> {
    let entry = |key, text: &str| LegendEntry { key, text: text.to_owned() };
    let mut entries = Vec::new();
    if with_cpu {
        entries.push(entry(LegendKey::Field(SERVER), "CPU of the server"));
        entries.push(entry(LegendKey::Field(GENERATOR), "CPU of the generator"));
    }
    if bars.iter().any(|bar| bar.highest.is_some() || bar.floor_us.is_some() && bar.cpu.is_some()) {
        entries.push(entry(LegendKey::Line(FLOOR, None), FLOOR_NAME));
    }
    entries
}
