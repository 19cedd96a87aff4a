//! What all clients of a pass share: the clients, each user's sessions, and an atomic register for each user's key.
//!
//! # The rule
//!
//! A user's key goes through a sequence of states: logged out, logged in with no value, put number 1, put number 2, …,
//! logged out, logged in with no value, and so on. One writer, the user's own client, causes them in this order, and
//! every value names its place. Two places in the sequence are enough:
//!
//! - **begun**, the newest state that may exist. The owner publishes it before it writes the message that causes the
//!   state: a login, a put, `q`.
//! - **settled**, the oldest state that may still exist. Any completed operation that proves a state raises it: a put's
//!   `done`, `success`, the close after `exiting`, and every read.
//!
//! A read takes `settled` before it is sent ([`ReferenceModel::oldest`]) and `begun` once its reply is there. Its reply
//! is right if some state between the two, both included, gives that reply, and that state is not a refused put. If
//! several states give it, the oldest of them is proved.
//!
//! # Why it is exact
//!
//! A history is linearizable if each operation can be given an instant between its call and its return so that the
//! sequence of instants is legal (Herlihy and Wing 1990). Deciding that is hard in general. It is easy if each read
//! names the write that it read (Gibbons and Korach 1997), and easier still with one writer, whose order is the order
//! of all writes: a read is wrong if and only if its value was put after it returned, or a newer state had been proved
//! before it began. The second covers both overwritten values and the new-old inversion of two reads. With one writer
//! there is no other violation: this is Lamport's condition for atomic registers (1986).
//!
//! Linearizability is local: objects can be judged one by one. Each key of a user is an object, and is judged together
//! with its user's sessions. A single register cannot see the order between *different* keys of one client's pipelined
//! puts while none of them is answered. There is one deliberate leniency: a server may process a login late that was
//! given up without a reply. From then on "no value" is accepted whenever the user need not be logged in.
//! `tests/oracle` shows by brute force that nothing else is missed.
//!
//! # Under threads
//!
//! There are no false alarms: `begun` is stored before a message is sent and loaded after the reply has come; `settled`
//! is raised after a reply has come and loaded before a message is sent. A delay of a thread in between makes the first
//! newer or the second older, so the range only grows. A request costs O(1) and no lock. Only refused puts, and a put
//! that is read while an earlier one was read before its reply, take one (see [`super::refusals`]). Only a pipelined
//! read that raced with a newer state looks through its session's outstanding reads.
//!
//! Requests of one connection take effect in the order in which they were sent (FORM-3). So an owner's read must find
//! its newest accepted put, and a reader's earlier replies bound its later reads, even those that were already sent
//! ([`super::reads`]).

use super::expect::Finding;
use super::position::{Epoch, Position, State};
use super::refusals::Refusals;
use super::register::Register;
use super::texts;
use super::user_sessions::UserSessions;
use super::value::{RUN_MASK, Tag, ValueSpec};
use crate::domain::{Rule, ViolationKind};

/// One client, as given to the model.
#[derive(Debug, Clone)]
pub struct ClientSpec {
    /// Its user name.
    pub name: String,
    /// Index of its group.
    pub group: u16,
    /// Number of its keys.
    pub keys: u32,
    /// Sizes of its values.
    pub values: ValueSpec,
}

#[derive(Debug)]
struct Client {
    spec: ClientSpec,
    /// Index of its first register.
    registers_from: u32,
    sessions: UserSessions,
}

/// Everything that a pass's clients share.
#[derive(Debug)]
pub struct ReferenceModel {
    run: u16,
    clients: Vec<Client>,
    registers: Vec<Register>,
    refusals: Refusals,
}

/// What a reply to `get USER KEY` says, legal or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadReply {
    NoUser,
    NoKey,
    /// A whole, uncorrupted value of that user and key.
    Value(Tag),
}

impl ReferenceModel {
    /// A model of these clients, numbered in this order. `run` marks this run's values.
    ///
    /// No client is logged in yet: each client's [`super::SessionModel::new`] and then [`Self::set_live`] says that it
    /// is.
    #[must_use]
    pub fn new(run: u16, clients: impl IntoIterator<Item = ClientSpec>) -> Self {
        let mut total = 0;
        let clients: Vec<Client> = clients
            .into_iter()
            .map(|spec| {
                let registers_from = total;
                total += spec.keys;
                Client { spec, registers_from, sessions: UserSessions::default() }
            })
            .collect();
        let registers = std::iter::repeat_with(Register::default).take(total as usize).collect();
        Self { run: run & RUN_MASK, clients, registers, refusals: Refusals::default() }
    }

    /// One client.
    ///
    /// # Panics
    /// Where there is no client with this index.
    #[must_use]
    pub fn client(&self, index: u32) -> &ClientSpec {
        &self.clients[index as usize].spec
    }

    pub(super) fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// The login of the client's newest [`super::SessionModel`] has succeeded. From now on reads must find the session,
    /// with an empty store, and every earlier session has ended.
    pub fn set_live(&self, client: u32) {
        self.sessions(client).succeed();
    }

