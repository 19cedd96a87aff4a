//! What the control socket answers: one of these, as a line of JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// All logged-in users, by name.
    Users(Vec<UserRow>),
    Role {
        user: String,
        /// From the user's next request on.
        role: Role,
        /// Whether the user had another role before.
        changed: bool,
    },
    /// The user's session has ended, and its name is free.
    Disconnected {
        user: String,
    },
    Stats(Stats),
    /// Nothing was done.
    Refused {
        /// Why, for programs.
        reason: Reason,
        /// Why, for people.
        message: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Guest,
    Manager,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    BadRequest,
    /// No user of that name is logged in.
    UnknownUser,
    /// There are as many managers as allowed.
    ManagersFull,
    /// The session has been asked to end, and has not within the time that the server waits for it.
    NotYet,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    pub user: String,
    pub role: Role,
    pub keys: usize,
    /// Of keys and values.
    pub bytes: usize,
    /// For how many seconds it has been logged in.
    pub connected_s: u64,
    /// For how many seconds it has had no request, or one less.
    pub idle_s: u64,
    pub transport: String,
    /// The client's address and port.
    pub peer: String,
}

/// Counted since the server's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    pub uptime_s: u64,
    pub users: usize,
    pub managers: usize,
    /// Of all users.
    pub keys: usize,
    /// Of all users' keys and values.
    pub bytes: usize,
    /// By transport.
    pub connections: BTreeMap<String, Connections>,
    /// By command.
    pub requests: BTreeMap<String, Requests>,
    /// Connections turned away or ended by the server, by reason.
    pub refusals: BTreeMap<String, u64>,
    pub bytes_received: u64,
    /// Written, or waiting to be.
    pub bytes_sent: u64,
}

/// One command's requests, by reply.
pub type Requests = BTreeMap<String, u64>;

/// One transport's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    pub open: u64,
    /// All since the start.
    pub total: u64,
}
