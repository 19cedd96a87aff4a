//! TLS under load: the embedded server, launched ones and given ones, and what goes wrong with them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use twinwire::conform::case::Cases;

use crate::support::faulty::{self, Fault};
use crate::support::replayer::{Verdict, replay};
use crate::support::replies::UPGRADE_REFUSED;
use crate::support::tls::{Certificate, LOCAL, Server, front, path};
use crate::support::{Ended, Place, twinwire, until};

const ENCRYPTED: &str = r#"["tls", "wss"]"#;
const FOUR: &str = r#"["tcp", "tls", "websocket", "wss"]"#;

/// The usual scenario, shorter.
fn scenario(transports: &str) -> String {
    crate::support::scenario(transports).replace("500ms", "600ms")
}

fn record(place: &Place) -> serde_json::Value {
    serde_json::from_str(&place.read("run.json")).unwrap()
}

fn transports(place: &Place) -> BTreeSet<String> {
    place.csv("summary.csv").into_iter().map(|row| row["transport"].clone()).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// A place whose scenario changes transports every 200 ms and begins new sessions in mid-load.
fn interleaved(transports: &str) -> Place {
    interleaved_for("600ms", transports)
}

fn interleaved_for(duration: &str, transports: &str) -> Place {
    let text = scenario(transports)
        .replace("600ms", duration)
        .replace("duration =", "interleave = \"200ms\"\nduration =")
        .replace("name = \"guests\"", "name = \"guests\"\nreconnect = { every = 5 }");
    Place::with(&text)
}

/// Folders for certificates that a harness with this folder for temporary files has not removed.
fn certificates(temporary: &Path) -> usize {
    let entries = std::fs::read_dir(temporary).unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().contains("certificate")).count()
}

