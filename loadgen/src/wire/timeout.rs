//! Waiting for replies, with a time-out.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::RAW_SILENCE_NS;

/// The time-out has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut;

/// Polls `step` until it is ready, and at least every [`RAW_SILENCE_NS`]: the raw framing ends an odd reply by silence,
/// which wakes no task.
pub async fn poll_with_timeout<T>(
    timeout: Duration,
    mut step: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Result<T, TimedOut> {
    let deadline = Instant::now() + timeout;
    loop {
        let next_poll = Instant::now() + Duration::from_nanos(RAW_SILENCE_NS);
        match timeout_at(deadline.min(next_poll), poll_fn(&mut step)).await {
            Ok(outcome) => return Ok(outcome),
            Err(_) if Instant::now() >= deadline => return Err(TimedOut),
            Err(_) => {}
        }
    }
}
