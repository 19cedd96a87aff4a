//! A small server of the protocol over TCP lines, written apart from the real one, that can be made to break one rule.

use crate::support::replies::{
    ALREADY_MANAGER, DENIED, DONE, DUPLICATE_NAME, EXITING, IDLE_TIMEOUT, KEY_NOT_FOUND, SERVER_FULL,
    SUCCESS, UPGRADE_REFUSED, UPGRADED, USER_NOT_FOUND, WRONG_FORMAT,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nothing.
    None,
    /// Every fiftieth read of one's own key returns the value before the last put.
    Stale,
    /// Every fiftieth read of one's own key returns another user's value.
    Foreign,
    /// Every fiftieth read of one's own key returns the value of another key.
    OtherKey,
    /// Every fiftieth read returns a value with its last byte changed.
    Corrupted,
    /// Every fiftieth read of a key that is there says it is not.
    Lost,
    /// Every fiftieth read of another's key by a manager returns the value before the last put.
    StaleToManagers,
    /// Every fiftieth read of another's key by a manager says that there is no such user.
    ForgetsUsers,
    /// Ends the session that sends this request, counted over all, and closes the connection a while later. It may.
    Disconnects(u64),
    /// Ends one session at a command that it does not know, as an operator might at that moment. It may.
    DisconnectsAtUnknown,
    /// Ends one session by the text of an idle time-out that crosses a request. It may.
    TimesOutOnce,
    /// The same, where the text crosses a `q` of a session that has put something. It may.
    TimesOutAtQuit,
    /// For a moment after a session has ended without `q` there is no room for another. It may.
    FullAfterALoss,
    /// Two requests that come in one write are answered in the wrong order, every fiftieth time.
    Swaps,
    /// Logins are answered `welcome`.
    Welcomes,
    /// Guests may read others' keys.
    OpenToGuests,
    /// Every fiftieth read is answered twice.
    Twice,
    /// Malformed commands are answered `done`.
    AcceptsAnything,
    /// `upgrade` is refused.
    RefusesUpgrade,
    /// `q` is answered `bye`.
    Bye,
    /// Connections are taken and never answered.
    Silent,
    /// Answers as it should for this many requests, and then never again.
    HangsAfter(u64),
    /// Every fiftieth read is answered without an end.
    Endless,
    /// Over WebSocket: the handshake's accept key is wrong, every fiftieth time.
    WrongAccept,
    /// Over WebSocket: the handshake uses an extension that was not offered, every fiftieth time.
    Extension,
    /// Over WebSocket: the handshake chooses a subprotocol that was not offered, every fiftieth time.
    Subprotocol,
    /// Over WebSocket: after this many replies on a connection, the next frame is masked (WS-7).
    MasksAfter(usize),
    /// Closes every connection after this many requests in all, and every later one at once.
    DiesAfter(u64),
    /// Takes this many milliseconds for each request of a connection.
    Slow(u64),
    /// A name may be taken twice.
    TakesNamesTwice,
    /// Any login succeeds that is not one word.
    TakesBadLogins,
    /// Names are compared without regard to case.
    NamesIgnoreCase,
    /// What came behind `q` is run and answered.
    RunsWhatFollowsQuit,
    /// A name stays taken after its session has ended.
    KeepsNames,
    /// A user's next session finds what the last one put.
    KeepsStores,
    /// The same, where the last one ended without `q`.
    KeepsStoresOfTheLost,
    /// A manager's next session is one, too.
    KeepsRoles,
    /// Keys are compared without regard to case.
    IgnoresCase,
    /// A value's characters beyond ASCII are replaced.
    AsciiOnly,
    /// White space beyond ASCII separates words.
    SplitsAtWideSpace,
    /// Commands may be in any case.
    AnyCase,
    /// Every blank separates two words, one of which may be empty.
    CountsBlanks,
    /// The first put of a key is the only one that counts.
    NeverReplaces,
    /// A missing key's value is empty.
    EmptyForMissing,
    /// A put is answered `ok`.
    SaysOk,
    /// Each store has the role in it from its beginning.
    HasRoleKey,
    /// The role is what is put under `role`.
    RoleByKey,
    /// All users have one store.
    OneStore,
    /// A four-word put is refused, and writes all the same.
    WritesForOthers,
    /// A four-word put is taken.
    TakesFourWords,
    /// A guest learns that a user does not exist.
    TellsOfAbsentUsers,
    /// A guest may read its own keys by name.
    OpenToOneself,
    /// One upgrade makes every user a manager.
    UpgradesAll,
    /// A second upgrade is granted like the first.
    UpgradesAgain,
    /// For an absent key a manager gets the reply for an absent user.
    MissingIsAbsent,
    /// Closes at an empty message.
    ClosesOnEmpty,
    /// Closes at a command that it does not know.
    ClosesOnUnknown,
    /// Answers `q` by a close alone.
    LeavesWithoutAWord,
    /// Answers `q`, and does not close.
    NeverCloses,
    /// Managers read what was there before the last put, for as long as there is one.
    LagsForManagers,
}

