//! The program itself: ready lines, exit codes, what it says when it cannot start, signals.

use std::{
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::Pid};
use twinwire_server::Transport;

use crate::replies::{DONE, KEY_NOT_FOUND, SUCCESS, UPGRADE_REFUSED, UPGRADED};
use crate::{
    disturbance::undisturbed,
    program::{ON_FREE_PORTS, Program, command, refusal},
    support::Client,
};

#[test]
fn sigterm_and_sigint_say_goodbye_on_each_transport_and_exit_0() {
    undisturbed(|| {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let mut program = Program::start(&ON_FREE_PORTS);
            let mut clients = [Transport::Tcp, Transport::TcpRaw, Transport::WebSocket]
                .map(|transport| program.client(transport));
            let asked_at = Instant::now();
            program.signal(signal);
            for client in &mut clients {
                client.expect_close(1001);
            }
            drop(clients);
            assert_eq!(program.end(), (Some(0), String::new()), "{signal}");
            assert!(asked_at.elapsed() < Duration::from_secs(5));
        }
    });
}

#[test]
fn sigterm_ends_the_server_within_its_time_whatever_clients_do() {
    undisturbed(|| {
        let mut program = Program::start(&ON_FREE_PORTS);
        let mut deaf = program.client(Transport::Tcp);
        let _silent = program.client(Transport::TcpRaw);
        let _half_open = program.client(Transport::WebSocket);
        assert_eq!(deaf.ask(&format!("put k {}", "v".repeat(60_000))), DONE);
        deaf.stream.set_nonblocking(true).unwrap();
        let _ = std::io::Write::write_all(&mut deaf.stream, "get k\n".repeat(1000).as_bytes());
        let asked_at = Instant::now();
        program.signal(Signal::SIGTERM);
        assert_eq!(program.end().0, Some(0));
        assert!(asked_at.elapsed() < Duration::from_secs(5), "{:?}", asked_at.elapsed());
    });
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    undisturbed(|| {
        let mut program = Program::start(&[&ON_FREE_PORTS[..], &["--log", "info"]].concat());
        let mut silent = program.client(Transport::Tcp);
        program.signal(Signal::SIGTERM);
        // The close shows that the first signal has been taken. This client does not close its own side, so that the
        // server still has a client to wait for.
        silent.expect_close(1001);
        program.signal(Signal::SIGINT);
        assert_eq!(program.end().0, Some(130));
    });
}

#[test]
fn the_server_stops_when_its_standard_input_ends_if_asked_to() {
    let mut program = Program::start(&[&ON_FREE_PORTS[..], &["--until-stdin-closes"]].concat());
    let mut client = program.client(Transport::Tcp);
    drop(program.child.stdin.take());
    client.expect_close(1001);
    drop(client);
    assert_eq!(program.end(), (Some(0), String::new()));
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, stderr) = refusal(&mut command(&["--tcp", &address]));
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(stderr.replace(&address, "ADDRESS"), @"twinwire-server: cannot listen on ADDRESS for tcp: Address already in use (os error 98); another program listens there: stop it, or choose another port (0 takes a free one)");
}

#[test]
fn too_few_descriptors_are_one_clear_line() {
    let (code, stderr) = refusal(&mut command(&["--tcp", "127.0.0.1:0", "--max-connections", "99999999999"]));
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("twinwire-server: 99999999999 connections need "), "{stderr}");
    assert!(stderr.ends_with("raise the limit (ulimit -Hn) or lower --max-connections\n"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1);
}

/// What the program says, and how it exits, where it may open so few files that it cannot start.
fn refusal_with_files(limit: usize, workers: &str) -> String {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]);
    limited.args([env!("CARGO_BIN_EXE_twinwire-server"), "--tcp", "127.0.0.1:0", "--workers", workers]);
    let (code, stderr) = refusal(limited.stdin(Stdio::null()));
    assert_eq!(code, Some(1), "with {limit}: {stderr}");
    stderr
}

#[test]
fn a_worker_that_cannot_start_ends_the_server_before_it_is_announced() {
    // At each of these another worker lacks another one of its descriptors.
    for limit in 16..=24 {
        let stderr = refusal_with_files(limit, "8");
        assert!(
            stderr.starts_with("twinwire-server: cannot start worker ")
                && stderr.ends_with("raise the limit on open files (ulimit -Hn) or lower --workers\n"),
            "with {limit}: {stderr}"
        );
    }
}

#[test]
fn fewer_descriptors_than_any_server_needs_are_one_clear_line() {
    for limit in 5..=15 {
        let stderr = refusal_with_files(limit, "2");
        assert_eq!(
            stderr,
            format!(
                "twinwire-server: a server needs at least 16 file descriptors, but this process may have only {limit}; \
                 raise the limit (ulimit -Hn)\n"
            )
        );
    }
}

