//! ARCHITECTURE.md's rules about who may use whom, checked against the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::modules::{Crate, circles, path_attributes};

/// Each room of the harness, a top-level module, and the rooms that it may use.
const HARNESS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("text", &[]),
    ("oracle", &["domain"]),
    ("record", &["domain"]),
    ("scenario", &["domain", "oracle", "text"]),
    ("conform", &["domain", "oracle", "scenario", "targets", "text", "wire"]),
    ("measure", &["domain", "oracle", "record", "scenario"]),
    ("wire", &["domain", "text"]),
    ("targets", &["domain", "wire"]),
    ("load", &["domain", "scenario", "measure", "oracle", "record", "targets", "text", "wire"]),
    ("stats", &["domain", "record", "scenario", "text"]),
    ("report", &["domain", "record", "text"]),
    ("chart", &["domain", "record", "text"]),
    ("client", &["domain", "oracle", "text", "wire"]),
    (
        "commands",
        &[
            "domain", "scenario", "chart", "conform", "load", "measure", "record", "report", "stats",
            "targets", "text", "wire",
        ],
    ),
    ("cli", &["client", "commands", "targets"]),
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

/// Both crates' modules.
fn crates() -> [Crate; 2] {
    let read = |name, root| Crate::read(name, &crate_root().join(root));
    [read("twinwire", "src/lib.rs"), read("twinwire_server", "../server/src/lib.rs")]
}

#[test]
fn each_room_uses_only_the_rooms_that_it_may() {
    let [harness, _] = crates();
    let uses = harness.siblings(&[]);
    let rooms: BTreeSet<&str> = uses.keys().map(|room| &**room).collect();
    assert_eq!(rooms, HARNESS.iter().map(|(room, _)| *room).collect(), "every room has its rule");
    for (room, may_use) in HARNESS {
        for used in &uses[*room] {
            assert!(may_use.contains(&&**used), "{room} uses {used}");
        }
    }
}

#[test]
fn no_modules_use_each_other_at_any_level_of_either_crate() {
    for read in crates() {
        let parents = read.parents();
        assert!(parents.len() > 5, "{} has modules within modules", read.name());
        for parent in parents {
            let names: Vec<&str> = parent.iter().map(|name| &**name).collect();
            assert_eq!(circles(&read.siblings(&names)), [], "{}::{}", read.name(), parent.join("::"));
        }
    }
}

/// Writes the two files of a crate with the rooms `a` and `b`, and a third room between them, and reads it.
fn made_up(a: &str, b: &str) -> Crate {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lib.rs", "pub mod a;\n#[path = \"elsewhere.rs\"]\npub mod b;\npub mod c;\npub use b::Exported;\n");
    write("a.rs", &format!("pub struct Thing;\nmod inner;\n{a}"));
    write("a/inner.rs", "pub fn quiet() {}\n#[cfg(test)]\nuse crate::c::Nothing;\n");
    write("elsewhere.rs", &format!("pub struct Exported;\n{b}"));
    write("c.rs", "pub use crate::b::Exported as Renamed;\npub struct Nothing;\n");
    Crate::read("made_up", &folder.path().join("lib.rs"))
}

#[test]
fn rooms_that_use_each_other_are_found_in_whatever_form_they_do() {
    let uses_a = "use crate::a::Thing;";
    for uses_b in [
        "use crate::b::Exported;",
        "use crate::{b::{self}, c};",
        "use super::b;",
        "mod deep { mod deeper { fn f() { super::super::super::b::g() } } }",
        "mod deep { pub(crate) fn f(_: &mut Vec<crate::b::Exported>) {} }",
        "fn f() { crate::b::g() }",
        "fn f() { println!(\"{:?}\", vec![crate::b::g()]) }",
        "use crate::Exported;",
        "fn f() -> made_up::Exported { loop {} }",
        "use crate::c::Renamed;",
        "impl Into<crate::b::Exported> for Thing {}",
        "pub use super::b::*;",
    ] {
        let circles = circles(&made_up(uses_b, uses_a).siblings(&[]));
        assert_eq!(circles.len(), 1, "{uses_b}");
        assert!(circles[0].is_superset(&["a", "b"].map(str::to_owned).into()), "{uses_b}: {circles:?}");
    }
    for uses_no_room in [
        "",
        "#[cfg(test)] mod tests { use crate::b::Exported; }",
        "/// As [`crate::b`] does.\n// crate::b::g()\nfn f() -> &'static str { \"crate::b\" }",
        "use self::inner::quiet;",
        "mod b { pub(super) fn own() {} }\nfn f() { self::b::own() }",
    ] {
        assert_eq!(circles(&made_up(uses_no_room, uses_a).siblings(&[])), [], "{uses_no_room}");
    }
}

