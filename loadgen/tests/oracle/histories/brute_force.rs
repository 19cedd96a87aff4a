//! Whether a history is linearizable, found by trying: slow, and plain enough to be believed.
//!
//! The search is that of Wing and Gong ("Testing and verifying concurrent objects", J. Parallel Distrib. Comput. 17,
//! 1993): again and again some call that no unplaced call precedes is taken as the next to have effect. Situations
//! already found hopeless are remembered, as Lowe proposes ("Testing for linearizability", 2017).
//!
//! Three things come on top. Calls of one connection have effect in their order (FORM-3). A call without a reply has
//! had its effect at any time after it, or none. A lost connection ends its session at some time after the loss.

use std::collections::HashSet;

use super::history::{History, KEYS, Reply, Request};

/// What the service holds: the connection that has the owner's name, and each key's put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Service {
    name: Option<usize>,
    store: [Option<usize>; KEYS],
}

/// How far a search has come: calls placed of each connection, lost ones that have ended, and what then is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Situation {
    placed: Vec<usize>,
    ended: Vec<bool>,
    service: Service,
}

/// Whether the history is linearizable.
pub fn is_linearizable(history: &History) -> bool {
    Search::new(history, |_| true).run()
}

/// Whether its part about this key is.
pub fn is_linearizable_for(history: &History, key: usize) -> bool {
    Search::new(history, |request| request.key().is_none_or(|about| about == key)).run()
}

struct Search<'a> {
    history: &'a History,
    /// Calls by connection.
    calls: Vec<Vec<usize>>,
    lost_at: Vec<Option<usize>>,
    hopeless: HashSet<Situation>,
}

impl<'a> Search<'a> {
    fn new(history: &'a History, regards: impl Fn(Request) -> bool) -> Self {
        let mut calls = vec![Vec::new(); history.connections()];
        for (index, call) in history.calls.iter().enumerate() {
            if regards(call.request) {
                calls[call.connection].push(index);
            }
        }
        let lost_at = (0..calls.len()).map(|connection| history.lost_at(connection)).collect();
        Self { history, calls, lost_at, hopeless: HashSet::new() }
    }

    fn run(mut self) -> bool {
        let connections = self.calls.len();
        let start = Situation {
            placed: vec![0; connections],
            ended: vec![false; connections],
            service: Service::default(),
        };
        self.can_finish(&start)
    }

    fn can_finish(&mut self, situation: &Situation) -> bool {
        let due = self.first_return(situation);
        // Whatever is left has no reply, and may never have had an effect.
        let Some(due) = due else { return true };
        if !self.hopeless.insert(situation.clone()) {
            return false;
        }
        (0..self.calls.len()).any(|connection| {
            self.next(situation, connection, due).into_iter().any(|next| self.can_finish(&next))
        })
    }

    /// When the first of the calls returns that are not placed yet.
    fn first_return(&self, situation: &Situation) -> Option<usize> {
        let unplaced = |connection: usize| &self.calls[connection][situation.placed[connection]..];
        (0..self.calls.len())
            .flat_map(unplaced)
            .filter_map(|&call| self.history.calls[call].returned.map(|(_, at)| at))
            .min()
    }

    /// The situations to which one step of this connection leads.
    fn next(&self, situation: &Situation, connection: usize, due: usize) -> Vec<Situation> {
        let mut next = Vec::new();
        if situation.ended[connection] {
            return next;
        }
        if self.lost_at[connection].is_some_and(|lost| lost < due) {
            let mut ended = situation.clone();
            ended.ended[connection] = true;
            if ended.service.name == Some(connection) {
                ended.service = Service::default();
            }
            next.push(ended);
        }
        let call = self.calls[connection].get(situation.placed[connection]);
        if let Some(&call) = call
            && self.history.calls[call].called < due
        {
            for service in self.effects(situation.service, call) {
                let mut placed = situation.clone();
                placed.placed[connection] += 1;
                placed.service = service;
                next.push(placed);
            }
        }
        next
    }

    /// What the service may hold after this call has had its effect; nothing where its reply cannot be.
    fn effects(&self, before: Service, call: usize) -> Vec<Service> {
        let connection = self.history.calls[call].connection;
        let reply = self.history.calls[call].returned.map(|(reply, _)| reply);
        let is_own = before.name == Some(connection);
        let mut after = before;
        match self.history.calls[call].request {
            Request::Login => {
                after.name = Some(connection);
                return match (before.name, reply) {
                    // A name may stay taken for a while after its session is gone (LIFE-2).
                    (_, Some(Reply::Duplicate)) | (Some(_), None) => vec![before],
                    (None, Some(Reply::Success)) => vec![after],
                    (None, None) => vec![before, after],
                    _ => Vec::new(),
                };
            }
            Request::Quit if is_own => after = Service::default(),
            Request::Put(key) if is_own => {
                after.store[key] = Some(call);
                return match reply {
                    Some(Reply::Done) => vec![after],
                    Some(Reply::Full) => vec![before],
                    None => vec![before, after],
                    Some(_) => Vec::new(),
                };
            }
            Request::Get(key) | Request::GetSelf(key) if is_own => {
                return read(before, key, reply);
            }
            Request::Read(key) if self.history.managers[connection] => return read(before, key, reply),
            Request::Read(_) if reply.is_none_or(|reply| reply == Reply::Denied) => {}
            _ => return Vec::new(),
        }
        vec![after]
    }
}

/// A read changes nothing, and finds what is there.
fn read(service: Service, key: usize, reply: Option<Reply>) -> Vec<Service> {
    let found = match (service.name, service.store[key]) {
        (None, _) => Reply::NoUser,
        (Some(_), None) => Reply::NoKey,
        (Some(_), Some(put)) => Reply::Value(put),
    };
    if reply.is_none_or(|reply| reply == found) { vec![service] } else { Vec::new() }
}
