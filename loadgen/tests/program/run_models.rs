//! `twinwire run` with every load model: open, phases, interleaved, with new sessions, cut short by a threshold.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::faulty::{self, Fault, Log};
use crate::support::replies::DUPLICATE_NAME;
use crate::support::{Place, one_of_a_few};

/// A scenario with this load, four guests and two managers with `extra` keys each.
fn scenario(transports: &str, load: &str, extra: &str) -> String {
    format!(
        r#"
name = "models"
seed = 11
transports = {transports}
timeout = "20s"

[[load]]
name = "load"
{load}

[[clients]]
name = "guests"
role = "guest"
count = 4
mix = {{ put = 30, get = 40, get-missing = 10, get-other = 15, bad = 5 }}
keys = {{ count = 8 }}
values = {{ min = 16, max = 100 }}
{extra}

[[clients]]
name = "managers"
role = "manager"
count = 2
mix = {{ put = 20, get = 20, get-other = 60 }}
keys = {{ count = 8 }}
{extra}
"#
    )
}

const BOTH: &str = r#"["tcp", "websocket"]"#;
const TCP: &str = r#"["tcp"]"#;

fn run(place: &Place) -> Value {
    place.measure(&[]);
    record(place)
}

fn record(place: &Place) -> Value {
    serde_json::from_str(&place.read("run.json")).unwrap()
}

fn passes(record: &Value) -> &Vec<Value> {
    record["passes"].as_array().unwrap()
}

