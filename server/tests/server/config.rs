//! Configuration through the program itself: its layers, `--check-config`, and where mistakes are shown.

use std::{io::Read, process::Output};

use twinwire_server::{Config, Server, Shutdown, Transport, config::Endpoint};

use crate::replies::{SUCCESS, UPGRADE_REFUSED, UPGRADED};
use crate::{
    metrics::ask,
    program::{Program, command, refusal},
    support::Client,
};

/// A file of options that is gone with the test.
fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn a_server_runs_by_file_environment_and_command_line_together() {
    let file = file("tcp = '127.0.0.1:0'\nupgrade = 'open'\nlog = 'off'\n");
    let mut command = command(&["--config", file.path().to_str().unwrap(), "--ws", "127.0.0.1:0"]);
    let mut program = Program::spawn(command.env("TWINWIRE_UPGRADE", "closed"));
    let mut tcp = program.client(Transport::Tcp);
    let _websocket = program.client(Transport::WebSocket);
    assert_eq!(tcp.ask("upgrade"), UPGRADE_REFUSED, "the environment comes before the file");
}

#[test]
fn every_address_of_a_host_is_served_on_one_port_but_those_that_the_machine_does_not_have() {
    let at = |address: &str| format!("{address}:0").parse().unwrap();
    // The last one is reserved for documents (RFC 3849).
    let endpoint = |transport| Endpoint {
        transport,
        addresses: vec![at("127.0.0.1"), at("127.0.0.2"), at("[2001:db8::1]")],
    };
    let config = Config {
        listeners: vec![endpoint(Transport::Tcp), endpoint(Transport::WebSocket)],
        metrics: endpoint(Transport::Tcp).addresses,
        ..Config::on_free_ports(&[])
    };
    let server = Server::bind(config).unwrap();
    let (addresses, metrics) = (server.addresses().to_vec(), server.metrics_addresses());
    let shutdown = Shutdown::new();
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| server.run(&shutdown).unwrap());
        for (pair, transport) in addresses.chunks(2).zip([Transport::Tcp, Transport::WebSocket]) {
            let hosts = pair.iter().map(|at| at.address.ip().to_string());
            assert_eq!(hosts.collect::<Vec<_>>(), ["127.0.0.1", "127.0.0.2"]);
            assert_eq!(pair[0].address.port(), pair[1].address.port());
            for listening in pair {
                let mut client = Client::connect(transport, listening.address);
                assert_eq!(client.ask(&listening.address.to_string()), SUCCESS);
            }
        }
        assert_eq!(addresses.len(), 4);
        assert_eq!((metrics.len(), metrics[0].port()), (2, metrics[1].port()));
        for address in metrics {
            assert!(ask(&address.to_string(), "GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
        }
        shutdown.trigger();
        serving.join().unwrap();
    });
}

#[test]
fn the_environment_may_name_the_file() {
    let file = file("tcp = '127.0.0.1:0'\n");
    let mut program = Program::spawn(command(&[]).env("TWINWIRE_CONFIG", file.path()));
    program.client(Transport::Tcp);
}

#[test]
fn check_config_prints_what_is_in_force_and_starts_nothing() {
    let file = file("workers = 1\nmax-connections = 7\n");
    let path = file.path().to_str().unwrap();
    let args = ["--check-config", "--config", path, "--max-connections", "8"];
    let Output { status, stdout, stderr } = command(&args).env("TWINWIRE_LOG", "off").output().unwrap();
    assert_eq!((status.code(), stderr.as_slice()), (Some(0), b"".as_slice()));
    let shown = String::from_utf8(stdout).unwrap().replace(path, "FILE");
    let lines: Vec<_> =
        shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for expected in [
        "# tcp = # default: 127.0.0.1:1601, if no listener is given",
        "workers = 1 # file, FILE:1",
        "max-connections = 8 # command line",
        r#"log = "off" # environment, TWINWIRE_LOG"#,
        "# upgrade = # default: open",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected} is not in:\n{shown}");
    }
}

