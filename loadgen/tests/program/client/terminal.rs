//! The client in a terminal: what is typed ahead or pasted, the terminal at every end, and the history.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{TestServer, client};
use crate::support::replies::KEY_NOT_FOUND;
use crate::support::until;

/// Terminals that can move their cursor, and one that cannot.
const TERMINALS: [&str; 3] = ["xterm-256color", "vt100", "dumb"];

/// Written to a terminal behind all that a client has written there.
const END_MARK: &str = "\x01end\x01";

/// A terminal, its keyboard, and the client.
struct Typist {
    child: Child,
    keys: File,
    terminal: OwnedFd,
    /// All that the terminal has been sent.
    shown: Arc<Mutex<Vec<u8>>>,
    mode_before: Termios,
    home: Arc<tempfile::TempDir>,
}

impl Typist {
    /// Starts the client in a new terminal in which this was typed before.
    fn start(client: Command, name: &str, ahead: &str) -> Self {
        Self::at_home(Arc::new(tempfile::tempdir().unwrap()), client, name, ahead)
    }

    /// With the files that an earlier client has left.
    fn at_home(home: Arc<tempfile::TempDir>, mut client: Command, name: &str, ahead: &str) -> Self {
        let pty = openpty(None, None).unwrap();
        let mode_before = tcgetattr(&pty.slave).unwrap();
        let mut keys = File::from(pty.master);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, all) = (keys.try_clone().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            // An error is the end: the test has dropped the terminal.
            while let Ok(read @ 1..) = screen.read(&mut part) {
                all.lock().unwrap().extend_from_slice(&part[..read]);
            }
        });
        keys.write_all(ahead.as_bytes()).unwrap();
        let stream = || pty.slave.try_clone().unwrap();
        client.stdin(stream()).stdout(stream()).stderr(stream());
        client.env("TERM", name).env("NO_COLOR", "1").env("XDG_STATE_HOME", home.path());
        // A group of its own, so that Ctrl-Z stops the client alone.
        let child = client.process_group(0).spawn().unwrap();
        Self { child, keys, terminal: pty.slave, shown, mode_before, home }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    #[track_caller]
    fn waits_for(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.shown().contains(text) {
            assert!(Instant::now() < deadline, "no `{text}` in {:?}", self.shown());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    fn waits_until_it_edits(&self) {
        let edits = || {
            let flags = tcgetattr(&self.terminal).unwrap().local_flags;
            !flags.intersects(LocalFlags::ICANON | LocalFlags::ISIG)
        };
        until("the client edits a line", edits);
    }

    /// The replies that are shown, by what they begin with.
    fn replies(&self, begin: &str) -> Vec<String> {
        let line = |line: &str| line.trim_end_matches('\r').trim_start_matches("> ").to_owned();
        self.shown().split('\n').map(line).filter(|line| line.starts_with(begin)).collect()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Waits for the client's end, and compares the terminal with what it was.
    #[track_caller]
    fn ends(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(30);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the client does not end: {:?}", self.shown());
            std::thread::sleep(Duration::from_millis(5));
        };
        self.is_restored();
        // What the client wrote last may not have been read here yet; a terminal keeps the order.
        File::from(self.terminal.try_clone().unwrap()).write_all(END_MARK.as_bytes()).unwrap();
        self.waits_for(END_MARK);
        status
    }

    #[track_caller]
    fn is_restored(&self) {
        let after = tcgetattr(&self.terminal).unwrap();
        let flags =
            |mode: &Termios| (mode.input_flags, mode.output_flags, mode.local_flags, mode.control_chars);
        assert_eq!(flags(&after), flags(&self.mode_before));
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server of one client that answers everything, and the lines that it was sent.
fn recorder() -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let lines = std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut lines = Vec::new();
        let mut line = String::new();
        while stream.read_line(&mut line).is_ok_and(|read| read > 0) {
            let reply: &[u8] = if lines.is_empty() { b"success\n" } else { b"done\n" };
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
            if lines.last().is_some_and(|line| line == "q") {
                break;
            }
            stream.get_mut().write_all(reply).unwrap();
        }
        lines
    });
    (port, lines)
}

/// So many commands, and what a server is sent for them.
fn many(number: usize) -> (String, Vec<String>) {
    let commands: Vec<String> = (0..number).map(|number| format!("put key-{number} {number}")).collect();
    let typed = commands.iter().map(|command| format!("{command}\r")).chain(["q\r".to_owned()]).collect();
    (typed, ["bob".to_owned()].into_iter().chain(commands).chain(["q".to_owned()]).collect())
}

