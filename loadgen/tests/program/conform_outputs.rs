//! What `twinwire conform` leaves behind, and `twinwire explain`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;

use serde_json::Value;

use crate::support::{Ended, twinwire};

/// A few cases over both transports, seconds of work.
const FEW: [&str; 3] = ["--filter", "login-one-word-is-a-name", "--quiet"];

fn conform(arguments: &[&str]) -> Ended {
    Ended::of(twinwire().arg("conform").args(arguments).output().unwrap())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A server that sends back whatever comes.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn json_says_what_became_of_each_case() {
    let ended = conform(&[&FEW[..], &["--json", "--seed", "7"]].concat()).expect(0);
    let suite = json(&ended.stdout);
    assert_eq!(
        (&suite["seed"], &suite["exit_code"], &suite["target"]),
        (&7.into(), &0.into(), &"embedded server".into())
    );
    let cases = suite["cases"].as_array().unwrap();
    assert_eq!(suite["due"], cases.len());
    assert_eq!(suite["counts"]["passed"], cases.len());
    let transports: Vec<&str> = cases.iter().map(|case| case["transport"].as_str().unwrap()).collect();
    assert!(transports.contains(&"tcp") && transports.contains(&"websocket"), "{transports:?}");
}

#[test]
fn a_list_has_only_the_cases_of_its_level() {
    let ids = |level: &str| -> Vec<String> {
        let listed = json(&conform(&["--list", "--json", "--level", level]).expect(0).stdout);
        listed["cases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|case| case["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let (core, full) = (ids("core"), ids("full"));
    assert!(core.len() > 20 && core.len() < full.len(), "{} of {}", core.len(), full.len());
    assert_eq!(conform(&["--list"]).expect(0).stdout.lines().count(), full.len());
}

#[test]
fn a_report_folder_has_every_case_and_is_written_again_but_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let run =
        |expected: i32| conform(&[&FEW[..], &["--out", out.to_str().unwrap()]].concat()).expect(expected);
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    let ended = run(0);
    assert!(
        ended.stdout.contains(&format!("report: {}", out.join("report.html").display())),
        "{}",
        ended.stdout
    );
    let record = json(&read("conform.json"));
    assert_eq!(record["complete"], true);
    let lines: Vec<Value> = read("results.jsonl").lines().map(json).collect();
    assert_eq!(Value::Array(lines), record["cases"], "the lines are the cases");
    assert!(
        read("report.html").contains("id=\"LOGIN-1-tcp\"")
            && read("report.md").contains("| LOGIN-1 | MUST |")
    );
    assert!(read("server.log").starts_with("# Log of the target"));
    // Another suite writes it again, and leaves alone what is not its own.
    fs::write(out.join("notes.txt"), "mine").unwrap();
    run(0);
    assert_eq!(read("notes.txt"), "mine");
    fs::remove_file(out.join("conform.json")).unwrap();
    let refused = run(2);
    assert!(refused.stderr.contains("it has no conform.json"), "{}", refused.stderr);
}

#[test]
fn a_killed_suite_leaves_what_it_found_in_a_folder_that_is_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let mut child = twinwire()
        .args(["conform", "--quiet", "--jobs", "1", "--out", out.to_str().unwrap()])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let lines = || fs::read_to_string(out.join("results.jsonl")).unwrap_or_default();
    crate::support::until("three results", || lines().lines().count() >= 3);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(json(&fs::read_to_string(out.join("conform.json")).unwrap())["complete"], false);
    for line in lines().lines() {
        assert!(json(line)["id"].is_string(), "{line}");
    }
    conform(&[&FEW[..], &["--out", out.to_str().unwrap()]].concat()).expect(0);
}

#[test]
fn the_files_for_a_ci_say_what_the_exit_code_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (junit, markdown, badge) = (path("junit.xml"), path("page.md"), path("badge.json"));
    let files = ["--junit", &junit, "--markdown", &markdown, "--badge", &badge];
    let read = |path: &str| fs::read_to_string(path).unwrap();
    conform(&[&FEW[..], &files].concat()).expect(0);
    assert!(read(&junit).contains("failures=\"0\" errors=\"0\""), "{}", read(&junit));
    assert!(read(&markdown).starts_with("# Conformance: ✓ "), "{}", read(&markdown));
    assert_eq!(json(&read(&badge))["color"], "brightgreen");
    let echo = echo().to_string();
    let ended = conform(&[&FEW[..], &files, &["--tcp", &echo, "--timeout", "1s"]].concat()).expect(1);
    assert!(ended.stdout.contains("failed  login-one-word-is-a-name over TCP"), "{}", ended.stdout);
    assert!(ended.stdout.contains("  expected  `success`"), "{}", ended.stdout);
    assert!(read(&junit).contains("failures=\"1\" errors=\"0\""), "{}", read(&junit));
    assert!(read(&markdown).starts_with("# Conformance: ✗ 1 of 1 failed"), "{}", read(&markdown));
    assert_eq!(json(&read(&badge))["message"], "1 failed");
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_the_suite_begins() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("no/such/folder/x");
    for flag in ["--junit", "--markdown", "--badge"] {
        for path in [missing.as_path(), dir.path(), Path::new("/dev/null")] {
            let ended = conform(&[&FEW[..], &[flag, path.to_str().unwrap()]].concat()).expect(2);
            assert!(ended.stdout.is_empty(), "{}", ended.stdout);
            assert!(ended.stderr.contains(path.to_str().unwrap()), "{}", ended.stderr);
        }
    }
    assert!(Path::new("/dev/null").exists());
}

#[test]
fn a_rule_and_a_case_are_explained_and_what_is_near_is_suggested() {
    let explain = |arguments: &[&str]| Ended::of(twinwire().arg("explain").args(arguments).output().unwrap());
    let rule = explain(&["LOGIN-1"]).expect(0).stdout;
    assert!(
        rule.starts_with("LOGIN-1 (MUST)\n") && rule.contains("login-one-word-is-a-name (core)"),
        "{rule}"
    );
    let case = explain(&["login-one-word-is-a-name"]).expect(0).stdout;
    assert!(case.contains("id = \"login-one-word-is-a-name\"") && case.contains("LOGIN-1 (MUST)"), "{case}");
    assert_eq!(json(&explain(&["--json", "login-1"]).expect(0).stdout)["rule"], "LOGIN-1");
    for (wrong, hint) in [
        ("login-one-word-is-a-nam", "did you mean `login-one-word-is-a-name`?"),
        ("one-word-is-a", "did you mean `login-one-word-is-a-name`?"),
        ("LOGN-1", "did you mean `LOGIN-1`?"),
        ("zzzzzzzzzzzzzzzzzzz", "`twinwire conform --list` shows"),
    ] {
        let ended = explain(&[wrong]).expect(2);
        assert!(ended.stderr.contains(hint), "{}", ended.stderr);
    }
}
