//! Checks a tree against a description in the words of [`super::grammar`]: unknown keys, missing keys, wrong types,
//! values out of bounds.
//!
//! It marks what it reports as invalid, so that later checks skip it, and fills in defaults.

use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

use super::diagnostics::{Place, Problems};
use super::grammar::{Kind, Presence, Table, name_fault};
use super::limits::VARIANTS_MAX;
use super::tree::{Node, Value, default_entry};
use crate::text::{backquoted, quoted, thousands};

/// Keys further than this from a known one are not typing errors.
const DISTANCE_MAX: usize = 3;

/// A choice among more words than this is not listed where a type is named.
const WORDS_LISTED_MAX: usize = 6;

/// More choices than this are counted instead of listed.
const CHOICES_SHOWN_MAX: usize = 25;

/// Checks a table and everything in it.
pub(crate) fn table(table: &'static Table, node: &mut Node, problems: &mut Problems) {
    let at = node.at;
    let Value::Table(entries) = &mut node.value else { return };
    for key in table.keys {
        if entries.iter().any(|entry| entry.key == key.name) {
            continue;
        }
        match key.presence {
            Presence::Required => {
                problems
                    .add(format!("missing key `{}`", key.name), at)
                    .label(format!("`{}` is required here", key.name))
                    .help(key.about);
            }
            Presence::Optional => {}
            Presence::Default(text) => entries.push(default_entry(key.name, text, at)),
        }
    }
    for entry in entries {
        if let Some(key) = table.key(&entry.key) {
            check(&key.kind, &mut entry.node, problems);
        } else {
            unknown(&entry.key, entry.key_at, table.keys.iter().map(|key| key.name), problems);
            entry.node.value = Value::Invalid;
        }
    }
}

/// Reports a key that is not one of `known`.
pub(crate) fn unknown(
    key: &str,
    at: Place,
    known: impl Iterator<Item = &'static str>,
    problems: &mut Problems,
) {
    let known: Vec<_> = known.collect();
    let diagnostic = problems.add(format!("unknown key `{key}`"), at);
    match nearest(key, &known) {
        Some(name) => diagnostic.label(format!("did you mean `{name}`?")),
        None => diagnostic.label(format!("expected one of {}", backquoted(&known))),
    };
}

/// The known word that was probably meant.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.len() > 100 {
        return None; // the distance costs the product of the lengths
    }
    let distance = |name: &str| strsim::damerau_levenshtein(word, name);
    let best = known.iter().min_by_key(|name| distance(name))?;
    (distance(best) <= DISTANCE_MAX.min(best.len() / 2)).then_some(*best)
}

fn check(kind: &'static Kind, node: &mut Node, problems: &mut Problems) {
    if matches!(node.value, Value::Invalid) {
        return;
    }
    let Some(kind) = fitting(kind, node) else {
        let message = format!("expected {}, found {}", expected(kind), node.value.kind());
        let diagnostic = problems.add(message, node.at);
        if matches!((kind, &node.value), (Kind::List { of: Kind::Table(_), .. }, Value::Table(_))) {
            diagnostic.label("double brackets make it a list: [[…]]");
        }
        node.value = Value::Invalid;
        return;
    };
    match kind {
        Kind::Table(inner) | Kind::Nested(_, inner) => table(inner, node, problems),
        Kind::List { of, min, max } => list(of, *min, *max, node, problems),
        Kind::Map { keys, of } => map(keys, of, node, problems),
        Kind::Free { named, of } => free(*named, of, node, problems),
        Kind::Sweep => sweep(node, problems),
        _ => {
            if let Some(fault) = scalar_fault(kind, &node.value) {
                let diagnostic = problems.add(fault.message, node.at);
                diagnostic.label(fault.label);
                node.value = Value::Invalid;
            }
        }
    }
}

