//! `twinwire report RUN`: reads a run's record so that its report can be drawn again.
//!
//! Drawing itself is the business of [`crate::report`] and of the charts.

use std::path::{Path, PathBuf};

use crate::record::{ReadError, RunRecord};

/// Draw a run folder's report again, from its run.json alone
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The report folder, or the run.json in it
    pub run: PathBuf,
}

/// A record and where its report belongs.
#[derive(Debug)]
pub struct Found {
    /// The record.
    pub record: RunRecord,
    /// The report folder.
    pub folder: PathBuf,
}

/// Finds and reads the record.
///
/// # Errors
/// Where there is none, or it cannot be read.
pub fn exec(args: &Args) -> Result<Found, ReadError> {
    let (file, folder) = if args.run.is_dir() {
        (args.run.join("run.json"), args.run.clone())
    } else {
        // The parent of a bare file name is empty: the current folder.
        let parent = args.run.parent().filter(|parent| !parent.as_os_str().is_empty());
        (args.run.clone(), parent.unwrap_or(Path::new(".")).to_owned())
    };
    Ok(Found { record: RunRecord::read(&file)?, folder })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_its_file_name_the_same_run() {
        let dir = tempfile::tempdir().unwrap();
        crate::report::write_folder(&crate::report::fixture::record(), &[], dir.path()).unwrap();
        for run in [dir.path().to_owned(), dir.path().join("run.json")] {
            let found = exec(&Args { run }).unwrap();
            assert_eq!(found.folder, dir.path());
            assert_eq!(found.record.scenario.name, "compare");
        }
    }

    #[test]
    fn a_missing_run_is_named() {
        let error = exec(&Args { run: "no/such/run".into() }).unwrap_err();
        assert!(error.to_string().starts_with("cannot read no/such/run:"), "{error}");
    }
}
