//! What the control socket answers: one of these, as a line of JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An answer of the control socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Everybody who is logged in, by name.
    Users(Vec<UserRow>),
    /// A user has this role now.
    Role {
        /// The user's name.
        user: String,
        /// The role from its next request on.
        role: Role,
        /// Whether it had another before.
        changed: bool,
    },
    /// A user's session has ended, and its name is free.
    Disconnected {
        /// The name.
        user: String,
    },
    /// The server's figures.
    Stats(Stats),
    /// Nothing was done.
    Refused {
        /// Why, for programs.
        reason: Reason,
        /// Why, for people.
        message: String,
    },
}

/// A user's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads its own keys alone.
    Guest,
    /// Reads everybody's.
    Manager,
}

/// Why nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It is no request.
    BadRequest,
    /// Nobody of that name is logged in.
    UnknownUser,
    /// There are as many managers as there may be.
    ManagersFull,
    /// The session has been told to end and has not within the time that is waited for it.
    NotYet,
}

/// A user as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// Its name.
    pub user: String,
    /// Its role.
    pub role: Role,
    /// How many keys it has.
    pub keys: usize,
    /// The bytes of its keys and values.
    pub bytes: usize,
    /// For how many seconds it has been logged in.
    pub connected_s: u64,
    /// For how many seconds it has asked nothing, or one less.
    pub idle_s: u64,
    /// The transport's name.
    pub transport: String,
    /// The client's address and port.
    pub peer: String,
}

/// The server's figures since its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// How many seconds ago that was.
    pub uptime_s: u64,
    /// How many users are logged in.
    pub users: usize,
    /// How many of them are managers.
    pub managers: usize,
    /// The keys of all of them.
    pub keys: usize,
    /// The bytes of all their keys and values.
    pub bytes: usize,
    /// By transport.
    pub connections: BTreeMap<String, Connections>,
    /// By command.
    pub requests: BTreeMap<String, Requests>,
    /// Connections turned away or ended by the server, by reason.
    pub refusals: BTreeMap<String, u64>,
    /// Bytes read from clients.
    pub bytes_received: u64,
    /// Bytes made for clients.
    pub bytes_sent: u64,
}

/// One command's requests, by reply.
pub type Requests = BTreeMap<String, u64>;

/// One transport's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Those that are open.
    pub open: u64,
    /// All that ever were.
    pub total: u64,
}
