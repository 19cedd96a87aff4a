//! One connection of an abuser, with bytes of its own making.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, ensure};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// Loopback addresses that abusers come from, from 127.0.0.2 on. One address has some 28,000 ports, and the system
/// looks for a free one for ever longer as they run out.
const SOURCES: usize = 20;

/// Far longer than any reply may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Opens a WebSocket.
pub const HANDSHAKE: &[u8] =
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Where the server listens.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub tcp: SocketAddr,
    pub websocket: SocketAddr,
}

/// A connection over either transport.
pub struct Peer {
    pub stream: TcpStream,
    pub is_websocket: bool,
}

impl Peer {
    /// Connects as number `number`, which decides on transport and source; a WebSocket is opened as well.
    pub async fn open(target: Target, number: usize) -> anyhow::Result<Self> {
        let is_websocket = !number.is_multiple_of(2);
        let mut peer = Self::open_over(target, number, is_websocket).await?;
        if is_websocket {
            peer.stream.write_all(HANDSHAKE).await?;
            let head = peer.read_until(b"\r\n\r\n").await?;
            ensure!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        }
        Ok(peer)
    }

    /// Connects to a listener and says nothing.
    pub async fn open_over(target: Target, number: usize, is_websocket: bool) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        let source = Ipv4Addr::new(127, 0, 0, 2 + (number % SOURCES) as u8);
        socket.bind(SocketAddr::from((source, 0))).context("no free port")?;
        let stream = socket.connect(if is_websocket { target.websocket } else { target.tcp }).await?;
        stream.set_nodelay(true)?;
        // Closed by a reset, so that no port is kept from the next window's connections.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        Ok(Self { stream, is_websocket })
    }

    /// As [`Self::open`], and logged in.
    pub async fn login(target: Target, number: usize, name: &str) -> anyhow::Result<Self> {
        let mut peer = Self::open(target, number).await?;
        peer.ask(name, "success").await?;
        Ok(peer)
    }

    /// Sends one message, which must be answered by this.
    pub async fn ask(&mut self, text: &str, expected: &str) -> anyhow::Result<()> {
        self.stream.write_all(&message(self.is_websocket, text)).await?;
        self.expect(expected).await.with_context(|| format!("after `{text:.40}`"))
    }

    /// The next reply must be this.
    pub async fn expect(&mut self, expected: &str) -> anyhow::Result<()> {
        let expected = reply(self.is_websocket, expected);
        let mut bytes = vec![0; expected.len()];
        let read = timeout(PATIENCE, self.stream.read_exact(&mut bytes)).await;
        read.context("no reply")?.context("closed instead of a reply")?;
        ensure!(bytes == expected, "wrong reply: {}", String::from_utf8_lossy(&bytes));
        Ok(())
    }

    async fn read_until(&mut self, end: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end) {
            let byte = timeout(PATIENCE, self.stream.read_u8()).await;
            bytes.push(byte.context("no reply")?.context("closed instead of a reply")?);
        }
        Ok(bytes)
    }
}

/// The bytes of one request. A client's frames are masked; a mask of zeros leaves the text as it is.
pub fn message(is_websocket: bool, text: &str) -> Vec<u8> {
    if is_websocket { framed(0x80, &[0; 4], text) } else { format!("{text}\n").into_bytes() }
}

/// The bytes of one reply.
pub fn reply(is_websocket: bool, text: &str) -> Vec<u8> {
    if is_websocket { framed(0, &[], text) } else { format!("{text}\n").into_bytes() }
}

fn framed(mask_bit: u8, mask: &[u8], text: &str) -> Vec<u8> {
    let mut bytes = vec![0x81];
    match text.len() {
        length @ 0..=125 => bytes.push(mask_bit | length as u8),
        length => {
            bytes.push(mask_bit | 0x7e);
            bytes.extend((length as u16).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(text.as_bytes());
    bytes
}
