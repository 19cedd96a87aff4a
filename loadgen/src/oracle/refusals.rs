//! Refused puts (ATOM-2), which must never be read, neither before nor after the refusal.
//!
//! Only unusual puts come here, so a lock is fast enough: puts that were refused, and puts that were read before their
//! reply was known while another such read was known. (A single such read needs no note: `settled` holds it.) Memory is
//! bounded: consecutive refusals are one range, and at most [`RANGES_MAX`] ranges of a register are kept. A read that
//! misses a range was open while its owner had that many refusals, each followed by a success.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::position::Position;
use super::register::Register;

/// Ranges of refused puts that are kept for a register. A read that is sent after a success is bounded by it, so only
/// slow reads need the ranges before; no read is this slow.
const RANGES_MAX: usize = 64;

/// Number of locks, so that threads with different registers seldom meet.
const SHARDS: usize = 64;

/// What is known of refused puts.
#[derive(Debug)]
pub(super) struct Refusals {
    /// Whether any put was refused. Until then no reader needs to look.
    any: AtomicBool,
    shards: [Mutex<HashMap<u32, RegisterNotes>>; SHARDS],
}

/// What is unusual about one register.
#[derive(Debug, Default)]
struct RegisterNotes {
    /// Refused puts, first and last of each range, in order.
    refused: VecDeque<(Position, Position)>,
    /// Values that were read before their puts were answered.
    early: Vec<Position>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { any: AtomicBool::new(false), shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Refusals {
    /// The put was refused. Returns whether its value was read before.
    pub(super) fn refuse(&self, index: u32, register: &Register, put: Position) -> bool {
        let mut shard = self.lock(index);
        let notes = shard.entry(index).or_default();
        match notes.refused.back_mut() {
            Some((_, last)) if last.next_put() == put => *last = put,
            _ => notes.refused.push_back((put, put)),
        }
        if notes.refused.len() > RANGES_MAX {
            notes.refused.pop_front();
        }
        // This store and the load of `settled` below pair with a reader's store of `settled` and its load of `any` in
        // `read`: at least one of the two sees the other.
        self.any.store(true, Ordering::SeqCst);
        register.settled() == put || notes.early.contains(&put)
    }

    /// The put's value was read. Returns whether the put was refused.
    pub(super) fn read(&self, index: u32, register: &Register, put: Position) -> bool {
        let accepted = register.accepted();
        if put == accepted {
            return false;
        }
        let mut known = register.settled();
        loop {
            if put.is_newer_than(known) {
                // A newer early read replaces this one in `settled`, so it is noted here.
                if !known.is_empty() && known.is_newer_than(accepted) {
                    self.note_early(index, known, accepted);
                }
                match register.replace_settled(known, put) {
                    Ok(()) => break,
                    Err(newer) => known = newer,
                }
            } else {
                if put != known && put.is_newer_than(accepted) {
                    self.note_early(index, put, accepted);
                }
                break;
            }
        }
        self.any.load(Ordering::SeqCst) && self.is_refused(index, put)
    }

    /// Whether the put is known to have been refused.
    pub(super) fn is_refused(&self, index: u32, put: Position) -> bool {
        self.lock(index)
            .get(&index)
            .is_some_and(|notes| notes.refused.iter().any(|&(first, last)| put.is_within(first, last)))
    }

    fn note_early(&self, index: u32, put: Position, accepted: Position) {
        let mut shard = self.lock(index);
        let early = &mut shard.entry(index).or_default().early;
        // A put that was answered since needs no note.
        early.retain(|noted| *noted != put && noted.is_newer_than(accepted));
        early.push(put);
    }

    fn lock(&self, index: u32) -> MutexGuard<'_, HashMap<u32, RegisterNotes>> {
        self.shards[index as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::position::Epoch;

    const SESSION: Epoch = Epoch::START.or_live();

    #[test]
    fn refusals_in_a_row_take_no_more_memory_than_one() {
        let (refusals, register) = (Refusals::default(), Register::default());
        let puts: Vec<Position> = (0..1_000).map(|_| register.begin_put(SESSION)).collect();
        for &put in &puts {
            assert!(!refusals.refuse(3, &register, put));
        }
        assert_eq!(refusals.lock(3)[&3].refused.len(), 1);
        assert!(puts.iter().all(|&put| refusals.is_refused(3, put)));
        assert!(!refusals.is_refused(3, puts[999].next_put()) && !refusals.is_refused(4, puts[0]));
    }

    #[test]
    fn the_oldest_of_very_many_refusals_are_forgotten() {
        let (refusals, register) = (Refusals::default(), Register::default());
        for _ in 0..1_000 {
            refusals.refuse(0, &register, register.begin_put(SESSION));
            register.accept(SESSION, register.begin_put(SESSION));
        }
        assert_eq!(refusals.lock(0)[&0].refused.len(), RANGES_MAX);
    }

    #[test]
    fn every_early_read_is_remembered_until_its_put_is_answered() {
        let (refusals, register) = (Refusals::default(), Register::default());
        let puts: [Position; 3] = std::array::from_fn(|_| register.begin_put(SESSION));
        for &put in [&puts[1], &puts[2], &puts[0]] {
            assert!(!refusals.read(0, &register, put));
        }
        assert_eq!(register.settled(), puts[2]);
        assert!(puts.iter().all(|&put| refusals.refuse(0, &register, put)));
        assert!(puts.iter().all(|&put| refusals.read(0, &register, put)));
    }

    #[test]
    fn notes_of_early_reads_do_not_pile_up() {
        let (refusals, register) = (Refusals::default(), Register::default());
        for _ in 0..100 {
            let puts: [Position; 2] = std::array::from_fn(|_| register.begin_put(SESSION));
            for put in puts {
                refusals.read(0, &register, put);
            }
            for put in puts {
                register.accept(SESSION, put);
            }
        }
        assert!(refusals.lock(0)[&0].early.len() <= 2);
    }
}
