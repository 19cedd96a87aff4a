//! The flag that names the harness's own floor, shared by every command that runs load.

use std::path::{Path, PathBuf};

use super::CommandError;
use crate::record::Floor;

/// Where `calibrate` writes the floor, and where runs look for it.
pub const CALIBRATION: &str = "reports/runs/calibration.json";

/// Where the floor is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct FloorArgs {
    /// The harness's own floor, to show next to the figures: a file that `twinwire calibrate` wrote [default:
    /// reports/runs/calibration.json, if it exists]
    #[arg(long, value_name = "FILE")]
    pub floor: Option<PathBuf>,
}

impl FloorArgs {
    /// The floor; `None` if none is named and there is none in the usual place.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self) -> Result<Option<Floor>, CommandError> {
        let usual = Path::new(CALIBRATION);
        let found = usual.is_file().then_some(usual);
        Ok(self.floor.as_deref().or(found).map(Floor::read).transpose()?)
    }
}
