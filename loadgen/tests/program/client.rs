//! `twinwire-client` as people and scripts use it: the real binary against the reference server in this process.

mod output;
mod terminal;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use crate::support::replies::{
    ALREADY_MANAGER, DENIED, DONE, IDLE_TIMEOUT, KEY_NOT_FOUND, SERVER_FULL, SUCCESS, UPGRADE_REFUSED,
    UPGRADED, USER_NOT_FOUND, WRONG_FORMAT,
};
use twinwire_server::Transport;
use twinwire_server::registry::{Secret, UpgradePolicy};
use twinwire_server::{Config, Server, Shutdown};

/// Each transport with the flag that chooses it.
const TRANSPORTS: [(Transport, &[&str]); 3] =
    [(Transport::Tcp, &[]), (Transport::TcpRaw, &["--raw"]), (Transport::WebSocket, &["--ws"])];

/// A server that stops when it is dropped.
struct TestServer {
    addresses: Vec<(Transport, SocketAddr)>,
    shutdown: Shutdown,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
    fn start() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::on_free_ports(&TRANSPORTS.map(|(transport, _)| transport));
        change(&mut config);
        let server = Server::bind(config).unwrap();
        let addresses = server.addresses().iter().map(|at| (at.transport, at.address)).collect();
        let shutdown = Shutdown::new();
        let until = shutdown.clone();
        let thread = std::thread::spawn(move || server.run(&until).unwrap());
        Self { addresses, shutdown, thread: Some(thread) }
    }

    fn port(&self, transport: Transport) -> u16 {
        self.addresses.iter().find(|(served, _)| *served == transport).unwrap().1.port()
    }

    /// The client's command over TCP.
    fn client(&self, arguments: &[&str]) -> Command {
        client(self.port(Transport::Tcp), arguments)
    }

    /// A session over TCP with bytes of our own, logged in.
    fn login(&self, name: &str) -> BufReader<TcpStream> {
        let mut stream =
            BufReader::new(TcpStream::connect(("127.0.0.1", self.port(Transport::Tcp))).unwrap());
        assert_eq!(ask(&mut stream, name), SUCCESS);
        stream
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shutdown.trigger();
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking());
        }
    }
}

