//! Figure: how latencies are spread, a histogram on a logarithmic axis for each transport, a panel for each role.

use super::Figure;
use super::axis;
use super::source::{View, last_share, quantiles};
use super::spec::{Axis, Mark, Panel, Spec, Stroke};
use super::style::{LINE, list, look};
use crate::domain::{Role, Transport};
use crate::record::Latencies;
use crate::record::rows::Selection;
use crate::text::capital;

/// Begins the names of its files.
pub(super) const STEM: &str = "latency-density";

/// Bins of the axis at most: more would be narrower than what can be seen.
const BINS_MAX: f64 = 120.0;
/// Bins of the axis at least; fewer show no shape.
const BINS_MIN: f64 = 20.0;
/// Shares of the samples at which the axis begins and ends; the tail is the percentile figure's business.
const SHOWN_SHARES: [f64; 2] = [0.001, 0.99];
/// How much of its colour fills a histogram.
const FILL_ALPHA: f64 = 0.14;

/// One transport's samples of one role.
struct Samples {
    transport: Transport,
    latencies: Latencies,
}

/// The figure; `None` if no role has enough samples on any transport.
pub(super) fn figure(view: View<'_>) -> Option<Figure> {
    let transports = view.transports();
    let roles: Vec<(Role, Vec<Samples>)> = view
        .roles()
        .into_iter()
        .map(|role| {
            let of = |transport| Selection { role: Some(role), ..view.selection().over(transport) };
            let all = transports.iter().map(|&t| (t, view.latencies(of(t))));
            let all = all.filter(|(_, latencies)| last_share(latencies).is_some());
            (role, all.map(|(transport, latencies)| Samples { transport, latencies }).collect())
        })
        .filter(|(_, samples): &(_, Vec<_>)| !samples.is_empty())
        .collect();
    let ends = roles.iter().flat_map(|(_, samples)| samples).filter_map(|one| ends(&one.latencies));
    let (low, high) = ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
    let x = Axis { grid: false, ..axis::latency(view.quantity(), low, high) };
    let fewest = roles.iter().flat_map(|(_, samples)| samples).map(|one| one.latencies.len()).min();
    let bins = bins_for(fewest.unwrap_or(0));
    let count = roles.len();
    let panels = roles
        .iter()
        .enumerate()
        .map(|(i, (role, samples))| {
            panel(*role, samples, if i + 1 == count { x.clone() } else { x.unlabelled() }, &x, bins)
        })
        .collect();
    let drawn: Vec<Transport> = transports
        .into_iter()
        .filter(|t| roles.iter().any(|(_, samples)| samples.iter().any(|one| one.transport == *t)))
        .collect();
    let names = list(&drawn);
    let mut notes = view.warnings();
    notes.push(format!(
        "Vertical lines: medians. Each bin is a factor of {:.3} wide. The slowest 1 % may lie beyond the axis.",
        bin_ratio(&x, bins)
    ));
    Some(Figure {
        name: view.stem(STEM),
        caption: format!(
            "How {} is spread over {names}, load “{}”. Further left is better.",
            view.quantity().to_lowercase(),
            view.load.name
        ),
        spec: Spec {
            title: format!("{} density: {names}", view.quantity()),
            subtitle: view.subtitle(),
            legend: View::legend(&drawn).into_iter().map(without_marker).collect(),
            columns: 1,
            plot_height: if count == 1 { 300.0 } else { 160.0 },
            panels,
            notes,
        },
    })
}

fn without_marker(entry: super::spec::LegendEntry) -> super::spec::LegendEntry {
    use super::spec::LegendKey;
    let key = match entry.key {
        LegendKey::Line(stroke, _) => LegendKey::Line(stroke, None),
        key => key,
    };
    super::spec::LegendEntry { key, ..entry }
}

/// The latencies at [`SHOWN_SHARES`].
fn ends(latencies: &Latencies) -> Option<(f64, f64)> {
    let found = quantiles(latencies, &SHOWN_SHARES);
    Some((*found.first()?, *found.get(1)?))
}

fn bin_ratio(x: &Axis, bins: usize) -> f64 {
    (x.to / x.from).powf(1.0 / bins as f64)
}

/// As many bins as the smallest number of samples fills without turning into a comb: twice its square root.
fn bins_for(samples: u64) -> usize {
    (2.0 * (samples as f64).sqrt()).clamp(BINS_MIN, BINS_MAX) as usize
}

/// Percent of the samples in each bin of the axis; what lies beyond its ends is in no bin.
fn shares(latencies: &Latencies, x: &Axis, count: usize) -> Vec<f64> {
    let mut bins = vec![0u64; count];
    let Some(histogram) = latencies.histogram() else { return vec![0.0; count] };
    for step in histogram.iter_recorded() {
        let value = histogram.median_equivalent(step.value_iterated_to()) as f64;
        if (x.from..=x.to).contains(&value) {
            let bin = (x.place(value) * count as f64) as usize;
            bins[bin.min(count - 1)] += step.count_since_last_iteration();
        }
    }
    bins.into_iter().map(|count| 100.0 * count as f64 / latencies.len() as f64).collect()
}

fn panel(role: Role, samples: &[Samples], shown_x: Axis, x: &Axis, bins: usize) -> Panel {
    let binned: Vec<Vec<f64>> = samples.iter().map(|one| shares(&one.latencies, x, bins)).collect();
    let high = binned.iter().flatten().copied().fold(0.0, f64::max);
    let ratio = bin_ratio(x, bins);
    let middle = |i: usize| x.from * ratio.powf(i as f64 + 0.5);
    let mut marks = Vec::new();
    for (one, bins) in samples.iter().zip(&binned) {
        let points = bins.iter().enumerate().map(|(i, share)| (middle(i), 0.0, *share)).collect();
        marks.push(Mark::Area { points, ink: look(one.transport).ink, alpha: FILL_ALPHA });
    }
    for (one, bins) in samples.iter().zip(&binned) {
        let look = look(one.transport);
        let points: Vec<_> = bins.iter().enumerate().map(|(i, share)| (middle(i), *share)).collect();
        if let Some(&median) = quantiles(&one.latencies, &[0.5]).first() {
            let points = vec![(median, 0.0), (median, high)];
            marks.push(Mark::Line {
                points,
                stroke: Stroke { width: 1.0, ..look.stroke(LINE) },
                marker: None,
            });
        }
        marks.push(Mark::Line { points, stroke: look.stroke(LINE), marker: None });
    }
    let y = axis::from_zero("Requests in each bin, %", high);
    Panel { title: capital(&format!("{role}s")), x: shown_x, y, marks }
}