impl Fault {
    /// Every fault that a load alone must find, with the rules of which it may be said to break any. What breaks the
    /// framing or a handshake has tests of its own. What no load can find is left out: limits and time-outs that no document
    /// states (STORE-7, TCP-6, TCP-7), what becomes of bytes that no harness sends under load (TCP-2 to TCP-5, WS-3, WS-4),
    /// a race of two logins (LOGIN-4), and what an operator does (ROLE-9).
    pub const FLEET: [(Self, &'static [&'static str]); 43] = [
        (Self::Welcomes, &["LOGIN-1"]),
        (Self::TakesNamesTwice, &["LOGIN-2"]),
        (Self::TakesBadLogins, &["LOGIN-3", "LOGIN-5"]),
        (Self::NamesIgnoreCase, &["LOGIN-6"]),
        (Self::RunsWhatFollowsQuit, &["LIFE-1"]),
        (Self::KeepsNames, &["LIFE-2", "LIFE-3"]),
        (Self::Stale, &["STORE-3"]),
        (Self::Foreign, &["STORE-5"]),
        (Self::OtherKey, &["STORE-4", "STORE-5"]),
        (Self::Corrupted, &["STORE-4"]),
        (Self::Lost, &["STORE-1"]),
        (Self::IgnoresCase, &["STORE-4"]),
        (Self::AsciiOnly, &["STORE-4"]),
        (Self::NeverReplaces, &["STORE-3"]),
        (Self::EmptyForMissing, &["STORE-2"]),
        (Self::SaysOk, &["STORE-1"]),
        (Self::HasRoleKey, &["STORE-6"]),
        (Self::OneStore, &["STORE-5"]),
        (Self::OpenToGuests, &["ROLE-1", "ROLE-2"]),
        (Self::TellsOfAbsentUsers, &["ROLE-2"]),
        (Self::OpenToOneself, &["ROLE-1", "ROLE-2"]),
        (Self::RoleByKey, &["ROLE-2", "ROLE-5"]),
        (Self::WritesForOthers, &["ROLE-6"]),
        (Self::TakesFourWords, &["ROLE-6"]),
        (Self::UpgradesAll, &["ROLE-1", "ROLE-2", "ROLE-5"]),
        (Self::UpgradesAgain, &["ROLE-4"]),
        (Self::KeepsRoles, &["ROLE-1"]),
        (Self::ForgetsUsers, &["ROLE-3"]),
        (Self::MissingIsAbsent, &["ROLE-3"]),
        (Self::StaleToManagers, &["ATOM-1"]),
        (Self::LagsForManagers, &["ATOM-1"]),
        (Self::AcceptsAnything, &["FORM-1"]),
        (Self::ClosesOnEmpty, &["FORM-1"]),
        (Self::ClosesOnUnknown, &["FORM-1"]),
        (Self::AnyCase, &["FORM-2"]),
        // Puts of values with such a space in them are refused first.
        (Self::SplitsAtWideSpace, &["FORM-2", "STORE-1"]),
        (Self::CountsBlanks, &["FORM-2"]),
        (Self::Swaps, &["FORM-3"]),
        (Self::Twice, &["FORM-3"]),
        (Self::Bye, &["LIFE-1"]),
        (Self::LeavesWithoutAWord, &["LIFE-1"]),
        (Self::NeverCloses, &["LIFE-1"]),
        (Self::KeepsStoresOfTheLost, &["LIFE-2"]),
    ];
}

/// What each user asked, in order.
pub type Log = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

#[derive(Default)]
struct Store {
    now: HashMap<String, String>,
    before: HashMap<String, String>,
}

impl Fault {
    /// The same fault, but every time.
    pub fn always(self) -> Every {
        self.every(1)
    }

