//! `check` and `init` as functions: what they would print and how they would exit.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use twinwire::commands::CommandError;
use twinwire::commands::check::Check;
use twinwire::commands::init::Init;
use twinwire::scenario::{Document, STARTER};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(name)
}

fn check(files: &[&Path], sets: &[&str]) -> Result<String, CommandError> {
    let mut arguments = vec!["check".to_owned()];
    arguments.extend(files.iter().map(|file| file.display().to_string()));
    arguments.extend(sets.iter().flat_map(|&set| ["--set".to_owned(), set.to_owned()]));
    Check::try_parse_from(arguments).unwrap().exec()
}

#[test]
fn check_says_what_each_valid_file_is() {
    let (compare, managers) = (shipped("compare.toml"), shipped("managers.toml"));
    let text = check(&[&compare, &managers], &[]).unwrap();
    let expected = format!(
        "ok  {}  (2 loads, 100 clients, tcp and websocket)\nok  {}  (1 load, 50 clients, tcp and websocket, 4 variants)\n",
        compare.display(),
        managers.display()
    );
    assert_eq!(text, expected);
}

#[test]
fn check_reports_every_file_and_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.toml");
    fs::write(&broken, STARTER.replace("count =", "cout =")).unwrap();
    let cases = folder.path().join("cases.toml");
    fs::write(&cases, "[[case]]\nid = \"x\"\n").unwrap();
    let mixture = folder.path().join("mixture.toml");
    fs::write(&mixture, "[[case]]\nid = \"x\"\n[[load]]\nname = \"x\"\n").unwrap();
    let good = shipped("smoke.toml");
    let error = check(&[&broken, &good, &cases, &mixture], &[]).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.stdout().starts_with("ok  ") && error.stdout().lines().count() == 1, "{}", error.stdout());
    let text = error.stderr(false);
    assert_eq!(text.matches("did you mean `count`?").count(), 3, "{text}");
    assert!(text.contains("broken.toml:") && text.contains("cases.toml:1:"), "{text}");
    assert!(text.contains("missing key `steps`"), "{text}");
    assert!(text.contains("scripted cases and a load scenario in one file"), "{text}");
}

#[test]
fn check_knows_scripted_cases_and_counts_them() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases.toml");
    let text = check(&[&file, &shipped("smoke.toml")], &[]).unwrap();
    assert_eq!(text.lines().next(), Some(&*format!("ok  {}  (5 scripted cases)", file.display())));
    let error = check(&[&file], &["seed=1"]).unwrap_err().stderr(false);
    assert!(error.contains("--set on scripted cases"), "{error}");
}

#[test]
fn check_knows_profiles_and_needs_no_secret() {
    let everything = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/profile.toml");
    let text = check(&[&everything, &shipped("profiles/original.toml")], &[]).unwrap();
    let summaries: Vec<_> = text.lines().filter_map(|line| line.rsplit("  ").next()).collect();
    assert_eq!(summaries, ["(profile `mine`)", "(profile `original`)"]);
    let error = check(&[&everything], &["seed=1"]).unwrap_err().stderr(false);
    assert!(error.contains("--set on a profile"), "{error}");
}

#[test]
fn what_runs_is_no_file_of_cases() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases.toml");
    let error = Document::read(&file, &[]).unwrap_err().to_string();
    assert!(error.contains("scripted cases are no load scenario"), "{error}");
}

#[test]
fn check_applies_sets() {
    assert!(check(&[&shipped("smoke.toml")], &["load.brief.trials=2"]).is_ok());
    assert!(check(&[&shipped("smoke.toml")], &["load.brief.trials=0"]).is_err());
}

#[test]
fn check_without_a_file_is_a_usage_error() {
    assert!(Check::try_parse_from(["check"]).is_err());
}

#[test]
fn init_names_the_scenario_after_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let name = |file: &str| {
        let path = folder.path().join(file);
        Init { file: path.clone() }.exec().unwrap();
        Document::read(&path, &[]).unwrap().scenario().name.clone()
    };
    assert_eq!(name("my.toml"), "my");
    assert_eq!(
        name("a-name-that-is-longer-than-the-column-it-stands-in.toml"),
        "a-name-that-is-longer-than-the-column-it-stands-in"
    );
    assert_eq!(name("no name.toml"), "starter");
    assert_eq!(name("all.toml"), "starter");
}

#[test]
fn init_writes_a_valid_scenario_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    let init = || Init { file: path.clone() }.exec();
    assert!(init().unwrap().contains("twinwire run"));
    Document::read(&path, &[]).unwrap();
    fs::write(&path, "mine").unwrap();
    let error = init().unwrap_err();
    assert!(matches!(error, CommandError::Exists { .. }));
    assert_eq!(error.exit_code(), 2);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    let nowhere = Init { file: folder.path().join("no/where.toml") }.exec().unwrap_err();
    assert!(matches!(nowhere, CommandError::Write { .. }));
    assert_eq!(Init { file: PathBuf::from("-") }.exec().unwrap(), STARTER);
    assert_eq!(Init::try_parse_from(["init"]).unwrap().file, Path::new("scenario.toml"));
}
