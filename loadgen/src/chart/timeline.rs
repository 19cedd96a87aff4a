//! Figure: throughput and p99 over time, a thin line for each trial and a bold one for their median.

use std::collections::BTreeMap;

use super::Figure;
use super::axis;
use super::source::View;
use super::spec::{Axis, Mark, Panel, Spec, Stroke};
use super::style::{LINE, list, look};
use crate::domain::{Statistic, Transport};
use crate::record::Interval;

/// Begins the names of its files.
pub(super) const STEM: &str = "timeline";

/// A rest of a second at a run's end that is shorter than this is left out: a rate over less is noise.
const INTERVAL_S_MIN: f64 = 0.5;
/// Points up to which each one gets a marker; beyond, the markers would cover the line.
const MARKED_POINTS: usize = 15;
/// Opacity of a single trial's line.
const TRIAL_TINT: f64 = 0.32;
/// Width of a single trial's line.
const TRIAL_LINE: f64 = 1.0;

type Points = Vec<(f64, f64)>;

/// One transport's lines of one quantity.
struct Lines {
    transport: Transport,
    trials: Vec<Points>,
    median: Points,
}

/// The figure; `None` if no interval was recorded.
pub(super) fn figure(view: View<'_>) -> Option<Figure> {
    let transports = view.transports();
    let rate = |row: &Interval| Some(row.achieved as f64 / row.length_s);
    let kind = view.load.headline_kind();
    let p99 = |row: &Interval| row.latencies.get((kind, Statistic::P99));
    let rates = lines(view, &transports, rate);
    let tails = lines(view, &transports, p99);
    let points = |lines: &[Lines]| -> Points {
        lines.iter().flat_map(|line| line.trials.iter().flatten().copied()).collect()
    };
    let (rate_points, tail_points) = (points(&rates), points(&tails));
    let high = rate_points.iter().map(|point| point.1).reduce(f64::max)?;
    let end = rate_points
        .iter()
        .chain(&tail_points)
        .map(|point| point.0 + 0.5)
        .fold(view.load.duration_s, f64::max);
    let x = Axis { grid: false, ..axis::exactly_to("Time since measuring began, s", end) };
    let mut panels = vec![panel("Throughput", &rates, x.clone(), axis::from_zero("Requests/s", high))];
    if !tail_points.is_empty() {
        panels[0].x = x.unlabelled();
        let low = tail_points.iter().map(|point| point.1).fold(f64::MAX, f64::min);
        let high = tail_points.iter().map(|point| point.1).fold(1.0, f64::max);
        panels.push(panel("99th percentile", &tails, x, axis::latency(view.quantity(), low, high)));
    }
    let drawn: Vec<Transport> = rates.iter().map(|line| line.transport).collect();
    let mut notes = view.warnings();
    if view.trials().len() > 1 {
        notes.push("Thin lines: single trials. Bold lines: their median in each second.".to_owned());
    }
    let names = list(&drawn);
    let what = if panels.len() > 1 { "Throughput and p99 over time" } else { "Throughput over time" };
    Some(Figure {
        name: view.stem(STEM),
        caption: format!("{what}, load “{}”, over {names}.", view.load.name),
        spec: Spec {
            title: format!("{what}: {names}"),
            subtitle: view.subtitle(),
            legend: View::legend(&drawn),
            columns: 1,
            plot_height: 165.0,
            panels,
            notes,
        },
    })
}

fn lines(view: View<'_>, transports: &[Transport], value: impl Fn(&Interval) -> Option<f64>) -> Vec<Lines> {
    let mut all = Vec::new();
    for &transport in transports {
        let trials: Vec<Points> = view
            .passes()
            .map(|pass| {
                let rows = pass.intervals.iter().filter(|row| row.transport == transport);
                let rows = rows.filter(|row| row.length_s >= INTERVAL_S_MIN);
                let point = |row: &Interval| Some((f64::from(row.second) + row.length_s / 2.0, value(row)?));
                let mut points: Points = rows.filter_map(point).collect();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                points
            })
            .filter(|points| !points.is_empty())
            .collect();
        if !trials.is_empty() {
            all.push(Lines { transport, median: median(&trials), trials });
        }
    }
    all
}

/// The median of the trials in each second that at least half of them have.
fn median(trials: &[Points]) -> Points {
    let mut seconds: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
    for point in trials.iter().flatten() {
        seconds.entry(point.0 as u64).or_default().push(*point);
    }
    let middle = |mut values: Vec<(f64, f64)>| {
        values.sort_by(|a, b| a.1.total_cmp(&b.1));
        let half = values.len() / 2;
        let value = if values.len() % 2 == 1 {
            values[half].1
        } else {
            f64::midpoint(values[half - 1].1, values[half].1)
        };
        (values[half].0, value)
    };
    seconds.into_values().filter(|values| values.len() * 2 >= trials.len()).map(middle).collect()
}

fn panel(title: &str, lines: &[Lines], x: Axis, y: Axis) -> Panel {
    let mut marks = Vec::new();
    for line in lines.iter().filter(|line| line.trials.len() > 1) {
        let look = look(line.transport);
        let stroke = Stroke { ink: look.ink.tint(TRIAL_TINT), ..look.stroke(TRIAL_LINE) };
        let trial = |points: &Points| Mark::Line { points: points.clone(), stroke, marker: None };
        marks.extend(line.trials.iter().map(trial));
    }
    for line in lines {
        let look = look(line.transport);
        let marker = (line.median.len() <= MARKED_POINTS).then(|| look.marker());
        marks.push(Mark::Line { points: line.median.clone(), stroke: look.stroke(LINE), marker });
    }
    Panel { title: title.to_owned(), x, y, marks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_trials_leaves_out_seconds_that_few_of_them_have() {
        let trials = [
            vec![(0.5, 10.0), (1.5, 20.0)],
            vec![(0.5, 30.0), (1.5, 40.0)],
            vec![(0.5, 20.0), (1.5, 90.0), (2.5, 7.0)],
        ];
        assert_eq!(median(&trials), [(0.5, 20.0), (1.5, 40.0)]);
        assert_eq!(median(&trials[..2]), [(0.5, 20.0), (1.5, 30.0)]);
    }
}
