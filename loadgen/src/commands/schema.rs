//! `twinwire schema`: the formats of scenarios, scripted cases and profiles for editors.

use clap::{Parser, ValueEnum};

use super::CommandError;
use crate::conform::{case, profile};
use crate::scenario::schema;

/// Print the JSON schema of scenarios, of scripted cases, or of profiles
///
/// Editors with a TOML plugin complete and check files with it. `check` also finds what breaks rules between keys, such
/// as a `rate` in a closed load.
#[derive(Debug, Parser)]
pub struct Schema {
    /// The format
    #[arg(value_enum, value_name = "FORMAT", default_value_t = Format::Scenario)]
    pub format: Format,
}

/// A format that has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Load scenarios
    Scenario,
    /// Scripted cases
    Cases,
    /// Profiles
    Profile,
}

impl Schema {
    /// The schema as JSON text.
    ///
    /// # Errors
    /// None; all commands have this type.
    pub fn exec(self) -> Result<String, CommandError> {
        let schema = match self.format {
            Format::Scenario => schema::scenario(),
            Format::Cases => case::json_schema(),
            Format::Profile => profile::json_schema(),
        };
        Ok(format!("{schema:#}\n"))
    }
}
