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
use twinwire_floor::{
    roles::Wire,
    server::Door,
    speech::{HANDSHAKE, HEAD_END, UPGRADED, reply, request},
};

/// Loopback addresses that abusers come from, from 127.0.0.2 on. One address has some 28,000 ports, and the system
/// looks for a free one for ever longer as they run out.
const SOURCES: usize = 20;

/// Far longer than any reply may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Where the server listens, over TCP and over WebSocket.
pub type Doors = [Door; 2];

/// A connection over either transport.
pub struct Peer {
    pub stream: TcpStream,
    pub wire: Wire,
}

impl Peer {
    /// Connects as number `number`, which decides on transport and source; a WebSocket is opened as well.
    pub async fn open(doors: Doors, number: usize) -> anyhow::Result<Self> {
        let mut peer = Self::open_over(doors[number % 2], number).await?;
        if peer.wire == Wire::WebSocket {
            peer.stream.write_all(HANDSHAKE).await?;
            let head = peer.read_until(HEAD_END).await?;
            ensure!(head.starts_with(UPGRADED), "{}", String::from_utf8_lossy(&head));
        }
        Ok(peer)
    }

    /// Connects to a listener and says nothing.
    pub async fn open_over(door: Door, number: usize) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        let source = Ipv4Addr::new(127, 0, 0, 2 + (number % SOURCES) as u8);
        socket.bind(SocketAddr::from((source, 0))).context("no free port")?;
        let stream = socket.connect(door.address).await?;
        stream.set_nodelay(true)?;
        // Closed by a reset, so that no port is kept from the next window's connections.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        Ok(Self { stream, wire: door.wire })
    }

    /// As [`Self::open`], and logged in.
    pub async fn login(doors: Doors, number: usize, name: &str) -> anyhow::Result<Self> {
        let mut peer = Self::open(doors, number).await?;
        peer.ask(name, "success").await?;
        Ok(peer)
    }

    /// Sends one message, which must be answered by this.
    pub async fn ask(&mut self, text: &str, expected: &str) -> anyhow::Result<()> {
        self.stream.write_all(&request(self.wire, text)).await?;
        self.expect(expected).await.with_context(|| format!("after `{text:.40}`"))
    }

    /// The next reply must be this.
    pub async fn expect(&mut self, expected: &str) -> anyhow::Result<()> {
        let expected = reply(self.wire, expected);
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
