//! Where a message ends in a stream of bytes: at a line feed, or at the end of one read.
//!
//! No I/O and no meaning: framings only cut. The session judges messages, their sizes included.

use std::ops::ControlFlow;

/// What the handler of messages wants after one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Keep the rest for later: there is no room for replies now, or the turn is over.
    Hold,
    /// The session has ended; discard the rest.
    End,
}

/// Cuts a stream of bytes into messages.
pub(crate) trait Codec: Default {
    /// What follows each reply.
    const TERMINATOR: &'static [u8];

    /// Whether whole messages may have been kept. Nothing is read then; `feed` is called with nothing.
    fn has_pending(&self) -> bool;

    /// Passes each whole message in what was kept and in `fresh` to `run`, in order, until `run` breaks off. A message
    /// that already exceeds `bytes_max` is passed once, as far as it has come.
    fn feed(
        &mut self,
        fresh: &[u8],
        bytes_max: usize,
        run: impl FnMut(&[u8]) -> ControlFlow<Pause>,
    ) -> ControlFlow<Pause>;
}

/// Each chunk is a message as it comes (RAW-1).
#[derive(Debug, Default)]
pub(super) struct Chunks;

impl Codec for Chunks {
    const TERMINATOR: &'static [u8] = b"";

    fn has_pending(&self) -> bool {
        false
    }

    fn feed(
        &mut self,
        fresh: &[u8],
        _bytes_max: usize,
        mut run: impl FnMut(&[u8]) -> ControlFlow<Pause>,
    ) -> ControlFlow<Pause> {
        run(fresh)
    }
}

/// A message ends at a line feed, and one carriage return before it is dropped (TCP-1).
///
/// Each byte is looked at once, however the stream is cut. Memory is held only while a line is incomplete or lines are
/// waiting.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    held: Vec<u8>,
    /// How much of `held` is done. Above 0 only while `holding`.
    start: usize,
    /// Whether `held` may contain whole lines; otherwise it is the beginning of one.
    holding: bool,
}

impl Codec for Lines {
    const TERMINATOR: &'static [u8] = b"\n";

    fn has_pending(&self) -> bool {
        self.holding
    }

    fn feed(
        &mut self,
        fresh: &[u8],
        bytes_max: usize,
        mut run: impl FnMut(&[u8]) -> ControlFlow<Pause>,
    ) -> ControlFlow<Pause> {
        if self.holding {
            return self.resume(bytes_max, run);
        }
        if self.held.is_empty() {
            return self.cut(fresh, bytes_max, run);
        }
        let Some(end) = line_feed(fresh) else {
            self.held.extend_from_slice(fresh);
            return self.check_length(bytes_max, run);
        };
        self.held.extend_from_slice(&fresh[..end]);
        let line = std::mem::take(&mut self.held);
        let rest = &fresh[end + 1..];
        match run(without_cr(&line)) {
            ControlFlow::Continue(()) => self.cut(rest, bytes_max, run),
            pause @ ControlFlow::Break(_) => self.hold(rest, pause),
        }
    }
}

impl Lines {
    /// Runs the lines of `bytes`, which begin at a line's start, and keeps what is left.
    fn cut(
        &mut self,
        bytes: &[u8],
        bytes_max: usize,
        mut run: impl FnMut(&[u8]) -> ControlFlow<Pause>,
    ) -> ControlFlow<Pause> {
        let (done, pause) = run_lines(bytes, &mut run);
        if pause.is_break() {
            return self.hold(&bytes[done..], pause);
        }
        if done == bytes.len() {
            return pause;
        }
        self.held.extend_from_slice(&bytes[done..]);
        self.check_length(bytes_max, run)
    }

    /// Continues after the last pause.
    fn resume(
        &mut self,
        bytes_max: usize,
        mut run: impl FnMut(&[u8]) -> ControlFlow<Pause>,
    ) -> ControlFlow<Pause> {
        let (done, pause) = run_lines(&self.held[self.start..], &mut run);
        self.start += done;
        if pause.is_break() {
            return pause;
        }
        let rest = self.held.split_off(self.start);
        *self = Self { held: rest, start: 0, holding: false };
        self.check_length(bytes_max, run)
    }

    fn hold(&mut self, rest: &[u8], pause: ControlFlow<Pause>) -> ControlFlow<Pause> {
        if pause == ControlFlow::Break(Pause::Hold) && !rest.is_empty() {
            self.held.extend_from_slice(rest);
            self.holding = true;
        }
        pause
    }