/// The files below a folder that `#[path]` takes from outside of it.
fn taken_from_elsewhere(folder: &Path) -> Vec<PathBuf> {
    let home = folder.canonicalize().unwrap();
    let attributes = path_attributes(folder).into_iter();
    let files = attributes.map(|(file, path)| file.with_file_name(path).canonicalize().unwrap());
    files.filter(|file| !file.starts_with(&home)).collect()
}

#[test]
fn no_file_is_compiled_into_two_crates() {
    for package in ["", "os", "statistics", "../server", "../server/bench-support"] {
        for folder in ["src", "tests", "benches", "examples"] {
            let folder = crate_root().join(package).join(folder);
            if folder.is_dir() {
                assert_eq!(taken_from_elsewhere(&folder), [""; 0].map(PathBuf::from), "{}", folder.display());
            }
        }
    }
    // Where there is one, it is found.
    let made_up = tempfile::tempdir().unwrap();
    let src = made_up.path().join("src");
    fs::create_dir(&src).unwrap();
    fs::write(made_up.path().join("foreign.rs"), "").unwrap();
    fs::write(src.join("own.rs"), "").unwrap();
    let modules = "#[path = \"own.rs\"]\nmod one;\n#[path = \"../foreign.rs\"]\nmod two;\n";
    fs::write(src.join("lib.rs"), modules).unwrap();
    assert_eq!(taken_from_elsewhere(&src), [made_up.path().join("foreign.rs").canonicalize().unwrap()]);
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
    let [harness, _] = crates();
    let used = harness.used_below(&["targets", "null"]);
    assert!(!used.is_empty());
    for place in used {
        assert!(
            place[0] == "domain" || place.starts_with(&["targets", "null"].map(str::to_owned)),
            "{place:?}"
        );
    }
}

/// The packages of this workspace that a manifest depends on, for whatever purpose; without its own name.
fn own_dependencies(manifest: &Path) -> Vec<String> {
    let text = fs::read_to_string(manifest).unwrap();
    let dependencies = text.split_once("dependencies]").map_or("", |(_, after)| after);
    let names = dependencies.lines().filter(|line| line.starts_with("twinwire"));
    names.map(|line| line.split(['.', ' ', '=']).next().unwrap().to_owned()).collect()
}

#[test]
fn the_server_knows_nothing_of_the_harness() {
    let server = crate_root().join("../server");
    // Its benches have their bare loops from a package that knows neither, and its tests a feature of the server itself.
    assert_eq!(own_dependencies(&server.join("Cargo.toml")), ["twinwire-bench-support", "twinwire-server"]);
    assert_eq!(
        own_dependencies(&server.join("bench-support/Cargo.toml")),
        ["twinwire-os", "twinwire-statistics"]
    );
    for below in ["os", "statistics"] {
        assert_eq!(own_dependencies(&crate_root().join(below).join("Cargo.toml")), [""; 0]);
    }
    // And nothing but its benches has: the server itself is built without.
    let manifest = fs::read_to_string(server.join("Cargo.toml")).unwrap();
    let (built_with, for_tests) = manifest.split_once("[dev-dependencies]").unwrap();
    assert!(!built_with.contains("twinwire-bench-support") && for_tests.contains("twinwire-bench-support"));
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

/// The documents that lead a reader through the project.
const DOCUMENTS: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "loadgen/README.md", "server/README.md", "reports/README.md"];

#[test]
fn every_file_that_a_document_names_is_there() {
    let root = crate_root().join("..");
    for document in DOCUMENTS {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let home = root.join(document).parent().unwrap().to_owned();
        let links = text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap());
        let links: Vec<&str> = links.filter(|link| !link.is_empty() && !link.starts_with("http")).collect();
        assert!(!links.is_empty(), "{document} has links");
        for link in links {
            assert!(home.join(link).exists(), "{document} links to {link}");
        }
        // Sources are named from where the crates' modules begin.
        let code = text.split('`').skip(1).step_by(2);
        let code = code.filter(|code| Path::new(code).extension().is_some_and(|ending| ending == "rs"));
        for file in code {
            let places = ["", "loadgen/src", "server/src"].map(|place| root.join(place).join(file));
            assert!(places.iter().any(|place| place.exists()), "{document} names {file}");
        }
    }
}
