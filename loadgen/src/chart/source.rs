//! What charts ask of a record: one load and variant at a time, as latencies by transport, role and operation,
//! with the words that every chart says about them.

use std::collections::BTreeSet;

use super::{spec::LegendEntry, style};
use crate::domain::{LatencyKind, Op, Role, SAMPLES_BEYOND_MIN, Transport};
use crate::record::rows::Selection;
use crate::record::{Cell, Latencies, LoadInfo, Pass, RunRecord, TransportFloor, VerdictLevel};
use crate::text;

/// Swept loads with more variants than these get their own charts for the first one only; the sweep's chart
/// shows them all.
const VARIANTS_SHOWN: usize = 4;

/// Reasons of a verdict that a footnote names; the report has them all.
const REASONS_SHOWN: usize = 2;

/// One load in one variant.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) record: &'a RunRecord,
    pub(super) load: &'a LoadInfo,
    pub(super) variant: &'a str,
}

/// The loads and variants that get charts of their own, in the record's order.
pub(super) fn views(record: &RunRecord) -> Vec<View<'_>> {
    let mut views = Vec::new();
    for load in &record.loads {
        let shown = if load.variants.len() > VARIANTS_SHOWN { 1 } else { load.variants.len() };
        views.extend(load.variants[..shown].iter().map(|variant| View {
            record,
            load,
            variant: &variant.label,
        }));
    }
    views
}

impl<'a> View<'a> {
    /// The cells of this load and variant.
    pub(super) fn selection(self) -> Selection<'a> {
        Selection::of(&self.load.name, self.variant)
    }

    /// The passes of this load and variant.
    pub(super) fn passes(self) -> impl Iterator<Item = &'a Pass> {
        self.selection().passes(&self.record.passes)
    }

    /// Transports with a pass, in the scenario's order.
    pub(super) fn transports(self) -> Vec<Transport> {
        let ran = |transport: &Transport| self.passes().any(|pass| pass.transports.contains(transport));
        self.record.scenario.transports.iter().copied().filter(ran).collect()
    }

    /// Roles with a cell, guests first.
    pub(super) fn roles(self) -> Vec<Role> {
        self.seen(|cell| cell.role)
    }

    /// Operations with a cell, in the usual order.
    pub(super) fn ops(self) -> Vec<Op> {
        self.seen(|cell| cell.op)
    }

    fn seen<T: Ord>(self, of: impl Fn(&Cell) -> T) -> Vec<T> {
        let cells = self.passes().flat_map(|pass| &pass.cells);
        cells.map(of).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Trials with a pass.
    pub(super) fn trials(self) -> Vec<u32> {
        self.passes().map(|pass| pass.trial).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The load's headline latencies of these cells, merged.
    pub(super) fn latencies(self, of: Selection<'_>) -> Latencies {
        of.latencies(&self.record.passes, self.load.headline_kind())
    }

    /// The harness's own floor over this transport, where it is known for this machine and placement.
    pub(super) fn floor(self, transport: Transport) -> Option<&'a TransportFloor> {
        let floor = self.record.floor.as_ref()?;
        floor.layout(&self.record.environment).ok()?.transport(transport)
    }

    /// The headline latency's name, as a title begins.
    pub(super) fn quantity(self) -> &'static str {
        match self.load.headline_kind() {
            LatencyKind::Response => "Response time",
            LatencyKind::Service => "Service time",
            LatencyKind::Lag => "Send lag",
        }
    }

    /// A file's stem for a chart of this load and variant.
    pub(super) fn stem(self, chart: &str) -> String {
        stem(chart, &self.load.name, self.variant)
    }

    /// Load, clients, time and target, in one line.
    pub(super) fn subtitle(self) -> String {
        self.settings(Some(self.variant).filter(|variant| !variant.is_empty()))
    }

    /// The same for a chart of all variants.
    pub(super) fn subtitle_of_sweep(self) -> String {
        self.settings(None)
    }

    fn settings(self, variant: Option<&str>) -> String {
        let load = self.load;
        let clients = self.passes().map(|pass| pass.clients).max().unwrap_or(load.clients);
        let mut parts = vec![format!("Load “{}”: {}, {}", load.name, load.model.name(), load.model.pace())];
        parts.extend(variant.map(str::to_owned));
        parts.push(text::plural(clients.into(), "client"));
        let trials = self.trials().len();
        let time = super::axis::number(load.duration_s);
        parts.push(if trials == 1 {
            format!("{time} s on each transport")
        } else {
            format!("{time} s × {trials} trials on each transport")
        });
        parts.push(self.record.environment.target.clone());
        parts.join(" · ")
    }

    /// What forbids to take a chart of this load at face value.
    pub(super) fn warnings(self) -> Vec<String> {
        let mut notes = Vec::new();
        let verdict = &self.load.verdict;
        let reasons: Vec<&str> = if self.load.variants.len() < 2 || verdict.variants.is_empty() {
            // An older record does not say which variant each is about.
            verdict.reasons.iter().map(String::as_str).collect()
        } else {
            verdict.reasons_about(self.variant).collect()
        };
        let judged = match verdict.level {
            VerdictLevel::Valid | VerdictLevel::Unjudged => None,
            VerdictLevel::Suspect => Some("Suspect measurement"),
            VerdictLevel::Invalid => Some("Not a valid measurement"),
        };
        if let (Some(judged), false) = (judged, reasons.is_empty()) {
            let mut why = reasons[..reasons.len().min(REASONS_SHOWN)].join("; ");
            if let Some(more @ 1..) = reasons.len().checked_sub(REASONS_SHOWN) {
                why = format!("{why}; and {}", text::plural(more as u64, "more reason"));
            }
            notes.push(format!("{judged}: {why}."));
        }
        notes.extend(self.about_replies());
        notes
    }

    fn about_replies(self) -> Vec<String> {
        let mut notes = Vec::new();
        let wrong: u64 = self.passes().flat_map(|pass| &pass.cells).map(|cell| cell.counts.violations).sum();
        if wrong > 0 {
            notes.push(format!("{wrong} replies of this load were wrong: do not trust its speed."));
        }
        if self.passes().any(|pass| !pass.complete) {
            notes.push("The run was cut short; the figures are those up to then.".to_owned());
        }
        let unfinished: u64 =
            self.passes().flat_map(|pass| &pass.cells).map(|cell| cell.counts.unfinished).sum();
        if unfinished > 0 && self.load.headline_kind() == LatencyKind::Response {
            notes.push(format!(
                "{unfinished} requests were unanswered at the end; each counts with the time that it had waited."
            ));
        }
        notes
    }

    /// The legend of these transports as lines.
    pub(super) fn legend(transports: &[Transport]) -> Vec<LegendEntry> {
        transports.iter().copied().map(style::line_entry).collect()
    }
}