    /// The same fault, at every `chances`-th chance.
    pub fn every(self, chances: u64) -> Every {
        Every(self, chances)
    }
}

/// A fault, and in how many chances it shows once.
#[derive(Debug, Clone, Copy)]
pub struct Every(Fault, u64);

/// How often a fault shows.
pub trait Often {
    fn parts(self) -> (Fault, u64);
}

impl Often for Fault {
    fn parts(self) -> (Fault, u64) {
        (self, 50)
    }
}

impl Often for Every {
    fn parts(self) -> (Fault, u64) {
        (self.0, self.1)
    }
}

struct State {
    fault: Fault,
    /// The fault shows once in this many chances.
    every: u64,
    stores: Mutex<HashMap<String, Store>>,
    reads: AtomicU64,
    requests: AtomicU64,
    /// Whether the one session was ended that [`Fault::Disconnects`] and its like end.
    disconnected: AtomicBool,
    /// Until when there is no room for another session, for [`Fault::FullAfterALoss`].
    full_until: Mutex<Instant>,
    /// Names of former managers.
    managers: Mutex<HashSet<String>>,
    log: Option<Log>,
}

impl State {
    /// Whether there is no room for another session, for [`Fault::FullAfterALoss`].
    fn is_full(&self) -> bool {
        Instant::now() < *self.full_until.lock().unwrap()
    }

    /// Whether the fault shows this time.
    fn is_chance(&self) -> bool {
        self.reads.fetch_add(1, Ordering::Relaxed) % self.every == self.every - 1
    }
}

/// Starts it on a free port; it ends with the test.
pub fn start(fault: impl Often) -> SocketAddr {
    listen(state(fault, None), serve_lines)
}

/// A right server over TCP and one over WebSocket, with a log of what was asked of each.
pub fn start_recording() -> [(SocketAddr, Log); 2] {
    let start = |serve: fn(&State, TcpStream)| {
        let log = Log::default();
        (listen(state(Fault::None, Some(log.clone())), serve), log)
    };
    [start(serve_lines), start(serve_frames)]
}

fn serve_lines(state: &State, stream: TcpStream) {
    serve_to_the_end(state, stream, serve);
}

fn serve_frames(state: &State, stream: TcpStream) {
    serve_to_the_end(state, stream, serve_websocket);
}

/// Serves a connection with a function that returns the name that logged in and whether the end came by `q`.
fn serve_to_the_end(
    state: &State,
    stream: TcpStream,
    serve: fn(&State, TcpStream, &mut Option<String>) -> std::io::Result<bool>,
) {
    let mut name = None;
    // A client that sees the close finds the name free (LIFE-3).
    let open = stream.try_clone();
    let quit = serve(state, stream, &mut name).is_ok_and(|quit| quit);
    if state.fault == Fault::FullAfterALoss && !quit && name.is_some() {
        *state.full_until.lock().unwrap() = Instant::now() + Duration::from_millis(100);
    }
    if let Some(name) = name.filter(|_| state.fault != Fault::KeepsNames) {
        let mut stores = state.stores.lock().unwrap();
        let store = stores.remove(&name);
        if state.fault == Fault::KeepsStores || state.fault == Fault::KeepsStoresOfTheLost && !quit {
            stores.extend(store.map(|store| (left_by(&name), store)));
        }
    }
    drop(open);
}

/// The same server over WebSocket. Clients' messages are short and come one frame each.
pub fn start_websocket(fault: impl Often) -> SocketAddr {
    listen(state(fault, None), serve_frames)
}

/// Both transports with one registry: the addresses of TCP and WebSocket.
pub fn start_both(fault: impl Often) -> (SocketAddr, SocketAddr) {
    let state = state(fault, None);
    let tcp = listen(state.clone(), serve_lines);
    (tcp, listen(state, serve_frames))
}

fn state(fault: impl Often, log: Option<Log>) -> Arc<State> {
    let (fault, every) = fault.parts();
    let (reads, requests) = (AtomicU64::new(0), AtomicU64::new(0));
    Arc::new(State {
        fault,
        every,
        stores: Mutex::default(),
        reads,
        requests,
        disconnected: AtomicBool::new(false),
        full_until: Mutex::new(Instant::now()),
        managers: Mutex::default(),
        log,
    })
}

/// Where the store of a former user is kept: no user's name has a space.
fn left_by(name: &str) -> String {
    format!("left by {name}")
}

