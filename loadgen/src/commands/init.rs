//! `twinwire init [FILE]`: a commented scenario to start from.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Parser;

use super::CommandError;
use crate::scenario::{STARTER, starter};
use crate::text;

/// Write a commented starter scenario
#[derive(Debug, Parser)]
pub struct Init {
    /// Where to; an existing file is never overwritten, `-` is stdout
    #[arg(value_name = "FILE", default_value = "scenario.toml")]
    pub file: PathBuf,
}

impl Init {
    /// Writes the file; the text says what to do with it, or is the scenario itself for `-`.
    ///
    /// # Errors
    /// The file exists, or cannot be written.
    pub fn exec(self) -> Result<String, CommandError> {
        let path = self.file;
        if path.as_os_str() == "-" {
            return Ok(STARTER.to_owned());
        }
        let text = starter(&path);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        match written {
            Ok(()) => {
                let name = text::printable(&path.display().to_string());
                Ok(format!("wrote {name}\nrun it:  twinwire run {name}\n"))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(CommandError::Exists { path }),
            Err(source) => Err(CommandError::Write { path, source }),
        }
    }
}
