//! A case's client as the server sees it: a stream of bytes, the framing on top, and what came back, in order.
//!
//! It judges what no server may send in any case (RFC 6455's framing, a line without an end) and answers pings and closes
//! as a client must. Which reply is right is the interpreter's business.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, timeout, timeout_at};

use super::case::model::FrameLength;
use super::frame::{self, InFrame, OutFrame, opcode};
use super::handshake::{self, HttpReply};
use super::transcript::Transcript;
use crate::domain::{Framing, Rule};
use crate::oracle::texts;
use crate::wire::ByteStream;

/// Longest message that is read from a server. No reply that a case expects is near it.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Silence after which bytes over the raw framing that are a legal reply are a whole one (RAW-1).
const RAW_SILENCE: Duration = Duration::from_millis(50);

/// Silence after which other bytes are a whole reply, if a wrong one.
const RAW_SILENCE_OTHERWISE: Duration = Duration::from_secs(1);

const READ_BYTES: usize = 16 * 1024;

/// Longest that a server may take to read a pong.
const PONG_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest that a server may take to read what is written to it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What came from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Reply {
        text: Vec<u8>,
        /// Whether it was a binary message (WS-1).
        binary: bool,
    },
    Pong(Vec<u8>),
    /// A close frame, with its code if it has one.
    CloseFrame(Option<u16>),
    /// The end of the connection.
    Ended(End),
    /// Bytes that no server may send; nothing is read after them.
    Broken {
        rule: Rule,
        what: String,
    },
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Reset,
    /// Something else failed, on our side or below.
    Failed(String),
}

/// A connected client.
#[derive(Debug)]
pub(super) struct Channel {
    /// Index of the client in its case.
    client: usize,
    stream: ByteStream,
    framing: Framing,
    /// Bytes that came and are not decoded yet.
    incoming: Vec<u8>,
    events: VecDeque<Event>,
    /// The fragments of a message that has not all come, and whether it is binary.
    fragments: Option<(Vec<u8>, bool)>,
    /// Payloads of pings that the harness itself put between fragments: their pongs are no news.
    own_pings: Vec<Vec<u8>>,
    sent_close: bool,
    /// Replies that are due, which the raw framing cannot tell from parts of others.
    due: Vec<Vec<u8>>,
    /// Whether nothing more is read: the connection ended, or broke.
    over: bool,
    /// Whether the server said that this session is over, by `exiting`.
    pub(super) said_exiting: bool,
    transcript: Transcript,
}

