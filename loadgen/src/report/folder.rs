//! The report folder on disk: whose it is, and what may be written into it or removed from it.
//!
//! A folder belongs to a run only if its `run.json` is the record of one. That file lists what the run wrote; a later
//! run removes just that and leaves everything else alone. The record may be of any version: a run replaces the folder
//! of an older one. Nothing is written or removed through a symbolic link. While a [`Folder`] is held, no other command
//! of this program can use it: the system holds the lock and releases it when the process ends.
//!
//! Each file appears whole or not at all. What the files contain is the business of [`super::contents`].

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ReportError, layout, violations};
use crate::record::RunRecord;

/// The record's file, which makes a folder a run's.
pub const RECORD: &str = "run.json";

/// What the target wrote; the engine fills it while it runs.
pub const LOG: &str = "server.log";

/// Folder of the charts, within that of the report.
pub const PLOTS: &str = "plots";

/// Folder of the percentile distributions, within that of the report.
pub const HISTOGRAMS: &str = "histograms";

const SUBFOLDERS: [&str; 3] = [PLOTS, HISTOGRAMS, violations::FOLDER];

/// Bytes written to see whether the folder takes any: more than a file system keeps next to a file's name.
const PROBE_BYTES: usize = 4096;

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It holds something, but no record of a run.
    #[error(
        "`{}` exists and is not a report folder ({why}): name a new or empty folder, or that of an earlier \
         run, which is then overwritten", .path.display()
    )]
    NotOurs {
        /// The folder.
        path: PathBuf,
        why: String,
    },
    /// It is not a folder.
    #[error("`{}` is a file: name a folder for the report", .0.display())]
    NotAFolder(PathBuf),
    /// It, or a folder in it, is a symbolic link.
    #[error("`{}` is a symbolic link, and a report is never written through one: name the folder itself", .0.display())]
    Link(PathBuf),
    /// Another command uses it.
    #[error("another twinwire is using the folder `{}`: wait for its end, or name another folder", .0.display())]
    InUse(PathBuf),
    /// Something that no run wrote has the name of a file that must be written.
    #[error("`{}` was not written by a run and is in the way of the report: move it away, or name another folder", .0.display())]
    InTheWay(PathBuf),
    /// The system refuses something.
    #[error("cannot {verb} `{}`: {source}", .path.display())]
    System { verb: &'static str, path: PathBuf, source: io::Error },
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    move |source| FolderError::System { verb, path: path.to_owned(), source }
}

/// A report folder that this process may fill, and that no other command uses meanwhile.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// `None` if the file system has no locks.
    _lock: Option<File>,
    /// Folders that were made for it, the outermost first.
    made: Vec<PathBuf>,
    /// Files that belong to a run, by their names within the folder.
    own: BTreeSet<String>,
    /// The file that makes the folder a run's.
    record: &'static str,
}

