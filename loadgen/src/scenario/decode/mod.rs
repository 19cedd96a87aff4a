//! From the checked tree to [`Scenario`]: what a single value cannot show, such as keys that exclude each other and
//! names that do not exist.
//!
//! Every function reports all it finds and returns `None` if that leaves nothing to build; types and bounds of single
//! values have been checked before, by [`super::shape`].

mod clients;
mod load;
mod sweep;
mod threshold;

use std::collections::HashSet;

pub(super) use self::sweep::source_text;
use super::diagnostics::{Place, Problems, Source};
use super::format::SCENARIO;
use super::limits::{CLIENTS_MAX, REGISTERS_MAX};
use super::model::{Group, Scenario};
use super::reader::Reader;
use super::shape;
use super::tree::Node;
use crate::domain::Transport;
use crate::text::thousands;

/// Checks and decodes a whole document; reports at least one problem where it returns `None`.
pub(super) fn scenario(mut root: Node, sources: &[Source], problems: &mut Problems) -> Option<Scenario> {
    shape::table(&SCENARIO, &mut root, problems);
    let reader = Reader::new(&root);
    let transports = transports(reader, problems);
    unique_names(reader, "clients", "group", problems);
    unique_names(reader, "load", "load", problems);
    let groups: Option<Vec<Group>> =
        gather(reader.items("clients"), |item| clients::group(item, transports.as_deref(), problems));
    if let Some(groups) = &groups {
        totals(groups, reader.at("clients"), problems);
    }
    let audience = Audience::new(reader, transports.as_deref(), groups.as_deref());
    let loads = gather(reader.items("load"), |item| load::load(item, &audience, problems));
    one_headline(reader, problems);
    let thresholds =
        gather(reader.items("thresholds"), |item| threshold::threshold(item, reader, &audience, problems));
    let sweep = sweep::axes(reader, sources, problems);
    Some(Scenario {
        name: reader.text("name")?.to_owned(),
        about: reader.text("about")?.to_owned(),
        seed: reader.integer("seed")?,
        transports: transports?,
        timeout: reader.duration("timeout")?,
        loads: loads?,
        groups: groups?,
        sweep: sweep?,
        thresholds: thresholds?,
    })
    .filter(|_| problems.is_empty())
}

/// What loads and thresholds must know of the groups and transports, as far as they could be read.
pub(super) struct Audience<'a> {
    /// The transports to compare.
    transports: Option<&'a [Transport]>,
    groups: Option<&'a [Group]>,
    /// A group is pinned to a transport.
    mixed: bool,
    /// Some client talks over unframed TCP.
    unframed: bool,
}

impl<'a> Audience<'a> {
    fn new(root: Reader<'_>, transports: Option<&'a [Transport]>, groups: Option<&'a [Group]>) -> Self {
        let pins: Vec<_> = root.items("clients").map(|group| group.text("transport")).collect();
        let raw = Transport::TcpRaw;
        let listed = transports.is_some_and(|all| all.contains(&raw));
        let unframed = pins.iter().any(|pin| pin.map_or(listed, |name| name == raw.name()));
        Self { transports, groups, mixed: pins.iter().any(Option::is_some), unframed }
    }

    fn clients(&self) -> Option<u32> {
        Some(self.groups?.iter().map(|group| group.count).sum())
    }
}

/// Decodes every item, so that all problems are found, and returns the results if all were valid.
fn gather<'a, T>(
    items: impl Iterator<Item = Reader<'a>>,
    mut decode: impl FnMut(Reader<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let results: Vec<_> = items.map(|item| item.intact().and_then(&mut decode)).collect();
    results.into_iter().collect()
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

/// Names key the report's rows.
fn unique_names(reader: Reader<'_>, key: &str, what: &str, problems: &mut Problems) {
    let mut seen = HashSet::new();
    for item in reader.items(key) {
        let Some(name) = item.node("name") else { continue };
        let Some(text) = name.text() else { continue };
        if !seen.insert(text) {
            problems.add(format!("two {what}s named `{text}`"), name.at).label("this name is taken");
        }
    }
}

fn one_headline(reader: Reader<'_>, problems: &mut Problems) {
    let marked = reader.items("load").filter(|load| load.flag("headline") == Some(true));
    for load in marked.skip(1) {
        problems
            .add("two headline loads", load.at("headline"))
            .label("another load is marked already")
            .help("one load's figures head the report: mark one, or none for the first");
    }
}

/// Bounds over all groups together.
pub(super) fn totals(groups: &[Group], at: Place, problems: &mut Problems) {
    let clients: u64 = groups.iter().map(|group| u64::from(group.count)).sum();
    if clients > u64::from(CLIENTS_MAX) {
        problems
            .add(format!("{} clients in all", thousands(clients)), at)
            .label(format!("at most {} in all groups together", thousands(CLIENTS_MAX)));
    }
    let registers: u64 =
        groups.iter().map(|group| u64::from(group.count) * u64::from(group.keys.count)).sum();
    if registers > REGISTERS_MAX {
        problems
            .add(format!("{} keys over all clients", thousands(registers)), at)
            .label(format!("at most {}", thousands(REGISTERS_MAX)))
            .help("every key of every client is tracked, so that each reply can be checked: lower `keys.count` or `count`");
    }
}
