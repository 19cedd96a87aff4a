//! `twinwire run SCENARIO...`: load runs, one report folder each.

mod assemble;
mod folders;
pub(super) mod progress;

use std::path::PathBuf;

use clap::Parser;
use jiff::Timestamp;
use tokio::sync::watch;

use super::floor_args::FloorArgs;
use super::interrupt::interrupts;
use super::target_args::{Plan, TargetArgs};
use super::{CommandError, CommandOutput, lines, write_report};
use crate::chart;
use crate::load::engine::Engine;
use crate::load::events::Event;
use crate::load::placement::Placement;
use crate::record::{Floor, RunRecord, Status};
use crate::report::contents::Contents;
use crate::report::folder::{LOG, RECORD, record_text};
use crate::report::terminal;
use crate::report::{self, Folder, json};
use crate::scenario::Document;
use crate::targets::Target;
use crate::text::{self, Paint};
use progress::Progress;

/// Put a scenario's load on a target, check every reply, and write a report folder
///
/// Progress goes to stderr, the result to stdout. Ctrl-C stops the run and still writes the report of what was
/// measured, as do SIGTERM, SIGQUIT and SIGHUP (not under nohup); a second one, half a second later or more, ends it at
/// once.
#[derive(Debug, Parser)]
pub struct Run {
    /// Scenario files (TOML), run one after the other
    #[arg(required = true, value_name = "SCENARIO")]
    pub scenarios: Vec<PathBuf>,

    /// How to run them, and where the results go
    #[command(flatten)]
    pub options: Options,
}

/// What every command that runs load takes.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Change a value of every scenario; an array's element goes by its name or by its number from 0:
    /// --set load.steady.duration=2s, --set load.0.trials=1, --set clients.guests.count=10 (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,

    /// Report folder; with several scenarios each gets a subfolder. Files of an earlier run in it are removed first;
    /// any other folder that is not empty is refused [default: reports/runs/SCENARIO-TIME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Print one JSON object instead of tables: latencies in µs, rates in requests/s, the CPU of a request in µs
    #[arg(long)]
    pub json: bool,

    /// Show no progress; warnings are still shown
    #[arg(long)]
    pub quiet: bool,

    /// The harness's own floor
    #[command(flatten)]
    pub floor: FloorArgs,

    /// What to talk to
    #[command(flatten)]
    pub target: TargetArgs,
}

/// A scenario's record and where it was saved.
struct Finished {
    record: RunRecord,
    folder: PathBuf,
    /// What could not be written.
    failed: Vec<CommandError>,
}

impl Run {
    /// Runs all scenarios. `colour`: whether stdout shows colours.
    ///
    /// # Errors
    /// If a scenario, a flag or a file is wrong; a run that began is an outcome, however it ended.
    pub fn exec(self, colour: bool) -> Result<CommandOutput, CommandError> {
        let documents = self.documents()?;
        self.options.target.refuse_profile()?;
        self.options.run_all(&documents, &self.options.target.plan()?, colour)
    }

    fn documents(&self) -> Result<Vec<Document>, CommandError> {
        let mut documents = Vec::new();
        let mut failed = Vec::new();
        for path in &self.scenarios {
            match Document::read(path, &self.options.sets) {
                Ok(document) => documents.push(document),
                Err(errors) => failed.push(errors),
            }
        }
        if failed.is_empty() {
            Ok(documents)
        } else {
            Err(CommandError::Scenarios { passed: String::new(), failed })
        }
    }
}

impl Options {
    /// Runs all documents against the target of `plan`.
    ///
    /// # Errors
    /// See [`Run::exec`].
    pub fn run_all(
        &self,
        documents: &[Document],
        plan: &Plan,
        colour: bool,
    ) -> Result<CommandOutput, CommandError> {
        for document in documents {
            Engine::check(document)?;
        }
        let floor = self.floor.read()?;
        let interrupt = interrupts()?;
        let folders = folders::prepare(self.out.as_deref(), documents)?;
        let mut finished: Vec<Finished> = Vec::with_capacity(documents.len());
        let mut broken: Option<CommandError> = None;
        for (document, folder) in documents.iter().zip(folders) {
            // A command that is stopped at its very beginning still reports its first scenario.
            if broken.is_some() || !finished.is_empty() && *interrupt.borrow() {
                folder.abandon();
                continue;
            }
            match self.run(document, folder, plan, floor.clone(), interrupt.clone()) {
                Ok(run) => finished.push(run),
                Err(error) => broken = Some(error),
            }
        }
        // What ran is reported, whatever happens to the rest.
        let broken = match broken {
            Some(error) if finished.is_empty() => return Err(error),
            broken => broken,
        };
        let stdout = if self.json { to_json(&finished)? } else { tables(&finished, colour) };
        let stderr = complaints(&finished) + &lines(broken.as_slice());
        let is_whole = broken.is_none() && finished.iter().all(|run| run.failed.is_empty());
        let exit_code = match exit_code(&finished) {
            0 if !is_whole => 2,
            code => code,
        };
        Ok(CommandOutput { stdout, stderr, exit_code })
    }