#[test]
fn a_bad_address_is_refused() {
    let (code, stderr) = refusal(&mut command(&["--tcp", "nonsense"]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("invalid value 'nonsense' for '--tcp <ADDR>': expected HOST:PORT"), "{stderr}");
}

#[test]
fn role_8_a_listener_off_loopback_needs_a_spoken_policy() {
    let (code, stderr) = refusal(&mut command(&["--ws", "0.0.0.0:0"]));
    assert_eq!(code, Some(2));
    insta::assert_snapshot!(stderr, @"twinwire-server: websocket on 0.0.0.0:0 can be reached from other machines: choose with --upgrade open, secret or closed which clients may become managers and read all data");
    let mut program = Program::start(&["--ws", "0.0.0.0:0", "--upgrade", "closed"]);
    assert!(program.line().starts_with("listening websocket 0.0.0.0:"));
}

#[test]
fn role_8_the_secret_comes_from_a_file_or_the_environment() {
    let (code, stderr) = refusal(&mut command(&["--upgrade", "secret"]));
    assert_eq!(code, Some(2));
    insta::assert_snapshot!(stderr, @"twinwire-server: --upgrade secret needs a secret: name a file with --upgrade-secret-file, or set TWINWIRE_UPGRADE_SECRET");
    let (code, stderr) =
        refusal(command(&["--upgrade", "secret"]).env("TWINWIRE_UPGRADE_SECRET", "two words"));
    assert_eq!(code, Some(2));
    insta::assert_snapshot!(stderr, @"twinwire-server: the upgrade secret in TWINWIRE_UPGRADE_SECRET must be exactly one word");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "sesame\n").unwrap();
    let path = file.path().to_str().unwrap();
    let mut program =
        Program::start(&["--tcp", "127.0.0.1:0", "--upgrade", "secret", "--upgrade-secret-file", path]);
    let mut client = program.client(Transport::Tcp);
    assert_eq!(client.ask("upgrade"), UPGRADE_REFUSED);
    assert_eq!(client.ask("upgrade sesame"), UPGRADED);
}

#[test]
fn role_8_a_secret_that_no_client_can_send_is_refused_and_a_byte_order_mark_is_not_part_of_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let args =
        ["--tcp", "127.0.0.1:0", "--upgrade", "secret", "--message-max", "64", "--upgrade-secret-file"];
    // "upgrade " and 56 bytes are a whole message.
    std::fs::write(path, format!("{}\n", "x".repeat(57))).unwrap();
    let (code, stderr) = refusal(&mut command(&[&args[..], &[path]].concat()));
    assert_eq!(code, Some(2));
    insta::assert_snapshot!(stderr.replace(path, "FILE"), @"twinwire-server: the upgrade secret in FILE has 57 bytes, but no client can send more than 56 with this --message-max: choose a shorter one");
    let longest = "x".repeat(56);
    std::fs::write(path, format!("\u{feff}{longest}\r\n")).unwrap();
    let mut program = Program::start(&[&args[..], &[path]].concat());
    let mut client = program.client(Transport::Tcp);
    assert_eq!(client.ask(&format!("upgrade {longest}")), UPGRADED);
    // It has no end.
    let (code, stderr) = refusal(&mut command(&[&args[..], &["/dev/zero"]].concat()));
    assert_eq!(code, Some(2));
    insta::assert_snapshot!(stderr, @"twinwire-server: cannot read the upgrade secret from /dev/zero: it is larger than 1 MiB");
}

#[test]
fn role_8_wrong_secrets_are_logged_but_not_each_of_them() {
    let mut program = Program::spawn(
        command(&["--tcp", "127.0.0.1:0", "--upgrade", "secret", "--workers", "1"])
            .env("TWINWIRE_UPGRADE_SECRET", "sesame"),
    );
    let mut client = Client::connect(Transport::Tcp, program.address(Transport::Tcp));
    assert_eq!(client.ask("\u{1b}[31mmallory"), SUCCESS);
    for _ in 0..3 {
        assert_eq!(client.ask("upgrade gue55"), UPGRADE_REFUSED);
    }
    program.signal(Signal::SIGTERM);
    client.expect_close(1001);
    drop(client);
    let (code, log) = program.end();
    assert_eq!((code, log.lines().count()), (Some(0), 1), "{log}");
    assert!(
        log.contains("a wrong upgrade secret was tried user=\"\\u{1b}[31mmallory\" peer=\"127.0.0.1:"),
        "{log}"
    );
    assert!(!log.contains("gue55") && !log.contains("sesame"), "secrets are not for logs: {log}");
}

#[test]
fn help_groups_the_flags_and_names_their_defaults() {
    let Output { status, stdout, .. } = command(&["--help"]).output().unwrap();
    let help = String::from_utf8(stdout).unwrap();
    assert!(status.success());
    for part in [
        "Listeners:",
        "Access:",
        "Limits:",
        "Time-outs:",
        "Threads:",
        "Logging:",
        "[default: one for each CPU]",
        "[default: open]",
    ] {
        assert!(help.contains(part), "{part} is not in:\n{help}");
    }
}

#[test]
fn each_cpu_gets_a_worker_if_asked_to() {
    let cpus = nix::sched::sched_getaffinity(Pid::from_raw(0)).unwrap();
    let cpu = (0..1024).find(|cpu| cpus.is_set(*cpu).unwrap()).unwrap().to_string();
    let mut program = Program::start(&["--tcp", "127.0.0.1:0", "--cpus", &cpu]);
    let mut client = program.client(Transport::Tcp);
    assert_eq!(client.ask("get k"), KEY_NOT_FOUND);
    let (code, stderr) = refusal(&mut command(&["--tcp", "127.0.0.1:0", "--cpus", "1023"]));
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(stderr, @"twinwire-server: CPU 1023 of --cpus is not available to this process");
}
