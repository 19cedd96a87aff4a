//! `twinwire run` as a user meets it: exit codes, the report folder, the table, interruptions.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Ended, Place, longer_scenario, scenario, twinwire};

type Row = HashMap<String, String>;

const BOTH: &str = r#"["tcp", "websocket"]"#;

fn number(row: &Row, column: &str) -> u64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column} of {row:?}"))
}

#[test]
fn a_run_against_the_embedded_server_passes_and_writes_the_whole_report_folder() {
    let place = Place::with(&longer_scenario(BOTH));
    let ended = place.run_to_end(&["--set", "load.short.trials=2"]).expect(0);
    assert!(ended.stdout.contains("WebSocket"), "{}", ended.stdout);
    for file in [
        "run.json",
        "scenario.toml",
        "server.log",
        "summary.csv",
        "intervals.csv",
        "latencies.hlog",
        "report.md",
    ] {
        assert!(!place.read(file).is_empty(), "{file}");
    }
    for (folder, ending) in [("plots", "svg"), ("plots", "png"), ("histograms", "hgrm")] {
        let files = std::fs::read_dir(place.out().join(folder)).unwrap();
        let of_kind = files.flatten().filter(|file| file.path().extension().is_some_and(|e| e == ending));
        assert!(of_kind.count() >= 3, "{folder}/*.{ending}");
    }
    summary_adds_up(&place.csv("summary.csv"));
    intervals_are_whole(&place.csv("intervals.csv"));
}

fn summary_adds_up(rows: &[Row]) {
    let values = |column: &str| rows.iter().map(|row| row[column].clone()).collect::<BTreeSet<_>>();
    assert_eq!(values("transport"), BTreeSet::from(["tcp".to_owned(), "websocket".to_owned()]));
    assert_eq!(values("role"), BTreeSet::from(["all", "guest", "manager"].map(str::to_owned)));
    assert_eq!(values("trial"), BTreeSet::from(["1", "2", "all"].map(str::to_owned)));
    for transport in ["tcp", "websocket"] {
        let is_all = |row: &Row, columns: &[&str]| columns.iter().all(|column| row[*column] == "all");
        let of = |row: &&Row| row["transport"] == transport;
        let total =
            rows.iter().filter(of).find(|row| is_all(row, &["trial", "group", "role", "op"])).unwrap();
        let parts = rows.iter().filter(of).filter(|row| {
            row["trial"] != "all" && row["group"] != "all" && row["role"] != "all" && row["op"] != "all"
        });
        let sum: u64 = parts.map(|row| number(row, "requests")).sum();
        assert_eq!(number(total, "requests"), sum);
        assert!(sum > 200, "{sum}");
        assert_eq!((number(total, "errors"), number(total, "violations")), (0, 0));
        assert!(total["rate"].parse::<f64>().unwrap() > 50.0);
        let quantile = |name: &str| total[name].parse::<f64>().unwrap();
        assert!(quantile("service_p50") > 1.0 && quantile("service_p50") <= quantile("service_max"));
        assert!(quantile("response_p50") >= quantile("service_p50"));
    }
}

fn intervals_are_whole(rows: &[Row]) {
    // Two trials of two transports, 1.5 s each: two rows.
    assert_eq!(rows.len(), 8);
    // A second that the machine slept through may be empty.
    for (transport, trial) in [("tcp", "1"), ("tcp", "2"), ("websocket", "1"), ("websocket", "2")] {
        let of = |row: &&Row| row["transport"] == transport && row["trial"] == trial;
        assert_eq!(rows.iter().filter(of).count(), 2, "{rows:?}");
        for column in ["achieved", "bytes_sent", "bytes_received", "generator_cpu", "server_cpu"] {
            let sum: f64 = rows.iter().filter(of).filter_map(|row| row[column].parse::<f64>().ok()).sum();
            assert!(sum > 0.0, "{column} of {transport}, trial {trial}: {rows:?}");
        }
    }
}

