//! Text in the bundled font: how wide it is, how it is broken into lines, and how plotters' backends draw it.
//!
//! plotters' own use of `ab_glyph` ignores each glyph's left bearing and puts the baseline elsewhere in a bitmap
//! than in SVG; this style gives both the same place and needs no registered font.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::OnceLock;

use ab_glyph::{Font as _, FontRef, PxScale, ScaleFont as _, point};
use plotters_backend::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{BackendColor, BackendTextStyle, FontFamily, FontStyle, FontTransform};

use crate::chart::spec::Ink;

/// Fonts in the order in which an SVG viewer tries them; the second and third are about as wide as the first.
const FAMILY: &str = "Inter, Helvetica, Arial, sans-serif";
/// A viewer's fallback font may be this much wider than ours; line breaks leave it room.
const FALLBACK_WIDER: f64 = 1.08;
/// plotters divides a size by this before it writes it as an SVG's font size.
const PLOTTERS_SIZE_PER_EM: f64 = 1.24;
/// Where plotters' SVG puts the baseline below a top anchor, in ems.
pub(super) const BASELINE_EM: f64 = 0.76;

/// Thickness of the letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Normal,
    Strong,
}

fn font(weight: Weight) -> &'static FontRef<'static> {
    static NORMAL: OnceLock<FontRef<'static>> = OnceLock::new();
    static STRONG: OnceLock<FontRef<'static>> = OnceLock::new();
    let (cell, bytes): (_, &'static [u8]) = match weight {
        Weight::Normal => (&NORMAL, include_bytes!("../fonts/Inter-Regular.otf")),
        Weight::Strong => (&STRONG, include_bytes!("../fonts/Inter-SemiBold.otf")),
    };
    cell.get_or_init(|| FontRef::try_from_slice(bytes).expect("the bundled font is a valid constant"))
}

/// `ab_glyph`'s scale for letters of this many pixels an em.
fn scale(weight: Weight, em: f64) -> PxScale {
    let font = font(weight);
    let units = font.units_per_em().unwrap_or(1000.0);
    PxScale::from(em as f32 * font.height_unscaled() / units)
}

/// Width of a text whose em is `em` wide, in the same unit.
pub(super) fn width(text: &str, em: f64, weight: Weight) -> f64 {
    let font = font(weight).as_scaled(scale(weight, em));
    text.chars().map(|c| f64::from(font.h_advance(font.glyph_id(c)))).sum()
}

/// The text with control characters, changes of direction and what XML forbids made visible.
pub(super) fn clean(text: &str) -> String {
    let bad = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || matches!(c, '\u{feff}' | '\u{fff0}'..='\u{ffff}')
    };
    text.chars().map(|c| if bad(c) { '?' } else { c }).collect()
}

/// The clean text with XML's own characters escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '<' | '>' | '&' | '"' | '\'' => {
                write!(escaped, "&#{};", u32::from(c)).expect("writing to a String cannot fail");
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// The clean text, cut with an ellipsis where it is wider than `room`.
pub(super) fn fitted(text: &str, em: f64, weight: Weight, room: f64) -> String {
    let text = clean(text);
    let fits = |text: &str| width(text, em, weight) * FALLBACK_WIDER <= room;
    if fits(&text) {
        return text;
    }
    let mut kept = text;
    while kept.pop().is_some() {
        let cut = format!("{}…", kept.trim_end());
        if fits(&cut) {
            return cut;
        }
    }
    String::new()
}

/// The clean text in at most `lines` lines no wider than `room`, broken between words, the rest cut.
pub(super) fn wrapped(text: &str, em: f64, weight: Weight, room: f64, lines: usize) -> Vec<String> {
    let text = clean(text);
    let mut wrapped: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if let Some(line) = wrapped.last_mut() {
            let longer = format!("{line} {word}");
            if width(&longer, em, weight) * FALLBACK_WIDER <= room {
                *line = longer;
                continue;
            }
        }
        wrapped.push(word.to_owned());
    }
    if wrapped.len() > lines {
        let rest = wrapped.split_off(lines - 1).join(" ");
        wrapped.push(rest);
    }
    wrapped.iter().map(|line| fitted(line, em, weight, room)).collect()
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Face {
    /// The em in nominal pixels.
    pub(super) size: f64,
    pub(super) weight: Weight,
    pub(super) ink: Ink,
}

