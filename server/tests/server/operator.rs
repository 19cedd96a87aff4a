//! ROLE-9 through the program itself: the control socket, and `twinwire-server control`.

use std::{
    fs,
    io::{Read, Write},
    net::SocketAddr,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixStream,
        process::CommandExt,
    },
    path::PathBuf,
    process::Output,
};

use nix::sys::signal::Signal;
use twinwire_server::Transport;

use crate::replies::{
    ALREADY_MANAGER, DENIED, DONE, EXITING, KEY_NOT_FOUND, SUCCESS, UPGRADE_REFUSED, UPGRADED, USER_NOT_FOUND,
};
use crate::{
    program::{ON_FREE_PORTS, Program, command, refusal},
    support::{Client, PLAIN},
};

/// A server with a control socket, and where its clients find it.
struct Operated {
    program: Program,
    addresses: [(Transport, SocketAddr); 3],
    folder: tempfile::TempDir,
}

impl Operated {
    fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let control = ["--control", path.to_str().unwrap()];
        let mut program = Program::spawn(
            command(&[&ON_FREE_PORTS[..], &control, args].concat()).env("TWINWIRE_UPGRADE_SECRET", "sesame"),
        );
        let addresses = PLAIN.map(|transport| (transport, program.address(transport)));
        Self { program, addresses, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    fn login(&self, transport: Transport, name: &str) -> Client {
        let (_, address) = self.addresses.iter().find(|(served, _)| *served == transport).unwrap();
        let mut client = Client::connect(transport, *address);
        assert_eq!(client.ask(name), SUCCESS);
        client
    }

    /// What `control` prints and how it exits.
    fn control(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let path = self.path();
        let Output { status, stdout, stderr } =
            command(&[&["control", path.to_str().unwrap()], args].concat()).output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    fn done(&self, args: &[&str]) -> String {
        let (code, stdout, stderr) = self.control(args);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
        stdout
    }
}

#[test]
fn role_9_the_operator_changes_roles_under_each_policy_from_the_next_request_on() {
    for policy in ["open", "secret", "closed"] {
        let server = Operated::start(&["--upgrade", policy]);
        let mut bob = server.login(Transport::Tcp, "bob");
        assert_eq!(bob.ask("put k v"), DONE);
        for transport in PLAIN {
            let mut alice = server.login(transport, "alice");
            assert_eq!(alice.ask("get bob k"), DENIED, "{policy}");
            assert_eq!(server.done(&["promote", "alice"]), "alice is now a manager\n");
            assert_eq!(server.done(&["promote", "alice"]), "alice is already a manager\n");
            assert_eq!(alice.ask("get bob k"), "v", "{policy}");
            assert_eq!(alice.ask("upgrade"), ALREADY_MANAGER);
            assert_eq!(server.done(&["demote", "alice"]), "alice is now a guest\n");
            assert_eq!(server.done(&["demote", "alice"]), "alice is already a guest\n");
            for request in ["get bob k", "get bob none", "get nobody k", "get alice k"] {
                assert_eq!(alice.ask(request), DENIED, "a demoted user is a guest like any other");
            }
            let again = match policy {
                "open" => ("upgrade", UPGRADED),
                "secret" => ("upgrade sesame", UPGRADED),
                _ => ("upgrade", UPGRADE_REFUSED),
            };
            assert_eq!(alice.ask(again.0), again.1);
            assert_eq!(alice.ask("q"), EXITING);
            alice.expect_close(1000);
        }
        assert_eq!(bob.ask("get bob k"), DENIED, "no other user has changed");
    }
}

#[test]
fn role_9_a_disconnected_user_is_closed_in_good_order_and_its_name_and_store_are_gone() {
    let server = Operated::start(&[]);
    let mut neighbour = server.login(Transport::Tcp, "neighbour");
    assert_eq!(neighbour.ask("upgrade"), UPGRADED);
    for transport in PLAIN {
        let mut alice = server.login(transport, "alice");
        assert_eq!(alice.ask("put k v"), DONE);
        assert_eq!(server.done(&["disconnect", "alice"]), "alice is disconnected\n");
        assert_eq!(neighbour.ask("get alice k"), USER_NOT_FOUND);
        let mut again = server.login(transport, "alice");
        assert_eq!(again.ask("get k"), KEY_NOT_FOUND);
        alice.expect_close(1008);
        assert_eq!(again.ask("q"), EXITING);
        again.expect_close(1000);
    }
}

#[test]
fn role_9_a_client_that_floods_and_never_reads_is_disconnected_too() {
    let server = Operated::start(&[]);
    for transport in [Transport::Tcp, Transport::WebSocket] {
        let mut deaf = server.login(transport, "deaf");
        assert_eq!(deaf.ask(&format!("put k {}", "v".repeat(60_000))), DONE);
        deaf.stream.set_nonblocking(true).unwrap();
        let flood = deaf.message("get k").repeat(2000);
        let _ = deaf.stream.write_all(&flood);
        server.done(&["disconnect", "deaf"]);
        let mut again = server.login(transport, "deaf");
        assert_eq!(again.ask("get k"), KEY_NOT_FOUND);
        assert_eq!(again.ask("q"), EXITING);
        again.expect_close(1000);
    }
}

#[test]
fn role_9_a_promotion_keeps_to_the_cap_and_a_demotion_frees_a_place() {
    let server = Operated::start(&["--max-managers", "1", "--upgrade", "closed"]);
    let _clients = ["alice", "bob"].map(|name| server.login(Transport::Tcp, name));
    server.done(&["promote", "alice"]);
    let (code, stdout, stderr) = server.control(&["promote", "bob"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    insta::assert_snapshot!(stderr, @"twinwire-server: bob is still a guest: there are as many managers as --max-managers allows (1); demote one first");
    server.done(&["demote", "alice"]);
    server.done(&["promote", "bob"]);
}

#[test]
fn role_9_users_and_figures_are_shown_as_tables_and_as_json() {
    let server = Operated::start(&[]);
    let mut bob = server.login(Transport::WebSocket, "bob");
    let mut alice = server.login(Transport::Tcp, "alice");
    assert_eq!(alice.ask("upgrade"), UPGRADED);
    assert_eq!(bob.ask("put key value"), DONE);
    assert_eq!(bob.ask("get nothing"), KEY_NOT_FOUND);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let table = server.done(&["list"]);
    let lines: Vec<_> = table.lines().map(words).collect();
    assert_eq!(lines[0], ["USER", "ROLE", "TRANSPORT", "PEER", "KEYS", "BYTES", "CONNECTED", "IDLE"]);
    let peer = |client: &Client| client.stream.local_addr().unwrap().to_string();
    assert_eq!(lines[1][..6], ["alice", "manager", "tcp", &peer(&alice), "0", "0"]);
    assert_eq!(lines[2][..6], ["bob", "guest", "websocket", &peer(&bob), "1", "8"]);
    let list: serde_json::Value = serde_json::from_str(&server.done(&["list", "--json"])).unwrap();
    assert_eq!(list["users"][1]["user"], "bob");
    assert_eq!(list["users"][1]["bytes"], 8);
    assert_eq!(list["users"][0]["role"], "manager");
    let stats: serde_json::Value = serde_json::from_str(&server.done(&["--json", "stats"])).unwrap();
    let stats = &stats["stats"];
    assert_eq!(stats["users"], 2);
    assert_eq!(stats["managers"], 1);
    assert_eq!(stats["connections"]["websocket"]["open"], 1);
    assert_eq!(stats["requests"]["login"][SUCCESS], 2);
    assert_eq!(stats["requests"]["get"][KEY_NOT_FOUND], 1);
    let figures: Vec<_> = server.done(&["stats"]).lines().map(words).map(|words| words.join(" ")).collect();
    for expected in ["users 2, 1 of them managers", "stored 1 keys, 8 bytes", "requests put -> done 1"] {
        assert!(figures.iter().any(|line| line == expected), "{expected} is not in {figures:?}");
    }
}

#[test]
fn role_9_the_list_tells_from_where_each_session_is_and_for_how_long_it_has_asked_nothing() {
    // Without time-outs as well, whose clock delivers it.
    let off = ["--login-timeout", "off", "--unsent-timeout", "off", "--ping-interval", "off"];
    for args in [&off[..], &[]] {
        let server = Operated::start(args);
        let mut clients = PLAIN.map(|transport| server.login(transport, transport.name()));
        let mut busy = server.login(Transport::Tcp, "busy");
        let idle = |list: &serde_json::Value, user: &str| {
            let rows = list["users"].as_array().unwrap();
            rows.iter().find(|row| row["user"] == user).unwrap()["idle_s"].as_u64().unwrap()
        };
        let list = loop {
            // As long as it takes, on whatever machine: one is busy and the others are not.
            assert_eq!(busy.ask("get k"), KEY_NOT_FOUND);
            let list: serde_json::Value = serde_json::from_str(&server.done(&["list", "--json"])).unwrap();
            if PLAIN.iter().all(|transport| idle(&list, transport.name()) >= 1) {
                break list;
            }
        };
        for client in &mut clients {
            let row = list["users"].as_array().unwrap().iter();
            let row = row.clone().find(|row| row["user"] == client.transport.name()).unwrap();
            assert_eq!(row["transport"], client.transport.name());
            assert_eq!(row["peer"], client.stream.local_addr().unwrap().to_string());
            assert!(idle(&list, client.transport.name()) <= row["connected_s"].as_u64().unwrap());
            assert_eq!(client.ask("get k"), KEY_NOT_FOUND);
        }
        let idlest = |list: &serde_json::Value| {
            PLAIN.iter().map(|transport| idle(list, transport.name())).max().unwrap()
        };
        let (before, mut tries) = (idlest(&list), 0..1000);
        while tries.next().is_some() {
            for client in &mut clients {
                assert_eq!(client.ask("get k"), KEY_NOT_FOUND);
            }
            let list: serde_json::Value = serde_json::from_str(&server.done(&["list", "--json"])).unwrap();
            if idlest(&list) < before {
                break;
            }
        }
        assert!(!tries.is_empty(), "asking never makes a session less idle than before");
    }
}

#[test]
fn role_9_no_name_drives_the_operators_terminal() {
    let server = Operated::start(&[]);
    let name = "a\u{9b}31m\u{202e}é";
    let _client = server.login(Transport::Tcp, name);
    let table = server.done(&["list"]);
    assert!(table.contains(r"a\u{9b}31m\u{202e}é"), "{table:?}");
    let json = server.done(&["list", "--json"]);
    assert!(json.contains(r"a\u009b31m\u202eé"), "{json:?}");
    let list: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(list["users"][0]["user"], name, "programs read the name itself");
    let stdout = server.done(&["promote", name]);
    assert_eq!(stdout, "a\\u{9b}31m\\u{202e}é is now a manager\n");
}

#[test]
fn role_9_an_unknown_user_no_server_wrong_usage_and_no_permission_have_different_exit_codes() {
    let server = Operated::start(&[]);
    for action in ["promote", "demote", "disconnect"] {
        let (code, _, stderr) = server.control(&[action, "nobody"]);
        assert_eq!(code, Some(1));
        assert_eq!(stderr, "twinwire-server: no user named nobody is logged in\n");
    }
    let (code, stdout, _) = server.control(&["demote", "nobody", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &answer["refused"]["reason"]), (Some(1), &"unknown-user".into()));
    for usage in [&["promote"][..], &["promote", "two words"], &["explode"], &[]] {
        assert_eq!(server.control(usage).0, Some(2), "{usage:?}");
    }
    let (code, stderr) = refusal(&mut command(&["control", "/no/such/socket", "list"]));
    assert_eq!(code, Some(3));
    insta::assert_snapshot!(stderr, @"twinwire-server: no server answers at /no/such/socket: is it running, and with that path for --control?");
    let mode = fs::symlink_metadata(server.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    if nix::unistd::geteuid().is_root() {
        let mut stranger = command(&["control", server.path().to_str().unwrap(), "list"]);
        // If another user cannot run the program at all, there is nothing to see here.
        if let Ok(Output { status, stderr, .. }) = stranger.uid(65_534).gid(65_534).output() {
            assert_eq!(status.code(), Some(4), "{}", String::from_utf8_lossy(&stderr));
        }
    }
}

#[test]
fn life_5_operators_that_send_nonsense_or_nothing_do_no_harm() {
    let server = Operated::start(&[]);
    let mut client = server.login(Transport::Tcp, "alice");
    let answer = |request: &[u8]| {
        let mut stream = UnixStream::connect(server.path()).unwrap();
        // It may close before it has taken everything.
        let _ = stream.write_all(request);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    };
    for nonsense in [&b"explode\n"[..], b"\n", b"\xff\n", b"promote a b\n", b"promote alice", b"list list\n"]
    {
        assert!(answer(nonsense).starts_with(r#"{"refused":{"reason":"bad-request""#), "{nonsense:?}");
    }
    let too_long = answer(&vec![b'x'; 100_000]);
    assert!(too_long.starts_with(r#"{"refused":{"reason":"bad-request""#), "{too_long:?}");
    // More than are served at once, that send half a request, nothing, or read no answer.
    let silent: Vec<_> = (0..12_u8)
        .map(|turn| {
            let mut stream = UnixStream::connect(server.path()).unwrap();
            stream.write_all([&b""[..], b"li", b"list\n"][usize::from(turn % 3)]).unwrap();
            stream
        })
        .collect();
    assert_eq!(client.ask("get alice k"), DENIED, "half a request promotes no user");
    drop(silent);
    assert!(server.done(&["list"]).contains("alice"));
    assert_eq!(client.ask("get k"), KEY_NOT_FOUND);
}

#[test]
fn the_control_socket_of_a_dead_server_is_taken_over_and_a_live_ones_is_not() {
    let mut server = Operated::start(&[]);
    let path = server.path();
    let args = ["--tcp", "127.0.0.1:0", "--control", path.to_str().unwrap()];
    let (code, stderr) = refusal(&mut command(&args));
    assert_eq!(code, Some(1));
    assert_eq!(
        stderr.replace(path.to_str().unwrap(), "PATH"),
        "twinwire-server: the control socket PATH belongs to a server that is running: stop it, or choose another \
         path\n"
    );
    server.done(&["list"]);
    server.program.signal(Signal::SIGKILL);
    server.program.child.wait().unwrap();
    assert!(
        fs::symlink_metadata(&path).unwrap().file_type().is_socket(),
        "the dead server did not remove it"
    );
    let mut second = Program::start(&args);
    second.line();
    server.done(&["list"]);
    second.signal(Signal::SIGTERM);
    assert_eq!(second.end().0, Some(0));
    assert_eq!(
        fs::read_dir(server.folder.path()).unwrap().count(),
        0,
        "an orderly stop leaves nothing behind"
    );
    let (code, ..) = server.control(&["list"]);
    assert_eq!(code, Some(3));
}

#[test]
fn life_5_an_operator_waits_for_one_of_those_that_say_nothing_to_give_way_and_not_for_their_time() {
    const SILENT: usize = 8;
    let server = Operated::start(&[]);
    for round in 0..5 {
        let silent: Vec<_> = (0..SILENT).map(|_| UnixStream::connect(server.path()).unwrap()).collect();
        let mut operator = UnixStream::connect(server.path()).unwrap();
        operator.write_all(b"list\n").unwrap();
        let mut answer = String::new();
        operator.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("{\"users\":"), "{answer}");
        // They came at the same time: by the end of that all of them would be gone.
        let is_there = |mut stream: &UnixStream| {
            stream.set_nonblocking(true).unwrap();
            stream.read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        };
        let left = silent.iter().filter(|stream| is_there(stream)).count();
        assert!(left >= SILENT - 1, "{} gave way to one in round {round}", SILENT - left);
    }
}
