//! A load whose groups are pinned: both transports in one pass.

use std::path::Path;

use super::super::csv;
use super::super::markdown;
use super::super::terminal;
use super::lines;
use crate::domain::Transport;
use crate::record::{RunRecord, VariantInfo, fixture};
use crate::text::Paint;

/// One load whose groups are pinned: both transports in one pass.
fn mixed() -> RunRecord {
    let mut record = fixture::record();
    record.loads.truncate(1);
    record.loads[0].variants = vec![VariantInfo { label: "mixed".into(), settings: Vec::new() }];
    let other = record.passes.swap_remove(1);
    record.passes.truncate(1);
    let pass = &mut record.passes[0];
    pass.variant = "mixed".into();
    pass.transports = vec![Transport::Tcp, Transport::WebSocket];
    pass.cells.extend(other.cells);
    pass.intervals.extend(other.intervals);
    pass.setup.extend(other.setup);
    pass.ledger.add(&other.ledger);
    pass.dispatch_lag.merge(&other.dispatch_lag);
    record
}

#[test]
fn a_mixed_load_shows_the_wires_transports_and_compares_neither_how_many_requests_they_got_nor_their_cost() {
    let text = terminal::render(&mixed(), Path::new("out"), Paint::default());
    let totals = text.split("\n\n").find(|block| block.contains("throughput")).unwrap();
    insta::assert_snapshot!(totals, @"
                   throughput, requests/s
    load                   TCP  WebSocket
    paced [mixed]        1,000      1,000
    ");
    let markdown = markdown::report(&mixed(), &[]);
    let rows =
        markdown.lines().filter(|line| line.starts_with("| throughput") || line.starts_with("| requests  "));
    insta::assert_snapshot!(rows.collect::<Vec<_>>().join("\n"), @"
    | throughput | requests/s | 1,000 |     1,000 |     – |
    | requests   |            | 2,000 |     2,000 |     – |
    ");
    assert!(markdown.contains("- In a **mixed** load"), "{markdown}");
    assert!(!markdown::report(&fixture::record(), &[]).contains("**mixed**"));
}

#[test]
fn a_mixed_load_is_judged_and_written_like_any_other() {
    let record = mixed();
    let verdict = crate::stats::verdict::verdict(&record, &record.loads[0]);
    assert_eq!(verdict, crate::record::Verdict::default());
    let lines = lines(csv::summary(&record).unwrap());
    let all =
        lines.iter().find(|line| line.starts_with("paced,mixed,all,websocket,all,all,all,2000,")).unwrap();
    // Both transports had the whole time of the pass.
    assert!(all.contains(",1000.000,"), "{all}");
}
