//! `twinwire check FILE...`: parse and validate scenarios and scripted cases, run nothing.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::CommandError;
use crate::conform::case::Cases;
use crate::scenario::document::read_text;
use crate::scenario::model::Scenario;
use crate::scenario::{Diagnostics, Document};
use crate::text;

/// Check scenarios and scripted cases without running them
///
/// A file with `[[case]]` is one of scripted cases. Prints a line for each valid file, and all errors of all others
/// with file, line and column. Exits with 2 if there are any.
#[derive(Debug, Parser)]
pub struct Check {
    /// Files of scenarios or scripted cases (TOML)
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
        if !Cases::are_meant_by(&text) {
            let document = Document::parse(&name, &text, &self.sets)?;
            return Ok(summary(document.scenario(), document.variants().len()));
        }
        let cases = Cases::parse(&name, &text)?;
        if self.sets.is_empty() {
            return Ok(text::plural(cases.cases().len() as u64, "scripted case"));
        }
        Err(Diagnostics::of_file(&name, "--set on scripted cases", "--set changes load scenarios only"))
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
