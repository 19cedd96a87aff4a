//! Lines, fields, markers and text in nominal pixels, on any of plotters' backends.

use plotters::style::{RGBAColor, ShapeStyle};
use plotters_backend::text_anchor::HPos;
use plotters_backend::{BackendCoord, DrawingBackend, DrawingErrorKind};

use super::DrawError;
use super::text::{BASELINE_EM, Face, TextStyle};
use crate::chart::spec::{Fill, Ink, Marker, Shape, Stroke};

/// Distance of a hatching's lines, and their width, in nominal pixels.
const HATCH: (f64, f64) = (5.0, 1.0);
/// Opacity of a hatched field's background.
const HATCH_GROUND: f64 = 0.28;
/// Width of a marker's outline.
const OUTLINE: f64 = 1.5;

/// Where a text lies from its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Middle,
    Right,
}

type Point = (f64, f64);

/// A backend with a scale.
pub(super) struct Canvas<'b, DB: DrawingBackend> {
    backend: &'b mut DB,
    scale: f64,
}

impl<'b, DB: DrawingBackend> Canvas<'b, DB> {
    pub(super) fn new(backend: &'b mut DB, scale: u32) -> Self {
        Self { backend, scale: f64::from(scale) }
    }

    /// White from one corner to the other.
    pub(super) fn clear(&mut self, from: Point, to: Point) -> Result<(), DrawError> {
        let (from, to) = (self.coord(from), self.coord(to));
        self.backend.draw_rect(from, to, &style(Ink(255, 255, 255), 1.0, 1, true), true).map_err(failed)
    }

    /// Ends the drawing.
    pub(super) fn present(&mut self) -> Result<(), DrawError> {
        self.backend.present().map_err(failed)
    }

    /// A line through points, dashed if its stroke is.
    pub(super) fn line(&mut self, points: &[Point], stroke: Stroke) -> Result<(), DrawError> {
        if stroke.dash.iter().sum::<f64>() <= 0.0 {
            return self.path(points, stroke.ink, stroke.width);
        }
        for dash in dashes(points, stroke.dash) {
            self.path(&dash, stroke.ink, stroke.width)?;
        }
        Ok(())
    }

    /// A filled outline with this opacity.
    pub(super) fn polygon(&mut self, points: &[Point], ink: Ink, alpha: f64) -> Result<(), DrawError> {
        let coords: Vec<_> = points.iter().map(|point| self.coord(*point)).collect();
        self.backend.fill_polygon(coords, &style(ink, alpha, 1, true)).map_err(failed)
    }

    /// A filled rectangle.
    pub(super) fn field(&mut self, from: Point, to: Point, fill: Fill) -> Result<(), DrawError> {
        let (low, high) = ((from.0.min(to.0), from.1.min(to.1)), (from.0.max(to.0), from.1.max(to.1)));
        let corners = [low, (high.0, low.1), high, (low.0, high.1)];
        if !fill.hatched {
            return self.polygon(&corners, fill.ink, 1.0);
        }
        self.polygon(&corners, fill.ink.tint(HATCH_GROUND), 1.0)?;
        for (a, b) in hatching(low, high) {
            self.path(&[a, b], fill.ink, HATCH.1)?;
        }
        self.path(&[low, (high.0, low.1), high, (low.0, high.1), low], fill.ink, HATCH.1)
    }

    /// A sign on a point.
    pub(super) fn marker(&mut self, at: Point, marker: Marker) -> Result<(), DrawError> {
        let (x, y) = at;
        let r = marker.radius;
        if marker.shape == Shape::Bar {
            return self.path(&[(x, y - r * 1.2), (x, y + r * 1.2)], marker.ink, 2.0);
        }
        // The outline is a larger form under a smaller one: plotters' own closed outlines have broken corners.
        self.polygon(&outline(at, r + OUTLINE / 2.0, marker.shape), marker.ink, 1.0)?;
        if marker.hollow {
            self.polygon(&outline(at, r - OUTLINE, marker.shape), Ink(255, 255, 255), 1.0)?;
        }
        Ok(())
    }

    /// A text whose baseline begins, is centred or ends at a point.
    pub(super) fn text(
        &mut self,
        text: &str,
        (x, baseline): Point,
        side: Side,
        face: Face,
    ) -> Result<(), DrawError> {
        let side = match side {
            Side::Left => HPos::Left,
            Side::Middle => HPos::Center,
            Side::Right => HPos::Right,
        };
        let look = TextStyle { face, em: face.size * self.scale, side };
        let corner = self.coord((x, baseline - BASELINE_EM * face.size));
        self.backend.draw_text(text, &look, corner).map_err(failed)
    }

