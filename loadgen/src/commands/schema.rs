//! `twinwire schema`: the scenario format for editors.

use clap::Parser;

use super::CommandError;
use crate::scenario::schema;

/// Print the JSON schema of scenario files
///
/// Editors with a TOML plugin complete and check scenarios with it. What `check` finds beyond it are rules between
/// keys, such as a `rate` in a closed load.
#[derive(Debug, Parser)]
pub struct Schema {}

impl Schema {
    /// The schema as JSON text.
    ///
    /// # Errors
    /// None; the type is that of all commands.
    pub fn exec(self) -> Result<String, CommandError> {
        Ok(format!("{:#}\n", schema::scenario()))
    }
}
