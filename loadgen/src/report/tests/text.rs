//! What people read: the table and `report.md`.

use std::path::Path;

use super::super::markdown;
use super::super::table::{self, Style};
use super::{hostile, mixed, plot, swept};
use crate::record::Skipped;
use crate::record::fixture;

#[test]
fn the_table_of_a_good_run_is_read_at_a_glance() {
    let text = table::render(&fixture::record(), Path::new("reports/runs/compare-1"), Style::default());
    insta::assert_snapshot!(text, @"
    compare: passed; 40,000 replies checked, none wrong

    paced: open load, 1,000 requests/s, Poisson arrivals, 100 clients, 2 × 2 s
    latency is the response time, from the intended instant to the reply
                                       p50, µs                   p99, µs         requests/s
    role     operation   TCP  WebSocket  ratio     TCP  WebSocket  ratio     TCP  WebSocket
    guest    put        97.5      110.1  1.13×       –          –      –     225        225
             get        97.2      110.0  1.13×   196.9      209.2  1.06×     630        630
             get-other  96.4      108.0  1.12×       –          –      –      45         45
             all        97.3      110.0  1.13×   196.9      212.1  1.08×     900        900
    manager  put        89.9      106.4  1.18×       –          –      –      10         10
             get-other  95.7      110.1  1.15×       –          –      –      90         90
             all        95.0      109.3  1.15×       –          –      –     100        100
    all      all        96.9      109.9  1.13×   196.7      213.6  1.09×   1,000      1,000
    – too few samples

                throughput, requests/s   CPU of both sides, µs/request
    load         TCP  WebSocket  ratio           TCP  WebSocket  ratio
    paced      1,000      1,000  1.00×          40.8       45.9  1.12×
    saturated  4,000      4,000  1.00×          13.6       15.3  1.12×

    verdict   paced: valid
    verdict   saturated: valid
              - the generator's CPU was full, so the throughput is not the server's limit
    threshold response.p99 ≤ 20 ms where load=paced: met (0.412 ms)
    report    reports/runs/compare-1/report.md
    ");
}

#[test]
fn the_table_says_first_what_was_skipped_and_what_was_wrong() {
    let mut record = hostile();
    record.skipped = vec![Skipped { what: "tls".into(), reason: "the target has none".into() }];
    let text = table::render(&record, Path::new("out"), Style::default());
    let head: Vec<&str> = text.lines().take(7).collect();
    insta::assert_snapshot!(head.join("\n"), @r"
    compare: FAILED: wrong replies; 40,000 replies checked, 12 wrong; skipped: tls (the target has none)

    wrong reply: foreign value · ROLE-2 · WebSocket · guest g17 · paced, trial 1, 1.250 s
      request  get g18 k3
      expected you are not allowed to access keys of other users
      seen     \u{1b}[2Jowned|`x`</code><script>alert(1)</script>\r\nnext
    ");
}

#[test]
fn no_output_lets_a_targets_control_bytes_through() {
    let record = hostile();
    let plain = table::render(&record, Path::new("out"), Style::default());
    let markdown = markdown::report(&record, &[]);
    for text in [&plain, &markdown] {
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    }
    assert!(!markdown.contains("<script>"));
    let row = markdown.lines().find(|line| line.contains("owned")).unwrap();
    insta::assert_snapshot!(row, @"| foreign value | ROLE-2 | <code>g17</code> (guest, WebSocket) | <code>get g18 k3</code> | <code>you are not allowed to access keys of other users</code> | <code>&#92;u{1b}&#91;2Jowned&#124;&#96;x&#96;&lt;/code&gt;&lt;script&gt;alert(1)&lt;/script&gt;&#92;r&#92;nnext</code> | paced, trial 1, 1.250 s | [01-foreign-value](violations/01-foreign-value.toml) |");
}

#[test]
fn only_a_coloured_table_has_escape_codes() {
    let coloured = table::render(&fixture::record(), Path::new("out"), Style { color: true });
    let plain = table::render(&fixture::record(), Path::new("out"), Style::default());
    assert!(coloured.contains('\u{1b}'));
    assert!(!plain.contains('\u{1b}'));
}

#[test]
fn the_table_fits_a_terminal_however_many_transports_there_are() {
    let two = fixture::record();
    let mut three = fixture::record();
    three.scenario.transports = vec!["tcp".into(), "websocket".into(), "tcp-raw".into()];
    let raw: Vec<_> = three.passes.iter().filter(|pass| pass.transports == ["tcp"]).cloned().collect();
    for mut pass in raw {
        pass.transports = vec!["tcp-raw".into()];
        pass.cells.iter_mut().for_each(|cell| cell.transport = "tcp-raw".into());
        three.passes.push(pass);
    }
    let mut one = fixture::record();
    one.passes.retain(|pass| pass.transports == ["tcp"]);
    for (record, ratios) in [(&one, 0), (&two, 2), (&three, 4)] {
        let text = table::render(record, Path::new("out"), Style::default());
        let longest = text.lines().skip(1).map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= table::WIDTH, "{longest} columns:\n{text}");
        let header: String = text.split("verdict").next().unwrap().split("\nload ").next().unwrap().into();
        assert_eq!(header.matches(" ratio").count(), ratios, "{text}");
    }
}

#[test]
fn a_sweep_shows_each_variant() {
    let text = table::render(&swept(), Path::new("out"), Style::default());
    assert!(text.contains("\n[manager-share=50]\n"), "{text}");
    let markdown = markdown::report(&swept(), &[]);
    assert!(markdown.contains("### Latency: manager-share=100"), "{markdown}");
}

#[test]
fn markdown_puts_the_verdict_first_and_wrong_replies_before_figures() {
    let markdown = markdown::report(&hostile(), &[]);
    let place = |text: &str| markdown.find(text).unwrap_or_else(|| panic!("{text} is missing"));
    assert!(markdown.starts_with("# compare: FAILED: wrong replies\n"));
    assert!(place("## Wrong replies") < place("## TCP and WebSocket"));
    assert!(place("## TCP and WebSocket") < place("## Load saturated"));
}

#[test]
fn markdown_compares_the_transports() {
    let markdown = markdown::report(&fixture::record(), &[]);
    let section = markdown.split("\n## ").nth(1).unwrap();
    insta::assert_snapshot!(section, @"
    TCP and WebSocket

    Load **paced**: open load, 1,000 requests/s, Poisson arrivals, 100 clients, 2 × 2 s. Latency is the response time, from the intended instant to the reply.

    Against TCP, the median over WebSocket is **1.13×** for guests and **1.15×** for managers.

    | role        | operation | requests, TCP | requests, WebSocket | p50 TCP, µs | p50 WebSocket, µs | ratio | p99 TCP, µs | p99 WebSocket, µs | ratio |
    | ----------- | --------- | ------------: | ------------------: | ----------: | ----------------: | ----: | ----------: | ----------------: | ----: |
    | guest       | put       |           900 |                 900 |        97.5 |             110.1 | 1.13× |           – |                 – |     – |
    | guest       | get       |         2,520 |               2,520 |        97.2 |             110.0 | 1.13× |       196.9 |             209.2 | 1.06× |
    | guest       | get-other |           180 |                 180 |        96.4 |             108.0 | 1.12× |           – |                 – |     – |
    | **guest**   | **all**   |         3,600 |               3,600 |        97.3 |             110.0 | 1.13× |       196.9 |             212.1 | 1.08× |
    | manager     | put       |            40 |                  40 |        89.9 |             106.4 | 1.18× |           – |                 – |     – |
    | manager     | get-other |           360 |                 360 |        95.7 |             110.1 | 1.15× |           – |                 – |     – |
    | **manager** | **all**   |           400 |                 400 |        95.0 |             109.3 | 1.15× |           – |                 – |     – |
    | **all**     | **all**   |         4,000 |               4,000 |        96.9 |             109.9 | 1.13× |       196.7 |             213.6 | 1.09× |

    – Too few samples: a quantile is given only where at least ten lie beyond it.
    ");
}

#[test]
fn markdown_embeds_the_plots() {
    let markdown = markdown::report(&fixture::record(), &[plot("latency")]);
    assert!(markdown.contains("![latency by percentile](plots/latency.svg)"));
}

#[test]
fn figures_that_unfinished_requests_reach_are_shown_as_lower_bounds() {
    let mut record = fixture::record();
    for pass in &mut record.passes {
        if pass.load == "paced" && pass.transports == ["websocket"] {
            let cell = pass.cells.iter_mut().find(|cell| cell.role == "guest" && cell.op == "get").unwrap();
            (0..100).for_each(|_| cell.response.record_unfinished(1_500_000));
            cell.counts.requests += 100;
            cell.counts.unfinished += 100;
        }
    }
    let text = table::render(&record, Path::new("out"), Style::default());
    let row = text.lines().find(|line| line.contains("  get  ")).unwrap();
    assert!(row.contains("≥1,500  ≥7.6"), "{row}");
    assert!(text.contains("≥ at least: some requests were unfinished"), "{text}");
    assert!(markdown::report(&record, &[]).contains("≥ A lower bound"));
    let csv = String::from_utf8(super::super::summary::csv(&record).unwrap()).unwrap();
    assert!(!csv.contains('≥'));
    let json = serde_json::to_value(super::super::json::run(&record, "out")).unwrap();
    let row = json["rows"].as_array().unwrap().iter().find(|row| row["unfinished"] == 100).unwrap();
    assert_eq!(row["response"]["at_least"], serde_json::json!(["p99", "max"]));
}

#[test]
fn a_mixed_load_shows_the_wires_transports_and_no_cost_of_either() {
    let text = table::render(&mixed(), Path::new("out"), Style::default());
    assert!(text.contains("[mixed]"), "{text}");
    assert!(text.contains("TCP  WebSocket"), "{text}");
    assert!(!text.contains("CPU of both sides"), "{text}");
}
