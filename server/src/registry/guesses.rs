//! Who has lately tried wrong secrets, by address, and how late that makes answers (ROLE-8).
//!
//! A right secret is answered as late as a wrong one would be: where only the wrong ones were, silence would tell, and
//! whoever guesses would not have to wait for it to end.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How late the first wrong secret is answered; each further one, twice as late as the last.
///
/// A person who mistypes hardly notices, and one connection gets through no more than a guess a second.
const DELAY_MIN: Duration = Duration::from_millis(125);

/// How often the delay doubles: up to a second. A transport may not notice before the delay is over that its client
/// has gone, and the name must be free again within seconds (LIFE-2).
const DOUBLINGS_MAX: u8 = 3;

/// How long after its last wrong secret an address is like any other again.
const FORGIVEN_AFTER: Duration = Duration::from_mins(1);

/// How many addresses are told apart; the others are treated as one.
const ADDRESSES_MAX: usize = 16 * 1024;

/// The wrong secrets of all clients.
#[derive(Debug, Default)]
pub(super) struct Guesses(Mutex<HashMap<IpAddr, Wrong>>);

/// The wrong secrets from one address.
#[derive(Debug, Clone, Copy)]
struct Wrong {
    doublings: u8,
    last: Instant,
}

impl Guesses {
    /// A client at `peer` tries a secret, right or wrong: how late that is to be answered. Not at all late if it is
    /// right and none was wrong before.
    pub(super) fn delay(&self, peer: IpAddr, is_right: bool, now: Instant) -> Duration {
        // Nothing under the lock can panic.
        let mut wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |wrong: &Wrong| now.saturating_duration_since(wrong.last) < FORGIVEN_AFTER;
        let mut place = neighbourhood(peer);
        if wrong.len() >= ADDRESSES_MAX && !wrong.contains_key(&place) {
            wrong.retain(|_, wrong| is_recent(wrong));
            if wrong.len() >= ADDRESSES_MAX {
                place = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let before = wrong.get(&place).copied().filter(is_recent);
        let delay = before.map_or(DELAY_MIN, |before| DELAY_MIN * (1 << before.doublings));
        if is_right {
            return before.map_or(Duration::ZERO, |_| delay);
        }
        let doublings = before.map_or(1, |before| (before.doublings + 1).min(DOUBLINGS_MAX));
        wrong.insert(place, Wrong { doublings, last: now });
        delay
    }
}

/// What one client can have by itself: an address, of which it has 2^64 over IPv6 (RFC 6177 gives a site no less).
fn neighbourhood(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn role_8_each_wrong_secret_is_answered_later_up_to_a_second_and_a_right_one_as_late() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let delay = |is_right| guesses.delay(peer("192.0.2.1"), is_right, now).as_millis();
        assert_eq!(delay(true), 0);
        let delays: Vec<_> = (0..5).flat_map(|_| [delay(false), delay(true)]).collect();
        assert_eq!(delays, [125, 250, 250, 500, 500, 1000, 1000, 1000, 1000, 1000]);
    }

    #[test]
    fn role_8_nobody_waits_for_the_wrong_secrets_of_another_address_or_of_long_ago() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for wrong in ["192.0.2.1", "2001:db8::1:2:3:4"] {
            assert_eq!(guesses.delay(peer(wrong), false, now), DELAY_MIN);
        }
        for other in ["192.0.2.2", "2001:db8:0:1::1"] {
            assert_eq!(guesses.delay(peer(other), true, now), Duration::ZERO, "{other}");
        }
        for same in ["::ffff:192.0.2.1", "2001:db8::5"] {
            assert_eq!(guesses.delay(peer(same), true, now), DELAY_MIN * 2, "{same}");
            assert_eq!(guesses.delay(peer(same), true, now + FORGIVEN_AFTER), Duration::ZERO, "{same}");
        }
    }

    #[test]
    fn role_8_however_many_addresses_guess_the_memory_is_bounded() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let from = |number: u32| IpAddr::V4(number.into());
        for number in 0..2 * ADDRESSES_MAX as u32 {
            let _ = guesses.delay(from(number), false, now);
        }
        assert_eq!(guesses.0.lock().unwrap().len(), ADDRESSES_MAX + 1);
        assert_eq!(guesses.delay(from(u32::MAX), true, now).as_millis(), 1000, "one of those not told apart");
        let _ = guesses.delay(from(u32::MAX), false, now + FORGIVEN_AFTER);
        assert_eq!(guesses.0.lock().unwrap().len(), 1, "the others were forgiven");
    }
}