/// The kind, or that of its alternatives, which takes a value of this TOML type.
pub(crate) fn fitting(kind: &'static Kind, node: &Node) -> Option<&'static Kind> {
    let fits = match kind {
        Kind::OneLine | Kind::Text | Kind::Name | Kind::Duration { .. } | Kind::Choice(_) => {
            matches!(node.value, Value::Text(_))
        }
        Kind::Integer { .. } => matches!(node.value, Value::Integer(_)),
        Kind::Number { .. } => node.number().is_some(),
        Kind::Boolean => matches!(node.value, Value::Boolean(_)),
        Kind::List { .. } => matches!(node.value, Value::List(_)),
        Kind::Table(_) | Kind::Nested(..) | Kind::Map { .. } | Kind::Free { .. } | Kind::Sweep => {
            matches!(node.value, Value::Table(_))
        }
        Kind::Any => true,
        Kind::Either(kinds) => return kinds.iter().find_map(|kind| fitting(kind, node)),
    };
    fits.then_some(kind)
}

/// The kind in words, for "expected …".
fn expected(kind: &Kind) -> String {
    match kind {
        Kind::OneLine | Kind::Text => "text".to_owned(),
        Kind::Name => "a name".to_owned(),
        Kind::Integer { .. } => "a whole number".to_owned(),
        Kind::Number { .. } => "a number".to_owned(),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Duration { .. } => "a duration like \"5s\"".to_owned(),
        Kind::Choice(names) if names.len() <= WORDS_LISTED_MAX => format!("one of {}", quoted(names)),
        Kind::Choice(_) => "a word".to_owned(),
        Kind::List { min: 2, max: 2, .. } => "a pair [from, to]".to_owned(),
        Kind::List { of: Kind::Table(_), .. } => "a list of tables ([[…]])".to_owned(),
        Kind::List { of, .. } => format!("a list of {}", plural(of)),
        Kind::Table(table) => match table.keys {
            [key] => format!("{{ {} = … }}", key.name),
            _ => "a table".to_owned(),
        },
        Kind::Nested(..) | Kind::Map { .. } | Kind::Free { .. } | Kind::Sweep => "a table".to_owned(),
        Kind::Either(kinds) => kinds.iter().map(expected).collect::<Vec<_>>().join(" or "),
        Kind::Any => "a value".to_owned(),
    }
}

fn plural(kind: &Kind) -> String {
    match kind {
        Kind::Choice(names) if names.len() <= WORDS_LISTED_MAX => quoted(names),
        Kind::OneLine | Kind::Text => "texts".to_owned(),
        Kind::Table(_) | Kind::Nested(..) => "tables".to_owned(),
        _ => "values".to_owned(),
    }
}

fn list(of: &'static Kind, min: usize, max: usize, node: &mut Node, problems: &mut Problems) {
    let at = node.at;
    let Value::List(elements) = &mut node.value else { return };
    let count = elements.len();
    for element in elements {
        check(of, element, problems);
    }
    if count < min || count > max {
        let wanted = if count < min { format!("at least {min}") } else { format!("at most {max}") };
        let wanted = if min == max { format!("exactly {min}") } else { wanted };
        problems.add(format!("a list of {count} elements"), at).label(format!("{wanted} expected"));
        node.value = Value::Invalid;
    }
}

fn map(keys: &'static [&'static str], of: &'static Kind, node: &mut Node, problems: &mut Problems) {
    let Value::Table(entries) = &mut node.value else { return };
    for entry in entries {
        if keys.contains(&entry.key.as_str()) {
            check(of, &mut entry.node, problems);
        } else {
            unknown(&entry.key, entry.key_at, keys.iter().copied(), problems);
            entry.node.value = Value::Invalid;
        }
    }
}

/// A table whose keys the writer chooses.
fn free(named: bool, of: &'static Kind, node: &mut Node, problems: &mut Problems) {
    let at = node.at;
    let Value::Table(entries) = &mut node.value else { return };
    if entries.is_empty() {
        problems.add("an empty table", at).label("at least one entry expected");
        node.value = Value::Invalid;
        return;
    }
    for entry in entries {
        match name_fault(&entry.key).filter(|_| named) {
            Some(rule) => {
                problems.add("not a good name", entry.key_at).label(rule);
                entry.node.value = Value::Invalid;
            }
            None => check(of, &mut entry.node, problems),
        }
    }
}

