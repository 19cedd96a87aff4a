//! Chunks over TCP, the original clients' framing (RAW-1): no terminator in either direction.
//!
//! One message is outstanding at a time, and the empty message goes out as one space. A reply ends as soon as its bytes
//! are a whole legal reply. Other bytes count as the reply after 50 ms of silence.

use std::pin::Pin;
use std::task::{Context, Poll};

use twinwire_os::clock::{self, Nanos};

use super::stream::{Outgoing, Stream};
use super::{Ended, REPLY_BYTES_MAX, Reply, ReplyHandler};
use crate::domain::Rule;

/// Silence after which bytes that are not a legal reply count as the reply.
pub const RAW_SILENCE_NS: Nanos = 50_000_000;

/// A connection with one chunk a message.
#[derive(Debug)]
pub struct RawConnection<S> {
    stream: S,
    outgoing: Outgoing,
    reply: Vec<u8>,
    last_byte_at: Nanos,
}

impl<S: Stream> RawConnection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, outgoing: Outgoing::default(), reply: Vec::new(), last_byte_at: 0 }
    }

    /// Closes the sending side in order. Dropping the connection closes the rest.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.stream).poll_shutdown(cx).map(drop)
    }

    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    pub(super) fn push(&mut self, message: &[u8]) {
        let message = if message.is_empty() { b" " } else { message };
        self.outgoing.bytes_mut().extend_from_slice(message);
    }

    pub(super) fn shrink(&mut self) {
        self.outgoing.shrink();
        self.reply.shrink_to_fit();
    }

    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        self.outgoing.flush(&mut self.stream, cx)
    }

    /// The caller polls again at least every [`RAW_SILENCE_NS`] while a reply is due: silence wakes no task.
    pub(super) fn drain(
        &mut self,
        cx: &mut Context<'_>,
        replies: &mut impl ReplyHandler,
    ) -> Result<(), Ended> {
        loop {
            let Self { stream, reply, last_byte_at, .. } = self;
            let keep = |bytes: &[u8], at| {
                reply.extend_from_slice(bytes);
                *last_byte_at = at;
            };
            let Some(came) = stream.read(cx, keep) else { break };
            if let Err(end) = came {
                // What came before the end is a reply, legal or not.
                self.give(replies);
                return Err(end);
            }
            if self.reply.len() > REPLY_BYTES_MAX {
                let what = format!("a reply of over {REPLY_BYTES_MAX} bytes");
                return Err(Ended::Framing { rule: Rule::Raw1, what });
            }
            if replies.is_whole(&self.reply) {
                self.give(replies);
            }
        }
        if !self.reply.is_empty() && clock::now() >= self.last_byte_at + RAW_SILENCE_NS {
            self.give(replies);
        }
        Ok(())
    }

    fn give(&mut self, replies: &mut impl ReplyHandler) {
        if !self.reply.is_empty() {
            replies.reply(Reply { text: &self.reply, binary: false, at: self.last_byte_at });
            self.reply.clear();
        }
    }
}