    fn run(
        &self,
        document: &Document,
        mut folder: Folder,
        plan: &Plan,
        floor: Option<Floor>,
        interrupt: watch::Receiver<bool>,
    ) -> Result<Finished, CommandError> {
        let mut target = match begin(&mut folder, document, plan) {
            Ok(target) => target,
            Err(error) => {
                folder.abandon();
                return Err(error);
            }
        };
        let placement = Placement::split(target.is_ours());
        let mut progress = Progress::new(self.quiet);
        let record = measure(document, &mut target, &placement, interrupt, &mut |event| progress.tell(event));
        progress.finish();
        let mut record = record?;
        record.floor = floor;
        Ok(save(record, folder))
    }
}

/// Runs a scenario's loads against the target.
///
/// # Errors
/// If the system refuses an event loop.
pub(super) fn measure(
    document: &Document,
    target: &mut Target,
    placement: &Placement,
    interrupt: watch::Receiver<bool>,
    on_event: &mut dyn FnMut(Event),
) -> Result<RunRecord, CommandError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::Machine)?;
    let started = Timestamp::now();
    let engine = Engine { document, target, placement: placement.clone(), interrupt, on_event };
    let result = runtime.block_on(engine.run());
    Ok(assemble::record(document, target, placement, started, result))
}

/// The target, and the log that it writes to.
fn begin(folder: &mut Folder, document: &Document, plan: &Plan) -> Result<Target, CommandError> {
    let target = plan.target(&folder.path().join(LOG), document.long_message())?;
    let first_line =
        format!("# Log of the target ({}): what it wrote, all trials in order.\n", target.describe());
    folder.begin_log(&first_line)?;
    Ok(target)
}

/// Writes the report, the record first. If the folder no longer takes the record, the record is saved elsewhere: what
/// was measured is never lost.
fn save(record: RunRecord, mut folder: Folder) -> Finished {
    let figures = chart::all(&record);
    let contents = Contents::new(&record);
    let names = contents.names(figures.iter().map(|figure| figure.name.as_str()));
    let path = folder.path().to_owned();
    let text = match record_text(&record, &names) {
        Ok(text) => text,
        Err(error) => return Finished { record, folder: path, failed: vec![error.into()] },
    };
    match folder.write(RECORD, text.as_bytes()) {
        Ok(()) => {
            let failed = write_report(&mut folder, &record, contents, figures);
            Finished { record, folder: path, failed }
        }
        Err(error) => {
            let (saved, told) = save_elsewhere(&record.scenario.name, &text);
            let failed = vec![error.into(), CommandError::Usage(told)];
            Finished { record, folder: saved.unwrap_or(path), failed }
        }
    }
}

/// Saves a record in a new folder among the temporary files, or in the current folder; the folder and a message about
/// it.
fn save_elsewhere(name: &str, text: &str) -> (Option<PathBuf>, String) {
    for place in [std::env::temp_dir(), PathBuf::from(".")] {
        let made = tempfile::Builder::new().prefix(&format!("twinwire-{name}-")).tempdir_in(place);
        // A folder that does not take the record is removed again.
        let Some(made) =
            made.ok().filter(|made| report::write_file(&made.path().join(RECORD), text.as_bytes()).is_ok())
        else {
            continue;
        };
        let path = made.keep();
        let shown = path.display();
        let told =
            format!("the run's record is in `{shown}/{RECORD}`: `twinwire report {shown}` draws its report");
        return (Some(path), told);
    }
    (None, "the run's record could not be saved anywhere: what is printed is all there is".to_owned())
}

fn to_json(finished: &[Finished]) -> Result<String, CommandError> {
    let folders: Vec<String> = finished.iter().map(|run| run.folder.display().to_string()).collect();
    let runs: Vec<json::JsonRun<'_>> =
        finished.iter().zip(&folders).map(|(run, folder)| json::run(&run.record, folder)).collect();
    let text = serde_json::to_string_pretty(&serde_json::json!({ "runs": runs }));
    Ok(text.map_err(report::ReportError::from)? + "\n")
}

fn tables(finished: &[Finished], colour: bool) -> String {
    let style = Paint { colour };
    let tables: Vec<String> =
        finished.iter().map(|run| terminal::render(&run.record, &run.folder, style)).collect();
    tables.join("\n")
}

/// A line for each run that ended early, and for each file that could not be written.
fn complaints(finished: &[Finished]) -> String {
    let messages = finished.iter().map(|run| {
        let message =
            run.record.outcome.message.as_deref().map(|message| {
                format!("error: {}: {}\n", run.record.scenario.name, text::printable(message))
            });
        message.unwrap_or_default() + &lines(&run.failed)
    });
    messages.collect()
}

/// The code of the worst run, in the order in which the codes apply. A scenario of which nothing could run is an error
/// of usage unless another one ran.
fn exit_code(finished: &[Finished]) -> u8 {
    const WORST_FIRST: [Status; 8] = [
        Status::Violated,
        Status::CorrectnessMissed,
        Status::TargetLost,
        Status::Invalid,
        Status::ThresholdMissed,
        Status::Interrupted,
        Status::Passed,
        Status::NothingRan,
    ];
    let worst = WORST_FIRST
        .into_iter()
        .find(|status| finished.iter().any(|run| run.record.outcome.status == *status));
    // Without a run, the user stopped before the first.
    worst.unwrap_or(Status::Interrupted).exit_code()
}
