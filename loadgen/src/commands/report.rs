//! `twinwire report RUN`: draws a run folder's report again, from its record alone.

use std::path::{Path, PathBuf};

use clap::Parser;

use super::{CommandError, Outcome, draw};
use crate::record::{ReadError, RunRecord};
use crate::report::table::{self, Style};
use crate::report::write_report;

/// Draw a run folder's report again, from its run.json alone
///
/// Writes tables, histograms, charts, the violations' cases and report.md anew beside run.json, which stays as it is,
/// and prints the result's table.
#[derive(Debug, Parser)]
pub struct Report {
    /// The report folder, or the run.json in it
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
}

impl Report {
    /// Draws the report; the text is the table that `run` printed. `colour`: whether stdout shows colours.
    ///
    /// # Errors
    /// Where there is no record, or the report cannot be written.
    pub fn exec(self, colour: bool) -> Result<Outcome, CommandError> {
        let (record, folder) = find(&self.run)?;
        let plots = draw(&record)?;
        write_report(&record, &plots, &folder)?;
        Ok(Outcome::success(table::render(&record, &folder, Style { color: colour })))
    }
}

/// Finds and reads the record: its folder or the file itself may be named.
fn find(run: &Path) -> Result<(RunRecord, PathBuf), ReadError> {
    let (file, folder) = if run.is_dir() {
        (run.join("run.json"), run.to_owned())
    } else {
        // The parent of a bare file name is empty: the current folder.
        let parent = run.parent().filter(|parent| !parent.as_os_str().is_empty());
        (run.to_owned(), parent.unwrap_or(Path::new(".")).to_owned())
    };
    Ok((RunRecord::read(&file)?, folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_its_file_name_the_same_run() {
        let dir = tempfile::tempdir().unwrap();
        crate::report::write_folder(&crate::record::fixture::record(), &[], dir.path()).unwrap();
        for run in [dir.path().to_owned(), dir.path().join("run.json")] {
            let (record, folder) = find(&run).unwrap();
            assert_eq!(folder, dir.path());
            assert_eq!(record.scenario.name, "compare");
        }
    }

    #[test]
    fn a_missing_run_is_named() {
        let error = find(Path::new("no/such/run")).unwrap_err();
        assert!(error.to_string().starts_with("cannot read no/such/run:"), "{error}");
    }
}
