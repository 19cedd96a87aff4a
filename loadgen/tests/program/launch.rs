//! `--launch`: targets that the harness starts, measures and stops.

use std::path::Path;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Ended, Place, scenario, until};

const BOTH: &str = r#"["tcp", "websocket"]"#;

/// The harness's own executable as the server: a target like any other.
fn server(listeners: &str) -> String {
    format!("'{}' serve-embedded {listeners}", env!("CARGO_BIN_EXE_twinwire"))
}

fn both() -> String {
    server("--tcp 127.0.0.1:{tcp} --ws 127.0.0.1:{ws}")
}

/// A shell that writes its number into `pid`, so that a test can look for it, and then runs this script.
fn shell(script: &str) -> String {
    format!("sh -c {}", shell_words::quote(&format!("echo $$ >> pid; {script}")))
}

fn record(place: &Place) -> serde_json::Value {
    serde_json::from_str(&place.read("run.json")).unwrap()
}

/// The processes that have written their numbers into `pid`.
fn pids(place: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(place.join("pid")).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn is_alive(pid: i32) -> bool {
    // One that nobody has waited for yet, or that is just being waited for, has ended.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

#[test]
fn a_launched_server_is_loaded_measured_and_stopped() {
    let place = Place::with(&scenario(BOTH));
    let ended = place.run_to_end(&["--launch", &both(), "--set", "load.short.trials=2"]).expect(0);
    assert!(ended.stdout.contains("WebSocket"), "{}", ended.stdout);
    let record = record(&place);
    assert_eq!(record["environment"]["launched"], serde_json::json!([both()]));
    assert_eq!(record["environment"]["embedded"], false);
    // A second that the machine slept through may be empty.
    let rows = place.csv("intervals.csv");
    let positive = ["server_cpu", "server_rss_kib", "server_descriptors", "server_voluntary_switches"];
    for column in positive.into_iter().chain(["generator_descriptors", "sampled_segments_sent"]) {
        let sum: f64 = rows.iter().filter_map(|row| row[column].parse::<f64>().ok()).sum();
        assert!(sum > 0.0, "{column}: {rows:?}");
    }
    assert!(rows.iter().all(|row| ["6", ""].contains(&&*row["sampled_sockets"])), "{rows:?}");
    // Fresh for each trial, on fresh ports.
    let log = place.read("server.log");
    let starts: Vec<&str> = log.lines().filter(|line| line.starts_with("# started: ")).collect();
    assert_eq!(starts.len(), 2, "{log}");
    assert_ne!(starts[0], starts[1]);
    assert_eq!(log.lines().filter(|line| line.starts_with("listening websocket ")).count(), 2, "{log}");
    let report = place.read("report.md");
    assert!(report.contains("twinwire run scenario.toml --launch ''"), "{report}");
}

#[test]
fn a_launched_server_gets_the_servers_cpus() {
    let place = Place::with(&scenario(r#"["tcp"]"#));
    let command =
        shell(&format!("grep Cpus_allowed_list /proc/$$/status; exec {}", server("--tcp 127.0.0.1:{tcp}")));
    place.run_to_end(&["--launch", &command]).expect(0);
    let environment = &record(&place)["environment"];
    let cpus = environment["server_cpus"].as_array().unwrap();
    assert_eq!(cpus.is_empty(), environment["cpus"].as_u64().unwrap() < 2);
    if let [cpu] = cpus.as_slice() {
        let log = place.read("server.log");
        assert!(log.contains(&format!("Cpus_allowed_list:\t{cpu}\n")), "{log}");
    }
}

#[test]
fn several_programs_make_one_target() {
    let place = Place::with(&scenario(BOTH));
    let (tcp, ws) = (server("--tcp 127.0.0.1:{tcp}"), server("--ws 127.0.0.1:{ws}"));
    place.run_to_end(&["--launch", &tcp, "--launch", &ws]).expect(0);
    assert_eq!(record(&place)["environment"]["launched"].as_array().unwrap().len(), 2);
    let transports: std::collections::BTreeSet<String> =
        place.csv("summary.csv").into_iter().map(|row| row["transport"].clone()).collect();
    assert_eq!(transports.len(), 2);
}

#[test]
fn without_placeholders_the_given_addresses_hold() {
    let place = Place::with(&scenario(r#"["tcp"]"#));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    let command = server(&format!("--tcp {address}"));
    let taken = place.run_to_end(&["--launch", &command, "--tcp", &address]).expect(3);
    assert!(
        taken.stderr.contains(&format!("something else already listens on {address}")),
        "{}",
        taken.stderr
    );
    drop(free);
    place.run_to_end(&["--launch", &command, "--tcp", &address]).expect(0);
    let far = place.run_to_end(&["--launch", &command, "--tcp", "192.0.2.1:9"]).expect(3);
    assert!(far.stderr.contains("192.0.2.1:9 is not one of its addresses"), "{}", far.stderr);
}

#[test]
fn a_program_that_ends_at_once_is_shown_with_its_last_words() {
    let place = Place::with(&scenario(r#"["tcp"]"#));
    let command = shell("echo to stdout; echo no licence >&2; exit 7 # {tcp}");
    let ended = place.run_to_end(&["--launch", &command]).expect(3);
    for part in ["`sh` ended (exit status 7)", "to stdout / no licence"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    assert!(place.read("server.log").contains("no licence"));
}

#[test]
fn a_program_that_is_not_there_is_said_to_be_missing() {
    let place = Place::with(&scenario(r#"["tcp"]"#));
    let ended = place.run_to_end(&["--launch", "./no-such-server {tcp}"]).expect(3);
    assert!(ended.stderr.contains("cannot run `./no-such-server`: No such file"), "{}", ended.stderr);
}

#[test]
fn a_program_that_never_listens_is_given_up_and_stopped() {
    let place = Place::with(&scenario(r#"["tcp"]"#));
    let command = shell("echo warming up {tcp}; exec sleep 600");
    let ended = place.run_to_end(&["--launch", &command, "--launch-timeout", "3s"]).expect(3);
    for part in ["nothing listened on 127.0.0.1:", "(tcp) within 3s", "warming up"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    let pid = pids(place.path())[0];
    until("it ends", || !is_alive(pid));
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_with_all_that_it_started() {
    let place = Place::with(&scenario(r#"["tcp"]"#));
    // One child in the group, and one that has left it and whose parent has ended.
    let deaf = "trap '' TERM; echo $$ >> pid; while :; do sleep 1; done";
    let stray = format!("setsid sh -c {} &", shell_words::quote(deaf));
    let command = shell(&format!(
        "trap '' TERM; sh -c {} & sh -c {}; {} & wait",
        shell_words::quote(deaf),
        shell_words::quote(&stray),
        server("--tcp 127.0.0.1:{tcp}"),
    ));
    place.run_to_end(&["--launch", &command]).expect(0);
    let pids = pids(place.path());
    assert_eq!(pids.len(), 3, "{pids:?}");
    until("all of them end", || pids.iter().all(|pid| !is_alive(*pid)));
}

#[test]
fn a_launched_servers_children_count_as_the_server() {
    let place = Place::with(&scenario(r#"["tcp"]"#));
    // The shell only waits; what works is its child.
    let command = shell(&format!("{} & wait", server("--tcp 127.0.0.1:{tcp}")));
    place.run_to_end(&["--launch", &command]).expect(0);
    let cost = &record(&place)["passes"][0]["cost"];
    let (cpu, replies) = (cost["server_cpu_ns"].as_f64().unwrap(), cost["replies"].as_f64().unwrap());
    assert!(cpu / replies > 1_000.0, "a request takes microseconds: {cost}");
}

#[test]
fn a_command_that_cannot_be_understood_is_an_error_of_usage() {
    let place = Place::with(&scenario(r#"["tcp"]"#));
    for (arguments, part) in [
        (vec!["--launch", "server {port}"], "`{port}` is not a placeholder"),
        (vec!["--launch", "server 'x"], "a quote is not closed"),
        (vec!["--launch", "server"], "put {tcp}, {tcp-raw}, {ws}, {tls} or {wss} where its port goes"),
        (vec!["--launch", "server {tcp}", "--tcp", "127.0.0.1:9"], "has two ports"),
        (vec!["--launch", "server {tcp}", "--require", "websocket"], "--require"),
        (vec!["--launch", "server {tcp}", "--launch-timeout", "soon"], "\"soon\" is not a duration"),
    ] {
        let ended = place.run_to_end(&arguments).expect(2);
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    assert!(!place.out().exists(), "nothing was run");
}

/// A run of ten minutes against a launched server, whose number is in `pid`.
struct Running(Place, Option<Child>);

impl Running {
    fn start(command: &str) -> Self {
        let place = Place::with(&scenario(r#"["tcp"]"#).replace("500ms", "10min"));
        let mut run = place.run(&["--launch", command]);
        let child = run.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let running = Self(place, Some(child));
        until("the target starts", || !pids(running.0.path()).is_empty());
        running
    }

    fn server(&self) -> i32 {
        pids(self.0.path())[0]
    }

    /// Whether the load has begun.
    fn is_loaded(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.server())).unwrap_or_default();
        let user_ticks =
            stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(11)?.parse::<u64>().ok());
        user_ticks > Some(5)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.1.as_ref().unwrap().id().cast_signed()), signal).unwrap();
    }

    fn wait(&mut self) -> Ended {
        Ended::of(self.1.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.1 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn loaded() -> Running {
    let running = Running::start(&shell(&format!("exec {}", server("--tcp 127.0.0.1:{tcp}"))));
    until("the load begins", || running.is_loaded());
    running
}

#[test]
fn a_launched_server_that_dies_in_mid_run_is_reported_with_exit_3() {
    let mut running = loaded();
    kill(Pid::from_raw(running.server()), Signal::SIGKILL).unwrap();
    let ended = running.wait().expect(3);
    let said = ended.stdout;
    for part in
        ["while load `short` ran over tcp", "`sh` ended (signal SIGKILL)", "its last words: listening tcp"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_guard_that_is_killed_leaves_no_server_behind() {
    let mut running = loaded();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", running.server())).unwrap();
    let guard: i32 = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    kill(Pid::from_raw(guard), Signal::SIGKILL).unwrap();
    let ended = running.wait().expect(3);
    assert!(ended.stdout.contains("`sh` ended (killed, like its guard)"), "{}", ended.stdout);
    until("the server ends", || !is_alive(running.server()));
}

#[test]
fn ctrl_c_stops_the_launched_server_too() {
    let mut running = loaded();
    running.signal(Signal::SIGINT);
    running.wait().expect(130);
    until("the server ends", || !is_alive(running.server()));
}

#[test]
fn ctrl_c_is_heard_while_a_program_is_awaited() {
    let mut running = Running::start(&shell("exec sleep 600 # {tcp}"));
    running.signal(Signal::SIGINT);
    // Nothing was measured, which is no success either way.
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    until("the server ends", || !is_alive(running.server()));
}

#[test]
fn a_harness_that_is_killed_leaves_no_server_behind() {
    let mut running = loaded();
    running.signal(Signal::SIGKILL);
    let server = running.server();
    let _ = running.1.take().unwrap().wait();
    until("the server ends", || !is_alive(server));
}
