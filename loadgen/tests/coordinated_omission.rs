//! No stall of the target is left out of an open load's figures, and none is blamed on the generator.
//!
//! The target logs when it read each request and when it wrote the reply. Those instants, and a schedule that is known,
//! bound what any honest generator can report, however slow the machine is.

#![expect(clippy::unwrap_used, reason = "a panic in a test's helper is the report")]

#[path = "program/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::time::Duration;

use support::exact::{self, Delay, Exact, Exchange};
use support::{Place, until};
use twinwire::record::Latencies;

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

const CLIENTS: usize = 64;

/// A client's requests are due this far apart: 64 clients at 2,000/s.
const PERIOD_S: f64 = 0.032;

/// A client's requests in the 4 measured seconds.
const MEASURED: usize = 125;

/// How far a figure may lie outside what the target's log allows.
const TOLERANCE: f64 = 1.05;

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

/// A figure of `summary.csv` in seconds.
fn seconds(row: &HashMap<String, String>, name: &str) -> f64 {
    row[name].parse::<f64>().unwrap_or_else(|_| panic!("{name} is `{}`", row[name])) / 1e6
}

/// The value at the quantile: the smallest that at least this share of all does not exceed.
fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((q * values.len() as f64).ceil() as usize).max(1) - 1]
}

/// What the target's log says of the measured requests, in seconds.
#[derive(Default)]
struct Seen {
    /// Each response took at least this: until the reply was written.
    response_min: Vec<f64>,
    /// Each response took at most this: the client had the reply when it sent its next request.
    response_max: Vec<f64>,
    service_min: Vec<f64>,
    service_max: Vec<f64>,
    /// From the intended instant until the target had read the request, of those that waited for no reply.
    late: Vec<f64>,
}

impl Seen {
    /// Reads the log once every client has left.
    fn of(target: &Exact) -> Self {
        until("every client has left the target", || target.connections().len() >= CLIENTS);
        let mut seen = Self::default();
        for exchanges in target.connections() {
            seen.add(&exchanges);
        }
        seen
    }

    fn add(&mut self, exchanges: &[Exchange]) {
        // The client's last requests are those of the measured part, and `q`.
        let first = exchanges.len() - MEASURED - 1;
        let due = |number: usize| number as f64 * PERIOD_S;
        // Some request was sent as good as at once: that one gives the schedule's origin.
        let measured = &exchanges[first..exchanges.len() - 1];
        let origins = (0..).zip(measured).map(|(number, exchange)| exchange.read.as_secs_f64() - due(number));
        let origin = origins.min_by(f64::total_cmp).unwrap();
        for (number, window) in exchanges[first - 1..].windows(3).enumerate() {
            let intended = origin + due(number);
            let replied_before = window[0].written.as_secs_f64();
            let (read, written) = (window[1].read.as_secs_f64(), window[1].written.as_secs_f64());
            let next_read = window[2].read.as_secs_f64();
            self.response_min.push(written - intended);
            self.response_max.push(next_read - intended);
            self.service_min.push(written - read);
            self.service_max.push(next_read - intended.max(replied_before));
            if replied_before < intended {
                self.late.push(read - intended);
            }
        }
    }
}

/// The generator's own lateness as the record has it, at the quantile, in seconds.
fn dispatch_lag(place: &Place, transport: &str, q: f64) -> f64 {
    let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
    let passes = record["passes"].as_array().unwrap();
    let pass = passes.iter().find(|pass| pass["transports"] == serde_json::json!([transport])).unwrap();
    let lag: Latencies = serde_json::from_value(pass["dispatch_lag"].clone()).unwrap();
    lag.quantile(q).unwrap().ns / 1e9
}

#[test]
fn figures_of_a_target_that_stalls_are_those_of_the_targets_own_log() {
    let stalls = Delay::Stalls { period: Duration::from_secs(1), stall: Duration::from_millis(200) };
    let (tcp, websocket) = (exact::start_tcp(stalls), exact::start_websocket(stalls));
    let place = Place::with(OPEN);
    let url = format!("ws://{}/", websocket.address);
    place.run_to_end(&["--tcp", &tcp.address.to_string(), "--ws", &url, "--quiet"]);
    for (transport, target) in [("tcp", &tcp), ("websocket", &websocket)] {
        let row = figures(&place, transport);
        assert_eq!((&*row["errors"], &*row["violations"]), ("0", "0"));
        assert_eq!(row["requests"], (CLIENTS * MEASURED).to_string(), "{transport}: what was due is counted");
        let seen = Seen::of(target);
        let check = |name: &str, least: f64, most: f64| {
            let (figure, range) = (seconds(&row, name), least / TOLERANCE..=most * TOLERANCE);
            assert!(range.contains(&figure), "{transport}: {name} is {figure} s, the target saw {range:?}");
        };
        // A fifth of the requests fall into a stall and wait for 0 to 200 ms, evenly: half of them, a tenth of all, for
        // over 100 ms, and a hundredth of all for over 190 ms.
        for (name, q) in [("response_p90", 0.9), ("response_p99", 0.99)] {
            let (least, most) =
                (quantile(seen.response_min.clone(), q), quantile(seen.response_max.clone(), q));
            assert!(least > 0.09, "the target has stalled: {least}");
            check(name, least, most);
        }
        // Of a client's 31 requests a second one is answered late; the others of a stall have only waited to be sent.
        for (name, q) in [("service_p50", 0.5), ("service_p90", 0.9)] {
            let (least, most) =
                (quantile(seen.service_min.clone(), q), quantile(seen.service_max.clone(), q));
            check(name, least, most);
        }
        // Waiting for the server is not the generator's lateness; what is, the target has seen.
        let (lag, late) = (dispatch_lag(&place, transport, 0.9), quantile(seen.late, 0.9));
        let allowed = late * TOLERANCE + seconds(&row, "response_p90") * (TOLERANCE - 1.0);
        assert!(lag <= allowed, "{transport}: dispatch lag is {lag} s, the target saw {late} s");
    }
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
    let url = format!("ws://{}/", websocket.address);
    place.run_to_end(&["--tcp", &tcp.address.to_string(), "--ws", &url, "--quiet"]);
    for transport in ["tcp", "websocket"] {
        let row = figures(&place, transport);
        assert_eq!((&*row["errors"], &*row["violations"]), ("0", "0"));
        // No reply comes early, however slow the machine is; nothing is said of how late one may come.
        let p50_us: f64 = row["service_p50"].parse().unwrap();
        assert!(p50_us >= 20_000.0, "{p50_us}");
    }
}
