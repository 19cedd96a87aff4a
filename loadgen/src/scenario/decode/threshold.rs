//! A `[[thresholds]]` entry: a figure, a part of the data, and a bound.

use super::Audience;
use super::load::{duration_of, timing};
use crate::domain::{Op, Role, Timing, Transport, latency_metric};
use crate::scenario::diagnostics::Problems;
use crate::scenario::model::{Bound, Filter, Group, Metric, Threshold};
use crate::scenario::reader::Reader;
use crate::scenario::tree::Node;
use crate::text::backquoted;

/// Decodes one threshold; `root` is the scenario, for the names that a filter may use.
pub(super) fn threshold(
    reader: Reader<'_>,
    root: Reader<'_>,
    audience: &Audience<'_>,
    problems: &mut Problems,
) -> Option<Threshold> {
    let filter = reader.table("where").map(|table| filter(table, root, audience, problems));
    let metric = reader.text("metric").and_then(metric);
    let bound = bound(reader, metric, problems);
    match metric {
        Some(Metric::Latency(..)) => only_judged_loads(reader, root, problems),
        Some(Metric::Lost) => only_where_clients_are_counted(reader, audience, problems),
        _ => {}
    }
    if let (Some(Metric::Unfinished | Metric::Lost), Some(true)) = (metric, reader.flag("abort")) {
        problems
            .add("`abort` on a figure that is known only at the load's end", reader.at("abort"))
            .label("there is nothing to watch while it runs")
            .help("watch `errors` or a latency instead");
    }
    Some(Threshold { metric: metric?, filter: filter?, bound: bound?, abort: reader.flag("abort")? })
}

/// `latency.statistic`, or a plain figure.
pub(super) fn metric(name: &str) -> Option<Metric> {
    match name {
        "rate" => Some(Metric::Rate),
        "errors" => Some(Metric::Errors),
        "violations" => Some(Metric::Violations),
        "unfinished" => Some(Metric::Unfinished),
        "lost" => Some(Metric::Lost),
        name => latency_metric(name).map(|(kind, statistic)| Metric::Latency(kind, statistic)),
    }
}

/// Latencies of a load whose timing is unjudged are not results, so they cannot be judged.
fn only_judged_loads(reader: Reader<'_>, root: Reader<'_>, problems: &mut Problems) {
    let wanted = reader.table("where").and_then(|filter| filter.text("load"));
    let unjudged = root.items("load").find(|load| {
        timing(*load) == Some(Timing::Unjudged)
            && wanted.is_none_or(|wanted| load.text("name") == Some(wanted))
    });
    let Some(load) = unjudged.and_then(|load| load.text("name")) else { return };
    let problem =
        problems.add("a threshold on a latency of a load whose timing is unjudged", reader.at("metric"));
    problem.label(format!("load `{load}` says timing = \"unjudged\": its latencies are not results"));
    problem.help(match wanted {
        Some(_) => "remove `timing` from the load, or judge `errors`, `violations`, `unfinished` or `lost`",
        None => "name the load that it is about: where = { load = \"…\" }",
    });
}

/// Clients are counted by load and transport.
fn only_where_clients_are_counted(reader: Reader<'_>, audience: &Audience<'_>, problems: &mut Problems) {
    let Some(filter) = reader.table("where") else { return };
    for key in ["group", "role", "op"] {
        if let Some(at) = filter.given(key) {
            problems
                .add(format!("`lost` by {key}"), at)
                .label("lost clients are counted by load and transport");
        }
    }
    if let (Some(at), true) = (filter.given("transport"), audience.mixed) {
        problems
            .add("`lost` by transport, with groups that are pinned to a transport", at)
            .label("clients of all transports are counted together here");
    }
}