/// Requests of the measured part of a pass.
fn requests(pass: &Value) -> u64 {
    let cells = pass["cells"].as_array().unwrap();
    cells.iter().map(|cell| cell["counts"]["requests"].as_u64().unwrap()).sum()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn an_open_load_offers_exactly_its_rate() {
    let load = "model = \"open\"\nrate = 600\narrivals = \"uniform\"\nwarmup = \"500ms\"\nduration = \"2s\"";
    let place = Place::with(&scenario(BOTH, load, ""));
    let record = run(&place);
    assert_eq!(passes(&record).len(), 2);
    for pass in passes(&record) {
        assert_eq!(requests(pass), 1200, "uniform arrivals are exact");
        assert_eq!(count(&pass["ledger"]["requests"]), 1500, "the warm-up goes at the same rate");
    }
    for row in place.csv("intervals.csv") {
        assert_eq!(row["offered"], "600");
    }
    assert!(record["loads"][0]["model"]["open"].is_object());
}

#[test]
fn what_an_idle_server_is_offered_is_achieved() {
    let load = "model = \"open\"\nrate = 600\narrivals = \"uniform\"\nwarmup = \"200ms\"\nduration = \"1s\"";
    let place = Place::with(&scenario(TCP, load, ""));
    one_of_a_few(|| {
        let record = run(&place);
        let unfinished = count(&passes(&record)[0]["ledger"]["unfinished"]);
        let rows = place.csv("intervals.csv");
        let good =
            rows.len() == 1 && rows[0]["achieved"].parse().is_ok_and(|rate| (540..=660).contains(&rate));
        (good && unfinished == 0).then_some(()).ok_or_else(|| format!("{unfinished} unfinished, {rows:#?}"))
    });
}

#[test]
fn poisson_arrivals_offer_the_same_requests_at_the_same_instants_on_every_transport() {
    let load = "model = \"open\"\nrate = 800\nwarmup = \"0s\"\nduration = \"2s\"\ntrials = 2";
    let place = Place::with(&scenario(BOTH, load, ""));
    let record = run(&place);
    let mut offered: BTreeMap<u64, Vec<Vec<u64>>> = BTreeMap::new();
    for pass in passes(&record) {
        let seconds =
            pass["intervals"].as_array().unwrap().iter().map(|row| count(&row["offered"])).collect();
        offered.entry(count(&pass["trial"])).or_default().push(seconds);
    }
    for both in offered.values() {
        assert_eq!(both[0], both[1]);
    }
    assert_ne!(offered[&1], offered[&2], "another trial, other instants");
}

/// What every client asked is the same on both, byte for byte, as far as both came.
fn assert_same_requests([tcp, websocket]: [&Log; 2], at_least: usize, whole: bool) {
    let (tcp, websocket) = (tcp.lock().unwrap(), websocket.lock().unwrap());
    assert_eq!(tcp.keys().collect::<Vec<_>>(), websocket.keys().collect::<Vec<_>>());
    assert_eq!(tcp.len(), 6);
    for (user, ours) in tcp.iter() {
        let theirs = &websocket[user];
        let common = ours.len().min(theirs.len()) - 1;
        assert!(common >= at_least, "{user}: {common}");
        assert_eq!(ours[..common], theirs[..common], "{user}");
        if whole {
            assert_eq!(ours, theirs, "{user}");
        }
    }
}

#[test]
fn the_same_seed_gives_each_client_the_same_requests_on_every_transport_byte_for_byte() {
    let open = "model = \"open\"\nrate = 600\nin-flight = 3\nwarmup = \"0s\"\nduration = \"1s\"";
    let closed = "model = \"closed\"\nthink = { exponential = \"2ms\" }\nin-flight = 3\nwarmup = \"0s\"\nduration = \"1s\"";
    for (load, whole) in [(open, true), (closed, false)] {
        let [(tcp, tcp_log), (websocket, websocket_log)] = faulty::start_recording();
        let place = Place::with(&scenario(BOTH, load, ""));
        let url = format!("ws://{websocket}/");
        place.measure(&["--tcp", &tcp.to_string(), "--ws", &url]);
        // What a busy machine left unasked at the end is the end of both, and only that.
        let is_whole = passes(&record(&place)).iter().all(|pass| count(&pass["ledger"]["unfinished"]) == 0);
        assert_same_requests([&tcp_log, &websocket_log], 20, whole && is_whole);
    }
}

#[test]
fn what_the_server_cannot_take_waits_is_counted_and_stays_unfinished() {
    let load = "model = \"open\"\nrate = 600\narrivals = \"uniform\"\nwarmup = \"0s\"\nduration = \"2s\"";
    let allowed = "[[thresholds]]\nmetric = \"unfinished\"\nmax = 1200\n";
    let place = Place::with(&(scenario(TCP, load, "").replace("preload = 8", "") + allowed));
    // Six clients, one request outstanding on each, at least 20 ms for each: at most 300 requests/s.
    let address = faulty::start(Fault::Slow(20)).to_string();
    place.measure(&["--tcp", &address]);
    let record = record(&place);
    let pass = &passes(&record)[0];
    assert_eq!(requests(pass), 1200, "all that was offered counts");
    let unfinished = count(&pass["ledger"]["unfinished"]);
    assert!((200..1200).contains(&unfinished), "{unfinished}");
    assert!(count(&pass["backlog"]["waited"]) > 800, "{}", pass["backlog"]);
    let backlog = count(&pass["backlog"]["max"]);
    assert!((500..=1200).contains(&backlog), "{backlog}");
    let ledger = &pass["ledger"];
    assert_eq!(count(&ledger["requests"]), count(&ledger["replies"]) + unfinished);
    assert!(place.read("report.md").contains('≥'), "quantiles beyond the end are lower bounds");
    let rows = place.csv("summary.csv");
    let all =
        rows.iter().find(|row| row["trial"] == "all" && row["op"] == "all" && row["role"] == "all").unwrap();
    let rate: f64 = all["rate"].parse().unwrap();
    assert!((1.0..310.0).contains(&rate), "achieved goes by the replies: {rate}");
}

#[test]
fn an_overload_that_no_threshold_allows_fails_and_says_what_was_offered_and_answered() {
    let load = "model = \"open\"\nrate = 600\narrivals = \"uniform\"\nwarmup = \"0s\"\nduration = \"2s\"";
    let place = Place::with(&scenario(TCP, load, ""));
    let address = faulty::start(Fault::Slow(20)).to_string();
    let ended = place.run_to_end(&["--tcp", &address]).expect(1);
    let message = ended.stdout.lines().nth(1).unwrap();
    for part in
        ["load `load` over tcp: ", " of 1200 requests", "(600 requests/s were offered, ", "did not keep up"]
    {
        assert!(message.contains(part), "{message}");
    }
    assert!(
        ended.stdout.contains("unfinished ≤ 1 % where load=load, transport=tcp (default): MISSED"),
        "{ended:?}"
    );
}

#[test]
fn a_run_without_one_checked_reply_has_not_passed_whatever_its_thresholds_say() {
    let load =
        "model = \"open\"\nrate = 0.001\narrivals = \"uniform\"\nwarmup = \"0s\"\nduration = \"100ms\"";
    let thresholds =
        "[[thresholds]]\nmetric = \"rate\"\nmax = 100\n[[thresholds]]\nmetric = \"lost\"\nmax = 0\n";
    for timing in ["", "\ntiming = \"unjudged\""] {
        let place = Place::with(&(scenario(BOTH, &(load.to_owned() + timing), "") + thresholds));
        let ended = place.run_to_end(&[]).expect(4);
        assert!(
            ended.stdout.starts_with("models: NOTHING WAS MEASURED; 0 replies checked"),
            "{}",
            ended.stdout
        );
        assert!(
            ended.stdout.contains("no reply was checked: no request fell into the measured part"),
            "{ended:?}"
        );
        let report = place.read("report.md");
        assert!(report.contains("\nNothing was measured.\n") && !report.contains("## \n"), "{report}");
    }
}

#[test]
fn a_load_whose_timing_is_unjudged_gives_counts_and_no_latencies_and_never_ends_with_4_for_timing() {
    let load = "model = \"open\"\nrate = 900\nwarmup = \"100ms\"\nduration = \"1s\"\ninterleave = \"250ms\"\n\
                timing = \"unjudged\"";
    let place = Place::with(&scenario(BOTH, load, "reconnect = { every = 50 }"));
    let ended = place.run_to_end(&[]).expect(0);
    assert!(ended.stdout.contains("verdict   load: timing not judged"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("p50") && !ended.stdout.contains("  ratio"), "{}", ended.stdout);
    let report = place.read("report.md");
    assert!(report.contains("**Timing not judged**"), "{report}");
    assert!(!report.contains("p50") && !report.contains("### Latency"), "{report}");
    for (file, counted) in [("summary.csv", "requests"), ("intervals.csv", "offered")] {
        for row in place.csv(file) {
            assert!(row[counted].parse::<u64>().is_ok(), "{row:?}");
            let latencies = ["lag_", "service_", "response_", "dispatch_"];
            let given = |(name, cell): (&String, &String)| {
                latencies.iter().any(|latency| name.starts_with(latency)) && !cell.is_empty()
            };
            assert!(!row.iter().any(given), "{file}: {row:?}");
        }
    }
    assert_eq!(std::fs::read_dir(place.out().join("histograms")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(place.out().join("plots")).unwrap().count(), 0);
    let record = record(&place);
    assert_eq!(
        (&record["loads"][0]["timing"], &record["loads"][0]["verdict"]["level"]),
        (&"unjudged".into(), &"unjudged".into())
    );
}

#[test]
fn an_interleaved_load_records_its_windows_in_pairs_that_add_up() {
    let load = "model = \"open\"\nrate = 900\nwarmup = \"300ms\"\nduration = \"2s\"\ntrials = 2\ninterleave = \"400ms\"";
    let place = Place::with(&scenario(BOTH, load, ""));
    let record = run(&place);
    assert_eq!(passes(&record).len(), 4, "one for each transport and trial");
    for trial in [1, 2] {
        let of_trial: Vec<&Value> = passes(&record).iter().filter(|pass| pass["trial"] == trial).collect();
        let [tcp, websocket] = of_trial[..] else { panic!("two passes a trial") };
        assert_eq!(
            (tcp["transports"][0].as_str(), websocket["transports"][0].as_str()),
            (Some("tcp"), Some("websocket"))
        );
        assert_eq!(requests(tcp), requests(websocket), "the same schedule on both");
        let (ours, theirs) = (tcp["windows"].as_array().unwrap(), websocket["windows"].as_array().unwrap());
        assert_eq!((ours.len(), theirs.len()), (5, 5));
        for (one, other) in ours.iter().zip(theirs) {
            assert_eq!(one["pair"], other["pair"]);
            assert_ne!(one["position"], other["position"]);
            let (start, other_start) =
                (one["started_s"].as_f64().unwrap(), other["started_s"].as_f64().unwrap());
            assert!((start - other_start).abs() > 0.4, "one after the other: {start} {other_start}");
            assert!(one["cost"]["generator_cpu_ns"].as_u64().unwrap() > 0);
        }
        let in_windows: u64 = ours
            .iter()
            .map(|window| count(&window["roles"].as_array().unwrap().last().unwrap()["requests"]))
            .sum();
        assert_eq!(in_windows, requests(tcp));
        let offered: u64 =
            tcp["intervals"].as_array().unwrap().iter().map(|row| count(&row["offered"])).sum();
        assert_eq!(offered, requests(tcp));
        assert_eq!(tcp["intervals"].as_array().unwrap().len(), 2, "its own seconds, not the clock's");
        assert!((tcp["measured_s"].as_f64().unwrap() - 2.0).abs() < 1e-6);
    }
}

#[test]
fn progress_of_an_interleaved_load_tells_the_rate_of_the_load() {
    // Without a terminal a line comes every five seconds.
    let load = "model = \"open\"\nrate = 900\nwarmup = \"0s\"\nduration = \"3s\"\ninterleave = \"100ms\"";
    let place = Place::with(&scenario(BOTH, load, ""));
    one_of_a_few(|| {
        let stderr = place.measure(&[]).stderr;
        let line = stderr.lines().find(|line| line.contains(" req/s")).unwrap_or_else(|| panic!("{stderr}"));
        let rate: f64 = line.split(" req/s").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        (700.0..1100.0).contains(&rate).then_some(()).ok_or_else(|| line.to_owned())
    });
}

#[test]
fn phases_of_clients_let_only_those_act() {
    let load = "model = \"closed\"\nthink = \"2ms\"\nwarmup = \"0s\"\n\
                phases = [{ duration = \"1s\", clients = 1 }, { duration = \"1s\", clients = 6 }, { duration = \"1s\", clients = [6, 1] }]";
    let place = Place::with(&scenario(TCP, load, ""));
    one_of_a_few(|| {
        run(&place);
        let offered: Vec<f64> =
            place.csv("intervals.csv").iter().map(|row| row["offered"].parse().unwrap()).collect();
        let [one, six, leaving] = offered[..] else { panic!("{offered:?}") };
        // Six clients ask more than one, and they leave one by one.
        let good = six > 3.0 * one && leaving < six && leaving > 1.5 * one;
        good.then_some(()).ok_or_else(|| format!("{offered:?}"))
    });
}

#[test]
fn a_rate_given_as_a_share_is_probed_on_the_slower_transport() {
    let load = "model = \"open\"\nrate = { share = 0.1 }\narrivals = \"uniform\"\nwarmup = \"0s\"\nduration = \"1s\"";
    let place = Place::with(&scenario(BOTH, load, ""));
    let record = run(&place);
    let probes = record["loads"][0]["probes"].as_array().unwrap();
    assert_eq!(probes.len(), 2);
    let reached: Vec<f64> = probes.iter().map(|probe| probe["reached"].as_f64().unwrap()).collect();
    let offered = probes[0]["offered"].as_f64().unwrap();
    assert!((offered - 0.1 * reached[0].min(reached[1])).abs() < 1e-6);
    for pass in passes(&record) {
        assert!((requests(pass) as f64 - offered).abs() <= 6.0, "{} of {offered}", requests(pass));
    }
    let transports: Vec<_> = passes(&record).iter().map(|pass| pass["load"].as_str().unwrap()).collect();
    assert_eq!(transports, ["load", "load"], "a probe's figures are no part of the load's");
}

#[test]
fn sessions_are_renewed_in_mid_load_and_their_times_kept_apart() {
    for (every, due) in [("10", 20..300), ("\"200ms\"", 6..100)] {
        let extra = format!("reconnect = {{ every = {every} }}");
        let load = "model = \"open\"\nrate = 1200\nwarmup = \"0s\"\nduration = \"1s\"";
        let place = Place::with(&scenario(BOTH, load, &extra));
        let record = run(&place);
        for pass in passes(&record) {
            let renewals = &pass["renewals"];
            let sessions = count(&renewals["clients"]);
            assert!(due.contains(&sessions), "every {every}: {sessions}");
            for step in ["connect", "login"] {
                assert_eq!(count(&renewals[step]["count"]), sessions, "{step}");
            }
            let by_q = count(&renewals["quit"]["count"]);
            assert!(
                by_q > 0 && by_q < sessions,
                "{by_q} of {sessions} sessions ended by `q`, the others otherwise"
            );
            assert!(count(&renewals["upgrade"]["count"]) > 0, "managers are upgraded again");
            assert_eq!(count(&renewals["preload"]["count"]), 0, "a new session's store is empty");
            assert_eq!(count(&pass["setup"][0]["clients"]), 6);
            assert!(count(&pass["ledger"]["foreign_values_read"]) > 0);
        }
    }
}

#[test]
fn a_session_that_is_to_end_with_its_window_does_not_hold_the_window_up() {
    // Of several requests under way some are answered after the window's end, and others became due before it.
    let load = "model = \"closed\"\nin-flight = 4\nthink = { exponential = \"20ms\" }\nwarmup = \"0s\"\n\
                duration = \"1s\"\ninterleave = \"50ms\"\ntiming = \"unjudged\"";
    let place = Place::with(&scenario(BOTH, load, "reconnect = { every = 4 }"));
    let mut running = place.run(&["--quiet"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let mut ended = None;
    for _ in 0..3000 {
        ended = running.try_wait().unwrap();
        if ended.is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(ended.expect("it ends within a minute").code(), Some(0));
    let record = record(&place);
    for pass in passes(&record) {
        assert!(count(&pass["renewals"]["clients"]) > 20, "{}", pass["renewals"]);
    }
}

#[test]
fn life_3_a_name_that_is_not_free_after_the_close_is_a_violation() {
    let load = "model = \"open\"\nrate = 300\nwarmup = \"0s\"\nduration = \"3s\"";
    let place = Place::with(&scenario(TCP, load, "reconnect = { every = 5 }"));
    let address = faulty::start(Fault::KeepsNames).to_string();
    place.run_to_end(&["--tcp", &address]).expect(1);
    let record = record(&place);
    let violations = record["violations"].as_array().unwrap();
    let taken = |violation: &&Value| violation["rule"] == "LIFE-3";
    let found = violations.iter().find(taken).unwrap_or_else(|| panic!("{violations:#?}"));
    assert_eq!(found["seen"], DUPLICATE_NAME);
    // The store is still there too, so managers may find that first.
    assert!(
        violations
            .iter()
            .all(|violation| ["LIFE-2", "LIFE-3"].contains(&violation["rule"].as_str().unwrap())),
        "{violations:#?}"
    );
}

#[test]
fn a_threshold_with_abort_stops_the_run_after_five_bad_seconds() {
    let threshold = "[[thresholds]]\nmetric = \"response.p50\"\nmax = \"1us\"\nabort = true\nwhere = { role = \"guest\" }\n";
    let load = "model = \"open\"\nrate = 300\nwarmup = \"0s\"\nduration = \"60s\"";
    let place = Place::with(&(scenario(BOTH, load, "") + threshold));
    let ended = place.run_to_end(&[]);
    let record = record(&place);
    if ended.code == Some(4) {
        // A busy machine: thresholds are not judged on figures that are not valid.
        assert_eq!(
            (&record["outcome"]["status"], &record["thresholds"][0]["met"]),
            (&"invalid".into(), &Value::Null)
        );
    } else {
        assert_eq!((ended.code, &record["outcome"]["status"]), (Some(1), &"threshold-missed".into()));
        assert_eq!(record["thresholds"][0]["met"], false);
    }
    assert!(ended.stderr.contains("was missed for 5 s in a row"), "{}", ended.stderr);
    let elapsed = record["elapsed_s"].as_f64().unwrap();
    assert!((5.0..20.0).contains(&elapsed), "{elapsed}");
    let pass = &passes(&record)[0];
    assert!(pass["measured_s"].as_f64().unwrap() < 20.0 && pass["complete"] == false);
}
