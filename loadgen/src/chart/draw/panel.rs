//! One panel: its axes and its marks.

use plotters_backend::DrawingBackend;

use super::DrawError;
use super::canvas::{Canvas, Side};
use super::layout::{AXIS_SIZE, HEADING_SIZE, LABEL_GAP, PanelPlace};
use super::text::{Face, Weight, clean, fitted, width};
use crate::chart::spec::{Axis, Mark, Panel, Stroke, WIDTH};
use crate::chart::style::{DARK, GREY, GRID};

const HEADING: Face = Face { size: HEADING_SIZE, weight: Weight::Strong, ink: DARK };
/// Axis titles and tick labels.
const AXIS: Face = Face { size: AXIS_SIZE, weight: Weight::Normal, ink: GREY };
/// Width of axis and grid lines.
const HAIRLINE: f64 = 1.0;
/// Length of the marks at the horizontal axis.
const TICK: f64 = 4.0;
/// White around a text among the marks.
const AROUND: f64 = 2.5;
/// Least room between two labels; one that comes nearer to its neighbour is left out.
const LABEL_ROOM: f64 = 8.0;
/// Share of the em that capital letters are high.
const CAPITAL: f64 = 0.72;
/// How near the figure's edge a label may come.
const EDGE: f64 = 6.0;

/// Draws a panel in its place.
pub(super) fn draw<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    panel: &Panel,
    place: &PanelPlace,
) -> Result<(), DrawError> {
    let room = place.right - place.head_left;
    let heading = fitted(&panel.title, HEADING_SIZE, Weight::Strong, room);
    canvas.text(&heading, (place.head_left, place.heading), Side::Left, HEADING)?;
    let title = fitted(&panel.y.title, AXIS_SIZE, Weight::Normal, room);
    canvas.text(&title, (place.head_left, place.y_title), Side::Left, AXIS)?;
    draw_x(canvas, &panel.x, place)?;
    draw_y(canvas, &panel.y, place)?;
    for mark in &panel.marks {
        draw_mark(canvas, panel, place, mark)?;
    }
    Ok(())
}

fn draw_x<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    axis: &Axis,
    place: &PanelPlace,
) -> Result<(), DrawError> {
    let mut free = f64::MIN;
    for tick in &axis.ticks {
        let x = place.left + axis.place(tick.at) * (place.right - place.left);
        if axis.grid {
            canvas.line(&[(x, place.top), (x, place.bottom)], Stroke::solid(GRID, HAIRLINE))?;
        }
        canvas.line(&[(x, place.bottom), (x, place.bottom + TICK)], Stroke::solid(GREY, HAIRLINE))?;
        let label = clean(&tick.label);
        let half = width(&label, AXIS_SIZE, Weight::Normal) / 2.0;
        let middle = x.min(WIDTH - EDGE - half).max(EDGE + half);
        if axis.labels && middle - half >= free {
            let at = (middle, place.bottom + TICK + 2.0 + AXIS_SIZE);
            canvas.text(&label, at, Side::Middle, AXIS)?;
            free = middle + half + LABEL_ROOM;
        }
    }
    let baseline = [(place.left, place.bottom), (place.right, place.bottom)];
    canvas.line(&baseline, Stroke::solid(GREY, HAIRLINE))?;
    let title = fitted(&axis.title, AXIS_SIZE, Weight::Normal, place.right - place.left);
    let labels = if axis.labels { AXIS_SIZE * 1.5 } else { 0.0 };
    let at = (f64::midpoint(place.left, place.right), place.bottom + TICK + 4.0 + AXIS_SIZE + labels);
    canvas.text(&title, at, Side::Middle, AXIS)
}

fn draw_y<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    axis: &Axis,
    place: &PanelPlace,
) -> Result<(), DrawError> {
    let mut free = f64::MAX;
    let mut ticks: Vec<_> = axis.ticks.iter().map(|tick| (at_y(axis, place, tick.at), tick)).collect();
    ticks.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (y, tick) in ticks {
        if axis.grid && y < place.bottom - 0.5 {
            canvas.line(&[(place.left, y), (place.right, y)], Stroke::solid(GRID, HAIRLINE))?;
        }
        if axis.labels && y <= free {
            // The room was measured without the fallback's allowance.
            let label = fitted(&tick.label, AXIS_SIZE, Weight::Normal, place.label_room * 1.1);
            let at = (place.left - LABEL_GAP, y + AXIS_SIZE * CAPITAL / 2.0);
            canvas.text(&label, at, Side::Right, AXIS)?;
            free = y - AXIS_SIZE;
        }
    }
    Ok(())
}

fn at_y(axis: &Axis, place: &PanelPlace, value: f64) -> f64 {
    place.bottom - axis.place(value) * (place.bottom - place.top)
}

fn draw_mark<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    panel: &Panel,
    place: &PanelPlace,
    mark: &Mark,
) -> Result<(), DrawError> {
    let at = |&(x, y): &(f64, f64)| {
        let x = place.left + panel.x.place(x) * (place.right - place.left);
        (x, at_y(&panel.y, place, y))
    };
    match mark {
        Mark::Line { points, stroke, marker } => {
            let points: Vec<_> = points.iter().map(at).collect();
            canvas.line(&points, *stroke)?;
            for (point, marker) in points.iter().zip(std::iter::repeat(marker)) {
                if let Some(marker) = marker {
                    canvas.marker(*point, *marker)?;
                }
            }
            Ok(())
        }
        Mark::Area { points, ink, alpha } => {
            let lower = points.iter().map(|&(x, low, _)| at(&(x, low)));
            let upper = points.iter().rev().map(|&(x, _, high)| at(&(x, high)));
            let outline: Vec<_> = lower.chain(upper).collect();
            if outline.len() < 4 { Ok(()) } else { canvas.polygon(&outline, *ink, *alpha) }
        }
        Mark::Bar { from, to, fill } => canvas.field(at(from), at(to), *fill),
        Mark::Dot { at: point, marker } => canvas.marker(at(point), *marker),
        Mark::Text { at: point, text } => {
            let (x, y) = at(point);
            let (text, left, half) = (clean(text), x + 10.0, AXIS_SIZE * CAPITAL / 2.0);
            // No grid line runs through it.
            let right = left + width(&text, AXIS_SIZE, Weight::Normal);
            canvas.clear((left - AROUND, y - half - AROUND), (right + AROUND, y + half + AROUND))?;
            canvas.text(&text, (left, y + half), Side::Left, Face { ink: DARK, ..AXIS })
        }
    }
}
