//! The files that a suite leaves, all of them found to be usable before it begins: a result is never lost for a reason that
//! could have been known.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::Conform;
use crate::commands::{CommandError, of_out};
use crate::conform::report;
use crate::conform::verdict::{CaseResult, SuiteResult};
use crate::report::folder::{LOG, check_file};
use crate::report::{Folder, ReportError, write_file};

/// The record's file, which makes a folder a suite's.
const RECORD: &str = "conform.json";

/// A line for each case as it ends.
const LINES: &str = "results.jsonl";

/// What is drawn at the end.
const MARKDOWN: &str = "report.md";
const HTML: &str = "report.html";

/// Where the results go.
#[derive(Debug)]
pub(super) struct Files {
    junit: Option<PathBuf>,
    markdown: Option<PathBuf>,
    badge: Option<PathBuf>,
    folder: Option<ReportFolder>,
}

#[derive(Debug)]
struct ReportFolder {
    folder: Folder,
    names: BTreeSet<String>,
    lines: File,
    /// The first line that could not be written, after which none is tried.
    failed: Option<CommandError>,
}

impl Files {
    /// Checks all that the flags name. `has_log`: whether the target is the harness's, and its log goes into the folder.
    ///
    /// # Errors
    /// Where a file or the folder cannot be written.
    pub(super) fn prepare(flags: &Conform, has_log: bool) -> Result<Self, CommandError> {
        let [junit, markdown, badge] =
            [&flags.junit, &flags.markdown, &flags.badge].map(|path| path.as_deref().map(usable).transpose());
        let files = Self { junit: junit?, markdown: markdown?, badge: badge?, folder: None };
        let folder = flags.out.as_deref().map(|path| ReportFolder::prepare(path, has_log)).transpose()?;
        Ok(Self { folder, ..files })
    }

    /// The log's file, where it is kept.
    pub(super) fn log(&self) -> Option<PathBuf> {
        let folder = self.folder.as_ref().filter(|folder| folder.names.contains(LOG))?;
        Some(folder.folder.path().join(LOG))
    }

    /// The report folder.
    pub(super) fn folder(&self) -> Option<&Path> {
        Some(self.folder.as_ref()?.folder.path())
    }

    /// The page to look at.
    pub(super) fn page(&self) -> Option<PathBuf> {
        Some(self.folder()?.join(HTML))
    }

    /// Marks the folder as that of a suite which has not ended.
    ///
    /// # Errors
    /// Where that cannot be written.
    pub(super) fn begin(&mut self, target: &str, profile: &str, seed: u64) -> Result<(), CommandError> {
        if let Some(ReportFolder { folder, names, .. }) = &mut self.folder {
            let record = report::begun(target, profile, seed, names).map_err(ReportError::from)?;
            folder.write(RECORD, record.as_bytes())?;
        }
        Ok(())
    }

    /// Keeps the result of a case.
    pub(super) fn take(&mut self, case: &CaseResult) {
        let Some(ReportFolder { folder, lines, failed, .. }) = &mut self.folder else { return };
        if failed.is_some() {
            return;
        }
        let written = report::line(case).map_err(|error| ReportError::from(error).into()).and_then(|line| {
            let path = || folder.path().join(LINES);
            lines.write_all(line.as_bytes()).map_err(|source| CommandError::Write { path: path(), source })
        });
        *failed = written.err();
    }

    /// Writes everything. What fails leaves out no other file.
    pub(super) fn finish(self, result: &SuiteResult, strict: bool) -> Vec<CommandError> {
        let mut failed = Vec::new();
        let mut keep = |written: Result<(), CommandError>| failed.extend(written.err());
        if let Some(mut report) = self.folder {
            keep(report.failed.map_or(Ok(()), Err));
            let record = report::record(result, strict, &report.names)
                .map_err(|error| ReportError::from(error).into());
            let mut write = |name: &str, text: &str| Ok(report.folder.write(name, text.as_bytes())?);
            keep(record.and_then(|record| write(RECORD, &record)));
            keep(write(MARKDOWN, &report::markdown(result, strict)));
            keep(write(HTML, &report::html(result, strict)));
        }
        let write = |path: &Path, text: &str| Ok(write_file(path, text.as_bytes())?);
        if let Some(path) = &self.junit {
            keep(
                report::junit(result, strict).map_err(CommandError::Junit).and_then(|xml| write(path, &xml)),
            );
        }
        if let Some(path) = &self.markdown {
            keep(write(path, &report::markdown(result, strict)));
        }
        if let Some(path) = &self.badge {
            let badge = report::badge(result, strict).map_err(|error| ReportError::from(error).into());
            keep(badge.and_then(|badge| write(path, &badge)));
        }
        failed
    }
}

impl ReportFolder {
    fn prepare(path: &Path, has_log: bool) -> Result<Self, CommandError> {
        let log = has_log.then_some(LOG);
        let names: BTreeSet<String> =
            [LINES, MARKDOWN, HTML].into_iter().chain(log).map(str::to_owned).collect();
        let mut folder = Folder::claim_for(path, RECORD).map_err(of_out)?;
        let begun = begin(&mut folder, &names, has_log);
        match begun {
            Ok(lines) => Ok(Self { folder, names, lines, failed: None }),
            Err(error) => {
                folder.abandon();
                Err(error)
            }
        }
    }
}

/// Empties the folder and begins the files that grow.
fn begin(folder: &mut Folder, names: &BTreeSet<String>, has_log: bool) -> Result<File, CommandError> {
    folder.check(names)?;
    folder.try_out(&[])?;
    folder.clear()?;
    if has_log {
        folder.begin(LOG, "# Log of the target: what it wrote, all its servers together.\n")?;
    }
    Ok(folder.begin(LINES, "")?)
}

/// A file that can be written; where a link leads to it, the file itself.
fn usable(path: &Path) -> Result<PathBuf, CommandError> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(CommandError::Usage(format!(
            "`{}` exists and is no file: name another one",
            path.display()
        )));
    }
    check_file(&path)?;
    Ok(path)
}
