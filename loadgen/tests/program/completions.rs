//! `twinwire completions` and `twinwire man`: what shells and `man` learn of the three programs.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::{Ended, Place, twinwire};

/// Each program with an option of its own.
const PROGRAMS: [(&str, &str); 3] =
    [("twinwire", "require"), ("twinwire-client", "manager"), ("twinwire-server", "max-connections")];

fn script(shell: &str, program: &str) -> String {
    Ended::of(twinwire().args(["completions", shell, program]).output().unwrap()).expect(0).stdout
}

#[test]
fn every_program_has_completions_for_every_shell_without_what_is_hidden() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        for (program, option) in PROGRAMS {
            let script = script(shell, program);
            assert!(script.contains(option), "{shell} {program}");
            for hidden in ["serve-embedded", "explore"] {
                assert!(!script.contains(hidden), "{shell} {program}: {hidden}");
            }
        }
    }
    let alone = Ended::of(twinwire().args(["completions", "bash"]).output().unwrap()).expect(0);
    assert_eq!(alone.stdout, script("bash", "twinwire"));
}

#[test]
fn bash_completes_commands_and_options() {
    for (program, line, expected) in [
        ("twinwire", "quick", "quick"),
        ("twinwire", "run --thr", ""),
        ("twinwire", "run --req", "--require"),
        ("twinwire", "schema c", "cases"),
        ("twinwire-client", "--man", "--manager"),
        ("twinwire-server", "--max-conn", "--max-connections --max-connections-per-ip"),
        ("twinwire-server", "control l", "list"),
    ] {
        let words: Vec<&str> = std::iter::once(program).chain(line.split(' ')).collect();
        let last = words.len() - 1;
        // Given to the function as bash does it: the program, the word at hand and the one before it.
        let ask = format!(
            "{}\nCOMP_WORDS=({}); COMP_CWORD={last}; eval \"$(complete -p {program} | sed 's/.*-F \\([^ ]*\\) .*/\\1/') \
             {program} '{}' '{}'\"; echo \"${{COMPREPLY[*]}}\"",
            script("bash", program),
            words.join(" "),
            words[last],
            words[last - 1],
        );
        let output = Command::new("bash").args(["--norc", "-c", &ask]).output().unwrap();
        let given = String::from_utf8(output.stdout).unwrap();
        assert_eq!(given.trim(), expected, "{program} {line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn each_program_and_subcommand_has_a_man_page_and_nothing_is_written_through_a_link() {
    let place = Place::with("");
    let dir = place.path().join("share/man/man1");
    let letter = place.path().join("letter.txt");
    fs::create_dir_all(&dir).unwrap();
    fs::write(&letter, "dear").unwrap();
    symlink(&letter, dir.join("twinwire-run.1")).unwrap();

    let ended = Ended::of(twinwire().arg("man").arg(&dir).output().unwrap()).expect(0);
    let mut pages: Vec<String> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path().display().to_string()).collect();
    pages.sort();
    assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), pages);
    for name in [
        "twinwire",
        "twinwire-run",
        "twinwire-conform",
        "twinwire-explain",
        "twinwire-man",
        "twinwire-client",
        "twinwire-server",
        "twinwire-server-control",
    ] {
        let page = fs::read_to_string(dir.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
    let server = fs::read_to_string(dir.join("twinwire-server.1")).unwrap();
    assert!(server.contains("max\\-connections") && !server.contains("until\\-stdin\\-closes"), "{server}");
    assert_eq!(fs::read_to_string(&letter).unwrap(), "dear");
}

#[test]
fn a_folder_for_man_pages_that_cannot_be_made_is_named() {
    let place = Place::with("");
    let ended =
        Ended::of(twinwire().arg("man").arg(place.path().join("scenario.toml/man1")).output().unwrap())
            .expect(2);
    assert!(ended.stderr.contains("scenario.toml/man1"), "{}", ended.stderr);
}
