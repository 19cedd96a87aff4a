//! Each rule of the verdict, on either side of its limit.

use super::*;
use crate::record::fixture;

/// Judges load `index` of the fixture after a change to its passes over TCP.
fn judged(index: usize, change: impl Fn(&mut Pass)) -> Verdict {
    let mut record = fixture::record();
    let load = record.loads[index].clone();
    record
        .passes
        .iter_mut()
        .filter(|pass| pass.load == load.name && pass.transports == ["tcp"])
        .for_each(change);
    verdict(&record, &load)
}

fn repeated(ns: u64, count: u64) -> Latencies {
    let mut latencies = Latencies::default();
    (0..count).for_each(|_| latencies.record(ns));
    latencies
}

fn assert_judged(verdict: &Verdict, level: VerdictLevel, reason: &str) {
    assert_eq!(verdict.level, level, "{verdict:?}");
    assert!(verdict.reasons.iter().any(|found| found.starts_with(reason)), "{verdict:?}");
}

#[test]
fn a_good_run_is_valid() {
    for index in [0, 1] {
        assert_eq!(judged(index, |_| {}), Verdict::default());
    }
}

#[test]
fn an_open_load_that_was_not_dispatched_is_invalid() {
    let verdict = judged(0, |pass| pass.dispatch_lag = repeated(6_000, 1_970));
    assert_judged(&verdict, VerdictLevel::Invalid, "tcp: only 98.5 % of the 4000 offered");
    assert_eq!(judged(0, |pass| pass.dispatch_lag = repeated(6_000, 1_985)).level, VerdictLevel::Valid);
}

#[test]
fn a_median_lateness_of_20_us_or_a_tenth_of_the_response_is_allowed() {
    let late = |ns| judged(0, move |pass| pass.dispatch_lag = repeated(ns, 2_000));
    assert_eq!(late(19_000).level, VerdictLevel::Valid);
    assert_judged(&late(25_000), VerdictLevel::Invalid, "tcp: the generator woke 25.0 µs late in the median");
    // The saturated load's responses take over a millisecond, a tenth of which is more than 25 µs.
    let slow = judged(1, |pass| pass.dispatch_lag = repeated(25_000, 8_000));
    assert_eq!(slow.level, VerdictLevel::Valid);
}

#[test]
fn a_late_tail_is_suspect() {
    let verdict = judged(0, |pass| {
        pass.dispatch_lag = repeated(6_000, 1_900);
        pass.dispatch_lag.merge(&repeated(150_000, 100));
    });
    assert_judged(&verdict, VerdictLevel::Suspect, "tcp: the generator's p99 lateness of 150");
}

#[test]
fn stolen_time_is_suspect() {
    let verdict = judged(0, |pass| pass.cost.steal = Some(0.031));
    assert_judged(&verdict, VerdictLevel::Suspect, "tcp: the host took 3.1 %");
    assert_eq!(judged(0, |pass| pass.cost.steal = None).level, VerdictLevel::Valid);
}

#[test]
fn halves_that_differ_are_suspect() {
    let slower = |achieved| judged(1, move |pass| pass.intervals[1].achieved = achieved);
    assert_judged(
        &slower(3_000),
        VerdictLevel::Suspect,
        "tcp: the first half achieved 8000 requests, the second 6000",
    );
    assert_eq!(slower(3_500).level, VerdictLevel::Valid);
}

#[test]
fn halves_of_a_few_requests_may_differ_by_chance() {
    let few = judged(1, |pass| {
        pass.intervals[0].achieved = 12;
        pass.intervals[1].achieved = 8;
    });
    assert_eq!(few.level, VerdictLevel::Valid);
}

#[test]
fn a_ramp_of_an_open_load_is_no_difference_between_halves() {
    let ramp = judged(0, |pass| {
        for (interval, count) in pass.intervals.iter_mut().zip([500, 1_500]) {
            interval.offered = count;
            interval.achieved = count;
        }
    });
    assert_eq!(ramp.level, VerdictLevel::Valid);
}

#[test]
fn lost_clients_cut_trials_and_full_histograms_are_suspect() {
    let verdict = judged(1, |pass| {
        pass.clients_lost = 3;
        pass.complete = false;
        pass.cells[0].service.record(crate::record::LATENCY_NS_MAX + 1);
    });
    assert_judged(&verdict, VerdictLevel::Suspect, "tcp: 6 of 200 clients were lost");
    assert_judged(&verdict, VerdictLevel::Suspect, "tcp: 2 of 2 trials were cut short");
    assert_judged(&verdict, VerdictLevel::Suspect, "tcp: 2 latencies were longer");
}

#[test]
fn a_request_without_a_fate_makes_the_load_invalid() {
    let verdict = judged(1, |pass| pass.ledger.requests += 1);
    assert_judged(&verdict, VerdictLevel::Invalid, "tcp: the ledger does not balance");
}

#[test]
fn sharing_a_cpu_is_suspect() {
    let mut record = fixture::record();
    record.environment.generator_cpus = vec![0, 1];
    let shared = verdict(&record, &record.loads[0]);
    assert_judged(&shared, VerdictLevel::Suspect, "server and generator shared CPU 0");
    record.environment.server_cpus.clear();
    let unconfined = verdict(&record, &record.loads[0]);
    assert_judged(&unconfined, VerdictLevel::Suspect, "server and generator were not confined");
    record.environment.embedded = false;
    assert_eq!(verdict(&record, &record.loads[0]).level, VerdictLevel::Valid);
}

#[test]
fn a_load_that_did_not_run_is_suspect_not_invalid() {
    let mut record = fixture::record();
    record.passes.retain(|pass| pass.load != "saturated");
    assert_judged(&verdict(&record, &record.loads[1]), VerdictLevel::Suspect, "nothing was measured");
}

#[test]
fn a_full_generator_is_never_called_the_servers_limit() {
    let full = |server, generator| {
        judged(1, move |pass| {
            pass.cost.server_cpu_ns = Some(server);
            pass.cost.generator_cpu_ns = Some(generator);
        })
        .saturated
    };
    assert_eq!(full(1_900_000_000, 1_000_000_000).as_deref(), Some("server"));
    assert_eq!(full(1_900_000_000, 1_900_000_000).as_deref(), Some("generator"));
    assert_eq!(full(1_700_000_000, 1_700_000_000), None);
    assert_eq!(judged(0, |pass| pass.cost.server_cpu_ns = Some(2_000_000_000)).saturated, None);
}

#[test]
fn an_open_load_that_falls_behind_in_one_half_is_suspect() {
    let behind = judged(0, |pass| pass.intervals[1].achieved = 700);
    assert_judged(
        &behind,
        VerdictLevel::Suspect,
        "tcp: the first half achieved 2000 of 2000 requests, the second 1400 of 2000",
    );
}
