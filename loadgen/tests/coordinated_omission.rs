//! No stall of the target is left out of an open load's figures, and none is blamed on the generator.

#![expect(clippy::unwrap_used, reason = "a panic in a test's helper is the report")]

#[path = "program/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::time::Duration;

use support::Place;
use support::exact::{self, Delay};

/// Another program on the machine may spoil any one measurement, so that a bar on milliseconds is tried so often.
const TRIES: u32 = 4;

/// Requests of 64 clients at 2,000/s. Each has one outstanding: most of a stall's requests wait unsent, and are the ones
/// that a generator is tempted to leave out.
const OPEN: &str = r#"
name = "stalls"
transports = ["tcp", "websocket"]
timeout = "5s"

[[load]]
name = "open"
model = "open"
rate = 2000
arrivals = "uniform"
in-flight = 1
warmup = "500ms"
duration = "4s"

[[clients]]
name = "guests"
role = "guest"
count = 64
mix = { put = 1, get = 1 }
keys = { count = 4 }
values = { size = 16 }
"#;

#[test]
fn delays_are_counted_from_the_servers_start() {
    let ms = Duration::from_millis;
    let stalls = Delay::Stalls { period: ms(1000), stall: ms(200) };
    for (at, expected) in [(0, 200), (50, 150), (199, 1), (200, 0), (999, 0), (1000, 200), (3150, 50)] {
        assert_eq!(stalls.of(ms(at)), ms(expected), "at {at} ms");
    }
    assert_eq!(Delay::Constant(ms(7)).of(ms(1234)), ms(7));
}

/// The figures of one transport's requests, all together.
fn figures(place: &Place, transport: &str) -> HashMap<String, String> {
    let rows = place.csv("summary.csv");
    let all = ["trial", "group", "role", "op"];
    let mut rows = rows.into_iter();
    rows.find(|row| row["transport"] == transport && all.iter().all(|name| row[*name] == "all")).unwrap()
}

/// What the stalls' figures should be, and are not.
fn faults(place: &Place) -> Vec<String> {
    let mut faults = Vec::new();
    for transport in ["tcp", "websocket"] {
        let row = figures(place, transport);
        let mut check = |name: &str, from_ms: f64, to_ms: f64| {
            let ms = row[name].parse::<f64>().unwrap_or_else(|_| panic!("{name} is `{}`", row[name])) / 1e3;
            if !(from_ms..=to_ms).contains(&ms) {
                faults.push(format!("{transport}: {name} is {ms} ms, due are {from_ms} to {to_ms}"));
            }
        };
        // A fifth of the requests fall into a stall and wait for 0 to 200 ms, evenly: half of them, a tenth of all,
        // for over 100 ms, and a twentieth of them, a hundredth of all, for over 190 ms.
        check("response_p90", 90.0, 110.0);
        check("response_p99", 180.5, 199.5);
        check("service_p50", 0.0, 2.0);
        assert_eq!((&*row["errors"], &*row["violations"]), ("0", "0"));
    }
    let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
    let verdict = &record["loads"][0]["verdict"];
    let blamed = verdict["reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap());
    let blamed: Vec<&str> =
        blamed.filter(|reason| reason.contains("generator") || reason.contains("dispatched")).collect();
    if verdict["level"] == "invalid" || !blamed.is_empty() {
        faults.push(format!("the generator is blamed: {verdict}"));
    }
    faults
}

#[test]
fn stalls_are_in_the_response_and_the_server_is_blamed() {
    let stalls = Delay::Stalls { period: Duration::from_secs(1), stall: Duration::from_millis(200) };
    let mut seen = Vec::new();
    for _ in 0..TRIES {
        let (tcp, websocket) = (exact::start_tcp(stalls), exact::start_websocket(stalls));
        let place = Place::with(OPEN);
        let url = format!("ws://{websocket}/");
        place.run_to_end(&["--tcp", &tcp.to_string(), "--ws", &url, "--quiet"]);
        seen = faults(&place);
        if seen.is_empty() {
            return;
        }
    }
    panic!("{}", seen.join("\n"));
}

#[test]
fn a_constant_delay_is_the_service_time_over_both_transports() {
    const DELAY: Duration = Duration::from_millis(20);
    let scenario = OPEN
        .replace(
            "model = \"open\"\nrate = 2000\narrivals = \"uniform\"\nin-flight = 1",
            "model = \"closed\"\nthink = \"10ms\"",
        )
        .replace("\"4s\"", "\"1s\"");
    let delay = Delay::Constant(DELAY);
    let (tcp, websocket) = (exact::start_tcp(delay), exact::start_websocket(delay));
    let place = Place::with(&scenario);
    let url = format!("ws://{websocket}/");
    place.run_to_end(&["--tcp", &tcp.to_string(), "--ws", &url, "--quiet"]);
    for transport in ["tcp", "websocket"] {
        let row = figures(&place, transport);
        assert_eq!((&*row["errors"], &*row["violations"]), ("0", "0"));
        // No reply comes early, however slow the machine is; nothing is said of how late one may come.
        let p50_us: f64 = row["service_p50"].parse().unwrap();
        assert!(p50_us >= 20_000.0, "{p50_us}");
    }
}
