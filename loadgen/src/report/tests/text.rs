//! What people read: the table and `report.md`.

use std::path::Path;

use super::super::markdown;
use super::super::terminal;
use super::{hostile, plot, swept};
use crate::domain::{Op, Role, Statistic, Transport};
use crate::record::fixture;
use crate::record::{Skipped, VerdictLevel};
use crate::text::Paint;

#[test]
fn the_table_of_a_good_run_is_read_at_a_glance() {
    let text = terminal::render(&fixture::record(), Path::new("reports/runs/compare-1"), Paint::default());
    insta::assert_snapshot!(text, @"
    compare: passed; 40,000 replies checked, none wrong

    paced: open load, 1000 requests/s, Poisson arrivals, 100 clients, 2 × 2 s
    latency is the response time, from the intended instant to the reply
                                                        p50, µs
    role     operation   TCP  WebSocket                   ratio
    guest    put        97.5      110.1  1.13× (1.12–1.15, n=2)
             get        97.2      110.0  1.13× (1.12–1.14, n=2)
             get-other  96.4      108.0  1.12× (1.04–1.20, n=2)
             all        97.3      110.0  1.13× (1.13–1.14, n=2)
    manager  put        89.9      106.4  1.18× (1.17–1.18, n=2)
             get-other  95.7      110.1  1.15× (1.13–1.16, n=2)
             all        95.0      109.3  1.16× (1.14–1.18, n=2)
    all      all        96.9      109.9  1.13× (1.13–1.14, n=2)

                                                         p99, µs         requests/s
    role     operation    TCP  WebSocket                   ratio     TCP  WebSocket
    guest    put            –          –                       –     225        225
             get        196.9      209.2  1.07× (1.07–1.07, n=2)     630        630
             get-other      –          –                       –      45         45
             all        196.9      212.1  1.09× (1.07–1.11, n=2)     900        900
    manager  put            –          –                       –      10         10
             get-other      –          –                       –      90         90
             all            –          –                       –     100        100
    all      all        196.7      213.6  1.09× (1.07–1.12, n=2)   1,000      1,000
    – too few samples: at least ten must lie beyond a quantile
    ratio: median over pairs of windows or trials, 95 % interval; fewer than 6 pairs (n) may be chance

                              throughput, requests/s             CPU of both sides, µs/request
    load         TCP  WebSocket                ratio    TCP  WebSocket                   ratio
    paced      1,000      1,000  no difference shown   40.8       45.9  1.12× (1.12–1.12, n=2)
    saturated  4,000      4,000  no difference shown   13.6       15.3  1.12× (1.12–1.12, n=2)

    verdict   paced: valid
    verdict   saturated: valid
              - the generator's CPU was full, so the throughput is not the server's limit
    threshold response.p99 ≤ 20 ms where load=paced: met (0.412 ms)
    floor     not known; `twinwire calibrate` measures it; `--floor FILE` names one kept elsewhere
    report    reports/runs/compare-1/report.md
    ");
}

#[test]
fn the_table_says_first_what_was_skipped_and_what_was_wrong() {
    let mut record = hostile();
    record.skipped = vec![Skipped { what: "tls".into(), reason: "the target has none".into() }];
    let text = terminal::render(&record, Path::new("out"), Paint::default());
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
    let plain = terminal::render(&record, Path::new("out"), Paint::default());
    let markdown = markdown::report(&record, &[]);
    for text in [&plain, &markdown] {
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    }
    assert!(!markdown.contains("<script>"));
    let row = markdown.lines().find(|line| line.contains("owned")).unwrap();
    insta::assert_snapshot!(row, @"| foreign value | ROLE-2 | <code>g17</code> | guest, WebSocket | <code>get g18 k3</code> | <code>you are not allowed to access keys of other users</code> | <code>&#92;u{1b}&#91;2Jowned&#124;&#96;x&#96;&lt;/code&gt;&lt;script&gt;alert(1)&lt;/script&gt;&#92;r&#92;nnext</code> | paced, trial 1, 1.250 s | [01-foreign-value](violations/01-foreign-value.toml) |");
}

#[test]
fn every_figure_of_a_load_that_is_not_valid_is_marked_as_no_result() {
    let mut record = fixture::record();
    record.loads[0].verdict.level = VerdictLevel::Invalid;
    let table = terminal::render(&record, Path::new("out"), Paint::default());
    let markdown = markdown::report(&record, &[]);
    for text in [&table, &markdown] {
        assert!(text.contains(crate::report::figure::NOT_VALID_LEGEND), "{text}");
    }
    // The headline's rows of figures, and its throughput.
    let rows = |line: &&str| ["guest ", "manager ", "paced  "].iter().any(|start| line.starts_with(start));
    let shown: Vec<&str> = table.lines().filter(rows).collect();
    assert!(shown.len() >= 3, "{table}");
    for line in shown {
        let figures = line.split_whitespace().filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        let (marked, bare): (Vec<&str>, Vec<&str>) = figures.partition(|figure| figure.ends_with('?'));
        assert!(marked.len() >= 2 && bare.is_empty(), "{line}");
    }
    // The other load's are results as before.
    assert!(table.lines().any(|line| line.starts_with("saturated ") && !line.contains('?')), "{table}");
    let compared = markdown.lines().find(|line| line.starts_with("| **all** ")).unwrap();
    assert!(compared.matches('?').count() >= 2, "{compared}");
}

#[test]
fn only_a_coloured_table_has_escape_codes() {
    let coloured = terminal::render(&fixture::record(), Path::new("out"), Paint { colour: true });
    let plain = terminal::render(&fixture::record(), Path::new("out"), Paint::default());
    assert!(coloured.contains('\u{1b}'));
    assert!(!plain.contains('\u{1b}'));
}

#[test]
fn the_table_fits_a_terminal_however_many_transports_there_are() {
    let two = fixture::record();
    let mut three = fixture::record();
    three.scenario.transports = vec![Transport::Tcp, Transport::WebSocket, Transport::TcpRaw];
    let raw: Vec<_> =
        three.passes.iter().filter(|pass| pass.transports == [Transport::Tcp]).cloned().collect();
    for mut pass in raw {
        pass.transports = vec![Transport::TcpRaw];
        pass.cells.iter_mut().for_each(|cell| cell.transport = Transport::TcpRaw);
        three.passes.push(pass);
    }
    let mut one = fixture::record();
    one.passes.retain(|pass| pass.transports == [Transport::Tcp]);
    for (record, ratios) in [(&one, 0), (&two, 2), (&three, 4)] {
        let text = terminal::render(record, Path::new("out"), Paint::default());
        let longest = text.lines().skip(1).map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= crate::report::table::WIDTH, "{longest} columns:\n{text}");
        let header: String = text.split("verdict").next().unwrap().split("\nload ").next().unwrap().into();
        assert_eq!(header.matches(" ratio").count(), ratios, "{text}");
    }
}

