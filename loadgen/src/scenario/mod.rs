//! Load scenarios: TOML text → checked document → validated [`model::Scenario`] and its variants.
//!
//! The way of the data: `tree` parses the text with places, `set` applies `--set`, `shape` checks the tree against the
//! description in `format`, `decode` builds the scenario, and `sweep` its variants. `diagnostics` shows all errors at
//! once, and `schema` gives the format to editors. The only I/O is reading the file; nothing here runs a load.
//!
//! `tree`, `grammar`, `shape`, `reader`, `diagnostics` and `schema` know nothing of scenarios: scripted cases
//! (`conform::case`) and profiles (`conform::profile`) are read with them too.

use std::ffi::OsStr;
use std::path::Path;

mod decode;
pub(crate) mod diagnostics;
pub(crate) mod document;
mod format;
pub(crate) mod grammar;
pub(crate) mod limits;
pub mod model;
pub(crate) mod reader;
pub mod schema;
mod set;
pub(crate) mod shape;
mod sweep;
pub(crate) mod tree;

pub use self::diagnostics::Diagnostics;
pub use self::document::Document;
pub(crate) use self::limits::{
    CLIENTS_MAX, DAY, HOUR, MILLISECOND, RATE_MAX, RAW_VALUE_MAX, TAG_BYTES, VALUE_MAX,
};
pub(crate) use self::shape::duration_within;
pub use self::sweep::Variant;

/// A scenario to start from: what `init` writes.
pub const STARTER: &str = include_str!("starter.toml");

/// The starter for this file. It is named after the file if that is a valid name, as are its reports.
pub(crate) fn starter(file: &Path) -> String {
    let stem = file.file_stem().and_then(OsStr::to_str).filter(|stem| grammar::name_fault(stem).is_none());
    let Some(stem) = stem else { return STARTER.to_owned() };
    let line = |name: &str| format!("{:<38} # ", format!("name = \"{name}\""));
    STARTER.replacen(&line("starter"), &line(stem), 1)
}
