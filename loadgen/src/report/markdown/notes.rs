//! The background of the figures: the ledger, setting up, the environment, definitions, how to run it again.

use super::super::comparison::LatencySummary;
use super::super::table::{Sign, Table, TableCell};
use super::super::{outcome, tables};
use crate::domain::{ALL, Transport};
use crate::record::pairs::PAIRS_MIN;
use crate::record::{Latencies, Ledger, Pass, RunRecord, Setup};
use crate::text;

/// Picks one sum of the ledger.
type Sum = fn(&Ledger) -> u64;

/// Sums that must balance, one column a load.
pub(super) fn ledger(record: &RunRecord) -> String {
    let mut headers: Vec<&str> = Vec::new();
    let mut sums: Vec<Ledger> = Vec::new();
    for load in &record.loads {
        headers.push(&load.name);
        let mut sum = Ledger::default();
        record.passes.iter().filter(|pass| pass.load == load.name).for_each(|pass| sum.add(&pass.ledger));
        sums.push(sum);
    }
    headers.push(ALL);
    let total = outcome::ledger(record);
    sums.push(total);
    let lines: [(&str, Sum); 9] = [
        ("requests sent", |l| l.requests),
        ("replies matched to a request", |l| l.replies),
        ("replies checked", |l| l.checked),
        ("requests that failed", |l| l.errors),
        ("requests open at the end", |l| l.unfinished),
        ("unsolicited replies", |l| l.unasked),
        ("reads that returned a value", |l| l.values_read),
        ("of which another user's value", |l| l.foreign_values_read),
        ("denials, as required", |l| l.denials),
    ];
    let row = |(name, of): &(&str, Sum)| -> Vec<TableCell> {
        let cells = sums.iter().map(|sum| text::thousands(of(sum)).into());
        std::iter::once((*name).into()).chain(cells).collect()
    };
    let table = Table::new(&["ledger"], &headers, lines.iter().map(row).collect());
    let balances = total.requests == total.replies + total.errors + total.unfinished;
    let verdict = if balances {
        "It balances: every request was answered, failed, or was open at the end."
    } else {
        "**It does not balance**: requests are not the sum of replies, failures and open ones."
    };
    format!("## What was proven\n\n{}\n{verdict} Warm-up is included.\n", table.markdown())
}

/// Connecting, logging in, upgrading and preloading, by transport.
pub(super) fn setup(record: &RunRecord) -> Option<String> {
    type Part = fn(&Setup) -> &Latencies;
    let parts: [(&str, Part); 4] = [
        ("connect, with the handshake", |setup| &setup.connect),
        ("login", |setup| &setup.login),
        ("upgrade", |setup| &setup.upgrade),
        ("preload of one client's keys", |setup| &setup.preload),
    ];
    let mut found = Vec::new();
    for (name, part) in parts {
        for transport in record.transports_run() {
            let mut sum = Latencies::default();
            let setups = record.passes.iter().flat_map(|pass| &pass.setup);
            setups.filter(|setup| setup.transport == transport).for_each(|setup| sum.merge(part(setup)));
            if !sum.is_empty() {
                found.push((name, transport.label().to_owned(), LatencySummary::of(&sum)));
            }
        }
    }
    let table = tables::steps(&found)?.markdown_with(&[Sign::TooFew, Sign::LowerBound]);
    Some(format!("## Setting clients up\n\n{table}"))
}

