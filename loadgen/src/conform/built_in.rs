//! The cases: those that are part of the program, and those that the command line names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::case::Cases;
use super::suite::SuiteCase;
use crate::scenario::Diagnostics;
use crate::scenario::shape::nearest;

/// The files of `scenarios/conformance`, in the order in which the suite runs them.
const FILES: [(&str, &str); 11] = [
    ("login", include_str!("../../../scenarios/conformance/login.toml")),
    ("store", include_str!("../../../scenarios/conformance/store.toml")),
    ("role", include_str!("../../../scenarios/conformance/role.toml")),
    ("form", include_str!("../../../scenarios/conformance/form.toml")),
    ("life", include_str!("../../../scenarios/conformance/life.toml")),
    ("atom", include_str!("../../../scenarios/conformance/atom.toml")),
    ("tcp", include_str!("../../../scenarios/conformance/tcp.toml")),
    ("raw", include_str!("../../../scenarios/conformance/raw.toml")),
    ("websocket-handshake", include_str!("../../../scenarios/conformance/websocket-handshake.toml")),
    ("websocket-frames", include_str!("../../../scenarios/conformance/websocket-frames.toml")),
    ("websocket-close", include_str!("../../../scenarios/conformance/websocket-close.toml")),
];

/// Why the command line names no cases.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// A file that cannot be read, or is wrong.
    #[error("{0}")]
    File(Diagnostics),
    /// A folder without cases.
    #[error("`{}` holds no file of cases (*.toml)", .0.display())]
    NoFiles(PathBuf),
    /// A folder that cannot be read.
    #[error("cannot read the folder `{}`: {source}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Neither a file nor an id of a case.
    #[error("`{0}` is no file, and no built-in case has this id{1}")]
    Unknown(String, String),
    /// Two files with the same id.
    #[error("two cases have the id `{0}`: ids are unique over all files")]
    TwoIds(String),
    /// Filters that leave nothing.
    #[error("no case matches {0}: `twinwire conform --list` shows them")]
    NothingLeft(String),
}

/// The built-in cases.
#[must_use]
pub fn all() -> Vec<SuiteCase> {
    let mut all = Vec::new();
    for (group, text) in FILES {
        let cases = Cases::parse(&format!("{group}.toml (built in)"), text);
        let cases = cases.expect("built-in cases are right; a test reads them").into_cases();
        all.extend(cases.into_iter().map(|case| SuiteCase { case, group: group.to_owned() }));
    }
    all
}

/// The text of a built-in case, with the comments in it.
#[must_use]
pub fn toml_of(id: &str) -> Option<&'static str> {
    const HEADING: &str = "[[case]]\n";
    FILES.iter().find_map(|(_, text)| {
        let own = format!("id = \"{id}\"\n");
        let heading = text.find(&own).and_then(|at| text[..at].rfind(HEADING))?;
        let rest = &text[heading + HEADING.len()..];
        let next = rest.find(HEADING).unwrap_or(rest.len());
        Some(without_comments_at_the_end(&text[heading..heading + HEADING.len() + next]))
    })
}

/// Comments behind a case are about the next one.
fn without_comments_at_the_end(text: &str) -> &str {
    let mut text = text.trim_end();
    while let Some((before, last)) = text.rsplit_once('\n') {
        if !last.starts_with('#') {
            break;
        }
        text = before.trim_end();
    }
    text
}

/// The cases that these arguments name (files, folders, ids; none: all that are built in) and of which these globs match an
/// id or a rule.
///
/// # Errors
/// Where an argument names none, a file is wrong, or nothing is left.
pub fn chosen(arguments: &[String], filters: &[String]) -> Result<Vec<SuiteCase>, ChoiceError> {
    let built_in = all();
    let mut cases = Vec::new();
    for argument in arguments {
        let path = Path::new(argument);
        if path.is_dir() {
            for file in toml_files(path)? {
                cases.extend(read(&file)?);
            }
        } else if path.is_file() {
            cases.extend(read(path)?);
        } else if let Some(case) = built_in.iter().find(|case| case.case.id == *argument) {
            cases.push(case.clone());
        } else {
            let ids: Vec<&str> = built_in.iter().map(|case| case.case.id.as_str()).collect();
            let near =
                nearest(argument, &ids).map(|id| format!("; did you mean `{id}`?")).unwrap_or_default();
            return Err(ChoiceError::Unknown(argument.clone(), near));
        }
    }
    if arguments.is_empty() {
        cases = built_in;
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = cases.iter().find(|case| !seen.insert(case.case.id.clone())) {
        return Err(ChoiceError::TwoIds(twice.case.id.clone()));
    }
    if !filters.is_empty() {
        cases.retain(|case| filters.iter().any(|filter| matches(filter, case)));
        if cases.is_empty() {
            return Err(ChoiceError::NothingLeft(crate::text::backquoted(filters)));
        }
    }
    Ok(cases)
}

fn read(path: &Path) -> Result<Vec<SuiteCase>, ChoiceError> {
    let group = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let cases = Cases::read(path).map_err(ChoiceError::File)?;
    Ok(cases.into_cases().into_iter().map(|case| SuiteCase { case, group: group.clone() }).collect())
}

/// The TOML files of a folder, by name.
fn toml_files(folder: &Path) -> Result<Vec<PathBuf>, ChoiceError> {
    let failed = |source| ChoiceError::Folder { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(ChoiceError::NoFiles(folder.to_owned())) } else { Ok(files) }
}

/// Whether a glob matches the case's id or one of its rules, in any case of letters.
fn matches(glob: &str, case: &SuiteCase) -> bool {
    glob_matches(glob, &case.case.id) || case.case.rules.iter().any(|rule| glob_matches(glob, rule.name()))
}

/// Whether a text is what a glob says: `*` stands for any characters, `?` for one.
fn glob_matches(glob: &str, text: &str) -> bool {
    let glob: Vec<char> = glob.to_lowercase().chars().collect();
    let text: Vec<char> = text.to_lowercase().chars().collect();
    // What of the glob so far may match what of the text so far; a row of the usual table.
    let mut row: Vec<bool> = vec![false; text.len() + 1];
    row[0] = true;
    for c in glob {
        let mut next = vec![false; text.len() + 1];
        next[0] = c == '*' && row[0];
        for (at, letter) in text.iter().enumerate() {
            next[at + 1] = match c {
                '*' => row[at + 1] || next[at],
                '?' => row[at],
                c => row[at] && c == *letter,
            };
        }
        row = next;
    }
    row[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_ids_and_rules_in_any_case_of_letters() {
        for (glob, text, fits) in [
            ("ATOM*", "ATOM-1", true),
            ("atom-?", "ATOM-1", true),
            ("*", "", true),
            ("ATOM", "ATOM-1", false),
            ("*role*", "a-role-b", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("WS-4", "WS-4a", false),
        ] {
            assert_eq!(glob_matches(glob, text), fits, "{glob} {text}");
        }
    }

    #[test]
    fn arguments_name_built_in_cases_and_what_is_near_is_suggested() {
        let all = all();
        let id = all[0].case.id.clone();
        assert_eq!(chosen(std::slice::from_ref(&id), &[]).unwrap().len(), 1);
        let error = chosen(&[format!("{id}x")], &[]).unwrap_err().to_string();
        assert!(error.ends_with(&format!("did you mean `{id}`?")), "{error}");
        assert!(matches!(chosen(&[], &["nothing-like-this".to_owned()]), Err(ChoiceError::NothingLeft(_))));
        assert!(chosen(&[], &["LOGIN-1".to_owned()]).unwrap().len() < all.len());
    }
}
