//! The clients of one of the operator's listeners: a bounded number at once, of which the oldest gives way.

use std::{
    collections::VecDeque,
    fmt::Display,
    future::Future,
    time::{Duration, Instant},
};

use tokio::{
    task::{JoinHandle, yield_now},
    time::{sleep, sleep_until},
};

use crate::runtime::LogRateLimit;

/// The least time that a client has for its request, however many come after it: some round trips in a local network.
const GRACE: Duration = Duration::from_millis(50);

/// How long accepting pauses after a lasting error, such as too few descriptors.
const ERROR_WAIT: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct BoundedClients {
    served: VecDeque<(Instant, JoinHandle<()>)>,
    max: usize,
    errors: LogRateLimit,
}

impl BoundedClients {
    pub(super) fn new(max: usize) -> Self {
        Self { served: VecDeque::with_capacity(max), max, errors: LogRateLimit::default() }
    }

    /// Waits until there is room for one more. A client asks at once and is answered at once, so the oldest one that is
    /// still there after its time gives way.
    pub(super) async fn wait_for_room(&mut self) {
        // Clients that have just been accepted get to read their request, or to find that the client has gone.
        yield_now().await;
        self.served.retain(|(_, client)| !client.is_finished());
        while self.served.len() >= self.max
            && let Some((since, _)) = self.served.front()
        {
            let end = *since + GRACE;
            if Instant::now() >= end
                && let Some((_, longest)) = self.served.pop_front()
            {
                longest.abort();
                // Its descriptor is closed after this, not before.
                let _ = longest.await;
            } else {
                // Most end by themselves in less.
                let next = Instant::now() + Duration::from_millis(1);
                sleep_until(end.min(next).into()).await;
            }
            self.served.retain(|(_, client)| !client.is_finished());
        }
    }

    /// Serves a client on this thread.
    pub(super) fn serve(&mut self, client: impl Future<Output = ()> + Send + 'static) {
        self.served.push_back((Instant::now(), tokio::spawn(client)));
    }

    /// Logs, within the rate limit, why a client of this kind cannot be accepted, and pauses.
    pub(super) async fn log_and_pause(&self, what: &str, error: impl Display) {
        if let Some(suppressed) = self.errors.pass(Instant::now()) {
            tracing::warn!(%error, suppressed, "cannot accept {what}; trying again");
        }
        sleep(ERROR_WAIT).await;
    }
}
