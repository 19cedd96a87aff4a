//! Messages as bytes over either transport, written by hand, and a client that checks each reply.

use std::net::{Ipv4Addr, SocketAddr, TcpStream as StdStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

const HANDSHAKE: &[u8] =
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A close frame with code 1000, from a server and from a client.
const SERVER_CLOSE: &[u8] = b"\x88\x02\x03\xe8";
const CLIENT_CLOSE: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";

/// Far longer than any reply may take.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Wire {
    /// Lines over TCP.
    Tcp,
    /// Text messages over WebSocket.
    WebSocket,
}

impl Wire {
    pub const BOTH: [Self; 2] = [Self::Tcp, Self::WebSocket];

    pub fn name(self) -> &'static str {
        if self == Self::Tcp { "tcp" } else { "websocket" }
    }

    /// The reference server's flags for a listener.
    pub fn listen(self) -> [&'static str; 2] {
        [if self == Self::Tcp { "--tcp" } else { "--ws" }, "127.0.0.1:0"]
    }
}

/// Where a server listens.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Endpoint {
    pub wire: Wire,
    pub address: SocketAddr,
}

/// A message as a client sends it. A mask of zeros is a mask, and leaves the text readable.
pub fn request(wire: Wire, text: &str) -> Vec<u8> {
    message(wire, text, 0x80, &[0; 4])
}

/// A message as a server sends it.
pub fn reply(wire: Wire, text: &str) -> Vec<u8> {
    message(wire, text, 0, &[])
}

/// Of at most 65,535 bytes.
fn message(wire: Wire, text: &str, mask_bit: u8, mask: &[u8]) -> Vec<u8> {
    if wire == Wire::Tcp {
        return format!("{text}\n").into_bytes();
    }
    let length: &[u8] = match text.len() {
        short @ 0..=125 => &[mask_bit | short as u8],
        long => &[&[mask_bit | 0x7e], &(long as u16).to_be_bytes()[..]].concat(),
    };
    [&[0x81], length, mask, text.as_bytes()].concat()
}

/// Whether a server's message is complete; over WebSocket one of at most 125 bytes.
pub fn is_complete(wire: Wire, got: &[u8]) -> bool {
    match (wire, got) {
        (Wire::Tcp, got) => got.ends_with(b"\n"),
        (Wire::WebSocket, [_, length, text @ ..]) => text.len() == usize::from(*length),
        (Wire::WebSocket, _) => false,
    }
}

/// Runs this on a runtime in this thread.
pub fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// A client's connection.
#[derive(Debug)]
pub struct Client {
    pub stream: TcpStream,
    pub wire: Wire,
}

impl Client {
    /// Connects and sends nothing. `source` counts loopback addresses from 127.0.0.1 on: each has some 28,000 ports, and
    /// those of closed connections stay taken for a while.
    pub async fn connect(to: Endpoint, source: u8) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if source > 0 {
            socket.bind((Ipv4Addr::new(127, 0, 0, 1 + source), 0).into()).context("no free port")?;
        }
        let stream = socket.connect(to.address).await.context("the server takes no connection")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, wire: to.wire })
    }

    /// Connects, and opens the WebSocket if it is one.
    pub async fn open(to: Endpoint, source: u8) -> anyhow::Result<Self> {
        let mut client = Self::connect(to, source).await?;
        if client.wire == Wire::WebSocket {
            client.stream.write_all(HANDSHAKE).await?;
            let head = client.read_until(|head| head.ends_with(b"\r\n\r\n")).await?;
            ensure!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        }
        Ok(client)
    }

    pub async fn login(to: Endpoint, source: u8, name: &str) -> anyhow::Result<Self> {
        let mut client = Self::open(to, source).await?;
        client.ask(name, "success").await?;
        Ok(client)
    }

    /// Sends one message, which must be answered by this.
    pub async fn ask(&mut self, text: &str, expected: &str) -> anyhow::Result<()> {
        self.stream.write_all(&request(self.wire, text)).await?;
        self.expect(&reply(self.wire, expected)).await.with_context(|| format!("after `{text:.40}`"))
    }

    /// These bytes must come next.
    pub async fn expect(&mut self, expected: &[u8]) -> anyhow::Result<()> {
        let mut got = vec![0; expected.len()];
        let read = timeout(REPLY_TIMEOUT, self.stream.read_exact(&mut got)).await;
        read.context("no reply")?.context("closed instead of a reply")?;
        ensure!(got == expected, "wrong reply: {}", String::from_utf8_lossy(&got));
        Ok(())
    }

    /// Sends `q` and waits until the server has closed the connection in order.
    pub async fn quit(mut self) -> anyhow::Result<()> {
        self.stream.write_all(&request(self.wire, "q")).await?;
        let mut expected = reply(self.wire, "exiting");
        if self.wire == Wire::WebSocket {
            expected.extend_from_slice(SERVER_CLOSE);
        }
        self.expect(&expected).await.context("after `q`")?;
        if self.wire == Wire::WebSocket {
            self.stream.write_all(CLIENT_CLOSE).await?;
        }
        let read =
            timeout(REPLY_TIMEOUT, self.stream.read(&mut [0])).await.context("no close after `q`")??;
        ensure!(read == 0, "a reply after `exiting`");
        Ok(())
    }

    /// The next message, whatever it is, if nothing follows it.
    pub async fn message(&mut self) -> anyhow::Result<Vec<u8>> {
        let wire = self.wire;
        self.read_until(|got| is_complete(wire, got)).await
    }

    async fn read_until(&mut self, is_all: impl Fn(&[u8]) -> bool) -> anyhow::Result<Vec<u8>> {
        let mut got = Vec::new();
        while !is_all(&got) {
            let read = timeout(REPLY_TIMEOUT, self.stream.read_buf(&mut got)).await.context("no reply")??;
            ensure!(read > 0, "closed instead of a reply");
        }
        Ok(got)
    }

    /// The connection as a stream whose reads block, and fail after [`REPLY_TIMEOUT`].
    pub fn into_blocking(self) -> anyhow::Result<StdStream> {
        let stream = self.stream.into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_lines_over_tcp_and_frames_over_websocket() {
        assert_eq!(request(Wire::Tcp, "get k"), b"get k\n");
        assert_eq!(request(Wire::WebSocket, "get k"), b"\x81\x85\0\0\0\0get k");
        assert_eq!(reply(Wire::WebSocket, "done"), b"\x81\x04done");
        for (length, head) in
            [(125, &b"\x81\x7d"[..]), (126, b"\x81\x7e\0\x7e"), (60_000, b"\x81\x7e\xea\x60")]
        {
            let text = "v".repeat(length);
            assert_eq!(reply(Wire::WebSocket, &text), [head, text.as_bytes()].concat());
        }
    }

    #[test]
    fn a_message_is_complete_at_its_line_feed_or_at_its_stated_length() {
        for wire in Wire::BOTH {
            let message = reply(wire, "done");
            assert!((0..message.len()).all(|cut| !is_complete(wire, &message[..cut])));
            assert!(is_complete(wire, &message));
        }
    }
}
