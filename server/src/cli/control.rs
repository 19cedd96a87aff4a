//! `twinwire-server control`: asks a running server, and prints the answer as a table or as JSON.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use jiff::SignedDuration;

use super::{EXIT_FAILED, EXIT_NO_SERVER, EXIT_NOT_PERMITTED};
use crate::{
    operator::{Answer, AskError, Role, Stats, UserRow, ask},
    protocol::{NAME_BYTES_MAX, parse_name},
};

/// Show and manage the users of a running server, through its --control socket
///
/// Exit code 0: done; 1: no such user, or refused; 2: wrong usage; 3: no server answers; 4: not permitted.
#[derive(Debug, Args)]
pub(super) struct ControlArgs {
    /// The server's control socket
    path: PathBuf,

    /// Print the answer as one line of JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List all logged-in users by name: role, transport, address, keys and bytes stored, time connected, and time
    /// without a request
    List,
    /// Make a user a manager, whatever the upgrade policy, within --max-managers
    Promote {
        #[arg(value_parser = name)]
        user: String,
    },
    /// Make a manager a guest
    Demote {
        #[arg(value_parser = name)]
        user: String,
    },
    /// End a user's session, which removes its store and frees its name
    Disconnect {
        #[arg(value_parser = name)]
        user: String,
    },
    /// Show the server's counts and sizes
    Stats,
}

/// What to print, and how to exit.
pub(super) struct Output {
    /// For standard output.
    pub(super) text: String,
    /// For standard error.
    pub(super) error: Option<String>,
    pub(super) code: u8,
}

fn name(text: &str) -> Result<String, String> {
    match parse_name(text) {
        Ok(name) => Ok(name.to_owned()),
        Err(_) => Err(format!("a user's name is one word of at most {NAME_BYTES_MAX} bytes")),
    }
}

impl ControlArgs {
    pub(super) fn exec(&self) -> Output {
        let answer = match ask(&self.path, &self.action.request()) {
            Ok(answer) => answer,
            Err(error) => {
                let code = match error {
                    AskError::NotPermitted(_) => EXIT_NOT_PERMITTED,
                    AskError::NoServer(_) | AskError::NoAnswer { .. } | AskError::NotUnderstood { .. } => {
                        EXIT_NO_SERVER
                    }
                };
                return Output { text: String::new(), error: Some(error.to_string()), code };
            }
        };
        let (text, error) = match &answer {
            Answer::Users(users) => (user_table(users), None),
            Answer::Stats(stats) => (stats_table(stats), None),
            Answer::Role { user, role, changed } => (role_line(user, *role, *changed), None),
            Answer::Disconnected { user } => (format!("{} is disconnected\n", escaped(user)), None),
            Answer::Refused { message, .. } => (String::new(), Some(escaped(message))),
        };
        let code = if error.is_some() { EXIT_FAILED } else { 0 };
        let text = if self.json { json(&answer) } else { text };
        Output { text, error, code }
    }
}

impl Action {
    fn request(&self) -> String {
        match self {
            Self::List => "list".to_owned(),
            Self::Stats => "stats".to_owned(),
            Self::Promote { user } => format!("promote {user}"),
            Self::Demote { user } => format!("demote {user}"),
            Self::Disconnect { user } => format!("disconnect {user}"),
        }
    }
}

fn json(answer: &Answer) -> String {
    // It has just been parsed from JSON.
    let text = serde_json::to_string(answer).unwrap_or_default();
    // Characters that could control a terminal occur only within strings, and are below U+10000.
    let escaped =
        |c: char| if is_terminal_control(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    text.chars().map(escaped).chain(["\n".to_owned()]).collect()
}

fn role_line(user: &str, role: Role, changed: bool) -> String {
    let already = if changed { "now" } else { "already" };
    format!("{} is {already} a {}\n", escaped(user), role_name(role))
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Guest => "guest",
        Role::Manager => "manager",
    }
}

