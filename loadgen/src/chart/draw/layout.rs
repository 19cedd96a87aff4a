//! Where everything goes: pure arithmetic from a specification and the font's widths to nominal pixels.
//!
//! The text above and below takes what it needs and the figure grows with it, so that no plot is squeezed.

use super::text::{Weight, fitted, width, wrapped};
use crate::chart::spec::{Axis, LegendKey, Panel, Spec, WIDTH};

pub(super) const TITLE_SIZE: f64 = 18.0;
/// Size of the legend's texts.
pub(super) const LEGEND_SIZE: f64 = 12.5;
/// Size of a panel's heading.
pub(super) const HEADING_SIZE: f64 = 13.0;
/// Size of axis titles and tick labels.
pub(super) const AXIS_SIZE: f64 = 12.0;
/// Width of a legend's line: both gaps between the longest dashes are next to its marker.
const LINE_WIDTH: f64 = 46.0;
/// Width of a legend's field.
const FIELD_WIDTH: f64 = 34.0;
/// Width of a legend's marker.
const DOT_WIDTH: f64 = 10.0;
/// Between a legend's sign and its text.
pub(super) const KEY_GAP: f64 = 7.0;
/// Between an axis and its labels.
pub(super) const LABEL_GAP: f64 = 7.0;

const SUBTITLE_SIZE: f64 = 12.5;
const NOTE_SIZE: f64 = 11.0;
/// Line height in ems.
const LEADING: f64 = 1.35;
/// Around the whole figure.
const MARGIN: f64 = 24.0;
/// Between two entries of the legend.
const ENTRY_GAP: f64 = 26.0;
/// Between neighbouring panels.
const PANEL_GAP: f64 = 30.0;
/// Widest label of a vertical axis; longer names are cut.
const LABEL_ROOM: f64 = 220.0;
/// Lines that a title, a subtitle and a note may take before they are cut.
const LINES_MAX: (usize, usize, usize) = (2, 3, 3);

/// A line of text and its baseline.
pub(super) struct TextLine {
    pub(super) text: String,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) size: f64,
}

