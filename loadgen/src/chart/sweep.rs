//! Figure: throughput, median and p99 against a swept value, a line for each transport.

use super::Figure;
use super::axis::{self, names, number};
use super::source::{self, View};
use super::spec::{Axis, Mark, Panel, Scale, Spec, Stroke, Tick};
use super::style::{LINE, list, look};
use crate::domain::Statistic;
use crate::record::{LoadInfo, RunRecord, rows};
use crate::text;

/// Begins the names of its files.
pub(super) const STEM: &str = "sweep";

/// Ratio of the largest to the smallest swept number from which a logarithmic axis shows them better.
const RATIO_OF_LOG: f64 = 50.0;

/// Distance of two transports' upright lines at the same value, as a share of the axis.
const ASIDE: f64 = 0.012;

/// Warnings of variants that stand below the chart: a sweep of many may have hundreds, and the report has them all.
const WARNINGS_SHOWN: usize = 6;

/// What is plotted against the swept value.
#[derive(Clone, Copy)]
enum Metric {
    Rate,
    Latency(Statistic),
}

/// One transport's points: place, value, lowest and highest trial.
struct Line<'a> {
    transport: &'a str,
    points: Vec<(f64, f64, f64, f64)>,
}

/// The figure of a load; `None` where nothing is swept or nothing was measured.
pub(super) fn figure(record: &RunRecord, load: &LoadInfo) -> Option<Figure> {
    if load.variants.len() < 2 {
        return None;
    }
    let (x, places) = swept_axis(&load.variants);
    let view = View { record, load, variant: "" };
    let metrics = [
        ("Throughput", Metric::Rate),
        ("Median", Metric::Latency(Statistic::P50)),
        ("99th percentile", Metric::Latency(Statistic::P99)),
    ];
    let mut panels = Vec::new();
    let mut drawn: Vec<&str> = Vec::new();
    for (title, metric) in metrics {
        let lines = lines(record, load, &places, metric);
        let values = || lines.iter().flat_map(|line| &line.points).flat_map(|p| [p.1, p.2, p.3]);
        let Some(high) = values().reduce(f64::max) else { continue };
        let low = values().fold(f64::MAX, f64::min);
        let y = match metric {
            Metric::Rate => axis::from_zero("Requests/s", high),
            Metric::Latency(_) => axis::latency(view.quantity(), low, high),
        };
        drawn.extend(
            lines.iter().map(|line| line.transport).filter(|t| !drawn.contains(t)).collect::<Vec<_>>(),
        );
        panels.push(panel(title, &lines, x.clone(), y));
    }
    if panels.is_empty() {
        return None;
    }
    let variants = load.variants.iter().map(|variant| View { variant, ..view });
    let mut notes = Vec::new();
    for note in variants.flat_map(View::warnings) {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    if let Some(more @ 1..) = notes.len().checked_sub(WARNINGS_SHOWN) {
        notes.truncate(WARNINGS_SHOWN);
        notes.push(format!("And {}: the report has them.", text::plural(more as u64, "more warning")));
    }
    if load.trials > 1 {
        notes.push("Upright lines: lowest to highest of the trials.".to_owned());
    }
    let names = list(&drawn);
    let swept = x.title.split(", ").next().unwrap_or_default();
    let quantity = view.quantity().to_lowercase();
    Some(Figure {
        name: source::stem(STEM, &load.name, ""),
        caption: format!("Throughput and {quantity} by {swept}, load “{}”, over {names}.", load.name),
        spec: Spec {
            title: format!("Throughput and {quantity} by {swept}: {names}"),
            subtitle: View { variant: &load.variants[0], ..view }.subtitle_of_sweep(),
            legend: View::legend(&drawn),
            columns: panels.len(),
            plot_height: 300.0,
            panels,
            notes,
        },
    })
}

fn lines<'a>(record: &'a RunRecord, load: &LoadInfo, places: &[f64], metric: Metric) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    for (variant, place) in load.variants.iter().zip(places) {
        let view = View { record, load, variant };
        for transport in transports(record, load, variant) {
            let Some(value) = measure(view, transport, None, metric) else { continue };
            let trials = view.trials().into_iter().filter_map(|t| measure(view, transport, Some(t), metric));
            let (low, high) = trials.fold((value, value), |(low, high), v| (low.min(v), high.max(v)));
            let point = (*place, value, low, high);
            match lines.iter_mut().find(|line| line.transport == transport) {
                Some(line) => line.points.push(point),
                None => lines.push(Line { transport, points: vec![point] }),
            }
        }
    }
    for line in &mut lines {
        line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    lines
}

fn transports<'a>(record: &'a RunRecord, load: &LoadInfo, variant: &str) -> Vec<&'a str> {
    let taken = |name: &str| {
        let mut passes = record.passes.iter().filter(|p| p.load == load.name && p.variant == variant);
        passes.any(|pass| pass.cells.iter().any(|cell| cell.transport == name))
    };
    record.scenario.transports.iter().map(String::as_str).filter(|name| taken(name)).collect()
}

