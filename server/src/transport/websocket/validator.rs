//! Checks frame headers as they arrive and stops a stream at the first one that breaks the rules.
//!
//! The WebSocket library judges a frame only once all of it has come, accepts some faults and does not say which close
//! code fits. This checks headers alone: payloads, UTF-8 and the contents of close frames stay with the library, except
//! for one close code that it does not know. Rules and numbers: RFC 6455 section 5.2; close codes: section 7.4.1 and
//! IANA's WebSocket Close Code Number Registry.

use tokio_tungstenite::tungstenite::{
    Utf8Bytes,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

pub(super) const CONTROL_BYTES_MAX: u64 = 125;

/// Two bytes, and up to eight more of length. The mask is counted with the payload.
const HEADER_BYTES_MAX: usize = 10;

const CLOSE: u8 = 8;

const MASK_BYTES: usize = 4;

/// Bad gateway: registered by IANA after the RFC. The library takes it for a fault.
const BAD_GATEWAY: u16 = 1014;

/// The position in a client's stream of frames.
#[derive(Debug)]
pub(super) struct FrameValidator {
    message_bytes_max: u64,
    takes_binary: bool,
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    /// The bytes of the mask and the payload that are still to come.
    body_left: u64,
    /// The bytes of a fragmented message so far, while it is unfinished.
    message: Option<u64>,
    /// What has come of a close frame's mask and payload, while it is unfinished.
    close: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// At a header that breaks the rules.
    Fault(Fault),
    /// At the last byte of a close frame that is to be answered with `echo`.
    Closed { offset: usize, echo: CloseFrame },
}

/// A header that breaks the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where the byte is that shows it. The library must not see the stream from here on.
    pub(super) offset: usize,
    /// For the close frame.
    pub(super) code: CloseCode,
}

impl FrameValidator {
    /// A validator at the beginning of a stream whose messages may have this many bytes.
    pub(super) fn new(message_bytes_max: usize) -> Self {
        let message_bytes_max = message_bytes_max as u64;
        Self {
            message_bytes_max,
            takes_binary: false,
            header: [0; HEADER_BYTES_MAX],
            header_len: 0,
            body_left: 0,
            message: None,
            close: None,
        }
    }

    /// Lets binary messages through or not, as they are not by default.
    pub(super) fn taking_binary(self, takes_binary: bool) -> Self {
        Self { takes_binary, ..self }
    }

    /// Whether no frame or message is incomplete.
    pub(super) fn is_between_messages(&self) -> bool {
        self.header_len == 0 && self.body_left == 0 && self.message.is_none()
    }

    /// Checks `bytes`, which follow those of the last call, and returns how many headers end in them.
    pub(super) fn inspect(&mut self, bytes: &[u8]) -> Result<usize, Stop> {
        let (mut offset, mut headers) = (0, 0);
        while offset < bytes.len() {
            if self.body_left > 0 {
                let skipped = self.body_left.min((bytes.len() - offset) as u64);
                self.body_left -= skipped;
                let body = &bytes[offset..offset + skipped as usize];
                offset += body.len();
                if let Some(echo) = self.close(body) {
                    return Err(Stop::Closed { offset: offset - 1, echo });
                }
                continue;
            }
            self.header[self.header_len] = bytes[offset];
            self.header_len += 1;
            // The byte that completes a faulty header is withheld, so that the library never sees the frame.
            self.check().map_err(|code| Stop::Fault(Fault { offset, code }))?;
            headers += usize::from(self.header_len == 0);
            offset += 1;
        }
        Ok(headers)
    }

    /// Collects the body of a close frame. Returns its echo once all of it is there, if the library would not send it.
    fn close(&mut self, body: &[u8]) -> Option<CloseFrame> {
        let close = self.close.as_mut()?;
        close.extend_from_slice(body);
        if self.body_left > 0 {
            return None;
        }
        let close = self.close.take()?;
        let (mask, payload) = close.split_at_checked(MASK_BYTES)?;
        let payload: Vec<u8> =
            payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        let (code, reason) = payload.split_first_chunk()?;
        // A reason that is not UTF-8 is a fault, which the library finds.
        let reason = Utf8Bytes::try_from(reason.to_vec()).ok()?;
        let code = u16::from_be_bytes(*code);
        (code == BAD_GATEWAY).then(|| CloseFrame { code: CloseCode::from(code), reason })
    }

