//! Each rule of the verdict, on either side of its limit.

use super::*;
use crate::record::{VariantInfo, fixture};

/// Judges load `index` of the fixture after a change to its passes over TCP.
fn judged(index: usize, change: impl Fn(&mut Pass)) -> Verdict {
    let mut record = fixture::record();
    let load = record.loads[index].clone();
    record
        .passes
        .iter_mut()
        .filter(|pass| pass.load == load.name && pass.transports == [Transport::Tcp])
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
fn a_reason_is_about_the_variant_that_it_was_found_in() {
    let mut record = fixture::record();
    let mut load = record.loads[0].clone();
    load.variants =
        ["a", "b"].map(|label| VariantInfo { label: label.to_owned(), settings: Vec::new() }).into();
    let mut own: Vec<&mut Pass> = record.passes.iter_mut().filter(|pass| pass.load == load.name).collect();
    for pass in &mut own {
        pass.variant = "a".to_owned();
    }
    own[0].variant = "b".to_owned();
    own[0].clients_lost = 1;
    let verdict = verdict(&record, &load);
    assert!(verdict.reasons_about("b").any(|reason| reason.contains("lost before the end")), "{verdict:?}");
    assert!(!verdict.reasons_about("a").any(|reason| reason.contains("lost")), "{verdict:?}");
}

#[test]
fn a_rate_that_was_probed_while_the_harness_stood_still_makes_its_load_invalid() {
    let record = fixture::record();
    let judged = |paused_s| {
        let probe = Probe {
            variant: String::new(),
            transports: vec![Transport::Tcp],
            reached: 10_000.0,
            offered: 1_000.0,
            clients: 100,
            clients_lost: 0,
            paused_s,
        };
        verdict(&record, &LoadInfo { probes: vec![probe], ..record.loads[0].clone() })
    };
    assert_eq!(judged(0.0).level, VerdictLevel::Valid);
    let reason = "the harness itself stood still for 0.70 s while it probed the rate over tcp";
    assert_judged(&judged(0.7), VerdictLevel::Invalid, reason);
}

#[test]
fn an_open_load_that_was_not_dispatched_is_invalid() {
    let verdict = judged(0, |pass| pass.dispatch_lag = repeated(6_000, 1_970));
    assert_judged(&verdict, VerdictLevel::Invalid, "tcp: only 98.5 % of the 4000 offered");
    assert_eq!(judged(0, |pass| pass.dispatch_lag = repeated(6_000, 1_985)).level, VerdictLevel::Valid);
}

/// Judges the open load over TCP with every response taking 1 ms, after a change.
fn open_of_1_ms(change: impl Fn(&mut Pass)) -> Verdict {
    judged(0, |pass| {
        pass.cells
            .iter_mut()
            .for_each(|cell| cell.latencies.response = repeated(1_000_000, cell.counts.requests));
        change(pass);
    })
}

#[test]
fn an_open_load_must_have_99_of_100_requests_dispatched() {
    let dispatched = |count| judged(0, move |pass| pass.dispatch_lag = repeated(6_000, count)).level;
    assert_eq!(dispatched(1_980), VerdictLevel::Valid);
    assert_eq!(dispatched(1_979), VerdictLevel::Invalid);
}

#[test]
fn an_open_loads_median_lateness_is_suspect_over_a_tenth_and_invalid_over_a_quarter_of_its_median_response() {
    let late = |ns| open_of_1_ms(move |pass| pass.dispatch_lag = repeated(ns, 2_000));
    assert_eq!(late(99_000).level, VerdictLevel::Valid);
    assert_judged(&late(102_000), VerdictLevel::Suspect, "tcp: the generator woke 102");
    assert_eq!(late(248_000).level, VerdictLevel::Suspect);
    assert_judged(&late(255_000), VerdictLevel::Invalid, "tcp: the generator woke 255");
}

#[test]
fn an_open_loads_p99_lateness_may_be_a_quarter_of_its_p99_response() {
    let tail = |ns| {
        open_of_1_ms(move |pass| {
            pass.dispatch_lag = repeated(6_000, 1_900);
            pass.dispatch_lag.merge(&repeated(ns, 100));
        })
    };
    assert_eq!(tail(245_000).level, VerdictLevel::Valid);
    assert_judged(&tail(255_000), VerdictLevel::Suspect, "tcp: the generator's p99 lateness of 255");
}

#[test]
fn a_late_generator_does_not_spoil_a_floor_but_a_rate_that_was_not_offered_does() {
    let floor = |lag: &Latencies| {
        let mut record = fixture::record();
        let paced = record.passes.iter_mut().filter(|pass| pass.load == "paced");
        paced.for_each(|pass| pass.dispatch_lag = lag.clone());
        of_floor(&record, &record.loads[0]).level
    };
    assert_eq!(floor(&repeated(900_000, 2_000)), VerdictLevel::Suspect);
    assert_eq!(floor(&repeated(6_000, 1_900)), VerdictLevel::Invalid);
}

#[test]
fn waiting_behind_a_slow_server_is_not_the_generators() {
    let stalled = open_of_1_ms(|pass| {
        for cell in &mut pass.cells {
            cell.latencies.lag = repeated(190_000_000, cell.counts.requests);
            cell.latencies.response = repeated(200_000_000, cell.counts.requests);
        }
    });
    assert_eq!(stalled.level, VerdictLevel::Valid, "{stalled:?}");
}

#[test]
fn stolen_time_of_2_percent_is_allowed_to_an_open_load() {
    let stolen = |share| judged(0, move |pass| pass.cost.steal = Some(share)).level;
    assert_eq!(stolen(0.0199), VerdictLevel::Valid);
    assert_eq!(stolen(0.0201), VerdictLevel::Suspect);
}

#[test]
fn an_open_loads_halves_may_differ_by_a_fifth() {
    let second = |achieved| judged(0, move |pass| pass.intervals[1].achieved = achieved).level;
    assert_eq!(second(840), VerdictLevel::Valid);
    assert_eq!(second(825), VerdictLevel::Suspect);
}

#[test]
fn an_open_loads_latencies_over_an_hour_are_suspect_and_counted_whatever_their_kind() {
    let with =
        |change: fn(&mut Pass, u64)| judged(0, move |pass| change(pass, crate::record::LATENCY_NS_MAX + 1));
    let longest: [fn(&mut Pass, u64); 4] = [
        |pass, ns| pass.cells[0].latencies.lag.record(ns),
        |pass, ns| pass.cells[0].latencies.service.record(ns),
        |pass, ns| pass.cells[0].latencies.response.record(ns),
        |pass, ns| pass.dispatch_lag.record(ns),
    ];
    for change in longest {
        let verdict = with(change);
        assert_judged(
            &verdict,
            VerdictLevel::Suspect,
            "tcp: 2 latencies were longer than a histogram holds (1 h)",
        );
    }
    let within = judged(0, |pass| pass.cells[0].latencies.response.record(crate::record::LATENCY_NS_MAX));
    assert_eq!(within.level, VerdictLevel::Valid);
}

#[test]
fn a_median_lateness_of_50_us_is_allowed_however_fast_the_server_is_and_100_us_are_not_invalid() {
    // Responses of the paced load take about 100 µs.
    let late = |ns| judged(0, move |pass| pass.dispatch_lag = repeated(ns, 2_000));
    assert_ne!(late(49_000).level, VerdictLevel::Invalid);
    assert!(
        !late(49_000).reasons.iter().any(|reason| reason.contains("in the median")),
        "{:?}",
        late(49_000)
    );
    assert_judged(&late(60_000), VerdictLevel::Suspect, "tcp: the generator woke 60");
    assert_eq!(late(99_000).level, VerdictLevel::Suspect);
    assert_judged(&late(110_000), VerdictLevel::Invalid, "tcp: the generator woke 110");
    // The headline of a closed load starts at the actual send.
    assert_eq!(judged(1, |pass| pass.dispatch_lag = repeated(2_000_000, 8_000)).level, VerdictLevel::Suspect);
}

#[test]
fn a_load_whose_timing_is_unjudged_has_no_verdict_on_it_and_must_balance_all_the_same() {
    let unjudged = |change: fn(&mut Pass)| {
        let mut record = fixture::record();
        record.loads[0].timing = Timing::Unjudged;
        record.environment.server_cpus.clear();
        record.passes.iter_mut().for_each(|pass| pass.dispatch_lag = repeated(9_000_000, 10));
        record.passes.iter_mut().for_each(|pass| pass.cost.steal = Some(0.5));
        record.passes.iter_mut().for_each(change);
        verdict(&record, &record.loads[0])
    };
    let late = unjudged(|_| {});
    assert_eq!((late.level, &late.reasons[..], &late.saturated), (VerdictLevel::Unjudged, &[][..], &None));
    assert_judged(
        &unjudged(|pass| pass.ledger.requests += 1),
        VerdictLevel::Invalid,
        "tcp: the ledger does not",
    );
    let silent = unjudged(|pass| pass.cells.clear());
    assert_judged(
        &silent,
        VerdictLevel::Invalid,
        "tcp: no reply was checked: no request fell into the measured part",
    );
}

#[test]
fn a_load_without_one_checked_reply_is_invalid() {
    let silent = judged(1, |pass| {
        pass.cells.iter_mut().for_each(|cell| cell.counts.unfinished = cell.counts.requests);
    });
    assert_judged(
        &silent,
        VerdictLevel::Invalid,
        "tcp: no reply was checked: of 16000 requests none was answered",
    );
    let failed = judged(1, |pass| {
        pass.cells.iter_mut().for_each(|cell| cell.counts.errors = cell.counts.requests);
    });
    assert_judged(&failed, VerdictLevel::Invalid, "tcp: no reply was checked");
    let one = judged(1, |pass| {
        pass.cells.iter_mut().for_each(|cell| cell.counts.errors = cell.counts.requests - 1);
    });
    assert_eq!(one.level, VerdictLevel::Valid, "{one:?}");
    // A run that was cut before its first reply is named by what cut it.
    let cut = judged(1, |pass| {
        pass.cells.clear();
        pass.complete = false;
    });
    assert_eq!(cut.level, VerdictLevel::Suspect, "{cut:?}");
}

/// The closed load against a target at given addresses, its generator's threads and CPUs used, and others' share.
fn external(workers: u32, generator_cpus: f64, others: f64) -> Verdict {
    let mut record = fixture::record();
    record.environment.embedded = false;
    record.environment.server_cpus.clear();
    record.environment.generator_cpus.clear();
    record.environment.cpus = 8;
    for pass in &mut record.passes {
        pass.workers = workers;
        pass.cost.server_cpu_ns = None;
        pass.cost.generator_cpu_ns = Some((generator_cpus * pass.cost.seconds * 1e9) as u64);
        pass.cost.others = Some(others);
    }
    verdict(&record, &record.loads[1])
}

#[test]
fn a_generator_is_full_when_its_own_threads_are_however_many_cpus_there_are() {
    assert_eq!(external(1, 0.95, 0.1).saturated, Some(Side::Generator));
    assert_eq!(external(1, 0.85, 0.1).saturated, None);
    assert_eq!(external(2, 0.95, 0.1).saturated, None);
}

#[test]
fn a_machine_without_a_free_cpu_makes_a_load_on_a_target_at_an_address_suspect() {
    let busy = external(1, 0.5, 0.90);
    assert_judged(&busy, VerdictLevel::Suspect, "tcp: this machine's CPUs were 96.");
    assert_eq!(external(1, 0.5, 0.80).level, VerdictLevel::Valid, "the target may run here");
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
fn cpu_time_that_other_programs_take_is_suspect_from_a_tenth_on() {
    let taken = |share| judged(1, move |pass| pass.cost.others = Some(share));
    assert_judged(
        &taken(0.48),
        VerdictLevel::Suspect,
        "tcp: other programs took 48.0 % of the used CPUs' time",
    );
    assert_eq!(taken(0.099).level, VerdictLevel::Valid);
    assert_eq!(judged(1, |pass| pass.cost.others = None).level, VerdictLevel::Valid);
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
        pass.cells[0].latencies.service.record(crate::record::LATENCY_NS_MAX + 1);
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
    assert_eq!(full(1_900_000_000, 1_000_000_000), Some(Side::Server));
    assert_eq!(full(1_900_000_000, 1_900_000_000), Some(Side::Generator));
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

/// Judges the open load over TCP, of 4,000 requests in 4 s on a CPU each, with so many never answered.
fn behind(unfinished: u64, generator_cpu: f64) -> Verdict {
    judged(0, |pass| {
        let first = pass.cells.iter_mut().max_by_key(|cell| cell.counts.requests).unwrap();
        first.counts.unfinished = unfinished;
        pass.ledger.unfinished += unfinished;
        pass.ledger.requests += unfinished;
        pass.cost.generator_cpu_ns = Some((generator_cpu * pass.cost.seconds * 1e9) as u64);
    })
}

#[test]
fn an_open_load_that_a_full_generator_could_not_offer_is_invalid_and_not_the_servers_limit() {
    let verdict = behind(400, 0.95);
    assert_judged(
        &verdict,
        VerdictLevel::Invalid,
        "tcp: the generator's CPU was full, and 800 of the 4000 offered",
    );
    assert_eq!(verdict.saturated, Some(Side::Generator));
}

#[test]
fn a_generator_that_did_not_do_its_part_shows_no_limit_of_the_servers() {
    let late = judged(0, |pass| {
        pass.dispatch_lag = repeated(900_000, pass.cells.iter().map(|cell| cell.counts.requests).sum());
        pass.cells.iter_mut().for_each(|cell| cell.counts.unfinished = cell.counts.requests / 10);
    });
    assert_eq!((late.level, late.saturated), (VerdictLevel::Invalid, None));
}

#[test]
fn an_open_load_that_the_server_fell_behind_is_valid_and_says_so() {
    let verdict = behind(400, 0.5);
    assert_eq!((verdict.level, verdict.saturated), (VerdictLevel::Valid, Some(Side::Server)));
    let kept_up = behind(10, 0.95);
    assert_eq!((kept_up.level, kept_up.saturated), (VerdictLevel::Valid, None));
}

#[test]
fn a_pause_of_the_harness_makes_any_load_invalid_and_is_named() {
    let pause = |at_s, length_s| crate::record::Pause { at_s, length_s };
    for load in [0, 1] {
        let verdict = judged(load, |pass| pass.pauses = vec![pause(0.25, 0.5), pause(1.0, 0.25)]);
        assert_judged(
            &verdict,
            VerdictLevel::Invalid,
            "tcp: the harness itself stood still for 0.50 s from second 0.25 of trial 1, for 0.25 s from second 1.00",
        );
        let many = judged(load, |pass| pass.pauses = vec![pause(0.25, 0.5); 4]);
        assert!(many.reasons[0].contains("of trial 2, 3 times more: it was"), "{many:?}");
    }
}

#[test]
fn what_waited_for_the_server_to_the_end_is_not_the_generators_and_what_was_lost_was_not_dispatched() {
    let dispatched = |count, never_sent, of_lost| {
        judged(0, move |pass| {
            pass.dispatch_lag = repeated(6_000, count);
            pass.backlog.never_sent = never_sent;
            pass.due_of_lost = of_lost;
        })
    };
    assert_eq!(dispatched(1_500, 480, 0).level, VerdictLevel::Valid);
    assert_judged(&dispatched(1_500, 470, 0), VerdictLevel::Invalid, "tcp: only 98.5 % of the 4000 offered");
    assert_eq!(dispatched(2_000, 0, 20).level, VerdictLevel::Valid);
    assert_judged(
        &dispatched(2_000, 0, 500),
        VerdictLevel::Invalid,
        "tcp: only 80.0 % of the 5000 offered requests were dispatched (at least 99 % must be); 1000 of them were due from",
    );
}

#[test]
fn a_backlog_that_stood_to_the_end_is_named_though_it_was_worked_off() {
    let standing = |standing, generator_cpu: f64| {
        judged(0, move |pass| {
            pass.backlog.standing = standing;
            pass.cost.generator_cpu_ns = Some((generator_cpu * pass.cost.seconds * 1e9) as u64);
        })
    };
    assert_eq!(standing(20, 0.5).saturated, None);
    assert_eq!(standing(21, 0.5).saturated, Some(Side::Server));
    let full = standing(21, 0.95);
    assert_eq!(full.saturated, Some(Side::Generator));
    assert_judged(
        &full,
        VerdictLevel::Invalid,
        "tcp: the generator's CPU was full, and 42 of the 4000 offered",
    );
}