#[test]
fn the_report_can_be_drawn_again_from_the_record_alone() {
    let place = Place::with(&scenario(r#"["tcp"]"#));
    place.run_to_end(&[]).expect(0);
    let before = (place.read("summary.csv"), place.read("report.md"), place.read("latencies.hlog"));
    let record = place.read("run.json");
    std::fs::remove_dir_all(place.out()).unwrap();
    std::fs::create_dir(place.out()).unwrap();
    std::fs::write(place.out().join("run.json"), &record).unwrap();
    let again = twinwire().current_dir(place.path()).args(["report", "out"]).output().unwrap();
    Ended::of(again).expect(0);
    assert_eq!(before, (place.read("summary.csv"), place.read("report.md"), place.read("latencies.hlog")));
    assert_eq!(record, place.read("run.json"), "the record stays as it is");
}

#[test]
fn json_is_one_object_on_stdout_and_quiet_leaves_stderr_empty() {
    let place = Place::with(&scenario(BOTH));
    let ended = place.run_to_end(&["--json", "--quiet"]).expect(0);
    assert_eq!(ended.stderr, "");
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let run = &json["runs"][0];
    assert_eq!(run["scenario"], "tiny");
    assert_eq!(run["exit_code"], 0);
    assert!(run["rows"].as_array().unwrap().len() > 10);
}

#[test]
fn raw_tcp_carries_the_same_load() {
    let place = Place::with(&scenario(r#"["tcp-raw"]"#));
    place.run_to_end(&[]).expect(0);
    let rows = place.csv("summary.csv");
    assert!(rows.iter().all(|row| row["transport"] == "tcp-raw"));
    assert!(rows.iter().any(|row| number(row, "requests") > 100));
}

#[test]
fn pinned_groups_run_together_and_read_across_transports() {
    let pinned = scenario(BOTH)
        .replace("name = \"guests\"", "name = \"guests\"\ntransport = \"tcp\"")
        .replace("name = \"managers\"", "name = \"managers\"\ntransport = \"websocket\"");
    let place = Place::with(&pinned);
    place.run_to_end(&[]).expect(0);
    let rows = place.csv("summary.csv");
    assert!(rows.iter().all(|row| row["variant"] == "mixed"), "{rows:?}");
    let role = |transport: &str| {
        let own = rows.iter().filter(|row| row["transport"] == transport && row["role"] != "all");
        own.map(|row| row["role"].clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!(role("tcp"), BTreeSet::from(["guest".to_owned()]));
    assert_eq!(role("websocket"), BTreeSet::from(["manager".to_owned()]));
    let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
    assert!(record["passes"][0]["ledger"]["foreign_values_read"].as_u64().unwrap() > 10);
}

#[test]
fn a_sweep_runs_every_variant() {
    let swept = scenario(r#"["tcp"]"#) + "\n[sweep]\nmanager-share = [0, 50]\n";
    let place = Place::with(&swept.replace("500ms", "400ms"));
    place.run_to_end(&[]).expect(0);
    let rows = place.csv("summary.csv");
    let of = |variant: &str| {
        let rows = rows.iter().filter(|row| row["variant"] == variant && row["role"] != "all");
        rows.map(|row| row["role"].clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!(of("manager-share=0"), BTreeSet::from(["guest".to_owned()]));
    assert_eq!(of("manager-share=50"), BTreeSet::from(["guest".to_owned(), "manager".to_owned()]));
}

#[test]
fn pipelined_clients_are_checked_in_order() {
    let place = Place::with(&scenario(BOTH).replace("think = \"1ms\"", "think = \"1ms\"\nin-flight = 16"));
    place.run_to_end(&[]).expect(0);
    let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
    for pass in record["passes"].as_array().unwrap() {
        assert!(pass["ledger"]["values_read"].as_u64().unwrap() > 100);
    }
}

#[test]
fn a_missed_threshold_exits_1_and_a_met_one_0() {
    let threshold = |bound: &str| {
        scenario(r#"["tcp"]"#)
            + &format!(
                "\n[[thresholds]]\nmetric = \"service.p50\"\nwhere = {{ role = \"guest\" }}\n{bound}\n"
            )
    };
    Place::with(&threshold("max = \"10s\"")).run_to_end(&[]).expect(0);
    let ended = Place::with(&threshold("max = \"1ns\"")).run_to_end(&[]).expect(1);
    assert!(ended.stdout.contains("service.p50"), "{}", ended.stdout);
}

#[test]
fn a_run_of_which_nothing_could_run_has_neither_passed_nor_missed_a_threshold() {
    let never_met = "\n[[thresholds]]\nmetric = \"rate\"\nmin = 1\n";
    for text in [scenario(BOTH), scenario(BOTH) + never_met] {
        let place = Place::with(&text);
        let ended = place.run_to_end(&["--tls", "127.0.0.1:1"]).expect(2);
        let first = ended.stdout.lines().next().unwrap();
        assert!(first.starts_with("tiny: NOTHING RAN; 0 replies checked"), "{first}");
        assert!(first.contains("skipped: tcp") && !first.contains("suspect"), "{first}");
        assert_eq!(
            ended.stderr.lines().last().unwrap(),
            "error: tiny: the target offers none of the scenario's transports: run it over what there is with --set \
             'transports=[\"tls\"]'"
        );
        let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
        assert_eq!(record["outcome"]["status"], "nothing-ran");
        assert!(place.read("report.md").starts_with("# tiny: NOTHING RAN"));
    }
}

#[test]
fn a_transport_that_the_target_lacks_is_skipped_in_the_first_line() {
    let place = Place::with(&scenario(BOTH));
    let address = crate::support::faulty::start(crate::support::faulty::Fault::None).to_string();
    let ended = place.run_to_end(&["--tcp", &address]).expect(0);
    let first = ended.stdout.lines().next().unwrap();
    assert!(first.contains("skipped") && first.contains("websocket"), "{}", ended.stdout);
    let required = place.run_to_end(&["--tcp", &address, "--require", "websocket"]).expect(2);
    assert!(required.stderr.contains("--require"), "{}", required.stderr);
}

#[test]
fn a_scenario_of_which_nothing_can_run_is_an_error() {
    let place = Place::with(&scenario(r#"["websocket"]"#));
    let address = crate::support::faulty::start(crate::support::faulty::Fault::None).to_string();
    place.run_to_end(&["--tcp", &address]).expect(2);
}

#[test]
fn several_scenarios_get_a_subfolder_each() {
    let place = Place::with(&scenario(r#"["tcp"]"#).replace("500ms", "300ms"));
    let command = twinwire()
        .current_dir(place.path())
        .args(["run", "scenario.toml", "scenario.toml", "--out", "out", "--json"])
        .output()
        .unwrap();
    let ended = Ended::of(command).expect(0);
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(json["runs"].as_array().unwrap().len(), 2);
    assert!(place.out().join("tiny/run.json").is_file() && place.out().join("tiny-2/run.json").is_file());
    let environment = |folder: &str| {
        let record: serde_json::Value =
            serde_json::from_str(&place.read(&format!("{folder}/run.json"))).unwrap();
        record["environment"].clone()
    };
    assert_eq!(environment("tiny"), environment("tiny-2"), "the first run has left every CPU to the second");
}

#[test]
fn what_is_not_built_yet_says_so_with_exit_2() {
    for command in ["capacity", "compare", "ab", "explore"] {
        let ended = Ended::of(twinwire().args([command, "--flag", "x"]).output().unwrap()).expect(2);
        assert!(ended.stderr.contains("not built yet"), "{command}: {}", ended.stderr);
    }
}

#[test]
fn every_error_of_a_scenario_is_shown_with_its_line() {
    let wrong = scenario(BOTH).replace("seed = 7", "sead = 7").replace("count = 4", "count = \"four\"");
    let ended = Place::with(&wrong).run_to_end(&[]).expect(2);
    for part in ["scenario.toml:3:", "sead = 7", "count = \"four\""] {
        assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
    }
}

#[test]
fn a_folder_of_other_things_is_never_filled() {
    let place = Place::with(&scenario(BOTH));
    std::fs::create_dir_all(place.out().join("plots")).unwrap();
    std::fs::write(place.out().join("plots/holiday.png"), "dear").unwrap();
    let ended = place.run_to_end(&[]).expect(2);
    assert!(ended.stderr.contains("is not a report folder"), "{}", ended.stderr);
    assert_eq!(place.read("plots/holiday.png"), "dear");
}

#[test]
fn a_result_that_cannot_be_written_is_no_success() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = twinwire().arg("schema").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot write the result"));
}

#[test]
fn a_report_folder_that_cannot_be_made_is_known_before_the_load() {
    let place = Place::with(&scenario(BOTH));
    std::fs::write(place.out(), "a file, not a folder").unwrap();
    let ended = place.run_to_end(&[]).expect(2);
    assert_eq!(ended.stderr, "error: --out `out` is a file: name a folder for the report\n");
    std::fs::write(place.path().join("reports"), "a file, not a folder").unwrap();
    let output = twinwire().current_dir(place.path()).args(["run", "scenario.toml"]).output().unwrap();
    let said = Ended::of(output).expect(2).stderr;
    assert!(said.starts_with("error: cannot make the folder `reports/runs/tiny-"), "{said}");
    assert!(
        said.ends_with("Not a directory (os error 20); name a folder elsewhere with --out DIR\n"),
        "{said}"
    );
}

/// A run that ends with the test, whatever becomes of the test.
struct Running(Option<Child>);

impl Running {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.as_ref().unwrap().id().cast_signed())
    }

    fn wait(mut self) -> Ended {
        Ended::of(self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts a run of ten minutes and waits until it says on stderr how its load goes. What it says then is read on, or
/// its next line would find a closed pipe.
fn running(scenario: &str) -> (Place, Running) {
    let (place, running, _) = told(scenario);
    (place, running)
}

/// The same with what it says from then on.
fn told(scenario: &str) -> (Place, Running, std::thread::JoinHandle<String>) {
    let place = Place::with(&scenario.replace("500ms", "10min"));
    let mut child = place.run(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let running = Running(Some(child));
    assert!(lines.any(|line| line.unwrap().contains(" req/s")), "it ended before it told of its load");
    let rest = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n"));
    (place, running, rest)
}

#[test]
fn ctrl_c_writes_the_report_of_what_was_measured_and_exits_130() {
    let (place, running, told) = told(&scenario(BOTH));
    kill(running.pid(), Signal::SIGINT).unwrap();
    let ended = running.wait().expect(130);
    let told = told.join().unwrap();
    assert!(told.contains("interrupted") && told.contains("again to end at once"), "{told}");
    assert!(ended.stdout.to_lowercase().contains("interrupted"), "{}", ended.stdout);
    let record: serde_json::Value = serde_json::from_str(&place.read("run.json")).unwrap();
    assert_eq!(record["outcome"]["interrupted"], true);
    assert!(record["passes"][0]["ledger"]["replies"].as_u64().unwrap() > 500);
    assert!(place.csv("summary.csv").iter().any(|row| number(row, "requests") > 500));
    assert!(place.read("report.md").to_lowercase().contains("interrupted"));
}

#[test]
fn an_embedded_server_that_dies_in_mid_run_is_reported_with_exit_3() {
    let (place, running) = running(&scenario(r#"["tcp"]"#));
    let pid = running.pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let server: i32 = children.split_whitespace().next().unwrap().parse().unwrap();
    kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
    let ended = running.wait().expect(3);
    assert!(ended.stdout.contains("while load `short` ran over tcp"), "{}", ended.stdout);
    assert!(place.csv("summary.csv").iter().any(|row| number(row, "requests") > 500));
}