impl Channel {
    pub(super) fn new(client: usize, stream: ByteStream, framing: Framing, transcript: Transcript) -> Self {
        Self {
            client,
            stream,
            framing,
            incoming: Vec::new(),
            events: VecDeque::new(),
            fragments: None,
            own_pings: Vec::new(),
            sent_close: false,
            due: Vec::new(),
            over: false,
            said_exiting: false,
            transcript,
        }
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// Sends a handshake's request and reads the reply; `None` where none comes by the deadline, or the connection ends.
    pub(super) async fn shake(&mut self, request: &[u8], deadline: Instant) -> Option<HttpReply> {
        // A server that refuses without reading has its reply there all the same.
        let _ = self.write(request).await;
        loop {
            match handshake::read_reply(&self.incoming) {
                Ok(Some((reply, length))) => {
                    self.incoming.drain(..length);
                    return Some(reply);
                }
                Err(what) => {
                    self.break_off(Rule::Ws2, what);
                    return None;
                }
                Ok(None) => {}
            }
            if self.over || !self.read_once(deadline).await {
                return None;
            }
        }
    }

    /// Writes bytes as they are, and reads meanwhile: a server may not read on before its replies are read. What cannot be
    /// written in time shows in what comes back.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.transcript.sent(self.client, bytes);
        let mut rest = bytes;
        let mut came = Vec::new();
        let mut buffer = vec![0; READ_BYTES];
        let stream = &mut self.stream;
        let written = poll_fn(|cx| {
            while !rest.is_empty() {
                match Pin::new(&mut *stream).poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(bytes)) => {
                        rest = &rest[bytes..];
                        continue;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {}
                }
                let mut into = ReadBuf::new(&mut buffer);
                match Pin::new(&mut *stream).poll_read(cx, &mut into) {
                    Poll::Ready(Ok(())) if !into.filled().is_empty() && came.len() < MESSAGE_BYTES_MAX => {
                        came.extend_from_slice(into.filled());
                    }
                    // Its end is met again when the replies are read.
                    _ => return Poll::Pending,
                }
            }
            Pin::new(&mut *stream).poll_flush(cx)
        });
        let written = timeout(WRITE_TIMEOUT, written).await;
        if !came.is_empty() {
            self.transcript.received(self.client, &came);
            self.incoming.extend_from_slice(&came);
        }
        written.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
    }

    /// A ping between fragments, whose pong is expected by nobody.
    pub(super) fn note_own_ping(&mut self, payload: &[u8]) {
        self.own_pings.push(payload.to_vec());
    }

    /// Closes the sending side.
    pub(super) async fn half_close(&mut self) {
        self.transcript.note(self.client, "closes its sending side");
        let _ = self.stream.shutdown().await;
    }

    /// Ends the connection by a reset.
    pub(super) fn reset(self) {
        self.transcript.note(self.client, "resets the connection");
        self.stream.reset_on_close();
    }

    /// The next event; `None` where none comes by the deadline.
    pub(super) async fn next(&mut self, deadline: Instant) -> Option<Event> {
        loop {
            if let Some(event) = self.take_event().await {
                return Some(event);
            }
            if self.over || !self.read_once(deadline).await {
                return None;
            }
        }
    }

    /// Says which replies are due next, before they are waited for.
    pub(super) fn expects(&mut self, due: &[Vec<u8>]) {
        if self.framing == Framing::Chunks {
            self.due = due.to_vec();
        }
    }

    /// Whether nothing more is read.
    pub(super) fn has_ended(&self) -> bool {
        self.over
    }

    /// Whether the connection has ended and all of it was looked at.
    pub(super) fn is_over(&self) -> bool {
        self.over && self.events.is_empty()
    }

    async fn take_event(&mut self) -> Option<Event> {
        self.decode().await;
        let event = self.events.pop_front();
        if let Some(Event::Reply { text, .. }) = &event {
            self.said_exiting |= text == b"exiting";
        }
        event
    }

    /// Reads once; whether something came by the deadline.
    async fn read_once(&mut self, deadline: Instant) -> bool {
        self.incoming.reserve(READ_BYTES);
        let before = self.incoming.len();
        // Over the raw framing a reply ends by silence.
        let silent = self.framing == Framing::Chunks && !self.incoming.is_empty();
        let silence = if self.is_legal_reply() { RAW_SILENCE } else { RAW_SILENCE_OTHERWISE };
        let until = if silent { deadline.min(Instant::now() + silence) } else { deadline };
        match timeout_at(until, self.stream.read_buf(&mut self.incoming)).await {
            Err(_) if silent => {
                let text = std::mem::take(&mut self.incoming);
                self.events.push_back(Event::Reply { text, binary: false });
                true
            }
            Err(_) => false,
            Ok(Ok(0)) => {
                self.finish(End::Closed);
                // A server may keep the connection, and the name, until its client has closed too.
                let _ = timeout(WRITE_TIMEOUT, self.stream.shutdown()).await;
                true
            }
            Ok(Ok(bytes)) => {
                self.transcript.received(self.client, &self.incoming[before..before + bytes]);
                true
            }
            Ok(Err(error)) => {
                self.finish(match error.kind() {
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
                        End::Reset
                    }
                    // TLS that ends without its own goodbye.
                    ErrorKind::UnexpectedEof => End::Closed,
                    _ => End::Failed(error.to_string()),
                });
                true
            }
        }
    }

    /// Whether what came over the raw framing is a reply that is due, or a text that a server may answer anywhere.
    fn is_legal_reply(&self) -> bool {
        self.due.contains(&self.incoming) || texts::ALL.iter().any(|text| text.as_bytes() == self.incoming)
    }

    fn finish(&mut self, end: End) {
        let what = match &end {
            End::Closed => "the server closed".to_owned(),
            End::Reset => "the server reset the connection".to_owned(),
            End::Failed(why) => format!("the connection failed: {why}"),
        };
        self.transcript.note(self.client, what);
        match self.framing {
            Framing::Chunks if !self.incoming.is_empty() => {
                let text = std::mem::take(&mut self.incoming);
                self.events.push_back(Event::Reply { text, binary: false });
            }
            Framing::Lines if !self.incoming.is_empty() && !self.incoming.contains(&b'\n') => {
                self.events.push_back(Event::Broken {
                    rule: Rule::Tcp1,
                    what: format!("a reply without its line feed, then {what}", what = "the end"),
                });
            }
            _ => {}
        }
        self.over = true;
        self.events.push_back(Event::Ended(end));
    }

    fn break_off(&mut self, rule: Rule, what: impl Into<String>) {
        self.over = true;
        self.incoming.clear();
        self.events.push_back(Event::Broken { rule, what: what.into() });
    }

    /// Turns the bytes that came into events.
    async fn decode(&mut self) {
        match self.framing {
            Framing::Lines => {
                let mut from = 0;
                while let Some(length) = memchr::memchr(b'\n', &self.incoming[from..]) {
                    let text = self.incoming[from..from + length].to_vec();
                    from += length + 1;
                    self.push_before_end(Event::Reply { text, binary: false });
                }
                self.incoming.drain(..from);
                if self.incoming.len() > MESSAGE_BYTES_MAX {
                    self.break_off(Rule::Tcp1, "a line without an end");
                }
            }
            Framing::Chunks => {
                if self.incoming.len() > MESSAGE_BYTES_MAX {
                    self.break_off(Rule::Raw1, "a reply without an end");
                }
            }
            Framing::WebSocket => self.decode_frames().await,
        }
    }

    /// What was decoded late came before the end all the same.
    fn push_before_end(&mut self, event: Event) {
        match self.events.back() {
            Some(Event::Ended(_)) => {
                let last = self.events.len() - 1;
                self.events.insert(last, event);
            }
            _ => self.events.push_back(event),
        }
    }

    async fn decode_frames(&mut self) {
        loop {
            match frame::read(&self.incoming, MESSAGE_BYTES_MAX) {
                Ok(None) => return,
                Ok(Some((frame, length))) => {
                    self.incoming.drain(..length);
                    if let Err((rule, what)) = self.take_frame(frame).await {
                        return self.break_off(rule, what);
                    }
                }
                Err(fault) => {
                    let rule = if fault == frame::FrameFault::Masked { Rule::Ws7 } else { Rule::Ws1 };
                    return self.break_off(rule, fault.to_string());
                }
            }
        }
    }

    async fn take_frame(&mut self, frame: InFrame) -> Result<(), (Rule, String)> {
        let InFrame { fin, opcode, payload } = frame;
        match opcode {
            opcode::PING => {
                // Best effort: a server that has gone needs no pong.
                let _ = timeout(PONG_TIMEOUT, self.send_frame(opcode::PONG, &payload)).await;
            }
            opcode::PONG => match self.own_pings.iter().position(|own| *own == payload) {
                Some(index) => {
                    // Of several pings that wait, the latest may be the only one that is answered.
                    self.own_pings.drain(..=index);
                }
                None => self.push_before_end(Event::Pong(payload)),
            },
            opcode::CLOSE => {
                let code = match payload[..] {
                    [] => None,
                    [high, low, ..] => Some(u16::from_be_bytes([high, low])),
                    [_] => return Err((Rule::Ws5, "a close frame with a payload of one byte".to_owned())),
                };
                if let Some(code) = code.filter(|code| !may_be_sent(*code)) {
                    return Err((Rule::Ws5, format!("a close frame with the forbidden code {code}")));
                }
                if !std::mem::replace(&mut self.sent_close, true) {
                    let _ = self.send_frame(opcode::CLOSE, payload.get(..2).unwrap_or_default()).await;
                }
                self.push_before_end(Event::CloseFrame(code));
            }
            opcode::CONTINUATION => {
                let Some((mut text, binary)) = self.fragments.take() else {
                    return Err((Rule::Ws1, "a continuation of nothing".to_owned()));
                };
                text.extend_from_slice(&payload);
                self.take_data(fin, text, binary)?;
            }
            _ if self.fragments.is_some() => {
                return Err((Rule::Ws1, "a new message within another's fragments".to_owned()));
            }
            _ => self.take_data(fin, payload, opcode == opcode::BINARY)?,
        }
        Ok(())
    }

    fn take_data(&mut self, fin: bool, text: Vec<u8>, binary: bool) -> Result<(), (Rule, String)> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err((Rule::Ws1, "a message without an end".to_owned()));
        }
        if !fin {
            self.fragments = Some((text, binary));
            return Ok(());
        }
        if !binary && str::from_utf8(&text).is_err() {
            return Err((Rule::Ws1, "a text message that is not UTF-8".to_owned()));
        }
        self.push_before_end(Event::Reply { text, binary });
        Ok(())
    }

    /// Sends a whole, right frame.
    async fn send_frame(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::new();
        right_frame(opcode, true, payload, &mut bytes);
        self.write(&bytes).await
    }

    /// Sends a close frame with this code.
    pub(super) async fn send_close(&mut self, code: u16) -> io::Result<()> {
        self.sent_close = true;
        self.send_frame(opcode::CLOSE, &code.to_be_bytes()).await
    }

    /// The client has sent a close frame of its own making: none is due for the server's.
    pub(super) fn note_close_sent(&mut self) {
        self.sent_close = true;
    }
}

/// Whether a close frame may have this code (RFC 6455, section 7.4, and the registry of section 11.7).
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Appends a frame as every client sends it: masked, with a length in as few bytes as it needs.
pub(super) fn right_frame(opcode: u8, fin: bool, payload: &[u8], out: &mut Vec<u8>) {
    let mask = Some(rand::random());
    OutFrame { opcode, fin, rsv: 0, mask, length: &FrameLength::Payload, payload }.write(out);
}

/// Appends a message as a framing has it.
pub(super) fn message(framing: Framing, text: &[u8], out: &mut Vec<u8>) {
    match framing {
        Framing::Lines => {
            out.extend_from_slice(text);
            out.push(b'\n');
        }
        // A chunk of no bytes cannot be sent (RAW-1).
        Framing::Chunks if text.is_empty() => out.push(b' '),
        Framing::Chunks => out.extend_from_slice(text),
        Framing::WebSocket => right_frame(opcode::TEXT, true, text, out),
    }
}
