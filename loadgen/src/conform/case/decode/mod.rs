//! From the checked tree to [`Case`]s: what a single value cannot show, such as two actions in one step.
//!
//! Every function reports all it finds and returns `None` if that leaves nothing to build; types and bounds of single
//! values have been checked before, by `scenario::shape`.

mod expect;
mod step;

use std::collections::HashSet;

use super::format::{CASES, OTHER};
use super::model::{Case, Client, ClientTransport, Level, Need, Text};
use super::text::{self, Names, RESERVED};
use crate::domain::{Role, Rule, Transport};
use crate::scenario::diagnostics::Problems;
use crate::scenario::reader::Reader;
use crate::scenario::shape;
use crate::scenario::tree::Node;
use crate::text::thousands;

/// Steps that one case may come to, every round of every repeat counted: minutes of work for any server.
const STEPS_DONE_MAX: u64 = 10_000_000;

/// Checks and decodes a whole document; reports at least one problem where it returns `None`.
pub(super) fn cases(mut root: Node, problems: &mut Problems) -> Option<Vec<Case>> {
    let scenario = ["load", "clients", "sweep", "thresholds"];
    let mixed = root.entries().iter().find(|entry| scenario.contains(&entry.key.as_str()));
    if let Some(entry) = mixed.filter(|_| root.entry("case").is_some()) {
        problems
            .add("scripted cases and a load scenario in one file", entry.key_at)
            .label("this is a scenario's key, and the file has [[case]]")
            .help("put the cases into a file of their own");
        return None;
    }
    shape::table(&CASES, &mut root, problems);
    let reader = Reader::new(&root);
    unique_ids(reader, problems);
    // Every case is decoded, so that all problems are found.
    let cases: Vec<_> =
        reader.items("case").map(|item| item.intact().and_then(|item| case(item, problems))).collect();
    cases.into_iter().collect::<Option<Vec<_>>>().filter(|cases| !cases.is_empty() && problems.is_empty())
}

fn unique_ids(reader: Reader<'_>, problems: &mut Problems) {
    let mut seen = HashSet::new();
    for id in reader.items("case").filter_map(|case| case.node("id")) {
        let Some(text) = id.text() else { continue };
        if !seen.insert(text) {
            problems.add(format!("two cases with the id `{text}`"), id.at).label("this id is taken");
        }
    }
}

/// What steps need to know of their case.
#[derive(Clone, Copy)]
struct Scope<'a> {
    /// Names of the clients, by index; those whose options are wrong are among them.
    names: &'a [String],
    /// The clients, if all could be read.
    clients: Option<&'a [Client]>,
    /// The transports on which the case runs, if it says so.
    transports: Option<&'a [Transport]>,
    in_repeat: bool,
    in_together: bool,
}

impl Scope<'_> {
    /// A key's text, with its placeholders.
    fn text(self, node: &Node, problems: &mut Problems) -> Option<Text> {
        self.placeholders(node.text()?, node.at, problems)
    }

    fn placeholders(
        self,
        text: &str,
        at: crate::scenario::diagnostics::Place,
        problems: &mut Problems,
    ) -> Option<Text> {
        match text::parse(text, Names { clients: self.names, in_repeat: self.in_repeat }) {
            Ok(text) => Some(text),
            Err(faults) => {
                for fault in faults {
                    problems.add(fault.message, at).label(fault.label);
                }
                None
            }
        }
    }

    /// A text or a list of texts.
    fn texts(self, node: &Node, problems: &mut Problems) -> Option<Vec<Text>> {
        if node.text().is_some() {
            return self.text(node, problems).map(|text| vec![text]);
        }
        let texts: Vec<_> = node.elements().iter().map(|element| self.text(element, problems)).collect();
        texts.into_iter().collect()
    }

    /// The transports over which a client may talk, as far as the case says.
    fn transports_of(self, client: usize) -> Option<Vec<Transport>> {
        match self.clients?.get(client)?.transport {
            ClientTransport::Named(transport) => Some(vec![transport]),
            ClientTransport::Case => Some(self.transports.unwrap_or(&Transport::ALL).to_vec()),
            ClientTransport::Other => None,
        }
    }
}