impl Folder {
    /// Makes a folder that does not exist yet.
    ///
    /// # Errors
    /// [`FolderError::System`] of kind `AlreadyExists` if it exists, another one if it cannot be made.
    pub fn create(path: &Path) -> Result<Self, FolderError> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            fs::create_dir_all(parent).map_err(failed("make the folder", path))?;
        }
        fs::create_dir(path).map_err(failed("make the folder", path))?;
        let lock = lock(path)?;
        let made = vec![path.to_owned()];
        Ok(Self { path: path.to_owned(), _lock: lock, made, own: BTreeSet::new(), record: RECORD })
    }

    /// Takes a folder that the user named: a new one, an empty one, or that of an earlier run.
    ///
    /// # Errors
    /// If it is anything else, or in use.
    pub fn claim(path: &Path) -> Result<Self, FolderError> {
        Self::claim_for(path, RECORD)
    }

    /// The same for a run whose record has this name.
    ///
    /// # Errors
    /// If it is anything else, or in use.
    pub fn claim_for(path: &Path, record: &'static str) -> Result<Self, FolderError> {
        let path = &without_trailing_separator(path);
        let made = match fs::symlink_metadata(path) {
            Ok(metadata) => {
                is_folder(path, &metadata)?;
                Vec::new()
            }
            Err(error) if error.kind() == ErrorKind::NotFound => make(path)?,
            Err(error) => return Err(failed("make the folder", path)(error)),
        };
        let mut folder = Self { path: path.clone(), _lock: lock(path)?, made, own: BTreeSet::new(), record };
        let mut entries = fs::read_dir(path).map_err(failed("read the folder", path))?;
        if entries.next().is_some() {
            folder.read_own()?;
        }
        Ok(folder)
    }

    /// Takes the folder of an earlier run of this version, and reads the record.
    ///
    /// # Errors
    /// If it is not such a folder, or is in use.
    pub fn of_run(path: &Path) -> Result<(Self, RunRecord), FolderError> {
        let path = without_trailing_separator(path);
        let metadata = fs::symlink_metadata(&path).map_err(failed("read", &path))?;
        is_folder(&path, &metadata)?;
        let lock = lock(&path)?;
        let mut folder = Self { path, _lock: lock, made: Vec::new(), own: BTreeSet::new(), record: RECORD };
        let file = folder.record_file()?;
        // Before its list of files: that a record is of another version says more than what it lacks.
        let record = RunRecord::read(&file)
            .map_err(|error| FolderError::NotOurs { path: folder.path.clone(), why: error.to_string() })?;
        folder.read_own()?;
        Ok((folder, record))
    }

    /// The record's file, which must be a file and no link.
    fn record_file(&self) -> Result<PathBuf, FolderError> {
        let not_ours = |why: String| FolderError::NotOurs { path: self.path.clone(), why };
        let record = self.record;
        let file = self.path.join(record);
        match fs::symlink_metadata(&file) {
            Ok(metadata) if metadata.is_file() => Ok(file),
            Ok(_) => Err(not_ours(format!("its {record} is not a file"))),
            Err(_) => Err(not_ours(format!("it has no {record}"))),
        }
    }

    /// Reads what the run wrote from its record, of whatever schema. A record without these fields lists nothing that
    /// could be removed.
    fn read_own(&mut self) -> Result<(), FolderError> {
        #[derive(Deserialize)]
        struct Listing {
            #[serde(rename = "schema")]
            _schema: u32,
            #[serde(rename = "twinwire")]
            _twinwire: String,
            files: BTreeSet<String>,
        }
        let not_ours = |why: String| FolderError::NotOurs { path: self.path.clone(), why };
        let record = self.record;
        let file = self.record_file()?;
        let text = fs::read(&file).map_err(failed("read", &file))?;
        let listing: Listing = serde_json::from_slice(&text)
            .map_err(|error| not_ours(format!("its {record} is not the record of a run: {error}")))?;
        self.own = listing.files;
        // Anybody may have written a record: its list must not lead out of the folder.
        self.own.retain(|name| is_within(name));
        self.own.insert(record.to_owned());
        Ok(())
    }
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its record lists exactly these files.
    #[must_use]
    pub fn lists(&self, names: &BTreeSet<String>) -> bool {
        self.own.iter().filter(|name| *name != self.record).eq(names)
    }

    /// Bytes of the files that [`Self::clear`] removes.
    #[must_use]
    pub fn own_bytes(&self) -> u64 {
        let length = |name| fs::symlink_metadata(self.path.join(name)).map_or(0, |metadata| metadata.len());
        self.own.iter().map(length).sum()
    }

    /// Checks that nothing is in the way of files with these names.
    ///
    /// # Errors
    /// If something is: a link, or what no run wrote.
    pub fn check(&self, names: &BTreeSet<String>) -> Result<(), FolderError> {
        for subfolder in SUBFOLDERS {
            self.check_subfolder(subfolder)?;
        }
        for name in &self.own {
            self.check_place(name)?;
        }
        // The folder's entries are few, and the names may be many.
        let mut folders = vec![String::new()];
        folders.extend(SUBFOLDERS.map(|name| format!("{name}/")));
        for folder in folders {
            let Ok(entries) = fs::read_dir(self.path.join(&folder)) else { continue };
            for entry in entries.flatten() {
                let name = format!("{folder}{}", entry.file_name().to_string_lossy());
                if names.contains(&name) {
                    self.check_place(&name)?;
                }
            }
        }
        Ok(())
    }

    fn check_subfolder(&self, name: &str) -> Result<(), FolderError> {
        let path = self.path.join(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => Err(FolderError::Link(path)),
            Ok(metadata) if !metadata.is_dir() => Err(FolderError::InTheWay(path)),
            _ => Ok(()),
        }
    }

    /// Only a file of a run's own gives way.
    fn check_place(&self, name: &str) -> Result<(), FolderError> {
        let path = self.path.join(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() && self.own.contains(name) => Ok(()),
            Ok(metadata) if metadata.is_symlink() => Err(FolderError::Link(path)),
            Ok(_) => Err(FolderError::InTheWay(path)),
            Err(_) => Ok(()),
        }
    }

    /// Checks that files with the longest names can be written.
    ///
    /// # Errors
    /// If one cannot.
    pub fn try_out(&mut self, longest: &[String]) -> Result<(), FolderError> {
        let written = temporary().tempfile_in(&self.path).and_then(|mut file| {
            file.write_all(&[0; PROBE_BYTES])?;
            file.close()
        });
        written.map_err(failed("write into the folder", &self.path))?;
        for name in longest {
            if let Some((subfolder, _)) = name.split_once('/') {
                self.make_subfolder(subfolder)?;
            }
            let path = self.path.join(name);
            match File::create_new(&path) {
                Ok(_) => fs::remove_file(&path).map_err(failed("remove", &path))?,
                // It can be written, as it was before; what is no run's has been found by `check`.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("write", &path)(error)),
            }
        }
        Ok(())
    }

    fn make_subfolder(&mut self, name: &str) -> Result<(), FolderError> {
        self.check_subfolder(name)?;
        let path = self.path.join(name);
        match fs::create_dir(&path) {
            Ok(()) => self.made.push(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("make the folder", &path)(error)),
        }
        Ok(())
    }

    /// Removes what the earlier run wrote, its record first: if this is cut short, what is left belongs to no run.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn clear(&mut self) -> Result<(), FolderError> {
        self.remove(self.record)?;
        for name in self.own.clone() {
            self.remove(&name)?;
        }
        Ok(())
    }

    /// Removes files of an earlier drawing that are not among these; the record and the log stay.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn keep_only(&mut self, names: &BTreeSet<String>) -> Result<(), FolderError> {
        for name in self.own.clone() {
            if !names.contains(&name) && ![self.record, LOG].contains(&&*name) {
                self.remove(&name)?;
            }
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), FolderError> {
        if !self.own.contains(name) {
            return Ok(());
        }
        self.check_place(name)?;
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", &path)(error)),
            _ => {
                self.own.remove(name);
                if name.starts_with(violations::FOLDER) {
                    // A run without violations has no folder for them. It stays if anything else is in it.
                    let _ = fs::remove_dir(self.path.join(violations::FOLDER));
                }
                Ok(())
            }
        }
    }

    /// Writes one file, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written, or something is in its way.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), ReportError> {
        if let Some((subfolder, _)) = name.split_once('/') {
            self.make_subfolder(subfolder)?;
        }
        self.check_place(name)?;
        write_file(&self.path.join(name), bytes)?;
        self.own.insert(name.to_owned());
        Ok(())
    }

    /// Begins the log, which others then append to.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin_log(&mut self, text: &str) -> Result<PathBuf, FolderError> {
        self.begin(LOG, text)?;
        Ok(self.path.join(LOG))
    }

    /// Begins a file that grows.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin(&mut self, name: &str, text: &str) -> Result<File, FolderError> {
        self.check_place(name)?;
        let path = self.path.join(name);
        let begun = File::create_new(&path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            Ok(file)
        });
        let file = begun.map_err(failed("write", &path))?;
        self.own.insert(name.to_owned());
        Ok(file)
    }

    /// Gives the folder up before anything was written: folders that were made for it are removed if they are still
    /// empty.
    pub fn abandon(self) {
        for folder in self.made.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// The text of `run.json`: the record, and the list of the files written with it.
///
/// # Errors
/// If the record cannot be turned into JSON.
pub fn record_text(record: &RunRecord, files: &BTreeSet<String>) -> Result<String, ReportError> {
    #[derive(Serialize)]
    struct Saved<'a> {
        #[serde(flatten)]
        record: &'a RunRecord,
        files: &'a BTreeSet<String>,
    }
    Ok(layout::pretty(&Saved { record, files })?)
}

