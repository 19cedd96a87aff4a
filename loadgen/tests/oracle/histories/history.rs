//! A history: who called what, when, what came back, and when. Its clock counts events.

/// Keys of the one user that is read and written.
pub const KEYS: usize = 2;

/// What a request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// The owner's name.
    Login,
    /// The owner's `put`.
    Put(usize),
    /// The owner's `get KEY`.
    Get(usize),
    /// The owner's `get USER KEY` of itself, as a manager.
    GetSelf(usize),
    /// The owner's `q`.
    Quit,
    /// A reader's `get USER KEY` of the owner.
    Read(usize),
}

impl Request {
    /// The key that it is about.
    pub fn key(self) -> Option<usize> {
        match self {
            Self::Login | Self::Quit => None,
            Self::Put(key) | Self::Get(key) | Self::GetSelf(key) | Self::Read(key) => Some(key),
        }
    }

    /// Whether it returns a value, where there is one.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Get(_) | Self::GetSelf(_) | Self::Read(_))
    }
}

/// A reply. Values go by the call that put them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Of a login.
    Success,
    /// Of a login.
    Duplicate,
    /// Of a put.
    Done,
    /// Of a put: `store full`.
    Full,
    /// The value of that put.
    Value(usize),
    /// `key not found`.
    NoKey,
    /// `user not found`.
    NoUser,
    /// The guest's denial.
    Denied,
    /// Of `q`.
    Exiting,
    /// The value that the put of this key would have that comes so many after the last one of the history.
    NeverPut(usize, usize),
    /// A value that somebody else put.
    Foreign,
    /// The value of that put with one byte changed.
    Damaged(usize),
}

/// A request and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The connection; see [`History::owner_from`].
    pub connection: usize,
    /// What it asks.
    pub request: Request,
    /// When it was written.
    pub called: usize,
    /// What came back and when; for `q`, when the close was seen.
    pub returned: Option<(Reply, usize)>,
}

/// What happens, as the clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A client writes this call's request.
    Call(usize),
    /// A client has read this call's reply.
    Return(usize),
    /// The owner's connection is lost.
    Lost(usize),
    /// The owner has seen the close that follows `exiting`.
    Closed(usize),
}

/// All that happened.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// In the order of their events.
    pub calls: Vec<Call>,
    /// In the order of time.
    pub events: Vec<Event>,
    /// For each reader, which have the first connections, whether it is a manager; the others are guests.
    pub managers: Vec<bool>,
    /// How many keys are in use.
    pub keys: usize,
}

impl History {
    /// The owner's connections, one after the other, begin here.
    pub fn owner_from(&self) -> usize {
        self.managers.len()
    }

    /// One more than the last connection.
    pub fn connections(&self) -> usize {
        let of_calls = self.calls.iter().map(|call| call.connection + 1).max().unwrap_or(0);
        of_calls.max(self.owner_from())
    }

    /// The puts of a key, as indices of calls.
    pub fn puts(&self, key: usize) -> Vec<usize> {
        (0..self.calls.len()).filter(|&call| self.calls[call].request == Request::Put(key)).collect()
    }

    /// Whether a login was given up without an answer.
    pub fn has_stray_login(&self) -> bool {
        let is_stray = |call: &Call| call.request == Request::Login && call.returned.is_none();
        self.calls.iter().any(|call| is_stray(call) && self.lost_at(call.connection).is_some())
    }

    /// The history as it were if no manager had been answered `key not found`.
    pub fn without_empty_reads(&self) -> Self {
        let mut without = self.clone();
        for call in &mut without.calls {
            let is_read = matches!(call.request, Request::Read(_));
            call.returned = call.returned.filter(|(reply, _)| !(is_read && *reply == Reply::NoKey));
        }
        without
    }

    /// When a connection was lost.
    pub fn lost_at(&self, connection: usize) -> Option<usize> {
        self.events.iter().position(|&event| event == Event::Lost(connection))
    }
}