fn case(reader: Reader<'_>, problems: &mut Problems) -> Option<Case> {
    let transports = transports(reader, problems);
    let (names, clients) = clients(reader, problems);
    let scope = Scope {
        names: &names,
        clients: clients.as_deref(),
        transports: transports.as_deref(),
        in_repeat: false,
        in_together: false,
    };
    let steps = reader.node("steps").and_then(|node| step::steps(node, scope, problems));
    if let (Some(clients), Some(steps)) = (&clients, &steps) {
        step::never_connected(clients, steps, reader, problems);
        let done = step::count(steps);
        if done > STEPS_DONE_MAX {
            problems
                .add(format!("{} steps with all repeats", thousands(done)), reader.at("steps"))
                .label(format!("at most {}", thousands(STEPS_DONE_MAX)));
        }
    }
    Some(Case {
        id: reader.text("id")?.to_owned(),
        rules: named(reader, "rules", Rule::from_name)?,
        about: reader.text("about")?.to_owned(),
        level: if reader.text("level")? == "core" { Level::Core } else { Level::Full },
        transports,
        needs: named(reader, "needs", Need::from_name)?,
        alone: reader.flag("alone")?,
        sweep: reader.flag("sweep")?,
        should: reader.flag("should")?,
        kills: reader.flag("kills")?,
        clients: clients?,
        steps: steps?,
    })
}

/// A list of names; where it is left out, an empty one.
fn named<T>(reader: Reader<'_>, key: &str, from_name: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    match reader.node(key) {
        None if reader.is_bad(key) => None,
        None => Some(Vec::new()),
        Some(node) => node.elements().iter().map(|node| from_name(node.text()?)).collect(),
    }
}

fn transports(reader: Reader<'_>, problems: &mut Problems) -> Option<Vec<Transport>> {
    let mut transports = Vec::new();
    for node in reader.node("transports")?.elements() {
        let transport = Transport::from_name(node.text()?)?;
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

/// The clients' names, and the clients if all of them are right.
fn clients(reader: Reader<'_>, problems: &mut Problems) -> (Vec<String>, Option<Vec<Client>>) {
    let Some(node) = reader.node("clients") else { return (Vec::new(), None) };
    let mut names = Vec::new();
    let mut clients = Vec::new();
    for entry in node.entries() {
        names.push(entry.key.clone());
        if RESERVED.contains(&entry.key.as_str()) {
            problems
                .add(format!("a client named `{}`", entry.key), entry.key_at)
                .label(format!("{{{}}} means something else in a text", entry.key));
        }
        clients.push(
            Reader::new(&entry.node).intact().and_then(|options| client(&entry.key, options, problems)),
        );
    }
    (names, clients.into_iter().collect())
}

fn client(name: &str, reader: Reader<'_>, problems: &mut Problems) -> Option<Client> {
    let (connect, login) = (reader.flag("connect")?, reader.flag("login")?);
    let role = Role::from_name(reader.text("role")?)?;
    let transport = match reader.text("transport") {
        None if reader.is_bad("transport") => return None,
        None => ClientTransport::Case,
        Some(OTHER) => ClientTransport::Other,
        Some(name) => ClientTransport::Named(Transport::from_name(name)?),
    };
    if let Some(at) = reader.given("login").filter(|_| !connect && login) {
        problems
            .add(format!("`{name}` is logged in without a connection"), at)
            .label("`connect` is false: leave this out");
    }
    let login = login && connect;
    if role == Role::Manager && !login {
        problems
            .add(format!("`{name}` is a manager without a login"), reader.at("role"))
            .label("only who is logged in can be upgraded")
            .help("leave `role` out and let a step send \"upgrade\"");
    }
    Some(Client { name: name.to_owned(), connect, login, role, transport })
}
