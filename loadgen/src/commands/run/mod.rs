//! `twinwire run SCENARIO...`: load runs, one report folder each.

pub(super) mod assemble;
pub(super) mod progress;

use std::path::{Path, PathBuf};

use clap::Parser;
use jiff::Timestamp;
use tokio::sync::watch;

use super::floor_args::FloorArgs;
use super::target_args::{Plan, TargetArgs};
use super::{CommandError, Outcome, draw};
use crate::load::engine::Engine;
use crate::load::placement::Placement;
use crate::record::{Floor, RunRecord, Status};
use crate::report::table::{self, Style};
use crate::report::{self, json};
use crate::scenario::Document;
use progress::Progress;

/// Where report folders go without `--out`.
const RUNS: &str = "reports/runs";

/// Put a scenario's load on a target, check every reply, and write a report folder
///
/// Progress goes to stderr, the result to stdout. Ctrl-C stops the run and still writes the report of what was
/// measured; a second Ctrl-C ends at once.
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

    /// Report folder; with several scenarios each gets a subfolder. That of an earlier run is written over; one
    /// that holds anything else is refused [default: reports/runs/SCENARIO-TIME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Print one JSON object instead of tables: latencies in µs, rates in requests/s, the CPU of a request in µs
    #[arg(long)]
    pub json: bool,

    /// No progress
    #[arg(long)]
    pub quiet: bool,

    /// The harness's own floor
    #[command(flatten)]
    pub floor: FloorArgs,

    /// What to talk to
    #[command(flatten)]
    pub target: TargetArgs,
}

/// A scenario's record and the folder where its report is.
struct Finished {
    record: RunRecord,
    folder: PathBuf,
}

