//! Who may come in: an exact count of connections, and room for those on their way out.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many connections may be closing, or be told that there is no room, beside those that are served.
///
/// Each holds a descriptor for a few seconds at most, but for a WebSocket whose client does not take its close: that may
/// have the time-out for replies. Beyond that many a closing connection keeps its seat until it is gone, and a refused
/// one is closed without waiting for its client.
pub(super) const DEPARTURES_MAX: usize = 128;

/// The seats of a server, one for each connection that is served.
#[derive(Debug, Clone)]
pub(super) struct Admission {
    seats: Arc<Semaphore>,
}

impl Admission {
    pub(super) fn new(connections_max: usize) -> Self {
        Self { seats: Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS))) }
    }

    /// A permit, if one is free now and nobody waits for it.
    pub(super) fn try_admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.seats).try_acquire_owned().ok()
    }

    /// A permit, as soon as one is free.
    pub(super) async fn admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.seats).acquire_owned().await.ok()
    }
}

/// Room for connections that are being closed.
#[derive(Debug, Clone)]
pub(crate) struct Departures(Arc<Semaphore>);

impl Departures {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(DEPARTURES_MAX)))
    }

    pub(super) fn try_enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// One connection's place: in the server's count, and in its worker's load.
#[derive(Debug)]
pub(crate) struct Seat {
    permit: OwnedSemaphorePermit,
    load: Arc<AtomicUsize>,
}

impl Seat {
    pub(super) fn new(permit: OwnedSemaphorePermit, load: Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Self { permit, load }
    }

    /// A place that nobody else waits for.
    pub(crate) fn alone() -> Self {
        let seats = Arc::new(Semaphore::new(1));
        let permit = seats.try_acquire_owned().expect("a new semaphore of one has a permit");
        Self::new(permit, Arc::default())
    }

    /// Gives the place to the next client, where there is room to close in. Called before the client can see the
    /// close, so that the next one is not turned away for somebody who has left (TCP-6).
    pub(crate) fn leave(&mut self, departures: &Departures) {
        if let Some(permit) = departures.try_enter() {
            self.permit = permit;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_6_a_seat_is_free_once_its_holder_leaves() {
        let (admission, departures) = (Admission::new(1), Departures::new());
        let load = Arc::new(AtomicUsize::new(0));
        let mut seat = Seat::new(admission.try_admit().unwrap(), Arc::clone(&load));
        assert!(admission.try_admit().is_none());
        seat.leave(&departures);
        assert!(admission.try_admit().is_some());
        assert_eq!(load.load(Ordering::Relaxed), 1, "it is still work for its worker");
        drop(seat);
        assert_eq!(load.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn tcp_6_without_room_to_leave_in_the_seat_stays_taken() {
        let (admission, departures) = (Admission::new(1), Departures::new());
        let _leaving: Vec<_> = std::iter::from_fn(|| departures.try_enter()).collect();
        let mut seat = Seat::new(admission.try_admit().unwrap(), Arc::default());
        seat.leave(&departures);
        assert!(admission.try_admit().is_none());
    }
}
