//! WebSocket frames by hand (RFC 6455, section 5.2), on the client's side: any that a case wants to send, and those that
//! a server sends.
//!
//! It shares no code with a WebSocket library: what the server's library gets wrong must not be wrong here too.

use super::case::model::FrameLength;

/// Opcodes (RFC 6455, section 11.8).
pub(super) mod opcode {
    pub(in crate::conform) const CONTINUATION: u8 = 0;
    pub(in crate::conform) const TEXT: u8 = 1;
    pub(in crate::conform) const BINARY: u8 = 2;
    pub(in crate::conform) const CLOSE: u8 = 8;
    pub(in crate::conform) const PING: u8 = 9;
    pub(in crate::conform) const PONG: u8 = 10;
}

/// Longest payload of a control frame.
const CONTROL_BYTES_MAX: usize = 125;

/// A frame as a client sends it.
#[derive(Debug, Clone)]
pub(super) struct OutFrame<'a> {
    pub(super) opcode: u8,
    pub(super) fin: bool,
    /// The three reserved bits, 0 to 7.
    pub(super) rsv: u8,
    /// The masking key; `None` for a frame that is not masked.
    pub(super) mask: Option<[u8; 4]>,
    pub(super) length: &'a FrameLength,
    pub(super) payload: &'a [u8],
}

impl OutFrame<'_> {
    /// Appends the frame's bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.fin) << 7 | (self.rsv & 7) << 4 | self.opcode & 15);
        let mask_bit = u8::from(self.mask.is_some()) << 7;
        match self.length {
            FrameLength::Payload => write_length(self.payload.len() as u64, mask_bit, out),
            FrameLength::Stated(length) => write_length(*length, mask_bit, out),
            FrameLength::Bytes(bytes) => {
                let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
                out.push(first | mask_bit);
                out.extend_from_slice(rest);
            }
        }
        let Some(mask) = self.mask else { return out.extend_from_slice(self.payload) };
        out.extend_from_slice(&mask);
        out.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
}

/// A length in as few bytes as it needs.
fn write_length(length: u64, mask_bit: u8, out: &mut Vec<u8>) {
    match length {
        0..=125 => out.push(length as u8 | mask_bit),
        126..=0xFFFF => {
            out.push(0x7E | mask_bit);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0x7F | mask_bit);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
}

/// A frame that came from a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InFrame {
    pub(super) fin: bool,
    pub(super) opcode: u8,
    pub(super) payload: Vec<u8>,
}

/// What is wrong with a server's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameFault {
    #[error("a masked frame")]
    Masked,
    #[error("a frame with reserved bits")]
    ReservedBits,
    #[error("a frame with a reserved opcode")]
    ReservedOpcode,
    #[error("a control frame that is fragmented or has over 125 bytes")]
    Control,
    #[error("a frame that states its length in more bytes than it needs, or with the top bit set")]
    Length,
    #[error("a frame that is longer than any message")]
    TooLong,
}

/// Reads the frame at the beginning of `bytes`, and how many bytes it has; `None` where it has not all come. No frame may
/// have more than `payload_max` bytes of payload.
///
/// # Errors
/// Where no server may send such a frame.
pub(super) fn read(bytes: &[u8], payload_max: usize) -> Result<Option<(InFrame, usize)>, FrameFault> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let (fin, opcode) = (first & 0x80 != 0, first & 15);
    if first & 0x70 != 0 {
        return Err(FrameFault::ReservedBits);
    }
    if !matches!(opcode, 0..=2 | 8..=10) {
        return Err(FrameFault::ReservedOpcode);
    }
    if second & 0x80 != 0 {
        return Err(FrameFault::Masked);
    }
    let (length, head) = match second & 0x7F {
        126 => match rest.first_chunk() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 10),
            None => return Ok(None),
        },
        length => (u64::from(length), 2),
    };
    if head == 4 && length < 126 || head == 10 && (length <= 0xFFFF || length >> 63 == 1) {
        return Err(FrameFault::Length);
    }
    if opcode >= opcode::CLOSE && (!fin || length > CONTROL_BYTES_MAX as u64) {
        return Err(FrameFault::Control);
    }
    let length = usize::try_from(length).ok().filter(|length| *length <= payload_max);
    let length = length.ok_or(FrameFault::TooLong)?;
    let Some(payload) = bytes.get(head..head + length) else { return Ok(None) };
    Ok(Some((InFrame { fin, opcode, payload: payload.to_vec() }, head + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(frame: &OutFrame<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        frame.write(&mut out);
        out
    }

    /// The examples of RFC 6455, section 5.7.
    #[test]
    fn frames_are_those_of_the_rfc() {
        let hello = OutFrame {
            opcode: opcode::TEXT,
            fin: true,
            rsv: 0,
            mask: Some([0x37, 0xfa, 0x21, 0x3d]),
            length: &FrameLength::Payload,
            payload: b"Hello",
        };
        assert_eq!(written(&hello), [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        let unmasked = OutFrame { mask: None, ..hello.clone() };
        assert_eq!(written(&unmasked), [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        let payload = vec![0; 65536];
        let long = OutFrame { opcode: opcode::BINARY, mask: None, payload: &payload, ..hello.clone() };
        assert_eq!(written(&long)[..10], [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]);
        let medium = OutFrame { payload: &payload[..256], ..long };
        assert_eq!(written(&medium)[..4], [0x82, 0x7E, 0x01, 0x00]);
        let stated = FrameLength::Bytes(vec![0x7F, 0x80, 0, 0, 0, 0, 0, 0, 0]);
        let wrong = OutFrame { rsv: 5, fin: false, opcode: 11, length: &stated, ..hello };
        assert_eq!(written(&wrong)[..10], [0x5B, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_servers_frame_is_read_once_all_of_it_has_come() {
        let bytes = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x8A];
        for end in 0..7 {
            assert_eq!(read(&bytes[..end], 100), Ok(None), "{end} bytes");
        }
        let hello = InFrame { fin: true, opcode: 1, payload: b"Hello".to_vec() };
        assert_eq!(read(&bytes, 100), Ok(Some((hello, 7))));
        let mut long = vec![0x02, 0x7E, 0x01, 0x00];
        assert_eq!(read(&long, 1000), Ok(None));
        long.resize(4 + 256, 7);
        let (frame, length) = read(&long, 1000).unwrap().unwrap();
        assert_eq!((frame.fin, frame.payload.len(), length), (false, 256, 260));
    }

    #[test]
    fn what_no_server_may_send_is_named() {
        let fault = |bytes: &[u8]| read(bytes, 1000).unwrap_err();
        assert_eq!(fault(&[0x81, 0x85]), FrameFault::Masked);
        assert_eq!(fault(&[0xC1, 0x05]), FrameFault::ReservedBits);
        assert_eq!(fault(&[0x83, 0x05]), FrameFault::ReservedOpcode);
        assert_eq!(fault(&[0x09, 0x05]), FrameFault::Control);
        assert_eq!(fault(&[0x89, 0x7E, 0, 126]), FrameFault::Control);
        assert_eq!(fault(&[0x81, 0x7E, 0, 5]), FrameFault::Length);
        assert_eq!(fault(&[0x81, 0x7F, 0x80, 0, 0, 0, 0, 0, 0, 0]), FrameFault::Length);
        assert_eq!(fault(&[0x81, 0x7E, 0x10, 0]), FrameFault::TooLong);
    }
}
