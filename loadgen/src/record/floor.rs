//! The harness's own floor: what it measures against a target that does next to nothing. `calibrate` writes it,
//! runs embed it, reports show it next to their figures. It is never subtracted from a figure.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Environment, ReadError, Statistics, VerdictLevel};
use crate::domain::{PerKind, Side, Transport};

/// Version of the format of `calibration.json`.
pub const FLOOR_SCHEMA: u32 = 1;

/// A figure of at most this many times the floor's is within it. A quarter is what the same command gives from one
/// run to the next on a quiet machine; a figure so near says as much about the harness as about the target.
pub const FLOOR_RATIO_MAX: f64 = 1.25;

/// The floor of one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// [`FLOOR_SCHEMA`] of the writer.
    pub schema: u32,
    /// Version of the program that wrote it.
    pub twinwire: String,
    /// UTC instant of the start, RFC 3339.
    pub measured: String,
    /// Requests/s of the paced load, over all connections.
    pub rate: f64,
    /// Connections.
    pub connections: u32,
    /// Bytes of a value.
    pub value_bytes: u32,
    /// One for each way of placing server and generator.
    pub layouts: Vec<FloorLayout>,
}

/// The floor with server and generator on certain CPUs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FloorLayout {
    /// Where it was measured.
    pub environment: Environment,
    /// Whether the figures may be trusted.
    pub level: VerdictLevel,
    /// Why not, with the numbers; empty if valid.
    pub reasons: Vec<String>,
    /// One for each transport.
    pub transports: Vec<TransportFloor>,
}

/// The floor over one transport.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransportFloor {
    /// The transport.
    pub transport: Transport,
    /// Under an open load at the given rate.
    pub paced: PacedFloor,
    /// Under a closed load without think time.
    pub saturated: SaturatedFloor,
}

/// What an open load at a moderate rate gives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PacedFloor {
    /// Requests answered a second.
    pub rate: Option<f64>,
    /// Intended to dispatched: how late the timer wakes the generator.
    pub dispatch_lag: Statistics,
    /// Median and higher quantiles, as far as the samples support them.
    #[serde(flatten)]
    pub latencies: PerKind<Statistics>,
    /// What a request costs.
    pub cost: FloorCost,
}

/// The highest rate that the harness can offer here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SaturatedFloor {
    /// Requests answered a second.
    pub rate: Option<f64>,
    /// The side whose CPU was full, if any; the server is the null target.
    pub limited_by: Option<Side>,
    /// What a request costs.
    pub cost: FloorCost,
}

/// CPU time for each reply in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct FloorCost {
    /// Both sides together.
    pub both_ns: Option<f64>,
    /// The null target's part, approximately.
    pub server_ns: Option<f64>,
    /// The generator's part, approximately.
    pub generator_ns: Option<f64>,
}

impl Floor {
    /// Reads `calibration.json`.
    ///
    /// # Errors
    /// If the file cannot be read, is no floor, or is of another schema.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        super::read(path, "a floor written by `twinwire calibrate`", FLOOR_SCHEMA)
    }

    /// The layout that was measured in this `environment`.
    ///
    /// # Errors
    /// Why none of the layouts may be used, for people.
    pub fn layout(&self, environment: &Environment) -> Result<&FloorLayout, String> {
        let version = env!("CARGO_PKG_VERSION");
        if self.twinwire != version {
            return Err(format!("it was measured by twinwire {}, this is {version}", self.twinwire));
        }
        let mut elsewhere = None;
        for layout in &self.layouts {
            match difference(&layout.environment, environment) {
                None if layout.level == VerdictLevel::Invalid => {
                    let first = layout.reasons.first().map_or("", String::as_str);
                    return Err(format!("its measurement is not valid: {first}"));
                }
                None => return Ok(layout),
                // The last one tried may differ in more than its placement; any will do to say why.
                Some(difference) => elsewhere = Some(difference),
            }
        }
        Err(elsewhere.unwrap_or_else(|| "it holds no measurement".to_owned()))
    }
}

/// How the environment of a floor differs from that of a run; `None` if it does not.
fn difference(floor: &Environment, run: &Environment) -> Option<String> {
    let place = |server: &[usize], generator: &[usize]| match (server, generator) {
        ([], []) => "on no CPUs of their own".to_owned(),
        (server, generator) => format!("on CPUs {server:?} and {generator:?}"),
    };
    let facts = [
        ("on another processor", floor.cpu.clone(), run.cpu.clone()),
        ("on another number of CPUs", floor.cpus.to_string(), run.cpus.to_string()),
        ("under another system", floor.os.clone(), run.os.clone()),
        ("with another timer", floor.pacing.clone(), run.pacing.clone()),
        (
            "with server and generator placed otherwise",
            place(&floor.server_cpus, &floor.generator_cpus),
            place(&run.server_cpus, &run.generator_cpus),
        ),
    ];
    let (what, there, here) = facts.into_iter().find(|(_, there, here)| there != here)?;
    Some(format!("it was measured {what} ({there}; here: {here})"))
}

