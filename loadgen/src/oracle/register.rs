//! One user's key as an atomic register, made of four numbers.

use std::sync::atomic::{AtomicU32, Ordering};

use super::position::{Epoch, Position};

/// A register. Only its owner advances `begun`, `accepted` and `epoch`; any client that learns more raises `settled`.
#[derive(Debug)]
#[repr(align(16))]
pub(super) struct Register {
    /// The newest put that was begun. It is published before the put is written.
    begun: AtomicU32,
    /// The newest position that a completed operation proved.
    settled: AtomicU32,
    /// The owner's newest put that was done in the session of `epoch`; empty if there is none.
    accepted: AtomicU32,
    /// The session of the newest put that was begun. A new session empties every key; a key with an older epoch is
    /// known to be empty without a visit.
    epoch: AtomicU32,
}

impl Default for Register {
    fn default() -> Self {
        Self {
            begun: AtomicU32::new(Position::START.bits()),
            settled: AtomicU32::new(Position::FIRST_EMPTY.bits()),
            accepted: AtomicU32::new(Position::FIRST_EMPTY.bits()),
            epoch: AtomicU32::new(Epoch::START.bits()),
        }
    }
}

impl Register {
    /// Begins the next put and returns its position. Only the owner calls it, before it writes the put, in a session
    /// whose login has succeeded.
    pub(super) fn begin_put(&self, session: Epoch) -> Position {
        let begun = Position::from_bits(self.begun.load(Ordering::Relaxed));
        if self.epoch.load(Ordering::Relaxed) != session.bits() {
            // The old session's values are gone. `oldest` relies on the order: `begun` is stored last.
            let empty = begun.emptied();
            self.accepted.store(empty.bits(), Ordering::Release);
            self.settle(empty);
            self.epoch.store(session.bits(), Ordering::Release);
        }
        let put = begun.next_put();
        self.begun.store(put.bits(), Ordering::Release);
        put
    }

    /// The owner's put is done. A put of an earlier session does not tell what the key holds now.
    pub(super) fn accept(&self, session: Epoch, put: Position) {
        // A reader that sees it accepted may assume that it is settled.
        self.settle(put);
        if self.epoch.load(Ordering::Relaxed) == session.bits() {
            self.accepted.store(put.bits(), Ordering::Release);
        }
    }

    /// What the owner reads in this session once all its puts so far are answered.
    pub(super) fn own(&self, session: Epoch) -> Position {
        if self.epoch.load(Ordering::Relaxed) == session.bits() {
            self.accepted()
        } else {
            Position::FIRST_EMPTY
        }
    }

    /// The newest put of this session that is known to be done.
    pub(super) fn accepted(&self) -> Position {
        Position::from_bits(self.accepted.load(Ordering::Acquire))
    }

    /// The newest put that may have taken effect.
    pub(super) fn begun(&self) -> Position {
        Position::from_bits(self.begun.load(Ordering::Acquire))
    }

    /// The newest position that is proved.
    pub(super) fn settled(&self) -> Position {
        // Sequentially consistent because `refusals` needs it.
        Position::from_bits(self.settled.load(Ordering::SeqCst))
    }

    /// The oldest position that a read which begins now may find, and its epoch. `epoch` is the user's oldest possible
    /// epoch, as just loaded; the register may know a newer one.
    pub(super) fn oldest(&self, epoch: Epoch) -> (Position, Epoch) {
        let begun = self.begun();
        let written = Epoch::from_bits(self.epoch.load(Ordering::Acquire));
        if epoch.is_newer_than(written) {
            // Nothing was put in this epoch when `self.epoch` was loaded. So `begun`, which was loaded before, is the
            // last put of the earlier sessions: a client that proved `epoch` saw all of them begin.
            (begun.emptied(), epoch)
        } else {
            (self.settled(), written)
        }
    }

    /// Raises `settled`.
    pub(super) fn settle(&self, position: Position) {
        let mut known = self.settled();
        while position.is_newer_than(known) {
            match self.replace_settled(known, position) {
                Ok(()) => return,
                Err(newer) => known = newer,
            }
        }
    }

    /// Replaces `settled` if it is still `known`.
    pub(super) fn replace_settled(&self, known: Position, new: Position) -> Result<(), Position> {
        self.settled
            .compare_exchange_weak(known.bits(), new.bits(), Ordering::SeqCst, Ordering::SeqCst)
            .map(drop)
            .map_err(Position::from_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_is_small() {
        assert_eq!(size_of::<Register>(), 16, "scenario::limits counts on it");
    }

    #[test]
    fn a_new_session_finds_the_key_empty_without_a_visit() {
        let register = Register::default();
        let [first, second] = [1, 3].map(Epoch::from_bits);
        assert_eq!(register.oldest(first), (Position::FIRST_EMPTY, first));
        let put = register.begin_put(first);
        register.accept(first, put);
        assert_eq!((register.own(first), register.oldest(first)), (put, (put, first)));
        assert!(register.own(second).is_empty());
        let (oldest, epoch) = register.oldest(second);
        assert!(oldest.is_empty() && oldest.is_newer_than(put));
        assert_eq!(epoch, second);
        let next = register.begin_put(second);
        assert_eq!(register.oldest(second), (oldest, second), "begun is not done");
        assert!(register.own(second).is_empty());
        register.accept(second, next);
        assert_eq!(register.own(second), next);
    }

    #[test]
    fn what_the_register_knows_of_its_user_counts() {
        let register = Register::default();
        let session = Epoch::from_bits(5);
        register.begin_put(session);
        let stale = Epoch::from_bits(1);
        assert_eq!(register.oldest(stale).1, session, "a put proves its session");
    }

    #[test]
    fn a_late_answer_to_an_earlier_session_changes_nothing() {
        let register = Register::default();
        let [first, second] = [1, 3].map(Epoch::from_bits);
        let old = register.begin_put(first);
        let new = register.begin_put(second);
        register.accept(second, new);
        register.accept(first, old);
        assert_eq!((register.own(second), register.settled()), (new, new));
    }
}
