//! `twinwire calibrate`: the harness against a target that does next to nothing.
//!
//! It writes a scenario as text and runs it through the same engine as any other, with the null target in the embedded
//! server's place, so that process layout, plan and judgement are those of a run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use jiff::Timestamp;
use tokio::sync::watch;

use super::floor_args::CALIBRATION;
use super::interrupt::interrupts;
use super::quick::rate;
use super::run::{measure, progress::Progress};
use super::target_args::transport;
use super::{CommandError, CommandOutput};
use crate::domain::Transport;
use crate::load::engine::Engine;
use crate::load::events::{Event, PassLabel};
use crate::load::placement::Placement;
use crate::record::{FLOOR_SCHEMA, Floor, FloorLayout, RunRecord, Status, VerdictLevel};
use crate::report::{self, floor};
use crate::scenario::{Document, HOUR, duration_within};
use crate::stats::floor::{PACED, SATURATED, layout};
use crate::targets::Target;
use crate::targets::embedded::Embedded;
use crate::text;

/// The file name in the scenario's errors.
const SOURCE: &str = "the scenario of `calibrate`";

/// Trials of each load, each with the transports in a newly drawn order: enough that one bad moment of the machine
/// affects a third of the samples at most.
const TRIALS: u32 = 3;

/// Length of the warm-up as a share of the measurement.
const WARMUP_SHARE: u32 = 4;

/// Least `--duration`.
const DURATION_MIN: Duration = Duration::from_millis(10);

/// Measure the harness's own floor on this machine
///
/// Puts load on a target that does little more than answer legally, in a process of its own like the embedded server:
/// first with server and generator on no CPUs of their own, as with a server at a given address, then on those that a
/// run would give them. Measured over each transport are, under an open load at --rate, the latencies, the timer's
/// lateness and the CPU time for each request, and, under a closed load without think time, the highest rate that the
/// harness can offer here and the side that was full. What a run shows is never below this; runs find the file and show
/// it next to their figures. With the defaults it takes about a minute. Nothing else should run meanwhile.
#[derive(Debug, Parser)]
pub struct Calibrate {
    /// Transports: tcp, tcp-raw, websocket (repeatable) [default: tcp and websocket]
    #[arg(long = "transport", value_name = "TRANSPORT", value_parser = null_transport)]
    pub transports: Vec<Transport>,

    /// Requests a second over all connections, under which latencies are measured; a rate like that of your own
    /// load gives the floor that belongs to it
    #[arg(short = 'R', long, value_name = "RATE", default_value = "4000", value_parser = rate)]
    pub rate: f64,

    /// Connections
    #[arg(short, long, value_name = "N", default_value = "64", value_parser = RangedU64ValueParser::<u32>::new().range(1..=100_000))]
    pub connections: u32,

    /// Bytes of each value, at least 16
    #[arg(long, value_name = "N", default_value = "64", value_parser = RangedU64ValueParser::<u32>::new().range(16..=60_000))]
    pub value_size: u32,

    /// Measured time of each load on each transport in each of three trials
    #[arg(short, long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub duration: Duration,

    /// Where to write the floor [default: reports/runs/calibration.json]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Print the floor as JSON instead of tables
    #[arg(long)]
    pub json: bool,

    /// Show no progress
    #[arg(long)]
    pub quiet: bool,
}

