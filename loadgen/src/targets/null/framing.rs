//! How bytes become messages and replies become bytes, on each of the three transports.

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::client::Client;

/// Bytes that may wait for the rest of their message: the longest message, with a frame's header or a line end.
const WAITING_BYTES_MAX: usize = 65_536 + 16;

/// How a connection's messages are separated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// One line a message.
    Line,
    /// Whatever one read returns.
    Raw,
    /// WebSocket before its opening handshake.
    Handshake,
    /// WebSocket: one text frame a message, as the harness does not fragment messages.
    Frame,
}

/// The connection ends once all output is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ConnectionOver;

/// One connection: bytes in, bytes out.
#[derive(Debug)]
pub(super) struct Responder {
    framing: Framing,
    client: Client,
    /// The beginning of an incomplete message.
    waiting: Vec<u8>,
}

/// What is in a buffer's beginning.
enum Step {
    /// Nothing whole yet.
    More,
    /// A message, or something else, with its length in bytes.
    Took(usize),
    /// The end.
    Over,
}

impl Responder {
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, client: Client::default(), waiting: Vec::new() }
    }

    /// Takes what one read returned, which it may change, and appends every reply that is due to `out`.
    pub(super) fn take(&mut self, read: &mut [u8], out: &mut Vec<u8>) -> Result<(), ConnectionOver> {
        if self.waiting.is_empty() {
            let used = self.messages(read, out)?;
            self.waiting.extend_from_slice(&read[used..]);
        } else {
            let mut bytes = std::mem::take(&mut self.waiting);
            bytes.extend_from_slice(read);
            let used = self.messages(&mut bytes, out)?;
            bytes.drain(..used);
            self.waiting = bytes;
        }
        if self.waiting.len() > WAITING_BYTES_MAX { Err(ConnectionOver) } else { Ok(()) }
    }

    /// Answers every whole message at the beginning of `bytes`. Returns how many bytes they took.
    fn messages(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> Result<usize, ConnectionOver> {
        let mut used = 0;
        while used < bytes.len() {
            let rest = &mut bytes[used..];
            let step = match self.framing {
                Framing::Line => self.line(rest, out),
                Framing::Raw => self.chunk(rest, out),
                Framing::Handshake => self.handshake(rest, out),
                Framing::Frame => self.frame(rest, out),
            };
            match step {
                Step::More => break,
                Step::Took(length) => used += length,
                Step::Over => return Err(ConnectionOver),
            }
        }
        Ok(used)
    }

    fn line(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Step {
        let Some(end) = memchr::memchr(b'\n', bytes) else { return Step::More };
        let answer = self.client.answer(&bytes[..end]);
        out.extend_from_slice(answer.text);
        out.push(b'\n');
        if answer.last { Step::Over } else { Step::Took(end + 1) }
    }

    fn chunk(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Step {
        let answer = self.client.answer(bytes);
        out.extend_from_slice(answer.text);
        if answer.last { Step::Over } else { Step::Took(bytes.len()) }
    }

    fn handshake(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Step {
        const END: &[u8] = b"\r\n\r\n";
        let Some(end) = bytes.windows(END.len()).position(|four| four == END) else { return Step::More };
        let key = bytes[..end].split(|byte| *byte == b'\n').find_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(colon);
            name.eq_ignore_ascii_case(b"sec-websocket-key").then(|| value[1..].trim_ascii())
        });
        let Some(key) = key else {
            out.extend_from_slice(
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
            return Step::Over;
        };
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: ",
        );
        out.extend_from_slice(derive_accept_key(key).as_bytes());
        out.extend_from_slice(END);
        self.framing = Framing::Frame;
        Step::Took(end + END.len())
    }

    fn frame(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> Step {
        const TEXT: u8 = 0x81;
        const CLOSE: u8 = 0x88;
        const PING: u8 = 0x89;
        const PONG: u8 = 0x8A;
        let Some(Frame { head, payload, length }) = Frame::cut(bytes) else { return Step::More };
        let Some(payload) = payload else {
            close(1002, out);
            return Step::Over;
        };
        match head {
            TEXT => {
                let answer = self.client.answer(payload);
                write_frame(TEXT, answer.text, out);
                if answer.last {
                    close(1000, out);
                    return Step::Over;
                }
            }
            PING => write_frame(PONG, payload, out),
            PONG => {}
            CLOSE => {
                write_frame(CLOSE, payload, out);
                return Step::Over;
            }
            _ => {
                close(1002, out);
                return Step::Over;
            }
        }
        Step::Took(length)
    }
}

/// One whole frame of a client.
struct Frame<'a> {
    /// Its first byte: end, reserved bits, opcode.
    head: u8,
    /// Unmasked; `None` if it was not masked, or is too long.
    payload: Option<&'a [u8]>,
    /// With its header.
    length: usize,
}

impl<'a> Frame<'a> {
    /// The frame at the beginning, once it is complete.
    fn cut(bytes: &'a mut [u8]) -> Option<Self> {
        let (&head, &second) = (bytes.first()?, bytes.get(1)?);
        let (size, at) = match second & 0x7F {
            126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
            127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
            size => (u64::from(size), 2),
        };
        if second & 0x80 == 0 || size > WAITING_BYTES_MAX as u64 {
            return Some(Self { head, payload: None, length: bytes.len() });
        }
        let mask: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        let (from, end) = (at + 4, at + 4 + size as usize);
        let payload = bytes.get_mut(from..end)?;
        for part in payload.chunks_mut(mask.len()) {
            part.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        }
        Some(Self { head, payload: Some(payload), length: end })
    }
}

fn write_frame(head: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(head);
    match payload.len() {
        size @ 0..126 => out.push(size as u8),
        size @ 126..=0xFFFF => {
            out.push(126);
            out.extend_from_slice(&(size as u16).to_be_bytes());
        }
        size => {
            out.push(127);
            out.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

fn close(code: u16, out: &mut Vec<u8>) {
    write_frame(0x88, &code.to_be_bytes(), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] =
        b"GET / HTTP/1.1\r\nHost: x\r\nsec-websocket-key:  dGhlIHNhbXBsZSBub25jZQ== \r\n\r\n";

    /// All that is written when the bytes come in these parts, and whether the connection is over.
    fn exchange(framing: Framing, parts: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut responder = Responder::new(framing);
        let mut out = Vec::new();
        let over = parts.iter().any(|part| responder.take(&mut part.to_vec(), &mut out).is_err());
        (out, over)
    }

    /// A masked text frame, its mask four times 1.
    fn text(message: &str) -> Vec<u8> {
        let mut frame = vec![0x81, 0x80 | message.len() as u8, 1, 1, 1, 1];
        frame.extend(message.bytes().map(|byte| byte ^ 1));
        frame
    }

    #[test]
    fn lines_are_answered_by_lines_however_they_are_cut() {
        let bytes = b"alice\nput k0 v\r\nget k0\n";
        let whole = exchange(Framing::Line, &[bytes]);
        assert_eq!(whole, (b"success\ndone\nv\n".to_vec(), false));
        for cut in 0..bytes.len() {
            assert_eq!(exchange(Framing::Line, &[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn nothing_after_q_is_answered() {
        assert_eq!(exchange(Framing::Line, &[b"alice\nq\nget k0\n"]), (b"success\nexiting\n".to_vec(), true));
    }

    #[test]
    fn each_chunk_is_a_message_without_an_end() {
        let parts: [&[u8]; 3] = [b"alice", b"put k0 v", b"get k0"];
        assert_eq!(exchange(Framing::Raw, &parts), (b"successdonev".to_vec(), false));
    }

    #[test]
    fn a_handshake_gets_the_accept_key_of_rfc_6455_and_frames_their_answers() {
        let bytes = [REQUEST, &text("alice"), &text("put k0 v"), &text("q")].concat();
        let (out, over) = exchange(Framing::Handshake, &[&bytes]);
        let (head, frames) = out.split_at(out.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4);
        assert!(String::from_utf8_lossy(head).contains("Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert_eq!(frames, b"\x81\x07success\x81\x04done\x81\x07exiting\x88\x02\x03\xe8");
        assert!(over);
        for cut in 0..bytes.len() {
            assert_eq!(exchange(Framing::Handshake, &[&bytes[..cut], &bytes[cut..]]).0, out, "cut at {cut}");
        }
    }

    #[test]
    fn a_handshake_without_a_key_is_refused() {
        let (out, over) = exchange(Framing::Handshake, &[b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"]);
        assert!(out.starts_with(b"HTTP/1.1 400 ") && over);
    }

    #[test]
    fn pings_get_their_payload_and_closes_an_echo() {
        assert_eq!(exchange(Framing::Frame, &[b"\x89\x82\0\0\0\0hi"]), (b"\x8a\x02hi".to_vec(), false));
        assert_eq!(
            exchange(Framing::Frame, &[b"\x88\x82\0\0\0\0\x03\xe8"]),
            (b"\x88\x02\x03\xe8".to_vec(), true)
        );
    }

    #[test]
    fn frames_that_are_unmasked_cut_or_endless_end_the_connection() {
        let endless: &[u8] = b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0";
        for wrong in [&b"\x81\x02hi"[..], b"\x01\x82\0\0\0\0hi", endless] {
            assert_eq!(exchange(Framing::Frame, &[wrong]), (b"\x88\x02\x03\xea".to_vec(), true));
        }
    }

    #[test]
    fn lengths_take_as_many_bytes_as_they_need() {
        let header = |size: usize| {
            let mut out = Vec::new();
            write_frame(0x81, &vec![b'x'; size], &mut out);
            out.truncate(out.len() - size);
            out
        };
        assert_eq!(header(125), [0x81, 125]);
        assert_eq!(header(126), [0x81, 126, 0, 126]);
        assert_eq!(header(65_535), [0x81, 126, 255, 255]);
        assert_eq!(header(65_536), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_message_without_an_end_is_not_kept_for_ever() {
        let part = vec![b'x'; 40_000];
        assert_eq!(exchange(Framing::Line, &[&part]), (Vec::new(), false));
        assert_eq!(exchange(Framing::Line, &[&part, &part]), (Vec::new(), true));
    }
}
