//! Load scenarios: TOML text → checked document → validated [`model::Scenario`] and its variants.

pub mod model;