#[test]
fn a_sweep_shows_each_variant() {
    let text = terminal::render(&swept(), Path::new("out"), Paint::default());
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

    Load **paced**: open load, 1000 requests/s, Poisson arrivals, 100 clients, 2 × 2 s. Latency is the response time, from the intended instant to the reply.

    Against TCP, the median over WebSocket: **1.13× (1.13–1.14, n=2)** for guests and **1.16× (1.14–1.18, n=2)** for managers.

    | role        | operation | requests, TCP | requests, WebSocket | p50 TCP, µs | p50 WebSocket, µs |                  ratio | p99 TCP, µs | p99 WebSocket, µs |                  ratio |
    | ----------- | --------- | ------------: | ------------------: | ----------: | ----------------: | ---------------------: | ----------: | ----------------: | ---------------------: |
    | guest       | put       |           900 |                 900 |        97.5 |             110.1 | 1.13× (1.12–1.15, n=2) |           – |                 – |                      – |
    | guest       | get       |         2,520 |               2,520 |        97.2 |             110.0 | 1.13× (1.12–1.14, n=2) |       196.9 |             209.2 | 1.07× (1.07–1.07, n=2) |
    | guest       | get-other |           180 |                 180 |        96.4 |             108.0 | 1.12× (1.04–1.20, n=2) |           – |                 – |                      – |
    | **guest**   | **all**   |         3,600 |               3,600 |        97.3 |             110.0 | 1.13× (1.13–1.14, n=2) |       196.9 |             212.1 | 1.09× (1.07–1.11, n=2) |
    | manager     | put       |            40 |                  40 |        89.9 |             106.4 | 1.18× (1.17–1.18, n=2) |           – |                 – |                      – |
    | manager     | get-other |           360 |                 360 |        95.7 |             110.1 | 1.15× (1.13–1.16, n=2) |           – |                 – |                      – |
    | **manager** | **all**   |           400 |                 400 |        95.0 |             109.3 | 1.16× (1.14–1.18, n=2) |           – |                 – |                      – |
    | **all**     | **all**   |         4,000 |               4,000 |        96.9 |             109.9 | 1.13× (1.13–1.14, n=2) |       196.7 |             213.6 | 1.09× (1.07–1.12, n=2) |

    – too few samples: at least ten must lie beyond a quantile.
    ");
}

