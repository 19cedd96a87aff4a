//! What a worker thread and its connections run on. Nothing here knows a byte of the protocol.
//!
//! `executor` runs a worker's connections, `fair_queue` orders those that have more to do than one turn allows, `clock`
//! times them out, `permits` limits their number, `shutdown` stops them, and `log_limit` bounds what they can write to
//! the log.

mod clock;
mod executor;
mod fair_queue;
mod log_limit;
mod permits;
mod shutdown;

/// Runs a test on a runtime like a worker's.
#[cfg(test)]
pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    use tokio::runtime::{Builder, LocalOptions};
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap().block_on(test)
}

pub use shutdown::Shutdown;
pub(crate) use {
    clock::{AlarmKey, CoarseClock, start_ticking},
    executor::{Executor, TaskFuture},
    fair_queue::{FairQueue, QueueSlot},
    log_limit::LogRateLimit,
    permits::{CLOSING_MAX, ClosingPermits, ConnectionLimits, ConnectionPermit, LimitPermits, LimitReached},
    shutdown::{Phase, PhaseCell},
};
