//! Entry points for fuzzers, benches and suites that test a part of the server by itself. Not for programs that serve.
//!
//! A fuzz target takes any bytes and panics if a rule is broken. Those in `fuzz/` pass them to libFuzzer;
//! `tests/fuzzing.rs` drives the same functions with proptest and with every input that was ever found to matter.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    ops::ControlFlow,
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::runtime::{Builder, LocalOptions};

use crate::{
    Config,
    config::Timeouts,
    counters::Totals,
    protocol::Status,
    registry::{Peer, Registry, Secret, StoreLimits, UpgradePolicy},
    session::{DelayOutcome, Flow, Session},
    transport::framing::{Codec, Lines, Pause},
};

pub use crate::transport::websocket::{Service, serve_alone};

/// Small, so that short inputs reach it.
const MESSAGE_BYTES_MAX: usize = 256;

/// Far longer than anything here takes, so that only a hang exceeds it.
const TIME_MAX: Duration = Duration::from_secs(20);

/// The handshake of section 1.3 of RFC 6455.
const HANDSHAKE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// `data` is a stream of lines after two bytes: the size of the pieces in which the stream comes, and the number of
/// lines after which there is a pause.
///
/// Checks that the lines are those between line feeds, that nothing unterminated is passed on, and that a line over the
/// limit is passed on once, as the last.
pub fn lines(data: &[u8]) {
    const LINE_BYTES_MAX: usize = 32;
    let [piece, pause_each, stream @ ..] = data else { return };
    let (mut lines, mut found, mut is_over) = (Lines::default(), Vec::new(), false);
    'stream: for piece in stream.chunks(usize::from(*piece).max(1)) {
        let mut fresh = piece;
        loop {
            let ended = lines.feed(fresh, LINE_BYTES_MAX, |line| {
                if line.len() > LINE_BYTES_MAX {
                    return ControlFlow::Break(Pause::End);
                }
                found.push(line.to_vec());
                let is_pause = found.len().is_multiple_of(usize::from(*pause_each).max(1));
                if is_pause { ControlFlow::Break(Pause::Hold) } else { ControlFlow::Continue(()) }
            });
            is_over = ended == ControlFlow::Break(Pause::End);
            if is_over {
                break 'stream;
            }
            if !lines.has_pending() {
                break;
            }
            fresh = b"";
        }
    }
    // The rule in its plainest form.
    let mut expected: Vec<_> = stream
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
        .collect();
    let over = expected.iter().position(|line| line.len() > LINE_BYTES_MAX);
    expected.truncate(over.unwrap_or(expected.len() - 1));
    assert_eq!((found, is_over), (expected, over.is_some()));
}

/// The number of lines in a stream that comes at once, for the bench that counts instructions.
#[must_use]
pub fn count_lines(stream: &[u8]) -> usize {
    let mut count = 0;
    let _ = Lines::default().feed(stream, MESSAGE_BYTES_MAX, |_| {
        count += 1;
        ControlFlow::Continue(())
    });
    count
}

/// Three sessions of one registry handle messages. Of each line of `data` the first byte selects the session and the
/// rest is the message; the very first byte also selects the policy.
///
/// Checks that each message has exactly one reply, that a guest reads nothing of others, that the limits on managers
/// and stores hold, that everything is counted, and that nothing is left when the sessions have gone.
pub fn session(data: &[u8]) {
    let policy = match data.first().map_or(0, |byte| byte % 3) {
        0 => UpgradePolicy::Open,
        1 => UpgradePolicy::Secret(Secret::new("s").expect("one word")),
        _ => UpgradePolicy::Closed,
    };
    let limits = StoreLimits { user_keys_max: 3, user_bytes_max: 64, total_bytes_max: 600 };
    let registry = Arc::new(Registry::new(policy).with_limits(std::num::NonZeroUsize::new(1), limits));
    let counters = Arc::default();
    let new = || Session::new(Arc::clone(&registry), Peer::LOCAL, MESSAGE_BYTES_MAX, Arc::clone(&counters));
    let mut sessions = [new(), new(), new()];
    let mut asked = 0;
    for line in data.split(|byte| *byte == b'\n') {
        let Some((who, message)) = line.split_first() else { continue };
        let at = usize::from(*who) % sessions.len();
        let session = &mut sessions[at];
        let was_manager = is_manager(&registry, session);
        let words = std::str::from_utf8(message).map_or(0, |text| text.split_ascii_whitespace().count());
        let mut replies = Vec::new();
        let flow = session.handle(message, |reply| replies.push(reply.text().to_owned()));
        if let Flow::ContinueAfter { .. } = flow {
            session.finish_delayed(DelayOutcome::Elapsed, |reply| replies.push(reply.text().to_owned()));
        }
        asked += 1;
        let [reply] = replies.as_slice() else { panic!("{} replies to one message", replies.len()) };
        let is_status = Status::ALL.into_iter().any(|status| status.text() == reply);
        assert!(is_status || words == 2 || words == 3 && was_manager, "{reply:?} to {message:?}");
        if flow == Flow::Close {
            assert!(matches!(reply.as_str(), "exiting" | "message too long"), "{reply}");
            assert!(!session.is_logged_in(), "LIFE-3: the name is free before the reply is out");
            *session = new();
        }
        assert!(registry.managers() <= 1, "ROLE-8: the cap");
        assert!(registry.stored_bytes() <= limits.total_bytes_max, "STORE-7");
    }
    let counted: u64 =
        Totals::of(&[Arc::clone(&counters)]).requests.iter().map(|request| request.count).sum();
    assert_eq!(counted, asked);
    drop(sessions);
    assert!(registry.is_empty(), "LIFE-2: no name stays behind");
    assert_eq!((registry.managers(), registry.stored_bytes()), (0, 0), "LIFE-2");
}

