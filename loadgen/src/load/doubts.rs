//! Replies that are wrong unless the server ended a session by itself.
//!
//! A server that does (an idle time-out, its operator) frees the name first and closes the connection after: managers
//! may be told `user not found` a moment before the session's own client hears of its end. Such a reply is not judged
//! before that client had its chance.

use std::cell::RefCell;

use super::flight::Incident;
use crate::measure::clock::{Nanos, SECOND};
use crate::measure::recorder::{CellKey, Instants};
use crate::oracle::World;

/// For so long the session's client may take to hear of its end.
const PATIENCE: Nanos = SECOND;

/// Doubts that are kept at once. A server that gives rise to more is wrong.
const KEPT: usize = 1_000;

/// A reply that is wrong if the session was there.
#[derive(Debug)]
pub struct Doubt {
    /// The user who was not found.
    pub absent: u32,
    /// Where the request's figures are.
    pub cell: CellKey,
    /// Its instants.
    pub at: Instants,
    /// When the reply was there.
    pub replied: Nanos,
    /// What to say of it, unless enough was said before.
    pub incident: Option<Box<Incident>>,
}

/// The doubts of one worker.
#[derive(Debug, Default)]
pub struct Doubts(RefCell<Vec<Doubt>>);

impl Doubts {
    /// Whether another one would be kept.
    #[must_use]
    pub fn have_room(&self) -> bool {
        self.0.borrow().len() < KEPT
    }

    /// Keeps one.
    pub fn add(&self, doubt: Doubt) {
        self.0.borrow_mut().push(doubt);
    }

    /// Forgets those whose session was lost, and gives back those that were beyond doubt at `now`; without it, all
    /// that are left.
    #[must_use]
    pub fn settle(&self, world: &World, now: Option<Nanos>) -> Vec<Doubt> {
        let mut doubts = self.0.borrow_mut();
        if doubts.is_empty() {
            return Vec::new();
        }
        doubts.retain(|doubt| !world.is_lost(doubt.absent));
        doubts.extract_if(.., |doubt| now.is_none_or(|now| doubt.replied + PATIENCE <= now)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Op, Role};
    use crate::oracle::ValueSpec;

    fn doubt(absent: u32, replied: Nanos) -> Doubt {
        let cell = CellKey { transport: 0, group: 0, role: Role::Manager, op: Op::GetOther };
        let at = Instants { intended: 0, dispatched: 0, sent: 0 };
        Doubt { absent, cell, at, replied, incident: None }
    }

    #[test]
    fn a_doubt_becomes_a_violation_unless_the_session_is_lost_in_time() {
        let values = ValueSpec { min: 20, max: 20 };
        let world = World::new(5, [("a".to_owned(), 0, 1, values), ("b".to_owned(), 0, 1, values)]);
        let doubts = Doubts::default();
        for (absent, replied) in [(0, 10), (1, 10), (0, 20), (1, 30)] {
            doubts.add(doubt(absent, replied));
        }
        let settled =
            |now| doubts.settle(&world, now).iter().map(|d| (d.absent, d.replied)).collect::<Vec<_>>();
        assert_eq!(settled(Some(PATIENCE + 9)), []);
        assert_eq!(settled(Some(PATIENCE + 10)), [(0, 10), (1, 10)]);
        world.set_lost(0);
        assert_eq!(settled(Some(PATIENCE + 29)), [], "one is right after all, the other's time has not come");
        assert_eq!(settled(None), [(1, 30)]);
        assert_eq!(settled(None), []);
    }

    #[test]
    fn no_more_doubts_are_kept_than_a_right_server_gives_rise_to() {
        let doubts = Doubts::default();
        (0..KEPT).for_each(|_| {
            assert!(doubts.have_room());
            doubts.add(doubt(0, 0));
        });
        assert!(!doubts.have_room());
    }
}
