//! The oracle under threads: its atomics against a true store behind a lock, with sessions that come and go.
//!
//! Each thread is one client: it puts and reads its own keys, as a manager reads everybody else's, pipelined, and ends
//! its session now and then, by `q` or by losing its connection with requests under way. The service takes one
//! request at a time, so every history is legal, and no reply may be called wrong. A service that sometimes answers
//! with the value before the newest must be found out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Scope};

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use twinwire::domain::ViolationKind;
use twinwire::oracle::{
    ClientSpec, Expectation, Finding, LegalReply, ReferenceModel, SessionModel, ValueSpec, texts,
};

const CLIENTS: u32 = 4;
const KEYS: u32 = 2;
/// Sessions of each client.
const SESSIONS: u32 = 60;
/// Batches of requests in each session.
const BATCHES: u32 = 20;
const SPEC: ValueSpec = ValueSpec { min: 16, max: 40 };

/// A user's value of a key, and the one before it.
type Entry = (Vec<u8>, Option<Vec<u8>>);

/// Who is logged in, by name, each with its store.
#[derive(Default)]
struct Service {
    users: Mutex<HashMap<String, HashMap<String, Entry>>>,
    /// Whether a manager now and then gets an outdated value.
    is_stale: bool,
    reads: AtomicU32,
}

impl Service {
    fn log_in(&self, name: &str) -> bool {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = !users.contains_key(name);
        if is_free {
            users.insert(name.to_owned(), HashMap::new());
        }
        is_free
    }

    fn log_out(&self, name: &str) {
        self.users.lock().unwrap().remove(name);
    }

    fn answer(&self, name: &str, request: &[u8]) -> Vec<u8> {
        let request = String::from_utf8(request.to_vec()).unwrap();
        let words: Vec<&str> = request.split(' ').collect();
        let mut users = self.users.lock().unwrap();
        match words[..] {
            // A store that takes no more now and then.
            ["put", _, value]
                if value.as_bytes().iter().map(|&byte| u32::from(byte)).sum::<u32>() % 16 == 0 =>
            {
                texts::STORE_FULL.into()
            }
            ["put", key, value] => {
                let store = users.get_mut(name).unwrap();
                let before = store.remove(key).map(|(value, _)| value);
                store.insert(key.to_owned(), (value.into(), before));
                texts::DONE.into()
            }
            ["get", key] => users[name].get(key).map_or(texts::KEY_NOT_FOUND.into(), |entry| entry.0.clone()),
            ["get", user, key] => match users.get(user).map(|store| store.get(key)) {
                None => texts::USER_NOT_FOUND.into(),
                Some(None) => texts::KEY_NOT_FOUND.into(),
                Some(Some((value, before))) => {
                    let is_outdated =
                        self.is_stale && self.reads.fetch_add(1, Ordering::Relaxed).is_multiple_of(97);
                    before.clone().filter(|_| is_outdated && user != name).unwrap_or_else(|| value.clone())
                }
            },
            _ => panic!("no such request: {request}"),
        }
    }
}

/// What the clients have seen.
#[derive(Default)]
struct Seen {
    findings: Mutex<Vec<Finding>>,
    is_over: AtomicBool,
    own_values: AtomicU32,
    foreign_values: AtomicU32,
    refused: AtomicU32,
}

struct Client<'scope, 'env> {
    index: u32,
    reference: &'scope ReferenceModel,
    service: &'scope Service,
    seen: &'scope Seen,
    random: Xoshiro256PlusPlus,
    scope: &'scope Scope<'scope, 'env>,
}

impl Client<'_, '_> {
    fn run(mut self) {
        for _ in 0..SESSIONS {
            if self.seen.is_over.load(Ordering::Relaxed) {
                return;
            }
            let mut session = self.log_in();
            for _ in 0..BATCHES {
                for (expect, request) in self.write_batch(&mut session) {
                    let reply = self.service.answer(self.name(), &request);
                    self.judge(&mut session, expect, &reply);
                }
            }
            if self.random.random_bool(0.5) {
                self.reference.set_ending(self.index);
                self.service.log_out(self.name());
                self.reference.set_ended(self.index);
            } else {
                self.lose(&mut session);
            }
        }
    }

