//! Each worker's last requests, kept so that a violation can be shown with the requests that led to it.
//!
//! A request costs one store into a ring of fixed size that no other worker touches.

use twinwire_os::clock::Nanos;

use crate::oracle::{Expectation, TAG_BYTES};

/// Requests that one worker keeps: over a tenth of a second at full rate, which is longer than the sweep interval. They
/// take 1.2 MB.
const KEPT: usize = 16_384;

/// An answered request.
#[derive(Debug, Clone, Copy)]
pub struct LoggedRequest {
    pub client: u32,
    /// Bytes of the reply.
    pub length: u32,
    pub expect: Expectation,
    pub sent: Nanos,
    pub replied: Nanos,
    /// The reply's first bytes: all of most status texts, the tag of a value.
    pub head: [u8; TAG_BYTES],
}

impl LoggedRequest {
    pub fn new(client: u32, expect: Expectation, sent: Nanos, reply: &[u8], replied: Nanos) -> Self {
        let mut head = [0; TAG_BYTES];
        let kept = reply.len().min(TAG_BYTES);
        head[..kept].copy_from_slice(&reply[..kept]);
        Self { client, length: reply.len() as u32, expect, sent, replied, head }
    }

    /// What is kept of the reply.
    pub fn reply(&self) -> &[u8] {
        &self.head[..(self.length as usize).min(TAG_BYTES)]
    }
}

/// One worker's last requests.
#[derive(Debug)]
pub struct RequestLog {
    kept: Vec<LoggedRequest>,
    /// Where the next one goes.
    next: usize,
    /// How many violations it has been searched for.
    pub searched_for: usize,
}

impl Default for RequestLog {
    fn default() -> Self {
        Self { kept: Vec::with_capacity(KEPT), next: 0, searched_for: 0 }
    }
}

impl RequestLog {
    /// Keeps a request in the place of the oldest one.
    pub fn note(&mut self, logged: LoggedRequest) {
        if self.kept.len() < KEPT {
            self.kept.push(logged);
        } else {
            self.kept[self.next] = logged;
        }
        self.next = (self.next + 1) % KEPT;
    }

    /// The requests that are kept, in no order.
    pub fn entries(&self) -> &[LoggedRequest] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_keeps_the_newest_and_does_not_grow() {
        let mut log = RequestLog::default();
        let room = log.kept.capacity();
        for number in 0..KEPT as u64 * 2 + 5 {
            log.note(LoggedRequest::new(1, Expectation::Get { key: 3 }, number, b"done", number + 1));
        }
        assert_eq!((log.kept.len(), log.kept.capacity()), (KEPT, room));
        let oldest = log.kept.iter().map(|logged| logged.sent).min();
        assert_eq!(oldest, Some(KEPT as u64 + 5));
        assert_eq!(log.kept[0].reply(), b"done");
    }

    #[test]
    fn an_entry_stays_small() {
        assert!(size_of::<LoggedRequest>() <= 72, "{}", size_of::<LoggedRequest>());
    }

    #[test]
    fn of_a_long_reply_the_tag_is_kept() {
        let logged = LoggedRequest::new(0, Expectation::Upgrade, 1, &[7; 500], 2);
        assert_eq!((logged.length, logged.reply()), (500, &[7; 16][..]));
    }
}
