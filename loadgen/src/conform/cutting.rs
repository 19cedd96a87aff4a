//! In which other ways a case's bytes are cut and joined: the verdict must not change (TCP-2, WS-3).

use std::fmt;

use super::case::model::{Action, Case, Cut, Expectation, Step, Text, Times};
use crate::domain::Framing;
use crate::text::plural;

/// Longest message that is cut at every byte; of a longer one its first and last bytes are, where heads, words and ends
/// are.
const EVERY_BYTE_MAX: usize = 128;

/// How the bytes of a case's messages go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cutting {
    /// Each write as one.
    #[default]
    Whole,
    /// One message in two segments, with a pause between them.
    At {
        /// Number of the message among those that the case sends, from 0.
        message: usize,
        /// Before which of its bytes on the wire.
        offset: usize,
    },
    /// Each byte in a write of its own.
    EachByte,
    /// Requests of a client that follow each other in one write.
    OneWrite,
    /// Each message in frames of one byte of payload.
    Fragments,
    /// Each message in two frames, with a ping between them.
    FragmentsAndPings,
}

impl fmt::Display for Cutting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("whole"),
            Self::At { message, offset } => {
                write!(f, "message {} cut after {}", message + 1, plural(*offset as u64, "byte"))
            }
            Self::EachByte => f.write_str("one byte at a time"),
            Self::OneWrite => f.write_str("requests in one write"),
            Self::Fragments => f.write_str("messages in fragments of one byte"),
            Self::FragmentsAndPings => f.write_str("messages in fragments with pings between them"),
        }
    }
}

/// All other ways in which a case is to run over this framing, in groups that may run at once.
#[must_use]
pub fn sweep(case: &Case, framing: Framing) -> Vec<Vec<Cutting>> {
    let messages = messages(&case.steps);
    if !case.sweep || messages.is_empty() || framing == Framing::Chunks {
        return Vec::new();
    }
    let mut groups = vec![vec![Cutting::EachByte]];
    if framing == Framing::WebSocket {
        groups[0].extend([Cutting::Fragments, Cutting::FragmentsAndPings]);
    }
    if has_run(&case.steps) {
        groups[0].push(Cutting::OneWrite);
    }
    for (number, text) in messages.iter().enumerate() {
        let bytes = wire_bytes(text, framing);
        let near_an_end =
            |offset: &usize| *offset <= EVERY_BYTE_MAX / 2 || bytes - offset <= EVERY_BYTE_MAX / 2;
        let offsets = (1..bytes).filter(near_an_end);
        groups.push(offsets.map(|offset| Cutting::At { message: number, offset }).collect());
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// The messages that a case's steps send, each once, in the order in which the interpreter counts them.
fn messages(steps: &[Step]) -> Vec<&Text> {
    let mut all = Vec::new();
    for step in steps {
        match &step.action {
            Action::Login(name) => all.push(name),
            Action::Send { messages, cut: Cut::Nowhere } => all.extend(messages),
            Action::Together(inner) => all.extend(self::messages(inner)),
            // The first round.
            Action::Repeat { steps, .. } => all.extend(self::messages(steps)),
            _ => {}
        }
    }
    all
}

/// Bytes that a message surely has on the wire.
fn wire_bytes(text: &Text, framing: Framing) -> usize {
    let bytes = text.bytes_min();
    match framing {
        Framing::Lines | Framing::Chunks => bytes + 1,
        Framing::WebSocket => bytes + 6,
    }
}

/// How many steps from here on go out in one write, with those that follow: sends of one client, each with a reply for each
/// message.
pub(super) fn run_length(steps: &[Step]) -> usize {
    let joins = |step: &Step| {
        let Action::Send { messages, cut: Cut::Nowhere } = &step.action else { return false };
        let last_goes_on = |text: &Text| text.parts != Text::literal("q").parts;
        // What is retried, or timed, goes by its own reply.
        let is_alone = step.retry.is_some() || step.within.is_some();
        !is_alone
            && messages.iter().all(last_goes_on)
            && match &step.expect {
                Some(Expectation::Replies(replies)) => replies.len() == messages.len(),
                Some(Expectation::Any(_)) => messages.len() == 1,
                _ => false,
            }
    };
    let client = steps.first().map(|step| step.client);
    steps.iter().take_while(|step| Some(step.client) == client && joins(step)).count()
}

fn has_run(steps: &[Step]) -> bool {
    (0..steps.len()).any(|from| run_length(&steps[from..]) > 1)
        || steps.iter().any(|step| match &step.action {
            Action::Repeat { steps, times } => *times != Times::Number(1) && has_run(steps),
            _ => false,
        })
}
