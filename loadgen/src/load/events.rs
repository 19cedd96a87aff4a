//! What the engine reports while it runs. The terminal shows it as a bar or as lines.

use std::time::Duration;

use crate::domain::Transport;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A pass begins, with the set-up of its clients.
    PassStarted(PassLabel),
    /// Some clients are connected, logged in and preloaded.
    SettingUp {
        ready: u64,
        /// The number of all clients.
        clients: u64,
    },
    Running(Tick),
    PassEnded,
    /// Something that the user should know now.
    Warning(String),
}

/// A pass, and how far the whole run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassLabel {
    pub load: String,
    /// The variant's label; empty where nothing is swept.
    pub variant: String,
    /// Counts from 1.
    pub trial: u32,
    pub trials: u32,
    /// One, or several that are loaded together.
    pub transports: Vec<Transport>,
    /// Number of the pass, from 1.
    pub pass: usize,
    pub passes: usize,
    /// Warm-up and measured part together.
    pub length: Duration,
}

/// Current figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tick {
    /// Load time since the load began, warm-up included; it stands still between windows.
    pub elapsed: Duration,
    pub replies: u64,
    /// 99th percentile of service over the last whole second, ns.
    pub p99_ns: Option<u64>,
    /// Requests of an open load that are due and not sent.
    pub backlog: u64,
    /// Errors so far in this pass.
    pub errors: u64,
    /// Violations so far in the whole run.
    pub violations: u64,
}

/// Measures the replies a second between ticks.
#[derive(Debug, Clone, Copy, Default)]
pub struct RateMeter {
    elapsed: Duration,
    replies: u64,
}

impl RateMeter {
    /// Replies a second of load time since the last tick.
    pub fn update(&mut self, tick: &Tick) -> f64 {
        let (elapsed, replies) = (tick.elapsed.saturating_sub(self.elapsed), tick.replies - self.replies);
        *self = Self { elapsed: tick.elapsed, replies: tick.replies };
        if elapsed.is_zero() { 0.0 } else { replies as f64 / elapsed.as_secs_f64() }
    }
}
