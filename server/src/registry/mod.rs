//! Who is logged in: the one thing that worker threads share.
//!
//! A user is here exactly as long as a session holds its name (LIFE-2). Knows nothing of connections, framing or
//! reply texts.

mod leash;
mod limits;
mod policy;
mod role;
mod user;

use std::{num::NonZeroUsize, sync::Arc};

use foldhash::fast::RandomState;

pub(crate) use leash::Gone;
use limits::Quota;
pub use limits::{ENTRY_BYTES, StoreFull, StoreLimits};
pub use policy::{Secret, UpgradePolicy};
use role::Managers;
pub use role::Promotion;
use user::Ended;
pub use user::{Profile, User};

/// The names in use and whom they belong to, and the rule by which guests become managers.
#[derive(Debug)]
pub struct Registry {
    // One atomic insert decides a race for a name (LOGIN-4); reads never wait for writers.
    users: papaya::HashMap<Arc<str>, Arc<User>, RandomState>,
    upgrade: UpgradePolicy,
    managers: Managers,
    quota: Quota,
}

/// What a manager finds in another's store (ROLE-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// The value.
    Value(&'a str),
    /// The user is here and never put that key.
    NoKey,
    /// Nobody holds that name.
    NoUser,
}

impl Registry {
    /// An empty registry under the given policy, with no cap on managers and the default limits on stores.
    #[must_use]
    pub fn new(upgrade: UpgradePolicy) -> Self {
        Self {
            users: papaya::HashMap::with_hasher(RandomState::default()),
            upgrade,
            managers: Managers::new(None),
            quota: Quota::new(StoreLimits::default()),
        }
    }

    /// The same with other limits. For a registry that nobody uses yet.
    #[must_use]
    pub fn with_limits(self, managers_max: Option<NonZeroUsize>, stores: StoreLimits) -> Self {
        Self { managers: Managers::new(managers_max), quota: Quota::new(stores), ..self }
    }

    /// Takes `name` for a new session, with an empty store and the role of a guest; `None` if it is held.
    #[must_use]
    pub fn claim(self: &Arc<Self>, name: &str) -> Option<Login> {
        let name: Arc<str> = name.into();
        let user = Arc::new(User::new());
        self.users.pin().try_insert(Arc::clone(&name), Arc::clone(&user)).ok()?;
        Some(Login { registry: Arc::clone(self), name, user })
    }

    /// Looks `key` up in the store of `user` and passes what is there to `found`.
    ///
    /// `found` runs under the store's lock, so that a value need not be copied twice: it must be short.
    pub fn read<R>(&self, user: &str, key: &str, found: impl FnOnce(Found<'_>) -> R) -> R {
        let users = self.users.pin();
        let Some(user) = users.get(user) else { return found(Found::NoUser) };
        user.read(key, |entry| {
            found(match entry {
                Ok(Some(value)) => Found::Value(value),
                Ok(None) => Found::NoKey,
                Err(Ended) => Found::NoUser,
            })
        })
    }

    /// By which rule guests become managers.
    #[must_use]
    pub fn upgrade_policy(&self) -> &UpgradePolicy {
        &self.upgrade
    }

    /// Makes a user a manager, whatever the policy, if the cap leaves a place (ROLE-8).
    pub fn promote(&self, user: &User) -> Promotion {
        self.managers.promote(&user.role)
    }

    /// Makes a manager a guest, and its place another's; `false` if the user was none.
    pub fn demote(&self, user: &User) -> bool {
        self.managers.demote(&user.role)
    }

    /// Looks a user up by name, for the operator.
    pub(crate) fn find<R>(&self, name: &str, found: impl FnOnce(&User) -> R) -> Option<R> {
        self.users.pin().get(name).map(|user| found(user))
    }

    /// Tells the session of that name to end; `None` if there is none.
    pub(crate) fn dismiss(&self, name: &str) -> Option<Gone> {
        self.find(name, |user| user.leash().pull())
    }

    /// Passes every user to `seen`, in no order. Who comes or goes meanwhile may be in it or not.
    pub(crate) fn for_each(&self, mut seen: impl FnMut(&str, Profile)) {
        for (name, user) in &self.users.pin() {
            if let Some(profile) = user.profile() {
                seen(name, profile);
            }
        }
    }

    /// How many managers there are.
    #[must_use]
    pub fn managers(&self) -> usize {
        self.managers.len()
    }

    /// What all users have stored, as [`StoreLimits::total_bytes_max`] counts it.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        self.quota.total_bytes()
    }