#[test]
fn setting_up_says_why_a_quantile_is_missing() {
    let markdown = markdown::report(&fixture::record(), &[]);
    let setup = markdown.split("\n## ").find(|section| section.starts_with("Setting clients up")).unwrap();
    assert!(setup.contains(" – |") && setup.contains("– too few samples"), "{setup}");
}

#[test]
fn latencies_that_no_histogram_holds_are_lower_bounds_counted_and_said() {
    let mut record = fixture::record();
    let longest = crate::record::LATENCY_NS_MAX;
    let pass = &mut record.passes[0];
    (0..100).for_each(|_| pass.cells[0].latencies.response.record(longest + 1));
    record.loads[0].verdict = crate::stats::verdict::verdict(&record, &record.loads[0]);
    let markdown = markdown::report(&record, &[]);
    assert!(markdown.contains("100 latencies were longer than a histogram holds (1 h)"), "{markdown}");
    assert!(markdown.contains("≥3,60"), "in seconds: {markdown}");
    let table = terminal::render(&record, Path::new("out"), Paint::default());
    assert!(table.contains("100 latencies were longer than a histogram holds (1 h)"), "{table}");
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
        if pass.load == "paced" && pass.transports == [Transport::WebSocket] {
            let cell =
                pass.cells.iter_mut().find(|cell| cell.role == Role::Guest && cell.op == Op::Get).unwrap();
            (0..100).for_each(|_| cell.latencies.response.record_unfinished(1_500_000));
            cell.counts.requests += 100;
            cell.counts.unfinished += 100;
        }
    }
    let text = terminal::render(&record, Path::new("out"), Paint::default());
    let row = text.lines().find(|line| line.contains("  get  ")).unwrap();
    assert!(row.contains("≥1,500      –"), "{row}");
    assert!(text.contains("≥ a lower bound: requests that were unanswered"), "{text}");
    assert!(markdown::report(&record, &[]).contains("≥ a lower bound"));
    let csv = String::from_utf8(super::super::csv::summary(&record).unwrap()).unwrap();
    assert!(!csv.contains('≥'));
    let json = serde_json::to_value(super::super::json::run(&record, "out")).unwrap();
    let row = json["rows"].as_array().unwrap().iter().find(|row| row["unfinished"] == 100).unwrap();
    assert_eq!(row["response"]["at_least"], serde_json::json!(["p99", "max"]));
}

/// The fixture with the floor of its machine.
fn floored() -> crate::record::RunRecord {
    crate::record::RunRecord { floor: Some(fixture::floor()), ..fixture::record() }
}

