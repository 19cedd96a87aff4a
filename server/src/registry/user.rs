//! One user: a role and a store. Both last as long as one session.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use super::{
    disconnect::DisconnectRequest,
    limits::{Quota, StoreFull, Usage},
    role::Role,
    store::Entries,
};
use crate::protocol::Transport;

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) entries: Entries,
    pub(super) usage: Usage,
}

/// The client at the other end of a session's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// What its connection speaks.
    pub transport: Transport,
}

impl Peer {
    /// A client on this machine, for tests and benches that have no connection.
    #[cfg(any(test, feature = "fuzzing"))]
    pub const LOCAL: Self = Self {
        address: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1),
        transport: Transport::Tcp,
    };
}

/// A logged-in user, shared between its own session and the managers that read its store.
#[derive(Debug)]
pub(crate) struct User {
    /// Kept apart from the entries: nothing that a client stores can change it (ROLE-5).
    pub(super) role: Role,
    /// `None` once the session has ended. The lock makes every entry an atomic register (ATOM-1). It is nearly always
    /// uncontended, and then costs some ten nanoseconds.
    store: Mutex<Option<Store>>,
    disconnect_request: DisconnectRequest,
    since: Instant,
    peer: Peer,
    /// When the session's last request came, in milliseconds from the registry's start. Written only by the session's
    /// thread. Next to the store's lock, so that it lies in a cache line that the thread has just written.
    active_ms: AtomicU64,
}

/// A user as the operator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UserInfo {
    pub(crate) is_manager: bool,
    pub(crate) usage: Usage,
    /// When it logged in.
    pub(crate) since: Instant,
    /// When its last request came, in milliseconds from the registry's start.
    pub(crate) active_ms: u64,
    pub(crate) peer: Peer,
}

/// The user's session has ended, and its store is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionEnded;

impl User {
    /// A guest with an empty store.
    pub(super) fn new(peer: Peer) -> Self {
        Self {
            role: Role::guest(),
            store: Mutex::new(Some(Store::default())),
            disconnect_request: DisconnectRequest::default(),
            since: Instant::now(),
            peer,
            active_ms: AtomicU64::new(0),
        }
    }

    /// Notes a request, at this many milliseconds from the registry's start.
    pub(crate) fn note_active(&self, now_ms: u64) {
        self.active_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(crate) fn disconnect_request(&self) -> &DisconnectRequest {
        &self.disconnect_request
    }

    /// `None` if its session has ended.
    pub(super) fn info(&self) -> Option<UserInfo> {
        let usage = self.store().as_ref()?.usage;
        Some(UserInfo {
            is_manager: self.is_manager(),
            usage,
            since: self.since,
            active_ms: self.active_ms.load(Ordering::Relaxed),
            peer: self.peer,
        })
    }

    pub(crate) fn is_manager(&self) -> bool {
        self.role.is_manager()
    }

    /// Stores a copy of `value` under `key`, in place of the old value (STORE-1, STORE-3), if `quota` has room for the
    /// difference; otherwise the old value stays (STORE-7).
    pub(super) fn put(&self, key: &str, value: &str, quota: &Quota) -> Result<(), StoreFull> {
        // Copied before the lock is taken, and the old value is freed after it: allocation is the slow part.
        let mut value: Box<str> = value.into();
        if let Some(Store { entries, usage }) = self.store().as_mut() {
            if let Some(entry) = entries.get_mut(key) {
                quota.replace(usage, entry.len(), value.len())?;
                std::mem::swap(entry, &mut value);
            } else {
                quota.add(usage, key.len() + value.len())?;
                entries.insert(key.into(), value);
            }
        }
        Ok(())
    }

    /// Passes the value under `key`, if there is one, to `found`, which runs under the store's lock.
    pub(crate) fn get<R>(&self, key: &str, found: impl FnOnce(Option<&str>) -> R) -> R {
        self.read(key, |entry| found(entry.unwrap_or_default()))
    }

    /// As [`Self::get`], but distinguishes an ended session from a missing key.
    pub(super) fn read<R>(
        &self,
        key: &str,
        found: impl FnOnce(Result<Option<&str>, SessionEnded>) -> R,
    ) -> R {
        let store = self.store();
        found(match store.as_ref() {
            Some(store) => Ok(store.entries.get(key)),
            None => Err(SessionEnded),
        })
    }

    /// Ends the session. The store, which is returned to be freed, can no longer be reached.
    pub(super) fn end(&self) -> Option<Store> {
        self.store().take()
    }

    fn store(&self) -> MutexGuard<'_, Option<Store>> {
        // A panic under the lock can only come from a reply's callback, which does not touch the entries: they are
        // intact, and one session's fault must not become another's (LIFE-5).
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::registry::StoreLimits;

    fn quota() -> Quota {
        Quota::new(StoreLimits::default())
    }

    #[test]
    fn life_5_a_panic_under_the_lock_leaves_the_store_usable() {
        let (user, quota) = (User::new(Peer::LOCAL), quota());
        user.put("k", "v", &quota).unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| user.get("k", |_| panic!("a faulty sink"))));
        assert!(panicked.is_err());
        user.put("k", "w", &quota).unwrap();
        assert_eq!(user.get("k", |value| value.map(str::to_owned)).as_deref(), Some("w"));
    }

    #[test]
    fn atom_2_nothing_is_put_after_the_end() {
        let (user, quota) = (User::new(Peer::LOCAL), quota());
        assert!(user.end().is_some());
        user.put("k", "v", &quota).unwrap();
        assert_eq!(quota.total_bytes(), 0);
        assert_eq!(user.read("k", |entry| entry.map(|value| value.map(str::to_owned))), Err(SessionEnded));
    }
}
