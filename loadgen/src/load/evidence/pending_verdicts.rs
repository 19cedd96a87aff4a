//! Replies that are wrong unless the server itself ended a session.
//!
//! Such a server (after an idle time-out, or by its operator) first frees the name and then closes the connection.
//! Managers may get `user not found` a moment before the session's own client learns of its end. Such a reply is not
//! judged before that client could learn of it.

use std::cell::RefCell;

use twinwire_os::clock::{Nanos, SECOND};

use super::violation::Evidence;
use crate::measure::recorder::{CellKey, Instants};
use crate::oracle::ReferenceModel;

/// How long the session's client may take to learn of its end.
const SETTLE_AFTER: Nanos = SECOND;

/// Most verdicts that are pending at a time. A server that causes more is wrong.
const KEPT: usize = 1_000;

/// A reply that is wrong if the session existed.
#[derive(Debug)]
pub struct PendingVerdict {
    /// The user who was not found.
    pub absent: u32,
    pub cell: CellKey,
    pub at: Instants,
    pub replied: Nanos,
    /// Its evidence, unless enough is kept already.
    pub evidence: Option<Box<Evidence>>,
}

/// Those of one worker.
#[derive(Debug, Default)]
pub struct PendingVerdicts(RefCell<Vec<PendingVerdict>>);

impl PendingVerdicts {
    /// Whether another one would be kept.
    pub fn have_room(&self) -> bool {
        self.0.borrow().len() < KEPT
    }

    pub fn add(&self, verdict: PendingVerdict) {
        self.0.borrow_mut().push(verdict);
    }

    /// Takes the verdicts that are due at `now`, and drops those whose session was lost: their replies were right.
    pub fn take_due(&self, reference: &ReferenceModel, now: Nanos) -> Vec<PendingVerdict> {
        let mut verdicts = self.0.borrow_mut();
        verdicts.retain(|verdict| !reference.is_lost(verdict.absent));
        verdicts.extract_if(.., |verdict| verdict.replied + SETTLE_AFTER <= now).collect()
    }

    /// Takes all verdicts, but for those whose session was lost.
    pub fn take_all(&self, reference: &ReferenceModel) -> Vec<PendingVerdict> {
        let verdicts = self.0.take().into_iter();
        verdicts.filter(|verdict| !reference.is_lost(verdict.absent)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Op, Role};
    use crate::oracle::{ClientSpec, ValueSpec};

    fn verdict(absent: u32, replied: Nanos) -> PendingVerdict {
        let cell = CellKey { transport: 0, group: 0, role: Role::Manager, op: Op::GetOther };
        let at = Instants { intended: 0, dispatched: 0, sent: 0 };
        PendingVerdict { absent, cell, at, replied, evidence: None }
    }

    #[test]
    fn a_pending_verdict_becomes_a_violation_unless_the_session_is_lost_in_time() {
        let values = ValueSpec { min: 20, max: 20 };
        let reference = ReferenceModel::new(
            5,
            ["a", "b"].map(|name| ClientSpec { name: name.to_owned(), group: 0, keys: 1, values }),
        );
        let pending_verdicts = PendingVerdicts::default();
        for (absent, replied) in [(0, 10), (1, 10), (0, 20), (1, 30)] {
            pending_verdicts.add(verdict(absent, replied));
        }
        let seen = |verdicts: Vec<PendingVerdict>| {
            verdicts.iter().map(|verdict| (verdict.absent, verdict.replied)).collect::<Vec<_>>()
        };
        let due = |now| seen(pending_verdicts.take_due(&reference, now));
        assert_eq!(due(SETTLE_AFTER + 9), []);
        assert_eq!(due(SETTLE_AFTER + 10), [(0, 10), (1, 10)]);
        reference.set_lost(0);
        assert_eq!(due(SETTLE_AFTER + 29), [], "one is right after all, the other's time has not come");
        assert_eq!(seen(pending_verdicts.take_all(&reference)), [(1, 30)]);
        assert_eq!(seen(pending_verdicts.take_all(&reference)), []);
    }

    #[test]
    fn no_more_verdicts_are_deferred_than_a_right_server_causes() {
        let pending_verdicts = PendingVerdicts::default();
        (0..KEPT).for_each(|_| {
            assert!(pending_verdicts.have_room());
            pending_verdicts.add(verdict(0, 0));
        });
        assert!(!pending_verdicts.have_room());
    }
}
