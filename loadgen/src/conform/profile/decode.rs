//! From the checked tree to a [`Profile`]: what a single value cannot show, such as a secret without its policy.
//!
//! Every function reports all it finds and returns `None` if that leaves nothing to build; types and bounds of single
//! values have been checked before, by `scenario::shape`.

use std::ffi::OsString;

use super::format::PROFILE;
use super::model::{Exception, Excluded, KnownFailure, Limits, Operator, Policy, Profile};
use crate::domain::{Rule, Transport};
use crate::scenario::diagnostics::{Place, Problems};
use crate::scenario::reader::Reader;
use crate::scenario::shape;
use crate::scenario::tree::Node;
use crate::text::thousands;

/// Looks up a variable of the environment.
type Variable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Cases by id, each with its place.
type Cases = Vec<(String, Place)>;

/// Checks and decodes a whole document, with the cases that it names; reports at least one problem where it returns
/// `None`.
pub(super) fn profile(
    mut root: Node,
    variable: Variable<'_>,
    problems: &mut Problems,
) -> Option<(Profile, Cases)> {
    shape::table(&PROFILE, &mut root, problems);
    let reader = Reader::new(&root);
    let transports = transports(reader, problems);
    let upgrade = policy(reader, variable, problems);
    let limits = reader.table("limits").map(limits).unwrap_or_default();
    let operator = reader.table("operator").map(|table| operator(table, problems)).unwrap_or_default();
    let mut cases = Vec::new();
    let exceptions = exceptions(reader, &mut cases, problems);
    let known_failures = known_failures(reader, &mut cases, problems);
    let message_max = reader.integer("message-max");
    let name_max = reader.integer("name-max");
    if let (Some(message), Some(name)) = (message_max, name_max)
        && name > message
    {
        problems
            .add("a name longer than the longest message", reader.at("name-max"))
            .label(format!("`message-max` is {}", thousands(message)));
    }
    let profile = Profile {
        name: reader.text("name")?.to_owned(),
        transports,
        shared_registry: reader.flag("shared-registry")?,
        upgrade: upgrade?,
        message_max: message_max?,
        name_max: name_max?,
        denial_binary: reader.flag("denial-binary")?,
        jobs: reader.integer("jobs"),
        limits,
        operator,
        exceptions,
        known_failures,
        written: None,
    };
    Some((profile, cases))
}

fn transports(reader: Reader<'_>, problems: &mut Problems) -> Option<Vec<Transport>> {
    let mut transports = Vec::new();
    for node in reader.node("transports")?.elements() {
        let Some(transport) = node.text().and_then(Transport::from_name) else { continue };
        if transports.contains(&transport) {
            problems
                .add(format!("transport \"{transport}\" is listed twice"), node.at)
                .label("already in the list");
        } else {
            transports.push(transport);
        }
    }
    Some(transports)
}

fn policy(reader: Reader<'_>, variable: Variable<'_>, problems: &mut Problems) -> Option<Policy> {
    let name = reader.text("upgrade")?;
    if name == "secret" {
        return secret(reader, variable, problems).map(Policy::Secret);
    }
    if let Some(at) = reader.given("secret-env") {
        problems
            .add(format!("a secret with upgrade = \"{name}\""), at)
            .label("only upgrade = \"secret\" has one");
    }
    Some(if name == "closed" { Policy::Closed } else { Policy::Open })
}

/// The upgrade secret, which no message shows.
fn secret(reader: Reader<'_>, variable: Variable<'_>, problems: &mut Problems) -> Option<String> {
    let Some(name) = reader.text("secret-env") else {
        if !reader.is_bad("secret-env") {
            problems
                .add("upgrade = \"secret\" without `secret-env`", reader.at("upgrade"))
                .label("which secret?")
                .help("write secret-env = \"NAME\", the environment variable that has it");
        }
        return None;
    };
    let fault = match variable(name).map(OsString::into_string) {
        None => "is not set",
        Some(Ok(secret)) if secret.is_empty() => "is empty",
        Some(Ok(secret)) if !secret.contains(|c: char| c.is_ascii_whitespace()) => return Some(secret),
        Some(_) => "is not one word of UTF-8 text",
    };
    problems
        .add(format!("the environment variable `{name}` {fault}"), reader.at("secret-env"))
        .label("the upgrade secret is read from it")
        .help(format!("set it to the secret that the target was started with: export {name}=…"));
    None
}