fn listen(state: Arc<State>, serve: fn(&State, TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = state.clone();
            std::thread::spawn(move || serve(&state, stream));
        }
    });
    address
}

fn serve_websocket(state: &State, stream: TcpStream, name: &mut Option<String>) -> std::io::Result<bool> {
    let mut replies = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    let mut key = String::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((header, value)) = line.split_once(": ")
            && header.eq_ignore_ascii_case("sec-websocket-key")
        {
            value.clone_into(&mut key);
        }
    }
    if state.is_full() {
        replies.write_all(
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        )?;
        return Ok(false);
    }
    let mut fault = state.fault;
    if !matches!(fault, Fault::WrongAccept | Fault::Extension | Fault::Subprotocol) || !state.is_chance() {
        fault = Fault::None;
    }
    if fault == Fault::WrongAccept {
        key.push('x');
    }
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let more = match fault {
        Fault::Extension => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        Fault::Subprotocol => "Sec-WebSocket-Protocol: chat\r\n",
        _ => "",
    };
    write!(
        replies,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{more}\r\n"
    )?;
    let mut manager = false;
    for number in 0.. {
        let message = read_frame(&mut input)?;
        let words: Vec<&str> = message.split_ascii_whitespace().collect();
        let reply = match &*name {
            None if words.len() != 1 => WRONG_FORMAT.to_owned(),
            None if state.stores.lock().unwrap().contains_key(&message) => DUPLICATE_NAME.to_owned(),
            None => {
                state.stores.lock().unwrap().insert(message.clone(), Store::default());
                *name = Some(message.clone());
                SUCCESS.to_owned()
            }
            Some(user) => answer(state, user, &mut manager, &words),
        };
        let masked = matches!(state.fault, Fault::MasksAfter(limit) if number >= limit);
        let mut frame = vec![0x81, reply.len() as u8 | if masked { 0x80 } else { 0 }];
        if masked {
            frame.extend([0; 4]);
        }
        frame.extend(reply.as_bytes());
        replies.write_all(&frame)?;
        if words == ["q"] {
            replies.write_all(&[0x88, 2, 0x03, 0xE8])?;
            return Ok(true);
        }
    }
    Ok(false)
}

fn read_frame(input: &mut impl Read) -> std::io::Result<String> {
    let mut head = [0; 2];
    input.read_exact(&mut head)?;
    if head[0] & 0x0F == 8 {
        return Err(std::io::ErrorKind::ConnectionAborted.into());
    }
    let mut length = usize::from(head[1] & 0x7F);
    if length == 126 {
        let mut long = [0; 2];
        input.read_exact(&mut long)?;
        length = usize::from(u16::from_be_bytes(long));
    }
    let mut mask = [0; 4];
    input.read_exact(&mut mask)?;
    let mut payload = vec![0; length];
    input.read_exact(&mut payload)?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok(String::from_utf8_lossy(&payload).into_owned())
}

