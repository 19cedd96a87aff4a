//! What `twinwire run` makes of time: pauses of its own, a server over its capacity, clients that are lost.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use twinwire::domain::Side;
use twinwire::record::{Latencies, Pass, RunRecord, VerdictLevel};

use crate::support::exact::{self, Delay};
use crate::support::faulty::{self, Fault, Log};
use crate::support::{Ended, Place, until};

/// Six guests that put and read, with this load.
fn scenario(transports: &str, load: &str) -> String {
    format!(
        r#"
name = "timing"
seed = 5
transports = {transports}
timeout = "20s"

[[load]]
name = "load"
{load}

[[clients]]
name = "guests"
role = "guest"
count = 6
mix = {{ put = 50, get = 50 }}
keys = {{ count = 4 }}
values = {{ size = 16 }}
preload = 0
"#
    )
}

const TCP: &str = r#"["tcp"]"#;

fn record(place: &Place) -> RunRecord {
    RunRecord::read(&place.out().join("run.json")).unwrap()
}

fn asked(log: &Log) -> usize {
    log.lock().unwrap().values().map(Vec::len).sum()
}

fn dispatch_lag(passes: &[Pass]) -> Latencies {
    let mut lag = Latencies::default();
    for pass in passes {
        lag.merge(&pass.dispatch_lag);
    }
    lag
}

/// Stops a process for over half a second.
fn stand_still(id: u32) {
    let pid = Pid::from_raw(id.cast_signed());
    kill(pid, Signal::SIGSTOP).unwrap();
    std::thread::sleep(Duration::from_millis(700));
    kill(pid, Signal::SIGCONT).unwrap();
}

/// Runs this load of three seconds and stops the harness for over half a second once so many requests have come.
fn stopped(load: &str, requests: usize) -> (Place, RunRecord) {
    let [(address, log), _] = faulty::start_recording();
    let place = Place::with(&scenario(TCP, load));
    let mut run =
        place.run(&["--tcp", &address.to_string(), "--quiet"]).stdout(Stdio::null()).spawn().unwrap();
    until("the load runs", || asked(&log) >= requests);
    stand_still(run.id());
    assert_eq!(run.wait().unwrap().code(), Some(4));
    let record = record(&place);
    (place, record)
}

#[track_caller]
fn assert_paused(place: &Place, record: &RunRecord) {
    let verdict = &record.loads[0].verdict;
    assert_eq!(verdict.level, VerdictLevel::Invalid);
    let named =
        verdict.reasons.iter().any(|reason| reason.starts_with("the harness itself stood still for "));
    assert!(named, "{verdict:?}");
    assert!(place.read("report.md").contains("the harness itself stood still for "));
    let pauses = &record.passes[0].pauses;
    let longest = pauses.iter().max_by(|a, b| a.length_s.total_cmp(&b.length_s)).unwrap();
    assert!(longest.length_s > 0.5 && longest.at_s > 0.0, "{pauses:?}");
}

#[test]
fn an_open_load_whose_harness_was_stopped_is_not_valid_and_the_wait_is_not_the_servers() {
    let load = "model = \"open\"\nrate = 600\narrivals = \"uniform\"\nwarmup = \"0s\"\nduration = \"3s\"";
    let (place, record) = stopped(load, 200);
    assert_paused(&place, &record);
    // Of 1,800 requests over 400 were due meanwhile, 70 of each client. Not only the first of each waited for the
    // generator, and none of them for the server.
    let lag = dispatch_lag(&record.passes);
    let (p90, most) = (lag.quantile_for_curve(0.9).unwrap(), lag.max().unwrap().ns);
    assert!(p90 > 100_000_000 && most > 500e6, "p90 {p90} ns, most {most} ns");
    assert_ne!(record.loads[0].verdict.saturated, Some(Side::Server));
}

#[test]
fn a_closed_load_whose_harness_was_stopped_is_not_valid() {
    let load = "model = \"closed\"\nthink = \"2ms\"\nwarmup = \"0s\"\nduration = \"3s\"";
    let (place, record) = stopped(load, 200);
    assert_paused(&place, &record);
}

const SHARE: &str =
    "model = \"open\"\nrate = { share = 0.05 }\narrivals = \"uniform\"\nwarmup = \"0s\"\nduration = \"1s\"";

