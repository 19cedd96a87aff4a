//! `twinwire report RUN`: draws a run folder's report again, from its record alone.

use std::path::PathBuf;

use clap::Parser;

use super::{CommandError, CommandOutput, lines, write_report};
use crate::chart;
use crate::record::RunRecord;
use crate::report::contents::Contents;
use crate::report::folder::{RECORD, record_text};
use crate::report::terminal;
use crate::report::{Folder, FolderError};
use crate::text::Paint;

/// Draw a run folder's report again, from its run.json alone
///
/// Writes tables, histograms, charts, the violations' cases and report.md again next to run.json, and prints the
/// result's table. The record stays as it is; files that no run wrote are left alone.
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
    /// If there is no record, or the folder is not a run's. Files that could not be written are listed after the table.
    pub fn exec(self, colour: bool) -> Result<CommandOutput, CommandError> {
        let (mut folder, record) = self.find()?;
        let failed = redraw(&mut folder, &record)?;
        let stdout = terminal::render(&record, folder.path(), Paint { colour });
        let exit_code = if failed.is_empty() { 0 } else { 2 };
        Ok(CommandOutput { stdout, stderr: lines(&failed), exit_code })
    }

    /// Takes the folder and reads the record: the folder or the file itself may be named.
    fn find(&self) -> Result<(Folder, RunRecord), CommandError> {
        let mut folder = self.run.clone();
        if !folder.is_dir() && folder.file_name().is_some_and(|name| name == RECORD) {
            folder.pop();
        }
        if folder.as_os_str().is_empty() {
            // The parent of a bare file name: the current folder.
            folder.push(".");
        }
        Folder::of_run(&folder).map_err(|error| match error {
            FolderError::NotOurs { path, why } => CommandError::Usage(format!(
                "`{}` is not a report folder: {why}; name the folder of a run, or the {RECORD} in it",
                path.display()
            )),
            FolderError::NotAFolder(path) => CommandError::Usage(format!(
                "`{}` is not a {RECORD}: name the folder of a run, or the {RECORD} in it",
                path.display()
            )),
            error => error.into(),
        })
    }
}

fn redraw(folder: &mut Folder, record: &RunRecord) -> Result<Vec<CommandError>, CommandError> {
    let figures = chart::all(record);
    let contents = Contents::new(record);
    let names = contents.names(figures.iter().map(|figure| figure.name.as_str()));
    folder.check(&names)?;
    let is_listed = folder.lists(&names);
    let mut failed = write_report(folder, record, contents, figures);
    failed.extend(folder.keep_only(&names).err().map(CommandError::from));
    if !is_listed {
        // Another version drew other files: the next run must know them.
        let text = record_text(record, &names)?;
        failed.extend(folder.write(RECORD, text.as_bytes()).err().map(CommandError::from));
    }
    Ok(failed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::record::fixture;

    fn find(run: &Path) -> Result<(Folder, RunRecord), CommandError> {
        Report { run: run.to_owned() }.find()
    }

    #[test]
    fn a_folder_and_its_file_name_the_same_run() {
        let dir = tempfile::tempdir().unwrap();
        let text = record_text(&fixture::record(), &BTreeSet::new()).unwrap();
        std::fs::write(dir.path().join("run.json"), text).unwrap();
        for run in [dir.path().to_owned(), dir.path().join("run.json")] {
            let (folder, record) = find(&run).unwrap();
            assert_eq!(folder.path(), dir.path());
            assert_eq!(record.scenario.name, "compare");
        }
    }

    #[test]
    fn a_missing_run_is_named() {
        let error = find(Path::new("no/such/run")).unwrap_err();
        assert!(error.to_string().starts_with("cannot read `no/such/run`:"), "{error}");
    }
}
