//! Limits how fast the upgrade secret can be guessed (ROLE-8). The attempts of one address are answered one after another,
//! ever later, however many connections it has; and if many addresses guess at once, all are answered later.
//!
//! A right secret is delayed as long as a wrong one would be. If only wrong ones were, silence would reveal them, and a
//! guesser would not have to wait for the delay to end.

use std::{
    hash::BuildHasher,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use super::Registry;
use crate::address::limit_key;

/// The delay of the first wrong secret; each further one is delayed twice as long as the last.
///
/// A person who mistypes hardly notices it, and an address gets no more than one attempt a second.
const DELAY_MIN: Duration = Duration::from_millis(125);

/// How often the delay doubles: up to a second.
const DOUBLINGS_MAX: u8 = 3;

/// How long after its last wrong secret an address is forgotten.
const FORGET_AFTER: Duration = Duration::from_mins(1);

/// What each answer to a wrong secret adds to the delay of all further attempts, and what time takes away again: 32
/// addresses may guess at their full rate before other clients notice.
const GLOBAL_INTERVAL: Duration = Duration::from_micros(31_250);

/// The part of that sum that delays nothing, since attempts come in bursts.
const GLOBAL_BURST: Duration = Duration::from_secs(1);

/// The most that the attempts of other addresses delay one. A right secret among floods from thousands of addresses
/// waits for this long, and not for ever.
const GLOBAL_DELAY_MAX: Duration = Duration::from_secs(4);

/// The shards of the table of addresses, each under its own lock, and how many addresses each can hold. An attempt
/// looks through one shard.
const SHARDS: usize = 256;
const SHARD_ADDRESSES_MAX: usize = 64;

/// The wrong secrets of all clients.
#[derive(Debug)]
pub(super) struct SecretThrottle {
    shards: Box<[Mutex<Vec<FailedAddress>>]>,
    hasher: RandomState,
    /// When the delay for all addresses ends.
    global: Mutex<Option<Instant>>,
}

/// An address that has sent wrong secrets.
#[derive(Debug, Clone, Copy)]
struct FailedAddress {
    address: IpAddr,
    doublings: u8,
    /// When all its attempts so far will have been answered.
    busy_until: Instant,
}

/// When an attempt is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AttemptTiming {
    delay: Duration,
    /// How much of its address's time it takes.
    reserved: Duration,
}

impl SecretThrottle {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
            global: Mutex::default(),
        }
    }

    /// A client at `address` tries a secret. A right one is not delayed if the address has sent no wrong ones.
    fn begin(&self, address: IpAddr, is_right: bool, now: Instant) -> AttemptTiming {
        let global = self.global_delay(now);
        let mut shard = self.shard(address);
        let place = shard.iter().position(|failed| failed.address == address);
        let before = place.map(|place| shard[place]).filter(|before| !before.is_expired(now));
        let reserved = before.map_or(DELAY_MIN, |before| DELAY_MIN * (1 << before.doublings));
        let begins = before.map_or(now, |before| before.busy_until.max(now));
        let answered = begins + reserved;
        if is_right {
            let delay = before.map_or(Duration::ZERO, |_| answered.duration_since(now));
            return AttemptTiming { delay: delay + global, reserved: Duration::ZERO };
        }
        let doublings = before.map_or(1, |before| (before.doublings + 1).min(DOUBLINGS_MAX));
        let failed = FailedAddress { address, doublings, busy_until: answered };
        match place {
            Some(place) => shard[place] = failed,
            None if shard.len() < SHARD_ADDRESSES_MAX => shard.push(failed),
            // The entry that expires first gives way.
            None => {
                if let Some(first) = shard.iter_mut().min_by_key(|failed| failed.busy_until) {
                    *first = failed;
                }
            }
        }
        AttemptTiming { delay: answered.duration_since(now) + global, reserved }
    }

    /// An attempt will not be answered. Later ones need not wait for it; those that are waiting are not answered earlier.
    fn release(&self, address: IpAddr, reserved: Duration) {
        let mut shard = self.shard(address);
        if let Some(failed) = shard.iter_mut().find(|failed| failed.address == address)
            && let Some(busy_until) = failed.busy_until.checked_sub(reserved)
        {
            failed.busy_until = busy_until;
        }
    }

    /// A wrong secret is answered.
    fn count_failure(&self, now: Instant) {
        let mut global = lock(&self.global);
        let next = global.map_or(now, |busy_until| busy_until.max(now)) + GLOBAL_INTERVAL;
        *global = Some(next.min(now + GLOBAL_BURST + GLOBAL_DELAY_MAX));
    }

    fn global_delay(&self, now: Instant) -> Duration {
        let used = lock(&self.global).map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        used.saturating_sub(GLOBAL_BURST)
    }

    fn shard(&self, address: IpAddr) -> MutexGuard<'_, Vec<FailedAddress>> {
        lock(&self.shards[self.hasher.hash_one(address) as usize % SHARDS])
    }
}

