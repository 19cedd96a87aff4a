//! A socket whose bytes are changed on their way, in both directions, as the fault wants it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::{TcpSocket, delayed_reply::has_hung_up, socket::Socket};
use crate::{
    faults::{Fault, Memory, once_in_a_hundred},
    protocol::{Framing, MESSAGE_BYTES_MAX},
};

const HEAD_END: &[u8] = b"\r\n\r\n";

/// The longest frame that is changed as a whole.
const FRAME_BYTES_MAX: u64 = 200_000;

/// The most bytes at the beginning and at the end of what is written that go out one by one.
const SINGLE_BYTES_MAX: usize = 200;

pub(super) struct FaultySocket<S> {
    socket: S,
    framing: Framing,
    fault: Option<Fault>,
    incoming: Incoming,
    outgoing: Outgoing,
    /// What the server may read.
    readable: Vec<u8>,
    /// What is still to be written.
    waiting: Vec<u8>,
    /// Until when nothing is written.
    held: Option<Pin<Box<Sleep>>>,
}

#[derive(Default)]
struct Incoming {
    is_head_over: bool,
    held: Vec<u8>,
    /// Frames are passed on as they are from here on.
    is_raw: bool,
    is_in_message: bool,
    /// The last byte that came.
    last: Option<u8>,
    /// The payload of a close frame that is to be sent back.
    echo: Option<Vec<u8>>,
}

#[derive(Default)]
struct Outgoing {
    is_head_over: bool,
    held: Vec<u8>,
}

/// A WebSocket frame; its payload is not masked.
struct Frame {
    is_final: bool,
    reserved: u8,
    opcode: u8,
    mask: Option<[u8; 4]>,
    payload: Vec<u8>,
}

