//! Lines over TCP: a message ends at LF, one CR before it is dropped (TCP-1).

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::traffic::{Meter, Traffic};
use super::{Ended, Replies, Reply};
use crate::measure::clock;

/// Bytes that one read takes at most. Larger than any message, so that a batch of replies costs one system call.
const READ_BYTES: usize = 128 * 1024;

/// Longest line that is kept while its end is awaited: twice a message's limit. A peer that sends more without an
/// end does not speak the protocol.
const LINE_BYTES_MAX: usize = 2 * 65_536;

/// Reads in a row before other connections get their turn; a flood must not starve them.
const READS_MAX: usize = 16;

/// An outgoing buffer that has grown beyond this is given back once it is empty.
const IDLE_CAPACITY_MAX: usize = 4096;

thread_local! {
    /// One for all connections of a worker: an idle connection then holds no buffer at all.
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// Reads once into the worker's buffer and gives what came, with its instant. `None`: nothing there now.
pub(super) fn read<R>(
    stream: &mut TcpStream,
    traffic: &Traffic,
    cx: &mut Context<'_>,
    take: impl FnOnce(&[u8], clock::Nanos) -> R,
) -> Option<Result<R, Ended>> {
    READ_BUFFER.with_borrow_mut(|buffer| {
        let mut into = ReadBuf::new(buffer);
        match Pin::new(stream).poll_read(cx, &mut into) {
            Poll::Pending => None,
            Poll::Ready(Err(error)) => Some(Err(Ended::from_io(&error))),
            Poll::Ready(Ok(())) if into.filled().is_empty() => Some(Err(Ended::Closed)),
            Poll::Ready(Ok(())) => {
                let at = clock::now();
                traffic.add_received(into.filled().len());
                Some(Ok(take(into.filled(), at)))
            }
        }
    })
}

/// What waits to be written to a stream.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
}

impl Outgoing {
    /// Gives back what it holds beyond what waits.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }

    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Writes as much as goes; `true` once nothing waits.
    pub(super) fn flush(
        &mut self,
        stream: &mut TcpStream,
        traffic: &Traffic,
        cx: &mut Context<'_>,
    ) -> Result<bool, Ended> {
        while self.written < self.bytes.len() {
            match Pin::new(&mut *stream).poll_write(cx, &self.bytes[self.written..]) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(0)) => return Err(Ended::Reset),
                Poll::Ready(Ok(written)) => {
                    self.written += written;
                    traffic.add_sent(written);
                }
                Poll::Ready(Err(error)) => return Err(Ended::from_io(&error)),
            }
        }
        self.written = 0;
        self.bytes.clear();
        if self.bytes.capacity() > IDLE_CAPACITY_MAX {
            self.bytes = Vec::new();
        }
        Ok(true)
    }
}

/// A connection with one line a message.
#[derive(Debug)]
pub struct LineConnection {
    stream: TcpStream,
    meter: Meter,
    outgoing: Outgoing,
    /// The beginning of a line whose end has not come; mostly empty.
    partial: Vec<u8>,
}

impl LineConnection {
    pub(super) fn new(stream: TcpStream, traffic: Arc<Traffic>) -> Self {
        let meter = Meter::new(&stream, traffic);
        Self { stream, meter, outgoing: Outgoing::default(), partial: Vec::new() }
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
        self.outgoing.flush(&mut self.stream, &self.meter, cx)
    }

    pub(super) fn drain(&mut self, cx: &mut Context<'_>, replies: &mut impl Replies) -> Result<(), Ended> {
        for _ in 0..READS_MAX {
            let Self { stream, meter, partial, .. } = self;
            let Some(read) = read(stream, meter, cx, |bytes, at| lines(partial, bytes, at, replies)) else {
                return Ok(());
            };
            read?;
            if self.partial.len() > LINE_BYTES_MAX {
                let what = format!("over {LINE_BYTES_MAX} bytes without a line end");
                return Err(Ended::Framing { rule: "TCP-1", what });
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }
}

/// Hands over every line that ends in `bytes`; what is left goes into `partial`.
fn lines(partial: &mut Vec<u8>, bytes: &[u8], at: clock::Nanos, replies: &mut impl Replies) {
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

    impl Replies for Kept {
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