    /// How many names are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether nobody is logged in.
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
    /// The name that is held.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is held.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The user whose session this is.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Stores a copy of `value` under `key`, in place of what was there; where there is no room for the
    /// difference, what was there stays (STORE-1, STORE-3, STORE-7).
    pub fn put(&self, key: &str, value: &str) -> Result<(), StoreFull> {
        self.user.put(key, value, &self.registry.quota)
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        // The store goes first: a manager that found the user a moment ago must not read what a later session of
        // that name would not have. Only the very entry that this session made is removed.
        self.user.end(&self.registry.quota);
        self.registry.managers.end(&self.user.role);
        let _gone = self.registry.users.pin().remove_if(&*self.name, |_, user| Arc::ptr_eq(user, &self.user));
        self.user.leash().release();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn registry() -> Arc<Registry> {
        Arc::new(Registry::new(UpgradePolicy::Open))
    }

    fn value(registry: &Registry, user: &str, key: &str) -> String {
        registry.read(user, key, |found| format!("{found:?}"))
    }

    #[test]
    fn login_2_a_held_name_is_not_given_twice_and_is_free_afterwards() {
        let registry = registry();
        let first = registry.claim("alice").unwrap();
        assert!(registry.claim("alice").is_none());
        assert!(registry.claim("Alice").is_some(), "LOGIN-6: names are case-sensitive");
        drop(first);
        assert!(registry.claim("alice").is_some());
    }

    #[test]
    fn life_2_a_later_session_starts_empty_and_as_a_guest() {
        let registry = registry();
        let first = registry.claim("alice").unwrap();
        first.put("k", "v").unwrap();
        assert_eq!(registry.promote(first.user()), Promotion::Granted);
        assert_eq!(value(&registry, "alice", "k"), r#"Value("v")"#);
        drop(first);
        assert_eq!(value(&registry, "alice", "k"), "NoUser");
        let second = registry.claim("alice").unwrap();
        assert_eq!(value(&registry, "alice", "k"), "NoKey");
        assert!(!second.user().is_manager(), "ROLE-1");
    }

    #[test]
    fn store_5_no_two_pairs_of_user_and_key_collide() {
        let registry = registry();
        let pairs = [("a", "bc"), ("ab", "c"), ("a:b", "c"), ("a", "b:c"), ("role", "role"), ("a", "a")];
        let names: std::collections::HashSet<_> = pairs.iter().map(|(user, _)| *user).collect();
        let logins: std::collections::HashMap<_, _> =
            names.into_iter().map(|name| (name, registry.claim(name).unwrap())).collect();
        for (user, key) in pairs {
            logins[user].put(key, &format!("{user}/{key}")).unwrap();
        }
        for (user, key) in pairs {
            assert_eq!(value(&registry, user, key), format!("Value({:?})", format!("{user}/{key}")));
        }
    }

    #[test]
    fn login_4_of_many_threads_exactly_one_gets_the_name() {
        for _round in 0..200 {
            let registry = registry();
            let barrier = Barrier::new(4);
            let winners: usize = std::thread::scope(|scope| {
                let tries: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            barrier.wait();
                            registry.claim("alice")
                        })
                    })
                    .collect();
                // All are joined before any is counted: a winner that is dropped early would free the name.
                let logins: Vec<_> = tries.into_iter().map(|thread| thread.join().unwrap()).collect();
                logins.iter().flatten().count()
            });
            assert_eq!(winners, 1);
        }
    }

    #[test]
    fn life_2_a_thousand_sessions_leave_nothing_behind() {
        let registry = registry();
        for i in 0..1000 {
            let login = registry.claim(&format!("user{i}")).unwrap();
            login.put("k", "v").unwrap();
            let _ = registry.promote(login.user());
        }
        assert!(registry.is_empty());
        assert_eq!((registry.managers(), registry.stored_bytes()), (0, 0));
    }
}
