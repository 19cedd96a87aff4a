//! Asking outside the load: while a client is set up or leaves, replies are waited for, one or a few at a time.

use std::task::{Context, Poll};
use std::time::Duration;

use crate::measure::clock::Nanos;
use crate::oracle::texts;
use crate::wire::{Connection, Ended, Replies, Reply, wait};

/// Writes what is queued and waits for so many replies. The error is `None` for a time-out.
pub async fn collect(
    connection: &mut Connection,
    count: usize,
    timeout: Duration,
) -> Result<Vec<(String, Nanos)>, Option<Ended>> {
    let mut kept = Kept::default();
    let step = |cx: &mut Context<'_>| {
        let flushed = connection.flush(cx);
        // A server that no longer takes what is written may have said why.
        let drained = connection.drain(cx, &mut kept);
        match flushed.and(drained) {
            _ if kept.0.len() >= count => Poll::Ready(Ok(std::mem::take(&mut kept.0))),
            Ok(()) => Poll::Pending,
            Err(ended) => Poll::Ready(Err(ended)),
        }
    };
    match wait(timeout, step).await {
        Some(outcome) => outcome.map_err(Some),
        None => Err(None),
    }
}

/// Keeps replies as text. Whatever reads like one of the protocol's texts is whole.
#[derive(Default)]
pub struct Kept(Vec<(String, Nanos)>);

impl Kept {
    /// The first of them, if any.
    pub fn into_first(self) -> Option<String> {
        self.0.into_iter().next().map(|(text, _)| text)
    }
}

impl Replies for Kept {
    fn is_whole(&self, bytes: &[u8]) -> bool {
        const WHOLE: [&str; 10] = [
            texts::SUCCESS,
            texts::DUPLICATE_USER_NAME,
            texts::DONE,
            texts::UPGRADED,
            texts::UPGRADE_REFUSED,
            texts::STORE_FULL,
            texts::MESSAGE_TOO_LONG,
            texts::EXITING,
            texts::DENIED,
            texts::WRONG_FORMAT,
        ];
        WHOLE.iter().any(|text| text.as_bytes() == bytes)
    }

    fn reply(&mut self, reply: Reply<'_>) {
        self.0.push((String::from_utf8_lossy(reply.text).into_owned(), reply.at));
    }
}