/// Serves a connection to its end; whether that came by `q`.
fn serve(state: &State, stream: TcpStream, name: &mut Option<String>) -> std::io::Result<bool> {
    stream.set_nodelay(true)?;
    let mut replies = stream.try_clone()?;
    let mut manager = false;
    let mut input = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        let number = state.requests.fetch_add(1, Ordering::Relaxed);
        match state.fault {
            Fault::Silent => std::thread::sleep(Duration::from_hours(1)),
            Fault::HangsAfter(limit) if number >= limit => std::thread::sleep(Duration::from_hours(1)),
            Fault::DiesAfter(limit) if number >= limit => return Ok(false),
            // After a malformed command a server may not.
            Fault::Disconnects(limit)
                if number >= limit
                    && line.starts_with("get ")
                    && !state.disconnected.swap(true, Ordering::Relaxed) =>
            {
                // The client need not learn why, or at once.
                state.stores.lock().unwrap().remove(name.as_ref().unwrap());
                std::thread::sleep(Duration::from_millis(100));
                return Ok(false);
            }
            _ => {}
        }
        let words = words_of(state, &line);
        let Some(user) = name.clone() else {
            if state.is_full() {
                writeln!(replies, "{SERVER_FULL}")?;
                return Ok(false);
            }
            let mut stores = state.stores.lock().unwrap();
            let reply = match words[..] {
                [_] if state.fault == Fault::Welcomes => "welcome",
                [wanted]
                    if state.fault == Fault::NamesIgnoreCase
                        && stores.keys().any(|name| name.eq_ignore_ascii_case(wanted)) =>
                {
                    DUPLICATE_NAME
                }
                [wanted] if stores.contains_key(wanted) => {
                    if state.fault == Fault::TakesNamesTwice {
                        SUCCESS
                    } else {
                        DUPLICATE_NAME
                    }
                }
                [wanted] => {
                    let store = stores.remove(&left_by(wanted)).unwrap_or_default();
                    stores.insert(wanted.to_owned(), store);
                    *name = Some(wanted.to_owned());
                    manager =
                        state.fault == Fault::KeepsRoles && state.managers.lock().unwrap().contains(wanted);
                    SUCCESS
                }
                _ if state.fault == Fault::TakesBadLogins => SUCCESS,
                _ => WRONG_FORMAT,
            };
            drop(stores);
            writeln!(replies, "{reply}")?;
            continue;
        };
        match (state.fault, &words[..]) {
            (Fault::ClosesOnEmpty, []) | (Fault::LeavesWithoutAWord, ["q"]) => return Ok(false),
            (Fault::ClosesOnUnknown | Fault::DisconnectsAtUnknown, [first, ..])
                if !["put", "get", "upgrade", "q"].contains(&first.to_ascii_lowercase().as_str())
                    && (state.fault == Fault::ClosesOnUnknown
                        || !state.disconnected.swap(true, Ordering::Relaxed)) =>
            {
                return Ok(false);
            }
            // A newcomer that only tries its login is no client of the load.
            (Fault::TimesOutAtQuit, ["q"]) if state.stores.lock().unwrap()[&user].now.is_empty() => {}
            (Fault::TimesOutOnce, ["get", _]) | (Fault::TimesOutAtQuit, ["q"])
                if !state.disconnected.swap(true, Ordering::Relaxed) =>
            {
                writeln!(replies, "{IDLE_TIMEOUT}")?;
                return Ok(false);
            }
            _ => {}
        }
        let mut reply = answer(state, &user, &mut manager, &words);
        if state.fault == Fault::Swaps && input.buffer().contains(&b'\n') && state.is_chance() {
            let mut second = String::new();
            input.read_line(&mut second)?;
            let words: Vec<&str> = second.split_ascii_whitespace().collect();
            reply = format!("{}\n{reply}", answer(state, &user, &mut manager, &words));
        }
        if words == ["q"] && state.fault == Fault::RunsWhatFollowsQuit && input.buffer().contains(&b'\n') {
            let mut next = String::new();
            input.read_line(&mut next)?;
            reply = format!("{reply}\n{}", answer(state, &user, &mut manager, &words_of(state, &next)));
        }
        writeln!(replies, "{reply}")?;
        if words == ["q"] && state.fault != Fault::NeverCloses {
            return Ok(true);
        }
    }
}

fn words_of<'a>(state: &State, line: &'a str) -> Vec<&'a str> {
    match state.fault {
        Fault::SplitsAtWideSpace => line.split_whitespace().collect(),
        Fault::CountsBlanks => line.trim_end_matches('\n').split([' ', '\t']).collect(),
        _ => line.split_ascii_whitespace().collect(),
    }
}