impl FloorLayout {
    /// The floor over this transport.
    #[must_use]
    pub fn transport(&self, transport: Transport) -> Option<&TransportFloor> {
        self.transports.iter().find(|floor| floor.transport == transport)
    }
}

/// Whether a latency or a cost is within the floor's; `false` if either is missing.
#[must_use]
pub fn is_within(figure: Option<f64>, floor: Option<f64>) -> bool {
    figure.zip(floor).is_some_and(|(figure, floor)| figure <= FLOOR_RATIO_MAX * floor)
}

/// Whether a rate is so close to the highest that the harness can offer that it may be the harness's own limit.
#[must_use]
pub fn is_ceiling(rate: Option<f64>, highest: Option<f64>) -> bool {
    rate.zip(highest).is_some_and(|(rate, highest)| FLOOR_RATIO_MAX * rate >= highest)
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_floor_of_the_same_place_is_used() {
        let (floor, here) = (fixture::floor(), fixture::record().environment);
        assert_eq!(floor.layout(&here), Ok(&floor.layouts[1]));
        let unplaced = Environment { server_cpus: Vec::new(), generator_cpus: Vec::new(), ..here };
        assert_eq!(floor.layout(&unplaced), Ok(&floor.layouts[0]));
    }

    #[test]
    fn the_target_and_the_memory_do_not_make_another_place() {
        let (floor, mut here) = (fixture::floor(), fixture::record().environment);
        here.target = "127.0.0.1:1601".into();
        here.embedded = false;
        here.memory_kib += 4;
        assert!(floor.layout(&here).is_ok());
    }

    #[test]
    fn a_floor_of_another_place_says_what_differs() {
        type Change = fn(&mut Environment);
        let changes: [(Change, &str); 5] = [
            (|here| here.cpu = "Other".into(), "on another processor (Example CPU @ 2.5 GHz; here: Other)"),
            (|here| here.cpus = 4, "on another number of CPUs (2; here: 4)"),
            (|here| here.os = "Linux 7.0".into(), "under another system (Linux 6.12; here: Linux 7.0)"),
            (|here| here.pacing = "tokio timers".into(), "with another timer (timerfd; here: tokio timers)"),
            (
                |here| here.server_cpus = vec![1],
                "with server and generator placed otherwise (on CPUs [0] and [1]; here: on CPUs [1] and [1])",
            ),
        ];
        for (change, expected) in changes {
            let mut here = fixture::record().environment;
            change(&mut here);
            let floor = fixture::floor();
            assert_eq!(floor.layout(&here), Err(format!("it was measured {expected}")));
        }
    }

    #[test]
    fn a_floor_that_is_not_valid_or_of_another_version_is_not_used() {
        let here = fixture::record().environment;
        let mut floor = fixture::floor();
        floor.layouts[1].level = VerdictLevel::Invalid;
        floor.layouts[1].reasons = vec!["tcp: the generator woke 90.0 µs late".into()];
        let why = "its measurement is not valid: tcp: the generator woke 90.0 µs late";
        assert_eq!(floor.layout(&here), Err(why.to_owned()));
        floor.twinwire = "0.0.1".into();
        assert!(floor.layout(&here).unwrap_err().starts_with("it was measured by twinwire 0.0.1, "));
    }

    #[test]
    fn within_is_at_most_a_quarter_above_and_missing_is_never_within() {
        assert!(is_within(Some(124.9), Some(100.0)));
        assert!(!is_within(Some(125.1), Some(100.0)));
        assert!(!is_within(None, Some(100.0)) && !is_within(Some(1.0), None));
        assert!(is_ceiling(Some(80.1), Some(100.0)) && is_ceiling(Some(130.0), Some(100.0)));
        assert!(!is_ceiling(Some(79.9), Some(100.0)) && !is_ceiling(None, Some(1.0)));
    }

    #[test]
    fn a_floor_is_read_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("calibration.json");
        std::fs::write(&path, serde_json::to_string(&fixture::floor()).unwrap()).unwrap();
        assert_eq!(Floor::read(&path).unwrap(), fixture::floor());
        std::fs::write(&path, r#"{"schema": 2}"#).unwrap();
        let error = Floor::read(&path).unwrap_err().to_string();
        assert!(error.contains("has schema 2; this version reads schema 1"), "{error}");
        std::fs::write(&path, r#"{"schema": 1}"#).unwrap();
        let error = Floor::read(&path).unwrap_err().to_string();
        assert!(error.contains("is not a floor written by `twinwire calibrate`"), "{error}");
    }
}
