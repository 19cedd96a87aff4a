//! The `[sweep]` table as the axes that a scenario records; its variants are made elsewhere.

use crate::scenario::diagnostics::{Problems, Source};
use crate::scenario::model::SweepAxis;
use crate::scenario::reader::Reader;
use crate::scenario::tree::Node;

/// More than two swept keys make too many variants to look at.
const AXES_MAX: usize = 2;

/// Decodes the axes in the order in which they were written.
pub(super) fn axes(root: Reader<'_>, sources: &[Source], problems: &mut Problems) -> Option<Vec<SweepAxis>> {
    if root.given("sweep").is_none() {
        return Some(Vec::new());
    }
    let entries = root.node("sweep")?.entries();
    if let Some(extra) = entries.get(AXES_MAX) {
        problems
            .add(format!("{} swept keys", entries.len()), extra.key_at)
            .label(format!("at most {AXES_MAX}"));
        return None;
    }
    let axis = |entry: &crate::scenario::tree::Entry| SweepAxis {
        key: entry.key.clone(),
        values: entry.node.elements().iter().map(|value| source_text(value, sources)).collect(),
    };
    Some(entries.iter().map(axis).collect())
}

/// A value as it was written.
pub(in crate::scenario) fn source_text(node: &Node, sources: &[Source]) -> String {
    let source = sources.get(node.at.source);
    source.and_then(|source| source.text.get(node.at.start..node.at.end)).unwrap_or_default().to_owned()
}
