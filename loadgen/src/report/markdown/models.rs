//! What a load's model adds to its figures: the probed rate, what had to wait, windows in pairs, new sessions.

use super::super::comparison::LatencySummary;
use super::super::figure::{self, MISSING};
use super::super::table::{Sign, Table, TableCell};
use super::super::tables;
use crate::domain::{ALL, Role, Statistic, Transport};
use crate::record::pairs::Ratio;
use crate::record::{Latencies, LoadInfo, Pass, Probe, RunRecord, Setup, VerdictLevel, WindowRow};
use crate::text;

/// Everything that the model adds; empty for a plain closed load.
pub(super) fn section(record: &RunRecord, load: &LoadInfo) -> String {
    let passes: Vec<&Pass> = record.passes.iter().filter(|pass| pass.load == load.name).collect();
    let parts = [
        probes(load),
        waiting(record, load, &passes),
        pairs(record, load, &passes),
        renewals(record, &passes),
    ];
    parts.into_iter().flatten().fold(String::new(), |text, part| text + "\n" + &part)
}

fn probes(load: &LoadInfo) -> Option<String> {
    let row = |probe: &Probe| -> Vec<TableCell> {
        vec![
            probe.variant.as_str().into(),
            label(&probe.transports).into(),
            text::decimal(probe.reached, 0).into(),
            text::decimal(probe.offered, 0).into(),
        ]
    };
    let rows: Vec<_> = load.probes.iter().map(row).collect();
    (!rows.is_empty()).then(|| {
        format!(
            "### Probed rate\n\nThe rate is a share of what the slowest transport reached in a short closed load of \
             the same clients.\n\n{}",
            Table::new(&["variant", "transport"], &["reached, requests/s", "offered, requests/s"], rows).markdown()
        )
    })
}

/// Limits that were reached: an open load drops nothing silently.
fn waiting(record: &RunRecord, load: &LoadInfo, passes: &[&Pass]) -> Option<String> {
    if !load.model.is_open() || passes.is_empty() {
        return None;
    }
    let rows: Vec<Vec<TableCell>> = transports(record, passes)
        .into_iter()
        .map(|transports| {
            let own: Vec<&&Pass> = passes.iter().filter(|pass| pass.transports == transports).collect();
            let cells = || own.iter().flat_map(|pass| &pass.cells);
            let offered: u64 = cells().map(|cell| cell.counts.requests).sum();
            let unfinished: u64 = cells().map(|cell| cell.counts.unfinished).sum();
            let waited: u64 = own.iter().map(|pass| pass.backlog.waited).sum();
            let most = own.iter().filter_map(|pass| pass.backlog.max).max();
            let share = if offered > 0 { waited as f64 / offered as f64 * 100.0 } else { 0.0 };
            vec![
                label(transports).into(),
                text::thousands(offered).into(),
                format!("{} ({share:.1} %)", text::thousands(waited)).into(),
                most.map_or_else(|| MISSING.to_owned(), text::thousands).into(),
                text::thousands(unfinished).into(),
            ]
        })
        .collect();
    Some(format!(
        "### What had to wait\n\nA request has to wait if it is due while its connection has {} outstanding or is \
         being renewed. The wait is part of its response time. What a server does not take within a second of the \
         load's end stays unfinished.\n\n{}",
        text::plural(u64::from(load.in_flight), "request"),
        Table::new(&["transport"], &["offered", "had to wait", "most waiting at once", "unfinished"], rows)
            .markdown()
    ))
}

/// Each role's windows against the first transport's of the same pair; and WSS against WebSocket, whatever comes first,
/// since that is what TLS costs there.
fn pairs(record: &RunRecord, load: &LoadInfo, passes: &[&Pass]) -> Option<String> {
    if load.verdict.level == VerdictLevel::Invalid {
        return None;
    }
    let kind = load.headline_kind();
    let all = transports(record, passes);
    let (base, others) = all.split_first()?;
    let mut compared: Vec<_> = others.iter().map(|other| (*base, *other, label(other))).collect();
    let (plain, encrypted): (&[Transport], &[Transport]) = (&[Transport::WebSocket], &[Transport::Wss]);
    if others.contains(&plain) && others.contains(&encrypted) {
        compared.push((plain, encrypted, format!("{} to {}", label(encrypted), label(plain))));
    }
    let mut rows = Vec::new();
    for (base, other, title) in &compared {
        for role in Role::ALL.map(Some).into_iter().chain([None]) {
            let of = |statistic| {
                both(passes, [base, other], |window| {
                    window.roles.iter().find(|found| found.role == role)?.latencies.get((kind, statistic))
                })
            };
            let (p50, p90) = (of(Statistic::P50), of(Statistic::P90));
            // One pair alone compares nothing.
            if p50.len() < 2 {
                continue;
            }
            let name = role.map_or(ALL, Role::name);
            let mut cells: Vec<TableCell> =
                vec![title.as_str().into(), name.into(), p50.len().to_string().into()];
            let cpu = if role.is_none() { both(passes, [base, other], cpu) } else { Vec::new() };
            cells.extend([p50, p90, cpu].map(|pairs| figure::ratio(Ratio::of(pairs)).into()));
            rows.push(cells);
        }
    }
    if rows.is_empty() {
        return None;
    }
    let table = Table::new(&["transport", "role"], &["pairs", "p50", "p90", "CPU of both sides"], rows);
    Some(format!(
        "### Windows in pairs\n\nThe load switched between the transports, so that the machine's drift hits all alike. \
         Each pair gives a ratio of {} time, and one of CPU time for each request; to {} \
         unless another transport is named.\n\n{}\n{}.\n",
        kind.name(),
        label(base),
        table.markdown(),
        text::capital(&figure::ratio_legend())
    ))
}