fn ask(stream: &mut BufReader<TcpStream>, message: &str) -> String {
    stream.get_mut().write_all(format!("{message}\n").as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_line(&mut reply).unwrap();
    reply.trim_end().to_owned()
}

fn client(port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinwire-client"));
    command.args(["127.0.0.1", &port.to_string()]).args(arguments).stdin(Stdio::null());
    command.env_remove("TWINWIRE_UPGRADE_SECRET");
    command
}

/// Standard output's lines and the exit code; standard error must be empty where that is 0.
fn lines(output: &Output) -> (Vec<&str>, i32) {
    let code = output.status.code().unwrap();
    assert!(code != 0 || output.stderr.is_empty(), "{}", stderr(output));
    (std::str::from_utf8(&output.stdout).unwrap().lines().collect(), code)
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn piped(mut command: Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A client that has already left closes its end.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn one_reply_a_line_over_every_transport() {
    let server = TestServer::start();
    for (transport, flags) in TRANSPORTS {
        let words =
            ["put", "a", "wert-ä", "get", "a", "get", "b", "upgrade", "get", "nobody", "a", "upgrade"];
        let output = client(server.port(transport), &[flags, &words].concat()).output().unwrap();
        let expected = [DONE, "wert-ä", KEY_NOT_FOUND, UPGRADED, USER_NOT_FOUND, ALREADY_MANAGER];
        assert_eq!(lines(&output), (expected.to_vec(), 0), "{transport}");
    }
}

#[test]
fn values_come_back_whole_over_every_transport() {
    let server = TestServer::start();
    let value = "v".repeat(900);
    for (transport, flags) in TRANSPORTS {
        let words = ["put", "a", &value, "get", "a"];
        let output = client(server.port(transport), &[flags, &words].concat()).output().unwrap();
        assert_eq!(lines(&output), (vec![DONE, value.as_str()], 0), "{transport}");
    }
}

#[test]
fn a_manager_reads_what_another_client_stored_and_a_guest_does_not() {
    let server = TestServer::start();
    let mut alice = server.login("alice");
    assert_eq!(ask(&mut alice, "put k secret-of-alice"), DONE);
    for (transport, flags) in TRANSPORTS {
        let guest =
            client(server.port(transport), &[flags, &["get", "alice", "k"]].concat()).output().unwrap();
        assert_eq!(lines(&guest), (vec![DENIED], 1), "{transport}");
        let words: &[&str] = &["--manager", "get", "alice", "k", "get", "alice", "x"];
        let manager = client(server.port(transport), &[flags, words].concat()).output().unwrap();
        assert_eq!(lines(&manager), (vec!["secret-of-alice", KEY_NOT_FOUND], 0), "{transport}");
    }
}

#[test]
fn a_command_word_as_key_is_one_argument() {
    let server = TestServer::start();
    let output = server.client(&["put get 1", "get get", "put q 2", "get", "q"]).output().unwrap();
    assert_eq!(lines(&output), (vec![DONE, "1", DONE, "2"], 0));
    let wrong = server.client(&["get", "a", "frob it", "get", "b"]).output().unwrap();
    assert_eq!(lines(&wrong), (vec![KEY_NOT_FOUND, WRONG_FORMAT, KEY_NOT_FOUND], 1));
}

#[test]
fn the_name_is_free_again_when_the_client_has_left() {
    let server = TestServer::start();
    for (transport, flags) in TRANSPORTS.repeat(3) {
        let words = ["--user", "bob", "get", "a", "put", "a", "1"];
        let output = client(server.port(transport), &[flags, &words].concat()).output().unwrap();
        assert_eq!(lines(&output), (vec![KEY_NOT_FOUND, DONE], 0), "{transport}");
    }
}

#[test]
fn exit_1_for_a_taken_or_impossible_name() {
    let server = TestServer::start();
    let _alice = server.login("alice");
    let taken = server.client(&["--user", "alice", "get", "a"]).output().unwrap();
    assert_eq!(lines(&taken), (vec![], 1));
    assert!(stderr(&taken).contains("`alice` is taken"), "{}", stderr(&taken));
    let two_words = server.client(&["--user", "a b", "get", "a"]).output().unwrap();
    assert_eq!(lines(&two_words), (vec![], 1));
    assert!(stderr(&two_words).contains("does not accept `a b` as a user name"), "{}", stderr(&two_words));
}

#[test]
fn exit_1_where_the_server_grants_no_manager() {
    let server = TestServer::with(|config| config.upgrade = UpgradePolicy::Closed);
    let output = server.client(&["--manager", "get", "a"]).output().unwrap();
    assert_eq!(lines(&output), (vec![], 1));
    assert!(stderr(&output).contains(UPGRADE_REFUSED), "{}", stderr(&output));
    let output = server.client(&["upgrade", "get", "a"]).output().unwrap();
    assert_eq!(lines(&output), (vec![UPGRADE_REFUSED, KEY_NOT_FOUND], 1));
}

#[test]
fn the_secret_comes_from_a_file_or_the_environment_and_never_from_arguments() {
    let server =
        TestServer::with(|config| config.upgrade = UpgradePolicy::Secret(Secret::new("sesame").unwrap()));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "sesame\n").unwrap();
    let path = file.path().to_str().unwrap();
    let output = server.client(&["--secret-file", path, "--manager", "upgrade"]).output().unwrap();
    assert_eq!(lines(&output), (vec![ALREADY_MANAGER], 0));
    let output = server.client(&["upgrade"]).env("TWINWIRE_UPGRADE_SECRET", "sesame").output().unwrap();
    assert_eq!(lines(&output), (vec![UPGRADED], 0));
    assert_eq!(lines(&server.client(&["upgrade"]).output().unwrap()), (vec![UPGRADE_REFUSED], 1));
    let shown = server.client(&["upgrade", "sesame"]).output().unwrap();
    assert_eq!(lines(&shown), (vec![], 2));
    assert!(!stderr(&shown).contains("sesame"), "{}", stderr(&shown));
    assert_eq!(lines(&piped(server.client(&[]), "upgrade sesame\n")), (vec![UPGRADED], 0));
}

#[test]
fn exit_2_for_wrong_usage_before_anything_is_sent() {
    // Nobody listens there: whatever asked first would exit with 3.
    let port = free_port();
    for (arguments, said) in [
        (&["put", "a"] as &[&str], "`put` needs a value"),
        (&["get", "a", "put", "b", "get", "c"], "`put` needs a value"),
        (&["get", "get"], "'get get'"),
        (&["frob"], "`frob` is not a command"),
        (&["get", "a", "b", "c"], "`c` is one word too many"),
        (&["get", ""], "an empty argument"),
        (&["put", "a", "hello world"], "`hello world` cannot be a value of `put`"),
        (&["get", "a", "--ws"], "options come before the commands"),
        (&["--ws", "--raw", "get", "a"], "cannot be used with"),
        (&["--timeout", "5", "get", "a"], "number with its unit"),
        (&["--secret-file", "/nonexistent/secret", "upgrade"], "cannot read the secret"),
    ] {
        let output = client(port, arguments).output().unwrap();
        assert_eq!(lines(&output), (vec![], 2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("\\n"), "{arguments:?}: {}", stderr(&output));
    }
    for (arguments, said) in [
        (&[] as &[&str], "Usage"),
        (&["h:1601", "get", "a"], "two words: h 1601"),
        (&["h", "get"], "1 to 65535"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_twinwire-client")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(said), "{arguments:?}: {}", stderr(&output));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn exit_3_where_nobody_listens_or_it_is_no_websocket() {
    for flags in [&[] as &[&str], &["--raw"], &["--ws"]] {
        let output = client(free_port(), &[flags, &["get", "a"]].concat()).output().unwrap();
        assert_eq!(lines(&output), (vec![], 3));
        assert!(stderr(&output).contains("cannot connect"), "{}", stderr(&output));
    }
    let full = TestServer::with(|config| config.connections_max = NonZeroUsize::new(1));
    let _only = full.login("alice");
    let output = client(full.port(Transport::WebSocket), &["--ws", "get", "a"]).output().unwrap();
    assert_eq!(lines(&output), (vec![], 3));
    assert!(stderr(&output).contains("HTTP 503"), "{}", stderr(&output));
    let output = full.client(&["get", "a"]).output().unwrap();
    assert_eq!(lines(&output), (vec![], 1), "{}", stderr(&output));
    assert!(stderr(&output).contains(SERVER_FULL), "{}", stderr(&output));
}

/// A server that answers these lines and nothing more, and then closes or not.
fn scripted(replies: &'static [&'static str], closes: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        for reply in replies {
            stream.read_line(&mut String::new()).unwrap();
            stream.get_mut().write_all(reply.as_bytes()).unwrap();
        }
        if !closes {
            // Ends with the client.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    port
}

#[test]
fn exit_3_where_the_server_hangs_or_goes_and_what_came_before_is_printed() {
    let silent = client(scripted(&[], false), &["--timeout", "200ms", "get", "a"]).output().unwrap();
    assert_eq!(lines(&silent), (vec![], 3));
    assert!(stderr(&silent).contains("no reply within 200ms"), "{}", stderr(&silent));
    assert!(stderr(&silent).contains("try --ws or --raw"), "{}", stderr(&silent));
    let raw = client(scripted(&[], false), &["--raw", "--timeout", "200ms", "get", "a"]).output().unwrap();
    assert!(stderr(&raw).contains("try without --raw, or --ws"), "{}", stderr(&raw));
    let later =
        client(scripted(&["success\n"], false), &["--timeout", "200ms", "get", "a"]).output().unwrap();
    assert_eq!(stderr(&later), "twinwire-client: no reply within 200ms: the server hangs\n");
    let port = scripted(&["success\n", "one\n"], true);
    let gone = client(port, &["get", "a", "get", "b"]).output().unwrap();
    assert_eq!(lines(&gone), (vec!["one"], 3), "{}", stderr(&gone));
    let port = scripted(&["success\n", "idle timeout\n"], true);
    let idle = client(port, &["get", "a"]).output().unwrap();
    assert_eq!(lines(&idle), (vec![], 3));
    assert!(stderr(&idle).contains(IDLE_TIMEOUT), "{}", stderr(&idle));
}

#[test]
fn a_missing_goodbye_is_no_failure() {
    let port = scripted(&["success\n", "one\n"], true);
    assert_eq!(lines(&client(port, &["get", "a"]).output().unwrap()), (vec!["one"], 0));
}

#[test]
fn lines_from_a_pipe_may_hold_several_commands() {
    let server = TestServer::start();
    for (transport, flags) in TRANSPORTS {
        let input = "put a 1 get a upgrade\n\n  get nobody a \r\nput \"x y\" 'put get 5'\n'put get 5' get b 'get get'\nq\nget a\n";
        let output = piped(client(server.port(transport), flags), input);
        let (out, code) = lines(&output);
        let expected = [DONE, "1", UPGRADED, USER_NOT_FOUND, DONE, KEY_NOT_FOUND, "5"];
        assert_eq!((out.as_slice(), code), (&expected[..], 2), "{transport}: {}", stderr(&output));
        assert!(stderr(&output).contains("line 4: `x y` cannot be a key of `put`"), "{}", stderr(&output));
    }
}

#[test]
fn a_pipe_ends_politely_and_tells_refusals_by_its_exit_code() {
    let server = TestServer::start();
    assert_eq!(lines(&piped(server.client(&[]), "")), (vec![], 0));
    assert_eq!(lines(&piped(server.client(&["--user", "bob"]), "get a")), (vec![KEY_NOT_FOUND], 0));
    assert_eq!(
        lines(&piped(server.client(&["--user", "bob"]), "get x y\nget a\n")),
        (vec![DENIED, KEY_NOT_FOUND], 1)
    );
    let output = piped(server.client(&["--manager"]), "help\nget bob k\n");
    let (out, code) = lines(&output);
    assert_eq!((out.last(), code), (Some(&USER_NOT_FOUND), 0));
    assert!(out.len() > 5, "help is shown: {out:?}");
}

#[test]
fn a_server_that_stops_while_nobody_asks_is_told_at_once() {
    for (transport, flags) in TRANSPORTS {
        let server = TestServer::start();
        let mut command = client(server.port(transport), flags);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"get a\n").unwrap();
        let mut reply = [0; "key not found\n".len()];
        child.stdout.as_mut().unwrap().read_exact(&mut reply).unwrap();
        drop(server);
        // The input is still open: only the close can end the client.
        let output = child.wait_with_output().unwrap();
        drop(input);
        assert_eq!(output.status.code(), Some(3), "{transport}: {}", stderr(&output));
        assert!(stderr(&output).contains("closed the connection"), "{transport}: {}", stderr(&output));
    }
}

#[test]
fn help_tells_of_command_words_as_keys_and_of_exit_codes() {
    let output = Command::new(env!("CARGO_BIN_EXE_twinwire-client")).arg("--help").output().unwrap();
    let (out, code) = lines(&output);
    assert_eq!(code, 0);
    for part in ["'get get'", "Exit codes:", "Examples:", "--timeout <DURATION>"] {
        assert!(out.iter().any(|line| line.contains(part)), "{part}");
    }
}

#[test]
fn whoever_has_shaken_hands_is_not_asked_whether_it_should_have() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut socket = tokio_tungstenite::tungstenite::accept(stream).unwrap();
        assert!(socket.read().unwrap().is_text());
        socket.close(None).unwrap();
        while socket.read().is_ok() {}
    });
    let output = client(port, &["--ws", "get", "a"]).output().unwrap();
    server.join().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.contains("the server closed the connection") && !said.contains("--tls"), "{said}");
}

#[test]
fn a_login_that_is_answered_over_http_is_told_so() {
    let output = client(scripted(&["HTTP/1.1 400 Bad Request\r\n"], true), &["get", "a"]).output().unwrap();
    assert_eq!(lines(&output), (vec![], 3));
    assert_eq!(stderr(&output), "twinwire-client: the server speaks HTTP on this port: use --ws\n");
}

#[test]
fn what_a_server_says_cannot_drive_the_terminal_of_whoever_reads_the_error() {
    let output = client(scripted(&["\x1b[2Jgone\n"], true), &["get", "a"]).output().unwrap();
    let said = stderr(&output);
    assert_eq!(said, "twinwire-client: login refused: the server answered `\\u{1b}[2Jgone`\n");
}