    fn name(&self) -> &str {
        &self.reference.client(self.index).name
    }

    fn log_in(&mut self) -> SessionModel {
        let mut session = loop {
            let session = SessionModel::new(self.reference, self.index);
            if self.service.log_in(self.name()) {
                break session;
            }
            self.reference.set_refused(self.index).unwrap();
            thread::yield_now();
        };
        self.reference.set_live(self.index);
        self.judge(&mut session, Expectation::Upgrade, texts::UPGRADED.as_bytes());
        session
    }

    /// Writes some requests before any of them is answered.
    fn write_batch(&mut self, session: &mut SessionModel) -> Vec<(Expectation, Vec<u8>)> {
        let mut write = |_| {
            let mut out = Vec::new();
            let key = self.random.random_range(0..KEYS);
            let expect = match self.random.random_range(0..8) {
                0..3 => session.put(self.reference, key, &mut out),
                3 => session.get(key, &mut out),
                _ => {
                    let target = self.random.random_range(0..CLIENTS);
                    session.get_other(self.reference, Some(target), Some(key), &mut out)
                }
            };
            (expect, out)
        };
        (0..4).map(&mut write).collect()
    }

    /// The connection is lost: some requests still arrive, and the service notices the end only after them, while
    /// the client already tries to come again.
    fn lose(&mut self, session: &mut SessionModel) {
        let mut batch = self.write_batch(session);
        self.reference.set_ending(self.index);
        batch.truncate(self.random.random_range(0..=batch.len()));
        let (reference, service, index) = (self.reference, self.service, self.index);
        self.scope.spawn(move || {
            let name = &reference.client(index).name;
            for (_, request) in batch {
                service.answer(name, &request);
                thread::yield_now();
            }
            service.log_out(name);
        });
    }

    fn judge(&self, session: &mut SessionModel, expect: Expectation, reply: &[u8]) {
        let count = |of: &AtomicU32| _ = of.fetch_add(1, Ordering::Relaxed);
        match session.judge(self.reference, expect, reply) {
            Ok(LegalReply::Value) => count(&self.seen.own_values),
            Ok(LegalReply::ForeignValue) => count(&self.seen.foreign_values),
            Ok(LegalReply::Refused) => count(&self.seen.refused),
            Ok(_) => {}
            Err(finding) => {
                self.seen.findings.lock().unwrap().push(finding);
                self.seen.is_over.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// Lets all clients run against the service.
fn run(service: &Service, number: u64) -> Seen {
    let reference = ReferenceModel::new(
        3,
        (0..CLIENTS).map(|n| ClientSpec { name: format!("user{n}"), group: 0, keys: KEYS, values: SPEC }),
    );
    let seen = Seen::default();
    thread::scope(|scope| {
        for index in 0..CLIENTS {
            let (reference, seen) = (&reference, &seen);
            let random = Xoshiro256PlusPlus::seed_from_u64(number * u64::from(CLIENTS) + u64::from(index));
            scope.spawn(move || Client { index, reference, service, seen, random, scope }.run());
        }
    });
    seen
}

#[test]
fn atom_1_no_false_alarm_under_threads() {
    let (mut own, mut foreign, mut refused) = (0, 0, 0);
    for seed in 0..10 {
        let seen = run(&Service::default(), seed);
        assert_eq!(*seen.findings.lock().unwrap(), [], "seed {seed}");
        own += seen.own_values.into_inner();
        foreign += seen.foreign_values.into_inner();
        refused += seen.refused.into_inner();
    }
    assert!(
        own > 1_000 && foreign > 1_000 && refused > 1_000,
        "{own} own, {foreign} foreign, {refused} refused"
    );
}

#[test]
fn atom_1_outdated_reads_are_caught_under_threads() {
    for seed in 0..5 {
        let service = Service { is_stale: true, ..Service::default() };
        let seen = run(&service, seed);
        let findings = seen.findings.into_inner().unwrap();
        let kinds: Vec<_> = findings.iter().map(|finding| finding.kind).collect();
        assert!(kinds.contains(&ViolationKind::StaleValue), "seed {seed}: {kinds:?}");
    }
}
