//! Charts of a run, from its record alone: record → specification (pure data) → plotters → SVG and PNG.
//!
//! One file for each figure turns a [`RunRecord`] into a [`spec::Spec`]; the `draw` room alone knows plotters.
//! A chart without samples is not drawn: nothing here shows a made-up zero.

mod axis;
mod cost;
mod density;
mod draw;
#[cfg(test)]
mod fixture;
mod operations;
mod percentile;
mod source;
pub mod spec;
mod style;
mod sweep;
#[cfg(test)]
mod tests;
mod timeline;

use crate::domain::Timing;
use crate::record::RunRecord;

pub use draw::DrawError;

/// A chart, ready to be drawn.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Stem of its files' names: lower-case ASCII letters, digits, `-`, `_` and `.`; unique within a run.
    pub name: String,
    /// What it shows, in a sentence of plain text for people. It may hold any text of the record: escape it.
    pub caption: String,
    /// What is drawn.
    pub spec: spec::Spec,
}

impl Figure {
    /// The chart as SVG text, of its nominal size.
    ///
    /// # Errors
    /// If plotters fails.
    pub fn svg(&self) -> Result<String, DrawError> {
        draw::svg(&self.spec)
    }

    /// The chart as a PNG file's bytes, twice its nominal size in pixels, laid out as the SVG.
    ///
    /// # Errors
    /// If plotters or the encoder fails.
    pub fn png(&self) -> Result<Vec<u8>, DrawError> {
        draw::png(&self.spec)
    }
}

/// Every figure that the record bears: the headline load's first, then the other loads' in order.
#[must_use]
pub fn all(record: &RunRecord) -> Vec<Figure> {
    let record = &*record.results();
    let headline = record.headline().map(|load| load.name.as_str());
    let mut views = source::views(record);
    views.sort_by_key(|view| Some(view.load.name.as_str()) != headline);
    let mut figures = Vec::new();
    for view in views.into_iter().filter(|view| view.load.timing == Timing::Judged) {
        figures.extend(percentile::figure(view));
        figures.extend(operations::figure(view));
        figures.extend(timeline::figure(view));
        figures.extend(density::figure(view));
        figures.extend(cost::figure(view));
    }
    let judged = record.loads.iter().filter(|load| load.timing == Timing::Judged);
    figures.extend(judged.filter_map(|load| sweep::figure(record, load)));
    make_names_unique(&mut figures);
    figures
}

/// Stems of the files that a load of a variant gets, unless another load or variant has them already.
#[must_use]
pub fn stems(load: &str, variant: &str) -> Vec<String> {
    let of_variant = [percentile::STEM, operations::STEM, timeline::STEM, density::STEM, cost::STEM];
    let mut stems: Vec<String> = of_variant.iter().map(|chart| source::stem(chart, load, variant)).collect();
    stems.push(source::stem(sweep::STEM, load, ""));
    stems
}

/// Names that differ only in what a file's name cannot hold get a number.
fn make_names_unique(figures: &mut [Figure]) {
    let mut taken = std::collections::HashSet::new();
    for figure in figures {
        let mut name = figure.name.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{}-{number}", figure.name);
            number += 1;
        }
        figure.name = name;
    }
}