/// Writes one file, whole or not at all: into a temporary one in the same folder, which is then renamed.
///
/// # Errors
/// If it cannot be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let failed = |source| ReportError::Write { path: path.to_owned(), source };
    // The parent of a bare file name is empty: the current folder.
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = temporary().tempfile_in(dir).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Checks that [`write_file`] can write a file: its folder is there and takes files.
///
/// # Errors
/// If it cannot.
pub fn check_file(path: &Path) -> Result<(), ReportError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let tried = temporary().tempfile_in(dir).and_then(|mut file| {
        file.write_all(&[0; PROBE_BYTES])?;
        file.close()
    });
    tried.map_err(|source| ReportError::Write { path: path.to_owned(), source })
}

fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".twinwire-");
    // Temporary files are private by default; a report is as readable as any other file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder
}

/// `link/` would mean the link's target; `link` is the link itself.
fn without_trailing_separator(path: &Path) -> PathBuf {
    path.components().collect()
}

fn is_folder(path: &Path, metadata: &fs::Metadata) -> Result<(), FolderError> {
    if metadata.is_symlink() {
        Err(FolderError::Link(path.to_owned()))
    } else if metadata.is_dir() {
        Ok(())
    } else {
        Err(FolderError::NotAFolder(path.to_owned()))
    }
}