fn bound(reader: Reader<'_>, metric: Option<Metric>, problems: &mut Problems) -> Option<Bound> {
    let bound = match (reader.given("max"), reader.given("min")) {
        (Some(_), None) => Bound::Max(limit(reader.node("max")?, metric?, problems)?),
        (None, Some(_)) => Bound::Min(limit(reader.node("min")?, metric?, problems)?),
        (Some(at), Some(_)) => {
            problems
                .add("a threshold with both `max` and `min`", at)
                .label("one of the two")
                .help("write two [[thresholds]], one for each");
            return None;
        }
        (None, None) => {
            problems
                .add("a threshold without a bound", reader.place())
                .label("`max` or `min` is required here");
            return None;
        }
    };
    Some(bound)
}

/// Nanoseconds for latencies, which are written as durations, else the plain number.
fn limit(node: &Node, metric: Metric, problems: &mut Problems) -> Option<f64> {
    let is_latency = matches!(metric, Metric::Latency(..));
    let limit =
        if is_latency { duration_of(node).map(|duration| duration.as_nanos() as f64) } else { node.number() };
    if limit.is_none() {
        let (message, label) = if is_latency {
            ("a latency's bound is a duration", "write it like \"20ms\"")
        } else {
            ("this metric's bound is a number", "a plain number expected, without a unit")
        };
        problems.add(message, node.at).label(label);
    }
    limit
}

/// Names that do not exist are errors. Whether the run has such data shows at its end.
fn filter(reader: Reader<'_>, root: Reader<'_>, audience: &Audience<'_>, problems: &mut Problems) -> Filter {
    known_name(reader, "load", root, "load", problems);
    let group_known = known_name(reader, "group", root, "clients", problems);
    let transport = reader.text("transport").and_then(Transport::from_name);
    if let (Some(wanted), Some(all)) = (transport, audience.transports)
        && !all.contains(&wanted)
    {
        problems
            .add(format!("the scenario has no transport \"{wanted}\""), reader.at("transport"))
            .label("this matches nothing");
    } else if let (true, Some(groups)) = (group_known, audience.groups) {
        matching_groups(reader, transport, groups, problems);
    }
    Filter {
        load: reader.text("load").map(str::to_owned),
        transport,
        group: reader.text("group").map(str::to_owned),
        role: reader.text("role").and_then(Role::from_name),
        op: reader.text("op").and_then(Op::from_name),
    }
}

fn known_name(reader: Reader<'_>, key: &str, root: Reader<'_>, list: &str, problems: &mut Problems) -> bool {
    let Some(wanted) = reader.text(key) else { return !reader.is_bad(key) };
    // A wrong name has been reported, and could be this one.
    let names: Option<Vec<_>> = root.items(list).map(|item| item.text("name")).collect();
    let Some(names) = names.filter(|names| !names.is_empty()) else { return false };
    let known = names.contains(&wanted);
    if !known {
        problems
            .add(format!("the scenario has no {key} `{wanted}`"), reader.at(key))
            .label(format!("there is {}", backquoted(&names)));
    }
    known
}

/// Narrows the groups down key by key, and reports the key that leaves none.
fn matching_groups(
    reader: Reader<'_>,
    transport: Option<Transport>,
    groups: &[Group],
    problems: &mut Problems,
) {
    let name = reader.text("group");
    let wanted_role = reader.text("role").and_then(Role::from_name);
    let wanted_op = reader.text("op").and_then(Op::from_name);
    let mut left: Vec<&Group> =
        groups.iter().filter(|group| name.is_none_or(|name| group.name == name)).collect();
    let mut narrow = |key: &str, keep: &dyn Fn(&Group) -> bool| {
        let had_some = !left.is_empty();
        left.retain(|group| keep(group));
        if had_some && left.is_empty() {
            problems
                .add("a threshold on something that the scenario does not do", reader.at(key))
                .label(format!("no such group has this {key}"));
        }
    };
    narrow("transport", &|group| {
        transport.is_none_or(|wanted| group.transport.is_none_or(|pin| pin == wanted))
    });
    narrow("role", &|group| wanted_role.is_none_or(|role| group.role == role));
    narrow("op", &|group| wanted_op.is_none_or(|op| group.mix.iter().any(|&(own, _)| own == op)));
}
