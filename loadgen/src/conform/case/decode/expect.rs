//! Expectations: replies in order, or one of the other kinds.

use super::super::model::{Closing, Expectation, Text};
use super::Scope;
use crate::scenario::diagnostics::Problems;
use crate::scenario::reader::{Reader, integer};
use crate::scenario::tree::Value;
use crate::text::backquoted;

/// The keys that are kinds of expectation; `code` goes with one of them.
const KINDS: [&str; 4] = ["any", "count", "closed", "silence"];

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
        _ if counted => {
            problems.add("`count` without `together`", at).label("belongs beside `together`");
        }
        _ => {}
    }
}

fn table(reader: Reader<'_>, scope: Scope<'_>, problems: &mut Problems) -> Option<Expectation> {
    if let Some(at) = reader.given("code")
        && reader.given("closed").is_none()
    {
        problems.add("`code` without `closed`", at).label("belongs beside `closed`");
        return None;
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
