//! Report folders: what a run may write over and remove, and what becomes of a result that cannot be written.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::support::{Ended, Kept, Place, longer_scenario, scenario, twinwire, until};

fn short() -> String {
    scenario(r#"["tcp"]"#).replace("500ms", "300ms")
}

/// A place in which the short scenario has run.
fn place_with_run() -> Place {
    static RUN: LazyLock<Kept> = LazyLock::new(|| {
        let place = Place::with(&short());
        let ended = place.run_to_end(&["--quiet"]);
        assert!(is_done(&ended), "{ended:?}");
        Kept::of(&place, ended)
    });
    RUN.copy()
}

/// A place with two short scenarios, `one` and `two`.
fn place_of_two() -> Place {
    let place = Place::with("");
    for name in ["one", "two"] {
        let text = short().replace("\"tiny\"", &format!("{name:?}"));
        fs::write(place.path().join(format!("{name}.toml")), text).unwrap();
    }
    place
}

/// Runs both scenarios of [`place_of_two`].
fn run_both(place: &Place, arguments: &[&str]) -> Command {
    let mut command = twinwire();
    command.current_dir(place.path()).args(["run", "one.toml", "two.toml"]).args(arguments);
    command
}

/// Every file below a folder with its text.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_symlink() {
            let leads_to = fs::read_link(entry.path()).unwrap();
            files.insert(entry.path(), leads_to.into_os_string().into_encoded_bytes());
        } else if entry.file_type().unwrap().is_dir() {
            files.extend(tree(&entry.path()));
        } else {
            files.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    files
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Whether a run ended as one that could write everything: well, or late on a busy machine.
fn is_done(ended: &Ended) -> bool {
    matches!(ended.code, Some(0 | 4)) && !ended.stderr.contains("error:")
}

#[test]
fn a_folder_without_a_runs_record_is_refused_before_the_load_and_left_as_it_is() {
    let half = place_with_run().read("run.json");
    for record in [None, Some(""), Some("{}"), Some(&half[..half.len() / 2]), Some("{\"schema\": 999}")] {
        let place = Place::with(&short());
        fs::create_dir_all(place.out().join("plots")).unwrap();
        fs::create_dir_all(place.out().join("violations")).unwrap();
        for name in ["server.log", "plots/logo.svg", "violations/note.toml", "summary.csv"] {
            fs::write(place.out().join(name), "mine").unwrap();
        }
        if let Some(record) = record {
            fs::write(place.out().join("run.json"), record).unwrap();
        }
        let before = tree(&place.out());
        for command in [place.run(&[]), {
            let mut report = twinwire();
            report.current_dir(place.path()).args(["report", "out"]);
            report
        }] {
            let mut command = command;
            let ended = Ended::of(command.output().unwrap()).expect(2);
            assert!(ended.stderr.contains("is not a report folder"), "{}", ended.stderr);
            assert_eq!(ended.stdout, "");
            assert!(tree(&place.out()) == before, "{record:?}");
        }
    }
}

#[test]
fn a_run_over_an_older_one_removes_what_that_one_listed_and_nothing_else() {
    let place = place_with_run();
    let listed = json(&place.read("run.json"))["files"].as_array().unwrap().clone();
    let mut expected: Vec<String> = listed.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    expected.push("run.json".to_owned());
    expected.sort();
    let there: Vec<String> = tree(&place.out())
        .into_keys()
        .map(|path| path.strip_prefix(place.out()).unwrap().display().to_string())
        .collect();
    assert_eq!(there, expected);
    for foreign in ["plots/logo.svg", "histograms/mine.hgrm", "notes.txt"] {
        fs::write(place.out().join(foreign), "mine").unwrap();
    }
    fs::create_dir_all(place.out().join("violations")).unwrap();
    fs::write(place.out().join("violations/note.toml"), "mine").unwrap();
    assert!(place.out().join("plots/latency-percentiles-short.svg").is_file());
    let ended = place.run_to_end(&["--quiet", "--set", "load.0.name=other"]);
    assert!(is_done(&ended), "{ended:?}");
    assert!(!place.out().join("plots/latency-percentiles-short.svg").exists());
    assert!(place.out().join("plots/latency-percentiles-other.svg").is_file());
    for foreign in ["plots/logo.svg", "histograms/mine.hgrm", "notes.txt", "violations/note.toml"] {
        assert_eq!(place.read(foreign), "mine");
    }
}

#[test]
fn the_folder_of_another_version_is_replaced_by_a_run_and_not_drawn_again() {
    let place = place_with_run();
    let mut record = json(&place.read("run.json"));
    record["schema"] = 1.into();
    record["passes"] = "of another form".into();
    fs::write(place.out().join("run.json"), record.to_string()).unwrap();
    fs::write(place.out().join("plots/logo.svg"), "mine").unwrap();
    let report = twinwire().current_dir(place.path()).args(["report", "out"]).output().unwrap();
    let refused = Ended::of(report).expect(2);
    assert!(refused.stderr.contains("has schema 1"), "{}", refused.stderr);
    assert!(is_done(&place.run_to_end(&["--quiet", "--set", "load.0.name=other"])));
    assert!(!place.out().join("plots/latency-percentiles-short.svg").exists());
    assert_eq!(place.read("plots/logo.svg"), "mine");
}

#[test]
fn nothing_is_written_or_removed_through_a_symbolic_link() {
    for linked in ["", "plots", "histograms", "violations", "summary.csv", "server.log", "run.json"] {
        let place = place_with_run();
        let (link, real) = (place.out().join(linked), place.path().join("elsewhere"));
        if linked.is_empty() {
            fs::rename(place.out(), &real).unwrap();
            symlink(&real, place.out()).unwrap();
        } else if link.exists() {
            fs::rename(&link, &real).unwrap();
            symlink(&real, &link).unwrap();
        } else {
            fs::create_dir(&real).unwrap();
            symlink(&real, &link).unwrap();
        }
        let before = tree(place.path());
        for arguments in [&["run", "scenario.toml", "--out", "out/"][..], &["report", "out"]] {
            let output = twinwire().current_dir(place.path()).args(arguments).output().unwrap();
            Ended::of(output).expect(2);
            assert!(tree(place.path()) == before, "{linked:?} {arguments:?}");
        }
    }
}

#[test]
fn every_folder_is_checked_before_the_first_load() {
    let place = place_of_two();
    fs::create_dir_all(place.out().join("two")).unwrap();
    fs::write(place.out().join("two/letter.txt"), "dear").unwrap();
    let ended = Ended::of(run_both(&place, &["--out", "out"]).output().unwrap()).expect(2);
    assert!(ended.stderr.starts_with("error: --out `out/two` exists"), "{}", ended.stderr);
    assert!(!place.out().join("one").exists(), "what was made for nothing goes again");
    assert_eq!(place.read("two/letter.txt"), "dear");
}

#[test]
fn what_is_in_the_way_of_a_report_is_known_before_the_load() {
    for (name, is_folder) in
        [("plots/timeline-new.svg", true), ("histograms/new-tcp-all-all-service.hgrm", false)]
    {
        let place = place_with_run();
        let record = place.read("run.json");
        if is_folder {
            fs::create_dir(place.out().join(name)).unwrap();
        } else {
            fs::write(place.out().join(name), "mine").unwrap();
        }
        let ended = place.run_to_end(&["--set", "load.0.name=new"]).expect(2);
        assert!(ended.stderr.contains(name) && ended.stderr.contains("in the way"), "{}", ended.stderr);
        assert!(place.read("run.json") == record, "the old result is not lost for it");
    }
}

#[test]
fn commands_that_begin_together_never_share_a_folder() {
    let place = place_of_two();
    let running: Vec<_> = (0..3)
        .map(|_| {
            let mut command = run_both(&place, &["--json", "--quiet"]);
            command.stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut folders = Vec::new();
    for child in running {
        let ended = Ended::of(child.wait_with_output().unwrap());
        for run in json(&ended.stdout)["runs"].as_array().unwrap() {
            folders.push(place.path().join(run["folder"].as_str().unwrap()));
        }
    }
    folders.sort();
    folders.dedup();
    assert_eq!(folders.len(), 6);
    assert_eq!(fs::read_dir(place.path().join("reports/runs")).unwrap().count(), 6);
    assert!(folders.iter().all(|folder| folder.join("run.json").is_file()));
}

#[test]
fn a_folder_in_use_is_refused_and_one_of_a_killed_run_holds_no_old_result() {
    let place = place_with_run();
    let mut child = place.run(&["--quiet", "--set", "load.0.duration=10min"]).spawn().unwrap();
    until("the old result is gone and the log begun", || {
        !place.out().join("run.json").exists() && place.out().join("server.log").exists()
    });
    let second = place.run(&[]).output().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let ended = Ended::of(second).expect(2);
    assert!(ended.stderr.contains("another twinwire is using"), "{}", ended.stderr);
    assert!(!place.out().join("run.json").exists() && !place.out().join("report.md").exists());
}

/// Puts a folder in the place of a file once the load runs.
fn block(place: &Place, name: &str, arguments: &[&str]) -> Ended {
    let temporary = place.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut command = place.run(&["--quiet", "--set", "load.0.duration=1s"]);
    command.args(arguments).env("TMPDIR", &temporary);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    until("the log has begun", || place.out().join("server.log").exists());
    fs::create_dir_all(place.out().join(name)).unwrap();
    Ended::of(child.wait_with_output().unwrap())
}

#[test]
fn a_record_that_cannot_be_written_goes_elsewhere_and_the_result_is_printed() {
    let place = Place::with(&short());
    let ended = block(&place, "run.json", &["--json"]);
    assert!(matches!(ended.code, Some(2 | 4)), "{ended:?}");
    let folder = json(&ended.stdout)["runs"][0]["folder"].as_str().unwrap().to_owned();
    assert!(folder.starts_with(place.path().join("tmp").to_str().unwrap()), "{folder}");
    assert!(ended.stderr.contains(&format!("twinwire report {folder}")), "{}", ended.stderr);
    Ended::of(twinwire().args(["report", &folder]).output().unwrap()).expect(0);
    assert!(Path::new(&folder).join("report.md").is_file());
}

#[test]
fn a_file_that_cannot_be_written_leaves_out_no_other_and_keeps_a_worse_exit_code() {
    let missed = "\n[[thresholds]]\nmetric = \"violations\"\nmin = 1\n";
    for (text, codes) in [(short(), [2, 4]), (short() + missed, [1, 4])] {
        let place = Place::with(&text);
        let ended = block(&place, "plots/timeline-short.svg", &[]);
        assert!(codes.contains(&ended.code.unwrap()), "{ended:?}");
        assert!(ended.stdout.contains("tiny:"), "{}", ended.stdout);
        assert!(ended.stderr.contains("plots/timeline-short.svg"), "{}", ended.stderr);
        for file in ["run.json", "summary.csv", "report.md", "plots/timeline-short.png"] {
            assert!(!place.read_bytes(file).is_empty(), "{file}");
        }
    }
}

#[test]
fn a_disk_that_is_full_loses_no_result_and_the_scenarios_after_it_run() {
    let place = place_of_two();
    let temporary = place.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let run = run_both(&place, &["--out", "out", "--json", "--quiet"]);
    // Files may not grow past 12 KiB, which the record does and the log does not.
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 24; exec \"$@\"", "sh"]).arg(run.get_program()).args(run.get_args());
    let ended = Ended::of(limited.current_dir(place.path()).env("TMPDIR", temporary).output().unwrap());
    assert!(matches!(ended.code, Some(2 | 4)), "{ended:?}");
    assert_eq!(json(&ended.stdout)["runs"].as_array().unwrap().len(), 2);
    assert!(ended.stderr.contains("out/one/run.json") && ended.stderr.contains("out/two/run.json"));
}

#[test]
fn long_names_together_make_files_that_every_file_system_takes() {
    let name = "n".repeat(64);
    let text = short()
        .replace("name = \"short\"", &format!("name = {name:?}"))
        .replace("\"tiny\"", &format!("{name:?}"));
    let key = |role: &str, of: &str| format!("\"clients.{role}.{of}\"");
    let sweep = format!(
        "\n[sweep]\n{} = [{{ put = 1, get = 1, get-missing = 1, get-other = 1 }}, {{ put = 1, get = 1, get-missing = 1, get-other = 2 }}]\n\
         {} = [{{ put = 1, get = 1, get-other = 1, upgrade = 1 }}]\n",
        key("guests", "mix"),
        key("managers", "mix")
    );
    let place = Place::with(&(text + &sweep));
    let ended = place.run_to_end(&["--quiet"]);
    assert!(is_done(&ended), "{ended:?}");
    let variants: std::collections::BTreeSet<String> =
        place.csv("summary.csv").into_iter().map(|row| row["variant"].clone()).collect();
    assert_eq!(variants.len(), 2);
}

#[test]
fn the_row_of_a_part_of_a_second_tells_its_length() {
    let place = Place::with(&longer_scenario(r#"["tcp"]"#));
    place.run_to_end(&["--quiet"]);
    let lengths: Vec<f64> =
        place.csv("intervals.csv").iter().map(|row| row["length_s"].parse().unwrap()).collect();
    assert_eq!(lengths, [1.0, 0.5]);
}

#[test]
fn a_floor_is_written_over_a_floor_and_over_nothing_else() {
    let place = Place::with("");
    let letter = place.path().join("letter.txt");
    fs::write(&letter, "dear").unwrap();
    let output = twinwire().args(["calibrate", "--out"]).arg(&letter).output().unwrap();
    let ended = Ended::of(output).expect(2);
    assert!(ended.stderr.contains("was not written by `twinwire calibrate`"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(letter).unwrap(), "dear");
}
