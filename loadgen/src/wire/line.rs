//! Lines over TCP or TLS: a message ends at LF, one CR before it is dropped (TCP-1).

use std::pin::Pin;
use std::task::{Context, Poll};

use twinwire_os::clock;

use super::stream::{Outgoing, Stream};
use super::{Ended, REPLY_BYTES_MAX, Reply, ReplyHandler};
use crate::domain::Rule;

/// A connection with one line a message.
#[derive(Debug)]
pub struct LineConnection<S> {
    stream: S,
    outgoing: Outgoing,
    /// The beginning of a line whose end has not come; usually empty.
    partial: Vec<u8>,
}

impl<S: Stream> LineConnection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, outgoing: Outgoing::default(), partial: Vec::new() }
    }

    /// Closes the sending side in order. Dropping the connection closes the rest.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.stream).poll_shutdown(cx).map(drop)
    }

    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    pub(super) fn push(&mut self, message: &[u8]) {
        let bytes = self.outgoing.bytes_mut();
        bytes.extend_from_slice(message);
        bytes.push(b'\n');
    }

    pub(super) fn shrink(&mut self) {
        self.outgoing.shrink();
        self.partial.shrink_to_fit();
    }

    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        self.outgoing.flush(&mut self.stream, cx)
    }

    pub(super) fn drain(
        &mut self,
        cx: &mut Context<'_>,
        replies: &mut impl ReplyHandler,
    ) -> Result<(), Ended> {
        for _ in 0..S::READS_MAX {
            let Self { stream, partial, .. } = self;
            let Some(read) = stream.read(cx, |bytes, at| lines(partial, bytes, at, replies)) else {
                return Ok(());
            };
            read?;
            if self.partial.len() > REPLY_BYTES_MAX {
                let what = format!("over {REPLY_BYTES_MAX} bytes without a line end");
                return Err(Ended::Framing { rule: Rule::Tcp1, what });
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }
}

/// Hands over every line that ends in `bytes`, and keeps the rest in `partial`.
fn lines(partial: &mut Vec<u8>, bytes: &[u8], at: clock::Nanos, replies: &mut impl ReplyHandler) {
    let mut give = |line: &[u8]| {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        replies.reply(Reply { text, binary: false, at });
    };
    let mut rest = bytes;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        if partial.is_empty() {
            give(&rest[..end]);
        } else {
            partial.extend_from_slice(&rest[..end]);
            give(partial);
            partial.clear();
        }
        rest = &rest[end + 1..];
    }
    partial.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Kept(Vec<Vec<u8>>);

    impl ReplyHandler for Kept {
        fn is_whole(&self, _: &[u8]) -> bool {
            true
        }
        fn reply(&mut self, reply: Reply<'_>) {
            self.0.push(reply.text.to_vec());
        }
    }

    proptest! {
        #[test]
        fn tcp_2_segments_change_nothing(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(0_usize..200, 0..8),
        ) {
            let mut whole = (Vec::new(), Kept::default());
            lines(&mut whole.0, &bytes, 0, &mut whole.1);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut parts = (Vec::new(), Kept::default());
            for ends in cuts.windows(2) {
                lines(&mut parts.0, &bytes[ends[0]..ends[1]], 0, &mut parts.1);
            }
            prop_assert_eq!(whole.0, parts.0);
            prop_assert_eq!(whole.1.0, parts.1.0);
        }
    }

    #[test]
    fn tcp_1_one_carriage_return_before_the_end_is_dropped() {
        let (mut partial, mut kept) = (Vec::new(), Kept::default());
        lines(&mut partial, b"done\r\na\r\r\n\nrest", 0, &mut kept);
        assert_eq!(kept.0, [b"done".to_vec(), b"a\r".to_vec(), b"".to_vec()]);
        assert_eq!(partial, b"rest");
    }
}
