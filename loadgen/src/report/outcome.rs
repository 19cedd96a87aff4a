//! How a run ended and whether its loads can be trusted, in sentences for people.
//!
//! Plain text that is safe to print; Markdown escapes it once more.

use crate::domain::{LatencyKind, Side};
use crate::record::{Ledger, LoadInfo, RunRecord, Status, VerdictLevel};
use crate::text::{self, plural, seconds, thousands};

/// The outcome in a few words, to follow the scenario's name.
pub(super) fn label(record: &RunRecord) -> &'static str {
    match record.outcome.status {
        Status::TargetLost if record.passes.is_empty() => "NO TARGET",
        Status::Passed => "passed",
        Status::Violated => "FAILED: wrong replies",
        Status::TargetLost => "TARGET LOST",
        Status::CorrectnessMissed => "FAILED: errors, unfinished requests or lost clients",
        Status::Invalid if ledger(record).checked == 0 => "NOTHING WAS MEASURED",
        Status::Invalid => "NOT VALID: the figures cannot be trusted",
        Status::ThresholdMissed => "FAILED: a threshold was missed",
        Status::Interrupted => "interrupted",
        Status::NothingRan => "NOTHING RAN",
    }
}

/// How many replies were checked and how many were wrong.
pub(super) fn proof(record: &RunRecord) -> String {
    let ledger = ledger(record);
    let wrong = match record.violations_total {
        0 => "none wrong".to_owned(),
        wrong => format!("{} wrong", thousands(wrong)),
    };
    let mut text = format!("{} checked, {wrong}", plural(ledger.checked, "reply"));
    if ledger.errors > 0 {
        text += &format!(", {} failed", plural(ledger.errors, "request"));
    }
    if ledger.unfinished > 0 {
        text += &format!(", {} unfinished", thousands(ledger.unfinished));
    }
    text
}

/// What was left out, as "tls (the target has none)"; empty if nothing was.
pub(super) fn skipped(record: &RunRecord) -> String {
    let skipped = record
        .skipped
        .iter()
        .map(|s| format!("{} ({})", text::printable(&s.what), text::printable(&s.reason)));
    skipped.collect::<Vec<_>>().join(", ")
}

/// The sums over every pass.
pub(super) fn ledger(record: &RunRecord) -> Ledger {
    let mut sum = Ledger::default();
    record.passes.iter().for_each(|pass| sum.add(&pass.ledger));
    sum
}

/// A load's settings in a line, without its name.
pub(super) fn settings(load: &LoadInfo) -> String {
    let in_flight =
        if load.in_flight > 1 { format!(", {} in flight each", load.in_flight) } else { String::new() };
    format!(
        "{} load, {}, {}{in_flight}, {} × {}",
        load.model.name(),
        load.model.pace(),
        plural(u64::from(load.clients), "client"),
        load.trials,
        seconds(load.duration_s),
    )
}

/// The verdict's word.
pub(super) fn level(level: VerdictLevel) -> &'static str {
    match level {
        VerdictLevel::Unjudged => "timing not judged",
        VerdictLevel::Valid => "valid",
        VerdictLevel::Suspect => "suspect",
        VerdictLevel::Invalid => "INVALID",
    }
}

/// What limited a load, if anything did.
pub(super) fn limit(load: &LoadInfo) -> Option<&'static str> {
    load.verdict.saturated.map(|side| match side {
        Side::Generator => "the generator's CPU was full, so the throughput is not the server's limit",
        Side::Server if load.model.is_open() => {
            "the server fell behind the offered rate, so the throughput is its limit"
        }
        Side::Server => "the server's CPU was full, so the throughput is its limit",
    })
}

/// What a kind of latency measures.
pub(super) fn meaning(kind: LatencyKind) -> &'static str {
    match kind {
        LatencyKind::Lag => "from the intended instant to the send",
        LatencyKind::Service => "from the send to the reply",
        LatencyKind::Response => "from the intended instant to the reply",
    }
}
