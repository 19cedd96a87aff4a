//! A report folder for each scenario, all of them found to be usable before the first load: a result is never lost for
//! a reason that could have been known.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::chart;
use crate::commands::{CommandError, of_out};
use crate::domain::{ALL, Op, Role};
use crate::load::plan;
use crate::report::folder::{HISTOGRAMS, PLOTS};
use crate::report::{Folder, FolderError, contents, histograms};
use crate::scenario::Document;

/// Where report folders go without `--out`.
const RUNS: &str = "reports/runs";

/// Least space that a run's report takes, in bytes, and what each load of each variant adds. Both are below those of
/// the smallest report, so that no run is refused that would fit: half a second of one load over one transport leaves
/// 690 KiB, most of it charts.
const REPORT_BYTES_MIN: u64 = 256 << 10;
const LOAD_BYTES_MIN: u64 = 256 << 10;

/// Variants, and loads of each, whose files are named beforehand: what a run of days makes.
const NAMED_MAX: usize = 64;

/// A folder for each scenario, in their order. Those of earlier runs are emptied, except for files that no run wrote.
///
/// # Errors
/// If one of them cannot be used; nothing has been changed then.
pub(super) fn prepare(out: Option<&Path>, documents: &[Document]) -> Result<Vec<Folder>, CommandError> {
    let mut folders = Vec::with_capacity(documents.len());
    if let Err(error) = usable(out, documents, &mut folders) {
        folders.into_iter().for_each(Folder::abandon);
        return Err(error);
    }
    for folder in &mut folders {
        folder.clear()?;
    }
    Ok(folders)
}

/// Takes the folders and tries them out; on an error `folders` has those that were taken.
fn usable(out: Option<&Path>, documents: &[Document], folders: &mut Vec<Folder>) -> Result<(), CommandError> {
    if let Some(out) = out {
        for path in named(out, documents)? {
            folders.push(Folder::claim(&path).map_err(of_out)?);
        }
    } else {
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        for document in documents {
            folders.push(fresh(&document.scenario().name, &time)?);
        }
    }
    for (document, folder) in documents.iter().zip(&mut *folders) {
        let planned = Planned::of(document);
        folder.check(&planned.names)?;
        folder.try_out(&planned.longest)?;
    }
    space(documents, folders)
}

/// The folders that `--out` means: itself, or a subfolder for each of several scenarios, none of them twice.
fn named(out: &Path, documents: &[Document]) -> Result<Vec<PathBuf>, CommandError> {
    if let [_] = documents {
        return Ok(vec![out.to_owned()]);
    }
    let above: PathBuf = out.components().collect();
    if above.is_symlink() {
        return Err(of_out(FolderError::Link(above)));
    }
    let mut taken: Vec<PathBuf> = Vec::with_capacity(documents.len());
    for document in documents {
        let name = &document.scenario().name;
        let numbered = (2..).map(|number| out.join(format!("{name}-{number}")));
        let mut candidates = std::iter::once(out.join(name)).chain(numbered);
        taken.extend(candidates.find(|path| !taken.contains(path)));
    }
    Ok(taken)
}

/// A new folder with a name of our own. It is created, not only looked for: a command that begins in the same second
/// finds the name taken.
fn fresh(name: &str, time: &str) -> Result<Folder, CommandError> {
    let numbered = (2..).map(|number| format!("{name}-{time}-{number}"));
    for name in std::iter::once(format!("{name}-{time}")).chain(numbered) {
        match Folder::create(&Path::new(RUNS).join(name)) {
            Err(FolderError::System { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(CommandError::Usage(format!("{error}; name a folder elsewhere with --out DIR")));
            }
            Ok(folder) => return Ok(folder),
        }
    }
    unreachable!("there is always a next number")
}

/// Names of files that a run is going to make.
struct Planned {
    names: BTreeSet<String>,
    /// The longest of each subfolder.
    longest: Vec<String>,
}

impl Planned {
    fn of(document: &Document) -> Self {
        let mut names = contents::fixed_names();
        let mut longest = [String::new(), String::new()];
        let mut add = |place: usize, name: String| {
            if name.len() > longest[place].len() {
                longest[place].clone_from(&name);
            }
            names.insert(name);
        };
        // In a larger sweep the other names are like these.
        for variant in document.variants().iter().take(NAMED_MAX) {
            let label = plan::variant_name(variant);
            for load in variant.scenario.loads.iter().take(NAMED_MAX) {
                for stem in chart::stems(&load.name, &label) {
                    for name in contents::plot_names(&stem) {
                        add(0, name);
                    }
                }
                let kind = load.model.headline_kind();
                for role in [Role::Guest.name(), Role::Manager.name(), ALL] {
                    for op in Op::ALL.into_iter().map(Op::name).chain([ALL]) {
                        for transport in &variant.scenario.transports {
                            let rest = [transport.name(), role, op, kind.name()];
                            add(
                                1,
                                format!("{HISTOGRAMS}/{}", histograms::file_name(&load.name, &label, rest)),
                            );
                        }
                    }
                }
            }
        }
        debug_assert!(longest[0].starts_with(PLOTS));
        Self { names, longest: longest.into() }
    }
}

/// Refuses a disk that certainly has no room for the reports.
fn space(documents: &[Document], folders: &[Folder]) -> Result<(), CommandError> {
    let loads = |document: &Document| (document.variants().len() * document.scenario().loads.len()) as u64;
    let needed: u64 =
        documents.iter().map(|document| REPORT_BYTES_MIN + LOAD_BYTES_MIN * loads(document)).sum();
    let freed: u64 = folders.iter().map(Folder::own_bytes).sum();
    let Some(path) = folders.first().map(Folder::path) else { return Ok(()) };
    // If the system does not report it, the run begins anyway and may meet a full disk later.
    let Ok(disk) = nix::sys::statvfs::statvfs(path) else { return Ok(()) };
    #[cfg_attr(
        all(target_os = "linux", target_pointer_width = "64"),
        expect(clippy::useless_conversion, reason = "the types are not the same on every system")
    )]
    let free = u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size()));
    if free.saturating_add(freed) < needed {
        return Err(CommandError::Usage(format!(
            "`{}` has {} KiB of free space, and the report needs {} KiB at least: make room, or name a folder elsewhere \
             with --out DIR",
            path.display(),
            free >> 10,
            needed >> 10
        )));
    }
    Ok(())
}