#[test]
fn all_that_is_pasted_runs_once_and_in_order_in_every_terminal() {
    // More than one read of the terminal or of the editor takes.
    let (typed, sent) = many(400);
    for terminal in TERMINALS {
        let (port, lines) = recorder();
        let mut typist = Typist::start(client(port, &["--user", "bob"]), terminal, "");
        typist.waits_for("> ");
        typist.types(&typed);
        assert!(typist.ends().success());
        assert_eq!(lines.join().unwrap(), sent, "{terminal}");
    }
}

#[test]
fn all_that_is_typed_before_the_client_begins_runs_once_and_in_order_in_every_terminal() {
    // Under 4,096 bytes: more than that the kernel does not keep for a program that has not begun.
    let (typed, sent) = many(120);
    for terminal in TERMINALS {
        let (port, lines) = recorder();
        let mut typist = Typist::start(client(port, &["--user", "bob"]), terminal, &typed);
        assert!(typist.ends().success());
        assert_eq!(lines.join().unwrap(), sent, "{terminal}");
    }
}

#[test]
fn the_name_that_is_asked_for_may_be_typed_ahead_as_well() {
    for terminal in TERMINALS {
        let (port, lines) = recorder();
        let mut typist = Typist::start(client(port, &[]), terminal, "bob\rget a\rq\r");
        assert!(typist.ends().success(), "{terminal}: {}", typist.shown());
        assert_eq!(lines.join().unwrap(), ["bob", "get a", "q"], "{terminal}");
    }
}

#[test]
fn marks_around_what_is_pasted_change_nothing() {
    let server = TestServer::start();
    for terminal in ["xterm-256color", "vt100"] {
        let mut typist = Typist::start(server.client(&["--user", "bob"]), terminal, "");
        typist.waits_until_it_edits();
        typist.types("\x1b[200~put\ta\tv1\nget a\nput a v2\nget a\x1b[201~\rq\r");
        assert!(typist.ends().success());
        assert_eq!(typist.replies("v"), ["v1", "v2"], "{terminal}");
    }
}

#[test]
fn a_long_line_is_whole() {
    let server = TestServer::start();
    let mut typist = Typist::start(server.client(&["--user", "bob"]), "xterm-256color", "");
    typist.waits_until_it_edits();
    let value = format!("v{}", "x".repeat(900));
    // Three commands on one line make it longer than the kernel's own editing takes.
    typist.types(&format!("{}\rget k4\rq\r", [0, 1, 2, 3, 4].map(|n| format!("put k{n} {value} ")).concat()));
    assert!(typist.ends().success());
    assert_eq!(typist.replies("v"), [value]);
}

#[test]
fn ctrl_c_gives_up_the_line_and_nothing_after_it() {
    let server = TestServer::start();
    let mut typist = Typist::start(server.client(&["--user", "bob"]), "xterm-256color", "");
    typist.waits_until_it_edits();
    typist.types("put a v1\rput a v2\x03get a\rq\r");
    assert!(typist.ends().success());
    assert_eq!(typist.replies("v"), ["v1"]);
}

/// A server that tells each line that it reads and answers it when it is given a reply.
fn puppet() -> (u16, Receiver<String>, Sender<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = channel();
    let (reply, replies) = channel::<&'static str>();
    std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut line = String::new();
        while stream.read_line(&mut line).is_ok_and(|read| read > 0) {
            if tell.send(std::mem::take(&mut line).trim_end().to_owned()).is_err() {
                return;
            }
            let Ok(reply) = replies.recv() else { return };
            let _ = stream.get_mut().write_all(reply.as_bytes());
        }
    });
    (port, told, reply)
}

#[test]
fn what_is_typed_while_a_reply_is_awaited_runs_after_it() {
    for terminal in TERMINALS {
        let (port, told, reply) = puppet();
        let mut typist = Typist::start(client(port, &["--user", "bob"]), terminal, "");
        assert_eq!(told.recv().unwrap(), "bob");
        typist.types("get a\rget b\r");
        reply.send("success\n").unwrap();
        assert_eq!(told.recv().unwrap(), "get a");
        typist.types("get c\r\x04");
        reply.send("one\n").unwrap();
        assert_eq!(told.recv().unwrap(), "get b");
        reply.send("two\n").unwrap();
        assert_eq!(told.recv().unwrap(), "get c");
        reply.send("three\n").unwrap();
        assert_eq!(told.recv().unwrap(), "q", "the end of input was typed ahead");
        reply.send("exiting\n").unwrap();
        drop(reply);
        assert!(typist.ends().success(), "{terminal}");
    }
}

