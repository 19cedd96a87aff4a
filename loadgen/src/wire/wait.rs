//! Waiting for replies, with a time-out.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::SILENCE_NS;

/// Polls `step` until it is ready; `None` once `timeout` has passed.
///
/// It is polled again after each [`SILENCE_NS`] at the latest: the raw framing ends an odd reply by silence, which
/// wakes no task.
pub async fn wait<T>(timeout: Duration, mut step: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    let give_up_at = Instant::now() + timeout;
    loop {
        let look_again = Instant::now() + Duration::from_nanos(SILENCE_NS);
        match timeout_at(give_up_at.min(look_again), poll_fn(&mut step)).await {
            Ok(outcome) => return Some(outcome),
            Err(_) if Instant::now() >= give_up_at => return None,
            Err(_) => {}
        }
    }
}
