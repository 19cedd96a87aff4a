//! The registry by itself, and under threads that do to it all at once whatever they can.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
};

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

/// What threads read of one key: nothing, or the version that the value names.
fn version(found: Found<'_>) -> Option<u64> {
    match found {
        Found::Value(value) => Some(value.trim_end_matches('x').parse().expect("whole, as it was put")),
        Found::NoKey => Some(0),
        Found::NoUser => None,
    }
}

#[test]
fn atom_1_each_key_is_one_register_for_its_owner_and_every_reader() {
    const PUTS: u64 = 20_000;
    let registry = registry();
    let owner = registry.claim("alice").unwrap();
    let (begun, completed) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut newest = 0;
                while newest < PUTS {
                    let floor = newest.max(completed.load(SeqCst));
                    let found = registry.read("alice", "k", version).expect("she is here");
                    let ceiling = begun.load(SeqCst);
                    assert!((floor..=ceiling).contains(&found), "{floor} <= {found} <= {ceiling}");
                    newest = found;
                }
            });
        }
        for put in 1..=PUTS {
            begun.store(put, SeqCst);
            // Values of many lengths, so that a reader who met one half written would see it.
            owner.put("k", &format!("{put}{}", "x".repeat((put % 97) as usize))).unwrap();
            completed.store(put, SeqCst);
            // Other keys come meanwhile, so that the table grows under the readers' eyes.
            owner.put(&format!("k{put}"), "v").unwrap();
        }
    });
}

#[test]
fn life_2_no_reader_ever_finds_what_an_earlier_session_of_the_name_had() {
    const SESSIONS: u64 = 6_000;
    let registry = registry();
    // Sessions are numbered in their order, which holding the name makes one; each puts its number, then ends.
    let (begun, ended, gone) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (seen, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let rivals: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while begun.load(SeqCst) < SESSIONS {
                        let Some(login) = registry.claim("alice") else { continue };
                        let number = begun.fetch_add(1, SeqCst) + 1;
                        assert_eq!(ended.load(SeqCst), number - 1, "LOGIN-4: two hold the name");
                        assert_eq!(login.user().get("k", |value| value.map(str::to_owned)), None);
                        assert!(!login.user().is_manager(), "ROLE-1");
                        login.put("k", &number.to_string()).unwrap();
                        assert_eq!(registry.promote(login.user()), Promotion::Granted);
                        // Some wait until they have been read, or the readers would find nothing at all.
                        let read_before = seen.load(SeqCst);
                        while number % 16 == 0 && seen.load(SeqCst) == read_before {
                            thread::yield_now();
                        }
                        // Published before another can hold the name.
                        ended.store(number, SeqCst);
                        drop(login);
                        gone.fetch_max(number, SeqCst);
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                let mut newest = 0;
                while !is_over.load(SeqCst) {
                    let floor = gone.load(SeqCst);
                    if let Some(found) = registry.read("alice", "k", version).filter(|found| *found > 0) {
                        assert!(found > floor, "{found} is gone, as {floor} is");
                        assert!(found >= newest, "{found} after {newest}");
                        newest = found;
                        assert!(found <= begun.load(SeqCst));
                        seen.fetch_add(1, SeqCst);
                    }
                }
            });
        }
        for rival in rivals {
            rival.join().unwrap();
        }
        is_over.store(true, SeqCst);
    });
    assert!(seen.load(SeqCst) > 0, "nothing was ever read");
    assert!(registry.is_empty());
    assert_eq!((registry.managers(), registry.stored_bytes()), (0, 0));
}
