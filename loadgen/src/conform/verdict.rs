//! What became of each case.

use std::time::Duration;

use serde::Serialize;

use super::case::model::{Case, Level};
use super::cutting::Cutting;
use super::failure::Failure;
use super::transcript::Entry;
use crate::domain::{Rule, Transport};

/// What became of a case over one transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It shows a SHOULD, or that something took too long, and failed.
    Warned,
    /// It failed for its time only, and passed alone.
    Unstable,
    /// It failed, as the profile says.
    ExpectedFailure,
    /// It failed.
    Failed,
    /// It passed, though the profile says that it fails.
    UnexpectedPass,
    /// This machine could not run it, or the target was gone.
    Unknown,
    /// It was not run: the profile, the level or a missing transport says why.
    Skipped,
}

impl Verdict {
    /// All of them, in the order in which reports count them.
    pub const ALL: [Self; 8] = [
        Self::Passed,
        Self::Warned,
        Self::Unstable,
        Self::ExpectedFailure,
        Self::Failed,
        Self::UnexpectedPass,
        Self::Unknown,
        Self::Skipped,
    ];

    /// The name that reports show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Warned => "warned",
            Self::Unstable => "unstable",
            Self::ExpectedFailure => "expected failure",
            Self::Failed => "failed",
            Self::UnexpectedPass => "unexpected pass",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }

    /// Whether it fails the suite; a strict suite is failed by warnings and unstable cases, too.
    #[must_use]
    pub const fn fails(self, strict: bool) -> bool {
        match self {
            Self::Failed | Self::UnexpectedPass => true,
            Self::Warned | Self::Unstable => strict,
            Self::Passed | Self::ExpectedFailure | Self::Unknown | Self::Skipped => false,
        }
    }

    /// What stands for it where there is little room; each also without colours.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Passed => "✓",
            Self::Warned => "!",
            Self::Unstable => "~",
            Self::ExpectedFailure => "(✗)",
            Self::Failed => "✗",
            Self::UnexpectedPass => "(✓)",
            Self::Unknown => "?",
            Self::Skipped => "–",
        }
    }

    /// The verdicts from the one that is to be seen first to the one that matters least.
    pub const WORST_FIRST: [Self; 8] = [
        Self::Failed,
        Self::UnexpectedPass,
        Self::Unknown,
        Self::Unstable,
        Self::Warned,
        Self::ExpectedFailure,
        Self::Passed,
        Self::Skipped,
    ];
}

/// A case's result over one transport.
#[derive(Debug, Clone)]
pub struct CaseResult {
    /// The case's id.
    pub id: String,
    /// The file it comes from, without its ending: the group in reports.
    pub group: String,
    /// What it shows.
    pub about: String,
    /// The requirements that it shows.
    pub rules: Vec<Rule>,
    /// Who must pass it.
    pub level: Level,
    /// Over which transport; `None` where it was skipped for lack of one.
    pub transport: Option<Transport>,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, where it was skipped or is unknown, or what is to be known besides.
    pub reason: String,
    /// Whether the server died in it.
    pub server_died: bool,
    /// What went wrong, where something did.
    pub failure: Option<Box<Failure>>,
    /// In which cutting it went wrong.
    pub cutting: Cutting,
    /// What went over the wire, where it did not pass.
    pub transcript: Vec<Entry>,
    /// The clients' names in the case, for the transcript.
    pub clients: Vec<String>,
    /// How often it was run: once for each cutting, and again where it had to be.
    pub runs: u32,
    /// How long all of that took.
    pub elapsed: Duration,
}

impl CaseResult {
    /// The result of a case that is not run.
    pub(super) fn not_run(
        case: &Case,
        group: &str,
        transport: Option<Transport>,
        verdict: Verdict,
        reason: String,
    ) -> Self {
        Self {
            id: case.id.clone(),
            group: group.to_owned(),
            about: case.about.clone(),
            rules: case.rules.clone(),
            level: case.level,
            transport,
            verdict,
            reason,
            server_died: false,
            failure: None,
            cutting: Cutting::Whole,
            transcript: Vec::new(),
            clients: case.clients.iter().map(|client| client.name.clone()).collect(),
            runs: 0,
            elapsed: Duration::ZERO,
        }
    }
}

/// What the whole suite came to.
#[derive(Debug)]
pub struct SuiteResult {
    /// What was tested.
    pub target: String,
    /// The profile's name.
    pub profile: String,
    /// The seed of what the cases drew.
    pub seed: u64,
    /// A result for each case and transport that were due.
    pub cases: Vec<CaseResult>,
    /// How many were due, known beforehand.
    pub due: usize,
    /// How long it took.
    pub elapsed: Duration,
    /// Where the target was never there or died, what there is to say of it.
    pub lost: Option<String>,
    /// Cases beside which the server died, and which did not end it when they ran alone.
    pub deaths: Vec<String>,
    /// Whether it was interrupted.
    pub interrupted: bool,
}

impl SuiteResult {
    /// How many cases have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.cases.iter().filter(|case| case.verdict == verdict).count()
    }

    /// What it comes to. A strict suite is failed by warnings and unstable cases, too.
    #[must_use]
    pub fn outcome(&self, strict: bool) -> Outcome {
        let ran = self.cases.iter().any(|case| !matches!(case.verdict, Verdict::Skipped | Verdict::Unknown));
        let failed = self.cases.iter().any(|case| case.verdict.fails(strict));
        if failed || self.is_incomplete() || !self.deaths.is_empty() {
            Outcome::Failed
        } else if self.lost.is_some() {
            Outcome::TargetLost
        } else if self.count(Verdict::Unknown) > 0 {
            Outcome::Undecided
        } else if self.interrupted {
            Outcome::Interrupted
        } else if !ran {
            Outcome::Undecided
        } else {
            Outcome::Passed
        }
    }

    /// Whether another number of cases has a result than was due, though nobody interrupted the suite.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        !self.interrupted && self.cases.len() != self.due
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self, strict: bool) -> u8 {
        self.outcome(strict).exit_code()
    }
}

/// What a suite comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The target passed.
    Passed,
    /// It failed, or not every case that was due has a result.
    Failed,
    /// There was no target, or it died.
    TargetLost,
    /// The suite was interrupted before anything failed.
    Interrupted,
    /// Nothing ran, or this machine could not run everything.
    Undecided,
}

impl Outcome {
    /// The name that reports show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::TargetLost => "no target",
            Self::Interrupted => "interrupted",
            Self::Undecided => "not decided",
        }
    }

    /// The process's exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::TargetLost => 3,
            Self::Undecided => 4,
            Self::Interrupted => 130,
        }
    }
}
