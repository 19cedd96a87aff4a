//! What went over the wire in one run of a case: bytes, times, and what was done.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Most bytes of one write or read that are kept; of more, the first are.
const BYTES_KEPT_MAX: usize = 4096;

/// Most entries that are kept.
const ENTRIES_MAX: usize = 1000;

/// What happened in a case's run, in order. All of its clients share it.
#[derive(Debug, Clone)]
pub struct Transcript {
    started: Instant,
    entries: Rc<RefCell<Vec<Entry>>>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Since the run began.
    pub at: Duration,
    /// Index of the client in the case.
    pub client: usize,
    /// What it was.
    pub what: Happened,
}

/// What happened to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// It sent bytes; of many only the first are kept, `length` counts all.
    Sent {
        /// The first of them.
        bytes: Vec<u8>,
        /// How many there were.
        length: usize,
    },
    /// It received bytes.
    Received {
        /// The first of them.
        bytes: Vec<u8>,
        /// How many there were.
        length: usize,
    },
    /// Something else, in words.
    Note(String),
}

impl Transcript {
    pub(super) fn begin() -> Self {
        Self { started: Instant::now(), entries: Rc::default() }
    }

    pub(super) fn sent(&self, client: usize, bytes: &[u8]) {
        self.add(client, Happened::Sent { bytes: kept(bytes), length: bytes.len() });
    }

    pub(super) fn received(&self, client: usize, bytes: &[u8]) {
        self.add(client, Happened::Received { bytes: kept(bytes), length: bytes.len() });
    }

    pub(super) fn note(&self, client: usize, note: impl Into<String>) {
        self.add(client, Happened::Note(note.into()));
    }

    fn add(&self, client: usize, what: Happened) {
        let mut entries = self.entries.borrow_mut();
        if entries.len() < ENTRIES_MAX {
            entries.push(Entry { at: self.started.elapsed(), client, what });
        }
    }

    /// What was kept.
    pub(super) fn take(&self) -> Vec<Entry> {
        self.entries.take()
    }
}

fn kept(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len().min(BYTES_KEPT_MAX)].to_vec()
}
