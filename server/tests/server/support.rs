//! A server in this process, and a client that speaks each transport with bytes of its own making.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown as Half, SocketAddr, TcpStream},
    thread::JoinHandle,
    time::Duration,
};

use rustls::ClientConnection;
use twinwire_server::{Config, Server, Shutdown, Tls, Transport};

use crate::certificate::{Certificate, shake_hands};
use crate::replies::{DUPLICATE_NAME, SUCCESS};

/// Far longer than anything here takes, so that only a hang trips it.
pub(crate) const CLIENT_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) const ALL: [Transport; 5] = Transport::ALL;

/// Those that need no certificate.
pub(crate) const PLAIN: [Transport; 3] = [Transport::Tcp, Transport::TcpRaw, Transport::WebSocket];

/// Those on which many messages can be on their way at once.
pub(crate) const PIPELINED: [Transport; 4] =
    [Transport::Tcp, Transport::WebSocket, Transport::Tls, Transport::Wss];

pub(crate) const HANDSHAKE: &str = "GET /any/path HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A server that stops when it is dropped.
pub(crate) struct TestServer {
    addresses: Vec<(Transport, SocketAddr)>,
    pub(crate) shutdown: Shutdown,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::on_free_ports(&Transport::ALL);
        let certificate = Certificate::shared();
        config.tls = Some(Tls::load(certificate.cert(), certificate.key()).unwrap());
        change(&mut config);
        let server = Server::bind(config).expect("free ports");
        let addresses = server.addresses().iter().map(|at| (at.transport, at.address)).collect();
        let shutdown = Shutdown::new();
        let handle = shutdown.clone();
        let thread = std::thread::spawn(move || server.run(&handle).expect("an orderly stop"));
        Self { addresses, shutdown, thread: Some(thread) }
    }

    pub(crate) fn address(&self, transport: Transport) -> SocketAddr {
        self.addresses.iter().find(|(served, _)| *served == transport).expect("a listener").1
    }

    pub(crate) fn connect(&self, transport: Transport) -> Client {
        Client::connect(transport, self.address(transport))
    }

    pub(crate) fn login(&self, transport: Transport, name: &str) -> Client {
        let mut client = self.connect(transport);
        assert_eq!(client.ask(name), SUCCESS);
        client
    }

    /// Logs in as soon as the name is free.
    pub(crate) fn login_when_free(&self, transport: Transport, name: &str) -> Client {
        let mut client = self.connect(transport);
        loop {
            match client.ask(name).as_str() {
                SUCCESS => return client,
                DUPLICATE_NAME => std::thread::sleep(Duration::from_millis(2)),
                other => panic!("login answered by {other:?}"),
            }
        }
    }

    /// Waits until the server has ended by itself.
    pub(crate) fn join(mut self) {
        self.thread.take().expect("joined once").join().expect("the server does not panic");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shutdown.trigger();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server does not panic");
        }
    }
}

/// One connection.
pub(crate) struct Client {
    pub(crate) transport: Transport,
    /// TCP itself, whatever is spoken over it.
    pub(crate) stream: TcpStream,
    pub(crate) tls: Option<ClientConnection>,
}

impl Client {
    /// Connects; a WebSocket is opened as well, after a TLS handshake where there is to be one.
    pub(crate) fn connect(transport: Transport, address: SocketAddr) -> Self {
        let mut client = Self::connect_bare(transport, address);
        if transport.is_encrypted() {
            client.encrypt(Certificate::shared().client());
        }
        if client.is_websocket() {
            client.open();
        }
        client
    }

    /// Makes the TLS handshake.
    pub(crate) fn encrypt(&mut self, mut tls: ClientConnection) {
        shake_hands(&mut tls, &mut self.stream).expect("a handshake");
        self.tls = Some(tls);
    }

    /// Opens the WebSocket.
    pub(crate) fn open(&mut self) {
        self.write(HANDSHAKE.as_bytes());
        let head = self.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }

    pub(crate) fn is_websocket(&self) -> bool {
        matches!(self.transport, Transport::WebSocket | Transport::Wss)
    }

