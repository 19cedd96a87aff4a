//! `violations/*.toml`: each violation as a scripted case that shows it again.
//!
//! A right server passes the case; the server that was tested fails it. What was seen is in comments, where the text of
//! a target can do no harm.

use crate::domain::{Role, Transport};
use crate::record::{
    Replay, ReplayAction, ReplayClient, ReplayExpect, ReplayStep, RunRecord, VIOLATIONS_KEPT, Violation,
};
use crate::text;

/// The folder of these files, within that of the report.
pub const FOLDER: &str = "violations";

/// Names and texts of all files. A violation of which an older version recorded no sequence has none.
#[must_use]
pub fn files(record: &RunRecord) -> Vec<(String, String)> {
    let file = |(index, violation): (usize, &Violation)| {
        let name = file_name(index, violation)?;
        Some((name, text(&stem(index, violation), violation, violation.replay.as_ref()?)))
    };
    record.violations.iter().take(VIOLATIONS_KEPT).enumerate().filter_map(file).collect()
}

/// The name of the file of the violation with this index, if it has one.
#[must_use]
pub fn file_name(index: usize, violation: &Violation) -> Option<String> {
    let has_one = index < VIOLATIONS_KEPT && violation.replay.is_some();
    has_one.then(|| format!("{}.toml", stem(index, violation)))
}

/// `01-stale-value`: the case's id, too.
fn stem(index: usize, violation: &Violation) -> String {
    let slug: String =
        violation.kind.name().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("{:02}-{}", index + 1, slug.to_ascii_lowercase().chars().take(40).collect::<String>())
}

fn text(id: &str, violation: &Violation, replay: &Replay) -> String {
    let said = text::excerpt;
    let offender = replay.clients.first();
    let mut text = format!(
        "# {kind} ({rule}): seen by {role} {client} over {transport}, load {load}{variant}, trial {trial}.\n\
         # Request:  {request}\n# Expected: {expected}\n# Seen:     {seen}\n\
         # A right server passes this case. Instants are seconds since the measured part of the load began.\n\n",
        kind = violation.kind,
        rule = violation.rule,
        role = violation.role,
        client = said(&violation.client),
        transport = violation.transport,
        load = said(&violation.load),
        variant = if violation.variant.is_empty() {
            String::new()
        } else {
            format!(" [{}]", said(&violation.variant))
        },
        trial = violation.trial,
        request = said(&violation.request),
        expected = said(&violation.expected),
        seen = said(&violation.seen),
    );
    let transport = offender.map_or(violation.transport, |client| client.transport);
    text += &format!(
        "[[case]]\nid = {}\nrules = [{}]\nabout = {}\ntransports = [{}]\n",
        text::toml(id),
        text::toml(violation.rule.name()),
        text::toml(&said(&format!(
            "{}, as {} saw it over {}",
            violation.kind, violation.client, violation.transport
        ))),
        text::toml(transport.name()),
    );
    for client in &replay.clients {
        text += &format!(
            "clients.{} = {} # {} in the run\n",
            client.name,
            options(client, transport),
            said(&client.user)
        );
    }
    text += "steps = [\n";
    for step in &replay.steps {
        text += &format!("  # {}\n  {},\n", remark(step, violation), line(step));
    }
    text + "]\n"
}

/// A client's options that are not the usual ones.
fn options(client: &ReplayClient, transport: Transport) -> String {
    let mut options = Vec::new();
    if !client.connected {
        options.push("connect = false".to_owned());
    } else if !client.logged_in {
        options.push("login = false".to_owned());
    }
    if client.role != Role::Guest {
        options.push(format!("role = {}", text::toml(client.role.name())));
    }
    if client.transport != transport {
        options.push(format!("transport = {}", text::toml(client.transport.name())));
    }
    if options.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", options.join(", ")) }
}

/// What was seen of a step, for people.
fn remark(step: &ReplayStep, violation: &Violation) -> String {
    let at = |name: &str, at: Option<f64>| at.map(|at| format!("{name} at {at:.6} s"));
    let mut parts = Vec::new();
    if step.wrong {
        parts.push("WRONG".to_owned());
    }
    parts.extend(at("sent", step.sent_s));
    let seen = if step.wrong { &violation.seen } else { &step.seen };
    let replied = at("answered", step.replied_s);
    match (replied, seen.is_empty()) {
        (Some(replied), false) => parts.push(format!("{replied}: {}", text::excerpt(seen))),
        (Some(replied), true) => parts.push(replied),
        (None, false) => parts.push(format!("answered: {}", text::excerpt(seen))),
        (None, true) => {}
    }
    if !step.note.is_empty() {
        parts.push(text::printable(&step.note));
    }
    parts.join(", ")
}

fn line(step: &ReplayStep) -> String {
    let action = match &step.action {
        ReplayAction::Connect => "connect = true".to_owned(),
        ReplayAction::Login => format!("login = {}", text::toml(&format!("{{{}}}", step.client))),
        ReplayAction::Send(messages) => format!("send = {}", one_or_list(messages)),
        ReplayAction::Close => "close = 1000".to_owned(),
        ReplayAction::Reset => "reset = true".to_owned(),
        // An action has to be; what counts is what comes by itself.
        ReplayAction::Nothing => "wait = \"1ms\"".to_owned(),
    };
    let expect = match &step.expect {
        ReplayExpect::Replies(replies) => format!(", expect = {}", one_or_list(replies)),
        ReplayExpect::Any(replies) => format!(", expect = {{ any = {} }}", list(replies)),
        ReplayExpect::SilenceMs(ms) => format!(", expect = {{ silence = \"{ms}ms\" }}"),
        ReplayExpect::Closed => ", expect = { closed = \"any\" }".to_owned(),
        ReplayExpect::Unchecked => String::new(),
    };
    format!("{{ client = {}, {action}{expect} }}", text::toml(&step.client))
}

fn one_or_list(texts: &[String]) -> String {
    if let [only] = texts { text::toml(only) } else { list(texts) }
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| text::toml(text)).collect::<Vec<_>>().join(", "))
}