fn is_manager(registry: &Registry, session: &Session) -> bool {
    session.name().and_then(|name| registry.find(name, crate::registry::User::is_manager)).unwrap_or(false)
}

/// A client sends `data` to the WebSocket path, over a real socket: after a good handshake, or as it is if the first
/// byte is odd. Then it closes its sending side.
///
/// Checks that the connection ends in order, that what came back is HTTP and whole unmasked frames, and that the
/// replies and the reason of the end are the same however the bytes are cut.
pub fn websocket(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let bytes = if first % 2 == 0 { [HANDSHAKE, rest].concat() } else { rest.to_vec() };
    let whole = conversation(&bytes, bytes.len().max(1));
    let cut = conversation(&bytes, usize::from(first / 2 % 16) + 1);
    assert_eq!(outline(&whole), outline(&cut), "how the bytes are cut changes nothing");
}

/// Sends `bytes` in pieces of this size and returns what the server sent until it closed.
fn conversation(bytes: &[u8], piece: usize) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (server, _) = listener.accept().expect("a client has connected");
    let serving = thread::spawn(move || serve(server));
    client.set_nodelay(true).expect("a live socket");
    client.set_read_timeout(Some(TIME_MAX)).expect("a live socket");
    for piece in bytes.chunks(piece) {
        // The server may have closed already.
        if client.write_all(piece).is_err() {
            break;
        }
        thread::yield_now();
    }
    let _ = client.shutdown(Shutdown::Write);
    let mut received = Vec::new();
    client.read_to_end(&mut received).expect("a close in good order, and no reset (TCP-8)");
    drop(client);
    serving.join().expect("the server does not panic");
    received
}

fn serve(stream: TcpStream) {
    let config = Config {
        message_bytes_max: MESSAGE_BYTES_MAX,
        timeouts: Timeouts { login: None, idle: None, unsent: None, ping: None },
        ..Config::on_free_ports(&[])
    };
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.expect("room for a runtime").block_on(async {
        stream.set_nonblocking(true).expect("a live socket");
        let registry = Arc::new(Registry::new(UpgradePolicy::Open));
        let session = Session::new(registry, Peer::LOCAL, MESSAGE_BYTES_MAX, Arc::default());
        serve_alone(stream, Arc::new(config), session).await.expect("a live socket");
    });
}

/// The essence of a server's answer: its HTTP status, its text messages and its close code. Pongs are left out: of
/// several waiting pings only the latest need be answered.
fn outline(received: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>, Option<Vec<u8>>) {
    let Some(end) = memchr::memmem::find(received, b"\r\n\r\n") else {
        assert!(received.is_empty(), "half an HTTP reply");
        return (Vec::new(), Vec::new(), None);
    };
    let (head, mut frames) = received.split_at(end + 4);
    let status = head.get(9..12).expect("an HTTP status line").to_vec();
    let (mut texts, mut close) = (Vec::new(), None);
    if status != b"101" {
        return (status, texts, close);
    }
    while !frames.is_empty() {
        assert!(close.is_none(), "nothing follows a close frame");
        let header = frames.first_chunk::<2>().expect("a whole header");
        let (skip, length) = match header[1] {
            length @ 0..126 => (2, usize::from(length)),
            126 => (4, usize::from(u16::from_be_bytes([frames[2], frames[3]]))),
            other => panic!("a masked frame, or one longer than any reply: {other}"),
        };
        let payload = frames.get(skip..skip + length).expect("a whole frame").to_vec();
        match header[0] {
            0x81 => texts.push(payload),
            0x88 => close = Some(payload),
            0x8a => {}
            other => panic!("a frame that no server sends: {other:#x}"),
        }
        frames = &frames[skip + length..];
    }
    (status, texts, close)
}
