//! Load time, and the window that runs.

use std::cell::Cell;

use twinwire_os::clock::{self, Nanos, SECOND};

use super::super::context::PassContext;
use super::super::evidence::WindowClock;
use super::super::plan::WindowPlan;
use crate::measure::recorder::TimeRange;

/// How long a backlog may be worked off after the load's end. What is left then was offered and not served.
const DRAIN_MAX: Nanos = SECOND;

/// Load time and the clock in the window that runs.
#[derive(Debug)]
pub struct LoadClock {
    /// The clock's instant of load time 0.
    origin: Cell<Nanos>,
    window: Cell<WindowPlan>,
    measured: TimeRange,
}

impl LoadClock {
    pub fn new(context: &PassContext) -> Self {
        let from = clock::nanos(context.load().warmup);
        let measured = TimeRange { from, until: from + clock::nanos(context.load().duration()) };
        Self { origin: Cell::new(0), window: Cell::new(context.plan.windows[0]), measured }
    }

    /// A window begins at this instant of the clock.
    pub fn begin(&self, window: WindowPlan, at: Nanos) {
        self.window.set(window);
        self.origin.set(at - window.from);
    }

    /// The clock's instant of load time 0.
    pub fn origin(&self) -> Nanos {
        self.origin.get()
    }

    pub fn window(&self) -> WindowPlan {
        self.window.get()
    }

    /// The part of the load that is measured, in load time.
    pub fn measured(&self) -> TimeRange {
        self.measured
    }

    /// Load time of an instant of the clock.
    pub fn load_time(&self, at: Nanos) -> Nanos {
        at.saturating_sub(self.origin.get())
    }

    /// The clock's instant of a load time in the window that runs.
    pub fn clock_time(&self, at: Nanos) -> Nanos {
        at + self.origin.get()
    }

    /// End of the window, by the clock.
    pub fn until(&self) -> Nanos {
        self.clock_time(self.window.get().until)
    }

    /// When a backlog is given up, by the clock.
    pub fn drained_at(&self) -> Nanos {
        self.until() + DRAIN_MAX.min(self.window.get().length())
    }

    /// How to convert instants of this window to seconds of the load.
    pub fn timing(&self) -> WindowClock {
        let origin = self.origin.get();
        WindowClock { origin, since: origin + self.window.get().from, measured_from: self.measured.from }
    }
}
