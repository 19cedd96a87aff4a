//! Everything that is written or shown of a run, derived from its record and from nothing else.
//!
//! - `csv`, [`json`]: for programs; `histograms`: for HdrHistogram's tools.
//! - [`terminal`]: what `run` prints at its end; [`markdown`]: `report.md`.
//! - `comparison`: the numbers behind the two; `tables`, `table`: how they are laid out in either; [`floor`]: the
//!   harness's own share in them.
//! - [`violations`]: each wrong reply as a scripted case that shows it again.
//! - [`contents`]: every file's name and bytes; [`folder`]: the report folder on disk, and what may be done to it.
//!
//! Charts come in as finished [`Plot`]s. Nothing here knows the engine, the oracle or a transport.

#![expect(
    clippy::format_push_string,
    reason = "a report is some kilobytes of text, written once: an allocation a line buys plain code"
)]

mod comparison;
pub mod contents;
mod csv;
mod figure;
pub mod floor;
pub mod folder;
pub(crate) mod histograms;
pub mod json;
mod layout;
pub mod markdown;
mod outcome;
mod table;
mod tables;
pub mod terminal;
#[cfg(test)]
mod tests;
pub mod violations;

use std::path::PathBuf;

pub use folder::{Folder, FolderError, write_file};

/// A finished chart.
#[derive(Debug, Clone)]
pub struct Plot {
    /// Stem of its files' names.
    pub name: String,
    pub caption: String,
    pub svg: String,
    pub png: Vec<u8>,
}

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file of the folder could not be written or removed.
    #[error("cannot write {path}: {source}; is the folder writable, and the disk not full?", path = path.display())]
    Write { path: PathBuf, source: std::io::Error },
    /// The folder does not take a file.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A CSV row could not be written.
    #[error("cannot write a CSV row: {0}")]
    Csv(#[from] ::csv::Error),
    /// The record could not be turned into JSON.
    #[error("cannot write the record as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A histogram could not be serialized.
    #[error("cannot write a histogram: {0}")]
    Histogram(String),
    /// The record's start is not an instant.
    #[error("the record's start `{text}` is not an RFC 3339 instant: {error}; was run.json edited by hand?")]
    Started { text: String, error: String },
}