impl Run {
    /// Runs all scenarios. `colour`: whether stdout shows colours.
    ///
    /// # Errors
    /// Where a scenario, a flag or a file is wrong; a run that began is an outcome, however it ended.
    pub fn exec(self, colour: bool) -> Result<Outcome, CommandError> {
        let documents = self.documents()?;
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
    /// Runs all documents against what `plan` says.
    ///
    /// # Errors
    /// See [`Run::exec`].
    pub fn run_all(
        &self,
        documents: &[Document],
        plan: &Plan,
        colour: bool,
    ) -> Result<Outcome, CommandError> {
        for document in documents {
            Engine::check(document)?;
        }
        let floor = self.floor.read()?;
        let interrupt = interrupts()?;
        let mut finished = Vec::with_capacity(documents.len());
        for (document, folder) in documents.iter().zip(self.folders(documents)) {
            if *interrupt.borrow() {
                break;
            }
            let record = self.run(document, &folder, plan, floor.clone(), interrupt.clone())?;
            finished.push(Finished { record, folder });
        }
        let stdout = if self.json { to_json(&finished)? } else { tables(&finished, colour) };
        Ok(Outcome { stdout, stderr: complaints(&finished), exit_code: exit_code(&finished) })
    }

    /// A folder for each scenario; none of them twice.
    fn folders(&self, documents: &[Document]) -> Vec<PathBuf> {
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut taken: Vec<PathBuf> = Vec::new();
        for document in documents {
            let name = &document.scenario().name;
            let (wanted, ours) = match &self.out {
                Some(out) if documents.len() == 1 => (out.clone(), false),
                Some(out) => (out.join(name), false),
                None => (Path::new(RUNS).join(format!("{name}-{time}")), true),
            };
            let numbered = (2..).map(|number| PathBuf::from(format!("{}-{number}", wanted.display())));
            let mut candidates = std::iter::once(wanted.clone()).chain(numbered);
            // A folder that the user named may be there already; one that we name must be new.
            let free = candidates.find(|path| !(taken.contains(path) || ours && path.exists()));
            taken.push(free.unwrap_or(wanted));
        }
        taken
    }

    fn make(&self, folder: &Path) -> Result<(), CommandError> {
        std::fs::create_dir_all(folder).map_err(|error| {
            let advice = if self.out.is_none() { "; name a folder elsewhere with --out DIR" } else { "" };
            CommandError::Usage(format!("cannot make the folder `{}`: {error}{advice}", folder.display()))
        })
    }

    fn run(
        &self,
        document: &Document,
        folder: &Path,
        plan: &Plan,
        floor: Option<Floor>,
        interrupt: watch::Receiver<bool>,
    ) -> Result<RunRecord, CommandError> {
        check_folder(folder)?;
        let log = folder.join("server.log");
        let mut target = plan.target(&log)?;
        self.make(folder)?;
        start_log(&log, &target.describe())?;
        let placement = Placement::split(target.is_ours());
        let started = Timestamp::now();
        let mut progress = Progress::new(self.quiet);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(CommandError::Machine)?;
        let engine = Engine {
            document,
            target: &mut target,
            placement: placement.clone(),
            interrupt,
            tell: &mut |event| progress.tell(event),
        };
        let result = runtime.block_on(engine.run());
        progress.finish();
        let mut record = assemble::record(document, &target, &placement, started, result);
        record.floor = floor;
        let plots = draw(&record)?;
        report::write_folder(&record, &plots, folder)?;
        Ok(record)
    }
}

/// A folder that holds other things than a run is not ours to fill: plots of an older run are removed from it.
fn check_folder(folder: &Path) -> Result<(), CommandError> {
    if folder.is_file() {
        let folder = folder.display();
        return Err(CommandError::Usage(format!("--out `{folder}` is a file: name a folder for the report")));
    }
    let empty = std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    if empty || folder.join("run.json").is_file() || folder.join("server.log").is_file() {
        return Ok(());
    }
    Err(CommandError::Usage(format!(
        "--out `{}` exists and is no report folder: name a new or empty folder, or that of an earlier run, \
         which is then written over",
        folder.display()
    )))
}

/// Begins the folder with the server's log, so that one that cannot be written is known before the load.
fn start_log(log: &Path, target: &str) -> Result<(), CommandError> {
    let write = |source| CommandError::Write { path: log.to_owned(), source };
    std::fs::write(log, format!("# Log of the target ({target}): what it wrote, all trials in order.\n"))
        .map_err(write)
}

/// Turns the first Ctrl-C or SIGTERM into a wish to stop, and the second into an end at once.
pub(super) fn interrupts() -> Result<watch::Receiver<bool>, CommandError> {
    use tokio::signal::unix::{SignalKind, signal};

    let (sender, receiver) = watch::channel(false);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::Machine)?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        let interrupt = signal(SignalKind::interrupt()).map_err(CommandError::Machine)?;
        (interrupt, signal(SignalKind::terminate()).map_err(CommandError::Machine)?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if sender.send_replace(true) {
                    std::process::exit(i32::from(Status::Interrupted.exit_code()));
                }
            }
        });
    });
    Ok(receiver)
}

fn to_json(finished: &[Finished]) -> Result<String, CommandError> {
    let folders: Vec<String> = finished.iter().map(|run| run.folder.display().to_string()).collect();
    let runs: Vec<json::Run<'_>> =
        finished.iter().zip(&folders).map(|(run, folder)| json::run(&run.record, folder)).collect();
    let text = serde_json::to_string_pretty(&serde_json::json!({ "runs": runs }));
    Ok(text.map_err(report::ReportError::from)? + "\n")
}

fn tables(finished: &[Finished], colour: bool) -> String {
    let style = Style { color: colour };
    let tables: Vec<String> =
        finished.iter().map(|run| table::render(&run.record, &run.folder, style)).collect();
    tables.join("\n")
}

/// A line for each run that something ended before its time.
fn complaints(finished: &[Finished]) -> String {
    let messages = finished.iter().filter_map(|run| {
        let message = run.record.outcome.message.as_deref()?;
        Some(format!("error: {}: {}\n", run.record.scenario.name, crate::scenario::escape(message)))
    });
    messages.collect()
}

/// The code of the worst run, by the order in which the codes apply. A scenario of which nothing could run is an
/// error of usage, unless another one ran.
fn exit_code(finished: &[Finished]) -> u8 {
    const WORST_FIRST: [Status; 7] = [
        Status::Violated,
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
    // Nobody runs none, but by stopping before the first.
    worst.unwrap_or(Status::Interrupted).exit_code()
}