/// How plotters' backends draw one text.
pub(super) struct TextStyle {
    pub(super) face: Face,
    /// The backend's coordinates an em.
    pub(super) em: f64,
    pub(super) side: HPos,
}

impl BackendTextStyle for TextStyle {
    type FontError = Infallible;

    fn color(&self) -> BackendColor {
        BackendColor { alpha: 1.0, rgb: (self.face.ink.0, self.face.ink.1, self.face.ink.2) }
    }

    fn size(&self) -> f64 {
        self.em * PLOTTERS_SIZE_PER_EM
    }

    fn transform(&self) -> FontTransform {
        FontTransform::None
    }

    fn style(&self) -> FontStyle {
        match self.face.weight {
            Weight::Normal => FontStyle::Normal,
            Weight::Strong => FontStyle::Bold,
        }
    }

    fn anchor(&self) -> Pos {
        Pos::new(self.side, VPos::Top)
    }

    fn family(&self) -> FontFamily<'_> {
        FontFamily::Name(FAMILY)
    }

    fn layout_box(&self, text: &str) -> Result<((i32, i32), (i32, i32)), Infallible> {
        let width = width(text, self.em, self.face.weight).round() as i32;
        Ok(((0, 0), (width, self.em.round() as i32)))
    }

    fn draw<E, F: FnMut(i32, i32, BackendColor) -> Result<(), E>>(
        &self,
        text: &str,
        (left, top): (i32, i32),
        mut pixel: F,
    ) -> Result<Result<(), E>, Infallible> {
        let font = font(self.face.weight).as_scaled(scale(self.face.weight, self.em));
        let mut pen = left as f32;
        let baseline = top as f32 + (self.em * BASELINE_EM) as f32;
        let mut outcome = Ok(());
        for c in text.chars() {
            let mut glyph = font.scaled_glyph(c);
            pen += font.h_advance(glyph.id);
            glyph.position = point(pen - font.h_advance(glyph.id), baseline);
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let corner = outline.px_bounds().min;
            outline.draw(|x, y, cover| {
                if outcome.is_ok() && cover > 0.0 {
                    let color = BackendColor { alpha: f64::from(cover.min(1.0)), ..self.color() };
                    outcome = pixel((corner.x + x as f32) as i32, (corner.y + y as f32) as i32, color);
                }
            });
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_broken_between_words_and_cut_at_the_last_line() {
        let text = "one two three four five six seven eight nine ten";
        let lines = wrapped(text, 10.0, Weight::Normal, 100.0, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with('…'), "{lines:?}");
        assert!(lines.iter().all(|line| width(line, 10.0, Weight::Normal) <= 100.0));
        assert_eq!(wrapped("short", 10.0, Weight::Normal, 100.0, 2), ["short"]);
        assert!(wrapped("", 10.0, Weight::Normal, 100.0, 2).is_empty());
    }

    #[test]
    fn text_of_a_record_can_neither_steer_a_terminal_nor_break_the_xml() {
        assert_eq!(clean("a\u{1b}[31m\u{202e}b\n"), "a?[31m?b?");
        assert_eq!(escaped("</title><b>&'\""), "&#60;/title&#62;&#60;b&#62;&#38;&#39;&#34;");
    }

    #[test]
    fn the_bundled_font_has_every_sign_that_charts_write() {
        for weight in [Weight::Normal, Weight::Strong] {
            for c in "azAZ09 µ≥≤×–…·“”%/,.=()ÄéŁ".chars() {
                assert_ne!(font(weight).glyph_id(c).0, 0, "{c}");
            }
        }
    }
}