#[test]
fn a_rate_that_was_probed_while_the_harness_was_stopped_is_probed_again() {
    let [(address, log), _] = faulty::start_recording();
    let place = Place::with(&scenario(TCP, SHARE));
    let run = place
        .run(&["--tcp", &address.to_string(), "--quiet"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("the probe runs", || asked(&log) >= 50);
    stand_still(run.id());
    let ended = Ended::of(run.wait_with_output().unwrap());
    assert!(
        ended.stderr.contains("while it probed the rate of load `load`: it probes again"),
        "{}",
        ended.stderr
    );
    let probes = &record(&place).loads[0].probes;
    assert!(probes.len() == 1 && probes[0].paused_s < 0.5, "{probes:?}");
}

#[test]
fn a_client_that_is_lost_while_a_rate_is_probed_fails_the_run() {
    let address: SocketAddr = faulty::start(Fault::Disconnects(100));
    let place = Place::with(&scenario(TCP, SHARE));
    let ended = place.run_to_end(&["--tcp", &address.to_string(), "--quiet"]).expect(1);
    let said =
        "1 of 6 clients lost their connection, or were not answered in time, while its rate was probed";
    assert!(ended.stdout.contains(said) && ended.stderr.contains(said), "{}", ended.stdout);
    let record = record(&place);
    assert_eq!((record.loads[0].probes[0].clients_lost, record.passes[0].clients_lost), (1, 0));
}

#[test]
fn what_is_answered_after_a_window_is_no_part_of_its_rate() {
    // One outstanding request of each of six clients, at least 20 ms for each: at most 300 requests/s, of 1,200.
    let delay = Delay::Constant(Duration::from_millis(20));
    let (tcp, websocket) = (exact::start_tcp(delay).address, exact::start_websocket(delay).address);
    let load = "model = \"open\"\nrate = 1200\nwarmup = \"0s\"\nduration = \"2s\"\ninterleave = \"400ms\"";
    let place = Place::with(&scenario(r#"["tcp", "websocket"]"#, load));
    place.run_to_end(&["--tcp", &tcp.to_string(), "--ws", &format!("ws://{websocket}/"), "--quiet"]);
    for transport in ["tcp", "websocket"] {
        let rows = place.csv("summary.csv");
        let mut all = rows.iter().filter(|row| row["transport"] == transport && row["trial"] == "all");
        let all =
            all.find(|row| row["op"] == "all" && row["role"] == "all" && row["group"] == "all").unwrap();
        let rate: f64 = all["rate"].parse().unwrap();
        assert!(0.0 < rate && rate <= 300.0, "{transport}: {rate}");
        let rows = place.csv("intervals.csv");
        let rows = rows.iter().filter(|row| row["transport"] == transport);
        let achieved: u64 = rows.map(|row| row["achieved"].parse::<u64>().unwrap()).sum();
        assert!((1..=600).contains(&achieved), "{transport}: {achieved} in two seconds");
    }
}

#[test]
fn an_overload_that_drains_within_the_grace_is_named() {
    // At most 300 requests/s can be answered, of 360; the hundred that then wait are answered within the second of grace.
    let address = exact::start_tcp(Delay::Constant(Duration::from_millis(20))).address;
    let load = "model = \"open\"\nrate = 360\narrivals = \"uniform\"\nwarmup = \"0s\"\nduration = \"2s\"";
    let place = Place::with(&scenario(TCP, load));
    place.run_to_end(&["--tcp", &address.to_string(), "--quiet"]);
    let record = record(&place);
    let pass = &record.passes[0];
    assert!(pass.backlog.standing > 20 && pass.backlog.drained_ns > 0, "{:?}", pass.backlog);
    let verdict = &record.loads[0].verdict;
    let invalid = verdict.level == VerdictLevel::Invalid;
    assert!(invalid || verdict.saturated == Some(Side::Server), "{verdict:?}");
}

#[test]
fn what_lost_clients_had_still_to_send_was_not_dispatched() {
    let address: SocketAddr = faulty::start(Fault::Disconnects(100));
    let load = "model = \"open\"\nrate = 600\narrivals = \"uniform\"\nwarmup = \"0s\"\nduration = \"2s\"";
    let place = Place::with(&scenario(TCP, load));
    place.run_to_end(&["--tcp", &address.to_string(), "--quiet"]);
    let record = record(&place);
    let pass = &record.passes[0];
    assert_eq!(pass.clients_lost, 1);
    // A sixth of the rate from the first third of the load on.
    let requests: u64 = pass.cells.iter().map(|cell| cell.counts.requests).sum();
    assert_eq!(requests + pass.due_of_lost, 1200, "every request of the schedule has a fate");
    let reasons = &record.loads[0].verdict.reasons;
    let said = reasons.iter().any(|reason| reason.ends_with("were due from clients that were lost"));
    assert!(said && record.loads[0].verdict.level == VerdictLevel::Invalid, "{reasons:?}");
}

#[test]
fn a_request_that_timed_out_took_at_least_so_long() {
    let address: SocketAddr = faulty::start(Fault::HangsAfter(200));
    let load = "model = \"closed\"\nthink = \"2ms\"\nwarmup = \"0s\"\nduration = \"10min\"";
    let place = Place::with(&scenario(TCP, load).replace("\"20s\"", "\"1s\""));
    place.run_to_end(&["--tcp", &address.to_string(), "--quiet"]);
    let record = record(&place);
    let (mut response, mut errors) = (Latencies::default(), 0);
    for cell in &record.passes[0].cells {
        response.merge(&cell.latencies.response);
        errors += cell.counts.errors;
    }
    assert_eq!(errors, 6);
    let max = response.max().unwrap();
    assert!(max.at_least && max.ns > 990e6, "{max:?}");
}