#[test]
fn four_transports_are_compared_in_windows_with_new_sessions() {
    let place = interleaved_for("3s", FOUR);
    let ended = place.run_to_end(&[]).expect(0);
    for part in ["TLS", "WSS", "none wrong"] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    assert_eq!(transports(&place), set(["tcp", "tls", "websocket", "wss"]));
    assert!(place.read("report.md").contains("\n## TCP, TLS, WebSocket and WSS\n"));
    let record = record(&place);
    let cost = |transport: &str| {
        let passes = record["passes"].as_array().unwrap();
        let pass = passes.iter().find(|pass| pass["transports"][0] == transport).unwrap();
        let renewed = pass["renewals"].to_string();
        assert!(!renewed.contains("null"), "{transport}: {renewed}");
        let cost = &pass["cost"];
        (cost["bytes_sent"].as_f64().unwrap() + cost["bytes_received"].as_f64().unwrap())
            / cost["replies"].as_f64().unwrap()
    };
    // Each record has 22 bytes more than what it carries, in either direction.
    assert!(cost("tls") > cost("tcp") + 35.0, "{} and {}", cost("tls"), cost("tcp"));
    assert!(cost("wss") > cost("websocket") + 35.0, "{} and {}", cost("wss"), cost("websocket"));
    let report = place.read("report.md");
    for part in ["WSS to WebSocket", "Over TLS every connection pays for a whole handshake, since no session"]
    {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(!report.contains("--ca"), "{report}");
}

#[test]
fn the_scenario_that_is_shipped_runs_against_the_embedded_server() {
    let place = Place::with(include_str!("../../../scenarios/tls.toml"));
    let short = ["load.paced.duration=500ms", "load.saturated.duration=200ms"];
    place.measure(&["--set", short[0], "--set", short[1], "--set", "load.paced.trials=1"]);
    let record = record(&place);
    assert_eq!((&record["violations_total"], &record["skipped"]), (&0.into(), &serde_json::json!([])));
    assert_eq!(transports(&place), set(["tcp", "tls", "websocket", "wss"]));
    assert!(place.read("report.md").contains("\n## TCP, TLS, WebSocket and WSS\n"));
}

#[test]
fn pinned_groups_share_one_registry_with_and_without_tls() {
    let pinned = scenario(r#"["tls", "websocket"]"#)
        .replace("name = \"guests\"", "name = \"guests\"\ntransport = \"tls\"")
        .replace("name = \"managers\"", "name = \"managers\"\ntransport = \"websocket\"");
    let place = Place::with(&pinned);
    place.run_to_end(&[]).expect(0);
    assert!(record(&place)["passes"][0]["ledger"]["foreign_values_read"].as_u64().unwrap() > 10);
}

#[test]
fn pipelined_requests_of_any_size_come_back_over_tls() {
    let long = scenario(ENCRYPTED)
        .replace("model = \"closed\"", "in-flight = 32\nmodel = \"closed\"")
        .replace("max = 100", "max = 40000");
    let place = Place::with(&long);
    place.run_to_end(&[]).expect(0);
    assert_eq!(transports(&place), set(["tls", "wss"]));
}

#[test]
fn the_embedded_servers_certificate_goes_away_however_the_run_ends() {
    let temporary = tempfile::tempdir().unwrap();
    let place = Place::with(&scenario(ENCRYPTED));
    let mut run = place.run(&["--set", "load.short.trials=2"]);
    Ended::of(run.env("TMPDIR", temporary.path()).output().unwrap()).expect(0);
    assert_eq!(certificates(temporary.path()), 0);
    // Killed in mid-run, too.
    let place = Place::with(&scenario(ENCRYPTED).replace("600ms", "10min"));
    let mut run = place.run(&[]);
    let mut run =
        run.env("TMPDIR", temporary.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // From then on the child has the certificate's folder.
    let children = format!("/proc/{0}/task/{0}/children", run.id());
    until("the server starts", || std::fs::read_to_string(&children).is_ok_and(|pids| !pids.is_empty()));
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGKILL).unwrap();
    run.wait().unwrap();
    until("the certificate goes away", || certificates(temporary.path()) == 0);
}

#[test]
fn the_embedded_server_does_not_take_the_users_settings_for_another_one() {
    let place = Place::with(&scenario(r#"["tcp"]"#));
    let mut run = place.run(&[]);
    run.env("TWINWIRE_MAX_CONNECTIONS", "1")
        .env("TWINWIRE_UPGRADE", "closed")
        .env("TWINWIRE_WORKERS", "none");
    Ended::of(run.output().unwrap()).expect(0);
    // A launched one does: it is the user's own.
    let command = format!("'{}' serve-embedded --tcp 127.0.0.1:{{tcp}}", env!("CARGO_BIN_EXE_twinwire"));
    let mut run = place.run(&["--launch", &command]);
    let ended = Ended::of(run.env("TWINWIRE_UPGRADE", "closed").output().unwrap());
    assert_ne!(ended.code, Some(0), "managers are refused: {ended:?}");
    assert!(ended.stdout.contains(UPGRADE_REFUSED), "{}", ended.stdout);
}

#[test]
fn given_servers_are_known_by_their_ca() {
    let server = Server::start(&Certificate::issued(&LOCAL, |_| {}));
    let place = interleaved(FOUR);
    let (tls, wss) =
        (format!("localhost:{}", server.tls.port()), format!("wss://127.0.0.1:{}", server.wss.port()));
    let ended = place.run_to_end(&["--tls", &tls, "--wss", &wss, "--ca", &server.ca()]).expect(0);
    assert_eq!(transports(&place), set(["tls", "wss"]));
    let first = ended.stdout.lines().next().unwrap();
    assert!(place.read("report.md").contains("with the same target (and `--ca`, if it was given)."));
    assert!(first.contains("skipped: tcp (the target does not offer it), websocket"), "{first}");
    place.run_to_end(&["--tls", &tls, "--ca", &server.ca(), "--require", "wss"]).expect(2);
}

#[test]
fn a_given_server_that_is_not_trusted_is_no_target() {
    let server = Server::start(&Certificate::issued(&["localhost"], |_| {}));
    let place = Place::with(&scenario(ENCRYPTED));
    let other = tempfile::tempdir().unwrap();
    Certificate::issued(&LOCAL, |_| {}).write(other.path());
    let other = path(&other.path().join("ca.pem"));
    let ca = server.ca();
    for (host, ca, part) in [
        ("localhost", &other, "is not trusted: neither it nor its CA is in `"),
        ("127.0.0.1", &ca, "is not for `127.0.0.1`, but for `localhost`"),
    ] {
        let tls = format!("{host}:{}", server.tls.port());
        let ended = place.run_to_end(&["--tls", &tls, "--ca", ca]).expect(3);
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    let plain = faulty::start(Fault::HangsAfter(0)).to_string();
    let ended = place.run_to_end(&["--tls", &plain, "--ca", &ca, "--set", "timeout=1s"]).expect(3);
    assert!(ended.stdout.contains("TLS"), "{}", ended.stdout);
}

#[test]
fn a_server_that_dies_in_mid_run_is_lost_over_tls_too() {
    let certificate = Certificate::issued(&LOCAL, |_| {});
    let folder = tempfile::tempdir().unwrap();
    certificate.write(folder.path());
    let place = Place::with(&scenario(r#"["tls"]"#).replace("600ms", "10min"));
    let tls = front(&certificate, faulty::start(Fault::DiesAfter(300))).to_string();
    let ended = place.run_to_end(&["--tls", &tls, "--ca", &path(&folder.path().join("ca.pem"))]).expect(3);
    assert!(ended.stdout.contains("while load `short` ran over tls (trial 1)"), "{}", ended.stdout);
}

#[test]
fn faults_are_found_through_tls() {
    let certificate = Certificate::issued(&LOCAL, |_| {});
    let folder = tempfile::tempdir().unwrap();
    certificate.write(folder.path());
    let ca = path(&folder.path().join("ca.pem"));
    let run = |transport: &str, address: std::net::SocketAddr| {
        let place = Place::with(&crate::support::scenario(&format!("[\"{transport}\"]")));
        let front = front(&certificate, address);
        let target = if transport == "tls" { front.to_string() } else { format!("wss://{front}") };
        let ended = place.run_to_end(&[&format!("--{transport}"), &target, "--ca", &ca]);
        (place, ended)
    };
    let cases = [
        ("tls", faulty::start(Fault::Stale), "stale value", "STORE-3"),
        ("tls", faulty::start(Fault::Twice), "unasked reply", "FORM-3"),
        ("wss", faulty::start_websocket(Fault::Foreign), "foreign value", "STORE-5"),
        ("wss", faulty::start_websocket(Fault::MasksAfter(50)), "broken framing", "WS-7"),
    ];
    for (transport, address, kind, rule) in cases {
        let (place, ended) = run(transport, address);
        ended.expect(1);
        let violations = record(&place)["violations"].as_array().unwrap().clone();
        let found = violations.iter().any(|violation| violation["kind"] == kind && violation["rule"] == rule);
        assert!(found, "{transport}: no `{kind}` ({rule}) in {violations:#?}");
        if kind == "stale value" {
            // It can be shown again by a case, as any other.
            let text =
                std::fs::read_dir(place.out().join("violations")).unwrap().flatten().find_map(|file| {
                    let path = file.path();
                    path.to_string_lossy().contains("stale").then(|| std::fs::read_to_string(path).unwrap())
                });
            let cases = Cases::parse("case", &text.unwrap()).unwrap();
            let case = &cases.cases()[0];
            assert_eq!(replay(case, faulty::start(Fault::None)), Verdict::Passed);
            assert_ne!(replay(case, faulty::start(Fault::Stale.always())), Verdict::Passed);
        }
    }
    // And a right server has none.
    run("tls", faulty::start(Fault::None)).1.expect(0);
    run("wss", faulty::start_websocket(Fault::None)).1.expect(0);
}

fn launched(listeners: &str) -> String {
    format!("'{}' serve-embedded {listeners}", env!("CARGO_BIN_EXE_twinwire"))
}

#[test]
fn a_launched_server_gets_a_certificate_that_goes_away_with_it() {
    let temporary = tempfile::tempdir().unwrap();
    let command = launched(
        "--tls 127.0.0.1:{tls} --wss 127.0.0.1:{wss} --tcp 127.0.0.1:{tcp} --tls-cert {cert} --tls-key {key}",
    );
    let place = interleaved(FOUR);
    let mut run = place.run(&["--launch", &command, "--set", "load.short.trials=2"]);
    Ended::of(run.env("TMPDIR", temporary.path()).output().unwrap()).expect(0);
    assert_eq!(transports(&place), set(["tcp", "tls", "wss"]));
    assert_eq!(certificates(temporary.path()), 0);
    // A harness that is killed leaves that to the program's guard.
    let place = Place::with(&scenario(ENCRYPTED).replace("600ms", "10min"));
    let mut run = place.run(&["--launch", &command]);
    let mut run =
        run.env("TMPDIR", temporary.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the server starts", || {
        let log = std::fs::read_to_string(place.out().join("server.log")).unwrap_or_default();
        log.contains("listening wss") && certificates(temporary.path()) == 1
    });
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGKILL).unwrap();
    run.wait().unwrap();
    until("the certificate goes away", || certificates(temporary.path()) == 0);
}

#[test]
fn a_launched_server_may_have_a_certificate_of_its_own() {
    let certificate = Certificate::issued(&["localhost"], |_| {});
    let place = Place::with(&scenario(ENCRYPTED));
    certificate.write(place.path());
    let own = "--tls-cert cert.pem --tls-key key.pem";
    let both = launched(&format!("--tls 127.0.0.1:{{tls}} --wss 127.0.0.1:{{wss}} {own}"));
    place.run_to_end(&["--launch", &both, "--ca", "ca.pem"]).expect(0);
    assert_eq!(transports(&place), set(["tls", "wss"]));
    // Without its CA it is not trusted.
    let other = Certificate::issued(&LOCAL, |_| {}).ca;
    std::fs::write(place.path().join("ca.pem"), other).unwrap();
    let ended = place.run_to_end(&["--launch", &both, "--ca", "ca.pem"]).expect(3);
    assert!(ended.stdout.contains("neither it nor its CA is in `ca.pem`"), "{}", ended.stdout);
}

#[test]
fn flags_that_contradict_each_other_are_errors_of_usage() {
    let place = Place::with(&scenario(ENCRYPTED));
    Certificate::issued(&LOCAL, |_| {}).write(place.path());
    for (arguments, part) in [
        (&["--ca", "ca.pem"] as &[&str], "--ca is for a target that speaks TLS"),
        (&["--tls", "127.0.0.1:9", "--ca", "none.pem"], "--ca: cannot read `none.pem`"),
        (&["--wss", "wss://127.0.0.1:9", "--ca", "key.pem"], "`key.pem` holds no certificate"),
        (&["--wss", "ws://127.0.0.1:9", "--ca", "ca.pem"], "write wss://HOST:PORT"),
        (&["--tls", "127.0.0.1", "--ca", "ca.pem"], "is not an address"),
        (&["--launch", "x {tls} {cert}"], "{cert} and {key} belong together"),
        (&["--launch", "x {tls} {cert} {key}", "--ca", "ca.pem"], "keep one of them"),
        (&["--launch", "x {tls}", "--tls", "127.0.0.1:9", "--ca", "ca.pem"], "has two ports"),
    ] {
        let ended = place.run_to_end(arguments).expect(2);
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    assert!(!place.out().exists(), "nothing was run");
    let calibrate =
        Ended::of(twinwire().args(["calibrate", "--transport", "wss"]).output().unwrap()).expect(2);
    assert!(calibrate.stderr.contains("there is no floor for TLS"), "{}", calibrate.stderr);
}
