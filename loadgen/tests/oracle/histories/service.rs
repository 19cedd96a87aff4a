//! Histories of a service that keeps the rules, with every step's order drawn at random.
//!
//! Messages lie in queues, one for each connection and direction, for as long as the draw wants; the service takes
//! one request at a time. The owner logs in, puts and reads, pipelined, and ends its session by `q` or by losing its
//! connection, then comes again, perhaps before the service has noticed.

use std::collections::VecDeque;

use rand::{Rng, RngExt};

use super::history::{Call, Event, History, KEYS, Reply, Request};

/// Calls of one history: as many as the search bears.
const CALLS_MAX: usize = 18;

/// Outstanding requests of a connection.
const DEPTH: usize = 3;

/// Steps after which a history ends, whatever is open.
const STEPS_MAX: usize = 120;

/// A legal history with so many keys in use.
pub fn history(random: &mut impl Rng, keys: usize) -> History {
    let managers = vec![true, random.random_bool(0.8)];
    let connections = managers.iter().map(|_| Connection::default()).collect();
    let mut run = Run {
        history: History { managers, keys, ..History::default() },
        connections,
        name: None,
        store: [None; KEYS],
        owner: Owner::Away,
        refuses: if random.random_bool(0.5) { 0.3 } else { 0.0 },
        loses: random.random_range(0.0..0.1),
    };
    let steps = random.random_range(STEPS_MAX / 4..STEPS_MAX);
    for _ in 0..steps {
        run.step(random);
    }
    run.history
}

#[derive(Debug, Default)]
struct Connection {
    requests: VecDeque<usize>,
    replies: VecDeque<(usize, Reply)>,
    /// The client has lost it; once its requests are taken, its session ends.
    lost: bool,
    /// The service takes nothing from it any more.
    over: bool,
    outstanding: usize,
}

/// What the owner is about; each with its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Away,
    LoggingIn(usize),
    Live(usize),
    Quitting(usize),
    /// `exiting` was read, by this call.
    Closing(usize, usize),
}

struct Run {
    history: History,
    connections: Vec<Connection>,
    name: Option<usize>,
    store: [Option<usize>; KEYS],
    owner: Owner,
    refuses: f64,
    loses: f64,
}

impl Run {
    fn step(&mut self, random: &mut impl Rng) {
        match random.random_range(0..4) {
            0 => self.owner_acts(random),
            1 => {
                let reader = random.random_range(0..self.history.owner_from());
                let key = random.random_range(0..self.history.keys);
                self.call(reader, Request::Read(key));
            }
            2 => {
                let connection = random.random_range(0..self.connections.len());
                self.serve(connection, random);
            }
            _ => {
                let connection = random.random_range(0..self.connections.len());
                self.receive(connection);
            }
        }
    }

    fn owner_acts(&mut self, random: &mut impl Rng) {
        match self.owner {
            Owner::Away => {
                let connection = self.connections.len();
                self.connections.push(Connection::default());
                if self.call(connection, Request::Login) {
                    self.owner = Owner::LoggingIn(connection);
                } else {
                    self.connections.pop();
                }
            }
            Owner::LoggingIn(connection) | Owner::Live(connection) | Owner::Quitting(connection)
                if random.random_bool(self.loses) =>
            {
                self.lose(connection, random);
            }
            Owner::LoggingIn(connection) if self.connections[connection].outstanding == 0 => {
                self.call(connection, Request::Login);
            }
            Owner::Live(connection) => {
                let key = random.random_range(0..self.history.keys);
                let request = match random.random_range(0..12) {
                    0..6 => Request::Put(key),
                    6..8 => Request::Get(key),
                    8..10 => Request::GetSelf(key),
                    _ => Request::Quit,
                };
                if self.call(connection, request) && request == Request::Quit {
                    self.owner = Owner::Quitting(connection);
                }
            }
            Owner::Closing(connection, quit) => {
                let at = self.history.events.len();
                self.history.events.push(Event::Closed(connection));
                self.history.calls[quit].returned = Some((Reply::Exiting, at));
                self.owner = Owner::Away;
            }
            Owner::LoggingIn(_) | Owner::Quitting(_) => {}
        }
    }

    /// Writes a request; not if there are enough.
    fn call(&mut self, connection: usize, request: Request) -> bool {
        if self.history.calls.len() >= CALLS_MAX || self.connections[connection].outstanding >= DEPTH {
            return false;
        }
        let call = self.history.calls.len();
        let called = self.history.events.len();
        self.history.calls.push(Call { connection, request, called, returned: None });
        self.history.events.push(Event::Call(call));
        self.connections[connection].requests.push_back(call);
        self.connections[connection].outstanding += 1;
        true
    }

    fn lose(&mut self, connection: usize, random: &mut impl Rng) {
        self.history.events.push(Event::Lost(connection));
        let lost = &mut self.connections[connection];
        lost.lost = true;
        lost.replies.clear();
        // Some of what was on its way never arrives.
        let arrived = random.random_range(0..=lost.requests.len());
        lost.requests.truncate(arrived);
        self.owner = Owner::Away;
    }

    /// The service takes one request, or notices the end.
    fn serve(&mut self, connection: usize, random: &mut impl Rng) {
        if self.connections[connection].over {
            return;
        }
        let Some(call) = self.connections[connection].requests.pop_front() else {
            if self.connections[connection].lost {
                self.end(connection);
            }
            return;
        };
        let reply = match self.history.calls[call].request {
            Request::Login if self.name.is_none() => {
                self.name = Some(connection);
                Reply::Success
            }
            Request::Login => Reply::Duplicate,
            Request::Put(_) if random.random_bool(self.refuses) => Reply::Full,
            Request::Put(key) => {
                self.store[key] = Some(call);
                Reply::Done
            }
            Request::Quit => {
                self.end(connection);
                Reply::Exiting
            }
            Request::Read(_) if !self.history.managers[connection] => Reply::Denied,
            Request::Get(key) | Request::GetSelf(key) | Request::Read(key) => match self.name {
                None => Reply::NoUser,
                Some(_) => self.store[key].map_or(Reply::NoKey, Reply::Value),
            },
        };
        if !self.connections[connection].lost {
            self.connections[connection].replies.push_back((call, reply));
        }
    }

    fn end(&mut self, connection: usize) {
        self.connections[connection].over = true;
        if self.name == Some(connection) {
            self.name = None;
            self.store = [None; KEYS];
        }
    }

    /// A client reads one reply.
    fn receive(&mut self, connection: usize) {
        let Some((call, reply)) = self.connections[connection].replies.pop_front() else { return };
        self.connections[connection].outstanding -= 1;
        if reply == Reply::Exiting {
            // It counts as returned once the close is seen (LIFE-3).
            self.owner = Owner::Closing(connection, call);
            return;
        }
        self.history.calls[call].returned = Some((reply, self.history.events.len()));
        self.history.events.push(Event::Return(call));
        if reply == Reply::Success {
            self.owner = Owner::Live(connection);
        }
    }
}
