//! How things look in every chart: one look for each transport, distinguished by colour, dash, marker and lightness.
//!
//! The colours are those of Okabe and Ito (“Color Universal Design”, 2008), which colour-blind readers can tell
//! apart; dashes and markers do the same in black and white.

use super::spec::{Fill, Ink, LegendEntry, LegendKey, Marker, Shape, Stroke};
use crate::domain::Transport;
use crate::text;

/// Text and axis lines.
pub(super) const DARK: Ink = Ink(0x22, 0x22, 0x22);
/// Subtitles, tick labels, footnotes.
pub(super) const GREY: Ink = Ink(0x5A, 0x5A, 0x5A);
/// Grid lines.
pub(super) const GRID: Ink = Ink(0xDD, 0xDD, 0xDD);

/// Width of the lines that carry a chart's message.
pub(super) const LINE: f64 = 2.0;
/// Radius of markers on such lines.
pub(super) const DOT: f64 = 4.0;

/// The harness's own floor, where it is a line.
pub(super) const FLOOR: Stroke = Stroke { ink: DARK, width: 1.6, dash: [3.0, 2.0, 3.0, 2.0] };
/// What legends call it.
pub(super) const FLOOR_NAME: &str = "The harness’s own floor";

/// The legend's marker for the harness's own floor, if that is a point.
pub(super) const FLOOR_MARKER: Marker =
    Marker { shape: Shape::Diamond, ink: DARK, hollow: true, radius: DOT + 1.0 };

/// How one transport looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) ink: Ink,
    dash: [f64; 4],
    shape: Shape,
    hollow: bool,
}

impl Look {
    pub(super) fn stroke(self, width: f64) -> Stroke {
        Stroke { ink: self.ink, width, dash: self.dash }
    }

    pub(super) fn marker(self) -> Marker {
        Marker { shape: self.shape, ink: self.ink, hollow: self.hollow, radius: DOT }
    }

    /// The harness's own floor over this transport.
    pub(super) fn floor_marker(self) -> Marker {
        Marker { ink: self.ink, hollow: self.hollow, ..FLOOR_MARKER }
    }

    pub(super) fn fill(self) -> Fill {
        Fill { ink: self.ink, hatched: self.hollow }
    }
}

pub(super) fn look(transport: Transport) -> Look {
    let (ink, dash, shape, hollow) = match transport {
        Transport::Tcp => (Ink(0x00, 0x72, 0xB2), [0.0; 4], Shape::Circle, false),
        Transport::WebSocket => (Ink(0xD5, 0x5E, 0x00), [7.0, 3.0, 7.0, 3.0], Shape::Square, true),
        Transport::TcpRaw => (Ink(0x56, 0xB4, 0xE9), [2.0, 2.5, 2.0, 2.5], Shape::Triangle, false),
        Transport::Tls => (Ink(0x00, 0x9E, 0x73), [10.0, 3.0, 2.0, 3.0], Shape::Diamond, false),
        Transport::Wss => (Ink(0xCC, 0x79, 0xA7), [14.0, 4.0, 14.0, 4.0], Shape::Diamond, true),
    };
    Look { ink, dash, shape, hollow }
}

/// Transports' names in running text: `TCP, TLS and WebSocket`.
pub(super) fn list(transports: &[Transport]) -> String {
    let names: Vec<&str> = transports.iter().map(|transport| transport.label()).collect();
    text::list(&names)
}

/// The legend's entry for a transport drawn as a line with markers.
pub(super) fn line_entry(transport: Transport) -> LegendEntry {
    let look = look(transport);
    LegendEntry {
        key: LegendKey::Line(look.stroke(LINE), Some(look.marker())),
        text: transport.label().into(),
    }
}
