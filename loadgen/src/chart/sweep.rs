//! Figure: throughput, median and p99 against a swept value, a line for each transport.

use super::Figure;
use super::axis::{self, names, number};
use super::source::{self, View};
use super::spec::{Axis, Mark, Panel, Scale, Spec, Stroke, Tick};
use super::style::{LINE, list, look};
use crate::domain::{Statistic, Transport};
use crate::record::rows::Selection;
use crate::record::{LoadInfo, RunRecord, VariantInfo};
use crate::text;

/// Begins the names of its files.
pub(super) const STEM: &str = "sweep";

/// From this ratio of the largest to the smallest swept number on, a logarithmic axis shows them better.
const RATIO_OF_LOG: f64 = 50.0;

/// Distance of two transports' upright lines at the same value, as a share of the axis.
const ASIDE: f64 = 0.012;

/// Warnings of variants shown below the chart: a large sweep may have hundreds, and the report has them all.
const WARNINGS_SHOWN: usize = 6;

/// What is plotted against the swept value.
#[derive(Clone, Copy)]
enum Metric {
    Rate,
    Latency(Statistic),
}

/// One transport's points: place, value, lowest and highest trial.
struct Series {
    transport: Transport,
    points: Vec<(f64, f64, f64, f64)>,
}

/// The figure of a load; `None` if nothing is swept or nothing was measured.
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
    let mut drawn: Vec<Transport> = Vec::new();
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
    let variants = load.variants.iter().map(|variant| View { variant: &variant.label, ..view });
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
            subtitle: View { variant: &load.variants[0].label, ..view }.subtitle_of_sweep(),
            legend: View::legend(&drawn),
            columns: panels.len(),
            plot_height: 300.0,
            panels,
            notes,
        },
    })
}

fn lines(record: &RunRecord, load: &LoadInfo, places: &[f64], metric: Metric) -> Vec<Series> {
    let mut lines: Vec<Series> = Vec::new();
    for (variant, place) in load.variants.iter().zip(places) {
        let view = View { record, load, variant: &variant.label };
        for transport in view.transports() {
            let of = view.selection().over(transport);
            let Some(value) = measure(view, of, metric) else { continue };
            let trials = view.trials().into_iter().map(|trial| Selection { trial: Some(trial), ..of });
            let trials = trials.filter_map(|of| measure(view, of, metric));
            let (low, high) = trials.fold((value, value), |(low, high), v| (low.min(v), high.max(v)));
            let point = (*place, value, low, high);
            match lines.iter_mut().find(|line| line.transport == transport) {
                Some(line) => line.points.push(point),
                None => lines.push(Series { transport, points: vec![point] }),
            }
        }
    }
    for line in &mut lines {
        line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    lines
}

fn measure(view: View<'_>, of: Selection<'_>, metric: Metric) -> Option<f64> {
    match metric {
        Metric::Latency(statistic) => view.latencies(of).statistic(statistic).map(|latency| latency.ns),
        Metric::Rate => of.row(&view.record.passes)?.rate(),
    }
}

fn panel(title: &str, lines: &[Series], x: Axis, y: Axis) -> Panel {
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

/// The axis of the variants and the place of each: by number if one key is swept over numbers, else one after the
/// other.
fn swept_axis(variants: &[VariantInfo]) -> (Axis, Vec<f64>) {
    let places = (0..variants.len()).map(|i| i as f64).collect();
    let values: Option<Vec<&str>> = variants
        .iter()
        .map(|variant| match variant.settings.as_slice() {
            [setting] => Some(setting.value.as_str()),
            _ => None,
        })
        .collect();
    let Some(values) = values else {
        let labels = variants.iter().map(|variant| variant.label.clone());
        return (Axis { title: "variant".to_owned(), ..names(labels, false) }, places);
    };
    let key = &variants[0].settings[0].key;
    let unit = if key == "manager-share" { ", % of the clients" } else { "" };
    let title = format!("{key}{unit}");
    let number = |value: &&str| value.replace('_', "").parse().ok().filter(|number: &f64| number.is_finite());
    match values.iter().map(number).collect::<Option<Vec<f64>>>() {
        Some(numbers) => (numeric_axis(title, &numbers), numbers),
        None => (Axis { title, ..names(values.into_iter().map(str::to_owned), false) }, places),
    }
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
    use crate::record::fixture;

    fn axis_of(key: &str, values: &[&str]) -> (Axis, Vec<f64>) {
        let variant = |value: &&str| fixture::variant(&[(key, value)]);
        swept_axis(&values.iter().map(variant).collect::<Vec<_>>())
    }

    #[test]
    fn swept_numbers_stand_at_their_values() {
        let (axis, places) = axis_of("manager-share", &["0", "10", "100"]);
        assert_eq!(axis.title, "manager-share, % of the clients");
        assert_eq!((axis.scale, places), (Scale::Linear, vec![0.0, 10.0, 100.0]));
        assert_eq!(axis_of("size", &["16", "1_024", "16384"]).0.scale, Scale::Log);
    }

    #[test]
    fn other_variants_stand_one_after_the_other_by_name() {
        let (axis, places) = axis_of("keys", &["uniform", "a=b"]);
        assert_eq!(places, [0.0, 1.0]);
        assert_eq!((axis.title.as_str(), axis.ticks[1].label.as_str()), ("keys", "a=b"));
        let two = [fixture::variant(&[("a", "1"), ("b", "2")]), fixture::variant(&[("a", "1"), ("b", "3")])];
        let (axis, _) = swept_axis(&two);
        assert_eq!((axis.title.as_str(), axis.ticks[0].label.as_str()), ("variant", "a=1,b=2"));
    }

    #[test]
    fn values_alike_in_all_but_their_ends_are_points_of_their_own() {
        let long = "9".repeat(50);
        let (first, second) = (format!("0.{long}1"), format!("-0.{long}1"));
        assert_eq!(axis_of("share", &[&first, &second]).1.len(), 2);
        let text = "x".repeat(60);
        let (axis, places) = axis_of("name", &[&format!("{text}1"), &format!("{text}2")]);
        assert_eq!(places, [0.0, 1.0]);
        assert_ne!(axis.ticks[0].label, axis.ticks[1].label);
    }
}
