//! The oracle against a brute-force linearizability checker, on small random histories.
//!
//! A simulated service that keeps the rules gives histories of one owner with one or two keys and of two readers:
//! pipelined, with refused and unanswered puts, with sessions that end by `q` or by a lost connection and begin
//! again. Each is shown to both judges as it is and with one reply made wrong in each of the ways that
//! `corruption` lists.
//!
//! What is claimed, and tested:
//!
//! - **No false alarm**: whatever brute force finds linearizable the oracle accepts, legal by making or by chance.
//! - **Whatever brute force finds wrong the oracle finds wrong**, but for two classes, whose fractions are asserted
//!   below and which never hide where a value comes from:
//!   - *The order between keys.* Each key's part of the history is linearizable, and only the order of the owner's
//!     requests about different keys shows the fault: `put k0` and `put k1` are sent together, a manager reads the
//!     second's value and then finds `k0` as it was. A check that keeps each key's bounds apart cannot see it.
//!   - *Logins given up.* Where a connection was lost before its login was answered, a server may take the login up
//!     at any later time that the name is free. From then on the oracle takes a manager's `key not found` for right
//!     whenever nobody need be logged in; how many such logins there were, and when, it does not count.

mod brute_force;
mod corruption;
mod history;
mod replay;
mod service;

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use brute_force::{is_linearizable, is_linearizable_for};
use corruption::Corruption;
use history::{Event, History, Reply};
use replay::first_finding;

/// Legal histories of each number of keys, each with every corruption that fits it.
const HISTORIES: u64 = 6_000;

/// What became of the corrupted histories of one class.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    legal: u32,
    caught: u32,
    missed_between_keys: u32,
    missed_after_stray_login: u32,
}

impl Tally {
    fn missed(self) -> u32 {
        self.missed_between_keys + self.missed_after_stray_login
    }
}

/// Runs all histories with so many keys and counts, by class; any false alarm fails.
fn tallies(keys: usize) -> BTreeMap<Corruption, Tally> {
    let mut tallies: BTreeMap<Corruption, Tally> = BTreeMap::new();
    for seed in 0..HISTORIES {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed * 2 + keys as u64);
        let history = service::history(&mut random, keys);
        assert!(is_linearizable(&history), "seed {seed}: the service keeps the rules: {history:?}");
        assert_accepted(seed, &history);
        for class in Corruption::ALL {
            let Some(wrong) = class.of(&history, &mut random) else { continue };
            let tally = tallies.entry(class).or_default();
            if is_linearizable(&wrong) {
                assert_accepted(seed, &wrong);
                tally.legal += 1;
            } else if first_finding(&wrong).is_some() {
                tally.caught += 1;
            } else if (0..keys).all(|key| is_linearizable_for(&wrong, key)) {
                tally.missed_between_keys += 1;
            } else {
                let relaxed = wrong.without_empty_reads();
                let is_explained =
                    wrong.has_stray_login() && (0..keys).all(|key| is_linearizable_for(&relaxed, key));
                assert!(is_explained, "seed {seed}, {class:?}: not seen: {wrong:?}");
                tally.missed_after_stray_login += 1;
            }
        }
    }
    println!("{keys} keys:");
    for (class, tally) in &tallies {
        println!("  {class:?}: {tally:?}");
    }
    tallies
}

fn assert_accepted(seed: u64, history: &History) {
    let finding = first_finding(history);
    assert!(finding.is_none(), "seed {seed}: false alarm {finding:?} in {history:?}");
}

/// Classes of which nothing may be missed: what a reply says by itself is wrong, whatever others say.
const ALWAYS_CAUGHT: [Corruption; 8] = [
    Corruption::NeverPut,
    Corruption::Future,
    Corruption::ForeignUser,
    Corruption::OtherKey,
    Corruption::Damaged,
    Corruption::Refused,
    Corruption::DenialMissing,
    Corruption::DenialWrong,
];

/// Classes of which nothing may be missed where one key is in use, and so no order between keys.
const CAUGHT_WITH_ONE_KEY: [Corruption; 5] = [
    Corruption::Stale,
    Corruption::EarlierSession,
    Corruption::Lost,
    Corruption::FalseDone,
    Corruption::FalseRefusal,
];

fn check(keys: usize, missed_per_million_max: u32) {
    let tallies = tallies(keys);
    let sum = |of: fn(Tally) -> u32| tallies.values().map(|&tally| of(tally)).sum::<u32>();
    let (caught, missed) = (sum(|tally| tally.caught), sum(Tally::missed));
    let missed_per_million = missed * 1_000_000 / (missed + caught);
    println!("{missed_per_million} of a million missed");
    assert!(missed_per_million <= missed_per_million_max, "{missed_per_million}: {tallies:?}");
    for class in Corruption::ALL {
        // With one key in use there is no other key's value.
        if class != Corruption::OtherKey || keys > 1 {
            let tally = tallies[&class];
            assert!(tally.caught >= 50, "{class:?} was hardly tried: {tally:?}");
            let must_be_caught =
                ALWAYS_CAUGHT.contains(&class) || keys == 1 && CAUGHT_WITH_ONE_KEY.contains(&class);
            assert!(tally.missed() == 0 || !must_be_caught, "{class:?}: {tally:?}");
        }
    }
}

#[test]
fn with_one_key_only_logins_given_up_hide_anything() {
    check(1, 1_000);
}

#[test]
fn with_two_keys_the_order_between_them_may_hide_as_well() {
    check(2, 3_500);
}

#[test]
fn the_histories_have_in_them_what_they_are_to_show() {
    let mut seen = BTreeMap::new();
    let mut see = |what: &'static str, is_there: bool| *seen.entry(what).or_insert(0) += u32::from(is_there);
    for seed in 0..1_000 {
        let history = service::history(&mut Xoshiro256PlusPlus::seed_from_u64(seed), 2);
        let replies: Vec<Reply> =
            history.calls.iter().filter_map(|call| call.returned).map(|r| r.0).collect();
        see("refused", replies.contains(&Reply::Full));
        see("duplicate", replies.contains(&Reply::Duplicate));
        see("no user", replies.contains(&Reply::NoUser));
        see("no key", replies.contains(&Reply::NoKey));
        see("denied", replies.contains(&Reply::Denied));
        see("unanswered", replies.len() < history.calls.len());
        see("two sessions", replies.iter().filter(|&&reply| reply == Reply::Success).count() > 1);
        see("lost", history.events.iter().any(|event| matches!(event, Event::Lost(_))));
        see("closed", history.events.iter().any(|event| matches!(event, Event::Closed(_))));
        let is_call = |event: &Event| matches!(event, Event::Call(_));
        see("pipelined", history.events.windows(3).any(|three| three.iter().all(is_call)));
    }
    for (what, count) in seen {
        assert!(count >= 50, "{what}: only in {count} of 1,000");
    }
}

#[test]
fn brute_force_knows_wrong_from_right() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let wrong = (0..500).filter(|_| {
        let history = service::history(&mut random, 1);
        let damaged = Corruption::NeverPut.of(&history, &mut random);
        damaged.is_some_and(|damaged| !is_linearizable(&damaged))
    });
    assert!(wrong.count() > 300);
}
