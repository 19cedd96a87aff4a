//! Who may come in: an exact count of connections, in all and from each address, and room for those on their way out.

use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::address::limit_key;

/// How many connections may be closing, or be told that there is no room, beside those that are served.
///
/// Each holds a descriptor for a few seconds at most, but for a WebSocket whose client does not take its close: that may
/// have the time-out for replies. Beyond that many a closing connection keeps its seat until it is gone, and those that
/// would be refused wait in the listeners' backlogs.
pub(crate) const DEPARTURES_MAX: usize = 128;

/// The seats of a server, one for each connection that is served.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    seats: Arc<Semaphore>,
    /// `None` where an address may have as many as there are.
    addresses: Option<Arc<Addresses>>,
}

/// What a connection holds while it is served.
#[derive(Debug)]
pub(crate) struct Admitted {
    _permit: OwnedSemaphorePermit,
    _of_address: Option<AddressPermit>,
}

/// Why nothing is free for a connection now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The server has as many connections as it may have.
    Server,
    /// The connection's address has.
    Address,
}

impl Admission {
    /// So many seats in all, and so many for each address.
    pub(crate) fn new(connections_max: usize, each_address_max: Option<NonZeroUsize>) -> Self {
        let addresses =
            each_address_max.map(|max| Arc::new(Addresses { max: max.get(), taken: Mutex::default() }));
        Self { seats: Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS))), addresses }
    }

    /// A seat for a client at `peer`, if one is free now and nobody waits for it.
    pub(crate) fn try_admit(&self, peer: IpAddr) -> Result<Admitted, Full> {
        let of_address = self.of_address(peer)?;
        let permit = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| Full::Server)?;
        Ok(Admitted { _permit: permit, _of_address: of_address })
    }

    /// A seat for a client at `peer`, as soon as one is free; none for an address that has its share by then.
    pub(crate) async fn admit(&self, peer: IpAddr) -> Option<Admitted> {
        let permit = Arc::clone(&self.seats).acquire_owned().await.ok()?;
        Some(Admitted { _permit: permit, _of_address: self.of_address(peer).ok()? })
    }

    fn of_address(&self, peer: IpAddr) -> Result<Option<AddressPermit>, Full> {
        self.addresses.as_ref().map(|addresses| addresses.take(peer).ok_or(Full::Address)).transpose()
    }
}

/// How many connections each address has, of those that have any. Looked at once when a connection begins, and once when
/// it ends.
#[derive(Debug)]
struct Addresses {
    max: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

impl Addresses {
    fn take(self: &Arc<Self>, peer: IpAddr) -> Option<AddressPermit> {
        let address = limit_key(peer);
        let mut taken = self.taken();
        let count = taken.entry(address).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(AddressPermit { address, addresses: Arc::clone(self) })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing under the lock can panic.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of an address's connections.
#[derive(Debug)]
struct AddressPermit {
    address: IpAddr,
    addresses: Arc<Addresses>,
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut taken = self.addresses.taken();
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// Room for connections that are being closed.
#[derive(Debug, Clone)]
pub(crate) struct Departures(Arc<Semaphore>);

impl Departures {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(DEPARTURES_MAX)))
    }

    pub(crate) fn try_enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }

    /// Room, as soon as there is some.
    pub(crate) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}

/// One connection's place: in the server's count, and in its worker's load.
#[derive(Debug)]
pub(crate) struct Seat {
    admitted: Admitted,
    load: Arc<AtomicUsize>,
}

impl Seat {
    pub(crate) fn new(admitted: Admitted, load: Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Self { admitted, load }
    }

    /// A place that nobody else waits for.
    pub(crate) fn alone() -> Self {
        let seats = Arc::new(Semaphore::new(1));
        let permit = seats.try_acquire_owned().expect("a new semaphore of one has a permit");
        Self::new(Admitted { _permit: permit, _of_address: None }, Arc::default())
    }

    /// Gives the place to the next client, where there is room to close in. Called before the client can see the
    /// close, so that the next one is not turned away for somebody who has left (TCP-6).
    pub(crate) fn leave(&mut self, departures: &Departures) {
        if let Some(permit) = departures.try_enter() {
            self.admitted = Admitted { _permit: permit, _of_address: None };
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
    use std::net::Ipv6Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    #[test]
    fn tcp_6_a_seat_is_free_once_its_holder_leaves() {
        let (admission, departures) = (Admission::new(1, None), Departures::new());
        let load = Arc::new(AtomicUsize::new(0));
        let mut seat = Seat::new(admission.try_admit(HERE).unwrap(), Arc::clone(&load));
        assert!(admission.try_admit(HERE).is_err());
        seat.leave(&departures);
        assert!(admission.try_admit(HERE).is_ok());
        assert_eq!(load.load(Ordering::Relaxed), 1, "it is still work for its worker");
        drop(seat);
        assert_eq!(load.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn tcp_6_without_room_to_leave_in_the_seat_stays_taken() {
        let (admission, departures) = (Admission::new(1, None), Departures::new());
        let _leaving: Vec<_> = std::iter::from_fn(|| departures.try_enter()).collect();
        let mut seat = Seat::new(admission.try_admit(HERE).unwrap(), Arc::default());
        seat.leave(&departures);
        assert!(admission.try_admit(HERE).is_err());
    }

    #[test]
    fn an_address_has_its_share_of_seats_and_no_part_of_others_shares() {
        let admission = Admission::new(8, NonZeroUsize::new(2));
        let seat = |peer: &str| admission.try_admit(peer.parse().unwrap());
        let first = [seat("192.0.2.1").unwrap(), seat("::ffff:192.0.2.1").unwrap()];
        assert_eq!(seat("192.0.2.1").err(), Some(Full::Address), "IPv4 by either way is one address");
        let _second = [seat("192.0.2.2").unwrap(), seat("192.0.2.2").unwrap()];
        let _third = [seat("2001:db8::1").unwrap(), seat("2001:db8::2:0:0:1").unwrap()];
        assert_eq!(seat("2001:db8::ffff:ffff:ffff:ffff").err(), Some(Full::Address), "one /64");
        let _fourth = [seat("2001:db8:0:1::1").unwrap(), seat("2001:db8:0:2::1").unwrap()];
        drop(first);
        let _again = [seat("192.0.2.1").unwrap(), seat("192.0.2.1").unwrap()];
        assert_eq!(seat("192.0.2.9").err(), Some(Full::Server));
        let addresses = admission.addresses.as_ref().unwrap();
        assert!(!addresses.taken().contains_key(&"192.0.2.9".parse::<IpAddr>().unwrap()), "not kept");
    }
}
