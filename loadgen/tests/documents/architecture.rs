//! ARCHITECTURE.md's rules about who may use whom, checked against the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room of the harness and the rooms that it may use. `model` stands for `scenario::model`: plain data.
const MAY_USE: [(&str, &[&str]); 16] = [
    ("domain", &[]),
    ("oracle", &["domain"]),
    ("record", &["domain", "model"]),
    ("scenario", &["domain", "model", "oracle"]),
    ("conform", &["domain", "model", "scenario"]),
    ("measure", &["domain", "model", "oracle", "record"]),
    ("wire", &["domain", "model", "measure"]),
    ("targets", &["domain", "model", "measure", "wire"]),
    ("load", &["domain", "model", "scenario", "measure", "oracle", "record", "targets", "wire"]),
    ("stats", &["domain", "model", "record"]),
    ("report", &["domain", "model", "record"]),
    ("chart", &["domain", "model", "record"]),
    ("client", &["measure", "domain", "model", "oracle", "wire"]),
    (
        "commands",
        &[
            "domain", "model", "scenario", "chart", "conform", "load", "measure", "record", "report",
            "stats", "targets", "wire",
        ],
    ),
    ("cli.rs", &["client", "commands", "targets"]),
    ("bin", &[]),
];

/// What the oracle must not touch: it does no I/O, reads no clock and waits for nothing.
const NOT_IN_ORACLE: [&str; 9] = [
    "std::io",
    "std::fs",
    "std::net",
    "std::time",
    "tokio",
    "nix::",
    "twinwire_server",
    "println!",
    "Instant",
];

fn crate_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Source files below a path, with their text. Test modules may use fixtures from anywhere and are left out.
fn sources(path: &Path) -> Vec<(PathBuf, String)> {
    if path.is_file() {
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
        return vec![(path.to_owned(), code)];
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests"
            || path.extension().is_some_and(|ending| ending == "rs")
                && !["tests.rs", "fixture.rs"].contains(&&*name)
        {
            found.extend(sources(&path));
        }
    }
    found
}

/// The rooms that a text names by `crate::…`, comments and documentation left out.
fn used_rooms(text: &str) -> BTreeSet<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut rooms = BTreeSet::new();
    for (at, found) in code.match_indices("crate::").chain(code.match_indices("twinwire::")) {
        let rest = &code[at + found.len()..];
        let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        let is_model = rest.starts_with("scenario::model");
        rooms.insert(if is_model { "model".to_owned() } else { name });
    }
    rooms
}

#[test]
fn each_room_uses_only_the_rooms_that_it_may() {
    let root = crate_root().join("src");
    let mut listed = BTreeSet::from(["lib.rs".to_owned()]);
    for (room, allowed) in MAY_USE {
        listed.insert(room.to_owned());
        let files = sources(&root.join(room));
        assert!(!files.is_empty(), "{room} is empty");
        for (file, text) in files {
            for used in used_rooms(&text) {
                let own = used == room || room == "scenario" && used == "model" || room == "bin";
                assert!(own || allowed.contains(&&*used), "{} uses {used}", file.display());
            }
        }
    }
    let rooms: BTreeSet<String> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(rooms, listed, "every room has its rule");
}

#[test]
fn the_oracle_does_no_io_and_knows_no_server_code() {
    for (file, text) in sources(&crate_root().join("src/oracle")) {
        for forbidden in NOT_IN_ORACLE {
            assert!(!text.contains(forbidden), "{} has {forbidden}", file.display());
        }
    }
}

#[test]
fn only_targets_uses_the_servers_crate_and_only_to_start_and_to_describe_it() {
    let mut uses = Vec::new();
    for (file, text) in sources(&crate_root().join("src")) {
        for (at, _) in text.match_indices("twinwire_server") {
            let name =
                text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || "_:".contains(*c)).collect();
            uses.push((file.file_name().unwrap().to_string_lossy().into_owned(), name));
        }
    }
    let expected =
        ["run", "command"].map(|name| ("embedded.rs".to_owned(), format!("twinwire_server::cli::{name}")));
    assert_eq!(uses, expected);
}

/// What the null target costs must be its own, and none of the server's or of the client's side.
#[test]
fn the_null_target_stands_alone() {
    for (file, text) in sources(&crate_root().join("src/targets/null")) {
        let used = used_rooms(&text);
        assert!(used.iter().all(|room| room == "domain"), "{} uses {used:?}", file.display());
    }
}

/// The packages of this workspace that a manifest depends on, for whatever purpose; without its own name.
fn own_dependencies(manifest: &Path) -> Vec<String> {
    let text = fs::read_to_string(manifest).unwrap();
    let dependencies = text.split_once("dependencies]").unwrap().1;
    let names = dependencies.lines().filter(|line| line.starts_with("twinwire"));
    names.map(|line| line.split(['.', ' ', '=']).next().unwrap().to_owned()).collect()
}

#[test]
fn the_server_knows_nothing_of_the_harness() {
    let server = crate_root().join("../server");
    // Its benches have their bare loops from a package that knows neither, and its tests a feature of the server itself.
    assert_eq!(own_dependencies(&server.join("Cargo.toml")), ["twinwire-floor", "twinwire-server"]);
    assert_eq!(own_dependencies(&server.join("floor/Cargo.toml")), [""; 0]);
    // And nothing but its benches has: the server itself is built without.
    let manifest = fs::read_to_string(server.join("Cargo.toml")).unwrap();
    let (built_with, for_tests) = manifest.split_once("[dev-dependencies]").unwrap();
    assert!(!built_with.contains("twinwire-floor") && for_tests.contains("twinwire-floor"));
}

#[test]
fn one_place_prints_results_and_one_file_holds_unsafe_code() {
    for (file, text) in sources(&crate_root().join("src")) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        for macro_name in ["println!(", "print!("] {
            let prints = text.match_indices(macro_name).any(|(at, _)| !text[..at].ends_with('e'));
            assert!(!prints, "{name} prints");
        }
        if name != "timerfd.rs" {
            assert!(!text.contains("unsafe {") && !text.contains("unsafe fn"), "{name} has unsafe code");
        }
    }
}