fn user_table(users: &[UserRow]) -> String {
    let row = |row: &UserRow| {
        [
            escaped(&row.user),
            role_name(row.role).to_owned(),
            escaped(&row.transport),
            escaped(&row.peer),
            row.keys.to_string(),
            row.bytes.to_string(),
            duration(row.connected_s),
            duration(row.idle_s),
        ]
    };
    let headings = ["USER", "ROLE", "TRANSPORT", "PEER", "KEYS", "BYTES", "CONNECTED", "IDLE"];
    let mut rows = vec![headings.map(str::to_owned)];
    rows.extend(users.iter().map(row));
    table(&rows)
}

fn stats_table(stats: &Stats) -> String {
    let mut rows = vec![
        ["up for".to_owned(), duration(stats.uptime_s)],
        ["users".to_owned(), format!("{}, {} of them managers", stats.users, stats.managers)],
        ["stored".to_owned(), format!("{} keys, {} bytes", stats.keys, stats.bytes)],
        ["received".to_owned(), format!("{} bytes", stats.bytes_received)],
        ["sent".to_owned(), format!("{} bytes", stats.bytes_sent)],
    ];
    for (transport, connections) in &stats.connections {
        let count = format!("{} open, {} in all", connections.open, connections.total);
        rows.push([format!("connections {}", escaped(transport)), count]);
    }
    for (command, replies) in &stats.requests {
        for (reply, count) in replies {
            rows.push([format!("requests {} -> {}", escaped(command), escaped(reply)), count.to_string()]);
        }
    }
    for (reason, count) in stats.refusals.iter().filter(|(_, count)| **count > 0) {
        rows.push([format!("refused {}", escaped(reason)), count.to_string()]);
    }
    table(&rows)
}

/// Columns two spaces apart, each as wide as its widest cell.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn duration(seconds: u64) -> String {
    let rounded = SignedDuration::try_from(Duration::from_secs(seconds)).unwrap_or(SignedDuration::MAX);
    format!("{rounded:#}")
}

/// Text that a client chose, without characters that could control a terminal.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| if is_terminal_control(c) { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// Controls (C0, DEL, C1), line and paragraph separators, and characters that change the direction of text.
fn is_terminal_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_table_and_a_name_cannot_drive_the_terminal() {
        let alice = UserRow {
            user: "alice".to_owned(),
            role: Role::Manager,
            keys: 3,
            bytes: 120,
            connected_s: 125,
            idle_s: 61,
            transport: "websocket".to_owned(),
            peer: "[2001:db8::1]:40123".to_owned(),
        };
        let other = UserRow {
            user: "é\u{1b}[31m".to_owned(),
            role: Role::Guest,
            keys: 1_000_000,
            connected_s: 0,
            idle_s: 0,
            transport: "tcp".to_owned(),
            peer: "127.0.0.1:9".to_owned(),
            ..alice.clone()
        };
        insta::assert_snapshot!(user_table(&[alice, other]), @r"
        USER         ROLE     TRANSPORT  PEER                 KEYS     BYTES  CONNECTED  IDLE
        alice        manager  websocket  [2001:db8::1]:40123  3        120    2m 5s      1m 1s
        é\u{1b}[31m  guest    tcp        127.0.0.1:9          1000000  120    0s         0s
        ");
    }

    #[test]
    fn controls_and_marks_of_direction_are_escaped_in_text_and_in_json() {
        for (c, text, json_text) in [
            ('\u{1b}', r"\u{1b}", r"\u001b"),
            ('\u{7f}', r"\u{7f}", r"\u007f"),
            ('\u{9b}', r"\u{9b}", r"\u009b"),
            ('\u{61c}', r"\u{61c}", r"\u061c"),
            ('\u{2028}', r"\u{2028}", r"\u2028"),
            ('\u{202e}', r"\u{202e}", r"\u202e"),
            ('\u{2069}', r"\u{2069}", r"\u2069"),
            ('é', "é", "é"),
            ('😀', "😀", "😀"),
        ] {
            let answer = Answer::Disconnected { user: format!("a{c}b") };
            assert_eq!(escaped(&format!("a{c}b")), format!("a{text}b"));
            assert_eq!(json(&answer), format!("{{\"disconnected\":{{\"user\":\"a{json_text}b\"}}}}\n"));
            assert_eq!(serde_json::from_str::<Answer>(&json(&answer)).unwrap(), answer, "it means the same");
        }
    }
}