/// The largest share with enough samples beyond it; `None` if not even the median has.
pub(super) fn last_share(latencies: &Latencies) -> Option<f64> {
    let last = 1.0 - SAMPLES_BEYOND_MIN / latencies.len() as f64;
    (last >= 0.5 - 1e-9).then_some(last)
}

/// The latencies in ns at these ascending shares (0 to 1), in one walk over the histogram.
pub(super) fn quantiles(latencies: &Latencies, shares: &[f64]) -> Vec<f64> {
    let Some(histogram) = latencies.histogram() else { return Vec::new() };
    let total = histogram.len() as f64;
    let mut values = Vec::with_capacity(shares.len());
    let mut seen = 0u64;
    for step in histogram.iter_recorded() {
        seen += step.count_since_last_iteration();
        let value = histogram.highest_equivalent(step.value_iterated_to()) as f64;
        while values.len() < shares.len() && shares[values.len()] * total <= seen as f64 + 1e-6 {
            values.push(value);
        }
    }
    values
}

/// The stem of a file's name; `variant` is empty if nothing is swept.
pub(super) fn stem(chart: &str, load: &str, variant: &str) -> String {
    let mut stem = format!("{chart}-{}", slug(load));
    if !variant.is_empty() {
        stem = format!("{stem}-{}", slug(variant));
    }
    stem
}

/// What of a name may stand in a file's name.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().take(60) {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '.') {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    let slug = slug.trim_matches(['-', '.']);
    if slug.is_empty() { "unnamed".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stem_is_a_plain_file_name() {
        assert_eq!(slug("manager-share=10"), "manager-share-10");
        assert_eq!(slug("../../etc/<x>"), "etc-x");
        assert_eq!(slug("\u{1b}[31m"), "31m");
        assert_eq!(slug("…"), "unnamed");
    }

    #[test]
    fn quantiles_in_one_walk_are_those_of_the_histogram() {
        let mut latencies = Latencies::default();
        (0..5000u64).for_each(|i| latencies.record(1000 + i * i));
        let shares = [0.0, 0.1, 0.5, 0.9, 0.998];
        let expected: Vec<_> =
            shares.iter().map(|q| latencies.quantile_for_curve(*q).unwrap() as f64).collect();
        assert_eq!(quantiles(&latencies, &shares), expected);
    }

    #[test]
    fn a_share_is_drawn_only_with_ten_samples_beyond_it() {
        let of = |count: u64| {
            let mut latencies = Latencies::default();
            (0..count).for_each(|i| latencies.record(1000 + i));
            last_share(&latencies)
        };
        assert_eq!(of(0), None);
        assert_eq!(of(19), None);
        assert_eq!(of(20), Some(0.5));
        assert_eq!(of(1000), Some(0.99));
    }
}
