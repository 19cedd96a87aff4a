//! LIFE-5: a log that nothing reads holds up neither the clients nor the stop.

use std::{
    io::Read,
    net::{SocketAddr, TcpStream},
    process::Stdio,
};

use nix::sys::signal::Signal;
use twinwire_server::Transport;

use crate::replies::{EXITING, SERVER_FULL, SUCCESS, UPGRADED};
use crate::{
    metrics::{ask, figure},
    program::{Program, command},
    support::Client,
};

/// A server whose standard error is a pipe that is full already, the pipe's end to read, and its addresses.
fn start_with_full_log() -> (Program, std::fs::File, [SocketAddr; 2], String) {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let filler = writer.try_clone().unwrap();
    let mut command =
        command(&["--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--metrics", "0", "--log", "debug"]);
    let mut program = Program::spawn(command.stderr(Stdio::from(writer)));
    let addresses = [Transport::Tcp, Transport::WebSocket].map(|transport| program.address(transport));
    let metrics = program.line().trim_end().strip_prefix("listening metrics ").unwrap().to_owned();
    nix::fcntl::fcntl(&filler, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
    for size in [4096, 1] {
        while nix::unistd::write(&filler, &vec![b'.'; size]).is_ok() {}
    }
    // Not for the server: the two share the flag.
    nix::fcntl::fcntl(&filler, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).unwrap();
    (program, reader.into(), addresses, metrics)
}

/// Has the server log a line.
fn knock(address: SocketAddr) {
    let mut bad =
        Client { transport: Transport::WebSocket, stream: TcpStream::connect(address).unwrap(), tls: None };
    bad.stream.set_read_timeout(Some(crate::support::CLIENT_TIMEOUT)).unwrap();
    bad.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(!bad.rest().is_empty());
}

#[test]
fn an_operator_sees_sessions_new_managers_and_that_the_server_is_full() {
    let args = ["--tcp", "127.0.0.1:0", "--max-connections", "1", "--log", "debug"];
    let mut program = Program::start(&args);
    let address = program.address(Transport::Tcp);
    let mut ann = Client::connect(Transport::Tcp, address);
    assert_eq!(ann.ask("ann"), SUCCESS);
    assert_eq!(ann.ask("upgrade"), UPGRADED);
    assert_eq!(Client::connect(Transport::Tcp, address).reply(), SERVER_FULL);
    assert_eq!(ann.ask("q"), EXITING);
    assert_eq!(ann.rest(), b"");
    program.signal(Signal::SIGTERM);
    let (code, log) = program.end();
    assert_eq!(code, Some(0));
    for expected in [
        r#"logged in user="ann" peer=127.0.0.1"#,
        r#"became a manager user="ann" peer=127.0.0.1"#,
        "the server is full: a client was refused transport=tcp peer=127.0.0.1",
        r#"the session has ended user="ann""#,
    ] {
        assert!(log.contains(expected), "no `{expected}` in:\n{log}");
    }
}

const DROPPED: &str = "twinwire_log_lines_dropped_total";

#[test]
fn life_5_a_log_that_nothing_reads_is_dropped_and_holds_up_neither_clients_nor_the_stop() {
    let (mut program, _reader, [tcp, websocket], metrics) = start_with_full_log();
    // Far more than is kept; each round must be answered.
    while figure(&ask(&metrics, "GET /metrics HTTP/1.1\r\n\r\n"), DROPPED) == Some(0) {
        for _ in 0..200 {
            knock(websocket);
        }
    }
    let mut client = Client::connect(Transport::Tcp, tcp);
    assert_eq!(client.ask("ann"), SUCCESS);
    program.signal(Signal::SIGTERM);
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_last_lines_and_the_count_of_those_dropped_reach_a_reader_that_reads() {
    let (program, mut reader, [_, websocket], metrics) = start_with_full_log();
    while figure(&ask(&metrics, "GET /metrics HTTP/1.1\r\n\r\n"), DROPPED) == Some(0) {
        for _ in 0..200 {
            knock(websocket);
        }
    }
    let reading = std::thread::spawn(move || {
        let mut log = String::new();
        reader.read_to_string(&mut log).unwrap();
        log
    });
    program.signal(Signal::SIGTERM);
    let mut program = program;
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
    let log = reading.join().unwrap();
    assert!(
        log.contains("log lines were dropped") && log.contains("stopped"),
        "{}",
        &log[log.len().saturating_sub(2000)..]
    );
}
