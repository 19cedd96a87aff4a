//! Precedence, and messages about values that make no sense.

use std::io::Write;

use tempfile::NamedTempFile;

use super::*;

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn resolve(
    args: &[&str],
    environment: &[(&str, &str)],
    file: Option<&NamedTempFile>,
) -> Result<String, String> {
    let mut args: Vec<OsString> =
        std::iter::once("twinwire-server").chain(args.iter().copied()).map(Into::into).collect();
    if let Some(file) = file {
        args.extend(["--config".into(), file.path().into()]);
    }
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let hide =
        |text: String| file.map_or(text.clone(), |file| text.replace(file.path().to_str().unwrap(), "FILE"));
    match super::resolve(&args, &environment) {
        Ok((_, effective)) => Ok(hide(effective.to_string())),
        Err(error) => Err(hide(error.to_string())),
    }
}

/// The line of one option.
fn line(shown: &str, option: &str) -> String {
    let found = shown.lines().find(|line| line.trim_start_matches("# ").starts_with(&format!("{option} =")));
    found.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_command_line_beats_the_environment_beats_the_file_beats_the_default() {
    let file = file("max-connections = 1\nlog = 'error'\n");
    let variables = [("TWINWIRE_MAX_CONNECTIONS", "2"), ("TWINWIRE_UPGRADE", "closed")];
    let all = resolve(&["--max-connections", "3"], &variables, Some(&file)).unwrap();
    assert_eq!(line(&all, "max-connections"), "max-connections = 3 # command line");
    assert_eq!(line(&all, "upgrade"), r#"upgrade = "closed" # environment, TWINWIRE_UPGRADE"#);
    assert_eq!(line(&all, "log"), r#"log = "error" # file, FILE:2"#);
    let two = resolve(&[], &variables, Some(&file)).unwrap();
    assert_eq!(line(&two, "max-connections"), "max-connections = 2 # environment, TWINWIRE_MAX_CONNECTIONS");
    let one = resolve(&[], &[], Some(&file)).unwrap();
    assert_eq!(line(&one, "max-connections"), "max-connections = 1 # file, FILE:1");
    let none = resolve(&[], &[], None).unwrap();
    assert_eq!(line(&none, "log"), r#"log = "warn" # default"#);
    assert_eq!(
        line(&none, "max-connections"),
        "# max-connections = # default: as many as the limit on open files allows"
    );
}

#[test]
fn a_list_is_replaced_as_a_whole_and_what_excludes_an_option_replaces_it_too() {
    let file = file("tcp = ['127.0.0.1:1', '127.0.0.1:2']\ncpus = [0, 1]\n");
    let listed = resolve(&[], &[], Some(&file)).unwrap();
    assert_eq!(line(&listed, "tcp"), r#"tcp = ["127.0.0.1:1", "127.0.0.1:2"] # file, FILE:1"#);
    assert_eq!(line(&listed, "cpus"), "cpus = [0, 1] # file, FILE:2");
    let replaced =
        resolve(&["--workers", "1"], &[("TWINWIRE_TCP", "127.0.0.1:3, [::1]:4")], Some(&file)).unwrap();
    assert_eq!(line(&replaced, "tcp"), r#"tcp = ["127.0.0.1:3", "[::1]:4"] # environment, TWINWIRE_TCP"#);
    assert!(line(&replaced, "cpus").starts_with("# cpus = # default"), "{replaced}");
    assert_eq!(line(&replaced, "workers"), "workers = 1 # command line");
}

#[test]
fn an_option_that_may_stand_alone_is_switched_on_by_true() {
    let shown = resolve(&[], &[], Some(&file("tcp-raw = true\n"))).unwrap();
    assert_eq!(line(&shown, "tcp-raw"), r#"tcp-raw = ["127.0.0.1:1602"] # file, FILE:1"#);
    let off = resolve(&[], &[], Some(&file("tcp-raw = false\n"))).unwrap();
    assert!(line(&off, "tcp-raw").starts_with("# tcp-raw ="), "{off}");
    let shown = resolve(&[], &[("TWINWIRE_TCP_RAW", "true")], None).unwrap();
    assert_eq!(line(&shown, "tcp-raw"), r#"tcp-raw = ["127.0.0.1:1602"] # environment, TWINWIRE_TCP_RAW"#);
    let off = resolve(&[], &[("TWINWIRE_TCP_RAW", "false")], Some(&file("tcp-raw = true\n"))).unwrap();
    assert!(line(&off, "tcp-raw").starts_with("# tcp-raw ="), "a variable comes before the file: {off}");
    assert!(resolve(&[], &[("TWINWIRE_TCP", "true")], None).unwrap_err().contains("expected HOST:PORT"));
}

#[test]
fn every_mistake_of_a_file_is_shown_with_its_place_and_line() {
    let file = file(
        "max-conections = 5\ntcp = 'é:x'\nlog = \"warn\" # fine\n  workers = [1, 2]\n[limits]\nconfig = 1\n",
    );
    insta::assert_snapshot!(resolve(&[], &[], Some(&file)).unwrap_err(), @r"
    FILE:1:1: unknown option 'max-conections': did you mean 'max-connections'?
    1 | max-conections = 5
      | ^^^^^^^^^^^^^^
    FILE:2:7: invalid value 'é:x' for '--tcp <ADDR>': expected HOST:PORT such as 127.0.0.1:1601 (invalid port value)
    2 | tcp = 'é:x'
      |       ^^^^^
    FILE:4:13: expected one value, not a list
    4 |   workers = [1, 2]
      |             ^^^^^^
    FILE:5:2: unknown option 'limits': --help lists them all
    5 | [limits]
      |  ^^^^^^
    ");
}

#[test]
fn bad_toml_is_shown_with_its_place_and_line() {
    insta::assert_snapshot!(resolve(&[], &[], Some(&file("log = 'warn'\nworkers = = 2\n"))).unwrap_err(), @r"
    FILE:2:11: extra `=`, expected nothing
    2 | workers = = 2
      |           ^
    FILE:2:13: unexpected key or value, expected newline, `#`
    2 | workers = = 2
      |             ^
    ");
    insta::assert_snapshot!(resolve(&[], &[], Some(&file("log = 'warn'\nlog = 'info'\n"))).unwrap_err(), @r"
    FILE:2:1: duplicate key
    2 | log = 'info'
      | ^^^
    ");
}

#[test]
fn a_secret_is_never_taken_from_the_file_and_never_shown() {
    let refused = resolve(&[], &[], Some(&file("upgrade-secret = 'sesame'\n"))).unwrap_err();
    assert!(refused.contains("name its file with upgrade-secret-file"), "{refused}");
    let shown = resolve(&[], &[("TWINWIRE_UPGRADE_SECRET", "sesame")], None).unwrap();
    assert!(!shown.contains("sesame"), "{shown}");
    assert!(shown.contains("TWINWIRE_UPGRADE_SECRET is set; it is not shown"), "{shown}");
}

#[test]
fn another_policy_from_further_up_leaves_out_the_secrets_file_of_the_one_it_replaces() {
    let file = file("upgrade = 'secret'\nupgrade-secret-file = 'secret.txt'\n");
    let over_file = resolve(&["--upgrade", "closed"], &[], Some(&file)).unwrap();
    assert_eq!(line(&over_file, "upgrade"), r#"upgrade = "closed" # command line"#);
    assert_eq!(line(&over_file, "upgrade-secret-file"), "# upgrade-secret-file = # default: none");
    let by_variable = resolve(&[], &[("TWINWIRE_UPGRADE", "open")], Some(&file)).unwrap();
    assert_eq!(line(&by_variable, "upgrade-secret-file"), "# upgrade-secret-file = # default: none");
    let variables = [("TWINWIRE_UPGRADE", "secret"), ("TWINWIRE_UPGRADE_SECRET_FILE", "secret.txt")];
    let over_variables = resolve(&["--upgrade", "open"], &variables, None).unwrap();
    assert_eq!(line(&over_variables, "upgrade-secret-file"), "# upgrade-secret-file = # default: none");

    // It stays if it is of use, or was named in the source that chose the policy.
    let kept = |args: &[&str], variables: &[(&str, &str)], file: Option<&NamedTempFile>| {
        let shown = resolve(args, variables, file).unwrap();
        assert!(line(&shown, "upgrade-secret-file").starts_with("upgrade-secret-file ="), "{shown}");
    };
    kept(&["--upgrade", "secret"], &[], Some(&file));
    kept(&["--upgrade-secret-file", "other.txt"], &[("TWINWIRE_UPGRADE", "open")], Some(&file));
    kept(&[], &[("TWINWIRE_UPGRADE", "open"), ("TWINWIRE_UPGRADE_SECRET_FILE", "secret.txt")], None);
}

#[test]
fn a_bad_variable_is_named_an_empty_one_ignored_and_an_unknown_one_reported() {
    insta::assert_snapshot!(resolve(&[], &[("TWINWIRE_WORKERS", "many")], None).unwrap_err(), @r"TWINWIRE_WORKERS: invalid value 'many' for '--workers <COUNT>': expected a whole number from 1 to 1024");
    insta::assert_snapshot!(resolve(&[], &[("TWINWIRE_UPGRADE", "ajar")], None).unwrap_err(), @r"TWINWIRE_UPGRADE: invalid value 'ajar' for '--upgrade <POLICY>' [possible values: open, secret, closed]");
    let shown = resolve(&[], &[("TWINWIRE_WORKERS", ""), ("TWINWIRE_WORKRES", "2")], None).unwrap();
    assert!(line(&shown, "workers").starts_with("# workers = # default"), "{shown}");
    assert!(shown.contains("TWINWIRE_WORKRES is set and has no effect"), "{shown}");
}

#[test]
fn what_is_shown_is_a_file_that_gives_the_same() {
    let args = ["--tcp", "127.0.0.1:1", "--tcp", "[::1]:2", "--upgrade", "closed", "--max-connections", "9"];
    let shown = resolve(&args, &[], None).unwrap();
    let again = resolve(&[], &[], Some(&file(&shown))).unwrap();
    let values = |shown: &str| -> Vec<String> {
        shown
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split(" #").next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(values(&shown), values(&again));
}

#[test]
fn every_option_tells_what_happens_without_it() {
    let mut options = Options { command: Args::command() };
    options.command.build();
    for arg in options.all().filter(|arg| arg.get_long() != Some(FILE_OPTION)) {
        let error_line = effective::documented_default(arg).is_some() || !arg.get_default_values().is_empty();
        assert!(
            error_line,
            "--{} has no default and does not say what happens then",
            arg.get_long().unwrap()
        );
    }
}
