//! One user's sessions: which may have begun or ended, and which certainly have.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::position::Epoch;

/// A user's sequence of epochs. Only the user's own client advances `begun`; any client that learns more raises
/// `settled`.
#[derive(Debug, Default)]
pub(super) struct UserSessions {
    /// The newest epoch that may have begun. It is published before the message that begins it is written.
    begun: AtomicU32,
    /// The newest epoch that has begun, as a completed operation proved.
    settled: AtomicU32,
    /// Whether some login was never answered. A server may still process it whenever the name is free.
    stray_login: AtomicBool,
    /// Whether the connection was lost and there will be no other.
    lost: AtomicBool,
}

impl UserSessions {
    /// From now on a login may succeed. Returns the epoch that it would begin.
    pub(super) fn begin_session(&self) -> Epoch {
        let begun = self.note_stray_login();
        let live = begun.or_absent().or_live();
        self.begun.store(live.bits(), Ordering::Release);
        live
    }

    /// The login has succeeded.
    pub(super) fn succeed(&self) {
        let live = self.begun().or_live();
        self.begun.store(live.bits(), Ordering::Release);
        self.prove(live);
    }

    /// The login was refused, so the session has not begun. Returns whether a client saw that session all the same.
    pub(super) fn refuse(&self) -> bool {
        let begun = self.begun();
        if !begun.is_live() || self.settled() == begun {
            return begun.is_live();
        }
        self.begun.store(begun.previous().bits(), Ordering::Release);
        false
    }

    /// From now on the session may end.
    pub(super) fn begin_end(&self) {
        let absent = self.note_stray_login().or_absent();
        self.begun.store(absent.bits(), Ordering::Release);
    }

    /// The session has ended.
    pub(super) fn end(&self) {
        self.begin_end();
        self.prove(self.begun());
    }

    /// The connection was lost.
    pub(super) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// Whether it has.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// The newest epoch that may have begun.
    pub(super) fn begun(&self) -> Epoch {
        Epoch::from_bits(self.begun.load(Ordering::Acquire))
    }

    /// The oldest epoch that may still last.
    pub(super) fn settled(&self) -> Epoch {
        Epoch::from_bits(self.settled.load(Ordering::Acquire))
    }

    /// A completed operation proves that this epoch has begun.
    pub(super) fn prove(&self, epoch: Epoch) {
        let newer = |bits| epoch.is_newer_than(Epoch::from_bits(bits)).then_some(epoch.bits());
        // An error means that it is known already.
        let _ = self.settled.fetch_update(Ordering::AcqRel, Ordering::Acquire, newer);
    }

    /// Whether a login without a reply may still be processed.
    pub(super) fn has_stray_login(&self) -> bool {
        self.stray_login.load(Ordering::Acquire)
    }

    /// An epoch that ends before anything proved it was a login that no client has seen succeed.
    fn note_stray_login(&self) -> Epoch {
        let begun = self.begun();
        if begun.is_live() && begun.is_newer_than(self.settled()) {
            self.stray_login.store(true, Ordering::Release);
        }
        begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(sessions: &UserSessions) -> (u32, u32) {
        (sessions.settled().bits(), sessions.begun().bits())
    }

    #[test]
    fn what_may_have_come_runs_ahead_of_what_has() {
        let sessions = UserSessions::default();
        assert_eq!(bits(&sessions), (0, 0));
        assert_eq!(sessions.begin_session().bits(), 1);
        assert_eq!(bits(&sessions), (0, 1));
        sessions.succeed();
        assert_eq!(bits(&sessions), (1, 1));
        sessions.begin_end();
        assert_eq!(bits(&sessions), (1, 2));
        sessions.end();
        assert_eq!(bits(&sessions), (2, 2));
        sessions.begin_session();
        sessions.succeed();
        assert_eq!(bits(&sessions), (3, 3));
        assert!(!sessions.has_stray_login());
    }

    #[test]
    fn a_lost_session_has_ended_only_when_the_next_one_begins() {
        let sessions = UserSessions::default();
        sessions.begin_session();
        sessions.succeed();
        sessions.begin_end();
        sessions.begin_session();
        assert_eq!(bits(&sessions), (1, 3));
        sessions.succeed();
        assert_eq!(bits(&sessions), (3, 3));
        assert!(!sessions.has_stray_login());
    }

    #[test]
    fn a_login_without_an_answer_is_remembered() {
        let sessions = UserSessions::default();
        sessions.begin_session();
        sessions.begin_end();
        assert!(sessions.has_stray_login());
        let sessions = UserSessions::default();
        sessions.begin_session();
        assert_eq!(sessions.begin_session().bits(), 3);
        assert!(sessions.has_stray_login());
    }

    #[test]
    fn a_refused_login_has_not_begun_a_session() {
        let sessions = UserSessions::default();
        sessions.begin_session();
        assert!(!sessions.refuse());
        assert_eq!(bits(&sessions), (0, 0));
        assert_eq!(sessions.begin_session().bits(), 1);
        sessions.prove(Epoch::from_bits(1));
        assert!(sessions.refuse(), "somebody saw what cannot have been");
        assert!(!sessions.has_stray_login());
    }

    #[test]
    fn nothing_that_is_proved_is_forgotten() {
        let sessions = UserSessions::default();
        sessions.begin_session();
        sessions.succeed();
        sessions.prove(Epoch::START);
        assert_eq!(bits(&sessions), (1, 1));
    }
}
