//! The logged-in users: the one thing that worker threads share.
//!
//! A user is here exactly as long as a session holds its name (LIFE-2). The registry knows nothing of connections,
//! framing or reply texts.

mod disconnect;
mod limits;
mod policy;
mod reclaim;
mod role;
mod secret_throttle;
mod store;
mod user;

use std::{net::IpAddr, num::NonZeroUsize, sync::Arc, time::Instant};

use foldhash::fast::RandomState;

pub(crate) use disconnect::SessionEnd;
use limits::Quota;
pub use limits::{ENTRY_BYTES, StoreLimits};
pub(crate) use limits::{StoreFull, Usage};
pub use policy::{Secret, UpgradePolicy};
pub(crate) use reclaim::Reclaimer;
use role::Managers;
pub(crate) use role::Promotion;
pub(crate) use secret_throttle::SecretAttempt;
use secret_throttle::SecretThrottle;
pub use user::Peer;
use user::SessionEnded;
pub(crate) use user::{User, UserInfo};

/// The names in use with their users, and the policy by which guests become managers.
#[derive(Debug)]
pub struct Registry {
    // One atomic insert decides a race for a name (LOGIN-4); reads never wait for writers.
    users: papaya::HashMap<Arc<str>, Arc<User>, RandomState>,
    upgrade: UpgradePolicy,
    throttle: SecretThrottle,
    managers: Managers,
    quota: Quota,
    reclaimer: Option<Reclaimer>,
    started: Instant,
}

/// What a manager finds in another's store (ROLE-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// The value.
    Value(&'a str),
    /// The user is logged in and has not put that key.
    NoKey,
    /// No session holds that name.
    NoUser,
}

impl Registry {
    /// An empty registry with this policy, no limit on managers and the default limits on stores.
    #[must_use]
    pub fn new(upgrade: UpgradePolicy) -> Self {
        Self {
            users: papaya::HashMap::with_hasher(RandomState::default()),
            upgrade,
            throttle: SecretThrottle::new(),
            managers: Managers::new(None),
            quota: Quota::new(StoreLimits::default()),
            reclaimer: None,
            started: Instant::now(),
        }
    }

    /// The same registry with other limits. Must be called before it is used.
    #[must_use]
    pub fn with_limits(self, managers_max: Option<NonZeroUsize>, stores: StoreLimits) -> Self {
        Self { managers: Managers::new(managers_max), quota: Quota::new(stores), ..self }
    }

    /// The same registry, whose large stores are freed on the reclaimer's thread.
    pub(crate) fn with_reclaimer(self, reclaimer: Reclaimer) -> Self {
        Self { reclaimer: Some(reclaimer), ..self }
    }

    /// When the registry was made. Users' activity is timed from then on.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Takes `name` for the session of the client at `peer`, with an empty store and the role of a guest; `None` if it
    /// is held.
    #[must_use]
    pub fn claim(self: &Arc<Self>, name: &str, peer: Peer) -> Option<Login> {
        let name: Arc<str> = name.into();
        let user = Arc::new(User::new(peer));
        #[cfg(feature = "faults")]
        if fault!(LetsTwoHoldAName)
            || fault!(ChecksNamesThenTakesThem) && !self.users.pin().contains_key(&*name)
        {
            std::thread::sleep(std::time::Duration::from_millis(1));
            self.users.pin().insert(Arc::clone(&name), Arc::clone(&user));
            return Some(Login { registry: Arc::clone(self), name, user });
        }
        self.users.pin().try_insert(Arc::clone(&name), Arc::clone(&user)).ok()?;
        Some(Login { registry: Arc::clone(self), name, user })
    }

    /// Looks `key` up in the store of `user` and passes the result to `found`.
    ///
    /// `found` runs under the store's lock, so that a value need not be copied twice: it must be short.
    pub fn read<R>(&self, user: &str, key: &str, found: impl FnOnce(Found<'_>) -> R) -> R {
        let users = self.users.pin();
        let Some(user) = users.get(user) else { return found(Found::NoUser) };
        user.read(key, |entry| {
            found(match entry {
                Ok(Some(value)) => Found::Value(value),
                Ok(None) => Found::NoKey,
                Err(SessionEnded) => Found::NoUser,
            })
        })
    }

    pub(crate) fn upgrade_policy(&self) -> &UpgradePolicy {
        &self.upgrade
    }

    /// Makes a user a manager, whatever the policy, if the limit on managers allows it (ROLE-8).
    pub(crate) fn promote(&self, user: &User) -> Promotion {
        self.managers.promote(&user.role)
    }

    /// Makes a manager a guest, which makes room for another manager; `false` if the user was a guest.
    pub(crate) fn demote(&self, user: &User) -> bool {
        self.managers.demote(&user.role)
    }

    /// Looks a user up by name, for the operator.
    pub(crate) fn find<R>(&self, name: &str, found: impl FnOnce(&User) -> R) -> Option<R> {
        self.users.pin().get(name).map(|user| found(user))
    }

    /// Asks the session of that name to end; `None` if there is none.
    pub(crate) fn disconnect(&self, name: &str) -> Option<SessionEnd> {
        self.find(name, |user| user.disconnect_request().request())
    }

    /// Passes every user to `seen`, in no order. Users that come or go meanwhile may be missed or not.
    pub(crate) fn for_each(&self, mut seen: impl FnMut(&str, UserInfo)) {
        for (name, user) in &self.users.pin() {
            if let Some(info) = user.info() {
                seen(name, info);
            }
        }
    }

    /// The number of managers.
    #[must_use]
    pub fn managers(&self) -> usize {
        self.managers.len()
    }

    /// What all users have stored and what is not freed yet, counted as for [`StoreLimits::total_bytes_max`].
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        self.quota.total_bytes()
    }

    /// The number of logged-in users.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether no user is logged in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// A held name. Dropping it frees the name and the store, even when a panic unwinds through the session.
#[derive(Debug)]
pub struct Login {
    registry: Arc<Registry>,
    name: Arc<str>,
    user: Arc<User>,
}

impl Login {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn user(&self) -> &User {
        &self.user
    }

    /// The user, at `peer`, has tried a secret, right or wrong.
    pub(crate) fn attempt_upgrade(&self, peer: IpAddr, is_right: bool) -> SecretAttempt {
        SecretAttempt::begin(&self.registry, peer, is_right)
    }

    /// Stores a copy of `value` under `key`, in place of the old value. If there is no room for the difference, the old
    /// value stays (STORE-1, STORE-3, STORE-7).
    pub(crate) fn put(&self, key: &str, value: &str) -> Result<(), StoreFull> {
        self.user.put(key, value, &self.registry.quota)
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        // The store goes first: a manager that found the user a moment ago must not read what a later session of that
        // name would not have. Only the entry that this session made is removed.
        let store = self.user.end();
        self.registry.managers.end(&self.user.role);
        let _gone = self.registry.users.pin().remove_if(&*self.name, |_, user| Arc::ptr_eq(user, &self.user));
        self.user.disconnect_request().session_ended();
        tracing::debug!(user = &*self.name, "the session has ended");
        // Last, so that the name need not wait for it.
        if let Some(store) = store {
            reclaim::reclaim(store, &self.registry);
        }
    }
}

#[cfg(test)]
mod tests;