    /// The login of the client's newest [`super::SessionModel`] was answered `duplicate user name`, so that session has
    /// not begun. Each further try needs a new one.
    ///
    /// # Errors
    /// Where a manager's read was answered as if it had begun.
    pub fn set_refused(&self, client: u32) -> Result<(), Finding> {
        if !self.sessions(client).refuse() {
            return Ok(());
        }
        let name = &self.client(client).name;
        let expected = format!("`{}`: a manager has seen a new session of {name}", texts::SUCCESS);
        Err(Finding::new(ViolationKind::SessionBeforeItsLogin, Rule::Atom1, expected))
    }

    /// The client's session may end from now on, so reads need not find it. Called before `q` is written, before the
    /// client closes or resets its connection, and when a connection is lost.
    pub fn set_ending(&self, client: u32) {
        self.sessions(client).begin_end();
    }

    /// The client's connection was lost, and there will be no other: its session may have ended some time ago.
    pub fn set_lost(&self, client: u32) {
        let sessions = self.sessions(client);
        sessions.begin_end();
        sessions.lose();
    }

    /// Whether the client's connection was lost. A read that did not find its session shortly before was right.
    #[must_use]
    pub fn is_lost(&self, client: u32) -> bool {
        self.sessions(client).is_lost()
    }

    /// The client's session has ended, so reads must not find it. Called after the close that follows `exiting`. After
    /// a connection was closed, reset or lost it is not called: there only the next `success` proves the end.
    pub fn set_ended(&self, client: u32) {
        self.sessions(client).end();
    }

    pub(super) fn run(&self) -> u16 {
        self.run
    }

    pub(super) fn sessions(&self, client: u32) -> &UserSessions {
        &self.clients[client as usize].sessions
    }

    /// The index and the register of a client's key.
    pub(super) fn register(&self, client: u32, key: u32) -> (u32, &Register) {
        let index = self.clients[client as usize].registers_from + key;
        (index, &self.registers[index as usize])
    }

    pub(super) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// The oldest state that a read which begins now may find; `None` stands for a key that is never put.
    pub(super) fn oldest(&self, target: u32, key: Option<u32>) -> State {
        let epoch = self.sessions(target).settled();
        match key {
            Some(key) => {
                let (position, epoch) = self.register(target, key).1.oldest(epoch);
                State { epoch, position }
            }
            None => State { epoch, position: Position::FIRST_EMPTY },
        }
    }

    /// What a reply to a read of this key says; `None` if it is neither a text for reads nor a value of that key.
    pub(super) fn answer(&self, target: u32, key: Option<u32>, reply: &[u8]) -> Option<ReadReply> {
        if let Some(tag) = Tag::decode(reply) {
            let is_its_value = tag.run == self.run
                && tag.user == target
                && Some(tag.key) == key
                && tag.fills(self.client(target).values, reply);
            return is_its_value.then_some(ReadReply::Value(tag));
        }
        if reply == texts::KEY_NOT_FOUND.as_bytes() {
            return Some(ReadReply::NoKey);
        }
        (reply == texts::USER_NOT_FOUND.as_bytes()).then_some(ReadReply::NoUser)
    }

    /// The oldest state from `oldest` on that gives this reply and may have begun by now, if there is one.
    pub(super) fn state(
        &self,
        target: u32,
        key: Option<u32>,
        oldest: State,
        answer: ReadReply,
    ) -> Option<State> {
        let sessions = self.sessions(target);
        let begun = sessions.begun();
        let may_have_begun = |epoch: Epoch| !epoch.is_newer_than(begun);
        let lost = |epoch| State { epoch, position: oldest.position.emptied() };
        match answer {
            ReadReply::Value(tag) => {
                let position = tag.position;
                let newest = self.register(target, key?).1.begun();
                let epoch = oldest.epoch.or_session(tag.incarnation);
                (position.is_within(oldest.position, newest) && may_have_begun(epoch))
                    .then_some(State { epoch, position })
            }
            ReadReply::NoUser => {
                let absent = oldest.epoch.or_absent();
                may_have_begun(absent).then(|| if absent == oldest.epoch { oldest } else { lost(absent) })
            }
            ReadReply::NoKey if oldest.epoch.is_live() && oldest.position.is_empty() => Some(oldest),
            ReadReply::NoKey => {
                let absent = oldest.epoch.or_absent();
                // A login that was given up may be processed late, as soon as the name is free.
                let found = if sessions.has_stray_login() { absent } else { oldest.epoch.next().or_live() };
                may_have_begun(found).then(|| lost(found))
            }
        }
    }

    /// A read that was sent when `oldest` was known found this state. Returns whether that is wrong, as it is the state
    /// of a refused put.
    pub(super) fn prove(&self, target: u32, key: Option<u32>, oldest: State, found: State) -> bool {
        if found.epoch != oldest.epoch {
            self.sessions(target).prove(found.epoch);
        }
        match key {
            Some(key) if !found.position.is_empty() => {
                let (index, register) = self.register(target, key);
                self.refusals.read(index, register, found.position)
            }
            _ => false,
        }
    }
}