/// This figure in the first transport's windows and in the second's, pair by pair.
fn both(
    passes: &[&Pass],
    [base, other]: [&[Transport]; 2],
    figure: impl Fn(&WindowRow) -> Option<f64>,
) -> Vec<(f64, f64)> {
    let mut pairs = Vec::new();
    for pass in passes.iter().filter(|pass| pass.transports == base) {
        let twin = passes.iter().find(|twin| {
            twin.transports == other && twin.trial == pass.trial && twin.variant == pass.variant
        });
        let Some(twin) = twin else { continue };
        for window in &pass.windows {
            let match_ = twin.windows.iter().find(|candidate| candidate.pair == window.pair);
            let both = figure(window).zip(match_.and_then(&figure));
            pairs.extend(both.filter(|(ours, _)| *ours > 0.0));
        }
    }
    pairs
}

fn cpu(window: &WindowRow) -> Option<f64> {
    let cost = &window.cost;
    let both = cost.server_cpu_ns? + cost.generator_cpu_ns?;
    (cost.replies > 0).then(|| both as f64 / cost.replies as f64)
}

/// Times of ending sessions and beginning new ones in mid-load.
fn renewals(record: &RunRecord, passes: &[&Pass]) -> Option<String> {
    type Part = fn(&Setup) -> &Latencies;
    let parts: [(&str, Part); 4] = [
        ("logout (`q` to its reply)", |setup| &setup.quit),
        ("connect, with the handshake", |setup| &setup.connect),
        ("login", |setup| &setup.login),
        ("upgrade", |setup| &setup.upgrade),
    ];
    let mut found = Vec::new();
    for (step, part) in parts {
        for transports in transports(record, passes) {
            let mut sum = Latencies::default();
            let own = passes.iter().filter(|pass| pass.transports == transports);
            own.filter_map(|pass| pass.renewals.as_ref()).for_each(|setup| sum.merge(part(setup)));
            if !sum.is_empty() {
                found.push((step, label(transports), LatencySummary::of(&sum)));
            }
        }
    }
    let table = tables::steps(&found)?;
    Some(format!(
        "### New sessions\n\nThese times are not part of any request's service time; requests that were due meanwhile \
         waited.\n\n{}",
        table.markdown_with(&[Sign::TooFew, Sign::LowerBound])
    ))
}

/// The transports of these passes, each combination once, in the scenario's order.
fn transports<'a>(record: &RunRecord, passes: &[&'a Pass]) -> Vec<&'a [Transport]> {
    let mut all: Vec<&[Transport]> = Vec::new();
    for pass in passes.iter().filter(|pass| !pass.transports.is_empty()) {
        if !all.contains(&pass.transports.as_slice()) {
            all.push(&pass.transports);
        }
    }
    all.sort_by_key(|transports| record.scenario.transports.iter().position(|first| *first == transports[0]));
    all
}

fn label(transports: &[Transport]) -> String {
    transports.iter().map(|transport| transport.label()).collect::<Vec<_>>().join(" with ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::LatencyKind;
    use crate::record::{WindowRole, fixture};

    #[test]
    fn pairs_of_windows_give_the_median_of_their_ratios() {
        let mut record = fixture::record();
        let medians = |ns| {
            let median = |kind, ns| ((kind, Statistic::P50), Some(f64::from(ns)));
            [median(LatencyKind::Service, 1), median(LatencyKind::Response, ns)].into_iter().collect()
        };
        let role = |ns| WindowRole { role: None, requests: 100, replies: 100, latencies: medians(ns) };
        for pass in record.passes.iter_mut().filter(|pass| pass.load == "paced" && pass.trial == 1) {
            let slower = if pass.transports == [Transport::Tcp] { 100 } else { 110 };
            let cost = pass.cost;
            pass.windows = (0..5)
                .map(|pair| WindowRow {
                    pair,
                    position: 0,
                    started_s: 0.0,
                    length_s: 0.5,
                    roles: vec![role(slower + pair * u32::from(slower == 110))],
                    cost,
                })
                .collect();
        }
        let text = section(&record, record.load("paced").unwrap());
        assert!(text.contains("| WebSocket | all"), "{text}");
        assert!(text.contains("1.12× (1.10–1.14, n=5)"), "{text}");
        let plain = section(&record, record.load("saturated").unwrap());
        assert_eq!(plain, "", "a plain closed load has nothing to add");
        assert!(!text.contains(" to WebSocket"), "{text}");
        // WSS is compared with WebSocket, too, whatever comes first.
        let mut encrypted: Vec<Pass> =
            record.passes.iter().filter(|pass| pass.transports == [Transport::WebSocket]).cloned().collect();
        for pass in &mut encrypted {
            pass.transports = vec![Transport::Wss];
            let windows = pass.windows.iter_mut();
            windows.flat_map(|window| &mut window.roles).for_each(|role| role.latencies = medians(224));
        }
        record.passes.extend(encrypted);
        record.scenario.transports.push(Transport::Wss);
        let text = section(&record, record.load("paced").unwrap());
        assert!(text.contains("| WSS              | all"), "{text}");
        assert!(text.contains("| WSS to WebSocket | all  |     5 | 2.00× (1.96–2.04, n=5)"), "{text}");
    }

    #[test]
    fn what_waited_is_shown_with_its_share() {
        let mut record = fixture::record();
        for pass in record.passes.iter_mut().filter(|pass| pass.load == "paced") {
            pass.backlog = crate::record::Backlog { waited: 500, max: Some(77), ..Default::default() };
        }
        let text = section(&record, record.load("paced").unwrap());
        assert!(text.contains("1,000 (25.0 %)") && text.contains("77"), "{text}");
    }
}