/// Makes a folder and those above it; which of them were missing, the outermost first.
fn make(path: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let missing = |path: &&Path| !path.as_os_str().is_empty() && fs::symlink_metadata(path).is_err();
    let mut made: Vec<PathBuf> = path.ancestors().take_while(missing).map(Path::to_owned).collect();
    made.reverse();
    fs::create_dir_all(path).map_err(failed("make the folder", path))?;
    Ok(made)
}

fn lock(path: &Path) -> Result<Option<File>, FolderError> {
    let file = File::open(path).map_err(failed("read the folder", path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(FolderError::InUse(path.to_owned())),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Whether a listed name is a file of the folder or of one of its subfolders.
fn is_within(name: &str) -> bool {
    let parts: Vec<Component<'_>> = Path::new(name).components().collect();
    match parts[..] {
        [Component::Normal(_)] => !name.contains('/'),
        [Component::Normal(folder), Component::Normal(_)] => {
            SUBFOLDERS.iter().any(|known| folder == *known) && name.matches('/').count() == 1
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;

    #[test]
    fn a_list_leads_nowhere_else() {
        for name in ["summary.csv", "plots/a.svg", "violations/01-x.toml"] {
            assert!(is_within(name), "{name}");
        }
        for name in
            ["", ".", "..", "../a", "/a", "plots/../a", "plots//a", "a/b", "plots", "plots/", "plots/a/b"]
        {
            assert!(!is_within(name) || name == "plots", "{name}");
        }
    }

    #[test]
    fn a_folder_is_used_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let first = Folder::claim(&path).unwrap();
        assert!(matches!(Folder::claim(&path), Err(FolderError::InUse(_))));
        drop(first);
        Folder::claim(&path).unwrap();
    }

    #[test]
    fn what_was_made_for_nothing_goes_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c");
        let mut folder = Folder::claim(&path).unwrap();
        folder.try_out(&["histograms/x.hgrm".to_owned()]).unwrap();
        folder.abandon();
        assert!(!dir.path().join("a").exists());
        let mut folder = Folder::claim(&path).unwrap();
        folder.write("summary.csv", b"x").unwrap();
        folder.abandon();
        assert!(path.join("summary.csv").exists());
    }

    #[test]
    fn a_name_that_the_file_system_does_not_take_is_found_by_trying() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::claim(dir.path()).unwrap();
        assert!(folder.try_out(&[format!("plots/{}.svg", "x".repeat(252))]).is_err());
        folder.try_out(&[format!("plots/{}.svg", "x".repeat(200))]).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("plots")).unwrap().count(), 0);
    }

    #[test]
    fn only_a_record_makes_a_folder_a_runs() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(RECORD);
        let whole = record_text(&fixture::record(), &BTreeSet::new()).unwrap();
        for foreign in ["", "{}", "{\"schema\": 1}", &whole[..whole.len() / 2], "[]"] {
            fs::write(&file, foreign).unwrap();
            let claimed = Folder::claim(dir.path());
            assert!(matches!(claimed, Err(FolderError::NotOurs { .. })), "{foreign:.40}");
        }
        fs::write(&file, whole).unwrap();
        Folder::claim(dir.path()).unwrap();
    }

    #[test]
    fn a_record_of_any_schema_gives_its_folder_to_a_new_run_but_only_ours_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let old =
            r#"{"schema": 1, "twinwire": "0.0.1", "passes": "of another form", "files": ["summary.csv"]}"#;
        for (name, text) in [(RECORD, old), ("summary.csv", "old"), ("notes.txt", "mine")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let why = Folder::of_run(dir.path()).unwrap_err().to_string();
        assert!(why.contains("has schema 1; this version reads schema"), "{why}");
        Folder::claim(dir.path()).unwrap().clear().unwrap();
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["notes.txt"]);
    }
}