#[test]
fn check_config_refuses_what_makes_no_sense_with_2() {
    let unknown = file("max-conections = 5\n");
    let path = unknown.path().to_str().unwrap();
    let (code, stderr) = refusal(&mut command(&["--check-config", "--config", path]));
    assert_eq!(code, Some(2));
    insta::assert_snapshot!(stderr.replace(path, "FILE"), @r"
    twinwire-server: FILE:1:1: unknown option 'max-conections': did you mean 'max-connections'?
    1 | max-conections = 5
      | ^^^^^^^^^^^^^^
    ");
    // Well formed, but it makes no sense as a whole.
    let exposed = file("ws = '0.0.0.0:0'\n");
    let path = exposed.path().to_str().unwrap();
    let (code, stderr) = refusal(&mut command(&["--check-config", "--config", path]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("websocket on 0.0.0.0:0 can be reached from other machines"), "{stderr}");
    let (code, stderr) = refusal(&mut command(&["--config", "/no/such/file"]));
    assert_eq!(code, Some(2));
    insta::assert_snapshot!(stderr, @"twinwire-server: cannot read the configuration from /no/such/file: No such file or directory (os error 2)");
}

#[test]
fn role_8_a_secret_is_neither_an_argument_nor_shown() {
    let (code, stderr) = refusal(&mut command(&["--upgrade-secret", "sesame"]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("unexpected argument"), "{stderr}");
    let mut command = command(&["--check-config", "--upgrade", "secret"]);
    let mut child = command.env("TWINWIRE_UPGRADE_SECRET", "sesame").spawn().unwrap();
    let mut shown = String::new();
    child.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(shown.contains("TWINWIRE_UPGRADE_SECRET is set") && !shown.contains("sesame"), "{shown}");
}

/// What `--check-config` and a start say to a configuration that cannot start here.
fn refused_alike(args: &[&str]) -> String {
    let Output { status, stdout, stderr } = command(&[args, &["--check-config"]].concat()).output().unwrap();
    let checked = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{args:?}: {checked}");
    assert!(
        String::from_utf8(stdout).unwrap().contains("# Listeners\n"),
        "what is in force is shown all the same"
    );
    let (code, started) = refusal(&mut command(args));
    assert_eq!((code, &started), (Some(1), &checked), "{args:?}");
    started
}

#[test]
fn check_config_refuses_with_2_what_cannot_start_on_this_machine() {
    let message = refused_alike(&["--cpus", "1023"]);
    assert_eq!(message, "twinwire-server: CPU 1023 of --cpus is not available to this process\n");
    let message = refused_alike(&["--max-connections", "99999999999"]);
    assert!(message.starts_with("twinwire-server: 99999999999 connections need "), "{message}");

    let folder = tempfile::tempdir().unwrap();
    let in_folder = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let hidden = |message: String| message.replace(folder.path().to_str().unwrap(), "FOLDER");
    std::fs::write(in_folder("file"), "precious").unwrap();
    let message = refused_alike(&["--control", &in_folder("file")]);
    insta::assert_snapshot!(hidden(message), @"twinwire-server: FOLDER/file exists and is not a socket: choose another path for --control");
    for nowhere in ["none/control", "file/control"] {
        let message = hidden(refused_alike(&["--control", &in_folder(nowhere)]));
        let parent = nowhere.strip_suffix("/control").unwrap();
        assert_eq!(
            message,
            format!(
                "twinwire-server: the control socket FOLDER/{nowhere} has no folder: create FOLDER/{parent} \
                 first (systemd's RuntimeDirectory= does so)\n"
            )
        );
    }
}

#[test]
fn check_config_refuses_two_listeners_in_one_place() {
    let message = refused_alike(&["--tcp", "127.0.0.1:1601", "--ws", "127.0.0.1:1601"]);
    insta::assert_snapshot!(message, @"twinwire-server: websocket and tcp cannot both listen on 127.0.0.1:1601: give one of them another port");
    let message = refused_alike(&["--tcp", "0.0.0.0:1601", "--upgrade", "open", "--metrics", "1601"]);
    insta::assert_snapshot!(message, @"twinwire-server: metrics and tcp cannot both listen on 127.0.0.1:1601: give one of them another port");
}

#[test]
fn a_mistyped_variable_is_warned_of_with_the_one_that_may_be_meant() {
    let warned = |name: &str| {
        let Output { status, stderr, .. } = command(&["--check-config"]).env(name, "5").output().unwrap();
        assert_eq!(status.code(), Some(0));
        String::from_utf8(stderr).unwrap()
    };
    let warning = warned("TWINWIRE_MAX_CONECTIONS");
    let expected = "the environment variable TWINWIRE_MAX_CONECTIONS has no effect: did you mean TWINWIRE_MAX_CONNECTIONS?\n";
    assert!(warning.contains("WARN") && warning.ends_with(expected), "{warning}");
    // Such as Kubernetes sets it for a service of that name.
    let warning = warned("TWINWIRE_SERVICE_HOST");
    assert!(warning.ends_with("the environment variable TWINWIRE_SERVICE_HOST has no effect\n"), "{warning}");
    assert_eq!(warned("TWINWIRE_UPGRADE_SECRET"), "");
    let mut mistyped = command(&["--tcp", "127.0.0.1:0"]);
    let mut program = Program::spawn(mistyped.env("TWINWIRE_MAX_CONECTIONS", "5"));
    program.client(Transport::Tcp);
    program.signal(nix::sys::signal::Signal::SIGTERM);
    let (code, log) = program.end();
    assert!(code == Some(0) && log.contains("did you mean TWINWIRE_MAX_CONNECTIONS?"), "{log}");
}

#[test]
fn what_cannot_be_printed_is_named() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let Output { status, stderr, .. } = command(&["--check-config"]).stdout(full).output().unwrap();
    assert_eq!(status.code(), Some(1));
    insta::assert_snapshot!(String::from_utf8(stderr).unwrap(), @"twinwire-server: cannot write the options in force to standard output: No space left on device (os error 28)");
}

#[test]
fn a_number_that_makes_no_sense_is_refused_with_what_is_wanted_wherever_it_stands() {
    let said = |command: &mut std::process::Command| {
        let (code, stderr) = refusal(command);
        assert_eq!(code, Some(2), "{stderr}");
        stderr
    };
    for count in ["0", "1025", "1000000", "18446744073709551615", "many"] {
        let expected = "expected a whole number from 1 to 1024";
        let options = file(&format!("workers = '{count}'\n"));
        let by_flag = said(&mut command(&["--workers", count]));
        let by_variable = said(command(&[]).env("TWINWIRE_WORKERS", count));
        let by_file = said(&mut command(&["--config", options.path().to_str().unwrap()]));
        for message in [by_flag, by_variable, by_file] {
            assert!(message.contains(expected), "{message}");
        }
    }
    for option in ["--max-connections", "--max-managers", "--max-keys"] {
        for count in ["0", "few", "18446744073709551616"] {
            let message = said(&mut command(&[option, count]));
            assert!(message.contains("expected a whole number from 1 to 18446744073709551615"), "{message}");
        }
    }
    let message = said(&mut command(&["--cpus", "0,x"]));
    assert!(message.contains("expected the numbers of CPUs from 0 on, such as 0,1"), "{message}");
    let message = said(&mut command(&["--cpus", &vec!["0"; 1025].join(",")]));
    assert_eq!(message, "twinwire-server: --cpus names 1025 CPUs, but there may be at most 1024 threads\n");
}

#[test]
fn role_8_a_policy_from_further_up_takes_back_a_files_secret() {
    let secret = file("sesame\n");
    let text = format!(
        "tcp = '127.0.0.1:0'\nupgrade = 'secret'\nupgrade-secret-file = '{}'\n",
        secret.path().display()
    );
    let options = file(&text);
    let path = options.path().to_str().unwrap();
    let mut program = Program::start(&["--config", path, "--upgrade", "closed"]);
    assert_eq!(program.client(Transport::Tcp).ask("upgrade"), UPGRADE_REFUSED);
    let mut program = Program::spawn(command(&["--config", path]).env("TWINWIRE_UPGRADE", "open"));
    assert_eq!(program.client(Transport::Tcp).ask("upgrade"), UPGRADED);
    let args = ["--upgrade", "closed", "--upgrade-secret-file", secret.path().to_str().unwrap()];
    let (code, stderr) = refusal(&mut command(&args));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--upgrade-secret-file has no effect without --upgrade secret"), "{stderr}");
}

/// A file of the folder `deploy`.
fn deployed(name: &str) -> String {
    std::fs::read_to_string(format!("{}/deploy/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn the_unit_and_the_container_start_a_server_that_makes_sense() {
    // What systemd makes for the service, and allows it, is not here.
    let runtime = tempfile::tempdir().unwrap();
    let text = deployed("twinwire-server.toml");
    assert!(text.contains("control = \"/run/twinwire/control\""));
    let options = file(&text.replace("/run/twinwire", runtime.path().to_str().unwrap()));
    let path = options.path().to_str().unwrap();
    let unit = deployed("twinwire-server.service");
    let start =
        unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/twinwire-server ")).unwrap();
    let start = start.replace("/etc/twinwire/twinwire-server.toml", path);
    assert!(unit.contains("\nRuntimeDirectory=twinwire\n"));
    let args: Vec<_> =
        start.split_whitespace().chain(["--max-connections", "10", "--check-config"]).collect();
    let Output { status, stderr, .. } = command(&args).output().unwrap();
    assert_eq!((status.code(), String::from_utf8_lossy(&stderr).as_ref()), (Some(0), ""));

    let container = deployed("Containerfile");
    let variables =
        container.split_whitespace().filter_map(|word| word.strip_prefix("TWINWIRE_")?.split_once('='));
    let mut command = command(&["--check-config"]);
    for (name, value) in variables.filter(|(_, value)| *value != "open)") {
        command.env(format!("TWINWIRE_{name}"), value);
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert_eq!((status.code(), String::from_utf8_lossy(&stderr).as_ref()), (Some(0), ""));
    let shown = String::from_utf8(stdout).unwrap();
    assert!(shown.contains("environment, TWINWIRE_METRICS") && !shown.contains("has no effect"), "{shown}");
}
