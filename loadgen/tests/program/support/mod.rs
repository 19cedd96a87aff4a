//! Helpers of the tests that run the real binaries.

#![allow(dead_code, reason = "of two test binaries one uses only a part")]
#![expect(clippy::unwrap_used, reason = "a panic in a test helper is the report")]

pub mod exact;
pub mod faulty;
pub mod replayer;
pub mod replies;
pub mod tls;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant};

use faulty::Fault;

/// A small scenario over these transports: guests and managers, half a second of load.
pub fn scenario(transports: &str) -> String {
    format!(
        r#"
name = "tiny"
seed = 7
transports = {transports}
timeout = "20s"

[[load]]
name = "short"
model = "closed"
think = "1ms"
warmup = "100ms"
duration = "500ms"

[[clients]]
name = "guests"
role = "guest"
count = 4
mix = {{ put = 30, get = 40, get-missing = 10, get-other = 15, bad = 5 }}
keys = {{ count = 8 }}
values = {{ min = 16, max = 100 }}

[[clients]]
name = "managers"
role = "manager"
count = 2
mix = {{ put = 20, get = 20, get-other = 55, upgrade = 5 }}
keys = {{ count = 8 }}
"#
    )
}

/// The same with a load that is long enough for what happens at every fiftieth request.
pub fn longer_scenario(transports: &str) -> String {
    scenario(transports).replace("500ms", "1500ms")
}

/// A run of the longer scenario over TCP against a server with this fault: made once for all tests that look at it, each
/// of which gets a copy.
pub fn run_against(fault: Fault) -> (Place, Ended) {
    static RUNS: LazyLock<Mutex<HashMap<Fault, Arc<OnceLock<Kept>>>>> = LazyLock::new(Mutex::default);

    let run = Arc::clone(RUNS.lock().unwrap().entry(fault).or_default());
    let kept = run.get_or_init(|| {
        let place = Place::with(&longer_scenario(r#"["tcp"]"#));
        let ended = place.run_to_end(&["--tcp", &faulty::start(fault).to_string()]);
        Kept::of(&place, ended)
    });
    (kept.copy(), kept.ended.clone())
}

/// What a run has left behind, for several tests.
pub struct Kept {
    files: Vec<(PathBuf, Vec<u8>)>,
    pub ended: Ended,
}

impl Kept {
    pub fn of(place: &Place, ended: Ended) -> Self {
        Self { files: files_below(place.path()), ended }
    }

    /// The same in a folder of a test's own.
    pub fn copy(&self) -> Place {
        let place = Place::with("");
        for (file, bytes) in &self.files {
            let file = place.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        }
        place
    }
}

/// Every file below a folder, by its path in there, with what it holds.
fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap()));
            }
        }
    }
    files
}

/// A folder of a test's own with a scenario in it.
pub struct Place {
    pub dir: tempfile::TempDir,
}

impl Place {
    pub fn with(scenario: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("scenario.toml"), scenario).unwrap();
        Self { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn out(&self) -> PathBuf {
        self.path().join("out")
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.out().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn read_bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.out().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `twinwire run scenario.toml --out out` with more arguments, not yet started.
    pub fn run(&self, arguments: &[&str]) -> Command {
        let mut command = twinwire();
        command.current_dir(self.path()).args(["run", "scenario.toml", "--out", "out"]).args(arguments);
        command
    }

    /// The same, to its end.
    pub fn run_to_end(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.run(arguments).output().unwrap())
    }

    /// The same, where the load is measured. On a machine that is busy with other tests the generator may wake late, and
    /// the figures are then not valid; what was asked and answered is as it should be all the same.
    #[track_caller]
    pub fn measure(&self, arguments: &[&str]) -> Ended {
        let ended = self.run_to_end(arguments);
        let record = || serde_json::from_str::<serde_json::Value>(&self.read("run.json")).unwrap();
        let is_late = ended.code == Some(4) && record()["outcome"]["message"].is_null();
        let is_behind = ended.code == Some(1) && ended.stdout.contains("were still unanswered at its end");
        if is_late || is_behind && record()["violations_total"] == 0 { ended } else { ended.expect(0) }
    }

    /// Rows of a CSV file of the report, by column name.
    pub fn csv(&self, name: &str) -> Vec<std::collections::HashMap<String, String>> {
        let mut reader = csv::Reader::from_path(self.out().join(name)).unwrap();
        reader.deserialize().map(Result::unwrap).collect()
    }
}

pub fn twinwire() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinwire"));
    command.env_remove("NO_COLOR");
    command
}

/// How a program ended, as text.
#[derive(Debug, Clone)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Panics with all it said unless it ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// Measures until nothing is at fault, or panics with what was in the last of a few tries: another program on the
/// machine may spoil any one measurement.
#[track_caller]
pub fn one_of_a_few(measure: impl Fn() -> Result<(), String>) {
    let mut last = Ok(());
    for _ in 0..4 {
        last = measure();
        if last.is_ok() {
            return;
        }
    }
    panic!("{}", last.unwrap_err());
}

/// Waits for a condition, for as long as even a busy machine may need.
#[track_caller]
pub fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