/// An entry of the legend: left end and baseline.
pub(super) struct PlacedLegendEntry {
    pub(super) key: LegendKey,
    pub(super) text: String,
    pub(super) x: f64,
    pub(super) y: f64,
    /// Width of the sign.
    pub(super) width: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct PanelPlace {
    /// Plotting area.
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
    /// Left end of headings and of the vertical axis' title.
    pub(super) head_left: f64,
    /// Baseline of the heading.
    pub(super) heading: f64,
    /// Baseline of the vertical axis' title.
    pub(super) y_title: f64,
    /// Room for a label left of the area.
    pub(super) label_room: f64,
}

/// Where everything goes.
pub(super) struct Layout {
    pub(super) height: f64,
    pub(super) title: Vec<TextLine>,
    pub(super) subtitle: Vec<TextLine>,
    pub(super) legend: Vec<PlacedLegendEntry>,
    pub(super) panels: Vec<PanelPlace>,
    pub(super) notes: Vec<TextLine>,
}

impl Layout {
    /// Lays a chart out.
    pub(super) fn of(spec: &Spec) -> Self {
        let mut y = MARGIN - 6.0;
        let title = paragraph(&mut y, &spec.title, TITLE_SIZE, Weight::Strong, LINES_MAX.0);
        y += 1.0;
        let subtitle = paragraph(&mut y, &spec.subtitle, SUBTITLE_SIZE, Weight::Normal, LINES_MAX.1);
        let legend = legend(&mut y, spec);
        y += 16.0;
        let panels = grid(&mut y, spec);
        y += 4.0;
        let mut notes = Vec::new();
        for note in &spec.notes {
            notes.extend(paragraph(&mut y, note, NOTE_SIZE, Weight::Normal, LINES_MAX.2));
        }
        let height = (y + MARGIN - 10.0).ceil();
        Self { height, title, subtitle, legend, panels, notes }
    }
}

fn paragraph(y: &mut f64, text: &str, size: f64, weight: Weight, lines: usize) -> Vec<TextLine> {
    wrapped(text, size, weight, WIDTH - 2.0 * MARGIN, lines)
        .into_iter()
        .map(|text| {
            *y += size * LEADING;
            TextLine { text, x: MARGIN, y: *y - size * (LEADING - 1.0), size }
        })
        .collect()
}

fn legend(y: &mut f64, spec: &Spec) -> Vec<PlacedLegendEntry> {
    let mut entries = Vec::new();
    if spec.legend.is_empty() {
        return entries;
    }
    *y += 8.0 + LEGEND_SIZE;
    let mut x = MARGIN;
    for entry in &spec.legend {
        let text = fitted(&entry.text, LEGEND_SIZE, Weight::Normal, WIDTH / 3.0);
        let sign = match entry.key {
            LegendKey::Line(..) => LINE_WIDTH,
            LegendKey::Field(_) => FIELD_WIDTH,
            LegendKey::Dot(_) => DOT_WIDTH,
        };
        let taken = sign + KEY_GAP + width(&text, LEGEND_SIZE, Weight::Normal);
        if x > MARGIN && x + taken > WIDTH - MARGIN {
            x = MARGIN;
            *y += LEGEND_SIZE * 1.6;
        }
        entries.push(PlacedLegendEntry { key: entry.key, text, x, y: *y, width: sign });
        x += taken + ENTRY_GAP;
    }
    entries
}

/// The panels' places, row by row; columns are equally wide in their plotting areas.
fn grid(y: &mut f64, spec: &Spec) -> Vec<PanelPlace> {
    let columns = spec.columns.max(1);
    let label_rooms: Vec<f64> = (0..columns)
        .map(|column| {
            let panels = spec.panels.iter().skip(column).step_by(columns);
            panels.map(|panel| label_width(&panel.y)).fold(0.0, f64::max)
        })
        .collect();
    let gaps = PANEL_GAP * (columns - 1) as f64;
    let labels: f64 = label_rooms.iter().map(|room| room + LABEL_GAP).sum();
    let plot_width = (WIDTH - 2.0 * MARGIN - gaps - labels - 6.0) / columns as f64;
    let mut places = Vec::new();
    for row in spec.panels.chunks(columns) {
        let has = |of: fn(&Panel) -> bool| row.iter().any(of);
        let heading = *y + HEADING_SIZE;
        if has(|panel| !panel.title.is_empty()) {
            *y += HEADING_SIZE * 1.5;
        }
        let y_title = *y + AXIS_SIZE;
        if has(|panel| !panel.y.title.is_empty()) {
            *y += AXIS_SIZE * 1.25;
        }
        let top = *y + 9.0;
        let bottom = top + spec.plot_height;
        let mut left = MARGIN;
        for room in label_rooms.iter().take(row.len()) {
            let head_left = left;
            left += room + LABEL_GAP;
            let right = left + plot_width;
            places.push(PanelPlace {
                left,
                top,
                right,
                bottom,
                head_left,
                heading,
                y_title,
                label_room: *room,
            });
            left = right + PANEL_GAP;
        }
        *y = bottom + 6.0;
        if has(|panel| panel.x.labels) {
            *y += AXIS_SIZE * 1.4;
        }
        if has(|panel| !panel.x.title.is_empty()) {
            *y += AXIS_SIZE * 1.5;
        }
        *y += 8.0;
    }
    places
}

fn label_width(axis: &Axis) -> f64 {
    if !axis.labels {
        return 0.0;
    }
    let label =
        |text: &str| width(&fitted(text, AXIS_SIZE, Weight::Normal, LABEL_ROOM), AXIS_SIZE, Weight::Normal);
    axis.ticks.iter().map(|tick| label(&tick.label)).fold(0.0, f64::max)
}
