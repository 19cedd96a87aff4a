//! A small server of the protocol with exact delays, over TCP lines and WebSocket, written apart from all others.
//!
//! Each connection has a thread that reads what is there, waits for the instant at which it may answer, and answers
//! everything by one write. Instants are absolute, on the monotonic clock, and count from the server's start. It logs when
//! it read each request and when it wrote the reply, so that a test can judge a harness by what its target saw.

use crate::support::replies::{DENIED, DONE, EXITING, KEY_NOT_FOUND, SUCCESS, WRONG_FORMAT};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// When replies are given.
#[derive(Debug, Clone, Copy)]
pub enum Delay {
    /// So long after the request was read.
    Constant(Duration),
    /// At once, but for the first `stall` of every `period`: what comes then is answered at its end.
    Stalls { period: Duration, stall: Duration },
}

impl Delay {
    /// How long a request that was read `since_start` waits.
    pub fn of(self, since_start: Duration) -> Duration {
        match self {
            Self::Constant(delay) => delay,
            Self::Stalls { period, stall } => {
                let into_period = since_start.as_nanos() % period.as_nanos();
                let into_period = Duration::from_nanos(u64::try_from(into_period).unwrap());
                stall.saturating_sub(into_period)
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Wire {
    Tcp,
    WebSocket,
}

/// One request as the server saw it, since its start.
#[derive(Debug, Clone, Copy)]
pub struct Exchange {
    /// The read that completed the request has returned.
    pub read: Duration,
    /// The reply is about to be written.
    pub written: Duration,
}

/// A running server.
pub struct Exact {
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<Vec<Exchange>>>>,
}

impl Exact {
    /// The exchanges of each connection that has ended, in their order; the handshake does not count.
    pub fn connections(&self) -> Vec<Vec<Exchange>> {
        self.log.lock().unwrap().clone()
    }
}

/// Starts it over TCP on a free port; it ends with the test.
pub fn start_tcp(delay: Delay) -> Exact {
    start(delay, Wire::Tcp)
}

/// Starts it over WebSocket.
pub fn start_websocket(delay: Delay) -> Exact {
    start(delay, Wire::WebSocket)
}

fn start(delay: Delay, wire: Wire) -> Exact {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let begun = Instant::now();
    let log = Arc::new(Mutex::new(Vec::new()));
    let connections = Arc::clone(&log);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connections = Arc::clone(&connections);
            std::thread::spawn(move || {
                let mut exchanges = Vec::new();
                // How a client left does not matter.
                let _ = serve(stream, wire, delay, begun, &mut exchanges);
                connections.lock().unwrap().push(exchanges);
            });
        }
    });
    Exact { address, log }
}

fn serve(
    mut stream: TcpStream,
    wire: Wire,
    delay: Delay,
    begun: Instant,
    exchanges: &mut Vec<Exchange>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::new();
    if matches!(wire, Wire::WebSocket) {
        shake_hands(&mut stream, &mut bytes)?;
    }
    let mut client = Client::default();
    let mut part = [0; 16 * 1024];
    loop {
        let read = begun.elapsed();
        let mut replies = Vec::new();
        let mut requests = 0;
        let mut over = false;
        while let Some(message) = (!over).then(|| cut(wire, &mut bytes)).flatten() {
            let (reply, last) = client.answer(&message);
            frame(wire, &reply, &mut replies);
            over = last;
            requests += 1;
        }
        if requests > 0 {
            std::thread::sleep(delay.of(begun.elapsed()));
            let exchange = Exchange { read, written: begun.elapsed() };
            exchanges.extend(std::iter::repeat_n(exchange, requests));
            stream.write_all(&replies)?;
        }
        let read = if over { 0 } else { stream.read(&mut part)? };
        if read == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&part[..read]);
    }
}

/// Answers the opening handshake; what came after it stays in `bytes`.
fn shake_hands(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    let mut part = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let read = stream.read(&mut part)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&part[..read]);
    };
    let head: Vec<u8> = bytes.drain(..end).collect();
    let head = String::from_utf8_lossy(&head);
    let key = head.lines().filter_map(|line| line.split_once(": "));
    let (_, key) = key.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key")).unwrap();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.trim().as_bytes());
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// Takes the next whole message; a client's frames are short text frames.
fn cut(wire: Wire, bytes: &mut Vec<u8>) -> Option<String> {
    let message: Vec<u8> = match wire {
        Wire::Tcp => {
            let end = bytes.iter().position(|byte| *byte == b'\n')?;
            bytes.drain(..=end).collect()
        }
        Wire::WebSocket => {
            let length = usize::from(*bytes.get(1)? & 0x7F);
            assert!(length < 126, "the tests' messages are short");
            let mask: [u8; 4] = bytes.get(2..6)?.try_into().ok()?;
            bytes.get(..6 + length)?;
            let frame: Vec<u8> = bytes.drain(..6 + length).collect();
            frame[6..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
        }
    };
    Some(String::from_utf8_lossy(&message).trim_end().to_owned())
}

fn frame(wire: Wire, reply: &str, out: &mut Vec<u8>) {
    match wire {
        Wire::Tcp => {
            out.extend_from_slice(reply.as_bytes());
            out.push(b'\n');
        }
        Wire::WebSocket => {
            assert!(reply.len() < 126, "the tests' replies are short");
            out.extend_from_slice(&[0x81, reply.len() as u8]);
            out.extend_from_slice(reply.as_bytes());
        }
    }
}

/// What is known of a client: guests only, which do not see each other.
#[derive(Default)]
struct Client {
    named: bool,
    store: HashMap<String, String>,
}

impl Client {
    /// The reply, and whether it is the last one.
    fn answer(&mut self, message: &str) -> (String, bool) {
        let words: Vec<&str> = message.split_ascii_whitespace().collect();
        let reply = match *words {
            [_] if !self.named => {
                self.named = true;
                SUCCESS
            }
            ["put", key, value] => {
                self.store.insert(key.to_owned(), value.to_owned());
                DONE
            }
            ["get", key] => self.store.get(key).map_or(KEY_NOT_FOUND, String::as_str),
            ["get", _, _] => DENIED,
            ["q"] => return (EXITING.to_owned(), true),
            _ => WRONG_FORMAT,
        };
        (reply.to_owned(), false)
    }
}
