//! Writes a report folder. Each file appears whole or not at all, so that an interrupted write leaves the older one.
//!
//! What the engine writes itself while it runs (`server.log`) is not touched.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::{Plot, ReportError, escape, hgrm, hlog, intervals, layout, markdown, summary, violations};
use crate::record::RunRecord;

/// Writes the record and its whole report into `dir`, which is created where it is missing.
///
/// # Errors
/// Where a file could not be made or written; the record itself is written first.
pub fn write_folder(record: &RunRecord, plots: &[Plot], dir: &Path) -> Result<(), ReportError> {
    create(dir)?;
    write_file(&dir.join("run.json"), layout::pretty(&serde_json::to_string(record)?).as_bytes())?;
    write_report(record, plots, dir)
}

/// Writes every file of the report but the record itself, and removes the plots, histograms and violations of an
/// earlier drawing that are no longer part of it.
///
/// # Errors
/// Where a file could not be made or written.
pub fn write_report(record: &RunRecord, plots: &[Plot], dir: &Path) -> Result<(), ReportError> {
    create(dir)?;
    write_file(&dir.join("scenario.toml"), record.scenario.text.as_bytes())?;
    write_file(&dir.join("summary.csv"), &summary::csv(record)?)?;
    write_file(&dir.join("intervals.csv"), &intervals::csv(record)?)?;
    write_file(&dir.join("latencies.hlog"), &hlog::log(record)?)?;
    let histograms = hgrm::files(record).into_iter().map(|(name, text)| (name, text.into_bytes()));
    write_all(&dir.join("histograms"), histograms.collect(), &["hgrm"])?;
    let drawings = plots.iter().flat_map(|plot| {
        let stem = escape::name(&plot.name);
        [(format!("{stem}.svg"), plot.svg.clone().into_bytes()), (format!("{stem}.png"), plot.png.clone())]
    });
    write_all(&dir.join("plots"), drawings.collect(), &["svg", "png"])?;
    let replays: Vec<_> =
        violations::files(record).into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
    let folder = dir.join(violations::FOLDER);
    // A run without violations has no folder for them; one of an earlier run there is emptied.
    if !replays.is_empty() || folder.is_dir() {
        write_all(&folder, replays, &["toml"])?;
    }
    write_file(&dir.join("report.md"), markdown::report(record, plots).as_bytes())
}

/// Writes these files and removes others with these endings.
fn write_all(dir: &Path, files: Vec<(String, Vec<u8>)>, endings: &[&str]) -> Result<(), ReportError> {
    create(dir)?;
    let mut written = BTreeSet::new();
    for (name, bytes) in files {
        write_file(&dir.join(&name), &bytes)?;
        written.insert(name);
    }
    let failed = |source| ReportError::Write { path: dir.to_owned(), source };
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ours = path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known));
        if ours && !written.contains(name) {
            fs::remove_file(&path).map_err(|source| ReportError::Write { path, source })?;
        }
    }
    Ok(())
}

fn create(dir: &Path) -> Result<(), ReportError> {
    fs::create_dir_all(dir).map_err(|source| ReportError::Write { path: dir.to_owned(), source })
}

/// Writes one file, whole or not at all: into a temporary one beside it, which is then renamed.
///
/// # Errors
/// Where it cannot be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let failed = |source| ReportError::Write { path: path.to_owned(), source };
    // The parent of a bare file name is empty: the current folder.
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = temporary().tempfile_in(dir).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".twinwire-");
    // Temporary files are private by default; a report is as readable as any other file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder
}
