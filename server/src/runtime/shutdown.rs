//! The stop of a server: the handle that triggers it, and the phases of a worker.

use std::{cell::Cell, sync::Arc};

use tokio::sync::{Notify, watch};

/// Stops a server. Clones are handles on the same stop.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Shutdown {
    /// A handle that has not been triggered.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Tells the server to stop: it accepts no new connections, answers all that has been received, and closes every
    /// connection cleanly. Returns at once; calling it again changes nothing.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }

    /// Ready once [`Self::trigger`] has been called.
    pub(crate) async fn triggered(&self) {
        // Fails only without a sender, and this handle is one.
        let _ = self.0.subscribe().wait_for(|stop| *stop).await;
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

/// How far a worker's stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Each connection ends as soon as everything received on it is answered.
    Draining,
    /// Nothing more is read.
    Closing,
}

/// A worker's phase, checked by its connections: a load, where a channel would take a lock each time.
#[derive(Debug)]
pub(crate) struct PhaseCell {
    phase: Cell<Phase>,
    changed: Notify,
}

impl PhaseCell {
    pub(crate) fn new() -> Self {
        Self { phase: Cell::new(Phase::Running), changed: Notify::new() }
    }

    pub(crate) fn get(&self) -> Phase {
        self.phase.get()
    }

    /// Enters `phase` and wakes all that wait for [`Self::stopping`].
    pub(crate) fn set(&self, phase: Phase) {
        self.phase.set(phase);
        self.changed.notify_waiters();
    }

    /// Ready when the worker is no longer running.
    pub(crate) async fn stopping(&self) {
        while self.get() == Phase::Running {
            self.changed.notified().await;
        }
    }
}
