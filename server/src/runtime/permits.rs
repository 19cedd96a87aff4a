//! Permits for connections: exact limits on all of them and on those of each address, and some for closing connections.

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

/// How many connections may be closing, or waiting for a permit or a refusal, besides those that are served.
///
/// Each holds a descriptor for a few seconds at most; only a WebSocket whose client does not take its close frame may hold
/// one for as long as the time-out for replies. Further closing connections keep their permits until they are gone, and
/// further clients that would be refused wait in the listeners' backlogs.
pub(crate) const CLOSING_MAX: usize = 128;

/// The permits of a server, one for each connection that is served.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimits {
    connections: Arc<Semaphore>,
    /// `None` if addresses have no limit of their own.
    by_address: Option<Arc<AddressCounts>>,
}

/// A share of both limits, which is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct LimitPermits {
    _permit: OwnedSemaphorePermit,
    _address: Option<AddressPermit>,
}

/// The limit that leaves no permit for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitReached {
    /// That on all connections.
    Server,
    /// That on the connections of one address.
    Address,
}

impl ConnectionLimits {
    pub(crate) fn new(connections_max: usize, per_address_max: Option<NonZeroUsize>) -> Self {
        let by_address =
            per_address_max.map(|max| Arc::new(AddressCounts { max: max.get(), counts: Mutex::default() }));
        Self {
            connections: Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS))),
            by_address,
        }
    }

    /// A permit for a client at `peer`, if one is free and no other client waits for it.
    pub(crate) fn try_acquire(&self, peer: IpAddr) -> Result<LimitPermits, LimitReached> {
        let address_permit = self.address_permit(peer)?;
        let permit = Arc::clone(&self.connections).try_acquire_owned().map_err(|_| LimitReached::Server)?;
        Ok(LimitPermits { _permit: permit, _address: address_permit })
    }

    /// A permit for a client at `peer`, as soon as one is free; `None` if its address is at its limit by then.
    pub(crate) async fn acquire(&self, peer: IpAddr) -> Option<LimitPermits> {
        let permit = Arc::clone(&self.connections).acquire_owned().await.ok()?;
        Some(LimitPermits { _permit: permit, _address: self.address_permit(peer).ok()? })
    }

    fn address_permit(&self, peer: IpAddr) -> Result<Option<AddressPermit>, LimitReached> {
        self.by_address
            .as_ref()
            .map(|by_address| by_address.take(peer).ok_or(LimitReached::Address))
            .transpose()
    }
}

/// The number of connections of each address that has any. Only the beginning and the end of a connection use it.
#[derive(Debug)]
struct AddressCounts {
    max: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

impl AddressCounts {
    fn take(self: &Arc<Self>, peer: IpAddr) -> Option<AddressPermit> {
        let address = limit_key(peer);
        let mut counts = self.counts();
        let count = counts.entry(address).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(AddressPermit { address, by_address: Arc::clone(self) })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing under the lock can panic.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct AddressPermit {
    address: IpAddr,
    by_address: Arc<AddressCounts>,
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut counts = self.by_address.counts();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// The permits of closing connections and of those that wait to be served or refused.
#[derive(Debug, Clone)]
pub(crate) struct ClosingPermits(Arc<Semaphore>);

impl ClosingPermits {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(CLOSING_MAX)))
    }

    pub(crate) fn try_acquire(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }

    pub(crate) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}

/// What a connection holds while it is served: its share of the limits, and a count among its worker's connections.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    permits: LimitPermits,
    worker_connections: Arc<AtomicUsize>,
}

impl ConnectionPermit {
    pub(crate) fn new(permits: LimitPermits, worker_connections: Arc<AtomicUsize>) -> Self {
        worker_connections.fetch_add(1, Ordering::Relaxed);
        Self { permits, worker_connections }
    }

    /// A permit outside of any server.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn unlimited() -> Self {
        let connections = Arc::new(Semaphore::new(1));
        let permit = connections.try_acquire_owned().expect("a new semaphore of one has a permit");
        Self::new(LimitPermits { _permit: permit, _address: None }, Arc::default())
    }

    /// Gives the share of the limits back, in exchange for a closing permit if there is one. Called before the client can
    /// see the close, so that the next client is not refused because of one that has left (TCP-6).
    pub(crate) fn release_early(&mut self, closing: &ClosingPermits) {
        if let Some(permit) = closing.try_acquire() {
            self.permits = LimitPermits { _permit: permit, _address: None };
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.worker_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    #[test]
    fn tcp_6_a_permit_is_free_once_its_connection_closes() {
        let (limits, closing) = (ConnectionLimits::new(1, None), ClosingPermits::new());
        let worker_connections = Arc::new(AtomicUsize::new(0));
        let mut permit =
            ConnectionPermit::new(limits.try_acquire(HERE).unwrap(), Arc::clone(&worker_connections));
        assert!(limits.try_acquire(HERE).is_err());
        permit.release_early(&closing);
        assert!(limits.try_acquire(HERE).is_ok());
        assert_eq!(worker_connections.load(Ordering::Relaxed), 1, "it is still work for its worker");
        drop(permit);
        assert_eq!(worker_connections.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn tcp_6_without_a_closing_permit_the_permit_stays_taken() {
        let (limits, closing) = (ConnectionLimits::new(1, None), ClosingPermits::new());
        let _closing: Vec<_> = std::iter::from_fn(|| closing.try_acquire()).collect();
        let mut permit = ConnectionPermit::new(limits.try_acquire(HERE).unwrap(), Arc::default());
        permit.release_early(&closing);
        assert!(limits.try_acquire(HERE).is_err());
    }

    #[test]
    fn an_address_has_its_own_limit_and_takes_nothing_from_others() {
        let limits = ConnectionLimits::new(8, NonZeroUsize::new(2));
        let permit = |peer: &str| limits.try_acquire(peer.parse().unwrap());
        let first = [permit("192.0.2.1").unwrap(), permit("::ffff:192.0.2.1").unwrap()];
        assert_eq!(
            permit("192.0.2.1").err(),
            Some(LimitReached::Address),
            "IPv4 in either form is one address"
        );
        let _second = [permit("192.0.2.2").unwrap(), permit("192.0.2.2").unwrap()];
        let _third = [permit("2001:db8::1").unwrap(), permit("2001:db8::2:0:0:1").unwrap()];
        assert_eq!(permit("2001:db8::ffff:ffff:ffff:ffff").err(), Some(LimitReached::Address), "one /64");
        let _fourth = [permit("2001:db8:0:1::1").unwrap(), permit("2001:db8:0:2::1").unwrap()];
        drop(first);
        let _again = [permit("192.0.2.1").unwrap(), permit("192.0.2.1").unwrap()];
        assert_eq!(permit("192.0.2.9").err(), Some(LimitReached::Server));
        let by_address = limits.by_address.as_ref().unwrap();
        assert!(!by_address.counts().contains_key(&"192.0.2.9".parse::<IpAddr>().unwrap()), "not kept");
    }
}
