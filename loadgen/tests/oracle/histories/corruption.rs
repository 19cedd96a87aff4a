//! Ways to make a legal history wrong, each named after what it lets through.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use super::history::{Call, History, Reply, Request};

/// A class of wrong replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Corruption {
    /// A value that nobody ever put.
    NeverPut,
    /// A value whose put begins only after the read has returned.
    Future,
    /// A value that another user put.
    ForeignUser,
    /// A value of the same user's other key.
    OtherKey,
    /// A value with one byte changed.
    Damaged,
    /// An older value of the same session.
    Stale,
    /// A value of an earlier session.
    EarlierSession,
    /// The value of a put that was refused.
    Refused,
    /// `key not found` where there was a value.
    Lost,
    /// `user not found` where there was something else.
    UserLost,
    /// A user found who was not.
    UserFound,
    /// Two replies of one connection in each other's place.
    Swapped,
    /// `done` for a put that was refused.
    FalseDone,
    /// `store full` for a put that took effect.
    FalseRefusal,
    /// A guest sees what a manager would.
    DenialMissing,
    /// A manager is denied.
    DenialWrong,
    /// Any reply of the history in any other's place.
    Any,
}

impl Corruption {
    /// Every class.
    pub const ALL: [Self; 17] = [
        Self::NeverPut,
        Self::Future,
        Self::ForeignUser,
        Self::OtherKey,
        Self::Damaged,
        Self::Stale,
        Self::EarlierSession,
        Self::Refused,
        Self::Lost,
        Self::UserLost,
        Self::UserFound,
        Self::Swapped,
        Self::FalseDone,
        Self::FalseRefusal,
        Self::DenialMissing,
        Self::DenialWrong,
        Self::Any,
    ];

    /// The history with one reply made wrong in this way, or with two in each other's place; `None` where it has no
    /// reply that could be. What comes out may happen to be legal all the same.
    pub fn of(self, history: &History, random: &mut impl Rng) -> Option<History> {
        if self == Self::Swapped {
            return swapped(history, random);
        }
        let judged: Vec<usize> = judged(history).collect();
        let mut candidates = Vec::new();
        for &call in &judged {
            let replies = self.replies(history, call, &judged);
            candidates.extend(replies.into_iter().map(|reply| (call, reply)));
        }
        candidates.retain(|&(call, reply)| history.calls[call].returned.is_some_and(|(was, _)| was != reply));
        let &(call, reply) = candidates.choose(random)?;
        let mut wrong = history.clone();
        set_reply(&mut wrong, call, reply);
        Some(wrong)
    }

    /// Replies that would be wrong in this way for a call.
    fn replies(self, history: &History, call: usize, judged: &[usize]) -> Vec<Reply> {
        let Call { request, connection, returned, .. } = history.calls[call];
        let Some((right, at)) = returned else { return Vec::new() };
        let is_guest = history.managers.get(connection) == Some(&false);
        match (self, request.key()) {
            (Self::FalseDone, _) if right == Reply::Full => vec![Reply::Done],
            (Self::FalseRefusal, _) if right == Reply::Done => vec![Reply::Full],
            (Self::DenialMissing, Some(key)) if is_guest => {
                let values = history.puts(key).into_iter().map(Reply::Value);
                values.chain([Reply::NoKey, Reply::NoUser]).collect()
            }
            (Self::Any, _) => {
                judged.iter().filter_map(|&other| history.calls[other].returned).map(|(r, _)| r).collect()
            }
            (_, Some(key)) if request.is_read() && !is_guest => self.reads(history, key, right, at),
            _ => Vec::new(),
        }
    }

    /// Replies that would be wrong in this way for a read of a key.
    fn reads(self, history: &History, key: usize, right: Reply, at: usize) -> Vec<Reply> {
        let values_of = |keep: &dyn Fn(usize) -> bool| -> Vec<Reply> {
            history.puts(key).into_iter().filter(|&put| keep(put)).map(Reply::Value).collect()
        };
        let connection = |put: usize| history.calls[put].connection;
        let reply_of = |put: usize| history.calls[put].returned.map(|(reply, _)| reply);
        match (self, right) {
            (Self::NeverPut, _) => (0..3).map(|ahead| Reply::NeverPut(key, ahead)).collect(),
            (Self::Future, _) => values_of(&|put| history.calls[put].called > at),
            (Self::ForeignUser, _) => vec![Reply::Foreign],
            (Self::OtherKey, _) => history.puts(1 - key).into_iter().map(Reply::Value).collect(),
            (Self::Damaged, Reply::Value(put)) => vec![Reply::Damaged(put)],
            (Self::Stale, Reply::Value(newest)) => {
                values_of(&|put| put < newest && connection(put) == connection(newest))
            }
            (Self::EarlierSession, Reply::Value(newest)) => {
                values_of(&|put| connection(put) < connection(newest))
            }
            (Self::EarlierSession, Reply::NoKey) => values_of(&|put| history.calls[put].called < at),
            (Self::UserFound, Reply::NoUser) => {
                let mut found = values_of(&|put| history.calls[put].called < at);
                found.push(Reply::NoKey);
                found
            }
            (Self::Refused, _) => values_of(&|put| reply_of(put) == Some(Reply::Full)),
            (Self::Lost, Reply::Value(_)) => vec![Reply::NoKey],
            (Self::UserLost, Reply::Value(_) | Reply::NoKey) => vec![Reply::NoUser],
            (Self::DenialWrong, _) => vec![Reply::Denied],
            _ => Vec::new(),
        }
    }
}

/// Calls whose replies the oracle judges.
fn judged(history: &History) -> impl Iterator<Item = usize> {
    let is_judged =
        |call: &Call| !matches!(call.request, Request::Login | Request::Quit) && call.returned.is_some();
    history.calls.iter().enumerate().filter(move |(_, call)| is_judged(call)).map(|(index, _)| index)
}

fn swapped(history: &History, random: &mut impl Rng) -> Option<History> {
    let judged: Vec<usize> = judged(history).collect();
    let one = *judged.choose(random)?;
    let same_connection = |&&other: &&usize| {
        history.calls[other].connection == history.calls[one].connection
            && history.calls[other].returned.map(|r| r.0) != history.calls[one].returned.map(|r| r.0)
    };
    let others: Vec<usize> = judged.iter().filter(same_connection).copied().collect();
    let other = others[if others.is_empty() { return None } else { random.random_range(0..others.len()) }];
    let mut wrong = history.clone();
    let (of_one, of_other) = (history.calls[one].returned?.0, history.calls[other].returned?.0);
    set_reply(&mut wrong, one, of_other);
    set_reply(&mut wrong, other, of_one);
    Some(wrong)
}

fn set_reply(history: &mut History, call: usize, reply: Reply) {
    if let Some((was, _)) = &mut history.calls[call].returned {
        *was = reply;
    }
}
