//! Specification → picture. One drawing function for every backend; this is the only room that knows plotters.

mod canvas;
mod encode;
mod layout;
mod panel;
mod text;

use plotters::prelude::{BitMapBackend, DrawingBackend, SVGBackend};

use super::spec::{LegendKey, Spec, WIDTH};
use super::style::{DARK, GREY};
use canvas::{Canvas, Side};
use layout::Layout;
use text::{Face, Weight};

/// SVG coordinates for each nominal pixel. plotters has whole coordinates only, so that this is how finely a
/// curve is drawn.
const SVG_SCALE: u32 = 10;
/// Pixels of the PNG for each nominal pixel.
const PNG_SCALE: u32 = 2;
/// Drawn pixels for each one of the PNG, in both directions; their mean smooths what plotters leaves jagged.
const OVERSAMPLING: u32 = 2;

/// Why a chart could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    /// The drawing library failed.
    #[error("cannot draw the chart: {0}")]
    Backend(String),
    /// The bitmap could not be written as PNG.
    #[error("cannot encode the chart as PNG: {0}")]
    Encode(#[from] png::EncodingError),
}

/// The chart as SVG.
pub(super) fn svg(spec: &Spec) -> Result<String, DrawError> {
    let layout = Layout::of(spec);
    let (width, height) = (WIDTH as u32, layout.height as u32);
    let mut body = String::new();
    {
        let mut backend = SVGBackend::with_string(&mut body, (width * SVG_SCALE, height * SVG_SCALE));
        draw(&mut Canvas::new(&mut backend, SVG_SCALE), spec, &layout)?;
    }
    // plotters' own first tag knows neither a nominal size nor a title for those who cannot see the picture.
    let body = body.split_once('>').map_or("", |(_, rest)| rest);
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {} {}\" stroke-linejoin=\"round\" role=\"img\">\n<title>{}</title>{body}",
        width * SVG_SCALE,
        height * SVG_SCALE,
        text::escaped(&spec.title),
    ))
}

/// The chart as PNG.
pub(super) fn png(spec: &Spec) -> Result<Vec<u8>, DrawError> {
    let layout = Layout::of(spec);
    let (width, height) = (WIDTH as u32 * PNG_SCALE, layout.height as u32 * PNG_SCALE);
    let fine = (width * OVERSAMPLING, height * OVERSAMPLING);
    let mut pixels = vec![255; fine.0 as usize * fine.1 as usize * 3];
    {
        let mut backend = BitMapBackend::with_buffer(&mut pixels, fine);
        draw(&mut Canvas::new(&mut backend, PNG_SCALE * OVERSAMPLING), spec, &layout)?;
    }
    encode::png(&encode::shrunk(&pixels, fine.0, OVERSAMPLING), width, height, PNG_SCALE)
}

/// Everything, on whatever backend.
fn draw<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    spec: &Spec,
    layout: &Layout,
) -> Result<(), DrawError> {
    canvas.clear((0.0, 0.0), (WIDTH, layout.height))?;
    let strong = Face { size: layout::TITLE_SIZE, weight: Weight::Strong, ink: DARK };
    let normal = Face { size: layout::LEGEND_SIZE, weight: Weight::Normal, ink: DARK };
    for line in &layout.title {
        canvas.text(&line.text, (line.x, line.y), Side::Left, strong)?;
    }
    for line in layout.subtitle.iter().chain(&layout.notes) {
        canvas.text(
            &line.text,
            (line.x, line.y),
            Side::Left,
            Face { size: line.size, ink: GREY, ..normal },
        )?;
    }
    for entry in &layout.legend {
        let middle = entry.y - layout::LEGEND_SIZE * 0.36;
        let (left, right) = (entry.x, entry.x + entry.width);
        match entry.key {
            LegendKey::Line(stroke, marker) => {
                canvas.line(&[(left, middle), (right, middle)], stroke)?;
                if let Some(marker) = marker {
                    canvas.marker((f64::midpoint(left, right), middle), marker)?;
                }
            }
            LegendKey::Field(fill) => canvas.field((left, middle - 5.0), (right, middle + 5.0), fill)?,
            LegendKey::Dot(marker) => canvas.marker((f64::midpoint(left, right), middle), marker)?,
        }
        let at = (right + layout::KEY_GAP, entry.y);
        canvas.text(&entry.text, at, Side::Left, normal)?;
    }
    for (panel, place) in spec.panels.iter().zip(&layout.panels) {
        panel::draw(canvas, panel, place)?;
    }
    canvas.present()
}