impl Frame {
    fn is_control(&self) -> bool {
        self.opcode >= 8
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mask_bit = if self.mask.is_some() { 0x80 } else { 0 };
        out.push(u8::from(self.is_final) << 7 | self.reserved << 4 | self.opcode);
        match self.payload.len() {
            length @ 0..=125 => out.push(mask_bit | length as u8),
            length @ 126..=0xffff => {
                out.push(mask_bit | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.push(mask_bit | 127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let mask = self.mask.unwrap_or_default();
        out.extend(self.mask.iter().flatten());
        out.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }

    /// The first frame and its length on the wire, once all of it is there; `Err` if it is too long to be kept.
    fn read(bytes: &[u8], takes_top_bit: bool) -> Result<Option<(Self, usize)>, ()> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (length, extended) = match second & 0x7f {
            126 => match rest.first_chunk() {
                Some(length) => (u64::from(u16::from_be_bytes(*length)), 2),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(length) => (u64::from_be_bytes(*length), 8),
                None => return Ok(None),
            },
            length => (u64::from(length), 0),
        };
        let length = if takes_top_bit { length & (u64::MAX >> 1) } else { length };
        if length > FRAME_BYTES_MAX {
            return Err(());
        }
        let is_masked = second & 0x80 != 0;
        let head = 2 + extended + if is_masked { 4 } else { 0 };
        let whole = head + length as usize;
        let Some(payload) = bytes.get(head..whole) else { return Ok(None) };
        let mask = is_masked.then(|| *bytes[..head].last_chunk().expect("a mask is four bytes"));
        let key = mask.unwrap_or_default();
        let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        let (is_final, reserved, opcode) = (first & 0x80 != 0, first >> 4 & 7, first & 15);
        Ok(Some((Self { is_final, reserved, opcode, mask, payload }, whole)))
    }
}

/// Whether a fault changes the frames that come in.
fn changes_frames(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::TakesFragmentsForMessages
            | Fault::ForgetsFirstFragments
            | Fault::FailsOnControlsBetweenFragments
            | Fault::IgnoresPings
            | Fault::FailsOnPongs
            | Fault::TakesUnmaskedFrames
            | Fault::TakesReservedBits
            | Fault::TakesReservedOpcodes
            | Fault::TakesStrayContinuations
            | Fault::TakesNestedMessages
            | Fault::TakesLongControls
            | Fault::TakesFragmentedControls
            | Fault::TakesTheTopBit
            | Fault::IgnoresClosesOfOneByte
            | Fault::EchoesForbiddenCodes
            | Fault::IgnoresForbiddenCodes
            | Fault::TakesBadTexts
            | Fault::TakesBinaryMessages
            | Fault::TakesLongTexts
            | Fault::TakesLongLengths
            | Fault::IgnoresCloses
    )
}

impl Incoming {
    /// Changes what came over a WebSocket.
    fn websocket(&mut self, fault: Fault, bytes: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(bytes);
        if !self.is_head_over {
            let Some(end) = find(&self.held, HEAD_END) else { return };
            let rest = self.held.split_off(end + HEAD_END.len());
            out.extend(request_head(fault, &std::mem::replace(&mut self.held, rest)));
            self.is_head_over = true;
        }
        while changes_frames(fault) && !self.is_raw && !self.held.is_empty() {
            match Frame::read(&self.held, fault == Fault::TakesTheTopBit) {
                Ok(None) => return,
                Err(()) => self.is_raw = true,
                Ok(Some((frame, length))) => {
                    let original: Vec<u8> = self.held.drain(..length).collect();
                    self.frame(fault, frame, &original, out);
                }
            }
        }
        out.append(&mut self.held);
    }

    /// Passes a frame on, as it came unless the fault changes it.
    fn frame(&mut self, fault: Fault, mut frame: Frame, original: &[u8], out: &mut Vec<u8>) {
        let code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        let is_forbidden = |code: u16| !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let is_changed = match (fault, frame.opcode) {
            (Fault::TakesFragmentsForMessages, 0 | 1) => {
                (frame.opcode, frame.is_final) = (1, true);
                true
            }
            (Fault::ForgetsFirstFragments, 1) if !frame.is_final => {
                frame.payload.clear();
                true
            }
            (Fault::FailsOnControlsBetweenFragments, 8..) if self.is_in_message => {
                frame.opcode = 15;
                true
            }
            (Fault::FailsOnPongs, 10) => {
                frame.opcode = 15;
                true
            }
            (Fault::IgnoresPings, 9) | (Fault::IgnoresCloses, 8) => return,
            (Fault::IgnoresClosesOfOneByte, 8) if frame.payload.len() == 1 => return,
            (Fault::IgnoresForbiddenCodes, 8) if code.is_some_and(is_forbidden) => return,
            (Fault::EchoesForbiddenCodes, 8) if code.is_some_and(is_forbidden) => {
                self.echo = Some(std::mem::replace(&mut frame.payload, vec![0x03, 0xe8]));
                true
            }
            (Fault::TakesUnmaskedFrames, _) if frame.mask.is_none() => {
                frame.mask = Some([0; 4]);
                true
            }
            (Fault::TakesReservedBits, _) => {
                frame.reserved = 0;
                true
            }
            (Fault::TakesReservedOpcodes, 3..=7) => {
                frame.opcode = 1;
                true
            }
            (Fault::TakesReservedOpcodes, 11..) => {
                frame.opcode = 10;
                true
            }
            (Fault::TakesStrayContinuations, 0) if !self.is_in_message => {
                frame.opcode = 1;
                true
            }
            (Fault::TakesNestedMessages, 1) if self.is_in_message => {
                frame.opcode = 0;
                true
            }
            (Fault::TakesLongControls, 8..) if frame.payload.len() > 125 => {
                frame.payload.truncate(125);
                true
            }
            (Fault::TakesFragmentedControls, 8..) => {
                frame.is_final = true;
                true
            }
            (Fault::TakesBadTexts, 1) if frame.is_final => {
                frame.payload = String::from_utf8_lossy(&frame.payload).into_owned().into();
                true
            }
            (Fault::TakesBinaryMessages, 2) => {
                frame.opcode = 1;
                true
            }
            (Fault::TakesLongTexts, 1) if frame.is_final => {
                frame.payload.truncate(MESSAGE_BYTES_MAX);
                true
            }
            (Fault::TakesLongLengths | Fault::TakesTheTopBit, _) => true,
            _ => false,
        };
        if !frame.is_control() {
            self.is_in_message = !frame.is_final;
        }
        if is_changed {
            frame.write(out);
        } else {
            out.extend_from_slice(original);
        }
    }

    /// Changes what one read brought of a stream of lines.
    fn lines(&mut self, fault: Fault, bytes: &[u8], out: &mut Vec<u8>) {
        self.last = bytes.last().copied();
        let first_line = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        let ends = self.last == Some(b'\n');
        match fault {
            Fault::DropsWhatFollows => out.extend_from_slice(&bytes[..first_line]),
            Fault::DecodesEachRead | Fault::TakesBadUtf8 => {
                out.extend_from_slice(String::from_utf8_lossy(bytes).as_bytes());
            }
            Fault::TakesReadsForLines if !ends => out.extend_from_slice(&[bytes, b"\n"].concat()),
            _ => out.extend_from_slice(bytes),
        }
        if fault == Fault::WaitsForHalfALine && !ends {
            Memory::lock().stall(Duration::from_secs(2));
        }
    }
}

/// The head of a handshake, changed so that the server takes it.
fn request_head(fault: Fault, head: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(head);
    let mut lines: Vec<String> = text.trim_end().lines().map(str::to_owned).collect();
    let has = |lines: &[String], name: &str, value: &str| {
        lines
            .iter()
            .map(|line| line.to_lowercase())
            .any(|line| line.starts_with(name) && line.contains(value))
    };
    let replace = |lines: &mut Vec<String>, name: &str, with: &str| {
        lines.retain(|line| !line.to_lowercase().starts_with(name));
        lines.push(with.to_owned());
    };
    match fault {
        Fault::UpgradesPosts => {
            let rest = lines[0].split_once(' ').map_or("", |(_, rest)| rest);
            lines[0] = format!("GET {rest}");
        }
        Fault::UpgradesOldHttp => lines[0] = lines[0].replace("HTTP/1.0", "HTTP/1.1"),
        Fault::UpgradesWithoutHost if !has(&lines, "host:", "") => lines.push("Host: a".to_owned()),
        Fault::UpgradesWithoutUpgrade if !has(&lines, "upgrade:", "websocket") => {
            replace(&mut lines, "upgrade:", "Upgrade: websocket");
        }
        Fault::UpgradesWithoutConnection if !has(&lines, "connection:", "upgrade") => {
            replace(&mut lines, "connection:", "Connection: Upgrade");
        }
        Fault::UpgradesAnyVersion => {
            replace(&mut lines, "sec-websocket-version:", "Sec-WebSocket-Version: 13");
        }
        Fault::UpgradesWithoutKey if !has(&lines, "sec-websocket-key:", "==") => {
            replace(&mut lines, "sec-websocket-key:", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==");
        }
        Fault::AllowsAnyOrigin => lines.retain(|line| !line.to_lowercase().starts_with("origin:")),
        _ => return head.to_vec(),
    }
    (lines.join("\r\n") + "\r\n\r\n").into_bytes()
}

/// The head of the answer to a handshake, changed.
fn response_head(fault: Fault, head: &[u8]) -> Vec<u8> {
    let head = String::from_utf8_lossy(head).into_owned();
    let is_upgrade = head.starts_with("HTTP/1.1 101");
    let with = |field: &str| head.replacen("\r\n", &format!("\r\n{field}\r\n"), 1);
    match fault {
        Fault::ComputesAWrongAcceptKey => head.replacen("Accept: ", "Accept: x", 1),
        Fault::NamesAnExtension if is_upgrade => with("Sec-WebSocket-Extensions: permessage-deflate"),
        Fault::NamesASubprotocol if is_upgrade => with("Sec-WebSocket-Protocol: chat"),
        Fault::KeepsAliveAndUpgrades if is_upgrade => {
            head.replacen("Connection: Upgrade", "Connection: keep-alive, Upgrade", 1)
        }
        Fault::NamesNoVersion => head.replacen("Sec-WebSocket-Version: 13\r\n", "", 1),
        Fault::RefusesWithoutAReply if !is_upgrade => String::new(),
        Fault::RefusesVersionsWith400 => head.replacen("426 Upgrade Required", "400 Bad Request", 1),
        _ => head,
    }
    .into_bytes()
}

impl Outgoing {
    /// Changes what goes out over a WebSocket; fails if the connection is to be reset.
    fn websocket(
        &mut self,
        fault: Fault,
        echo: &mut Option<Vec<u8>>,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ()> {
        self.held.extend_from_slice(bytes);
        if !self.is_head_over {
            let Some(end) = find(&self.held, HEAD_END) else { return Ok(()) };
            let rest = self.held.split_off(end + HEAD_END.len());
            let head = std::mem::replace(&mut self.held, rest);
            let changed = response_head(fault, &head);
            if changed.is_empty() {
                self.held.clear();
            }
            out.extend(changed);
            self.is_head_over = true;
            if !head.starts_with(b"HTTP/1.1 101") {
                out.append(&mut self.held);
            }
        }
        while let Ok(Some((frame, length))) = Frame::read(&self.held, false) {
            self.held.drain(..length);
            send_frame(fault, echo, frame, out)?;
        }
        Ok(())
    }

    /// Changes what goes out over a stream of lines.
    fn lines(fault: Fault, bytes: &[u8], out: &mut Vec<u8>) {
        let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        if fault == Fault::SwapsReplies && lines.len() > 1 {
            lines.swap(0, 1);
        }
        for line in lines {
            let (text, end) = line.split_at(line.len() - usize::from(line.ends_with(b"\n")));
            if fault == Fault::LosesAReplyOnceInAHundred && once_in_a_hundred() {
                continue;
            }
            out.extend_from_slice(text);
            if fault == Fault::EndsLinesWithCrLf && !end.is_empty() {
                out.push(b'\r');
            }
            out.extend_from_slice(end);
            let is_doubled = match fault {
                Fault::AnswersPutsTwice => text == b"done",
                Fault::AnswersTwiceOnceInAHundred => once_in_a_hundred(),
                _ => false,
            };
            if is_doubled {
                out.extend_from_slice(line);
            }
        }
    }
}

/// Sends a frame, changed; fails if the connection is to be reset.
fn send_frame(
    fault: Fault,
    echo: &mut Option<Vec<u8>>,
    mut frame: Frame,
    out: &mut Vec<u8>,
) -> Result<(), ()> {
    let code: Option<u16> = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
    match (fault, frame.opcode) {
        (Fault::AnswersInBinary, 1) => frame.opcode = 2,
        (Fault::TerminatesTexts, 1) => frame.payload.push(b'\n'),
        (Fault::AnswersPingsWithNothing, 10) => frame.payload.clear(),
        (Fault::MasksFrames, _) => frame.mask = Some([1, 2, 3, 4]),
        (Fault::ClosesWithoutAFrame, 8) => return Ok(()),
        (Fault::ClosesAlwaysWith1000, 8) => frame.payload = vec![0x03, 0xe8],
        (Fault::ClosesWith1001AfterQuit, 8) if code == Some(1000) => frame.payload = vec![0x03, 0xe9],
        (Fault::ClosesTimeoutsWith1000, 8) if code == Some(1008) => frame.payload = vec![0x03, 0xe8],
        (Fault::EchoesForbiddenCodes, 8) => frame.payload = echo.take().unwrap_or(frame.payload),
        (Fault::ResetsOnFailures, 8) if matches!(code, Some(1002 | 1003 | 1007 | 1009)) => return Err(()),
        (Fault::PingsBeforeReplies, 1) => {
            let ping = Frame {
                is_final: true,
                reserved: 0,
                opcode: 9,
                mask: None,
                payload: b"are you there?".to_vec(),
            };
            ping.write(out);
        }
        (Fault::FragmentsReplies, 1) => {
            let rest = frame.payload.split_off(frame.payload.len() / 2);
            frame.is_final = false;
            frame.write(out);
            frame = Frame { is_final: true, opcode: 0, payload: rest, ..frame };
        }
        _ => {}
    }
    frame.write(out);
    Ok(())
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl<S: Socket> FaultySocket<S> {
    pub(super) fn new(socket: S, framing: Framing) -> Self {
        Self {
            socket,
            framing,
            fault: Fault::active(),
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            readable: Vec::new(),
            waiting: Vec::new(),
            held: None,
        }
    }

    /// Ready when the kernel has all that waits.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            if let Some(held) = &mut self.held {
                ready!(held.as_mut().poll(cx));
                self.held = None;
            }
            let is_cut = match self.fault {
                Some(Fault::CutsReplies) => true,
                Some(Fault::CutsTheHandshake) => self.waiting.ends_with(HEAD_END),
                _ => false,
            };
            let piece = match self.waiting.len() {
                1..=SINGLE_BYTES_MAX if is_cut => 1,
                length if is_cut => length - SINGLE_BYTES_MAX,
                length => length,
            };
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.waiting[..piece]))?;
            self.waiting.drain(..written);
            if is_cut && !self.waiting.is_empty() {
                self.held = Some(Box::pin(sleep(Duration::from_millis(1))));
            }
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Whether the server takes for sent what still waits.
    fn forgets_what_waits(&self) -> bool {
        self.fault == Some(Fault::ResetsAtTheEnd)
    }

    /// Closes by a reset once the socket is dropped.
    fn will_reset(&self) -> io::Error {
        let _ = SockRef::from(self.socket.tcp()).set_linger(Some(Duration::ZERO));
        reset()
    }
}

impl<S: Socket> Socket for FaultySocket<S> {
    fn tcp(&self) -> &std::net::TcpStream {
        self.socket.tcp()
    }

    fn into_tcp(self) -> TcpSocket {
        self.socket.into_tcp()
    }

    fn has_pending(&self) -> bool {
        !self.forgets_what_waits() && !self.waiting.is_empty() || self.socket.has_pending()
    }

    fn buffered_bytes(&mut self) -> usize {
        self.waiting.len() + self.socket.buffered_bytes()
    }

    fn is_budget_exhausted(&self) -> bool {
        self.socket.is_budget_exhausted()
    }
}

impl<S: Socket> AsyncRead for FaultySocket<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(fault) = this.fault else { return Pin::new(&mut this.socket).poll_read(cx, buf) };
        if fault == Fault::ClosesOnEverything {
            return Poll::Ready(Ok(()));
        }
        if this.forgets_what_waits() {
            let _ = this.poll_waiting(cx);
        }
        while this.readable.is_empty() {
            let mut bytes = [0; 4096];
            let mut fresh = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.socket).poll_read(cx, &mut fresh))?;
            let fresh = fresh.filled();
            if fault == Fault::ForgetsHalfClosedClients {
                // What follows at once comes within this time.
                std::thread::sleep(Duration::from_millis(2));
                if has_hung_up(this.socket.tcp()) {
                    return Poll::Ready(Err(reset()));
                }
            }
            if fresh.is_empty() {
                let is_unterminated = this.incoming.last.take().is_some_and(|last| last != b'\n');
                if fault == Fault::RunsTheUnterminatedLine && is_unterminated {
                    this.readable.push(b'\n');
                    break;
                }
                return Poll::Ready(Ok(()));
            }
            match this.framing {
                Framing::Lines => this.incoming.lines(fault, fresh, &mut this.readable),
                Framing::Chunks => this.readable.extend_from_slice(fresh),
                Framing::WebSocket => this.incoming.websocket(fault, fresh, &mut this.readable),
            }
        }
        let count = buf.remaining().min(this.readable.len());
        buf.put_slice(&this.readable[..count]);
        this.readable.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for FaultySocket<S> {
    /// Takes everything.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(fault) = this.fault else { return Pin::new(&mut this.socket).poll_write(cx, buf) };
        let was_empty = this.waiting.is_empty();
        match this.framing {
            Framing::Lines => Outgoing::lines(fault, buf, &mut this.waiting),
            Framing::Chunks => {
                this.waiting.extend_from_slice(buf);
                if fault == Fault::TerminatesChunks {
                    this.waiting.push(b'\n');
                }
            }
            Framing::WebSocket => {
                let echo = &mut this.incoming.echo;
                if this.outgoing.websocket(fault, echo, buf, &mut this.waiting).is_err() {
                    return Poll::Ready(Err(this.will_reset()));
                }
            }
        }
        let delay = match fault {
            Fault::RepliesAfter300Ms => Some(300),
            Fault::CoalescesReplies => Some(30),
            Fault::ResetsAtTheEnd => Some(20),
            _ => None,
        };
        if let Some(delay) = delay.filter(|_| was_empty) {
            this.held = Some(Box::pin(sleep(Duration::from_millis(delay))));
        }
        if let Poll::Ready(Err(error)) = this.poll_waiting(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.forgets_what_waits() { Poll::Ready(Ok(())) } else { this.poll_waiting(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.forgets_what_waits() {
            return Poll::Ready(Err(this.will_reset()));
        }
        ready!(this.poll_waiting(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}