    fn path(&mut self, points: &[Point], ink: Ink, width: f64) -> Result<(), DrawError> {
        let mut coords: Vec<_> = points.iter().map(|point| self.coord(*point)).collect();
        coords.dedup();
        if coords.len() < 2 {
            return Ok(());
        }
        let width = (width * self.scale).round().max(1.0) as u32;
        self.backend.draw_path(coords, &style(ink, 1.0, width, false)).map_err(failed)
    }

    fn coord(&self, (x, y): Point) -> BackendCoord {
        ((x * self.scale).round() as i32, (y * self.scale).round() as i32)
    }
}

/// A marker's corners.
fn outline((x, y): Point, r: f64, shape: Shape) -> Vec<Point> {
    match shape {
        Shape::Square | Shape::Bar => {
            let r = r * 0.9;
            vec![(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]
        }
        Shape::Triangle => vec![(x, y - r * 1.2), (x + r * 1.15, y + r * 0.85), (x - r * 1.15, y + r * 0.85)],
        Shape::Diamond => vec![(x, y - r * 1.25), (x + r * 1.25, y), (x, y + r * 1.25), (x - r * 1.25, y)],
        Shape::Circle => (0..32)
            .map(|i| f64::from(i) * std::f64::consts::TAU / 32.0)
            .map(|angle| (x + r * angle.cos(), y + r * angle.sin()))
            .collect(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands the error over")]
fn failed<E: std::error::Error + Send + Sync>(error: DrawingErrorKind<E>) -> DrawError {
    DrawError::Backend(error.to_string())
}

fn style(ink: Ink, alpha: f64, width: u32, filled: bool) -> ShapeStyle {
    ShapeStyle { color: RGBAColor(ink.0, ink.1, ink.2, alpha), filled, stroke_width: width }
}

/// Slanted lines across a rectangle.
fn hatching(low: Point, high: Point) -> Vec<(Point, Point)> {
    let (width, height) = (high.0 - low.0, high.1 - low.1);
    let count = ((width + height) / HATCH.0) as usize;
    // Each line is where x + y, counted from the upper left corner, has one value.
    let ends = |sum: f64| {
        let from = (sum.min(width), (sum - width).max(0.0));
        let to = ((sum - height).max(0.0), sum.min(height));
        ((low.0 + from.0, low.1 + from.1), (low.0 + to.0, low.1 + to.1))
    };
    (1..=count).map(|i| ends(i as f64 * HATCH.0)).collect()
}

/// The pieces of a line that its dashes cover.
fn dashes(points: &[Point], pattern: [f64; 4]) -> Vec<Vec<Point>> {
    let mut pieces = Vec::new();
    let mut piece: Vec<Point> = points.first().copied().into_iter().collect();
    let (mut phase, mut left) = (0, pattern[0]);
    for pair in points.windows(2) {
        let (mut at, end) = (pair[0], pair[1]);
        loop {
            let length = (end.0 - at.0).hypot(end.1 - at.1);
            if length < left {
                left -= length;
                break;
            }
            let share = if length > 0.0 { left / length } else { 1.0 };
            at = (at.0 + (end.0 - at.0) * share, at.1 + (end.1 - at.1) * share);
            if phase % 2 == 0 {
                piece.push(at);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![at];
            }
            phase = (phase + 1) % 4;
            // A length of 0 would never end.
            left = pattern[phase].max(0.1);
        }
        if phase % 2 == 0 {
            piece.push(end);
        }
    }
    if piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_around_corners() {
        let corner = [(0.0, 0.0), (5.0, 0.0), (5.0, 7.0)];
        assert_eq!(
            dashes(&corner, [8.0, 2.0, 8.0, 2.0]),
            [vec![(0.0, 0.0), (5.0, 0.0), (5.0, 3.0)], vec![(5.0, 5.0), (5.0, 7.0)]]
        );
    }

    #[test]
    fn hatching_stays_inside_its_field() {
        for (a, b) in hatching((10.0, 20.0), (47.0, 31.0)) {
            for (x, y) in [a, b] {
                assert!((10.0..=47.0).contains(&x) && (20.0..=31.0).contains(&y), "{x} {y}");
            }
        }
    }
}