pub(super) fn environment(record: &RunRecord) -> String {
    let environment = &record.environment;
    let cpus = |cpus: &[usize]| match cpus {
        [] => "not confined".to_owned(),
        cpus => format!("CPU {}", cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    };
    let known = environment.started_target() || !environment.server_cpus.is_empty();
    let server = if known { cpus(&environment.server_cpus) } else { "not known".to_owned() };
    let gib = environment.memory_kib as f64 / (1024.0 * 1024.0);
    let lines = [
        ("target", environment.target.clone()),
        ("server runs on", server),
        ("generator runs on", cpus(&environment.generator_cpus)),
        ("processor", format!("{}, {}", environment.cpu, text::plural(environment.cpus as u64, "CPU"))),
        ("memory", format!("{} GiB", text::decimal(gib, 1))),
        ("system", environment.os.clone()),
        ("pacing", environment.pacing.clone()),
        ("started", record.started.clone()),
        ("took", text::seconds(record.elapsed_s)),
        ("twinwire", record.twinwire.clone()),
    ];
    let rows = lines.map(|(name, value)| vec![name.into(), value.into()]).to_vec();
    format!("## Environment\n\n{}", Table::new(&["what", "value"], &[], rows).markdown())
}

pub(super) fn how_to_read(record: &RunRecord) -> String {
    let mut text = "\
## How to read this

- A request has three latencies. **Lag** runs from the instant for which it was planned to its sending, **service** \
from its sending to its reply, **response** from the planned instant to the reply: what a user would have waited.
- An **open** load sends at its own instants, whatever the server does; its headline is the response. In a **closed** \
load each client waits for its reply before it goes on, so a slow server gets less load; its headline is the service.
- A quantile is given only if at least ten samples lie beyond it. \"≥\" marks a lower bound: requests still open \
at the end count with the time that they had waited until then.
- Trials are merged by adding their histograms; no percentile is averaged.
- Errors are time-outs, resets and refused connections. A refusal that the protocol allows is a reply like any other.
- CPU belongs to neither side alone if both run on one machine: a system call of the sender does part of the \
receiver's work. Compare the sum of both sides; take the split as approximate.
"
    .to_owned();
    if record.transports_run().len() > 1 {
        let first = record.transports_run()[0].label();
        text += &format!(
            "- A ratio is that transport's figure divided by the one of {first}: the median over pairs of windows or trials, \
             with its 95 % interval in brackets (by the sign test). Fewer than {PAIRS_MIN} pairs (n) may differ by chance; \
             a single pair gives no ratio. If the interval contains 1, no difference is shown.\n"
        );
    }
    if record.passes.iter().any(Pass::is_mixed) {
        text += "- In a **mixed** load clients of all transports run at once. The scenario decides how many \
                 requests each transport gets, and their costs cannot be separated: neither is compared.\n";
    }
    if is_encrypted(record) {
        text += "- Over TLS every connection pays for a whole handshake, since no session is resumed; it is part of the \
                 time to connect. Bytes and segments are those of the encrypted connection.\n";
    }
    text
}

fn is_encrypted(record: &RunRecord) -> bool {
    record.transports_run().into_iter().any(Transport::is_encrypted)
}

pub(super) fn reproduce(record: &RunRecord) -> String {
    let environment = &record.environment;
    let commands = environment.launched.iter().map(|command| format!(" --launch {}", shell_word(command)));
    let launch = fenced(&commands.collect::<String>());
    let target = if environment.embedded {
        ""
    } else if environment.launched.is_empty() {
        " with the same target"
    } else {
        " with the same programs (their paths are from where the run was started), and with the addresses, if any were given"
    };
    let trust =
        if is_encrypted(record) && !environment.embedded { " (and `--ca`, if it was given)" } else { "" };
    let log = if environment.started_target() { ", and the server's output in `server.log`" } else { "" };
    format!(
        "## Run it again\n\n```sh\ntwinwire run scenario.toml{launch}\n```\n\nin this folder{target}{trust}. The seed is {}: every \
         client makes the same requests in the same order.\n\nThe figures are in `summary.csv` and \
         `intervals.csv`, the histograms in `latencies.hlog` and `histograms/` (HdrHistogram's formats), all of it \
         in `run.json`{log}. `twinwire report .` draws this folder again.\n",
        record.scenario.seed
    )
}

/// A word quoted for a shell, whatever it contains.
fn shell_word(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Text that stays inside a fenced block, on one line.
fn fenced(text: &str) -> String {
    text.replace("```", "` ` `").chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
