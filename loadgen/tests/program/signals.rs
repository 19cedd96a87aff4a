//! How runs end when they are told to: which signals, how often, and what is told in which terminal.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Ended, Place, scenario, twinwire, until};

const TOLD: &str = "again to end at once";

/// A run of ten minutes.
fn endless() -> Place {
    Place::with(&scenario(r#"["tcp"]"#).replace("500ms", "10min"))
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// A run whose load tells how it goes; what it tells is read on.
fn running(mut command: Command) -> (Child, std::thread::JoinHandle<String>) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(" req/s")), "it ended before it told of its load");
    (child, std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n")))
}

#[test]
fn each_signal_that_asks_for_an_end_leaves_a_report() {
    for signal in [Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTERM] {
        let place = endless();
        let (child, told) = running(place.run(&[]));
        kill(pid(&child), signal).unwrap();
        Ended::of(child.wait_with_output().unwrap()).expect(130);
        assert!(told.join().unwrap().contains(TOLD), "{signal}");
        assert!(place.read("report.md").to_lowercase().contains("interrupted"), "{signal}");
        assert!(place.read("run.json").contains("\"interrupted\": true"), "{signal}");
    }
}

/// A limit that is lowered in mid-load is a shortage like any other, of which no test could make another as easily.
#[cfg(target_os = "linux")]
#[test]
fn a_shortage_of_our_own_in_the_middle_of_a_load_is_named_as_ours_and_ends_the_run() {
    use rustix::process::{Resource, Rlimit, prlimit};

    let scenario = scenario(r#"["tcp"]"#).replace("500ms", "10min");
    let place = Place::with(&scenario.replace("count = 4", "count = 60\nreconnect = { every = 50 }"));
    let (child, told) = running(place.run(&[]));
    // Files of its own get lower numbers than its sockets, and can still be opened.
    let limit = Rlimit { current: Some(32), maximum: Some(32) };
    prlimit(rustix::process::Pid::from_raw(child.id().cast_signed()), Resource::Nofile, limit).unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap()).expect(4);
    let what = "this process may open no more files: its limit is 32";
    assert!(told.join().unwrap().contains(what) && ended.stdout.contains(what), "{}", ended.stdout);
    let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
    assert_eq!(record["outcome"]["status"], "invalid");
    assert!(
        record["passes"].as_array().unwrap().iter().all(|pass| pass["clients_lost"] == 0),
        "no client was lost"
    );
}

#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let place = endless();
    let (child, told) = running(place.run(&[]));
    kill(pid(&child), Signal::SIGTERM).unwrap();
    kill(pid(&child), Signal::SIGTERM).unwrap();
    Ended::of(child.wait_with_output().unwrap()).expect(130);
    told.join().unwrap();
    assert!(place.read("run.json").contains("\"interrupted\": true"));
}

#[test]
fn a_hangup_that_is_ignored_at_the_start_stays_ignored() {
    let place = endless();
    let run = place.run(&[]);
    let mut nohup = Command::new("sh");
    nohup.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(run.get_program()).args(run.get_args());
    nohup.current_dir(place.path());
    let (child, told) = running(nohup);
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    assert_eq!(u64::from_str_radix(ignored.trim(), 16).unwrap() & 1, 1, "{ignored}");
    kill(pid(&child), Signal::SIGTERM).unwrap();
    Ended::of(child.wait_with_output().unwrap()).expect(130);
    told.join().unwrap();
}

#[test]
fn a_run_that_is_stopped_before_its_load_has_a_record_too() {
    let place = endless();
    let mut command = place.run(&["--quiet", "--launch", "sleep 1000", "--tcp", "127.0.0.1:1"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the log has begun", || place.out().join("server.log").exists());
    kill(pid(&child), Signal::SIGTERM).unwrap();
    Ended::of(child.wait_with_output().unwrap()).expect(130);
    assert!(place.read("run.json").contains("\"status\": \"interrupted\""));
}

#[test]
fn warnings_are_told_to_those_who_want_no_progress() {
    let place = endless();
    let mut child = place.run(&["--quiet"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Without progress, its processor time tells that the load runs.
    let busy = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields.get(11).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0) > 20
    };
    until("the load runs", busy);
    kill(pid(&child), Signal::SIGTERM).unwrap();
    let mut told = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut told).unwrap();
    Ended::of(child.wait_with_output().unwrap()).expect(130);
    assert!(told.contains(TOLD), "{told}");
    assert!(!told.contains("req/s"), "{told}");
}

#[test]
fn a_terminal_that_cannot_redraw_gets_plain_lines_and_warnings() {
    let place = endless();
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut command = twinwire();
    command.current_dir(place.path()).args(["run", "scenario.toml", "--out", "out"]).env("TERM", "dumb");
    command.stdout(Stdio::null()).stderr(Stdio::from(terminal.slave));
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut told = Vec::new();
    // The other end of a terminal that all have left is an error, not an end.
    for line in BufReader::new(fs::File::from(terminal.master)).lines().map_while(Result::ok) {
        if line.contains(" req/s") {
            kill(pid(&child), Signal::SIGTERM).unwrap();
        }
        told.push(line);
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let told = told.join("\n");
    assert!(told.contains("[1/1] short tcp trial 1/1") && told.contains(TOLD), "{told}");
    assert!(!told.contains('\u{1b}'), "{told}");
}
