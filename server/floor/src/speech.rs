//! What a client says on each transport and what must come back, as bytes written by hand.

use std::io::{Read, Write};

use anyhow::{Context, ensure};

use crate::roles::Wire;

/// Opens a WebSocket.
pub const HANDSHAKE: &[u8] =
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// How a WebSocket server's answer begins.
pub const UPGRADED: &[u8] = b"HTTP/1.1 101 ";

/// And how it ends.
pub const HEAD_END: &[u8] = b"\r\n\r\n";

/// Read at once of a reply; the longest is the head of the handshake, some 130 bytes.
const READ_BYTES: usize = 512;

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
#[must_use]
pub fn arrival(wire: Wire) -> &'static [Step] {
    match wire {
        Wire::Tcp => &[Step::Login],
        Wire::WebSocket => &[Step::Handshake, Step::Login],
    }
}

/// A whole session that asks nothing.
#[must_use]
pub fn visit(wire: Wire) -> &'static [Step] {
    match wire {
        Wire::Tcp => &[Step::Login, Step::Quit, Step::End],
        Wire::WebSocket => &[Step::Handshake, Step::Login, Step::Quit, Step::End],
    }
}

impl Step {
    /// The bytes to send; `name` is the client's.
    #[must_use]
    pub fn request(self, wire: Wire, name: u64) -> Vec<u8> {
        match self {
            Self::Handshake => HANDSHAKE.to_vec(),
            Self::Login => request(wire, &format!("client-{name}")),
            Self::Ask(asked, _) => request(wire, asked),
            Self::Quit => request(wire, "q"),
            Self::End if wire == Wire::WebSocket => MASKED_CLOSE.to_vec(),
            Self::End => Vec::new(),
        }
    }

    /// Takes it over a stream that blocks, and makes sure of the reply.
    pub fn take(self, mut stream: impl Read + Write, wire: Wire, name: u64) -> anyhow::Result<()> {
        stream.write_all(&self.request(wire, name))?;
        let mut got = Vec::new();
        loop {
            let mut bytes = [0; READ_BYTES];
            let count = stream.read(&mut bytes).with_context(|| format!("in step {self:?}"))?;
            ensure!((count == 0) == (self == Self::End), "{self:?} was answered by {count} bytes");
            got.extend_from_slice(&bytes[..count]);
            if self.is_answered(wire, &got).with_context(|| format!("{self:?} was refused"))? {
                return Ok(());
            }
        }
    }

    /// Whether `got` is all that must come; `None` if it is not what must come at all.
    #[must_use]
    pub fn is_answered(self, wire: Wire, got: &[u8]) -> Option<bool> {
        if self == Self::Handshake {
            let common = UPGRADED.len().min(got.len());
            return (got[..common] == UPGRADED[..common]).then(|| got.ends_with(HEAD_END));
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

/// A message as a client sends it. A mask of zeros is a mask, and leaves the text readable.
#[must_use]
pub fn request(wire: Wire, text: &str) -> Vec<u8> {
    message(wire, text, 0x80, &[0; 4])
}

/// A message as a server sends it.
#[must_use]
pub fn reply(wire: Wire, text: &str) -> Vec<u8> {
    message(wire, text, 0, &[])
}

/// Whether a server's message has come to its end: a short one over WebSocket, of at most 125 bytes.
#[must_use]
pub fn is_whole(wire: Wire, got: &[u8]) -> bool {
    match (wire, got) {
        (Wire::Tcp, got) => got.ends_with(b"\n"),
        (Wire::WebSocket, [_, length, text @ ..]) => text.len() == usize::from(*length),
        (Wire::WebSocket, _) => false,
    }
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
    fn a_message_is_whole_at_its_line_feed_or_at_the_length_that_it_tells() {
        for wire in Wire::BOTH {
            let message = reply(wire, "done");
            assert!(
                (0..message.len()).all(|cut| !is_whole(wire, &message[..cut])) && is_whole(wire, &message)
            );
        }
    }

    #[test]
    fn a_step_is_answered_by_exactly_its_reply() {
        let ask = Step::Ask("get k", "value");
        let cases =
            [(&b"val"[..], Some(false)), (b"value\n", Some(true)), (b"value\nx", None), (b"vx", None)];
        for (got, answered) in cases {
            assert_eq!(ask.is_answered(Wire::Tcp, got), answered, "{got:?}");
        }
        let upgraded = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
        let cases = [(&upgraded[..5], Some(false)), (upgraded, Some(true)), (b"HTTP/1.1 400 ", None)];
        for (got, answered) in cases {
            assert_eq!(Step::Handshake.is_answered(Wire::WebSocket, got), answered, "{got:?}");
        }
    }
}