    pub(crate) fn connect_bare(transport: Transport, address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(CLIENT_TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(CLIENT_TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { transport, stream, tls: None }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).unwrap();
    }

    /// Writes until everything is out or, where that would block and must not, nothing more can be.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.tls {
            None => self.stream.write_all(bytes),
            Some(tls) => {
                let mut stream = rustls::Stream::new(tls, &mut self.stream);
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    /// Writes as much as goes without anything being read: the server stops reading at some point, then so does the
    /// kernel taking.
    pub(crate) fn flood(&mut self, bytes: &[u8]) {
        self.stream.set_nonblocking(true).unwrap();
        let _ = self.try_write(bytes);
        self.stream.set_nonblocking(false).unwrap();
    }

    /// One read, which for TLS ends only with what was announced as the end.
    fn read_once(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.tls {
            None => self.stream.read(bytes),
            Some(tls) => rustls::Stream::new(tls, &mut self.stream).read(bytes),
        }
    }

    /// The bytes of one message on this transport.
    pub(crate) fn message(&self, text: &str) -> Vec<u8> {
        match self.transport {
            Transport::Tcp | Transport::Tls => format!("{text}\n").into_bytes(),
            // RAW-1: the empty message goes as one space.
            Transport::TcpRaw => if text.is_empty() { " " } else { text }.as_bytes().to_vec(),
            Transport::WebSocket | Transport::Wss => frame(0x81, text.as_bytes()),
        }
    }

    pub(crate) fn send(&mut self, text: &str) {
        let message = self.message(text);
        self.write(&message);
    }

    pub(crate) fn ask(&mut self, text: &str) -> String {
        self.send(text);
        self.reply()
    }

    /// The next reply, as text.
    pub(crate) fn reply(&mut self) -> String {
        let bytes = match self.transport {
            Transport::Tcp | Transport::Tls => self.read_until(b"\n"),
            Transport::TcpRaw => {
                let mut bytes = vec![0; 65_536];
                let count = self.read(&mut bytes);
                assert!(count > 0, "closed instead of a reply");
                bytes.truncate(count);
                bytes
            }
            Transport::WebSocket | Transport::Wss => {
                let (first, payload) = self.frame();
                assert_eq!(first, 0x81, "a whole text message: {payload:?}");
                payload
            }
        };
        let text = String::from_utf8(bytes).expect("replies are UTF-8");
        text.strip_suffix('\n').map(str::to_owned).unwrap_or(text)
    }

    /// The next frame: its first byte and its payload, which no server masks (WS-7).
    pub(crate) fn frame(&mut self) -> (u8, Vec<u8>) {
        let [first, second] = self.exactly(2)[..] else { unreachable!() };
        let length = match second {
            0..=125 => usize::from(second),
            126 => usize::from(u16::from_be_bytes(self.exactly(2).try_into().unwrap())),
            127 => usize::try_from(u64::from_be_bytes(self.exactly(8).try_into().unwrap())).unwrap(),
            _ => panic!("a masked frame"),
        };
        (first, self.exactly(length))
    }

    /// Exactly `count` bytes.
    pub(crate) fn exactly(&mut self, count: usize) -> Vec<u8> {
        let bytes = self.try_exactly(count).unwrap_or_default();
        assert_eq!(
            bytes.len(),
            count,
            "{}: closed after {:?}",
            self.transport,
            String::from_utf8_lossy(&bytes)
        );
        bytes
    }

    /// `count` bytes, fewer if the connection is closed within them, `None` if it is closed before the first.
    pub(crate) fn try_exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        let (mut bytes, mut filled) = (vec![0; count], 0);
        while filled < count {
            match self.read(&mut bytes[filled..]) {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        (filled > 0 || count == 0).then_some(bytes)
    }

    /// What one read brings. A read with a time-out is cut short by signals, and not started again for us.
    fn read(&mut self, bytes: &mut [u8]) -> usize {
        loop {
            match self.read_once(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read.unwrap(),
            }
        }
    }

    fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        let (mut bytes, mut byte) = (Vec::new(), [0]);
        while !bytes.ends_with(end) {
            let count = self.read(&mut byte);
            assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
            bytes.push(byte[0]);
        }
        bytes
    }

    /// An HTTP reply's head.
    pub(crate) fn read_head(&mut self) -> String {
        String::from_utf8(self.read_until(b"\r\n\r\n")).unwrap()
    }

    /// Everything up to the close, which must be a clean one: over TLS announced, and then TCP's own.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        if let Some(tls) = &mut self.tls {
            let read = rustls::Stream::new(tls, &mut self.stream).read_to_end(&mut rest);
            read.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&rest)));
            assert_eq!(self.stream.read(&mut [0]).expect("a close, not a reset"), 0, "nothing after the end");
        } else {
            self.stream.read_to_end(&mut rest).expect("a close, not a reset");
        }
        rest
    }

    /// The server closes now: on a WebSocket with `code`, on TCP without another byte.
    pub(crate) fn expect_close(&mut self, code: u16) {
        let expected = match self.transport {
            Transport::WebSocket | Transport::Wss => [&[0x88, 2], code.to_be_bytes().as_slice()].concat(),
            _ => Vec::new(),
        };
        assert_eq!(self.rest(), expected);
    }

    /// Closes the sending side: over TLS by saying so, and not otherwise.
    pub(crate) fn half_close(&mut self) {
        match &mut self.tls {
            None => self.stream.shutdown(Half::Write).unwrap(),
            Some(tls) => {
                tls.send_close_notify();
                rustls::Stream::new(tls, &mut self.stream).flush().unwrap();
            }
        }
    }

    /// Ends the connection by a reset: a socket with unread input that is closed sends one.
    pub(crate) fn reset(self) {
        let socket = socket2::Socket::from(self.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// A frame as a client sends it: masked, its length in as few bytes as it needs.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=65_535 => {
            bytes.push(0xfe);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0xff);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}