impl FailedAddress {
    fn is_expired(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.busy_until) >= FORGET_AFTER
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A secret that was tried and is still to be answered. Dropping it gives its time back to its address.
#[derive(Debug)]
pub(crate) struct SecretAttempt {
    registry: Arc<Registry>,
    address: IpAddr,
    is_right: bool,
    timing: AttemptTiming,
}

impl SecretAttempt {
    pub(super) fn begin(registry: &Arc<Registry>, peer: IpAddr, is_right: bool) -> Self {
        let address = limit_key(peer);
        let timing = registry.throttle.begin(address, is_right, Instant::now());
        Self { registry: Arc::clone(registry), address, is_right, timing }
    }

    pub(crate) fn delay(&self) -> Duration {
        self.timing.delay
    }

    /// Whether the secret is right, which the client may learn now.
    pub(crate) fn answer(mut self) -> bool {
        self.timing.reserved = Duration::ZERO;
        if !self.is_right {
            self.registry.throttle.count_failure(Instant::now());
        }
        self.is_right
    }

    /// Whether the secret is right. The client must not learn it before the answer.
    pub(crate) fn is_right(&self) -> bool {
        self.is_right
    }
}

impl Drop for SecretAttempt {
    fn drop(&mut self) {
        if !self.timing.reserved.is_zero() {
            self.registry.throttle.release(self.address, self.timing.reserved);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cmp::Reverse, collections::BinaryHeap};

    use super::*;

    fn peer(text: &str) -> IpAddr {
        limit_key(text.parse().unwrap())
    }

    /// The delay of an attempt, which is then answered.
    fn delay(throttle: &SecretThrottle, peer: IpAddr, is_right: bool, now: Instant) -> Duration {
        let delay = throttle.begin(peer, is_right, now).delay;
        if !is_right {
            throttle.count_failure(now + delay);
        }
        delay
    }

    #[test]
    fn role_8_each_wrong_secret_is_answered_later_up_to_a_second_and_a_right_one_as_late() {
        let (throttle, mut now) = (SecretThrottle::new(), Instant::now());
        let mut delay = |is_right| {
            let delay = delay(&throttle, peer("192.0.2.1"), is_right, now);
            now += delay;
            delay.as_millis()
        };
        assert_eq!(delay(true), 0);
        let delays: Vec<_> = (0..5).flat_map(|_| [delay(false), delay(true)]).collect();
        assert_eq!(delays, [125, 250, 250, 500, 500, 1000, 1000, 1000, 1000, 1000]);
    }

    #[test]
    fn role_8_the_wrong_secrets_of_another_address_or_of_long_ago_delay_nothing() {
        let (throttle, now) = (SecretThrottle::new(), Instant::now());
        for wrong in ["192.0.2.1", "2001:db8::1:2:3:4"] {
            assert_eq!(delay(&throttle, peer(wrong), false, now), DELAY_MIN);
        }
        for other in ["192.0.2.2", "2001:db8:0:1::1"] {
            assert_eq!(delay(&throttle, peer(other), true, now), Duration::ZERO, "{other}");
        }
        let answered = now + DELAY_MIN;
        for same in ["::ffff:192.0.2.1", "2001:db8::5"] {
            assert_eq!(delay(&throttle, peer(same), true, answered), DELAY_MIN * 2, "{same}");
            let later = answered + FORGET_AFTER;
            assert_eq!(delay(&throttle, peer(same), true, later), Duration::ZERO, "{same}");
        }
    }

    /// How many attempts of `clients` at one address are answered in a minute, by a clock of the test's own. Each
    /// client tries again as soon as it is answered. But it does not wait for each `leaving`-th attempt, which it
    /// repeats after half a second.
    fn answered_in_a_minute(clients: usize, leaving: usize) -> usize {
        let (throttle, start, address) = (SecretThrottle::new(), Instant::now(), peer("192.0.2.1"));
        let minute = start + Duration::from_mins(1);
        let mut due = (0..clients).map(|_| Reverse((start, None::<Duration>))).collect::<BinaryHeap<_>>();
        let (mut tried, mut answered) = (0, 0);
        while let Some(Reverse((now, ended))) = due.pop()
            && now <= minute
        {
            match ended {
                Some(reserved) if !reserved.is_zero() => throttle.release(address, reserved),
                Some(_) => {
                    answered += 1;
                    throttle.count_failure(now);
                }
                None => {}
            }
            let timing = throttle.begin(address, false, now);
            tried += 1;
            due.push(Reverse(match tried % leaving {
                0 if timing.delay > Duration::from_millis(500) => {
                    (now + Duration::from_millis(500), Some(timing.reserved))
                }
                _ => (now + timing.delay, Some(Duration::ZERO)),
            }));
        }
        answered
    }

    #[test]
    fn role_8_an_address_is_answered_once_a_second_however_many_connections_it_has_and_leaves() {
        // Three in the first second, before the delay has grown.
        let most = 60 + 3;
        for clients in [1, 10, 2000] {
            assert!((most - 3..=most).contains(&answered_in_a_minute(clients, usize::MAX)), "{clients}");
            for leaving in [1, 2, 3, 10] {
                let answered = answered_in_a_minute(clients, leaving);
                assert!(answered <= most, "{clients} clients, each {leaving}th guess: {answered}");
            }
        }
    }

    #[test]
    fn role_8_a_client_that_leaves_delays_no_other() {
        let (throttle, now, address) = (SecretThrottle::new(), Instant::now(), peer("192.0.2.1"));
        let timings: Vec<_> = (0..1000).map(|_| throttle.begin(address, false, now)).collect();
        assert!(timings[999].delay > Duration::from_mins(15));
        for timing in &timings[1..] {
            throttle.release(address, timing.reserved);
        }
        assert_eq!(throttle.begin(address, true, now).delay, DELAY_MIN + Duration::from_secs(1));
    }

    #[test]
    fn role_8_however_many_addresses_guess_memory_is_bounded_and_so_is_what_others_wait() {
        let (throttle, now) = (SecretThrottle::new(), Instant::now());
        let from = |number: u32| IpAddr::V4(number.into());
        let most = SHARDS * SHARD_ADDRESSES_MAX;
        for number in 0..4 * most as u32 {
            let _ = throttle.begin(from(number), false, now);
        }
        let kept: usize = throttle.shards.iter().map(|shard| lock(shard).len()).sum();
        assert_eq!(kept, most);
        assert_eq!(throttle.begin(from(u32::MAX), true, now).delay, Duration::ZERO, "none was answered yet");
        for _ in 0..4 * most {
            throttle.count_failure(now);
        }
        assert_eq!(throttle.begin(from(u32::MAX), true, now).delay, GLOBAL_DELAY_MAX);
        let calm = now + GLOBAL_DELAY_MAX;
        assert_eq!(throttle.begin(from(u32::MAX), true, calm).delay, Duration::ZERO);
    }
}
