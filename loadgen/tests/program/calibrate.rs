//! `twinwire calibrate` and what runs make of its file, as a user sees them.

use std::path::Path;

use serde_json::Value;

use crate::support::{Ended, Place, twinwire};

/// A tenth of a second for each measurement: nothing is said of how good its figures are.
const SHORT: [&str; 9] = ["-R", "1000", "-c", "8", "--value-size", "32", "-d", "100ms", "--quiet"];

const SCENARIO: &str = r#"
name = "floored"
transports = ["tcp", "websocket"]

[[load]]
name = "thinking"
model = "closed"
think = "2ms"
duration = "1s"
warmup = "50ms"

[[clients]]
name = "guests"
role = "guest"
count = 4
mix = { put = 1, get = 1 }
keys = { count = 1 }
"#;

fn calibrate(dir: &Path, more: &[&str]) -> Ended {
    Ended::of(twinwire().current_dir(dir).arg("calibrate").args(SHORT).args(more).output().unwrap())
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn calibrating_writes_the_floor_of_each_transport_and_runs_find_it() {
    let place = Place::with(SCENARIO);
    let ended = calibrate(place.path(), &[]);
    // On a machine that is busy with other tests the figures may well be invalid, and are said to be.
    assert!([Some(0), Some(4)].contains(&ended.code), "{ended:?}");
    assert!(ended.stdout.contains("WebSocket") && ended.stdout.contains("limited by"), "{}", ended.stdout);
    let floor = json(&place.path().join("reports/runs/calibration.json"));
    assert_eq!(
        (&floor["schema"], &floor["rate"], &floor["connections"]),
        (&1.into(), &1000.0.into(), &8.into())
    );
    assert_eq!(floor["value_bytes"], 32);
    let layouts = floor["layouts"].as_array().unwrap();
    assert_eq!(layouts[0]["environment"]["server_cpus"], serde_json::json!([]));
    for layout in layouts {
        assert_eq!(layout["environment"]["target"], "null target");
        let names: Vec<&Value> =
            layout["transports"].as_array().unwrap().iter().map(|floor| &floor["transport"]).collect();
        assert_eq!(names, ["tcp", "websocket"]);
        for transport in layout["transports"].as_array().unwrap() {
            let figure = |path: &str| {
                let value = transport.pointer(path).and_then(Value::as_f64);
                value.filter(|value| *value > 0.0).unwrap_or_else(|| panic!("{path} in {transport}"))
            };
            let (p50, service) = (figure("/paced/response/p50_ns"), figure("/paced/service/p50_ns"));
            assert!(p50 < 5e9 && service < 5e9, "{transport}");
            assert!(figure("/paced/cost/both_ns") > figure("/paced/cost/generator_ns"));
            figure("/paced/dispatch_lag/p50_ns");
            figure("/saturated/rate");
        }
    }
    place.run_to_end(&["--quiet"]);
    assert_eq!(json(&place.out().join("run.json"))["floor"], floor);
    assert!(place.read("report.md").contains("## The harness's own floor"));
}

#[test]
fn a_floor_that_is_measured_as_json_is_the_file() {
    let place = Place::with(SCENARIO);
    let ended = calibrate(place.path(), &["--transport", "tcp-raw", "--out", "floor.json", "--json"]);
    let file = std::fs::read_to_string(place.path().join("floor.json")).unwrap();
    assert_eq!(ended.stdout, file);
    let floor: Value = serde_json::from_str(&file).unwrap();
    assert_eq!(floor["layouts"][0]["transports"][0]["transport"], "tcp-raw");
    assert!(!place.path().join("reports").exists());
}

/// A floor of this machine, far above anything that a run takes, made from a run's own environment.
fn floor_of(run: &Value) -> Value {
    let quantiles = serde_json::json!({"p50_ns": 9e9 as u64, "p90_ns": 9e9 as u64, "p99_ns": 9e9 as u64});
    let cost = serde_json::json!({"both_ns": 9e9, "server_ns": 4e9, "generator_ns": 5e9});
    let transport = |name: &str| {
        serde_json::json!({
            "transport": name,
            "paced": {
                "rate": 4000.0, "dispatch_lag": quantiles, "lag": quantiles, "service": quantiles,
                "response": quantiles, "cost": cost
            },
            "saturated": {"rate": 100_000.0, "limited_by": "generator", "cost": cost}
        })
    };
    serde_json::json!({
        "schema": 1,
        "twinwire": run["twinwire"],
        "measured": "2026-01-01T00:00:00Z",
        "rate": 4000.0,
        "connections": 64,
        "value_bytes": 64,
        "layouts": [{
            "environment": run["environment"],
            "level": "valid",
            "reasons": [],
            "transports": [transport("tcp"), transport("websocket")]
        }]
    })
}

#[test]
fn a_run_shows_a_named_floor_marks_what_is_within_it_and_subtracts_nothing() {
    let place = Place::with(SCENARIO);
    let ended = place.run_to_end(&["--quiet"]).expect(0);
    assert!(
        ended.stdout.contains("floor     not known; `twinwire calibrate` measures it"),
        "{}",
        ended.stdout
    );
    let run = json(&place.out().join("run.json"));
    assert_eq!(run.get("floor"), None);

    let file = place.path().join("floor.json");
    std::fs::write(&file, floor_of(&run).to_string()).unwrap();
    let ended = place.run_to_end(&["--quiet", "--floor", "floor.json"]).expect(0);
    assert!(ended.stdout.contains("† ≈ floor: within 1.25 ×"), "{}", ended.stdout);
    assert!(
        ended.stdout.lines().any(|line| line.starts_with("floor ") && line.contains("9,000")),
        "{}",
        ended.stdout
    );
    assert!(place.read("report.md").contains("| *floor of service*"));
    let service: f64 = place.csv("summary.csv")[0]["service_mean"].parse().unwrap();
    assert!(service > 0.0, "nothing is subtracted: {service}");

    let mut elsewhere = floor_of(&run);
    elsewhere["layouts"][0]["environment"]["os"] = "Plan 9".into();
    std::fs::write(&file, elsewhere.to_string()).unwrap();
    let ended = place.run_to_end(&["--quiet", "--floor", "floor.json"]).expect(0);
    assert!(ended.stdout.contains("not used: it was measured under another system (Plan 9; here: "));
    assert!(!ended.stdout.contains('†'), "{}", ended.stdout);
}

#[test]
fn a_floor_that_is_none_is_an_error_of_usage() {
    let place = Place::with(SCENARIO);
    let missing = place.run_to_end(&["--quiet", "--floor", "nowhere.json"]).expect(2);
    assert!(missing.stderr.contains("cannot read nowhere.json"), "{}", missing.stderr);
    std::fs::write(place.path().join("broken.json"), "{}").unwrap();
    let broken = place.run_to_end(&["--quiet", "--floor", "broken.json"]).expect(2);
    assert!(broken.stderr.contains("is not a floor written by `twinwire calibrate`"), "{}", broken.stderr);
    assert!(!place.out().exists(), "nothing was run");
}

#[test]
fn a_file_that_cannot_be_written_is_known_before_anything_is_measured() {
    let place = Place::with(SCENARIO);
    let ended = calibrate(place.path(), &["--out", "scenario.toml/floor.json"]).expect(2);
    assert!(ended.stderr.contains("cannot write `scenario.toml/floor.json`"), "{}", ended.stderr);
}
