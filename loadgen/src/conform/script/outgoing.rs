//! What a case sends: texts with their placeholders filled in, framed and cut.

use std::time::Duration;

use rand::RngExt as _;

use super::super::case::model::{Action, Cut, Frame, Part, Payload, Size, Step, Text};
use super::super::channel::{self, Channel};
use super::super::cutting::Cutting;
use super::super::frame::{OutFrame, opcode};
use super::super::profile::Policy;
use super::{At, Script};
use crate::domain::Framing;

/// Between the two halves of a message that is cut: long enough that a server reads the first alone.
const CUT_PAUSE: Duration = Duration::from_millis(20);

/// Longest write that goes out byte by byte, and longest message in fragments of one byte; a longer one goes in larger
/// pieces.
const SINGLE_BYTES_MAX: usize = 2048;

/// Bytes of a word that stands for `{word:NAME}`.
const WORD_BYTES: usize = 8;

impl Script<'_> {
    /// What a step writes, in segments.
    pub(super) fn segments(&self, client: usize, step: &Step, at: At<'_>) -> Segments {
        let framing = self.framing(client);
        let whole = |bytes| Segments { bytes: vec![bytes], pause: Duration::ZERO };
        match &step.action {
            Action::Login(name) => self.framed(client, std::slice::from_ref(name), &Cut::Nowhere, step, at),
            Action::Send { messages, cut } => self.framed(client, messages, cut, step, at),
            Action::Bytes(bytes) => {
                self.note_sent(client, bytes);
                whole(bytes.clone())
            }
            Action::RawText(text) => {
                let text = self.render(text, at);
                self.note_sent(client, &text);
                whole(text)
            }
            Action::Frames(frames) if framing == Framing::WebSocket => {
                let mut bytes = Vec::new();
                for frame in frames {
                    self.write_frame(client, frame, at, &mut bytes);
                }
                whole(bytes)
            }
            _ => whole(Vec::new()),
        }
    }

    pub(super) fn write_frame(&self, client: usize, frame: &Frame, at: At<'_>, out: &mut Vec<u8>) {
        let payload = match &frame.payload {
            Payload::Text(text) => self.render(text, at),
            Payload::Bytes(bytes) => bytes.clone(),
        };
        self.note_sent(client, &payload);
        if frame.opcode == opcode::CLOSE
            && let Ok(mut channel) = self.channels[client].try_lock()
            && let Some(channel) = channel.as_mut()
        {
            channel.note_close_sent();
        }
        let mask = frame.mask.then(rand::random);
        let Frame { opcode, fin, rsv, length, .. } = frame;
        OutFrame { opcode: *opcode, fin: *fin, rsv: *rsv, mask, length, payload: &payload }.write(out);
    }

    /// Messages as the framing and the cutting have them.
    pub(super) fn framed(
        &self,
        client: usize,
        messages: &[Text],
        cut: &Cut,
        step: &Step,
        at: At<'_>,
    ) -> Segments {
        let framing = self.framing(client);
        // A client of the raw framing in another transport's case writes each message as one.
        let cutting = if framing == Framing::Chunks { Cutting::Whole } else { self.cutting };
        let first = self.numbers.get(&std::ptr::from_ref(step)).copied();
        let mut bytes = Vec::new();
        let mut cuts = Vec::new();
        for (index, text) in messages.iter().enumerate() {
            let text = self.render(text, at);
            self.note_sent(client, &text);
            let begin = bytes.len();
            self.message(client, framing, &text, &mut bytes);
            if let (Cutting::At { message, offset }, Some(first)) = (cutting, first)
                && first + index == message
                && at.round == 0
                && begin + offset < bytes.len()
            {
                cuts.push(begin + offset);
            }
        }
        match (cut, cutting) {
            (Cut::At(places), _) => cuts.clone_from(places),
            (Cut::EachByte, _) | (_, Cutting::EachByte) => {
                let piece = bytes.len().div_ceil(SINGLE_BYTES_MAX).max(1);
                return Segments {
                    bytes: bytes.chunks(piece).map(<[u8]>::to_vec).collect(),
                    pause: Duration::ZERO,
                };
            }
            _ => {}
        }
        let mut segments = Vec::new();
        let mut begin = 0;
        for end in cuts.into_iter().filter(|cut| *cut < bytes.len()).chain([bytes.len()]).collect::<Vec<_>>()
        {
            segments.push(bytes[begin..end].to_vec());
            begin = end;
        }
        Segments { bytes: segments, pause: CUT_PAUSE }
    }

    /// One message, in fragments where the cutting says so.
    pub(super) fn message(&self, client: usize, framing: Framing, text: &[u8], out: &mut Vec<u8>) {
        let fragments = match self.cutting {
            Cutting::Fragments => text.chunks(text.len().div_ceil(SINGLE_BYTES_MAX).max(1)).collect(),
            Cutting::FragmentsAndPings => {
                let (first, second) = text.split_at(text.len() / 2);
                vec![first, second]
            }
            _ => Vec::new(),
        };
        if framing != Framing::WebSocket || fragments.len() < 2 {
            return channel::message(framing, text, out);
        }
        let last = fragments.len() - 1;
        for (index, fragment) in fragments.into_iter().enumerate() {
            let opcode = if index == 0 { opcode::TEXT } else { opcode::CONTINUATION };
            channel::right_frame(opcode, index == last, fragment, out);
            if index < last && self.cutting == Cutting::FragmentsAndPings {
                let payload: [u8; 8] = rand::random();
                channel::right_frame(opcode::PING, true, &payload, out);
                if let Ok(mut channel) = self.channels[client].try_lock()
                    && let Some(channel) = channel.as_mut()
                {
                    channel.note_own_ping(&payload);
                }
            }
        }
    }

    pub(super) async fn write(&self, client: usize, segments: &[Vec<u8>], pause: Duration) {
        for (index, segment) in segments.iter().enumerate() {
            if index > 0 && pause > Duration::ZERO {
                tokio::time::sleep(pause).await;
            }
            let mut channel = self.channels[client].lock().await;
            let Some(channel) = channel.as_mut() else { return };
            // What cannot be written any more shows in what comes back.
            if channel.write(segment).await.is_err() {
                return;
            }
        }
    }

    pub(super) async fn with_channel(&self, client: usize, act: impl AsyncFnOnce(&mut Channel)) {
        if let Some(channel) = self.channels[client].lock().await.as_mut() {
            act(channel).await;
        }
    }

    pub(super) fn note_sent(&self, client: usize, message: &[u8]) {
        self.last_sent[client].replace(message.to_vec());
    }

    /// A text with its placeholders filled in.
    pub(super) fn render(&self, text: &Text, at: At<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut fill_at = None;
        for part in &text.parts {
            match part {
                Part::Literal(literal) => out.extend_from_slice(literal.as_bytes()),
                Part::Client(client) => out.extend_from_slice(self.names[*client].as_bytes()),
                Part::Fill(bytes) => out.extend(self.fill(*bytes)),
                Part::FillTo(size) => fill_at = Some((out.len(), self.bytes_of(*size))),
                Part::Filled => out.extend_from_slice(&self.filled.borrow()),
                Part::Word(name) => out.extend_from_slice(self.word(name).as_bytes()),
                Part::Secret => {
                    if let Policy::Secret(secret) = &self.against.profile.upgrade {
                        out.extend_from_slice(secret.as_bytes());
                    }
                }
                Part::Index => out.extend_from_slice(at.round.to_string().as_bytes()),
            }
        }
        if let Some((place, bytes)) = fill_at {
            let filled: Vec<u8> = self.fill(bytes.saturating_sub(out.len())).collect();
            out.splice(place..place, filled.iter().copied());
            self.filled.replace(filled);
        }
        out
    }

    pub(super) fn bytes_of(&self, size: Size) -> usize {
        let profile = self.against.profile;
        match size {
            Size::Bytes(bytes) => bytes,
            Size::MessageMax(more) => profile.message_max as usize + more,
            Size::NameMax(more) => profile.name_max as usize + more,
        }
    }

    pub(super) fn fill(&self, bytes: usize) -> impl Iterator<Item = u8> {
        (self.fill_from..self.fill_from + bytes).map(|at| b'a' + (at % 26) as u8)
    }

    pub(super) fn word(&self, name: &str) -> String {
        let mut words = self.words.borrow_mut();
        let draw = || word(&mut self.draw.borrow_mut());
        words.entry(name.to_owned()).or_insert_with(draw).clone()
    }
}

/// What a step writes.
pub(super) struct Segments {
    pub(super) bytes: Vec<Vec<u8>>,
    /// Between two of them.
    pub(super) pause: Duration,
}

/// A user name that no other run has.
pub(super) fn unique_name(name: &str, bytes_max: u32) -> String {
    const LONGEST: usize = 24;
    let unique = word(&mut rand::rng());
    let room = (bytes_max as usize).saturating_sub(unique.len() + 1).min(LONGEST);
    format!("{}-{unique}", &name[..name.len().min(room)])
}

/// A word of letters and digits.
fn word(draw: &mut impl rand::Rng) -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    (0..WORD_BYTES).map(|_| char::from(LETTERS[draw.random_range(0..LETTERS.len())])).collect()
}
