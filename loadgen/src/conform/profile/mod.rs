//! Profiles: what a target supports, and where it differs from the protocol on purpose.
//!
//! TOML text → checked document → [`Profile`], with the machinery of scenarios and cases: `format` describes every key,
//! `decode` builds the profile. No I/O but reading the file and, for a secret, the environment.

mod decode;
mod format;
mod model;

use std::ffi::OsString;
use std::path::Path;

use serde_json::Value;

pub use self::model::{Exception, Excluded, KnownFailure, Limits, Operator, Policy, Profile};

use self::format::PROFILE;
use self::model::Written;
use crate::scenario::diagnostics::{Diagnostics, Problems};
use crate::scenario::document::{read_text, source};
use crate::scenario::shape::nearest;
use crate::scenario::{schema, tree};
use crate::text::backquoted;

/// The profiles that every `twinwire` knows by name.
const BUILT_IN: [(&str, &str); 1] =
    [("original", include_str!("../../../../scenarios/profiles/original.toml"))];

impl Profile {
    /// The built-in profile of this name, else the one in this file.
    ///
    /// # Errors
    /// Everything that is wrong with it; where there is neither, the built-in names.
    pub fn named(name_or_path: &str) -> Result<Self, Diagnostics> {
        let variable = |name: &str| std::env::var_os(name);
        if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_path) {
            return Self::parse(&format!("{name} (built in)"), text, variable);
        }
        let path = Path::new(name_or_path);
        if !path.exists() {
            let names = BUILT_IN.map(|(name, _)| name);
            let help = match nearest(name_or_path, &names) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("built in: {}; anything else is the path of a TOML file", backquoted(&names)),
            };
            let message = "no built-in profile has this name, and there is no such file";
            return Err(Diagnostics::of_file(name_or_path, message, &help));
        }
        let (name, text) = read_text(path)?;
        Self::parse(&name, &text, variable)
    }

    /// Checks a text that comes from `source_name`; `variable` looks up a variable of the environment, for the secret.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(
        source_name: &str,
        text: &str,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Diagnostics> {
        let source = source(source_name, text)?;
        let mut problems = Problems::default();
        let decoded = tree::document(text, 0, &mut problems)
            .and_then(|root| decode::profile(root, &variable, &mut problems));
        match decoded {
            Some((mut profile, cases)) if problems.is_empty() => {
                profile.written = Some(Written { source, cases });
                Ok(profile)
            }
            _ => {
                if problems.is_empty() {
                    problems.add_unplaced("this is no usable profile");
                }
                Err(problems.finish(vec![source]))
            }
        }
    }

    /// Whether a text is meant to be a profile: it has keys that only a profile has, or none that a profile has not.
    #[must_use]
    pub fn is_meant_by(text: &str) -> bool {
        let Some(root) = tree::document(text, 0, &mut Problems::default()) else { return false };
        let of_others = ["case", "load", "clients"];
        let keys: Vec<&str> = root.entries().iter().map(|entry| entry.key.as_str()).collect();
        let own = |key: &&str| PROFILE.key(key).is_some();
        let shared = ["name", "transports"];
        !keys.is_empty()
            && !keys.iter().any(|key| of_others.contains(key))
            && (keys.iter().all(own) || keys.iter().any(|key| own(key) && !shared.contains(key)))
    }

    /// Checks the cases that the profile names against those that there are.
    ///
    /// # Errors
    /// Every one that is not among `known`, each with its line.
    pub fn check_cases(&self, known: &[&str]) -> Result<(), Diagnostics> {
        let Some(written) = &self.written else { return Ok(()) };
        let mut problems = Problems::default();
        for (case, at) in written.cases.iter().filter(|(case, _)| !known.contains(&case.as_str())) {
            let label = match nearest(case, known) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => "the suite has no such case".to_owned(),
            };
            problems.add(format!("unknown case \"{case}\""), *at).label(label);
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.finish(vec![written.source.clone()])) }
    }
}

/// The JSON schema of a profile.
#[must_use]
pub fn json_schema() -> Value {
    schema::document(&PROFILE, "Twinwire profile", &[])
}

#[cfg(test)]
mod tests;
