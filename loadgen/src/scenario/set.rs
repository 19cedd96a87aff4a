//! `--set KEY=VALUE`: follows a dotted key and puts a value there, in the tree and in the text.
//!
//! Swept values are set in the same way. The value is checked with the rest of the document.

use toml_edit::{DocumentMut, InlineTable, Item, TableLike};

use super::diagnostics::{Place, Problems};
use super::format::SCENARIO;
use super::grammar::Kind;
use super::shape::fitting;
use super::tree::{self, Entry, Node, Value};
use crate::text::backquoted;

static ROOT: Kind = Kind::Table(&SCENARIO);

/// One step into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// A change to make in the text, too.
#[derive(Debug)]
pub(super) struct Edit {
    steps: Vec<Step>,
    value: toml_edit::Value,
}

/// Applies the argument `KEY=VALUE`, which is source number `source`, to the tree.
pub(super) fn apply(root: &mut Node, argument: &str, source: usize, problems: &mut Problems) -> Option<Edit> {
    let Some((key, value)) = argument.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
        problems
            .add("not an assignment", Place::new(source, 0..argument.len()))
            .label("KEY=VALUE expected")
            .help("write --set load.paced.rate=500, or --set seed=7");
        return None;
    };
    let offset = key.len() + 1 + (value.len() - value.trim_start().len());
    let key_at = Place::new(source, 0..key.trim_end().len());
    let value = value.trim();
    let node = tree::value(value, source, offset, problems).unwrap_or_else(|| Node {
        at: Place::new(source, offset..offset + value.len()),
        value: Value::Text(value.to_owned()),
    });
    let steps = put(root, key.trim(), key_at, node, problems)?;
    let value = value.parse().unwrap_or_else(|_| toml_edit::Value::from(value));
    Some(Edit { steps, value })
}

/// Puts a value at a dotted key; reports a key that leads nowhere.
pub(super) fn put(
    root: &mut Node,
    key: &str,
    key_at: Place,
    value: Node,
    problems: &mut Problems,
) -> Option<Vec<Step>> {
    let path: Vec<&str> = key.split('.').collect();
    let mut steps = Vec::new();
    match descend(root, &ROOT, &path, &mut steps, value) {
        Ok(()) => Some(steps),
        Err(there_is) => {
            let done = steps.len().min(path.len());
            let lost = path.get(done).copied().unwrap_or_default();
            problems
                .add(format!("`{key}` leads nowhere: there is no `{lost}`"), key_at)
                .label(there_is)
                .help("name a key by its name, and an element of a list by its name or its number (from 0)");
            None
        }
    }
}

/// Follows `path` from `node`. The error says what exists where the path ends.
fn descend(
    node: &mut Node,
    kind: &'static Kind,
    path: &[&str],
    steps: &mut Vec<Step>,
    value: Node,
) -> Result<(), String> {
    let Some((&key, rest)) = path.split_first() else {
        *node = value;
        return Ok(());
    };
    match container(kind, node) {
        Some(Kind::Table(table)) => {
            let known = table.key(key);
            let known = known.ok_or_else(|| there_is(table.keys.iter().map(|key| key.name)))?;
            enter(node, known.name, steps, value.at, |inner, steps| {
                descend(inner, &known.kind, rest, steps, value)
            })
        }
        Some(Kind::Map { keys, of }) => {
            let known = keys.iter().find(|known| **known == key);
            let known = known.ok_or_else(|| there_is(keys.iter().copied()))?;
            enter(node, known, steps, value.at, |inner, steps| descend(inner, of, rest, steps, value))
        }
        Some(Kind::Sweep) => {
            // A swept key is dotted itself: the rest of the path names one entry.
            let axis = path.join(".");
            enter(node, &axis, steps, value.at, |inner, _| {
                *inner = value;
                Ok(())
            })
        }
        Some(Kind::List { of, .. }) => {
            let Value::List(elements) = &mut node.value else { return Err("the list is empty".to_owned()) };
            let (index, used) = element(elements, path).ok_or_else(|| elements_there(elements))?;
            steps.push(Step::Index(index));
            descend(&mut elements[index], of, &path[used..], steps, value)
        }
        _ => Err("nothing is inside this value".to_owned()),
    }
}

