//! How a violation is shown again: the shortest sequence of requests that leads to it.
//!
//! Texts here are in the grammar of scripted cases: `{name}` is a client's user name, `{fill:N}` N bytes, and
//! doubled braces are braces. The report writes each replay as such a case.

use serde::{Deserialize, Serialize};

use crate::domain::{Role, Transport};

/// A sequence of requests that shows a violation, with what was seen in the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// Who takes part.
    pub clients: Vec<ReplayClient>,
    /// What they do, in order.
    pub steps: Vec<ReplayStep>,
}

/// A client of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayClient {
    /// What the replay calls it: `owner`, `reader`, …
    pub name: String,
    /// Its user name in the run.
    pub user: String,
    /// Its role.
    pub role: Role,
    /// Its transport in the run.
    pub transport: Transport,
    /// Whether it is connected before the first step.
    pub connected: bool,
    /// Whether it is logged in before the first step.
    pub logged_in: bool,
}

/// A step of a replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayStep {
    /// Name of the client in the replay.
    pub client: String,
    /// What it does.
    pub action: ReplayAction,
    /// What must come back.
    pub expect: ReplayExpect,
    /// What came back in the run; empty if that is not known.
    pub seen: String,
    /// When it was sent, in seconds since the pass's measured part began; `None`: not known any more.
    pub sent_s: Option<f64>,
    /// When the reply came, likewise.
    pub replied_s: Option<f64>,
    /// What else there is to say, for people; mostly empty.
    pub note: String,
    /// Whether this is the step that was answered wrongly.
    pub wrong: bool,
}

/// What a step of a replay does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayAction {
    /// Connects again.
    Connect,
    /// Sends its user name.
    Login,
    /// Sends these messages in one write.
    Send(Vec<String>),
    /// Closes the connection in order.
    Close,
    /// Resets the connection.
    Reset,
    /// Sends nothing.
    Nothing,
}

/// What must come back in a step of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayExpect {
    /// These replies in this order.
    Replies(Vec<String>),
    /// One reply, any of these.
    Any(Vec<String>),
    /// Nothing for this many milliseconds.
    SilenceMs(u64),
    /// The end of the connection, in whatever way.
    Closed,
    /// Whatever: nothing is looked at.
    Unchecked,
}
