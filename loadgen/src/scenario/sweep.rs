//! `[sweep]` → variants: each combination of the swept values gives a scenario with a label.

use super::decode;
use super::diagnostics::{Diagnostic, Problems, Source};
use super::limits::VARIANTS_MAX;
use super::model::Scenario;
use super::set;
use super::tree::{Entry, Node, Value};
use crate::domain::{Role, Setting};

/// A key that is not in the document: it divides the clients between guests and managers.
const MANAGER_SHARE: &str = "manager-share";

/// Longest value in a label, as labels become parts of file names.
const LABEL_VALUE_MAX: usize = 40;

/// A scenario with one combination of the swept values.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// `key=value`, for two keys with a comma between; empty when nothing is swept. Only ASCII letters, digits and
    /// `-_.=,+`.
    pub label: String,
    /// The swept values, in the order of the keys; empty where nothing is swept.
    pub settings: Vec<Setting>,
    /// The scenario with the values in it.
    pub scenario: Scenario,
}

/// All variants of a document whose base scenario is valid; problems go to the swept values that cause them.
pub(super) fn variants(
    root: &Node,
    base: &Scenario,
    sources: &[Source],
    problems: &mut Problems,
) -> Vec<Variant> {
    let axes = root.entry("sweep").map_or(&[][..], |entry| entry.node.entries());
    if axes.is_empty() {
        return vec![Variant { label: String::new(), settings: Vec::new(), scenario: base.clone() }];
    }
    let count: usize = axes.iter().map(|axis| axis.node.elements().len()).product();
    if count > VARIANTS_MAX {
        problems.add(format!("{count} variants"), axes[0].key_at).label(format!("at most {VARIANTS_MAX}"));
        return Vec::new();
    }
    if !axes.iter().all(|axis| can_sweep(root, axis, problems)) {
        return Vec::new();
    }
    let labelled: Vec<Axis<'_>> = axes.iter().map(|axis| labelled(axis, sources, problems)).collect();
    let mut variants: Vec<Variant> = Vec::new();
    for (label, combination) in combinations(&labelled) {
        if let Some(scenario) = scenario(root, base, &combination, &label, sources, problems) {
            let settings = combination.iter().map(|(axis, value)| setting(axis, value, sources)).collect();
            variants.push(Variant { label, settings, scenario });
        }
    }
    variants
}

/// A swept key with its values, each with a unique label.
struct Axis<'a> {
    entry: &'a Entry,
    values: Vec<(String, &'a Node)>,
}

/// Gives each value its label; a value that is listed twice is a problem.
fn labelled<'a>(entry: &'a Entry, sources: &[Source], problems: &mut Problems) -> Axis<'a> {
    let mut values: Vec<(String, &Node)> = Vec::new();
    for value in entry.node.elements() {
        let plain = label(entry, value, sources);
        if let Some((first, _)) = values.iter().find(|(_, known)| is_same(known, value)) {
            problems
                .add("a swept value is listed twice", value.at)
                .label(format!("its variant `{first}` exists already"));
            continue;
        }
        // Values whose labels would be the same, as these are cut or cannot hold every character, get a number.
        let mut label = plain.clone();
        let mut number = 2;
        while values.iter().any(|(taken, _)| taken.eq_ignore_ascii_case(&label)) {
            label = format!("{plain}-{number}");
            number += 1;
        }
        values.push((label, value));
    }
    Axis { entry, values }
}

/// Whether two values are the same, however they are written.
fn is_same(one: &Node, other: &Node) -> bool {
    match (&one.value, &other.value) {
        (Value::Text(one), Value::Text(other)) => one == other,
        (Value::Boolean(one), Value::Boolean(other)) => one == other,
        (Value::Integer(one), Value::Integer(other)) => one == other,
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Table(one), Value::Table(entries)) => {
            one.len() == entries.len()
                && one.iter().all(|entry| {
                    other.entry(&entry.key).is_some_and(|found| is_same(&entry.node, &found.node))
                })
        }
        _ => one.number().is_some() && one.number() == other.number(),
    }
}

type Combination<'a> = Vec<(&'a Entry, &'a Node)>;