fn measure(view: View<'_>, transport: &str, trial: Option<u32>, metric: Metric) -> Option<f64> {
    match metric {
        Metric::Latency(statistic) => {
            view.latencies(transport, None, None, trial).statistic(statistic).map(|latency| latency.ns)
        }
        Metric::Rate => {
            let row = rows::merged(view.record, |pass, cell| {
                pass.load == view.load.name
                    && pass.variant == view.variant
                    && cell.transport == transport
                    && trial.is_none_or(|trial| trial == pass.trial)
            })?;
            row.rate()
        }
    }
}

fn panel(title: &str, lines: &[Line<'_>], x: Axis, y: Axis) -> Panel {
    let mut marks = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let look = look(line.transport);
        // Side by side, so that none hides another.
        let aside = (index as f64 - (lines.len() - 1) as f64 / 2.0) * ASIDE;
        for &(place, _, low, high) in line.points.iter().filter(|point| point.2 < point.3) {
            let place = beside(place, aside, &x);
            let stroke = Stroke::solid(look.ink, 1.2);
            marks.push(Mark::Line { points: vec![(place, low), (place, high)], stroke, marker: None });
        }
        let points = line.points.iter().map(|point| (point.0, point.1)).collect();
        marks.push(Mark::Line { points, stroke: look.stroke(LINE), marker: Some(look.marker()) });
    }
    Panel { title: title.to_owned(), x, y, marks }
}

/// The value that is this share of an axis away from another.
fn beside(place: f64, share: f64, axis: &Axis) -> f64 {
    match axis.scale {
        Scale::Log => place * (axis.to / axis.from).powf(share),
        Scale::Linear | Scale::Nines => place + (axis.to - axis.from) * share,
    }
}

/// The axis of the variants and the place of each: by number where all of them are, else one after the other.
fn swept_axis(variants: &[String]) -> (Axis, Vec<f64>) {
    let split: Vec<(&str, &str)> =
        variants.iter().map(|label| label.rsplit_once('=').unwrap_or(("", label))).collect();
    let key = split[0].0.trim();
    let common = split.iter().all(|(other, _)| other.trim() == key);
    let unit = if key == "manager-share" { ", % of the clients" } else { "" };
    let title = if key.is_empty() || !common { "variant".to_owned() } else { format!("{key}{unit}") };
    let numbers: Option<Vec<f64>> =
        split.iter().map(|(_, value)| value.trim().parse().ok().filter(|v: &f64| v.is_finite())).collect();
    if let (Some(numbers), true) = (numbers, common) {
        return (numeric_axis(title, &numbers), numbers);
    }
    let labels = split.iter().zip(variants).map(
        |((_, value), whole)| {
            if common { value.trim().to_owned() } else { whole.clone() }
        },
    );
    let axis = Axis { title, ..names(labels, false) };
    (axis, (0..variants.len()).map(|i| i as f64).collect())
}

fn numeric_axis(title: String, numbers: &[f64]) -> Axis {
    let low = numbers.iter().copied().fold(f64::MAX, f64::min);
    let high = numbers.iter().copied().fold(f64::MIN, f64::max);
    let log = low > 0.0 && high / low >= RATIO_OF_LOG;
    // A little room at the ends, so that no marker sits on the frame.
    let (scale, from, to) = if log {
        let room = (high / low).powf(0.06);
        (Scale::Log, low / room, high * room)
    } else {
        let room = if high > low { (high - low) * 0.06 } else { 1.0 };
        (Scale::Linear, low - room, high + room)
    };
    let mut ticks: Vec<Tick> = numbers.iter().map(|at| Tick { at: *at, label: number(*at) }).collect();
    ticks.sort_by(|a, b| a.at.total_cmp(&b.at));
    Axis { title, scale, from, to, ticks, grid: false, labels: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis_of(labels: &[&str]) -> (Axis, Vec<f64>) {
        swept_axis(&labels.iter().map(|&label| label.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn swept_numbers_stand_at_their_values() {
        let (axis, places) = axis_of(&["manager-share=0", "manager-share=10", "manager-share=100"]);
        assert_eq!(axis.title, "manager-share, % of the clients");
        assert_eq!((axis.scale, places), (Scale::Linear, vec![0.0, 10.0, 100.0]));
        assert_eq!(axis_of(&["size=16", "size=1024", "size=16384"]).0.scale, Scale::Log);
    }

    #[test]
    fn other_variants_stand_one_after_the_other_by_name() {
        let (axis, places) = axis_of(&["keys=uniform", "keys=zipf"]);
        assert_eq!(places, [0.0, 1.0]);
        assert_eq!(axis.ticks[1].label, "zipf");
        let (axis, _) = axis_of(&["a=1 b=2", "a=1 c=2"]);
        assert_eq!((axis.title.as_str(), axis.ticks[0].label.as_str()), ("variant", "a=1 b=2"));
    }
}
