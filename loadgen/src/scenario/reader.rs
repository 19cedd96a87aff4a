//! Typed access to a table that [`super::shape`] has checked: what is absent, or was reported as wrong, is `None`.

use std::time::Duration;

use super::diagnostics::Place;
use super::shape::parse_duration;
use super::tree::{Node, Value};

/// A view of one table.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    node: &'a Node,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(node: &'a Node) -> Self {
        Self { node }
    }

    /// Itself, unless it is not a table, which was reported.
    pub(crate) fn intact(self) -> Option<Self> {
        matches!(self.node.value, Value::Table(_)).then_some(self)
    }

    /// Where the table stands.
    pub(crate) fn place(self) -> Place {
        self.node.at
    }

    /// Where the value of a key stands, or the table if there is none.
    pub(crate) fn at(self, key: &str) -> Place {
        self.node.entry(key).map_or(self.node.at, |entry| entry.node.at)
    }

    /// Where a key that the user wrote stands.
    pub(crate) fn given(self, key: &str) -> Option<Place> {
        self.node.entry(key).filter(|entry| entry.given).map(|entry| entry.key_at)
    }

    /// The value of a key, given or by default.
    pub(crate) fn node(self, key: &str) -> Option<&'a Node> {
        let node = &self.node.entry(key)?.node;
        (!matches!(node.value, Value::Invalid)).then_some(node)
    }

    /// Whether the key was given and is wrong, so that its absence must not be reported too.
    pub(crate) fn is_bad(self, key: &str) -> bool {
        self.node.entry(key).is_some_and(|entry| matches!(entry.node.value, Value::Invalid))
    }

    /// Whether any key in it was reported: a key that seems to be missing may be mistyped.
    pub(crate) fn has_bad(self) -> bool {
        self.node.entries().iter().any(|entry| matches!(entry.node.value, Value::Invalid))
    }

    pub(crate) fn text(self, key: &str) -> Option<&'a str> {
        self.node(key)?.text()
    }

    /// A whole number; the format's bounds make sure that it fits the type asked for.
    pub(crate) fn integer<T: TryFrom<i64>>(self, key: &str) -> Option<T> {
        integer(self.node(key)?)
    }

    pub(crate) fn number(self, key: &str) -> Option<f64> {
        self.node(key)?.number()
    }

    pub(crate) fn flag(self, key: &str) -> Option<bool> {
        if let Value::Boolean(flag) = self.node(key)?.value { Some(flag) } else { None }
    }

    pub(crate) fn duration(self, key: &str) -> Option<Duration> {
        parse_duration(self.text(key)?)
    }

    /// The table under a key.
    pub(crate) fn table(self, key: &str) -> Option<Self> {
        Self::new(self.node(key)?).intact()
    }

    /// The elements of the list under a key.
    pub(crate) fn items(self, key: &str) -> impl Iterator<Item = Self> + use<'a> {
        self.node(key).map_or(&[][..], Node::elements).iter().map(Self::new)
    }
}

/// A node's whole number, if it fits the type.
pub(crate) fn integer<T: TryFrom<i64>>(node: &Node) -> Option<T> {
    if let Value::Integer(integer) = node.value { T::try_from(integer).ok() } else { None }
}
