//! `twinwire quick` as a user meets it.

use std::collections::BTreeSet;

use crate::support::{Ended, Place, twinwire};

fn quick(place: &Place, arguments: &[&str]) -> Ended {
    let mut command = twinwire();
    command.current_dir(place.path()).args(["quick", "--out", "out"]).args(arguments);
    Ended::of(command.output().unwrap())
}

/// The same to a good end. A machine that stands still in the middle of it makes its figures invalid (4): then once more.
#[track_caller]
fn quick_valid(place: &Place, arguments: &[&str]) -> Ended {
    let tries = std::iter::repeat_with(|| quick(place, arguments)).take(5);
    let mut last = None;
    for ended in tries {
        let is_invalid = ended.code == Some(4);
        last = Some(ended);
        if !is_invalid {
            break;
        }
    }
    last.unwrap().expect(0)
}

#[test]
fn quick_loads_both_transports_of_the_embedded_server() {
    let place = Place::with("");
    quick_valid(&place, &["-c", "10", "-d", "300ms", "--managers", "20", "--set", "load.quick.think=1ms"]);
    let rows = place.csv("summary.csv");
    let of = |column: &str| rows.iter().map(|row| row[column].clone()).collect::<BTreeSet<_>>();
    assert_eq!(of("transport"), BTreeSet::from(["tcp", "websocket"].map(str::to_owned)));
    assert_eq!(of("role"), BTreeSet::from(["all", "guest", "manager"].map(str::to_owned)));
    // What ran is in the folder, and can be run again.
    let text = place.read("scenario.toml");
    assert!(text.contains("think = \"1ms\"") && text.contains("duration = \"300ms\""), "{text}");
    std::fs::write(place.path().join("scenario.toml"), &text).unwrap();
    place.measure(&["--quiet"]);
    assert_eq!(place.read("scenario.toml"), text);
}

#[test]
fn quick_alternates_short_trials_so_that_a_ratio_has_pairs_and_a_single_trial_gives_none() {
    let place = Place::with("");
    let short = quick_valid(&place, &["-c", "4", "-d", "200ms", "--set", "load.quick.think=1ms"]);
    // "2 × 1 s" is no ratio, "1.10×" is one.
    let ratios = |text: &str| {
        let ratio = |(at, _): &(usize, &str)| text[..*at].ends_with(|c: char| c.is_ascii_digit());
        text.match_indices('×').filter(ratio).count()
    };
    assert_eq!(ratios(&short.stdout), 0, "{}", short.stdout);
    assert_eq!(ratios(&place.read("report.md")), 0);
    let more = quick_valid(&place, &["-c", "4", "-d", "1s", "--set", "load.quick.think=1ms"]);
    let trials: BTreeSet<String> = place.csv("summary.csv").iter().map(|row| row["trial"].clone()).collect();
    assert_eq!(trials, BTreeSet::from(["1", "2", "3", "4", "5", "all"].map(str::to_owned)));
    // Each ratio has its interval, or none is shown.
    for text in [more.stdout, place.read("report.md")] {
        assert_eq!(ratios(&text), text.matches("× (").count(), "{text}");
        assert!(text.contains("× (") || text.contains("no difference shown"), "{text}");
    }
}

#[test]
fn quick_with_a_rate_that_the_server_cannot_take_says_so_plainly() {
    let place = Place::with("");
    let address = crate::support::faulty::start(crate::support::faulty::Fault::Slow(20)).to_string();
    let arguments = ["-c", "4", "-d", "2s", "-R", "600", "--managers", "0", "--tcp", &address];
    let few_keys = ["--set", "clients.guests.keys.count=4"];
    let ended = quick(&place, &[&arguments[..], &few_keys].concat()).expect(1);
    assert!(ended.stderr.contains("the server did not keep up with the rate ("), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("lower the load, or allow it with a threshold on `unfinished`"),
        "{}",
        ended.stderr
    );
}

#[test]
fn quick_takes_the_transports_of_the_target() {
    let place = Place::with("");
    let command =
        format!("'{}' serve-embedded --tcp-raw 127.0.0.1:{{tcp-raw}}", env!("CARGO_BIN_EXE_twinwire"));
    let arguments = ["-c4", "-d1s", "--value-size", "16", "--json", "--quiet", "--launch", &command];
    let ended = quick_valid(&place, &arguments);
    assert_eq!(ended.stderr, "");
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(json["runs"][0]["scenario"], "quick");
    assert_eq!(json["runs"][0]["skipped"], serde_json::json!([]));
    assert_eq!(json["runs"][0]["cost"][0]["transport"], "tcp-raw");
    for figure in ["server_cpu_us", "generator_cpu_us", "bytes_sent", "bytes_received", "segments"] {
        assert!(json["runs"][0]["cost"][0][figure].as_f64().unwrap() > 0.0, "{figure}: {json}");
    }
}

#[test]
fn quick_compares_encrypted_transports_where_they_are_asked_for() {
    let place = Place::with("");
    let arguments =
        ["-c4", "-d1s", "--transport", "wss", "--transport", "tls", "--set", "load.quick.think=1ms"];
    quick_valid(&place, &arguments);
    let found: BTreeSet<String> =
        place.csv("summary.csv").iter().map(|row| row["transport"].clone()).collect();
    assert_eq!(found, BTreeSet::from(["tls", "wss"].map(str::to_owned)));
}

#[test]
fn a_wrong_flag_is_named_and_nothing_is_run() {
    let place = Place::with("");
    for (arguments, part) in [
        (["-c", "0"], "--clients"),
        (["-d", "5"], "--duration"),
        (["-R", "-1"], "--rate"),
        (["--managers", "150"], "--managers"),
        (["--value-size", "8"], "--value-size"),
        (["--set", "load.quick.speed=5"], "there is no `speed`"),
    ] {
        let ended = quick(&place, &arguments).expect(2);
        assert!(ended.stderr.contains(part), "{arguments:?}: {}", ended.stderr);
    }
    assert!(!place.out().exists());
}

#[test]
fn quick_with_a_rate_offers_that_rate() {
    let place = Place::with("");
    let ended = quick(&place, &["-c", "4", "-d", "1s", "-R", "500", "--transport", "tcp"]);
    // 4: a machine that is busy with other tests wakes the generator late, and says so.
    assert!(matches!(ended.code, Some(0 | 4)), "{ended:?}");
    let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
    assert!(record["loads"][0]["model"]["open"].is_object());
    let offered: u64 =
        place.csv("intervals.csv").iter().map(|row| row["offered"].parse::<u64>().unwrap()).sum();
    // Poisson arrivals: five standard deviations around 500.
    assert!((390..=610).contains(&offered), "{offered}");
}

#[test]
fn ws_2_quick_names_a_handshake_that_breaks_the_rules() {
    use crate::support::faulty::{Fault, start_websocket};
    let place = Place::with("");
    let url = format!("ws://{}/", start_websocket(Fault::Extension.always()));
    let ended = quick(&place, &["-c", "4", "-d", "200ms", "--ws", &url]).expect(1);
    assert!(ended.stdout.contains("FAILED: wrong replies"), "{}", ended.stdout);
    assert!(ended.stdout.contains("broken handshake") && ended.stdout.contains("WS-2"), "{}", ended.stdout);
    assert!(ended.stdout.contains("permessage-deflate"), "{}", ended.stdout);
}
