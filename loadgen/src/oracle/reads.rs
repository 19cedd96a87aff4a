//! A session's own reads of others' keys: an earlier one bounds a later one, though both were under way at once.
//!
//! Between sessions a read is bounded by what was proved before it was sent. Within one session requests take effect
//! in their order (FORM-3), so there it is also bounded by the replies that came since. What those proved is kept
//! for as long as a read is open that was sent before: at most as many as there are requests outstanding.

use std::collections::VecDeque;

use super::expect::ReadBound;
use super::position::State;
use super::reference::{ReadReply, ReferenceModel};

/// What one read found while others of its session were under way.
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

    /// The oldest open read is answered. What was found before it was sent has done its duty.
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
        // Whatever the session found has been proved to all: where nothing newer is known than this state,
        // the session does not either, and need not look.
        if !self.found.is_empty() && state != reference.oldest(target, key) {
            let oldest = self.bounded(target, key, from.oldest);
            state = reference.state(target, key, oldest, answer).ok_or(oldest)?;
        }
        if self.sent != self.answered {
            self.found.push_back(Found { read: self.answered, target, key, state });
        }
        Ok(state)
    }

    /// A read's oldest state, made newer by what the session found since it was sent.
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
