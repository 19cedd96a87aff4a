//! The two counters of a register's state: the position of a key, and the epoch of its user.
//!
//! Only their owner advances them, and both may overflow: they are compared by their distance, as serial numbers are
//! (RFC 1982), so a load may run for ever. Two values that are compared are never 2^31 steps apart, unless a key sees
//! that many puts between two that succeed.

/// A value holds its session's number modulo 32,768.
pub(super) const INCARNATION_MASK: u32 = (1 << 15) - 1;

/// A state of one key, over all sessions of its user: put number n is position 2n, "no value since put n" is
/// position 2n + 1. The count goes on from one session to the next. So every value has a position of its own, and the
/// empty state of a new session lies between the last put of the old one and its own first put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(u32);

impl Position {
    /// Before any put.
    pub(super) const START: Self = Self(0);
    /// No value, and none put so far.
    pub(super) const FIRST_EMPTY: Self = Self(1);

    /// The value of this put; versions count from 1, modulo 2^31.
    pub(super) const fn of_put(version: u32) -> Self {
        Self(version << 1)
    }

    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    /// The put whose value it is, or after which the value was lost.
    pub(super) const fn version(self) -> u32 {
        self.0 >> 1
    }

    /// Whether there is no value.
    pub(super) const fn is_empty(self) -> bool {
        self.0 & 1 == 1
    }

    /// The state after this value was lost with its session.
    pub(super) const fn emptied(self) -> Self {
        Self(self.0 | 1)
    }

    /// The value of the put after this.
    pub(super) const fn next_put(self) -> Self {
        Self((self.0 | 1).wrapping_add(1))
    }

    pub(super) const fn is_newer_than(self, other: Self) -> bool {
        newer(self.0, other.0)
    }

    /// Whether it lies between `from` and `to`, both included.
    pub(super) const fn is_within(self, from: Self, to: Self) -> bool {
        !newer(from.0, self.0) && !newer(self.0, to.0)
    }
}

/// A state of one user: even while logged out, odd during a session. Each login and each end is one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u32);

impl Epoch {
    /// Before the first login.
    pub(super) const START: Self = Self(0);

    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    /// Whether the user is logged in.
    pub(super) const fn is_live(self) -> bool {
        self.0 & 1 == 1
    }

    /// This epoch, or the next one with a session.
    pub(super) const fn or_live(self) -> Self {
        Self(self.0 | 1)
    }

    /// This epoch, or the next one without a session.
    pub(super) const fn or_absent(self) -> Self {
        Self(self.0.wrapping_add(self.0 & 1))
    }

    pub(super) const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    pub(super) const fn previous(self) -> Self {
        Self(self.0.wrapping_sub(1))
    }

    /// Number of its session from 0; while logged out, that of the next session.
    pub(super) const fn incarnation(self) -> u32 {
        self.0 >> 1
    }

    /// That number as values hold it.
    pub(super) const fn incarnation_bits(self) -> u32 {
        self.incarnation() & INCARNATION_MASK
    }

    /// The session whose number ends in these bits: this one, or the nearest later one.
    pub(super) const fn or_session(self, incarnation: u32) -> Self {
        let ahead = incarnation.wrapping_sub(self.incarnation()) & INCARNATION_MASK;
        Self(self.or_live().0.wrapping_add(2 * ahead))
    }

    pub(super) const fn is_newer_than(self, other: Self) -> bool {
        newer(self.0, other.0)
    }
}

/// One end of a read's range: a state of a user and of one of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) epoch: Epoch,
    /// The key's state, in the session of `epoch` if that is one.
    pub(super) position: Position,
}

/// Whether `a` is ahead of `b`, by less than half the range.
const fn newer(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_store_stands_between_two_sessions_puts() {
        let last = Position::of_put(7);
        let empty = last.emptied();
        let first = empty.next_put();
        assert_eq!((first, first.version()), (last.next_put(), 8));
        assert!(first.is_newer_than(empty) && empty.is_newer_than(last));
        assert!(empty.is_empty() && !first.is_empty() && !last.is_empty());
        assert!(!last.is_within(empty, first) && empty.is_within(last, first));
        assert!(!empty.is_within(empty.next_put(), last), "a range that ends before it begins holds nothing");
    }

    #[test]
    fn counting_goes_on_past_the_end_of_the_range() {
        let last = Position::of_put((1 << 31) - 1);
        assert!(last.next_put().is_newer_than(last));
        assert_eq!(last.next_put(), Position::START);
        let epoch = Epoch::from_bits(u32::MAX);
        assert!(epoch.is_live() && epoch.next().is_newer_than(epoch) && !epoch.next().is_live());
        assert_eq!(epoch.or_absent(), Epoch::START);
    }

    #[test]
    fn epochs_take_turns() {
        let mut epoch = Epoch::START;
        for incarnation in 0..3 {
            assert_eq!((epoch.is_live(), epoch.incarnation()), (false, incarnation));
            assert_eq!((epoch.or_absent(), epoch.or_live()), (epoch, epoch.next()));
            epoch = epoch.next();
            assert_eq!((epoch.is_live(), epoch.incarnation()), (true, incarnation));
            assert_eq!((epoch.or_live(), epoch.or_absent()), (epoch, epoch.next()));
            assert_eq!(epoch.or_session(incarnation), epoch);
            assert!(incarnation == 0 || epoch.or_session(incarnation - 1).is_newer_than(epoch));
            epoch = epoch.next();
        }
    }
}
