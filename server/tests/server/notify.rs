//! What a service manager is sent through `NOTIFY_SOCKET`.

use std::os::{
    linux::net::SocketAddrExt,
    unix::net::{SocketAddr, UnixDatagram},
};

use nix::sys::signal::Signal;

use crate::{
    program::{Program, command, refusal},
    support::CLIENT_TIMEOUT,
};

fn notice(manager: &UnixDatagram) -> String {
    let mut text = [0; 100];
    let count = manager.recv(&mut text).unwrap();
    String::from_utf8(text[..count].to_vec()).unwrap()
}

#[test]
fn the_service_manager_is_told_when_the_server_listens_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let name = format!("twinwire-test-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
    for (manager, socket) in [
        (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned()),
        (UnixDatagram::bind_addr(&abstract_name).unwrap(), format!("@{name}")),
    ] {
        manager.set_read_timeout(Some(CLIENT_TIMEOUT)).unwrap();
        let mut program = Program::spawn(command(&["--tcp", "127.0.0.1:0"]).env("NOTIFY_SOCKET", socket));
        assert_eq!(notice(&manager), "READY=1\n");
        assert!(program.line().starts_with("listening tcp "), "it was there before the notice");
        program.signal(Signal::SIGTERM);
        assert_eq!(notice(&manager), "STOPPING=1\n");
        assert_eq!(program.end(), (Some(0), String::new()));
    }
}

#[test]
fn the_service_manager_of_a_program_that_starts_a_server_hears_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_nonblocking(true).unwrap();
    for by_signal in [true, false] {
        let args = ["--tcp", "127.0.0.1:0", "--until-stdin-closes"];
        let mut program = Program::spawn(command(&args).env("NOTIFY_SOCKET", &path));
        let mut client = program.client(twinwire_server::Transport::Tcp);
        if by_signal {
            program.signal(Signal::SIGTERM);
        } else {
            drop(program.child.stdin.take());
        }
        client.expect_close(1001);
        drop(client);
        assert_eq!(program.end(), (Some(0), String::new()));
        assert!(manager.recv(&mut [0; 100]).is_err(), "it got nothing");
    }
}

#[test]
fn a_server_that_cannot_listen_or_that_nothing_listens_to_tells_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_nonblocking(true).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _) = refusal(command(&["--tcp", &address]).env("NOTIFY_SOCKET", &path));
    assert_eq!(code, Some(1));
    assert!(manager.recv(&mut [0; 100]).is_err(), "nothing was sent");
    let mut program =
        Program::spawn(command(&["--tcp", "127.0.0.1:0"]).env("NOTIFY_SOCKET", "/no/such/socket"));
    assert!(program.line().starts_with("listening tcp "));
    program.signal(Signal::SIGTERM);
    assert_eq!(program.end().0, Some(0));
}
