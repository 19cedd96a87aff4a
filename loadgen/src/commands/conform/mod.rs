//! `twinwire conform [PATH|CASE-ID]...`: the conformance suite.

mod files;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::interrupt::interrupts;
use super::target_args::{Plan, TargetArgs};
use super::{CommandError, CommandOutput, lines};
use crate::conform::case::model::Level;
use crate::conform::profile::Profile;
use crate::conform::servers::{self, Server};
use crate::conform::suite::{self, Event, Options, SuiteCase};
use crate::conform::verdict::SuiteResult;
use crate::conform::{built_in, report};
use crate::report::ReportError;
use crate::scenario::{HOUR, MILLISECOND, duration_within};
use crate::text::Paint;
use files::Files;

/// Exit codes, the first that applies.
const EXIT_CODES: &str = "\
Exit codes (the first that applies):
  2    wrong usage, case or file
  1    a case failed, a known failure passed, or not every case that was due has
       a result; --strict: also a warning or an unstable case
  3    no target, or it was lost
  130  interrupted
  4    a case is unknown because of this machine, or nothing ran
  0    all passed";

/// Check a server against the protocol, rule by rule
///
/// Runs scripted cases over each transport of the target, and each of them again with its bytes cut and joined in every
/// other way. Without a target it tests the embedded server, with limits, policies and an operator of its own.
#[derive(Debug, Parser)]
#[command(after_help = EXIT_CODES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Conform {
    /// Files or folders of scripted cases (TOML), such as violations/*.toml of a run, or ids of cases [default: all that
    /// are built in]
    #[arg(value_name = "PATH|CASE-ID")]
    pub cases: Vec<String>,

    /// Run only cases whose id or one of whose rules this matches, such as 'ATOM*' or 'login-*' (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub filter: Vec<String>,

    /// Run only what any honest implementation does (core), or all (full)
    #[arg(long, value_name = "LEVEL", default_value = "full", value_parser = ["core", "full"])]
    pub level: String,

    /// List the cases and run none
    #[arg(long)]
    pub list: bool,

    /// End with the first failure
    #[arg(long)]
    pub fail_fast: bool,

    /// Let warnings and unstable cases fail the run
    #[arg(long)]
    pub strict: bool,

    /// The longest that one expectation may take
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = timeout)]
    pub timeout: Duration,

    /// What the cases draw follows from it [default: another one each time]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Cases that run at the same time [default: 16, or as the profile says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: Option<u32>,

    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,

    /// Show no progress
    #[arg(long)]
    pub quiet: bool,

    /// Report folder: a page that leads from rules and transports to their cases, and results.jsonl, to which each case
    /// is added as it ends. Files of an earlier suite there are removed first; a folder that holds anything else and no
    /// conform.json is refused
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Write the result as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,

    /// Write the result as Markdown, for a CI's job page
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,

    /// Write the result as a badge's endpoint (shields.io's JSON)
    #[arg(long, value_name = "FILE")]
    pub badge: Option<PathBuf>,

    /// What to talk to
    #[command(flatten)]
    pub target: TargetArgs,
}

fn timeout(text: &str) -> Result<Duration, String> {
    duration_within(text, MILLISECOND, HOUR)
}

/// Checks that every case which the profile names is there, among those that are built in or these.
fn check_profile(profile: &Profile, cases: &[SuiteCase]) -> Result<(), CommandError> {
    let built_in = built_in::all();
    let ids: Vec<&str> = built_in.iter().chain(cases).map(|case| case.case.id.as_str()).collect();
    let checked = profile.check_cases(&ids);
    checked.map_err(|errors| CommandError::Scenarios { passed: String::new(), failed: vec![errors] })
}

impl Conform {
    /// Runs the suite. `colour`: whether stdout shows colours.
    ///
    /// # Errors
    /// Where a case, a flag or a file is wrong; a suite that began is an outcome, however it ended.
    pub fn exec(self, colour: bool) -> Result<CommandOutput, CommandError> {
        let profile = self.target.profile()?;
        let plan = self.target.plan()?;
        let mut cases = built_in::chosen(&self.cases, &self.filter)?;
        check_profile(&profile, &cases)?;
        let level = if self.level == "core" { Level::Core } else { Level::Full };
        if self.list {
            cases.retain(|case| level == Level::Full || case.case.level == Level::Core);
            let listed = if self.json {
                report::list_json(&cases).map_err(ReportError::from)?
            } else {
                report::list(&cases)
            };
            return Ok(CommandOutput::success(listed));
        }
        let interrupt = interrupts()?;
        let is_ours = !matches!(plan, Plan::External(_));
        let mut files = Files::prepare(&self, is_ours)?;
        let executable = std::env::current_exe().map_err(CommandError::Machine)?;
        let unkept = tempfile::NamedTempFile::new().map_err(CommandError::Machine)?;
        let log = files.log().unwrap_or_else(|| unkept.path().to_owned());
        let mut embedded = None;
        let target;
        let servers: Vec<Server> = match &plan {
            Plan::Embedded => {
                let made = servers::embedded(&executable, &log, &profile).map_err(CommandError::Machine)?;
                embedded = Some(made.folder);
                target = "embedded server".to_owned();
                made.servers
            }
            plan => {
                let mut transports = plan.transports();
                if let Some(tested) = &profile.transports {
                    transports.retain(|transport| tested.contains(transport));
                }
                let made = plan.target(&log, None)?;
                target = made.describe();
                vec![Server::target(made, transports, profile.clone())]
            }
        };
        let options = Options {
            level,
            timeout: self.timeout,
            // Few enough digits to be typed again, and exact in every reader of JSON.
            seed: self.seed.unwrap_or_else(|| rand::random::<u32>().into()),
            jobs: self.jobs,
            fail_fast: self.fail_fast,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(CommandError::Machine)?;
        files.begin(&target, &profile.name, options.seed)?;
        let mut progress = report::Progress::new(self.quiet);
        let mut result = runtime.block_on(suite::run(&cases, &servers, &options, interrupt, |event| {
            if let Event::Done(case) = event {
                files.take(case);
            }
            progress.tell(&event);
        }));
        result.target = target;
        drop(embedded);
        self.end(&result, files, colour)
    }

    /// Writes and prints the result.
    fn end(&self, result: &SuiteResult, files: Files, colour: bool) -> Result<CommandOutput, CommandError> {
        let mut stdout = if self.json {
            let folder = files.folder().map(|folder| folder.display().to_string());
            report::json(result, self.strict, folder.as_deref()).map_err(ReportError::from)?
        } else {
            report::terminal(result, self.strict, Paint { colour })
        };
        if let Some(page) = files.page().filter(|_| !self.json) {
            let _ = writeln!(stdout, "  report: {}", page.display());
        }
        let failed = files.finish(result, self.strict);
        let exit_code = match result.exit_code(self.strict) {
            0 if !failed.is_empty() => 2,
            code => code,
        };
        Ok(CommandOutput { stdout, stderr: lines(&failed), exit_code })
    }
}
