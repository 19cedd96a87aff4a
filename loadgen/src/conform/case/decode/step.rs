//! Steps: who acts, exactly one action, at most one expectation.

use super::super::model::{Action, Client, Step};
use super::{Scope, action, expect};
use crate::scenario::diagnostics::Problems;
use crate::scenario::reader::Reader;
use crate::scenario::shape::nearest;
use crate::scenario::tree::Node;
use crate::text::backquoted;

/// The keys that are actions.
const ACTIONS: [&str; 12] = [
    "connect",
    "login",
    "send",
    "bytes",
    "frame",
    "handshake",
    "half-close",
    "close",
    "reset",
    "wait",
    "together",
    "repeat",
];

/// Decodes a list of steps.
pub(super) fn steps(node: &Node, scope: Scope<'_>, problems: &mut Problems) -> Option<Vec<Step>> {
    let steps: Vec<_> = node
        .elements()
        .iter()
        .map(|element| Reader::new(element).intact().and_then(|reader| step(reader, scope, problems)))
        .collect();
    steps.into_iter().collect()
}

fn step(reader: Reader<'_>, scope: Scope<'_>, problems: &mut Problems) -> Option<Step> {
    let action = single_action(reader, problems);
    let client = client(reader, action, scope, problems);
    companions(reader, action, problems);
    let actor = client.ok().flatten();
    let decoded = action
        .filter(|name| !reader.is_bad(name))
        .and_then(|name| action::action(name, reader, actor, scope, problems));
    let expects = reader.given("expect").is_some();
    let expect = if expects { expect::expectation(reader, action, scope, problems) } else { None };
    if client.is_err() || expects && expect.is_none() {
        return None;
    }
    Some(Step { client: actor, action: decoded?, expect })
}

/// The one key that is an action.
fn single_action(reader: Reader<'_>, problems: &mut Problems) -> Option<&'static str> {
    let given: Vec<_> = ACTIONS.into_iter().filter_map(|name| Some((name, reader.given(name)?))).collect();
    match given[..] {
        [(name, _)] => Some(name),
        [] if reader.has_bad() => None,
        [] => {
            problems
                .add("a step without an action", reader.place())
                .label("one action expected")
                .help(format!("actions are {}", backquoted(&ACTIONS)));
            None
        }
        _ => {
            let mut given = given;
            given.sort_by_key(|(_, at)| at.start);
            let names: Vec<_> = given.iter().map(|(name, _)| *name).collect();
            problems
                .add(format!("a step with {} actions", given.len()), given[1].1)
                .label(format!("this step has {}: one only", backquoted(&names)))
                .help("write a step for each; `together` starts several at once");
            None
        }
    }
}

/// Who acts; `None` where nobody has to, an error where it was reported.
fn client(
    reader: Reader<'_>,
    action: Option<&str>,
    scope: Scope<'_>,
    problems: &mut Problems,
) -> Result<Option<usize>, ()> {
    let composed = matches!(action, Some("together" | "repeat"));
    let Some(at) = reader.given("client") else {
        let needed = action.is_some_and(|action| action != "wait" && !composed);
        let waits = action == Some("wait") && reader.given("expect").is_some();
        if needed || waits {
            problems
                .add("a step without a client", reader.place())
                .label("who does this?")
                .help("write client = \"NAME\", with a name from the case's `clients`");
            return Err(());
        }
        return Ok(None);
    };
    if composed {
        problems
            .add(format!("`client` beside `{}`", action.unwrap_or_default()), at)
            .label("the steps inside name their own");
        return Err(());
    }
    let name = reader.text("client").ok_or(())?;
    let index = scope.names.iter().position(|known| known == name);
    if index.is_none() {
        let known: Vec<&str> = scope.names.iter().map(String::as_str).collect();
        let label = match nearest(name, &known) {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => format!("there is {}", backquoted(&known)),
        };
        problems.add(format!("the case has no client `{name}`"), reader.at("client")).label(label);
    }
    index.map(Some).ok_or(())
}

/// Keys that only make sense beside one action.
fn companions(reader: Reader<'_>, action: Option<&str>, problems: &mut Problems) {
    for (key, of) in [("cut", "send"), ("steps", "repeat")] {
        if let Some(at) = reader.given(key)
            && action.is_some_and(|action| action != of)
        {
            problems.add(format!("`{key}` without `{of}`"), at).label(format!("belongs beside `{of}`"));
        }
    }
}

/// How many steps these come to, every round counted.
pub(super) fn count(steps: &[Step]) -> u64 {
    let one = |step: &Step| match &step.action {
        Action::Together(inner) => count(inner),
        Action::Repeat { times, steps } => u64::from(*times).saturating_mul(count(steps)),
        _ => 1,
    };
    steps.iter().map(one).fold(0, u64::saturating_add)
}

/// Reports clients that act but are connected neither before the first step nor by any.
pub(super) fn never_connected(
    clients: &[Client],
    steps: &[Step],
    reader: Reader<'_>,
    problems: &mut Problems,
) {
    let mut acts = vec![false; clients.len()];
    let mut connects = vec![false; clients.len()];
    walk(steps, &mut |step| {
        let Some(client) = step.client else { return };
        match step.action {
            Action::Connect | Action::Handshake(_) => connects[client] = true,
            Action::Wait(_) => {}
            _ => acts[client] = true,
        }
    });
    for (index, client) in clients.iter().enumerate() {
        if acts[index] && !connects[index] && !client.connect {
            let at = reader.table("clients").map_or(reader.place(), |clients| clients.at(&client.name));
            problems
                .add(format!("`{}` acts but is never connected", client.name), at)
                .label("`connect` is false")
                .help("let a step do connect = true, or a handshake, before the others");
        }
    }
}

fn walk(steps: &[Step], visit: &mut impl FnMut(&Step)) {
    for step in steps {
        visit(step);
        if let Action::Together(inner) | Action::Repeat { steps: inner, .. } = &step.action {
            walk(inner, visit);
        }
    }
}
