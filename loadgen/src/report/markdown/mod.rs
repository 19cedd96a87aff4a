//! `report.md`: the verdict first, then the comparison, the charts, each load, and what is needed to judge them.
//!
//! GitHub-flavoured Markdown that also reads well as text. Text of the target and of the scenario is escaped.

mod loads;
mod models;
mod notes;

use super::comparison::{Comparison, comparisons};
use super::figure;
use super::table::{Table, TableCell};
use super::{Plot, floor, outcome, violations as violations_files};
use crate::domain::Timing;
use crate::record::{LoadInfo, RunRecord, Status, ThresholdResult, VerdictLevel, Violation};
use crate::text::{self, capital, markdown as escape};

/// The file's text.
#[must_use]
pub fn report(record: &RunRecord, plots: &[Plot]) -> String {
    let record = &*record.results();
    let compared: Vec<Vec<Comparison<'_>>> =
        record.loads.iter().map(|load| comparisons(record, load)).collect();
    let mut sections = vec![head(record)];
    sections.extend(violations(record));
    sections.extend(skipped(record));
    sections.extend(headline(record, &compared));
    sections.extend(charts(plots));
    let load = |(all, load): (&Vec<Comparison<'_>>, &LoadInfo)| {
        loads::section(load, all) + &models::section(record, load)
    };
    sections.extend(compared.iter().zip(&record.loads).map(load));
    sections.extend(thresholds(record));
    sections.push(notes::ledger(record));
    sections.extend(notes::setup(record));
    sections.push(floor::markdown(record));
    sections.push(notes::environment(record));
    sections.push(notes::how_to_read(record));
    sections.push(notes::reproduce(record));
    sections.join("\n")
}

fn head(record: &RunRecord) -> String {
    let name = escape(&record.scenario.name);
    let label = outcome::label(record);
    let mut text = format!("# {name}: {label}\n\n**{}.**", capital(&outcome::proof(record)));
    if !record.scenario.about.is_empty() {
        text += &format!(" {}.", escape(record.scenario.about.trim_end_matches('.')));
    }
    text.push('\n');
    if let Some(message) = &record.outcome.message {
        text += &format!("\n> {}\n", escape(message));
    }
    if record.outcome.interrupted {
        text += "\n> The run was interrupted: these are the figures up to then.\n";
    }
    if record.outcome.status == Status::Violated {
        text += "\n> Some replies were wrong: do not quote any figure below as the service's performance.\n";
    }
    for load in record.loads.iter().filter(|load| load.verdict.level > VerdictLevel::Valid) {
        let reasons = &load.verdict.reasons;
        let first = reasons.first().map_or(String::new(), |reason| format!(": {}", escape(reason)));
        let more = match reasons.len() {
            0 | 1 => String::new(),
            all => format!(", and {} more below", text::plural(all as u64 - 1, "reason")),
        };
        let level = outcome::level(load.verdict.level);
        text += &format!("\n> Load {} is **{level}**{first}{more}.\n", escape(&load.name));
    }
    text
}

fn violations(record: &RunRecord) -> Option<String> {
    if record.violations_total == 0 {
        return None;
    }
    let kept = record.violations.len() as u64;
    let shown = if kept < record.violations_total {
        format!(", the first {kept} of them here")
    } else {
        String::new()
    };
    let total = match record.violations_total {
        1 => "One reply was wrong".to_owned(),
        more => format!("{} replies were wrong", text::thousands(more)),
    };
    let row = |(index, v): (usize, &Violation)| -> Vec<TableCell> {
        let case = violations_files::file_name(index, v).map_or(TableCell::empty(), |name| {
            let label = name.trim_end_matches(".toml").to_owned();
            TableCell::Link { label, file: format!("{}/{name}", violations_files::FOLDER) }
        });
        let variant = if v.variant.is_empty() { String::new() } else { format!(" [{}]", v.variant) };
        let quoted = |text: &String| TableCell::Quoted(text.clone());
        vec![
            v.kind.to_string().into(),
            v.rule.to_string().into(),
            quoted(&v.client),
            format!("{}, {}", v.role, v.transport.label()).into(),
            quoted(&v.request),
            quoted(&v.expected),
            quoted(&v.seen),
            format!("{}{variant}, trial {}, {:.3} s", v.load, v.trial, v.at_s).into(),
            case,
        ]
    };
    let headers = ["what", "rule", "client", "as", "request", "expected", "seen", "when", "as a case"];
    let table = Table::new(&headers, &[], record.violations.iter().enumerate().map(row).collect());
    Some(format!(
        "## Wrong replies\n\n{total}{shown}. Each has a file with the shortest sequence of requests that shows it again, \
         as a scripted case.\n\n{}",
        table.markdown()
    ))
}

