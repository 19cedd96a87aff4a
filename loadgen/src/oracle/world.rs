//! What all clients of a pass share: who there is, and one atomic register for each user's key.
//!
//! A register has one writer, its owner, whose puts count up from version 1; version 0 is "key not found". Two
//! numbers are enough for the check of ATOM-1 (single-writer register with unique values): `begun`, the newest
//! version whose put was written to the wire, published before the write; and `settled`, the newest version that
//! some completed operation proved to be in effect, be it its put's `done` or a read that returned it. A read that
//! was sent when `settled` was `floor` must return a version in `floor..=begun`, with `begun` read when the reply
//! is there. That is exact for what it sees and raises no false alarm: both bounds are taken on the safe side.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use super::value::ValueSpec;

/// One client as the others see it.
#[derive(Debug)]
pub struct Client {
    /// Its user name.
    pub name: String,
    /// Index of its group.
    pub group: u16,
    /// Keys it has.
    pub keys: u32,
    /// Sizes of its values.
    pub values: ValueSpec,
    /// Index of its first register.
    registers_from: usize,
    /// [`NEW`], [`LIVE`] or [`ENDING`].
    life: AtomicU8,
}

const NEW: u8 = 0;
const LIVE: u8 = 1;
const ENDING: u8 = 2;

#[derive(Debug, Default)]
struct Register {
    begun: AtomicU32,
    settled: AtomicU32,
}

/// Everything that a pass's clients share.
#[derive(Debug)]
pub struct World {
    run: u16,
    clients: Vec<Client>,
    registers: Vec<Register>,
    any_refused: AtomicBool,
    /// Refused puts (register, version): none of them may ever be read (ATOM-2). Touched only where puts are refused.
    refused: Mutex<HashSet<(usize, u32)>>,
}

impl World {
    /// A world of these clients: name, group, keys and value sizes. `run` tells this run's values from others'.
    #[must_use]
    pub fn new(run: u16, clients: impl IntoIterator<Item = (String, u16, u32, ValueSpec)>) -> Self {
        let mut total = 0;
        let clients: Vec<Client> = clients
            .into_iter()
            .map(|(name, group, keys, values)| {
                let registers_from = total;
                total += keys as usize;
                Client { name, group, keys, values, registers_from, life: AtomicU8::new(NEW) }
            })
            .collect();
        let registers = std::iter::repeat_with(Register::default).take(total).collect();
        Self {
            run: run & 0xFFF,
            clients,
            registers,
            any_refused: AtomicBool::new(false),
            refused: Mutex::default(),
        }
    }

    /// All clients, by index.
    #[must_use]
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// One client.
    #[must_use]
    pub fn client(&self, index: u32) -> &Client {
        &self.clients[index as usize]
    }

    pub(super) fn run(&self) -> u16 {
        self.run
    }

    /// The client's session has begun: from now on it must be found.
    pub fn set_live(&self, client: u32) {
        self.clients[client as usize].life.store(LIVE, Ordering::Release);
    }

    /// The client's session may end from now on: it need not be found any more. Called before `q` is sent, and
    /// when a connection is lost.
    pub fn set_ending(&self, client: u32) {
        self.clients[client as usize].life.store(ENDING, Ordering::Release);
    }

    /// The client's session has ended for certain.
    pub fn set_ended(&self, client: u32) {
        self.set_ending(client);
    }

    pub(super) fn is_live(&self, client: u32) -> bool {
        self.clients[client as usize].life.load(Ordering::Acquire) == LIVE
    }

    /// Begins the next put of a key and gives its version. Only the owner calls it, before it writes.
    pub(super) fn begin_put(&self, client: u32, key: u32) -> u32 {
        let begun = &self.registers[self.index(client, key)].begun;
        let version = begun.load(Ordering::Relaxed) + 1;
        begun.store(version, Ordering::Release);
        version
    }

    pub(super) fn begun(&self, client: u32, key: u32) -> u32 {
        self.registers[self.index(client, key)].begun.load(Ordering::Acquire)
    }

    pub(super) fn settled(&self, client: u32, key: u32) -> u32 {
        self.registers[self.index(client, key)].settled.load(Ordering::Acquire)
    }

    /// A completed put or read proves that this version is in effect.
    pub(super) fn settle(&self, client: u32, key: u32, version: u32) {
        let settled = &self.registers[self.index(client, key)].settled;
        // Mostly it is known already; a plain load is cheaper than a locked maximum.
        if settled.load(Ordering::Acquire) < version {
            settled.fetch_max(version, Ordering::AcqRel);
        }
    }

    pub(super) fn refuse(&self, client: u32, key: u32, version: u32) {
        self.any_refused.store(true, Ordering::Release);
        let register = self.index(client, key);
        self.refused.lock().expect("nothing panics while it holds this lock").insert((register, version));
    }

    pub(super) fn is_refused(&self, client: u32, key: u32, version: u32) -> bool {
        self.any_refused.load(Ordering::Acquire)
            && self
                .refused
                .lock()
                .expect("nothing panics while it holds this lock")
                .contains(&(self.index(client, key), version))
    }

    fn index(&self, client: u32, key: u32) -> usize {
        self.clients[client as usize].registers_from + key as usize
    }
}
