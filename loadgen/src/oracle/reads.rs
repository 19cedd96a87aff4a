//! A session's reads of others' keys: an earlier read bounds a later one, even if both were open at the same time.
//!
//! Between sessions, a read is bounded by what was proved before it was sent. Within one session requests take effect
//! in order (FORM-3), so a read is also bounded by the replies that came since. What they proved is kept while a read
//! is open that was sent before: at most one entry for each outstanding request.

use std::collections::VecDeque;

use super::expect::ReadBound;
use super::position::State;
use super::reference::{ReadReply, ReferenceModel};

/// What one read found while other reads of its session were open.
#[derive(Debug, Clone, Copy)]
struct Found {
    /// Number of the read among the session's.
    read: u32,
    target: u32,
    key: Option<u32>,
    state: State,
}

/// The reads of one session.
#[derive(Debug, Default)]
pub(super) struct Reads {
    sent: u32,
    answered: u32,
    found: VecDeque<Found>,
}

impl Reads {
    /// A read is about to be sent.
    pub(super) fn send(&mut self, oldest: State) -> ReadBound {
        self.sent = self.sent.wrapping_add(1);
        ReadBound { oldest, answered: self.answered }
    }

    /// The oldest open read is answered. What was found before it was sent is no longer needed.
    pub(super) fn answer(&mut self, from: ReadBound) {
        self.answered = self.answered.wrapping_add(1);
        while self
            .found
            .front()
            .is_some_and(|found| from.answered.wrapping_sub(found.read).cast_signed() >= 0)
        {
            self.found.pop_front();
        }
    }

    /// The state that this answer to the read just answered proves.
    ///
    /// # Errors
    /// The oldest state that it might have found, where it cannot be right.
    pub(super) fn judge(
        &mut self,
        reference: &ReferenceModel,
        target: u32,
        key: Option<u32>,
        from: ReadBound,
        answer: ReadReply,
    ) -> Result<State, State> {
        let mut state = reference.state(target, key, from.oldest, answer).ok_or(from.oldest)?;
        // Whatever the session found is proved for all clients. So if nothing newer than this state is known, the
        // session has found nothing newer either.
        if !self.found.is_empty() && state != reference.oldest(target, key) {
            let oldest = self.bounded(target, key, from.oldest);
            state = reference.state(target, key, oldest, answer).ok_or(oldest)?;
        }
        if self.sent != self.answered {
            self.found.push_back(Found { read: self.answered, target, key, state });
        }
        Ok(state)
    }

    /// A read's oldest state, advanced by what the session found since it was sent.
    fn bounded(&self, target: u32, key: Option<u32>, mut oldest: State) -> State {
        for found in self.found.iter().filter(|found| found.target == target) {
            if found.state.epoch.is_newer_than(oldest.epoch) {
                oldest = State { epoch: found.state.epoch, position: oldest.position.emptied() };
            }
            if found.key == key && found.state.position.is_newer_than(oldest.position) {
                let same_epoch = found.state.epoch == oldest.epoch;
                let position = found.state.position;
                oldest.position = if same_epoch { position } else { position.emptied() };
            }
        }
        oldest
    }
}
