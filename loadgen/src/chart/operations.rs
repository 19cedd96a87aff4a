//! Figure: p50, p90 and p99 by role, operation and transport, a row for each role and operation.

use super::axis;
use super::source::View;
use super::spec::{Axis, LegendEntry, LegendKey, Mark, Marker, Panel, Shape, Spec, Stroke};
use super::style::{DOT, GREY, LINE, Look, line_entry, look};
use super::{Figure, axis::names};
use crate::domain::{Op, Role, Statistic, Transport};
use crate::record::rows::Selection;

/// Begins the names of its files.
pub(super) const STEM: &str = "latency-operations";

/// The quantiles shown, each with its marker.
const SHOWN: [(Statistic, Shape); 3] =
    [(Statistic::P50, Shape::Circle), (Statistic::P90, Shape::Diamond), (Statistic::P99, Shape::Bar)];
/// Height of one transport's line in a row, in nominal pixels.
const LINE_HEIGHT: f64 = 15.0;
/// Room between the rows of two operations.
const ROW_GAP: f64 = 13.0;
/// Share of a row that its lines take.
const ROW_FILLED: f64 = 0.72;

/// A role and operation, with a line for each transport that has samples.
struct Row {
    name: String,
    lines: Vec<Series>,
}

struct Series {
    transport: Transport,
    values: Vec<Quantile>,
}

struct Quantile {
    shape: Shape,
    ns: f64,
    at_least: bool,
}

/// The figure; `None` if no operation has enough samples for a median.
pub(super) fn figure(view: View<'_>) -> Option<Figure> {
    let transports = view.transports();
    let mut rows = Vec::new();
    let mut thin = Vec::new();
    for role in view.roles() {
        for op in view.ops() {
            let row = row(view, &transports, role, op);
            if !row.lines.is_empty() {
                rows.push(row);
            } else if transports.iter().any(|&t| !view.latencies(of(view, t, role, op)).is_empty()) {
                thin.push(row.name);
            }
        }
    }
    let all = || rows.iter().flat_map(|row| &row.lines).flat_map(|line| &line.values);
    let values = || all().map(|value| value.ns);
    let high = values().reduce(f64::max)?;
    let x = axis::latency(view.quantity(), values().fold(f64::MAX, f64::min), high);
    let bounded = all().any(|value| value.at_least);
    let drawn: Vec<Transport> = transports
        .into_iter()
        .filter(|t| rows.iter().any(|row| row.lines.iter().any(|line| line.transport == *t)))
        .collect();
    let mut notes = view.warnings();
    if !thin.is_empty() {
        notes.push(format!("Too few samples to show: {}.", thin.join(", ")));
    }
    if bounded {
        notes.push("≥: a lower bound, as unanswered requests lie beyond it.".to_owned());
    }
    notes.push("A percentile is shown only with at least ten requests beyond it.".to_owned());
    let height = rows.len() as f64 * (drawn.len() as f64 * LINE_HEIGHT + ROW_GAP);
    Some(Figure {
        name: view.stem(STEM),
        caption: format!(
            "{} of each operation by role and transport, load “{}”: median, 90th and 99th percentile.",
            view.quantity(),
            view.load.name
        ),
        spec: Spec {
            title: format!("{} by role, operation and transport", view.quantity()),
            subtitle: view.subtitle(),
            legend: legend(&drawn),
            columns: 1,
            plot_height: height.max(120.0),
            panels: vec![panel(&rows, &drawn, x)],
            notes,
        },
    })
}

fn row(view: View<'_>, transports: &[Transport], role: Role, op: Op) -> Row {
    let mut lines = Vec::new();
    for &transport in transports {
        let latencies = view.latencies(of(view, transport, role, op));
        let values: Vec<_> = SHOWN
            .iter()
            .filter_map(|(statistic, shape)| {
                let found = latencies.statistic(*statistic)?;
                Some(Quantile { shape: *shape, ns: found.ns, at_least: found.at_least })
            })
            .collect();
        if !values.is_empty() {
            lines.push(Series { transport, values });
        }
    }
    Row { name: format!("{role} · {op}"), lines }
}

fn of(view: View<'_>, transport: Transport, role: Role, op: Op) -> Selection<'_> {
    Selection { role: Some(role), op: Some(op), ..view.selection().over(transport) }
}

fn panel(rows: &[Row], drawn: &[Transport], x: Axis) -> Panel {
    let y = names(rows.iter().map(|row| row.name.clone()), true);
    let mut marks = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        for line in &row.lines {
            let place = drawn.iter().position(|t| *t == line.transport).unwrap_or(0);
            let offset = (place as f64 + 0.5) / drawn.len() as f64 - 0.5;
            draw_line(&mut marks, i as f64 + offset * ROW_FILLED, &line.values, look(line.transport));
        }
    }
    Panel { title: String::new(), x, y, marks }
}

fn draw_line(marks: &mut Vec<Mark>, y: f64, values: &[Quantile], look: Look) {
    let points: Vec<_> = values.iter().map(|value| (value.ns, y)).collect();
    if points.len() > 1 {
        marks.push(Mark::Line { points: points.clone(), stroke: look.stroke(LINE), marker: None });
    }
    for Quantile { shape, ns, .. } in values {
        let hollow = look.marker().hollow && *shape != Shape::Bar;
        let marker = Marker { shape: *shape, ink: look.ink, hollow, radius: DOT };
        marks.push(Mark::Dot { at: (*ns, y), marker });
    }
    if let Some(&Quantile { ns, at_least: true, .. }) = values.last() {
        marks.push(Mark::Text { at: (ns, y), text: "≥".to_owned() });
    }
}

fn legend(transports: &[Transport]) -> Vec<LegendEntry> {
    let bare = |&transport: &Transport| {
        let entry = line_entry(transport);
        let stroke: Stroke = look(transport).stroke(LINE);
        LegendEntry { key: LegendKey::Line(stroke, None), ..entry }
    };
    let marker = |shape| Marker { shape, ink: GREY, hollow: false, radius: DOT };
    let quantiles = SHOWN.iter().map(|(statistic, shape)| LegendEntry {
        key: LegendKey::Dot(marker(*shape)),
        text: statistic.name().to_owned(),
    });
    transports.iter().map(bare).chain(quantiles).collect()
}
