//! Load scenarios: TOML text → checked document → validated [`model::Scenario`] and its variants.
//!
//! The way of the data: `tree` parses the text with places, `set` applies `--set`, `shape` checks the tree against the
//! one description of the `format`, `decode` builds the scenario, `sweep` its variants; `diagnostics` shows all errors at
//! once and `schema` gives the same format to editors. No I/O but reading the file, and nothing about running a load.

mod decode;
mod diagnostics;
mod document;
mod format;
mod limits;
pub mod model;
pub mod schema;
mod set;
mod shape;
mod sweep;
mod tree;

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
