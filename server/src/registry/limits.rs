//! The limits on what users may store, and the count of what they do store (STORE-7).

use std::sync::atomic::{AtomicUsize, Ordering};

/// What stores may hold. A put that would exceed any of these is refused and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// The most keys of one user.
    pub user_keys_max: usize,
    /// The most bytes of one user's keys and values.
    pub user_bytes_max: usize,
    /// The most bytes of all users together: keys, values, and [`ENTRY_BYTES`] for each entry, so that it bounds the
    /// memory of short entries too. A large store counts until it is freed, a moment after its session's end.
    pub total_bytes_max: usize,
}

/// About what an entry takes besides its key and value: its place in the table, and the overhead of two allocations.
pub const ENTRY_BYTES: usize = 96;

impl Default for StoreLimits {
    /// A million keys and 64 MiB for each user, 1 GiB for all: room for any sensible use on a small machine.
    fn default() -> Self {
        Self { user_keys_max: 1_000_000, user_bytes_max: 64 << 20, total_bytes_max: 1 << 30 }
    }
}

/// A limit would be exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreFull;

/// The limits, and what all users together have stored.
#[derive(Debug)]
pub(super) struct Quota {
    limits: StoreLimits,
    total: Total,
}

/// The bytes of all users. On a cache line of its own: workers that read the limits need not wait for those that count.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Total(AtomicUsize);

/// What one user has stored. Changed only under the lock of that user's store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) keys: usize,
    /// Of keys and values.
    pub(crate) bytes: usize,
}

impl Quota {
    pub(super) fn new(limits: StoreLimits) -> Self {
        Self { limits, total: Total::default() }
    }

    /// Counts a new entry of `bytes` bytes, if there is room for it.
    pub(super) fn add(&self, usage: &mut Usage, bytes: usize) -> Result<(), StoreFull> {
        if usage.keys >= self.limits.user_keys_max && !fault!(HasNoKeyLimit) {
            return Err(StoreFull);
        }
        let after = self.within_user(usage.bytes, bytes)?;
        self.take(bytes.saturating_add(ENTRY_BYTES))?;
        *usage = Usage { keys: usage.keys + 1, bytes: after };
        Ok(())
    }

    /// Counts a value of `new` bytes in place of one of `old`, if there is room for the difference.
    pub(super) fn replace(&self, usage: &mut Usage, old: usize, new: usize) -> Result<(), StoreFull> {
        if new > old {
            let after = self.within_user(usage.bytes, new - old)?;
            self.take(new - old)?;
            usage.bytes = after;
        } else if new < old {
            usage.bytes -= old - new;
            self.give_back(old - new);
        }
        Ok(())
    }

    /// Forgets everything of a user whose session has ended.
    pub(super) fn release(&self, usage: Usage) {
        self.give_back(usage.bytes + usage.keys * ENTRY_BYTES);
    }

    pub(super) fn total_bytes(&self) -> usize {
        self.total.0.load(Ordering::Relaxed)
    }

    fn within_user(&self, bytes: usize, more: usize) -> Result<usize, StoreFull> {
        let after = bytes.checked_add(more).ok_or(StoreFull)?;
        if after > self.limits.user_bytes_max && !fault!(HasNoByteLimit) { Err(StoreFull) } else { Ok(after) }
    }

    /// Takes room for all or nothing. A plain addition that is undone if it was too much would meanwhile refuse others
    /// that there is room for.
    fn take(&self, bytes: usize) -> Result<(), StoreFull> {
        let most = self.limits.total_bytes_max;
        let fits = |total: usize| total.checked_add(bytes).filter(|after| *after <= most);
        // Only a count, which publishes nothing: no ordering is needed.
        self.total
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map(|_| ())
            .map_err(|_| StoreFull)
    }

    fn give_back(&self, bytes: usize) {
        self.total.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::SpinBarrier;

    const NONE: StoreLimits =
        StoreLimits { user_keys_max: usize::MAX, user_bytes_max: usize::MAX, total_bytes_max: usize::MAX };

    #[test]
    fn store_7_a_replacing_put_counts_the_difference() {
        let quota = Quota::new(StoreLimits { user_bytes_max: 10, user_keys_max: 1, ..NONE });
        let mut usage = Usage::default();
        assert_eq!(quota.add(&mut usage, 8), Ok(()));
        assert_eq!(quota.add(&mut usage, 1), Err(StoreFull), "keys");
        assert_eq!(quota.replace(&mut usage, 7, 10), Err(StoreFull));
        assert_eq!((usage.bytes, quota.total_bytes()), (8, 8 + ENTRY_BYTES), "a refusal changes nothing");
        assert_eq!(quota.replace(&mut usage, 7, 9), Ok(()));
        assert_eq!(quota.replace(&mut usage, 9, 1), Ok(()));
        assert_eq!((usage.bytes, quota.total_bytes()), (2, 2 + ENTRY_BYTES));
        quota.release(usage);
        assert_eq!(quota.total_bytes(), 0);
    }

    #[test]
    fn store_7_of_two_that_want_the_last_room_one_gets_it() {
        let rounds: Vec<_> = (0..40_000)
            .map(|_| Quota::new(StoreLimits { total_bytes_max: 1 + ENTRY_BYTES, ..NONE }))
            .collect();
        let barrier = SpinBarrier::of(2);
        let take_all = || {
            let granted = |quota: &&Quota| {
                barrier.wait();
                quota.add(&mut Usage::default(), 1).is_ok()
            };
            rounds.iter().filter(granted).count()
        };
        let granted: usize = std::thread::scope(|scope| {
            let threads = [scope.spawn(take_all), scope.spawn(take_all)];
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(granted, rounds.len());
    }

    #[test]
    fn store_7_what_fits_all_users_together_is_exact_under_concurrency() {
        const ROOM: usize = 1000;
        // Threads that keep trying for large entries must not cost others one of the small ones.
        let quota = Quota::new(StoreLimits { total_bytes_max: ROOM * (1 + ENTRY_BYTES), ..NONE });
        let barrier = SpinBarrier::of(4);
        let granted: usize = std::thread::scope(|scope| {
            let greedy = || {
                barrier.wait();
                let refused = |_: &usize| quota.add(&mut Usage::default(), ROOM * (2 + ENTRY_BYTES)).is_err();
                (0..ROOM).filter(refused).count()
            };
            let modest = || {
                barrier.wait();
                let mut usage = Usage::default();
                (0..ROOM).filter(|_| quota.add(&mut usage, 1).is_ok()).count()
            };
            let greedy = [scope.spawn(greedy), scope.spawn(greedy)];
            let modest = [scope.spawn(modest), scope.spawn(modest)];
            for thread in greedy {
                assert_eq!(thread.join().unwrap(), ROOM);
            }
            modest.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(granted, ROOM);
        assert_eq!(quota.total_bytes(), ROOM * (1 + ENTRY_BYTES));
    }
}