/// The kind, if it is a container. Of alternatives it is the one in use, otherwise the first table.
fn container(kind: &'static Kind, node: &Node) -> Option<&'static Kind> {
    let inside =
        |kind: &Kind| matches!(kind, Kind::Table(_) | Kind::Map { .. } | Kind::Sweep | Kind::List { .. });
    match kind {
        Kind::Either(kinds) => fitting(kind, node)
            .filter(|kind| inside(kind))
            .or_else(|| kinds.iter().find(|kind| matches!(kind, Kind::Table(_)))),
        _ => Some(kind).filter(|kind| inside(kind)),
    }
}

/// Goes on at a key of `node`. The node becomes a table, and the key is added, if necessary.
fn enter(
    node: &mut Node,
    key: &str,
    steps: &mut Vec<Step>,
    at: Place,
    go_on: impl FnOnce(&mut Node, &mut Vec<Step>) -> Result<(), String>,
) -> Result<(), String> {
    steps.push(Step::Key(key.to_owned()));
    if !matches!(node.value, Value::Table(_)) {
        *node = Node { at, value: Value::Table(Vec::new()) };
    }
    let Value::Table(entries) = &mut node.value else { return Err("no table".to_owned()) };
    let index = entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
        let node = Node { at, value: Value::Invalid };
        entries.push(Entry { key: key.to_owned(), key_at: at, node, given: true });
        entries.len() - 1
    });
    go_on(&mut entries[index].node, steps)
}

/// The element that the path's beginning names, and how many parts of the path its name takes, as names may have dots.
fn element(elements: &[Node], path: &[&str]) -> Option<(usize, usize)> {
    for used in (1..=path.len()).rev() {
        let name = path[..used].join(".");
        if let Some(index) = elements.iter().position(|element| name_of(element) == Some(&name)) {
            return Some((index, used));
        }
    }
    let index: usize = path[0].parse().ok()?;
    (index < elements.len()).then_some((index, 1))
}

fn name_of(element: &Node) -> Option<&str> {
    element.entry("name")?.node.text()
}

fn there_is(keys: impl Iterator<Item = &'static str>) -> String {
    format!("there is {}", backquoted(&keys.collect::<Vec<_>>()))
}

fn elements_there(elements: &[Node]) -> String {
    if elements.is_empty() {
        return "the list is empty".to_owned();
    }
    let names: Vec<_> = elements
        .iter()
        .enumerate()
        .map(|(index, element)| name_of(element).map_or_else(|| index.to_string(), str::to_owned))
        .collect();
    format!("there is {}", backquoted(&names))
}

/// The document's text with the edits made in it; comments and layout stay. `None` if the text is not valid TOML.
pub(super) fn edited(text: &str, edits: Vec<Edit>) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    for edit in edits {
        edit_table(document.as_table_mut(), &edit.steps, edit.value)?;
    }
    Some(document.to_string())
}

fn edit_table(table: &mut dyn TableLike, steps: &[Step], value: toml_edit::Value) -> Option<()> {
    let (Step::Key(key), rest) = steps.split_first()? else { return None };
    let empty = || Item::Value(InlineTable::new().into());
    edit_item(table.entry(key).or_insert_with(empty), rest, value)
}

fn edit_item(item: &mut Item, steps: &[Step], mut value: toml_edit::Value) -> Option<()> {
    match (steps.first(), &mut *item) {
        (Some(Step::Index(index)), Item::ArrayOfTables(tables)) => match &steps[1..] {
            [] => {
                let table = Item::Value(value).into_table().ok()?;
                tables.replace(*index, table);
                Some(())
            }
            rest => edit_table(tables.get_mut(*index)?, rest, value),
        },
        (Some(_), Item::Value(inner)) => edit_value(inner, steps, value),
        (Some(_), _) => edit_table(item.as_table_like_mut()?, steps, value),
        (None, _) => {
            if let Some(old) = item.as_value() {
                *value.decor_mut() = old.decor().clone();
            }
            *item = Item::Value(value);
            Some(())
        }
    }
}

fn edit_value(inner: &mut toml_edit::Value, steps: &[Step], mut value: toml_edit::Value) -> Option<()> {
    match steps.split_first() {
        None => {
            *value.decor_mut() = inner.decor().clone();
            *inner = value;
            Some(())
        }
        Some((Step::Index(index), rest)) => edit_value(inner.as_array_mut()?.get_mut(*index)?, rest, value),
        Some((Step::Key(_), _)) => {
            if inner.as_inline_table().is_none() {
                let decor = inner.decor().clone();
                *inner = InlineTable::new().into();
                *inner.decor_mut() = decor;
            }
            edit_table(inner.as_inline_table_mut()?, steps, value)
        }
    }
}
