//! What a chart shows, as plain data: texts, axes, marks. It knows neither the record nor how to draw.
//!
//! Values are in the axes' own units (nanoseconds, requests a second, shares); only widths, radii and sizes are
//! in nominal pixels, of which a figure is [`WIDTH`] wide.

/// Nominal width of every figure: two thirds of a laptop's screen, a page's width in print.
pub const WIDTH: f64 = 960.0;

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// What is shown.
    pub title: String,
    /// Of what: load, clients, duration, target.
    pub subtitle: String,
    /// What the marks mean; drawn above the panels, where no data is.
    pub legend: Vec<LegendEntry>,
    /// Panels side by side in a row; at least 1.
    pub columns: usize,
    /// Height of one row's plotting area in nominal pixels.
    pub plot_height: f64,
    /// Row by row.
    pub panels: Vec<Panel>,
    /// Footnotes: what to know before believing it.
    pub notes: Vec<String>,
}

/// One plotting area with its axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Heading; may be empty.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// What is drawn, first things lowest.
    pub marks: Vec<Mark>,
}

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Quantity and unit; empty where a neighbour panel shares the axis and says it, or where the ticks are names.
    pub title: String,
    /// How values become places.
    pub scale: Scale,
    /// Value at the left or lower end; may be the greater one.
    pub from: f64,
    /// Value at the other end.
    pub to: f64,
    /// Where it is marked.
    pub ticks: Vec<Tick>,
    /// Whether lines across the panel continue the ticks.
    pub grid: bool,
    /// Whether ticks have their labels (not where a neighbour panel shares the axis).
    pub labels: bool,
}

/// A marked place of an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// The value.
    pub at: f64,
    /// How it is written.
    pub label: String,
}

/// How values become places along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences are equally far.
    Linear,
    /// Equal ratios are equally far; positive values only.
    Log,
    /// Shares from 0 to below 1, each further nine equally far: log₁₀(1 ∕ (1 − p)).
    Nines,
}

/// Something drawn in a panel.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A line through points, with a marker on each if there is one.
    Line {
        /// Where it goes.
        points: Vec<(f64, f64)>,
        /// How it looks.
        stroke: Stroke,
        /// On every point.
        marker: Option<Marker>,
    },
    /// A band between two lines: x, lower y, upper y.
    Area {
        /// Its edges.
        points: Vec<(f64, f64, f64)>,
        /// Its colour.
        ink: Ink,
        /// Opacity, 0 to 1.
        alpha: f64,
    },
    /// A rectangle between two corners.
    Bar {
        /// One corner.
        from: (f64, f64),
        /// The opposite one.
        to: (f64, f64),
        /// How it is filled.
        fill: Fill,
    },
    /// One marker.
    Dot {
        at: (f64, f64),
        /// How it looks.
        marker: Marker,
    },
    /// A text right of a point, vertically centred on it.
    Text {
        /// The point.
        at: (f64, f64),
        /// What it says.
        text: String,
    },
}

/// A colour: red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ink(pub u8, pub u8, pub u8);

impl Ink {
    /// This colour mixed with white: `share` (0 to 1) of the colour is left.
    #[must_use]
    pub fn tint(self, share: f64) -> Self {
        let mix = |c: u8| (255.0 - (255.0 - f64::from(c)) * share.clamp(0.0, 1.0)).round() as u8;
        Self(mix(self.0), mix(self.1), mix(self.2))
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stroke {
    /// Colour.
    pub ink: Ink,
    /// Nominal pixels.
    pub width: f64,
    /// Lengths of dash, gap, dash, gap in nominal pixels; all 0 for a solid line.
    pub dash: [f64; 4],
}

/// A sign on a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Marker {
    /// Outline.
    pub shape: Shape,
    /// Colour.
    pub ink: Ink,
    /// White inside.
    pub hollow: bool,
    /// Nominal pixels.
    pub radius: f64,
}

/// Outline of a [`Marker`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// ●
    Circle,
    /// ■
    Square,
    /// ▲
    Triangle,
    /// ◆
    Diamond,
    /// A short upright line.
    Bar,
}

/// How a bar is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Colour.
    pub ink: Ink,
    /// Thinned, with slanted lines of the colour.
    pub hatched: bool,
}

/// An entry of the legend.
#[derive(Debug, Clone, PartialEq)]
pub struct LegendEntry {
    /// The sign.
    pub key: LegendKey,
    /// What it stands for.
    pub text: String,
}

/// The sign of a [`LegendEntry`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LegendKey {
    /// A line, with its marker.
    Line(Stroke, Option<Marker>),
    /// A filled field.
    Field(Fill),
    /// A marker alone.
    Dot(Marker),
}

impl Axis {
    /// Where a value lies between the ends, 0 to 1; outside of them, at the nearer end. Never NaN.
    #[must_use]
    pub fn place(&self, value: f64) -> f64 {
        let (from, to, value) = (self.scale.map(self.from), self.scale.map(self.to), self.scale.map(value));
        let place = (value - from) / (to - from);
        if place.is_nan() { 0.0 } else { place.clamp(0.0, 1.0) }
    }

    /// Without title and labels, for a panel whose neighbour has the same axis.
    #[must_use]
    pub fn unlabelled(&self) -> Self {
        Self { title: String::new(), labels: false, ..self.clone() }
    }
}

impl Scale {
    fn map(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.max(f64::MIN_POSITIVE).log10(),
            Self::Nines => -(1.0 - value).max(f64::EPSILON).log10(),
        }
    }
}

impl Stroke {
    /// A line without gaps.
    #[must_use]
    pub const fn solid(ink: Ink, width: f64) -> Self {
        Self { ink, width, dash: [0.0; 4] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale, from: f64, to: f64) -> Axis {
        Axis { title: String::new(), scale, from, to, ticks: Vec::new(), grid: false, labels: true }
    }

    #[test]
    fn places_follow_the_scale() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} is not {b}");
        near(axis(Scale::Linear, 10.0, 20.0).place(12.5), 0.25);
        near(axis(Scale::Linear, 3.0, 0.0).place(3.0), 0.0);
        near(axis(Scale::Log, 1e3, 1e5).place(1e4), 0.5);
        near(axis(Scale::Nines, 0.0, 0.9999).place(0.99), 0.5);
    }

    #[test]
    fn no_value_leaves_the_panel() {
        for scale in [Scale::Linear, Scale::Log, Scale::Nines] {
            for value in [f64::NAN, f64::INFINITY, -5.0, 0.0, 1.0, 7.0] {
                let place = axis(scale, 0.1, 0.1).place(value);
                assert!((0.0..=1.0).contains(&place), "{scale:?} {value}: {place}");
            }
        }
    }
}