fn answer(state: &State, user: &str, manager: &mut bool, words: &[&str]) -> String {
    if let Some(log) = &state.log {
        log.lock().unwrap().entry(user.to_owned()).or_default().push(words.join(" "));
    }
    if let Fault::Slow(milliseconds) = state.fault {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }
    let lower: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    let mut words: Vec<&str> = words.to_vec();
    if state.fault == Fault::AnyCase && !words.is_empty() {
        words[0] = &lower[0];
    }
    if state.fault == Fault::IgnoresCase && words.len() > 1 {
        let key = if matches!(words[..], ["get", _, _]) { 2 } else { 1 };
        words[key] = &lower[key];
    }
    let mut stores = state.stores.lock().unwrap();
    let user = if state.fault == Fault::OneStore && !matches!(words[..], ["get", _, _]) {
        stores.entry("one store".to_owned()).or_default();
        "one store"
    } else {
        user
    };
    match words[..] {
        ["put", "role", role] if state.fault == Fault::RoleByKey => {
            *manager = role == "manager";
            DONE.to_owned()
        }
        ["put", owner, key, value]
            if matches!(state.fault, Fault::WritesForOthers | Fault::TakesFourWords)
                && stores.contains_key(owner) =>
        {
            stores.get_mut(owner).unwrap().now.insert(key.to_owned(), value.to_owned());
            let taken = state.fault == Fault::TakesFourWords;
            if taken { DONE } else { WRONG_FORMAT }.to_owned()
        }
        ["put", key, _] if state.fault == Fault::NeverReplaces && stores[user].now.contains_key(key) => {
            DONE.to_owned()
        }
        ["put", key, value] => {
            let store = stores.get_mut(user).unwrap();
            let ascii = value.replace(|c: char| !c.is_ascii(), "?");
            let value = if state.fault == Fault::AsciiOnly { &ascii } else { value };
            if let Some(old) = store.now.insert(key.to_owned(), value.to_owned()) {
                store.before.insert(key.to_owned(), old);
            }
            if state.fault == Fault::SaysOk { "ok" } else { DONE }.to_owned()
        }
        ["get", "role"] if state.fault == Fault::HasRoleKey => "guest".to_owned(),
        ["get", key] => own(state, &stores, user, key),
        ["get", other, key] => {
            let everybody = !state.managers.lock().unwrap().is_empty();
            let open = match state.fault {
                Fault::OpenToGuests => true,
                Fault::OpenToOneself => other == user,
                Fault::UpgradesAll => everybody,
                Fault::TellsOfAbsentUsers => !stores.contains_key(other),
                _ => false,
            };
            if !*manager && !open {
                return DENIED.to_owned();
            }
            if state.fault == Fault::ForgetsUsers && state.is_chance() {
                return USER_NOT_FOUND.to_owned();
            }
            let outdated = state.fault == Fault::StaleToManagers && state.is_chance()
                || state.fault == Fault::LagsForManagers;
            match stores.get(other) {
                Some(store) if outdated && store.before.contains_key(key) => store.before[key].clone(),
                Some(store) => store.now.get(key).cloned().unwrap_or_else(|| {
                    let absent = state.fault == Fault::MissingIsAbsent;
                    if absent { USER_NOT_FOUND } else { KEY_NOT_FOUND }.to_owned()
                }),
                None => USER_NOT_FOUND.to_owned(),
            }
        }
        ["upgrade"] if state.fault == Fault::RefusesUpgrade => UPGRADE_REFUSED.to_owned(),
        ["upgrade"] if *manager && state.fault != Fault::UpgradesAgain => ALREADY_MANAGER.to_owned(),
        ["upgrade"] => {
            *manager = true;
            state.managers.lock().unwrap().insert(user.to_owned());
            UPGRADED.to_owned()
        }
        ["q"] if state.fault == Fault::Bye => "bye".to_owned(),
        ["q"] => EXITING.to_owned(),
        _ if state.fault == Fault::AcceptsAnything => DONE.to_owned(),
        _ => WRONG_FORMAT.to_owned(),
    }
}

fn own(state: &State, stores: &HashMap<String, Store>, user: &str, key: &str) -> String {
    let store = &stores[user];
    let Some(right) = store.now.get(key).cloned() else {
        let empty = state.fault == Fault::EmptyForMissing;
        return if empty { "" } else { KEY_NOT_FOUND }.to_owned();
    };
    let own_fault = matches!(
        state.fault,
        Fault::Stale
            | Fault::Foreign
            | Fault::OtherKey
            | Fault::Corrupted
            | Fault::Lost
            | Fault::Twice
            | Fault::Endless
    );
    if !own_fault || !state.is_chance() {
        return right;
    }
    let wrong = match state.fault {
        Fault::Stale => store.before.get(key).cloned(),
        Fault::Foreign => stores
            .iter()
            .find(|(name, _)| *name != user)
            // A role that was put does not say whose it is.
            .and_then(|(_, other)| other.now.iter().find(|(key, _)| *key != "role"))
            .map(|(_, value)| value.clone()),
        Fault::OtherKey => store.now.iter().find(|(other, _)| *other != key).map(|(_, value)| value.clone()),
        Fault::Corrupted => {
            let mut cut = right.clone();
            cut.pop();
            Some(cut + "~")
        }
        Fault::Lost => Some(KEY_NOT_FOUND.to_owned()),
        Fault::Twice => Some(format!("{right}\n{right}")),
        Fault::Endless => Some("x".repeat(17 << 20)),
        _ => None,
    };
    wrong.unwrap_or(right)
}