/// Every way to take one value of each axis, with its label; the last axis changes fastest.
fn combinations<'a>(axes: &[Axis<'a>]) -> Vec<(String, Combination<'a>)> {
    let mut all: Vec<(String, Combination<'a>)> = vec![(String::new(), Vec::new())];
    for axis in axes {
        let mut longer = Vec::new();
        for (start, combination) in &all {
            for (label, value) in &axis.values {
                let label = if start.is_empty() { label.clone() } else { format!("{start},{label}") };
                let mut combination = combination.clone();
                combination.push((axis.entry, *value));
                longer.push((label, combination));
            }
        }
        all = longer;
    }
    all
}

/// Whether the axis names something that may change from variant to variant.
fn can_sweep(root: &Node, axis: &Entry, problems: &mut Problems) -> bool {
    if axis.key == MANAGER_SHARE {
        return true;
    }
    let first = axis.key.split('.').next().unwrap_or_default();
    if matches!(first, "sweep" | "name") {
        problems.add(format!("`{first}` cannot be swept"), axis.key_at).label("the same for all variants");
        return false;
    }
    let Some(value) = axis.node.elements().first() else { return false };
    set::put(&mut root.clone(), &axis.key, axis.key_at, value.clone(), problems).is_some()
}

fn setting(axis: &Entry, value: &Node, sources: &[Source]) -> Setting {
    let value = value.text().map_or_else(|| decode::source_text(value, sources), str::to_owned);
    Setting { key: axis.key.clone(), value }
}

fn label(axis: &Entry, value: &Node, sources: &[Source]) -> String {
    let Setting { key, value } = setting(axis, value, sources);
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+') { c } else { '-' }
    };
    let key: String = key.chars().map(safe).collect();
    let value: String = value.chars().map(safe).take(LABEL_VALUE_MAX).collect();
    format!("{key}={value}")
}

/// The scenario of one combination: keys are set in the document, the share of managers in what comes out.
fn scenario(
    root: &Node,
    base: &Scenario,
    combination: &Combination<'_>,
    label: &str,
    sources: &[Source],
    problems: &mut Problems,
) -> Option<Scenario> {
    let mut root = root.clone();
    let mut found = Problems::default();
    let mut share = None;
    for (axis, value) in combination {
        if axis.key == MANAGER_SHARE {
            share = Some(*value);
        } else {
            set::put(&mut root, &axis.key, axis.key_at, (*value).clone(), &mut found);
        }
    }
    let scenario = decode::scenario(root, sources, &mut found).and_then(|mut scenario| {
        scenario.sweep.clone_from(&base.sweep);
        if let Some(share) = share {
            split_clients(&mut scenario, share, &mut found)?;
        }
        Some(scenario)
    });
    if let Some(first) = found.first() {
        blame(first, combination, label, problems);
    }
    scenario.filter(|_| found.is_empty())
}

/// Reports why a variant is not valid, at the swept value that caused it: where the value itself is at fault, once for
/// all combinations with it.
fn blame(cause: &Diagnostic, combination: &Combination<'_>, label: &str, problems: &mut Problems) {
    let culprit = combination.iter().find(|(_, value)| Some(value.at) == cause.place());
    let Some((_, value)) = culprit.or(combination.last()) else { return };
    if culprit.is_none() || !problems.has(value.at) {
        problems
            .add(format!("variant `{label}` is not valid: {}", cause.message()), value.at)
            .label(cause.label_text());
    }
}

/// Shares the clients out anew: `share` percent to the groups of managers, the rest to those of guests.
fn split_clients(scenario: &mut Scenario, share: &Node, problems: &mut Problems) -> Option<()> {
    let Some(percent) = share.number().filter(|percent| (0.0..=100.0).contains(percent)) else {
        problems.add("not a share of managers", share.at).label("a percentage from 0 to 100 expected");
        return None;
    };
    for role in [Role::Guest, Role::Manager] {
        if !scenario.groups.iter().any(|group| group.role == role) {
            problems
                .add(format!("`{MANAGER_SHARE}` without a group of {role}s"), share.at)
                .label("needs a group of each role to move clients between");
            return None;
        }
    }
    let total = scenario.clients();
    let managers = (f64::from(total) * percent / 100.0).round() as u32;
    distribute(scenario, Role::Manager, managers);
    distribute(scenario, Role::Guest, total - managers);
    decode::totals(&scenario.groups, share.at, problems);
    Some(())
}

/// Gives the groups of a role `total` clients in proportion to those they had, by the largest remainders.
fn distribute(scenario: &mut Scenario, role: Role, total: u32) {
    let mut groups: Vec<_> = scenario.groups.iter_mut().filter(|group| group.role == role).collect();
    let before: u64 = groups.iter().map(|group| u64::from(group.count)).sum();
    let mut left = total;
    let mut remainders = Vec::new();
    for (index, group) in groups.iter_mut().enumerate() {
        let exact = u64::from(group.count) * u64::from(total);
        group.count = (exact / before.max(1)) as u32;
        left -= group.count;
        remainders.push((exact % before.max(1), index));
    }
    remainders.sort_by_key(|&(remainder, index)| (std::cmp::Reverse(remainder), index));
    for (_, index) in remainders.into_iter().take(left as usize) {
        groups[index].count += 1;
    }
}

/// Whether a document sweeps this key; then setting its value by hand would change nothing.
pub(super) fn sweeps(root: &Node, key: &str) -> bool {
    root.entry("sweep")
        .is_some_and(|sweep| matches!(sweep.node.value, Value::Table(_)) && sweep.node.entry(key).is_some())
}