    /// A line that exceeds the limit before its end has come is passed on as it is: the session refuses it.
    fn check_length(
        &mut self,
        bytes_max: usize,
        mut run: impl FnMut(&[u8]) -> ControlFlow<Pause>,
    ) -> ControlFlow<Pause> {
        if without_cr(&self.held).len() > bytes_max && !fault!(RefusesLongLinesAtTheirEnd) {
            return run(&std::mem::take(&mut self.held));
        }
        ControlFlow::Continue(())
    }
}

/// Runs whole lines and returns how many bytes they took.
fn run_lines(bytes: &[u8], run: &mut impl FnMut(&[u8]) -> ControlFlow<Pause>) -> (usize, ControlFlow<Pause>) {
    let mut done = 0;
    // Most reads end with a line: no need to search what is empty.
    while done < bytes.len()
        && let Some(length) = line_feed(&bytes[done..])
    {
        let line = &bytes[done..done + length];
        done += length + 1;
        let pause = run(without_cr(line));
        if pause.is_break() {
            return (done, pause);
        }
    }
    (done, ControlFlow::Continue(()))
}

fn line_feed(bytes: &[u8]) -> Option<usize> {
    // Setting up the vectorized search takes as long as looking at some twenty bytes.
    if bytes.len() <= 16 {
        return bytes.iter().position(|byte| *byte == b'\n');
    }
    memchr::memchr(b'\n', bytes)
}

fn without_cr(line: &[u8]) -> &[u8] {
    if fault!(KeepsCarriageReturns) {
        return line;
    }
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::MESSAGE_BYTES_MAX;

    /// All messages of a stream that comes in these segments, with a pause after every `pause_each` of them.
    fn cut<'a>(segments: impl IntoIterator<Item = &'a [u8]>, pause_each: usize) -> Vec<Vec<u8>> {
        let (mut lines, mut messages) = (Lines::default(), Vec::new());
        let mut feed = |lines: &mut Lines, bytes: &[u8]| {
            let _ = lines.feed(bytes, MESSAGE_BYTES_MAX, |message| {
                messages.push(message.to_vec());
                match messages.len() % pause_each {
                    0 => ControlFlow::Break(Pause::Hold),
                    _ => ControlFlow::Continue(()),
                }
            });
        };
        for segment in segments {
            feed(&mut lines, segment);
            while lines.has_pending() {
                feed(&mut lines, b"");
            }
        }
        messages
    }

    #[test]
    fn tcp_1_a_line_feed_ends_a_message_and_one_carriage_return_is_dropped() {
        let messages = cut([b"a\r\nb\n\nc\r\r\nd\re\nrest".as_slice()], usize::MAX);
        assert_eq!(messages, [b"a".as_slice(), b"b", b"", b"c\r", b"d\re"]);
    }

    #[test]
    fn tcp_3_a_line_is_handed_over_as_soon_as_it_is_too_long() {
        let fits = [vec![b'a'; MESSAGE_BYTES_MAX], b"\r\n".to_vec()].concat();
        assert_eq!(cut(fits.chunks(1000), usize::MAX)[0].len(), MESSAGE_BYTES_MAX);
        let over = vec![b'a'; MESSAGE_BYTES_MAX + 1];
        assert_eq!(cut(over.chunks(1000), usize::MAX)[0].len(), MESSAGE_BYTES_MAX + 1);
    }

    #[test]
    fn tcp_5_an_unterminated_line_is_never_handed_over() {
        assert!(cut([b"put a b".as_slice()], usize::MAX).is_empty());
    }

    #[test]
    fn nothing_is_held_between_whole_lines() {
        let mut lines = Lines::default();
        let _ = lines.feed(b"hal", MESSAGE_BYTES_MAX, |_| ControlFlow::Continue(()));
        let _ = lines.feed(b"f\nwhole\n", MESSAGE_BYTES_MAX, |_| ControlFlow::Continue(()));
        assert_eq!(lines.held.capacity(), 0);
    }

    proptest! {
        #[test]
        fn tcp_2_how_a_stream_is_cut_changes_nothing(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(0usize..200, 0..20),
            pause_each in 1usize..5,
        ) {
            let mut at: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            at.sort_unstable();
            let segments = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
            // The rule in its plainest form: split at line feeds, drop what follows the last, and one CR each.
            let mut expected: Vec<_> = bytes.split(|byte| *byte == b'\n').map(|line| without_cr(line).to_vec()).collect();
            expected.pop();
            prop_assert_eq!(cut(segments, pause_each), expected);
        }
    }
}
