//! Scripted cases: TOML text → checked document → validated [`model::Case`]s.
//!
//! The way of the data is that of a scenario, and so is the machinery (`scenario::tree`, `shape`, `reader`,
//! `diagnostics`): `format` describes every key, `text` reads the placeholders in messages, `decode` builds the cases.

mod decode;
mod format;
pub mod model;
mod text;

use std::path::Path;

use serde_json::Value;

use self::format::{CASES, STEP, STEP_NAME};
use self::model::Case;
use crate::scenario::diagnostics::{Diagnostics, Problems};
use crate::scenario::document::{read_text, source};
use crate::scenario::{schema, tree};

/// A checked file of scripted cases.
#[derive(Debug, Clone, PartialEq)]
pub struct Cases {
    cases: Vec<Case>,
}

impl Cases {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, Diagnostics> {
        let (name, text) = read_text(path)?;
        Self::parse(&name, &text)
    }

    /// Checks a text that comes from `source_name`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(source_name: &str, text: &str) -> Result<Self, Diagnostics> {
        let sources = vec![source(source_name, text)?];
        let mut problems = Problems::default();
        let cases =
            tree::document(text, 0, &mut problems).and_then(|root| decode::cases(root, &mut problems));
        match cases {
            Some(cases) if problems.is_empty() => Ok(Self { cases }),
            _ => {
                if problems.is_empty() {
                    problems.add_unplaced("these are no usable cases");
                }
                Err(problems.finish(sources))
            }
        }
    }

    /// Whether a text is meant to be a file of scripted cases: it has `[[case]]`. A text that is not even TOML has not.
    #[must_use]
    pub fn are_meant_by(text: &str) -> bool {
        tree::document(text, 0, &mut Problems::default()).is_some_and(|root| root.entry("case").is_some())
    }

    /// The cases by themselves.
    #[must_use]
    pub fn into_cases(self) -> Vec<Case> {
        self.cases
    }

    /// The cases, at least one, in the order of the file.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }
}

/// The JSON schema of a file of scripted cases.
#[must_use]
pub fn json_schema() -> Value {
    schema::document(&CASES, "Twinwire scripted cases", &[(STEP_NAME, &STEP)])
}
