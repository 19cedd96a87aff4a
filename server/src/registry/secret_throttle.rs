//! How fast the upgrade secret can be guessed: an address has its guesses answered one after the other, ever later,
//! however many connections it has; and where many addresses guess at once, all are answered later (ROLE-8).
//!
//! A right secret is answered as late as a wrong one would be: where only the wrong ones were, silence would tell, and a
//! guesser would not have to wait for it to end.

use std::{
    hash::BuildHasher,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use super::Registry;
use crate::address::limit_key;

/// How late the first wrong secret is answered; each further one, twice as late as the last.
///
/// A person who mistypes hardly notices, and an address gets through no more than a guess a second.
const DELAY_MIN: Duration = Duration::from_millis(125);

/// How often the delay doubles: up to a second.
const DOUBLINGS_MAX: u8 = 3;

/// How long after its last wrong secret an address is like any other again.
const FORGIVEN_AFTER: Duration = Duration::from_mins(1);

/// What each answer to a wrong secret adds to the delay of everybody's next guess, and what time takes away again: 32
/// addresses may guess at their full pace before anybody else notices.
const OVERALL_INTERVAL: Duration = Duration::from_micros(31_250);

/// How much of that delays nobody: guesses come in bursts.
const OVERALL_BURST: Duration = Duration::from_secs(1);

/// The most that other addresses' guesses delay a guess. A right secret among floods from thousands of addresses waits for
/// this long, and not for ever.
const OVERALL_DELAY_MAX: Duration = Duration::from_secs(4);

/// The parts of the table of addresses, each under a lock of its own, and how many addresses each tells apart. A guess
/// looks through one part.
const PARTS: usize = 256;
const PART_ADDRESSES_MAX: usize = 64;

/// The wrong secrets of all clients.
#[derive(Debug)]
pub(super) struct Guesses {
    parts: Box<[Mutex<Vec<Guesser>>]>,
    hasher: RandomState,
    /// When the delay for all addresses will be used up.
    overall: Mutex<Option<Instant>>,
}

/// An address with wrong secrets.
#[derive(Debug, Clone, Copy)]
struct Guesser {
    address: IpAddr,
    doublings: u8,
    /// When all its guesses so far will have been answered.
    busy_until: Instant,
}

/// When a guess is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    delay: Duration,
    /// How much of its address's time it takes.
    taken: Duration,
}

impl Guesses {
    pub(super) fn new() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
            overall: Mutex::default(),
        }
    }

    /// A client at `address` tries a secret, right or wrong. A right one is not delayed where none was wrong before.
    fn begin(&self, address: IpAddr, is_right: bool, now: Instant) -> Turn {
        let overall = self.overall_delay(now);
        let mut part = self.part(address);
        let place = part.iter().position(|guesser| guesser.address == address);
        let before = place.map(|place| part[place]).filter(|before| !before.is_forgiven(now));
        let taken = before.map_or(DELAY_MIN, |before| DELAY_MIN * (1 << before.doublings));
        let begins = before.map_or(now, |before| before.busy_until.max(now));
        let answered = begins + taken;
        if is_right {
            let delay = before.map_or(Duration::ZERO, |_| answered.duration_since(now));
            return Turn { delay: delay + overall, taken: Duration::ZERO };
        }
        let doublings = before.map_or(1, |before| (before.doublings + 1).min(DOUBLINGS_MAX));
        let guesser = Guesser { address, doublings, busy_until: answered };
        match place {
            Some(place) => part[place] = guesser,
            None if part.len() < PART_ADDRESSES_MAX => part.push(guesser),
            // The one that is the next to be forgiven gives way.
            None => {
                if let Some(first) = part.iter_mut().min_by_key(|guesser| guesser.busy_until) {
                    *first = guesser;
                }
            }
        }
        Turn { delay: answered.duration_since(now) + overall, taken }
    }

    /// A guess will not be answered. Those that follow need not wait for it; those that wait already do not come earlier.
    fn give_back(&self, address: IpAddr, taken: Duration) {
        let mut part = self.part(address);
        if let Some(guesser) = part.iter_mut().find(|guesser| guesser.address == address)
            && let Some(busy_until) = guesser.busy_until.checked_sub(taken)
        {
            guesser.busy_until = busy_until;
        }
    }

    /// A wrong secret is answered.
    fn count_overall(&self, now: Instant) {
        let mut overall = lock(&self.overall);
        let next = overall.map_or(now, |busy_until| busy_until.max(now)) + OVERALL_INTERVAL;
        *overall = Some(next.min(now + OVERALL_BURST + OVERALL_DELAY_MAX));
    }

    fn overall_delay(&self, now: Instant) -> Duration {
        let used = lock(&self.overall).map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        used.saturating_sub(OVERALL_BURST)
    }

    fn part(&self, address: IpAddr) -> MutexGuard<'_, Vec<Guesser>> {
        lock(&self.parts[self.hasher.hash_one(address) as usize % PARTS])
    }
}

impl Guesser {
    fn is_forgiven(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.busy_until) >= FORGIVEN_AFTER
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A secret that was tried and is still to be answered. Dropping it gives its place in its address's line back.
#[derive(Debug)]
pub(crate) struct Guess {
    registry: Arc<Registry>,
    address: IpAddr,
    is_right: bool,
    turn: Turn,
}

impl Guess {
    pub(super) fn begin(registry: &Arc<Registry>, peer: IpAddr, is_right: bool) -> Self {
        let address = limit_key(peer);
        let turn = registry.guesses.begin(address, is_right, Instant::now());
        Self { registry: Arc::clone(registry), address, is_right, turn }
    }

