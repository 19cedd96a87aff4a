//! One load's section: whether to believe it, throughput and cost, every latency.

use super::super::comparison::Comparison;
use super::super::outcome;
use super::super::table::Sign;
use super::super::tables::{self, ComparedFigure};
use super::escape;
use crate::domain::Timing;
use crate::record::{LoadInfo, VerdictLevel};
use crate::text;

/// The section of one load, with a part for each variant.
pub(super) fn section(load: &LoadInfo, comparisons: &[Comparison<'_>]) -> String {
    let mut text = format!(
        "## Load {}\n\n{}.\n\n",
        escape(&load.name),
        escape(&text::capital(&outcome::settings(load)))
    );
    text += &verdict(load);
    if comparisons.is_empty() {
        text += "\nNothing was measured.\n";
    }
    for comparison in comparisons {
        let variant = escape(comparison.variant);
        let suffix = if variant.is_empty() { String::new() } else { format!(": {variant}") };
        text += &format!(
            "\n### Throughput and cost{suffix}\n\n{}",
            tables::costs(comparison).markdown_with(&[Sign::Floor])
        );
        if load.timing == Timing::Judged {
            text += &format!("\n### Latency{suffix}\n\n{}", latencies(comparison));
        }
    }
    text
}

fn verdict(load: &LoadInfo) -> String {
    let verdict = &load.verdict;
    let mut text = match verdict.level {
        VerdictLevel::Unjudged => {
            "**Timing not judged**: this load is there for correctness alone.".to_owned()
        }
        VerdictLevel::Valid => "**Valid**: there is no reason to doubt these figures.".to_owned(),
        VerdictLevel::Suspect => "**Suspect**: read the figures with this in mind.".to_owned(),
        VerdictLevel::Invalid => {
            "**Invalid**: the measurement is not what the load asked for; do not use these figures."
                .to_owned()
        }
    };
    if let Some(limit) = outcome::limit(load) {
        text += &format!(" {}.", text::capital(&escape(limit)));
    }
    text.push('\n');
    if !verdict.reasons.is_empty() {
        text.push('\n');
    }
    verdict.reasons.iter().for_each(|reason| text += &format!("- {}\n", escape(reason)));
    text
}

/// The signs that a table of latencies explains.
const SIGNS: [Sign; 4] = [Sign::NotValid, Sign::TooFew, Sign::LowerBound, Sign::Floor];

/// The headline table: each role and operation, transports side by side.
pub(super) fn comparison(comparison: &Comparison<'_>) -> String {
    tables::comparison(comparison, &[ComparedFigure::Requests, ComparedFigure::Latencies])
        .markdown_with(&SIGNS)
}

fn latencies(comparison: &Comparison<'_>) -> String {
    format!(
        "{} time of each role and operation:\n\n{}\nEvery kind of latency, all requests:\n\n{}",
        text::capital(comparison.load.headline_kind().name()),
        tables::latencies(comparison).markdown_with(&SIGNS[1..]),
        tables::latency_kinds(comparison).markdown_with(&SIGNS[1..]),
    )
}
