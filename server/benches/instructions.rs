//! What a request costs in instructions: parsing, session and registry, and cutting a stream into lines.
//!
//! `cargo bench -p twinwire-server --bench instructions` counts each case below once, under valgrind's callgrind, in a
//! process of its own. Each case is one request; the batch of lines is counted for each line. Neither making nor dropping
//! what it works on is counted. Compare the counts with an earlier output, `reports/server.txt` for example.
//!
//! Without valgrind it says so, and that is no failure. Without `--bench` (as `cargo test` calls it) each case is run
//! once, uncounted. Either way each result is looked at.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::ensure;
use twinwire_bench_support::instructions::{Case, counted, main as run};
use twinwire_server::{
    fuzzing::count_lines,
    protocol::{MESSAGE_BYTES_MAX, Request},
    registry::{Found, Peer, Registry, UpgradePolicy},
    session::{Flow, Session},
};

/// Users of the registry and keys of each: as many as a load has, so nothing is specially small.
const USERS: usize = 64;
const KEYS: usize = 10;

/// 16 bytes, the harness's smallest value.
const VALUE: &str = "abcdef0123456789";

/// Requests in a batch, half puts and half gets.
const BATCH: usize = 32;

/// Messages and whether they can be parsed.
const MESSAGES: [(&str, &str, bool); 6] = [
    ("put", "put k3 abcdef0123456789", true),
    ("get", "get k3", true),
    ("get_other", "get user7 k3", true),
    ("upgrade", "upgrade", true),
    ("quit", "q", true),
    ("malformed", "put k3", false),
];

/// What a session is when a message comes.
#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Guest,
    Manager,
}

/// Messages through a session, with their replies.
const SESSIONS: [(&str, State, &str, &str); 10] = [
    ("login", State::New, "alice", "success"),
    ("put", State::Guest, "put k3 abcdef0123456789", "done"),
    ("put_new", State::Guest, "put k abcdef0123456789", "done"),
    ("get", State::Guest, "get k3", VALUE),
    ("get_none", State::Guest, "get k", "key not found"),
    ("get_other", State::Manager, "get user7 k3", VALUE),
    ("denied", State::Guest, "get user7 k3", "you are not allowed to access keys of other users"),
    ("upgrade", State::Guest, "upgrade", "upgraded to manager"),
    ("quit", State::Guest, "q", "exiting"),
    ("malformed", State::Guest, "put k3", "wrong message format"),
];

fn main() -> ExitCode {
    let mut cases: Vec<Case> = Vec::new();
    let mut add = |name: String, requests: usize, run: Box<dyn Fn() -> anyhow::Result<()>>| {
        cases.push(Case { name, requests, run });
    };
    for (name, message, is_right) in MESSAGES {
        add(
            format!("parse {name}"),
            1,
            Box::new(move || {
                let request = counted(|| Request::parse(message));
                ensure!(request.is_ok() == is_right, "{request:?}");
                Ok(())
            }),
        );
    }
    for (name, state, message, expected) in SESSIONS {
        add(format!("session {name}"), 1, Box::new(move || session(state, message, expected)));
    }
    for name in ["claim", "release", "look up"] {
        add(format!("registry {name}"), 1, Box::new(move || registry(name)));
    }
    add("cut batch of lines".to_owned(), BATCH, Box::new(cut));
    run("instructions", "instructions: for each request, counted by callgrind", &cases)
}

/// A registry with users, and with room for more so that the table does not grow while it is counted.
fn users() -> (Arc<Registry>, Vec<Session>) {
    let registry = Arc::new(Registry::new(UpgradePolicy::Open));
    drop(
        (0..16 * USERS)
            .map(|number| registry.claim(&format!("gone{number}"), Peer::LOCAL))
            .collect::<Vec<_>>(),
    );
    let users = (0..USERS).map(|number| guest(&registry, &format!("user{number}"))).collect();
    (registry, users)
}

fn new_session(registry: &Arc<Registry>) -> Session {
    Session::new(Arc::clone(registry), Peer::LOCAL, MESSAGE_BYTES_MAX, Arc::default())
}

/// A guest with keys.
fn guest(registry: &Arc<Registry>, name: &str) -> Session {
    let mut session = new_session(registry);
    let puts = (0..KEYS).map(|key| format!("put k{key} {VALUE}"));
    for message in std::iter::once(name.to_owned()).chain(puts) {
        assert_eq!(session.handle(message.as_bytes(), |_| {}), Flow::Continue);
    }
    session
}

/// A message through a session, its reply copied as a transport copies it.
fn session(state: State, message: &str, expected: &str) -> anyhow::Result<()> {
    let (registry, _users) = users();
    let mut session = if state == State::New { new_session(&registry) } else { guest(&registry, "alice") };
    if state == State::Manager {
        let _ = session.handle(b"upgrade", |_| {});
    }
    let mut output = Vec::with_capacity(1024);
    let _ = counted(|| {
        session.handle(message.as_bytes(), |reply| output.extend_from_slice(reply.text().as_bytes()))
    });
    ensure!(output == expected.as_bytes(), "{}", String::from_utf8_lossy(&output));
    Ok(())
}

/// A name claimed or released, or another's key looked up by name, as for a manager.
fn registry(case: &str) -> anyhow::Result<()> {
    let (registry, _users) = users();
    let length = || {
        registry.read("user7", "k3", |found| match found {
            Found::Value(value) => value.len(),
            Found::NoKey | Found::NoUser => 0,
        })
    };
    match case {
        "claim" => {
            let login = counted(|| registry.claim("bob", Peer::LOCAL));
            ensure!(login.is_some() && registry.len() == USERS + 1);
        }
        "release" => {
            let login = registry.claim("bob", Peer::LOCAL);
            counted(|| drop(login));
            ensure!(registry.len() == USERS);
        }
        _ => ensure!(counted(length) == VALUE.len()),
    }
    Ok(())
}

/// A batch as it comes in one segment, cut into lines.
fn cut() -> anyhow::Result<()> {
    let pair = |number: usize| format!("put k{key} {VALUE}\nget k{key}\n", key = number % KEYS);
    let batch: String = (0..BATCH / 2).map(pair).collect();
    ensure!(counted(|| count_lines(batch.as_bytes())) == BATCH);
    Ok(())
}
