//! Load scenarios: TOML text → checked document → validated [`model::Scenario`] and its variants.
//!
//! The way of the data: `tree` parses the text with places, `set` applies `--set`, `shape` checks the tree against the
//! one description of the `format`, `decode` builds the scenario, `sweep` its variants; `diagnostics` shows all errors at
//! once and `schema` gives the same format to editors. No I/O but reading the file, and nothing about running a load.
//!
//! `tree`, `grammar`, `shape`, `reader`, `diagnostics` and `schema` know no scenario in particular: scripted cases
//! (`conform::case`) are read with them too.

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
pub(crate) use self::diagnostics::escape;
pub use self::document::Document;
pub(crate) use self::limits::{
    CLIENTS_MAX, DAY, HOUR, MILLISECOND, RATE_MAX, RAW_VALUE_MAX, TAG_BYTES, VALUE_MAX,
};
pub(crate) use self::shape::duration_within;
pub use self::sweep::Variant;

/// A scenario to start from: what `init` writes.
pub const STARTER: &str = include_str!("starter.toml");