/// Each key of a sweep has a list of values. Whether the key exists is checked when it is applied.
fn sweep(node: &mut Node, problems: &mut Problems) {
    let Value::Table(entries) = &mut node.value else { return };
    for entry in entries {
        if matches!(entry.node.value, Value::Table(_)) {
            problems
                .add(format!("`{}` is a table, not a list of values", entry.key), entry.key_at)
                .label("quote a dotted key")
                .help("write \"clients.guests.count\" = [10, 100], with the quotes");
            entry.node.value = Value::Invalid;
        } else {
            check(&Kind::List { of: &Kind::Any, min: 1, max: VARIANTS_MAX }, &mut entry.node, problems);
        }
    }
}

/// What is wrong with a value of the right type.
struct Fault {
    message: String,
    label: String,
}

fn fault(message: impl Into<String>, label: impl Into<String>) -> Fault {
    Fault { message: message.into(), label: label.into() }
}

fn scalar_fault(kind: &Kind, value: &Value) -> Option<Fault> {
    match (kind, value) {
        (Kind::OneLine, Value::Text(text)) => {
            text.contains(char::is_control).then(|| fault("text over several lines", "one line expected"))
        }
        (Kind::Name, Value::Text(text)) => name_fault(text).map(|rule| fault("not a good name", rule)),
        (Kind::Integer { min, max }, Value::Integer(whole)) => (!(*min..=*max).contains(whole)).then(|| {
            fault(
                format!("{whole} is out of bounds"),
                format!("allowed are {} to {}", thousands(*min), thousands(*max)),
            )
        }),
        (Kind::Number { zero, max }, Value::Integer(_) | Value::Float(_)) => number_fault(value, *zero, *max),
        (Kind::Duration { min, max }, Value::Text(text)) => duration_fault(text, *min, *max),
        (Kind::Choice(names), Value::Text(text)) => (!names.contains(&text.as_str())).then(|| {
            let label = match nearest(text, names) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None if names.len() > CHOICES_SHOWN_MAX => format!("none of the {} known ones", names.len()),
                None => format!("expected one of {}", quoted(names)),
            };
            fault(format!("unknown value \"{text}\""), label)
        }),
        _ => None,
    }
}

fn number_fault(value: &Value, zero: bool, max: f64) -> Option<Fault> {
    let number = match value {
        Value::Integer(whole) => *whole as f64,
        Value::Float(real) => *real,
        _ => return None,
    };
    if number.is_finite() && (number > 0.0 || (zero && number == 0.0)) && number <= max {
        return None;
    }
    let low = if zero { "0 or more" } else { "over 0" };
    let high = if max < f64::MAX { format!(" and at most {}", bound(max)) } else { String::new() };
    Some(fault(format!("{number} is out of bounds"), format!("must be {low}{high}")))
}

fn duration_fault(text: &str, min: Duration, max: Duration) -> Option<Fault> {
    let Some(duration) = parse_duration(text) else {
        return Some(fault(
            format!("\"{text}\" is not a duration"),
            "write it like \"500ms\", \"5s\" or \"1m 30s\"",
        ));
    };
    if duration < min {
        let label = if min <= Duration::from_nanos(1) {
            "must be over 0".to_owned()
        } else {
            format!("must be at least {min:?}")
        };
        return Some(fault(format!("\"{text}\" is too short"), label));
    }
    (duration > max)
        .then(|| fault(format!("\"{text}\" is too long"), format!("must be at most {}", friendly(max))))
}

/// A length of time, like `500ms`, `5s`, `1m 30s`, `2min`; `None` if it is not one, or is negative.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    Duration::try_from(SignedDuration::from_str(text).ok()?).ok()
}

/// A length of time that is a flag's value; the error says what is wrong and how to write it.
pub(crate) fn duration_within(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let fault = duration_fault(text, min, max).map(|fault| format!("{}: {}", fault.message, fault.label));
    match (fault, parse_duration(text)) {
        (None, Some(duration)) => Ok(duration),
        (fault, _) => Err(fault.unwrap_or_default()),
    }
}

fn friendly(duration: Duration) -> String {
    SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{duration:?}"), |signed| format!("{signed:#}"))
}

/// A bound as people write it: whole numbers with commas.
fn bound(max: f64) -> String {
    if max.fract() == 0.0 { thousands(max as i64) } else { max.to_string() }
}
