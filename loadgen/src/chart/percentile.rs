//! Figure: latency by percentile, a curve for each transport, a panel for each role.

use super::Figure;
use super::axis;
use super::source::{View, last_share, quantiles};
use super::spec::{Axis, LegendEntry, LegendKey, Mark, Panel, Spec};
use super::style::{FLOOR_MARKER, FLOOR_NAME, LINE, list, look};
use crate::domain::{Measure, Role, Statistic, Transport};
use crate::record::Latencies;
use crate::record::rows::Selection;
use crate::text::capital;

/// Begins the names of its files.
pub(super) const STEM: &str = "latency-percentiles";

/// Where curves begin: below lie the few fastest requests, which would stretch the vertical axis for nothing.
const FIRST_SHARE: f64 = 0.01;
/// Points of a curve for each nine: finer than a pixel's step would show nothing.
const POINTS_PER_NINE: f64 = 60.0;
/// Shares with a marker on the curve.
const MARKED: [f64; 6] = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999];
/// How much of a transport's colour the band of its trials shows.
const BAND_ALPHA: f64 = 0.16;

struct Curve {
    transport: Transport,
    points: Vec<(f64, f64)>,
    marked: Vec<(f64, f64)>,
    band: Vec<(f64, f64, f64)>,
    /// The harness's own floor, as far as its quantiles lie on the axis.
    floor: Vec<(f64, f64)>,
}

/// The figure; `None` if no role has enough samples on any transport.
pub(super) fn figure(view: View<'_>) -> Option<Figure> {
    let transports = view.transports();
    let roles: Vec<(Role, Vec<Curve>)> = view
        .roles()
        .into_iter()
        .map(|role| (role, transports.iter().filter_map(|&transport| curve(view, transport, role)).collect()))
        .filter(|(_, curves): &(_, Vec<_>)| !curves.is_empty())
        .collect();
    let all = || roles.iter().flat_map(|(_, curves)| curves);
    let last = all().filter_map(|curve| curve.points.last()).map(|point| point.0).reduce(f64::max)?;
    let heights = || {
        let bands = all().flat_map(|c| &c.band).flat_map(|&(_, low, high)| [low, high]);
        all().flat_map(|c| c.points.iter().chain(&c.floor)).map(|point| point.1).chain(bands)
    };
    let y = axis::latency(view.quantity(), heights().fold(f64::MAX, f64::min), heights().fold(1.0, f64::max));
    let x = axis::percentiles(last);
    let drawn: Vec<Transport> = transports.into_iter().filter(|t| all().any(|c| c.transport == *t)).collect();
    let banded = all().any(|curve| !curve.band.is_empty());
    let several = roles.len() > 1;
    let panels =
        roles.iter().enumerate().map(|(i, (role, curves))| panel(*role, curves, &x, &y, i)).collect();
    let mut notes = view.warnings();
    notes.push(format!(
        "Curves run from the 1st percentile to where fewer than ten requests lie beyond.{}",
        if banded { " Bands: lowest to highest of the trials." } else { "" }
    ));
    let mut legend = View::legend(&drawn);
    if all().any(|curve| !curve.floor.is_empty()) {
        legend.push(LegendEntry { key: LegendKey::Dot(FLOOR_MARKER), text: FLOOR_NAME.to_owned() });
    }
    let names = list(&drawn);
    let title = format!("{} by percentile: {names}", view.quantity());
    Some(Figure {
        name: view.stem(STEM),
        caption: format!(
            "{} by percentile over {names}, load “{}”{}. Lower is better.",
            view.quantity(),
            view.load.name,
            if several { ", guests and managers apart" } else { "" }
        ),
        spec: Spec {
            title,
            subtitle: view.subtitle(),
            legend,
            columns: roles.len().min(2),
            plot_height: 320.0,
            panels,
            notes,
        },
    })
}