#[test]
fn the_table_shows_the_floor_beside_the_figures_and_marks_what_is_within_it() {
    let text = terminal::render(&floored(), Path::new("out"), Paint::default());
    insta::assert_snapshot!(text, @"
    compare: passed; 40,000 replies checked, none wrong

    paced: open load, 1000 requests/s, Poisson arrivals, 100 clients, 2 × 2 s
    latency is the response time, from the intended instant to the reply
                                                         p50, µs
    role     operation    TCP  WebSocket                   ratio
    guest    put        97.5†      110.1  1.13× (1.12–1.15, n=2)
             get        97.2†      110.0  1.13× (1.12–1.14, n=2)
             get-other  96.4†      108.0  1.12× (1.04–1.20, n=2)
             all        97.3†      110.0  1.13× (1.13–1.14, n=2)
    manager  put        89.9†      106.4  1.18× (1.17–1.18, n=2)
             get-other  95.7†      110.1  1.15× (1.13–1.16, n=2)
             all        95.0†      109.3  1.16× (1.14–1.18, n=2)
    all      all        96.9†      109.9  1.13× (1.13–1.14, n=2)
    floor               80.0        40.0

                                                          p99, µs         requests/s
    role     operation     TCP  WebSocket                   ratio     TCP  WebSocket
    guest    put            –           –                       –     225        225
             get        196.9†      209.2  1.07× (1.07–1.07, n=2)     630        630
             get-other      –           –                       –      45         45
             all        196.9†      212.1  1.09× (1.07–1.11, n=2)     900        900
    manager  put            –           –                       –      10         10
             get-other      –           –                       –      90         90
             all            –           –                       –     100        100
    all      all        196.7†      213.6  1.09× (1.07–1.12, n=2)   1,000      1,000
    floor               160.0        80.0
    – too few samples: at least ten must lie beyond a quantile
    ratio: median over pairs of windows or trials, 95 % interval; fewer than 6 pairs (n) may be chance
    † ≈ floor: within 1.25 × of what the harness itself takes, or can offer

                               throughput, requests/s              CPU of both sides, µs/request
    load          TCP  WebSocket                ratio     TCP  WebSocket                   ratio
    paced      1,000       1,000  no difference shown   40.8†       45.9  1.12× (1.12–1.12, n=2)
    saturated  4,000†      4,000  no difference shown   13.6†       15.3  1.12× (1.12–1.12, n=2)
    † ≈ floor: within 1.25 × of what the harness itself takes, or can offer

    verdict   paced: valid
    verdict   saturated: valid
              - the generator's CPU was full, so the throughput is not the server's limit
    threshold response.p99 ≤ 20 ms where load=paced: met (0.412 ms)
    floor     measured at 4,000 requests/s, 64 connections, values of 64 bytes; nothing is subtracted; the generator wakes 12.0 µs late here
    report    out/report.md
    ");
}

#[test]
fn markdown_shows_the_floor_beside_the_figures_and_marks_what_is_within_it() {
    let markdown = markdown::report(&floored(), &[]);
    let section = |name: &str| markdown.split("\n## ").find(|section| section.starts_with(name)).unwrap();
    let rows = section("TCP and WebSocket")
        .lines()
        .filter(|line| line.contains("floor") || line.contains("**all**  "));
    insta::assert_snapshot!(rows.collect::<Vec<_>>().join("\n"), @"
    | **guest**   | **all**   |         3,600 |               3,600 |       97.3† |             110.0 | 1.13× (1.13–1.14, n=2) |      196.9† |             212.1 | 1.09× (1.07–1.11, n=2) |
    | **manager** | **all**   |           400 |                 400 |       95.0† |             109.3 | 1.16× (1.14–1.18, n=2) |           – |                 – |                      – |
    | **all**     | **all**   |         4,000 |               4,000 |       96.9† |             109.9 | 1.13× (1.13–1.14, n=2) |      196.7† |             213.6 | 1.09× (1.07–1.12, n=2) |
    | *floor*     |           |               |                     |        80.0 |              40.0 |                        |       160.0 |              80.0 |                        |
    † ≈ floor: within 1.25 × of what the harness itself takes, or can offer.
    ");
    insta::assert_snapshot!(section("The harness's own floor"), @"
    The harness's own floor

    Measured at 4,000 requests/s, 64 connections, values of 64 bytes; nothing is subtracted; the generator wakes 12.0 µs late here.

    | transport | response p50, µs | response p99, µs | service p50, µs | service p99, µs | timer's lateness p50, µs | timer's lateness p99, µs | CPU both, µs/request | CPU generator, µs/request | at the highest rate, requests/s | at the highest rate, limited by | at the highest rate, CPU of both | at the highest rate, generator |
    | --------- | ---------------: | ---------------: | --------------: | --------------: | -----------------------: | -----------------------: | -------------------: | ------------------------: | ------------------------------: | ------------------------------: | -------------------------------: | -----------------------------: |
    | TCP       |             80.0 |            160.0 |            74.0 |           140.0 |                     12.0 |                     28.0 |                 38.0 |                      20.9 |                           4,500 |                       generator |                             12.0 |                            6.6 |
    | WebSocket |             40.0 |             80.0 |            37.0 |            70.0 |                      6.0 |                     14.0 |                 19.0 |                      10.4 |                           9,000 |                       generator |                              6.0 |                            3.3 |

    This is what the harness measures against a target that does next to nothing, on the same CPUs. A figure that is at most 1.25 times the floor's same quantile is marked †: it says as much of the harness as of the target. So are CPU times, and rates from which the harness's highest is at most 1.25 times away. The floor moves with rate, connections and sizes: `twinwire calibrate --rate R --connections N --value-size S` measures it for a load like yours.
    ");
    insta::assert_snapshot!(section("Load saturated").split("### Latency").next().unwrap(), @"
    Load saturated

    Closed load, no think time, 100 clients, 2 × 2 s.

    **Valid**: there is no reason to doubt these figures. The generator's CPU was full, so the throughput is not the server's limit.

    ### Throughput and cost

    |                                                         | unit       |    TCP | WebSocket |                  ratio |
    | ------------------------------------------------------- | ---------- | -----: | --------: | ---------------------: |
    | throughput                                              | requests/s | 4,000† |     4,000 |    no difference shown |
    | requests                                                |            | 16,000 |    16,000 |                      – |
    | errors                                                  |            |      0 |         0 |                      – |
    | unfinished                                              |            |      0 |         0 |                      – |
    | CPU of both sides                                       | µs/request | 13.60† |     15.30 | 1.12× (1.12–1.12, n=2) |
    | of which server, approximately                          | µs/request |   6.70 |      7.50 | 1.12× (1.12–1.12, n=2) |
    | of which generator, approximately                       | µs/request |   6.90 |      7.80 | 1.13× (1.13–1.13, n=2) |
    | bytes, both directions                                  | B/request  |   79.0 |      85.0 | 1.08× (1.08–1.08, n=2) |
    | of which sent by clients                                | B/request  |   42.0 |      47.0 | 1.12× (1.12–1.12, n=2) |
    | of which sent by the server                             | B/request  |   37.0 |      38.0 | 1.03× (1.03–1.03, n=2) |
    | TCP segments, both directions, from a sample of sockets | 1/request  |   2.00 |      2.16 | 1.08× (1.08–1.08, n=2) |
    | segments that these sockets retransmitted               |            |      0 |         0 |                      – |
    | server's context switches                               | 1/request  |  1.010 |     1.010 |    no difference shown |
    | generator's context switches                            | 1/request  |  2.020 |     2.020 |    no difference shown |
    | server's CPU                                            | cores      |  0.027 |     0.030 | 1.12× (1.12–1.12, n=2) |
    | generator's CPU                                         | cores      |  0.028 |     0.031 | 1.13× (1.13–1.13, n=2) |
    | server's memory                                         | MiB        |    8.0 |       8.0 |    no difference shown |
    | generator's memory                                      | MiB        |   30.3 |      30.3 |    no difference shown |
    | CPU time stolen by the host                             | %          |   0.40 |      0.40 |    no difference shown |
    | CPU time taken by other programs                        | %          |   1.20 |      1.20 |    no difference shown |
    | floor: highest rate that the harness can offer          | requests/s |  4,500 |     9,000 |                      – |
    | floor: CPU of both sides                                | µs/request |  12.00 |      6.00 |                      – |

    † ≈ floor: within 1.25 × of what the harness itself takes, or can offer.
    ");
    let kinds = section("Load paced").split("Every kind of latency").nth(1).unwrap();
    insta::assert_snapshot!(kinds.split("### ").next().unwrap(), @"
    , all requests:

    | latency                  | transport | samples | mean, µs | p50, µs | p90, µs | p99, µs | p99.9, µs | max, µs |
    | ------------------------ | --------- | ------: | -------: | ------: | ------: | ------: | --------: | ------: |
    | lag                      | TCP       |   4,000 |      9.5 |    8.7† |   12.5† |   17.7† |         – |    23.5 |
    | lag                      | WebSocket |   4,000 |      9.4 |     8.8 |   12.3† |   17.2† |         – |    24.9 |
    | of which the generator's | TCP       |   4,000 |      6.3 |     5.9 |     8.4 |    11.7 |         – |    16.7 |
    | of which the generator's | WebSocket |   4,000 |      6.3 |     5.8 |     8.3 |    12.0 |         – |    21.3 |
    | *floor of lag*           | TCP       |         |          |    14.0 |    21.0 |    32.0 |           |         |
    | *floor of lag*           | WebSocket |         |          |     7.0 |    10.5 |    16.0 |           |         |
    | service                  | TCP       |   4,000 |     94.6 |   87.3† |  124.1† |   176.4 |         – |   270.8 |
    | service                  | WebSocket |   4,000 |    108.9 |   101.1 |   142.0 |   197.9 |         – |   352.3 |
    | *floor of service*       | TCP       |         |          |    74.0 |   111.0 |   140.0 |           |         |
    | *floor of service*       | WebSocket |         |          |    37.0 |    55.5 |    70.0 |           |         |
    | response                 | TCP       |   4,000 |    104.6 |   96.9† |  138.2† |  196.7† |         – |   299.3 |
    | response                 | WebSocket |   4,000 |    119.1 |   109.9 |   158.1 |   213.6 |         – |   314.9 |
    | *floor of response*      | TCP       |         |          |    80.0 |   120.0 |   160.0 |           |         |
    | *floor of response*      | WebSocket |         |          |    40.0 |    60.0 |    80.0 |           |         |

    – too few samples: at least ten must lie beyond a quantile.

    † ≈ floor: within 1.25 × of what the harness itself takes, or can offer.
    ");
}

#[test]
fn a_floor_of_another_machine_is_said_to_be_so_and_marks_nothing() {
    let mut record = floored();
    record.environment.cpu = "Other CPU | <b>".into();
    let table = terminal::render(&record, Path::new("out"), Paint::default());
    let said = "floor     not used: it was measured on another processor (Example CPU @ 2.5 GHz; here: Other CPU | <b>)";
    assert!(table.contains(said), "{table}");
    let markdown = markdown::report(&record, &[]);
    assert!(markdown.contains("Not used: it was measured on another processor"), "{markdown}");
    assert!(!markdown.contains("<b>"), "{markdown}");
    for text in [table, markdown] {
        assert!(!text.contains('†') && text.contains("`twinwire calibrate` measures it"), "{text}");
    }
}

#[test]
fn a_lower_bound_is_never_within_the_floor() {
    let mut record = floored();
    for pass in record.passes.iter_mut().filter(|pass| pass.transports == [Transport::Tcp]) {
        pass.cells
            .iter_mut()
            .for_each(|cell| (0..200).for_each(|_| cell.latencies.response.record_unfinished(1_000)));
    }
    let text = terminal::render(&record, Path::new("out"), Paint::default());
    let row = text.lines().find(|line| line.starts_with("all ")).unwrap();
    assert!(row.contains('≥') && !row.contains('†'), "{row}");
}

#[test]
fn a_floor_that_a_run_goes_far_below_is_to_be_measured_anew() {
    let said = "this run is far below it: measure it again with nothing else running";
    let shows = |floor: crate::record::Floor| {
        let record = crate::record::RunRecord { floor: Some(floor), ..fixture::record() };
        terminal::render(&record, Path::new("out"), Paint::default()).contains(said)
    };
    assert!(!shows(fixture::floor()));
    let mut slow = fixture::floor();
    let slow_p50 = [(Statistic::P50, Some(150_000.0))];
    slow.layouts[1].transports[1].paced.latencies.response = slow_p50.into_iter().collect();
    assert!(shows(slow), "a median of 110 µs over WebSocket");
    let mut narrow = fixture::floor();
    narrow.layouts[1].transports[0].saturated.rate = Some(3_000.0);
    assert!(shows(narrow), "4,000 requests/s over TCP");
}

#[test]
fn a_transport_without_a_floor_shows_none_and_is_named() {
    let mut record = floored();
    record.scenario.transports.push(Transport::Wss);
    let of_websocket = |pass: &&crate::record::Pass| pass.transports == [Transport::WebSocket];
    let mut encrypted: Vec<_> = record.passes.iter().filter(of_websocket).cloned().collect();
    for pass in &mut encrypted {
        pass.transports = vec![Transport::Wss];
        pass.cells.iter_mut().for_each(|cell| cell.transport = Transport::Wss);
    }
    record.passes.extend(encrypted);
    let text = terminal::render(&record, Path::new("out"), Paint::default());
    assert!(text.contains("values of 64 bytes, none for WSS; nothing is subtracted"), "{text}");
    let floors = text.lines().filter(|line| line.starts_with("floor  "));
    let all: Vec<&str> = floors.filter(|line| !line.contains("measured")).collect();
    assert!(!all.is_empty() && all.iter().all(|line| line.trim_end().contains('–')), "{text}");
}