    /// Judges what has come of the header, as early as possible.
    fn check(&mut self) -> Result<(), CloseCode> {
        let first = self.header[0];
        let opcode = first & 0x0f;
        let (is_final, is_control) = (first & 0x80 != 0, opcode >= 8);
        if self.header_len == 1 {
            return self.check_first(first, opcode, is_final, is_control);
        }
        let second = self.header[1];
        if second & 0x80 == 0 {
            return Err(CloseCode::Protocol);
        }
        let (extra, least) = match second & 0x7f {
            126 => (2, 126),
            127 => (8, 65_536),
            _ => (0, 0),
        };
        if is_control && extra > 0 {
            return Err(CloseCode::Protocol);
        }
        if self.header_len < 2 + extra {
            return Ok(());
        }
        let length = match extra {
            0 => u64::from(second & 0x7f),
            _ => self.header[2..2 + extra].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        if length < least || length >> 63 != 0 {
            return Err(CloseCode::Protocol);
        }
        if is_control {
            debug_assert!(length <= CONTROL_BYTES_MAX, "a longer one has an extended length");
        } else {
            let whole = self.message.unwrap_or(0).saturating_add(length);
            if whole > self.message_bytes_max {
                return Err(CloseCode::Size);
            }
            self.message = (!is_final).then_some(whole);
        }
        self.header_len = 0;
        self.body_left = MASK_BYTES as u64 + length;
        self.close = (self.header[0] & 0x0f == CLOSE).then(Vec::new);
        Ok(())
    }

    fn check_first(&self, first: u8, opcode: u8, is_final: bool, is_control: bool) -> Result<(), CloseCode> {
        let is_known = matches!(opcode, 0..=2 | 8..=10);
        let is_out_of_place = match opcode {
            0 => self.message.is_none(),
            1 | 2 => self.message.is_some(),
            _ => false,
        };
        if first & 0x70 != 0 || !is_known || is_out_of_place || (is_control && !is_final) {
            return Err(CloseCode::Protocol);
        }
        if opcode == 2 && !self.takes_binary {
            return Err(CloseCode::Unsupported);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::MESSAGE_BYTES_MAX;

    fn stop(bytes: &[u8]) -> Option<Stop> {
        let whole = FrameValidator::new(MESSAGE_BYTES_MAX).inspect(bytes).err();
        // However the bytes are cut, the verdict and its position are the same.
        let mut guard = FrameValidator::new(MESSAGE_BYTES_MAX);
        let single = bytes.iter().enumerate().find_map(|(offset, byte)| {
            guard.inspect(std::slice::from_ref(byte)).err().map(|stop| match stop {
                Stop::Fault(fault) => Stop::Fault(Fault { offset, ..fault }),
                Stop::Closed { echo, .. } => Stop::Closed { offset, echo },
            })
        });
        assert_eq!(whole, single, "{bytes:x?}");
        whole
    }

    fn fault(bytes: &[u8]) -> Option<Fault> {
        stop(bytes).map(|stop| match stop {
            Stop::Fault(fault) => fault,
            Stop::Closed { .. } => panic!("no fault: {stop:?}"),
        })
    }

    #[test]
    fn ws_5_a_close_with_a_code_that_the_library_does_not_know_is_echoed() {
        let close = |payload: &[u8]| [&[0x88, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat();
        let bytes = [&[0x81, 0x81, 1, 2, 3, 4, b'p'][..], &close(b"\x03\xf6bye")].concat();
        let echo = CloseFrame { code: CloseCode::Bad(1014), reason: "bye".into() };
        assert_eq!(stop(&bytes), Some(Stop::Closed { offset: bytes.len() - 1, echo }));
        for others in [&b"\x03\xe8"[..], b"\x03\xf7", b"\x03\xf6\xff", b"", b"\x03"] {
            assert_eq!(stop(&close(others)), None, "{others:x?} is the library's");
        }
    }

    #[test]
    fn ws_3_fragments_with_control_frames_between_them_pass() {
        let text = [0x01, 0x81, 1, 2, 3, 4, b'p', 0x89, 0x80, 1, 2, 3, 4, 0x80, 0x82, 1, 2, 3, 4, b'u', b't'];
        assert_eq!(fault(&text), None);
        assert_eq!(fault(&[text.as_slice(), &text].concat()), None);
    }

    #[test]
    fn ws_4_faulty_headers_are_stopped_at_the_first_byte_that_shows_it() {
        use CloseCode::{Protocol, Size, Unsupported};
        let cases: [(&str, &[u8], usize, CloseCode); 14] = [
            ("unmasked", &[0x81, 0x01], 1, Protocol),
            ("reserved bit 1", &[0xc1], 0, Protocol),
            ("reserved bit 3", &[0x91], 0, Protocol),
            ("reserved data opcode", &[0x83], 0, Protocol),
            ("reserved control opcode", &[0x8b], 0, Protocol),
            ("continuation of nothing", &[0x80], 0, Protocol),
            ("text inside a message", &[0x01, 0x80, 0, 0, 0, 0, 0x81], 6, Protocol),
            ("fragmented ping", &[0x09], 0, Protocol),
            ("long ping", &[0x89, 0xfe], 1, Protocol),
            ("binary", &[0x82], 0, Unsupported),
            ("two bytes for 125", &[0x81, 0xfe, 0, 125], 3, Protocol),
            ("eight bytes for 65,535", &[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 9, Protocol),
            ("top bit", &[0x81, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0], 9, Protocol),
            ("65,537 bytes", &[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1], 9, Size),
        ];
        for (name, bytes, offset, code) in cases {
            assert_eq!(fault(bytes), Some(Fault { offset, code }), "{name}");
        }
    }

    #[test]
    fn ws_4_fragments_are_counted_together() {
        let mut bytes = vec![0x01, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 9, 9, 9, 9];
        bytes.resize(bytes.len() + 65_536, b'a');
        assert_eq!(fault(&[bytes.as_slice(), &[0x80, 0x80, 0, 0, 0, 0]].concat()), None);
        let over = Some(Fault { offset: bytes.len() + 1, code: CloseCode::Size });
        assert_eq!(fault(&[bytes.as_slice(), &[0x80, 0x81, 0, 0, 0, 0]].concat()), over);
    }
}