fn skipped(record: &RunRecord) -> Option<String> {
    if record.skipped.is_empty() {
        return None;
    }
    let item = |s: &crate::record::Skipped| format!("- **{}**: {}\n", escape(&s.what), escape(&s.reason));
    Some(format!("## Left out\n\n{}", record.skipped.iter().map(item).collect::<String>()))
}

fn headline(record: &RunRecord, compared: &[Vec<Comparison<'_>>]) -> Option<String> {
    let load = record.headline()?;
    let all = compared.iter().find(|all| all.first().is_some_and(|first| first.load.name == load.name))?;
    let transports: Vec<&str> = all.first()?.transports.iter().map(|transport| transport.label()).collect();
    let kind = load.headline_kind();
    let latency = match load.timing {
        Timing::Judged => format!("Latency is the {} time, {}.", kind.name(), outcome::meaning(kind)),
        Timing::Unjudged => "It is there for correctness alone: its latencies are not results.".to_owned(),
    };
    let mut text = format!(
        "## {}\n\nLoad **{}**: {}. {latency}\n",
        escape(&text::list(&transports)),
        escape(&load.name),
        escape(&outcome::settings(load)),
    );
    for comparison in all {
        text.push('\n');
        if !comparison.variant.is_empty() {
            text += &format!("### {}\n\n", escape(comparison.variant));
        }
        text += &sentence(comparison);
        text += &loads::comparison(comparison);
    }
    Some(text)
}

/// "Against TCP, the median over WebSocket: 1.14× (1.10–1.17) for guests and no difference shown for managers."
fn sentence(comparison: &Comparison<'_>) -> String {
    let Some((base, others)) = comparison.transports.split_first() else { return String::new() };
    let mut text = String::new();
    for (i, other) in others.iter().enumerate() {
        let roles: Vec<String> = comparison
            .rows
            .iter()
            .filter(|row| row.op.is_none() && row.role.is_some())
            .filter_map(|row| {
                let [p50, _] = row.ratios.get(i + 1)?;
                let role = row.role?;
                Some(format!("**{}** for {role}s", figure::ratio(Some((*p50)?))))
            })
            .collect();
        if !roles.is_empty() {
            text += &format!(
                "Against {}, the median over {}: {}.\n\n",
                base.label(),
                other.label(),
                text::list(&roles),
            );
        }
    }
    text
}

fn charts(plots: &[Plot]) -> Option<String> {
    if plots.is_empty() {
        return None;
    }
    let figure = |plot: &Plot| {
        let caption = escape(&plot.caption);
        format!("![{caption}](plots/{}.svg)\n\n*{caption}*\n\n", text::file_name(&plot.name))
    };
    Some(format!("## Charts\n\n{}", plots.iter().map(figure).collect::<String>().trim_end()) + "\n")
}

fn thresholds(record: &RunRecord) -> Option<String> {
    if record.thresholds.is_empty() {
        return None;
    }
    let row = |threshold: &ThresholdResult| -> Vec<TableCell> {
        let met = match threshold.met {
            Some(true) => "met".into(),
            Some(false) => TableCell::Strong("missed".to_owned()),
            None => "not judged".into(),
        };
        vec![threshold.text.as_str().into(), threshold.measured_text.as_str().into(), met]
    };
    let rows = record.thresholds.iter().map(row).collect();
    Some(format!(
        "## Thresholds\n\n{}",
        Table::new(&["threshold", "measured", "judgement"], &[], rows).markdown()
    ))
}
