//! A scenario document: its text, the changes made to it, the scenario it describes, and that scenario's variants.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::decode;
use super::diagnostics::{Diagnostics, Place, Problems, Source};
use super::limits::put_bytes;
use super::model::Scenario;
use super::set;
use super::sweep::{self, Variant};
use super::tree::{self, Node};
use crate::oracle::MESSAGE_BYTES;

/// Larger files are neither scenarios nor cases; a mistyped path must not fill the memory.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// A checked document.
#[derive(Debug, Clone)]
pub struct Document {
    text: String,
    scenario: Scenario,
    variants: Vec<Variant>,
}

impl Document {
    /// Reads and checks a file, with `sets` (`KEY=VALUE`, as in `--set`) applied in order.
    ///
    /// # Errors
    /// Everything that is wrong with the file or the sets.
    pub fn read(path: &Path, sets: &[String]) -> Result<Self, Diagnostics> {
        let (name, text) = read_text(path)?;
        Self::parse(&name, &text, sets)
    }

    /// Checks a text that comes from `source_name`, with `sets` applied in order.
    ///
    /// # Errors
    /// Everything that is wrong with the text or the sets.
    pub fn parse(source_name: &str, text: &str, sets: &[String]) -> Result<Self, Diagnostics> {
        let mut sources = vec![source(source_name, text)?];
        let argument = |set: &String| Source { name: "--set".to_owned(), text: set.clone(), is_file: false };
        sources.extend(sets.iter().map(argument));
        let mut problems = Problems::default();
        match build(text, sets, &sources, &mut problems) {
            Some(document) if problems.is_empty() => Ok(document),
            _ => {
                if problems.is_empty() {
                    problems.add_unplaced("this is no usable scenario");
                }
                Err(problems.finish(sources))
            }
        }
    }

    /// The scenario with nothing swept.
    #[must_use]
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// What is to be run: at least one, in the order of the swept values.
    #[must_use]
    pub fn variants(&self) -> &[Variant] {
        &self.variants
    }

    /// Bytes of the longest `put` of all variants, where that is more than every server takes.
    #[must_use]
    pub fn long_message(&self) -> Option<u32> {
        let groups = self.variants.iter().flat_map(|variant| &variant.scenario.groups);
        let longest = groups.map(|group| put_bytes(group.values.max)).max()?;
        (longest as usize > MESSAGE_BYTES).then_some(longest)
    }

    /// The document as run: the text with the sets in it. It describes the same scenario again.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn build(text: &str, sets: &[String], sources: &[Source], problems: &mut Problems) -> Option<Document> {
    let mut root = tree::document(text, 0, problems)?;
    if let Some(case) = root.entry("case") {
        problems
            .add("scripted cases are no load scenario", case.key_at)
            .label("this makes it a file of scripted cases")
            .help("`twinwire check` checks them; what runs has [[load]] and [[clients]]");
        return None;
    }
    let text = apply_sets(text, &mut root, sets, problems);
    let scenario = decode::scenario(root.clone(), sources, problems)?;
    let variants = sweep::variants(&root, &scenario, sources, problems);
    Some(Document { text: text?, scenario, variants })
}

/// The text with the sets in it; `None` if one of them could not be applied.
fn apply_sets(text: &str, root: &mut Node, sets: &[String], problems: &mut Problems) -> Option<String> {
    if sets.is_empty() {
        return Some(text.to_owned());
    }
    let mut edits = Vec::new();
    for (index, set) in sets.iter().enumerate() {
        edits.push(set::apply(root, set, index + 1, problems));
        let key = set.split('=').next().unwrap_or_default().trim();
        if sweep::sweeps(root, key) {
            problems
                .add(format!("`{key}` is swept"), Place::new(index + 1, 0..key.len()))
                .label("each variant has a value of its own")
                .help(format!("change the swept values: --set 'sweep.{key}=[…]'"));
        }
    }
    let edits: Option<Vec<_>> = edits.into_iter().collect();
    let edited = set::edited(text, edits?);
    if edited.is_none() {
        problems.add_unplaced("the changes by --set cannot be written into this document");
    }
    edited
}

/// A file's name for people, and its text.
///
/// # Errors
/// Where it cannot be read, is too large or is no text.
pub(crate) fn read_text(path: &Path) -> Result<(String, String), Diagnostics> {
    let name = path.display().to_string();
    match text_of(path) {
        Ok(text) => Ok((name, text)),
        Err((message, help)) => Err(Diagnostics::of_file(&name, message, help)),
    }
}

/// A text as what errors point into.
///
/// # Errors
/// Where it is too large to be looked at.
pub(crate) fn source(name: &str, text: &str) -> Result<Source, Diagnostics> {
    if text.len() > FILE_BYTES_MAX {
        let (message, help) = too_large();
        return Err(Diagnostics::of_file(name, message, help));
    }
    Ok(Source { name: name.to_owned(), text: text.to_owned(), is_file: true })
}

/// The file's text, or what is wrong with it and what to do.
fn text_of(path: &Path) -> Result<String, (String, &'static str)> {
    let cannot = |error: std::io::Error| {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => "`twinwire init FILE` writes a scenario to start from",
            _ => "a readable TOML file is needed",
        };
        (format!("cannot read the file: {error}"), help)
    };
    let file = File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        (format!("the file is not UTF-8 text (byte {at})"), "a TOML file is UTF-8 text")
    })
}

fn too_large() -> (String, &'static str) {
    (
        "the file is larger than 1 MiB".to_owned(),
        "a few kilobytes of TOML are expected; is this the right file?",
    )
}
