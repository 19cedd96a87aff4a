//! The format of a profile as one description: every key with its type, bounds, default and meaning.
//!
//! What no single value shows (a secret without its policy) is not here but in [`super::decode`].

use std::time::Duration;

use crate::domain::{MESSAGE_BYTES_MAX, Rule};
use crate::scenario::grammar::{Kind, TRANSPORTS, Table, default, duration, optional, required, tables};
use crate::scenario::limits::{CLIENTS_MAX, HOUR};

/// Shorter messages have no room for the suite's own names, keys and values.
const MESSAGE_BYTES_MIN: i64 = 128;
/// More cases at the same time are a load, not a test.
const JOBS_MAX: i64 = 1_024;
/// A program and its arguments.
const ARGUMENTS_MAX: usize = 100;

const COUNT: Kind = Kind::Integer { min: 0, max: CLIENTS_MAX as i64 };
const SIZE: Kind = Kind::Integer { min: 0, max: u32::MAX as i64 };
/// 0 is "not stated", as for the other limits.
const TIME: Kind = duration(Duration::ZERO, HOUR);
const COMMAND: Kind = Kind::List { of: &Kind::OneLine, min: 0, max: ARGUMENTS_MAX };

/// The whole file.
pub(super) static PROFILE: Table = Table {
    about: "A profile: what a target supports, and where it differs from the protocol on purpose",
    keys: &[
        required("name", Kind::Name, "Its name in reports"),
        optional(
            "transports",
            Kind::List { of: &Kind::Choice(TRANSPORTS), min: 1, max: TRANSPORTS.len() },
            "The transports that it has (default: those on the command line)",
        ),
        default(
            "shared-registry",
            Kind::Boolean,
            "true",
            "Whether a name is taken on every transport at once",
        ),
        default(
            "upgrade",
            Kind::Choice(&["open", "secret", "closed"]),
            "\"open\"",
            "open: `upgrade` makes a manager; secret: `upgrade SECRET` alone does; closed: nothing does",
        ),
        optional("secret-env", Kind::OneLine, "The environment variable that has the upgrade secret"),
        default(
            "message-max",
            Kind::Integer { min: MESSAGE_BYTES_MIN, max: MESSAGE_BYTES_MAX as i64 },
            "65536",
            "Bytes of the longest message",
        ),
        default(
            "name-max",
            Kind::Integer { min: 16, max: MESSAGE_BYTES_MAX as i64 },
            "64",
            "Bytes of the longest user name",
        ),
        default("denial-binary", Kind::Boolean, "false", "Whether the denial may come as a binary message"),
        optional("jobs", Kind::Integer { min: 1, max: JOBS_MAX }, "Cases that may run at the same time"),
        optional("limits", Kind::Table(&LIMITS), "Limits that are set on the target; only these are tested"),
        optional(
            "operator",
            Kind::Table(&OPERATOR),
            "Commands of its operator: [\"PROGRAM\", \"ARGUMENT\", \"{user}\"]; only these are tested",
        ),
        optional("except", tables(&Kind::Table(&EXCEPT), 0), "Rules and cases that are left out"),
        optional("known-failure", tables(&Kind::Table(&KNOWN_FAILURE), 0), "Cases that must fail"),
    ],
};

static LIMITS: Table = Table {
    about: "Limits that are set on the target; 0 or left out: not stated",
    keys: &[
        optional("connections", COUNT, "Connections at the same time"),
        optional("managers", COUNT, "Managers at the same time"),
        optional("keys", SIZE, "Keys of one user"),
        optional("bytes", SIZE, "Bytes of one user's keys and values"),
        optional("login-timeout", TIME, "Time that a connection has to log in"),
        optional("idle-timeout", TIME, "Time that a session may send nothing"),
    ],
};

static OPERATOR: Table = Table {
    about: "Commands of the target's operator; an empty list or none: not stated",
    keys: &[
        optional("promote", COMMAND, "Makes {user} a manager"),
        optional("demote", COMMAND, "Makes {user} a guest"),
        optional("disconnect", COMMAND, "Ends the session of {user}"),
    ],
};

static EXCEPT: Table = Table {
    about: "A rule or a case that is left out",
    keys: &[
        optional("rule", Kind::Choice(&Rule::NAMES), "Every case of this rule"),
        optional("case", Kind::OneLine, "The case with this id"),
        required("reason", Kind::OneLine, "Why, in one sentence"),
    ],
};

static KNOWN_FAILURE: Table = Table {
    about: "A case that must fail",
    keys: &[
        required("case", Kind::OneLine, "The case's id"),
        required("reason", Kind::OneLine, "Why, in one sentence"),
    ],
};