fn limits(reader: Reader<'_>) -> Limits {
    let count = |key| reader.integer(key).filter(|&count: &u32| count > 0);
    let time = |key| reader.duration(key).filter(|time| !time.is_zero());
    Limits {
        connections: count("connections"),
        managers: count("managers"),
        keys: count("keys"),
        bytes: count("bytes").map(u64::from),
        login_timeout: time("login-timeout"),
        idle_timeout: time("idle-timeout"),
    }
}

fn operator(reader: Reader<'_>, problems: &mut Problems) -> Operator {
    let mut command = |key| {
        let node = reader.node(key)?;
        let words: Vec<String> =
            node.elements().iter().map(|word| word.text().map(str::to_owned)).collect::<Option<_>>()?;
        let (program, arguments) = words.split_first()?;
        if program.is_empty() {
            problems.add(format!("`{key}` without a program"), node.at).label("the first text names it");
        }
        if !arguments.iter().any(|argument| argument.contains("{user}")) {
            problems
                .add(format!("`{key}` does not say which user"), node.at)
                .label("no argument contains {user}")
                .help("write [\"PROGRAM\", \"ARGUMENT\", \"{user}\"]");
        }
        Some(words)
    };
    Operator { promote: command("promote"), demote: command("demote"), disconnect: command("disconnect") }
}

fn exceptions(reader: Reader<'_>, cases: &mut Cases, problems: &mut Problems) -> Vec<Exception> {
    let mut exceptions: Vec<Exception> = Vec::new();
    for item in reader.items("except").filter_map(Reader::intact) {
        let what = match (item.given("rule"), item.given("case")) {
            (Some(_), None) => item.text("rule").and_then(Rule::from_name).map(Excluded::Rule),
            (None, Some(_)) => case(item, cases, problems).map(Excluded::Case),
            (Some(_), Some(at)) => {
                problems
                    .add("an exception for both a rule and a case", at)
                    .label("one of the two")
                    .help("write two [[except]], one for each");
                None
            }
            (None, None) if item.has_bad() => None,
            (None, None) => {
                problems
                    .add("an exception for nothing", item.place())
                    .label("`rule` or `case` is required here");
                None
            }
        };
        let reason = reason(item, problems);
        let (Some(what), Some(reason)) = (what, reason) else { continue };
        if let Excluded::Rule(rule) = what
            && exceptions.iter().any(|other| other.what == what)
        {
            problems.add(format!("the rule {rule} is listed twice"), item.at("rule")).label("already listed");
        }
        exceptions.push(Exception { what, reason });
    }
    exceptions
}

fn known_failures(reader: Reader<'_>, cases: &mut Cases, problems: &mut Problems) -> Vec<KnownFailure> {
    let mut failures = Vec::new();
    for item in reader.items("known-failure").filter_map(Reader::intact) {
        let (case, reason) = (case(item, cases, problems), reason(item, problems));
        if let (Some(case), Some(reason)) = (case, reason) {
            failures.push(KnownFailure { case, reason });
        }
    }
    failures
}

/// The case of an entry, which no other entry names: one that is left out cannot fail.
fn case(item: Reader<'_>, cases: &mut Cases, problems: &mut Problems) -> Option<String> {
    let (case, at) = (item.text("case")?.to_owned(), item.at("case"));
    if cases.iter().any(|(other, _)| *other == case) {
        problems.add(format!("the case \"{case}\" is listed twice"), at).label("already listed");
    }
    cases.push((case.clone(), at));
    Some(case)
}

fn reason(item: Reader<'_>, problems: &mut Problems) -> Option<String> {
    let reason = item.text("reason")?;
    if reason.trim().is_empty() {
        problems.add("an empty reason", item.at("reason")).label("reports show it: one sentence expected");
    }
    Some(reason.to_owned())
}
