//! The words in which a TOML format is described: tables, keys, and what a value may be.
//!
//! Three formats are described with them: load scenarios ([`super::format`]), scripted cases
//! (`conform::case::format`) and profiles (`conform::profile::format`).

use std::time::Duration;

use super::limits::{NAME_MAX, PARTS_MAX};
use crate::domain::{Role, Transport};

/// A table of the format.
pub(crate) struct Table {
    pub(crate) about: &'static str,
    pub(crate) keys: &'static [Key],
}

/// A key of a table.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) presence: Presence,
    pub(crate) about: &'static str,
}

/// Whether a key must be given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    Optional,
    /// The value, as TOML, of a key that is left out.
    Default(&'static str),
}

/// What a value may be.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// One line of text.
    OneLine,
    /// Any text.
    Text,
    /// The name of something, see [`name_fault`].
    Name,
    Integer {
        min: i64,
        max: i64,
    },
    /// A finite number from 0 to `max`; 0 itself only if `zero` is set.
    Number {
        zero: bool,
        max: f64,
    },
    Boolean,
    /// A length of time as text.
    Duration {
        min: Duration,
        max: Duration,
    },
    Choice(&'static [&'static str]),
    List {
        of: &'static Kind,
        min: usize,
        max: usize,
    },
    Table(&'static Table),
    /// A table whose keys come from a list, with values of one kind.
    Map {
        keys: &'static [&'static str],
        of: &'static Kind,
    },
    /// A table with at least one key, chosen by the writer, and with values of one kind.
    Free {
        /// Whether the keys must be names, see [`name_fault`].
        named: bool,
        of: &'static Kind,
    },
    /// A table that may hold others of its kind. The schema refers to it by this name.
    Nested(&'static str, &'static Table),
    /// A table with dotted keys, each with the values that it takes.
    Sweep,
    /// The first whose TOML type fits.
    Either(&'static [Kind]),
    /// Any TOML value (a sweep's).
    Any,
}

impl Table {
    /// The key of this name.
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

pub(crate) const TRANSPORTS: &[&str] = &Transport::NAMES;
pub(crate) const ROLES: &[&str] = &Role::NAMES;
pub(crate) const fn required(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, presence: Presence::Required, about }
}

pub(crate) const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, presence: Presence::Optional, about }
}

pub(crate) const fn default(name: &'static str, kind: Kind, value: &'static str, about: &'static str) -> Key {
    Key { name, kind, presence: Presence::Default(value), about }
}

pub(crate) const fn duration(min: Duration, max: Duration) -> Kind {
    Kind::Duration { min, max }
}

pub(crate) const fn tables(of: &'static Kind, min: usize) -> Kind {
    Kind::List { of, min, max: PARTS_MAX }
}

/// What is wrong with a name, if anything. Names become parts of file names and CSV fields.
pub(crate) fn name_fault(name: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() {
        Some("a name must not be empty")
    } else if name.len() > NAME_MAX {
        Some("a name has at most 64 characters")
    } else if !name.chars().all(allowed) {
        Some("a name has only letters (A-Z, a-z), digits, `-`, `_` and `.`")
    } else if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        Some("a name starts with a letter or a digit")
    } else if name == "all" {
        Some("`all` stands for everything in reports")
    } else {
        None
    }
}