    /// How late it is to be answered.
    pub(crate) fn delay(&self) -> Duration {
        self.turn.delay
    }

    /// Whether the secret is right, which the client may learn now that it is answered.
    pub(crate) fn answer(mut self) -> bool {
        self.turn.taken = Duration::ZERO;
        if !self.is_right {
            self.registry.guesses.count_overall(Instant::now());
        }
        self.is_right
    }

    /// Whether the secret is right. For the server alone, until it is answered.
    pub(crate) fn is_right(&self) -> bool {
        self.is_right
    }
}

impl Drop for Guess {
    fn drop(&mut self) {
        if !self.turn.taken.is_zero() {
            self.registry.guesses.give_back(self.address, self.turn.taken);
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

    /// How late a guess is answered, and that it is.
    fn delay(guesses: &Guesses, peer: IpAddr, is_right: bool, now: Instant) -> Duration {
        let delay = guesses.begin(peer, is_right, now).delay;
        if !is_right {
            guesses.count_overall(now + delay);
        }
        delay
    }

    #[test]
    fn role_8_each_wrong_secret_is_answered_later_up_to_a_second_and_a_right_one_as_late() {
        let (guesses, mut now) = (Guesses::new(), Instant::now());
        let mut delay = |is_right| {
            let delay = delay(&guesses, peer("192.0.2.1"), is_right, now);
            now += delay;
            delay.as_millis()
        };
        assert_eq!(delay(true), 0);
        let delays: Vec<_> = (0..5).flat_map(|_| [delay(false), delay(true)]).collect();
        assert_eq!(delays, [125, 250, 250, 500, 500, 1000, 1000, 1000, 1000, 1000]);
    }

    #[test]
    fn role_8_nobody_waits_for_the_wrong_secrets_of_another_address_or_of_long_ago() {
        let (guesses, now) = (Guesses::new(), Instant::now());
        for wrong in ["192.0.2.1", "2001:db8::1:2:3:4"] {
            assert_eq!(delay(&guesses, peer(wrong), false, now), DELAY_MIN);
        }
        for other in ["192.0.2.2", "2001:db8:0:1::1"] {
            assert_eq!(delay(&guesses, peer(other), true, now), Duration::ZERO, "{other}");
        }
        let answered = now + DELAY_MIN;
        for same in ["::ffff:192.0.2.1", "2001:db8::5"] {
            assert_eq!(delay(&guesses, peer(same), true, answered), DELAY_MIN * 2, "{same}");
            let later = answered + FORGIVEN_AFTER;
            assert_eq!(delay(&guesses, peer(same), true, later), Duration::ZERO, "{same}");
        }
    }

    /// How many guesses of `clients` at one address are answered in a minute, by a clock of the test's own. Each guesses
    /// again as soon as it is answered, but for each `leaving`-th guess, which its client does not wait for and makes
    /// again after half a second.
    fn answered_in_a_minute(clients: usize, leaving: usize) -> usize {
        let (guesses, start, address) = (Guesses::new(), Instant::now(), peer("192.0.2.1"));
        let minute = start + Duration::from_mins(1);
        let mut due = (0..clients).map(|_| Reverse((start, None::<Duration>))).collect::<BinaryHeap<_>>();
        let (mut tried, mut answered) = (0, 0);
        while let Some(Reverse((now, ended))) = due.pop()
            && now <= minute
        {
            match ended {
                Some(taken) if !taken.is_zero() => guesses.give_back(address, taken),
                Some(_) => {
                    answered += 1;
                    guesses.count_overall(now);
                }
                None => {}
            }
            let turn = guesses.begin(address, false, now);
            tried += 1;
            due.push(Reverse(match tried % leaving {
                0 if turn.delay > Duration::from_millis(500) => {
                    (now + Duration::from_millis(500), Some(turn.taken))
                }
                _ => (now + turn.delay, Some(Duration::ZERO)),
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
    fn role_8_who_leaves_keeps_nobody_waiting() {
        let (guesses, now, address) = (Guesses::new(), Instant::now(), peer("192.0.2.1"));
        let turns: Vec<_> = (0..1000).map(|_| guesses.begin(address, false, now)).collect();
        assert!(turns[999].delay > Duration::from_mins(15));
        for turn in &turns[1..] {
            guesses.give_back(address, turn.taken);
        }
        assert_eq!(guesses.begin(address, true, now).delay, DELAY_MIN + Duration::from_secs(1));
    }

    #[test]
    fn role_8_however_many_addresses_guess_memory_is_bounded_and_so_is_what_others_wait() {
        let (guesses, now) = (Guesses::new(), Instant::now());
        let from = |number: u32| IpAddr::V4(number.into());
        let most = PARTS * PART_ADDRESSES_MAX;
        for number in 0..4 * most as u32 {
            let _ = guesses.begin(from(number), false, now);
        }
        let kept: usize = guesses.parts.iter().map(|part| lock(part).len()).sum();
        assert_eq!(kept, most);
        assert_eq!(guesses.begin(from(u32::MAX), true, now).delay, Duration::ZERO, "none was answered yet");
        for _ in 0..4 * most {
            guesses.count_overall(now);
        }
        assert_eq!(guesses.begin(from(u32::MAX), true, now).delay, OVERALL_DELAY_MAX);
        let calm = now + OVERALL_DELAY_MAX;
        assert_eq!(guesses.begin(from(u32::MAX), true, calm).delay, Duration::ZERO);
    }
}
