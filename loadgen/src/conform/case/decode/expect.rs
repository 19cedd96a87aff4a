//! Expectations: replies in order, or one of the other kinds.

use super::super::format::REFUSALS;
use super::super::model::{Closing, Expectation, Refusal, Text};
use super::Scope;
use crate::scenario::diagnostics::Problems;
use crate::scenario::reader::{Reader, integer};
use crate::scenario::tree::Value;
use crate::text::backquoted;

/// The keys that are kinds of expectation; `code` and `header` go with one of them.
const KINDS: [&str; 6] = ["any", "count", "closed", "silence", "pong", "refused"];

/// Decodes a step's expectation; `action` is the key of the step's action.
pub(super) fn expectation(
    step: Reader<'_>,
    action: Option<&str>,
    scope: Scope<'_>,
    problems: &mut Problems,
) -> Option<Expectation> {
    let node = step.node("expect")?;
    let expectation = match node.value {
        Value::Table(_) => table(Reader::new(node), scope, problems),
        _ => scope.texts(node, problems).map(Expectation::Replies),
    };
    if let Some(expectation) = &expectation {
        fits(step, action?, expectation, problems);
    }
    expectation
}

/// Reports an expectation that this action cannot have.
fn fits(step: Reader<'_>, action: &str, expectation: &Expectation, problems: &mut Problems) {
    let at = step.at("expect");
    let counted = matches!(expectation, Expectation::Count(_));
    match action {
        "repeat" => {
            problems.add("`expect` beside `repeat`", at).label("belongs to the steps inside");
        }
        "reset" => {
            problems.add("`expect` beside `reset`", at).label("nothing comes after it");
        }
        "together" if !counted => {
            problems
                .add("`expect` of replies beside `together`", at)
                .label("{ count = { … } } expected")
                .help("the steps inside may have expectations of their own");
        }
        "together" => {}
        _ if matches!(expectation, Expectation::Refused { .. }) && action != "handshake" => {
            problems.add(format!("`refused` beside `{action}`"), at).label("belongs beside `handshake`");
        }
        _ if counted => {
            problems.add("`count` without `together`", at).label("belongs beside `together`");
        }
        _ => {}
    }
}

fn table(reader: Reader<'_>, scope: Scope<'_>, problems: &mut Problems) -> Option<Expectation> {
    for (key, of) in [("code", "closed"), ("header", "refused")] {
        if let Some(at) = reader.given(key)
            && reader.given(of).is_none()
        {
            problems.add(format!("`{key}` without `{of}`"), at).label(format!("belongs beside `{of}`"));
            return None;
        }
    }
    let given: Vec<_> = KINDS.into_iter().filter_map(|kind| Some((kind, reader.given(kind)?))).collect();
    let [(kind, _)] = given[..] else {
        if given.is_empty() && reader.has_bad() {
            return None;
        }
        let names: Vec<_> = given.iter().map(|(name, _)| *name).collect();
        let label = match names[..] {
            [] => format!("one of {} expected", backquoted(&KINDS)),
            _ => format!("{} exclude each other", backquoted(&names)),
        };
        problems.add("not one expectation", reader.place()).label(label);
        return None;
    };
    match kind {
        "any" => scope.texts(reader.node("any")?, problems).map(Expectation::Any),
        "count" => count(reader, scope, problems),
        "closed" => closed(reader, problems),
        "pong" => scope.text(reader.node("pong")?, problems).map(Expectation::Pong),
        "refused" => refused(reader, problems),
        _ => Some(Expectation::Silence(reader.duration("silence")?)),
    }
}

fn count(reader: Reader<'_>, scope: Scope<'_>, problems: &mut Problems) -> Option<Expectation> {
    let counts: Vec<Option<(Text, u32)>> = reader
        .node("count")?
        .entries()
        .iter()
        .map(|entry| {
            let text = scope.placeholders(&entry.key, entry.key_at, problems);
            Some((text?, integer(&entry.node)?))
        })
        .collect();
    counts.into_iter().collect::<Option<Vec<_>>>().map(Expectation::Count)
}

fn closed(reader: Reader<'_>, problems: &mut Problems) -> Option<Expectation> {
    let how = match reader.text("closed")? {
        "clean" => Closing::Clean,
        "reset" => Closing::Reset,
        _ => Closing::Any,
    };
    let code = match reader.given("code") {
        None => None,
        Some(_) => Some(reader.integer("code")?),
    };
    if let Some(at) = reader.given("code").filter(|_| how == Closing::Reset) {
        problems.add("a close code of a reset", at).label("a reset has none");
        return None;
    }
    Some(Expectation::Closed { how, code })
}

fn refused(reader: Reader<'_>, problems: &mut Problems) -> Option<Expectation> {
    let node = reader.node("refused")?;
    let how = match node.text()? {
        "any" => Refusal::Any,
        "http" => Refusal::Http,
        text => {
            let status = text.parse().ok().filter(|status| (400..=599).contains(status));
            let Some(status) = status else {
                let label = format!("{} or a status from 400 to 599 expected", backquoted(&REFUSALS));
                problems.add("no way to refuse a handshake", node.at).label(label);
                return None;
            };
            Refusal::Status(status)
        }
    };
    let header = match reader.node("header") {
        None if reader.is_bad("header") => return None,
        None => None,
        Some(node) => {
            let Some((name, value)) = node.text()?.split_once(':') else {
                problems.add("no field of an HTTP reply", node.at).label("\"Name: value\" expected");
                return None;
            };
            Some((name.trim().to_owned(), value.trim().to_owned()))
        }
    };
    Some(Expectation::Refused { how, header })
}
