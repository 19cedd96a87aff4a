//! `twinwire check FILE...`: parse and validate scenarios, scripted cases and profiles, run nothing.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::CommandError;
use crate::conform::case::Cases;
use crate::conform::profile::Profile;
use crate::scenario::document::read_text;
use crate::scenario::model::Scenario;
use crate::scenario::{Diagnostics, Document};
use crate::text;

/// Check scenarios, scripted cases and profiles without running them
///
/// A file with `[[case]]` is one of scripted cases, one with the keys of a profile is a profile. Prints a line for each
/// valid file, and all errors of all others with file, line and column. Exits with 2 if there are any.
#[derive(Debug, Parser)]
pub struct Check {
    /// Files of scenarios, scripted cases or profiles (TOML)
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Change a value before checking, in each scenario: --set load.paced.rate=500
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

impl Check {
    /// Checks all files; the text is a line for each.
    ///
    /// # Errors
    /// All errors of all files that are not valid.
    pub fn exec(self) -> Result<String, CommandError> {
        let mut passed = String::new();
        let mut failed = Vec::new();
        for file in &self.files {
            match self.check(file) {
                Ok(summary) => {
                    let name = text::printable(&file.display().to_string());
                    let _ = writeln!(passed, "ok  {name}  ({summary})");
                }
                Err(errors) => failed.push(errors),
            }
        }
        if failed.is_empty() { Ok(passed) } else { Err(CommandError::Scenarios { passed, failed }) }
    }

    /// What a file is, in a few words.
    fn check(&self, file: &Path) -> Result<String, Diagnostics> {
        let (name, text) = read_text(file)?;
        let (what, summary) = if Cases::are_meant_by(&text) {
            let cases = Cases::parse(&name, &text)?;
            ("scripted cases", text::plural(cases.cases().len() as u64, "scripted case"))
        } else if Profile::is_meant_by(&text) {
            // The file is right wherever its secret is kept.
            let profile = Profile::parse(&name, &text, |_| Some("secret".into()))?;
            ("a profile", format!("profile `{}`", profile.name))
        } else {
            let document = Document::parse(&name, &text, &self.sets)?;
            return Ok(summary(document.scenario(), document.variants().len()));
        };
        if self.sets.is_empty() {
            return Ok(summary);
        }
        Err(Diagnostics::of_file(&name, format!("--set on {what}"), "--set changes load scenarios only"))
    }
}

/// What the scenario is, in a few words.
fn summary(scenario: &Scenario, variants: usize) -> String {
    let names: Vec<_> = scenario.transports.iter().map(|transport| transport.name()).collect();
    let transports = text::list(&names);
    let loads = text::plural(scenario.loads.len() as u64, "load");
    let clients = text::plural(scenario.clients().into(), "client");
    let variants = if variants > 1 { format!(", {variants} variants") } else { String::new() };
    format!("{loads}, {clients}, {transports}{variants}")
}
