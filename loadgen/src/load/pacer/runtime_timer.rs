//! The runtime's timers: a millisecond coarse, which the report says.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use tokio::sync::Notify;

use crate::measure::clock::{self, Nanos};

#[derive(Debug)]
pub(super) struct Timer {
    due: Cell<Nanos>,
    changed: Notify,
}

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { due: Cell::new(Nanos::MAX), changed: Notify::new() })
    }

    pub(super) fn set(&self, due: Nanos) -> io::Result<()> {
        self.due.set(due);
        self.changed.notify_one();
        Ok(())
    }

    pub(super) async fn expired(&self) -> io::Result<()> {
        loop {
            let due = self.due.get();
            let pause = Duration::from_nanos(due.saturating_sub(clock::now()).min(3_600 * clock::SECOND));
            tokio::select! {
                () = tokio::time::sleep(pause) => {
                    if self.due.get() <= clock::now() {
                        self.due.set(Nanos::MAX);
                        return Ok(());
                    }
                }
                () = self.changed.notified() => {}
            }
        }
    }
}
