//! What a client says on each transport and what must come back, as bytes written by hand.

use twinwire_floor::roles::Wire;

const HANDSHAKE: &[u8] =
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// What a WebSocket server answers, up to the end of its head.
const UPGRADED: &[u8] = b"HTTP/1.1 101 ";

/// A close frame with code 1000, from a server and from a client.
const CLOSE: &[u8] = b"\x88\x02\x03\xe8";
const MASKED_CLOSE: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";

/// One thing that a client does, and waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The opening handshake of a WebSocket.
    Handshake,
    /// Its name.
    Login,
    /// A request and its reply.
    Ask(&'static str, &'static str),
    /// `q`.
    Quit,
    /// Nothing but to be closed.
    End,
}

/// Connects and logs in.
pub fn arrival(wire: Wire) -> &'static [Step] {
    match wire {
        Wire::Tcp => &[Step::Login],
        Wire::WebSocket => &[Step::Handshake, Step::Login],
    }
}

/// A whole session that asks nothing.
pub fn visit(wire: Wire) -> &'static [Step] {
    match wire {
        Wire::Tcp => &[Step::Login, Step::Quit, Step::End],
        Wire::WebSocket => &[Step::Handshake, Step::Login, Step::Quit, Step::End],
    }
}

impl Step {
    /// The bytes to send; `name` is the client's.
    pub fn request(self, wire: Wire, name: u64) -> Vec<u8> {
        match self {
            Self::Handshake => HANDSHAKE.to_vec(),
            Self::Login => message(wire, &format!("client-{name}")),
            Self::Ask(request, _) => message(wire, request),
            Self::Quit => message(wire, "q"),
            Self::End if wire == Wire::WebSocket => MASKED_CLOSE.to_vec(),
            Self::End => Vec::new(),
        }
    }

    /// Whether `got` is all that must come; `None` if it is not what must come at all.
    pub fn is_answered(self, wire: Wire, got: &[u8]) -> Option<bool> {
        if self == Self::Handshake {
            let common = UPGRADED.len().min(got.len());
            return (got[..common] == UPGRADED[..common]).then(|| got.ends_with(b"\r\n\r\n"));
        }
        let expected = match self {
            Self::Handshake | Self::End => Vec::new(),
            Self::Login => reply(wire, "success"),
            Self::Ask(_, answer) => reply(wire, answer),
            Self::Quit if wire == Wire::WebSocket => [&*reply(wire, "exiting"), CLOSE].concat(),
            Self::Quit => reply(wire, "exiting"),
        };
        expected.starts_with(got).then_some(got.len() == expected.len())
    }
}

/// A short message as a client sends it. A mask of zeros is a mask, and leaves the text readable.
fn message(wire: Wire, text: &str) -> Vec<u8> {
    match wire {
        Wire::Tcp => format!("{text}\n").into_bytes(),
        Wire::WebSocket => [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat(),
    }
}

/// A short message as a server sends it.
pub fn reply(wire: Wire, text: &str) -> Vec<u8> {
    match wire {
        Wire::Tcp => format!("{text}\n").into_bytes(),
        Wire::WebSocket => [&[0x81, text.len() as u8], text.as_bytes()].concat(),
    }
}