/// A transport that the null target offers.
fn null_transport(name: &str) -> Result<Transport, String> {
    let transport = transport(name)?;
    if Embedded::NULL_OFFERS.contains(&transport) {
        return Ok(transport);
    }
    Err("there is no floor for TLS: even a target that does next to nothing would have to encrypt".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    duration_within(text, DURATION_MIN, HOUR)
}

impl Calibrate {
    /// Measures and writes the floor.
    ///
    /// # Errors
    /// If a flag is wrong, or the file cannot be written; a measurement that began is an outcome, however it ended.
    pub fn exec(self) -> Result<CommandOutput, CommandError> {
        let document = self.document()?;
        Engine::check(&document)?;
        let file = self.out.clone().unwrap_or_else(|| PathBuf::from(CALIBRATION));
        check_file(&file)?;
        let interrupt = interrupts()?;
        let started = Timestamp::now();
        let mut layouts = Vec::new();
        let placements = placements();
        let mut progress = Progress::new(self.quiet);
        for (part, placement) in placements.iter().enumerate() {
            let mut tell = |event| progress.tell(renumbered(event, part, placements.len()));
            let record = run(&document, placement, interrupt.clone(), &mut tell)?;
            progress.finish();
            if record.outcome.interrupted || !is_whole(&record) {
                return Ok(broken_off(&record));
            }
            layouts.push(layout(&record));
        }
        let floor = self.floor(started, layouts);
        let json = serde_json::to_string_pretty(&floor).map_err(report::ReportError::from)? + "\n";
        let written = report::write_file(&file, json.as_bytes());
        let stdout = if self.json { json } else { floor::calibration(&floor, &file.display().to_string()) };
        let invalid = floor.layouts.iter().any(|layout| layout.level == VerdictLevel::Invalid);
        let status = if invalid { Status::Invalid } else { Status::Passed };
        let (stderr, exit_code) = match (written, status.exit_code()) {
            (Ok(()), code) => (String::new(), code),
            // The measurement is not lost: it stands on stdout.
            (Err(error), 0) => (format!("error: {error}\n"), 2),
            (Err(error), code) => (format!("error: {error}\n"), code),
        };
        Ok(CommandOutput { stdout, stderr, exit_code })
    }

    fn floor(&self, started: Timestamp, layouts: Vec<FloorLayout>) -> Floor {
        Floor {
            schema: FLOOR_SCHEMA,
            twinwire: env!("CARGO_PKG_VERSION").to_owned(),
            measured: started.to_string(),
            rate: self.rate,
            connections: self.connections,
            value_bytes: self.value_size,
            layouts,
        }
    }

    fn document(&self) -> Result<Document, CommandError> {
        Document::parse(SOURCE, &self.scenario(), &[])
            .map_err(|errors| CommandError::Scenarios { passed: String::new(), failed: vec![errors] })
    }

    /// Two loads of clients with one key each: all that the null target can answer.
    fn scenario(&self) -> String {
        let mut transports = match self.transports.as_slice() {
            [] => vec![Transport::Tcp, Transport::WebSocket],
            asked => asked.to_vec(),
        };
        transports.sort_unstable();
        transports.dedup();
        let transports: Vec<String> = transports.iter().map(|name| format!("\"{name}\"")).collect();
        let transports = transports.join(", ");
        let ms = |duration: Duration| format!("{}ms", duration.as_millis());
        let (duration, warmup) = (ms(self.duration), ms(self.duration / WARMUP_SHARE));
        let Self { rate, connections, value_size, .. } = self;
        format!(
            r#"
name = "calibration"
about = "The harness against a target that does next to nothing"
transports = [{transports}]

[[load]]
name = "{PACED}"
model = "open"
rate = {rate:?}
arrivals = "poisson"
warmup = "{warmup}"
duration = "{duration}"
trials = {TRIALS}

[[load]]
name = "{SATURATED}"
model = "closed"
think = "0ms"
warmup = "{warmup}"
duration = "{duration}"
trials = {TRIALS}

[[clients]]
name = "clients"
role = "guest"
count = {connections}
mix = {{ put = 1, get = 2 }}
keys = {{ count = 1 }}
values = {{ size = {value_size} }}
"#
        )
    }
}

/// Checks that the floor can be written, which should not be known only after a minute's work: over an older floor, or
/// where nothing is yet.
fn check_file(file: &Path) -> Result<(), CommandError> {
    let failed = |source| CommandError::Write { path: file.to_owned(), source };
    match std::fs::symlink_metadata(file) {
        Ok(metadata) if !metadata.is_file() || Floor::read(file).is_err() => {
            return Err(CommandError::Usage(format!(
                "`{}` exists and was not written by `twinwire calibrate`: name another file with --out",
                file.display()
            )));
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .map_err(|source| CommandError::Write { path: folder.to_owned(), source })?;
    if !file.exists() {
        // The name itself is tried, too.
        std::fs::File::create_new(file).and_then(|_| std::fs::remove_file(file)).map_err(failed)?;
    }
    tempfile::tempfile_in(folder).map(|_| ()).map_err(failed)
}

/// One run of both loads.
fn run(
    document: &Document,
    placement: &Placement,
    interrupt: watch::Receiver<bool>,
    tell: &mut dyn FnMut(Event),
) -> Result<RunRecord, CommandError> {
    let executable = std::env::current_exe().map_err(CommandError::Machine)?;
    let log = tempfile::NamedTempFile::new().map_err(CommandError::Machine)?;
    let mut target = Target::Embedded(Box::new(Embedded::null(executable, log.path())));
    measure(document, &mut target, placement, interrupt, tell)
}

/// Numbers the passes through all parts.
fn renumbered(event: Event, part: usize, parts: usize) -> Event {
    match event {
        Event::PassStarted(label) => Event::PassStarted(PassLabel {
            pass: label.pass + part * label.passes,
            passes: label.passes * parts,
            ..label
        }),
        other => other,
    }
}

/// No CPUs of their own, then those of a run against the embedded server, if there are enough.
fn placements() -> Vec<Placement> {
    let mut placements = vec![Placement::default(), Placement::split(true)];
    placements.dedup();
    placements
}

/// Whether everything was measured, well or not.
fn is_whole(record: &RunRecord) -> bool {
    let ran = matches!(record.outcome.status, Status::Passed | Status::Invalid);
    ran && record.outcome.message.is_none() && record.passes.iter().all(|pass| pass.complete)
}

/// A partial calibration is useless, so nothing is written.
fn broken_off(record: &RunRecord) -> CommandOutput {
    let why = match (&record.outcome.message, record.violations.first()) {
        (Some(message), _) => message.clone(),
        (None, Some(wrong)) => {
            format!("`{}` was answered `{}`, expected {}", wrong.request, wrong.seen, wrong.expected)
        }
        (None, None) => "interrupted".to_owned(),
    };
    let stderr = format!("error: no floor was written: {}\n", text::printable(&why));
    // A measurement that is whole but for clients that were lost has passed as a run, and not as a floor.
    let exit_code = match record.outcome.status {
        Status::Passed | Status::CorrectnessMissed => Status::Invalid.exit_code(),
        status => status.exit_code(),
    };
    CommandOutput { stdout: String::new(), stderr, exit_code }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Model;

    fn parsed(arguments: &[&str]) -> Result<Calibrate, clap::Error> {
        Calibrate::try_parse_from(std::iter::once(&"calibrate").chain(arguments))
    }

    #[test]
    fn the_scenario_is_what_the_flags_ask_for() {
        let flags = ["--transport", "websocket", "--transport", "tcp", "-R", "2500", "-c", "7"];
        let calibrate = parsed(&[&flags[..], &["--value-size", "100", "-d", "1500ms"]].concat()).unwrap();
        let document = calibrate.document().unwrap();
        let scenario = document.scenario();
        assert_eq!(scenario.transports, [Transport::Tcp, Transport::WebSocket]);
        assert_eq!((scenario.clients(), scenario.groups[0].keys.count), (7, 1));
        assert_eq!((scenario.groups[0].values.min, scenario.groups[0].values.max), (100, 100));
        let models: Vec<bool> =
            scenario.loads.iter().map(|load| matches!(load.model, Model::Open { .. })).collect();
        assert_eq!(models, [true, false]);
        assert!(scenario.loads.iter().all(|load| load.duration() == Duration::from_millis(1500)));
    }

    #[test]
    fn every_accepted_bound_makes_a_scenario() {
        for flags in [["-R", "0.5"], ["-R", "1e9"], ["-c", "1"], ["-c", "100000"], ["--value-size", "16"]] {
            assert!(parsed(&flags).unwrap().document().is_ok(), "{flags:?}");
        }
        for flags in [["--value-size", "60000"], ["-d", "10ms"], ["-d", "1h"], ["--transport", "tcp-raw"]] {
            assert!(parsed(&flags).unwrap().document().is_ok(), "{flags:?}");
        }
    }

    #[test]
    fn impossible_flags_are_refused() {
        for flags in [["-R", "0"], ["-R", "NaN"], ["-c", "0"], ["--value-size", "15"], ["-d", "1ms"]] {
            assert!(parsed(&flags).is_err(), "{flags:?}");
        }
        assert!(parsed(&["-d", "soon"]).is_err());
        assert!(parsed(&["--transport", "udp"]).is_err());
        for encrypted in ["tls", "wss"] {
            let error = parsed(&["--transport", encrypted]).unwrap_err().to_string();
            assert!(error.contains("there is no floor for TLS"), "{error}");
        }
    }
}