fn panel(role: Role, curves: &[Curve], x: &Axis, y: &Axis, index: usize) -> Panel {
    let mut marks = Vec::new();
    for curve in curves.iter().filter(|curve| !curve.band.is_empty()) {
        let ink = look(curve.transport).ink;
        marks.push(Mark::Area { points: curve.band.clone(), ink, alpha: BAND_ALPHA });
    }
    for curve in curves {
        let look = look(curve.transport);
        marks.push(Mark::Line { points: curve.points.clone(), stroke: look.stroke(LINE), marker: None });
        marks.extend(curve.marked.iter().map(|&at| Mark::Dot { at, marker: look.marker() }));
        marks.extend(curve.floor.iter().map(|&at| Mark::Dot { at, marker: look.floor_marker() }));
    }
    let y = if index.is_multiple_of(2) { y.clone() } else { y.unlabelled() };
    Panel { title: capital(&format!("{role}s")), x: x.clone(), y, marks }
}

fn curve(view: View<'_>, transport: Transport, role: Role) -> Option<Curve> {
    let of = Selection { role: Some(role), ..view.selection().over(transport) };
    let merged = view.latencies(of);
    let last = last_share(&merged)?;
    let shares = shares_to(last);
    let points: Vec<_> = shares.iter().copied().zip(quantiles(&merged, &shares)).collect();
    let marked: Vec<f64> = MARKED.into_iter().filter(|share| *share <= last + 1e-12).collect();
    let marked = marked.iter().copied().zip(quantiles(&merged, &marked)).collect();
    let floor = floor(view, transport, last);
    Some(Curve { transport, points, marked, band: band(view, of), floor })
}

/// The floor's quantiles up to `last`.
fn floor(view: View<'_>, transport: Transport, last: f64) -> Vec<(f64, f64)> {
    let Some(floor) = view.floor(transport) else { return Vec::new() };
    let statistics = &floor.paced.latencies[view.load.headline_kind()];
    let quantiles = Statistic::ALL.iter().filter_map(|&statistic| match statistic.measure() {
        Measure::Quantile(share) => Some((share, statistics.get(statistic)?)),
        Measure::Mean | Measure::Max => None,
    });
    quantiles.filter(|(share, _)| *share <= last + 1e-12).collect()
}

/// Lowest and highest of the trials at each share that every trial bears; empty for a single trial.
fn band(view: View<'_>, of: Selection<'_>) -> Vec<(f64, f64, f64)> {
    let trials: Vec<Latencies> = view
        .trials()
        .into_iter()
        .map(|trial| view.latencies(Selection { trial: Some(trial), ..of }))
        .filter(|latencies| !latencies.is_empty())
        .collect();
    let last = trials.iter().map(last_share).reduce(|a, b| Some(a?.min(b?))).flatten();
    let (Some(last), true) = (last, trials.len() > 1) else { return Vec::new() };
    let shares = shares_to(last);
    let curves: Vec<Vec<f64>> = trials.iter().map(|trial| quantiles(trial, &shares)).collect();
    let at = |i: usize| curves.iter().filter_map(move |curve| curve.get(i).copied());
    let edges = |i: usize| (at(i).fold(f64::MAX, f64::min), at(i).fold(0.0, f64::max));
    shares.iter().enumerate().map(|(i, share)| (*share, edges(i).0, edges(i).1)).collect()
}

/// Shares from the first one drawn to `last`, evenly spread on the axis of nines.
fn shares_to(last: f64) -> Vec<f64> {
    let nines = |share: f64| -(1.0 - share).log10();
    let (from, to) = (nines(FIRST_SHARE), nines(last));
    let count = ((to - from) * POINTS_PER_NINE).ceil().max(2.0);
    let mut shares: Vec<f64> =
        (0..count as usize).map(|i| 1.0 - 10f64.powf(-from - (to - from) * i as f64 / count)).collect();
    shares.push(last);
    // So that the markers lie on the curve if there are few samples.
    shares.extend(MARKED.iter().filter(|share| **share < last));
    shares.sort_by(f64::total_cmp);
    shares
}