#[test]
fn the_terminal_is_restored_whichever_signal_ends_the_client() {
    let server = TestServer::start();
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGINT] {
        let mut at_prompt = Typist::start(server.client(&["--user", "at-prompt"]), "xterm-256color", "");
        at_prompt.waits_until_it_edits();
        at_prompt.types("get ha");
        at_prompt.waits_for("get ha");
        kill(at_prompt.pid(), signal).unwrap();
        assert_eq!(at_prompt.ends().code(), Some(128 + signal as i32), "{signal} at the prompt");

        let (port, told, _reply) = puppet();
        let mut waiting = Typist::start(client(port, &["--user", "waiting"]), "xterm-256color", "get a\r");
        told.recv().unwrap();
        kill(waiting.pid(), signal).unwrap();
        assert_eq!(waiting.ends().code(), Some(128 + signal as i32), "{signal} while a reply is awaited");

        let mut pasting = Typist::start(server.client(&["--user", "pasting"]), "xterm-256color", "");
        pasting.waits_until_it_edits();
        let lines = "get a\r".repeat(500);
        pasting.types(&lines);
        pasting.waits_for(KEY_NOT_FOUND);
        kill(pasting.pid(), signal).unwrap();
        assert_eq!(pasting.ends().code(), Some(128 + signal as i32), "{signal} amid a paste");
    }
}

#[test]
fn the_terminal_is_restored_when_the_server_has_closed() {
    for terminal in TERMINALS {
        let server = TestServer::start();
        let mut typist = Typist::start(server.client(&["--user", "bob"]), terminal, "");
        typist.waits_for("> ");
        drop(server);
        typist.waits_for("press Enter to leave");
        assert!(typist.shown().contains("the server closed the connection"), "{}", typist.shown());
        typist.types("get a\r");
        assert_eq!(typist.ends().code(), Some(3), "{terminal}");
    }
}

#[test]
fn the_terminal_is_restored_where_there_is_no_server() {
    let mut typist = Typist::start(client(super::free_port(), &[]), "xterm-256color", "");
    assert_eq!(typist.ends().code(), Some(3));
    assert!(typist.shown().contains("cannot connect"));
}

#[test]
fn ctrl_z_gives_the_shell_the_terminal_as_it_was_and_the_client_goes_on() {
    let server = TestServer::start();
    let mut typist = Typist::start(server.client(&["--user", "bob"]), "xterm-256color", "");
    typist.waits_until_it_edits();
    typist.types("put a v1\rget \x1a");
    let stopped = waitpid(typist.pid(), Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert_eq!(stopped, WaitStatus::Stopped(typist.pid(), Signal::SIGTSTP));
    typist.is_restored();
    kill(typist.pid(), Signal::SIGCONT).unwrap();
    typist.types("a\rq\r");
    assert!(typist.ends().success());
    assert_eq!(typist.replies("v"), ["v1"]);
}

fn history(home: &Path) -> std::path::PathBuf {
    home.join("twinwire/client-history")
}

#[test]
fn the_history_lasts_and_holds_no_secret() {
    let server = TestServer::start();
    let mut first = Typist::start(server.client(&["--user", "bob"]), "xterm-256color", "");
    first.waits_until_it_edits();
    first.types("put a v1\rupgrade sesame\rget a upgrade sesame\rget a\r");
    first.waits_for("\nv1");
    // Even this end loses nothing.
    first.waits_until_it_edits();
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let file = history(first.home.path());
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept.ends_with("\nput a v1\nget a\n"), "{kept}");

    let mut second =
        Typist::at_home(Arc::clone(&first.home), server.client(&["--user", "carl"]), "xterm-256color", "");
    second.waits_until_it_edits();
    second.types("\x1b[A\x1b[A\r\x1b[A\x1b[A\rq\r");
    assert!(second.ends().success());
    assert_eq!(second.replies("v"), ["v1"], "{}", second.shown());
}

#[test]
fn the_history_is_bounded() {
    let server = TestServer::start();
    let home = Arc::new(tempfile::tempdir().unwrap());
    std::fs::create_dir(home.path().join("twinwire")).unwrap();
    let old = (0..1500).map(|number| format!("get old-{number}\n")).collect::<Vec<_>>().concat();
    std::fs::write(history(home.path()), format!("#V2\n{old}")).unwrap();
    let mut typist = Typist::at_home(home, server.client(&["--user", "bob"]), "xterm-256color", "");
    typist.waits_until_it_edits();
    typist.types(&format!("get a\rget {}\rq\r", "long".repeat(2000)));
    assert!(typist.ends().success());
    let kept = std::fs::read_to_string(history(typist.home.path())).unwrap();
    assert_eq!(kept.lines().count(), 1 + 1000);
    assert!(kept.ends_with("\nget old-1499\nget a\nq\n"), "{kept}");
}
