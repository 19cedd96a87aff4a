use super::*;
use crate::domain::{LatencyKind, Statistic};
use crate::measure::threshold_monitor::CellFilter;
use crate::scenario::model::Metric;

fn recorder(from: Nanos, until: Nanos, transports: usize, groups: usize) -> Recorder {
    Recorder::new(RecorderConfig {
        measured: TimeRange { from, until },
        transports,
        groups,
        paced: true,
        windows: true,
    })
}

const KEY: CellKey = CellKey { transport: 0, group: 0, role: Role::Guest, op: Op::Get };

fn at(intended: Nanos) -> Instants {
    Instants { intended, dispatched: intended, sent: intended }
}

fn seconds(recorder: &mut Recorder) -> Vec<(u32, u64, u64)> {
    let seconds = recorder.take_seconds_before(0, u32::MAX);
    seconds.into_iter().map(|(second, figures)| (second, figures.offered, figures.achieved)).collect()
}

#[test]
fn every_cell_keeps_its_key() {
    let mut recorder = recorder(0, 10, 3, 2);
    let mut keys = Vec::new();
    for transport in 0..3 {
        for group in 0..2 {
            for role in [Role::Guest, Role::Manager] {
                for op in Op::ALL {
                    let key = CellKey { transport, group, role, op };
                    recorder.sent(key, at(1), false);
                    recorder.replied(key, at(1), 2, Some(LegalReply::Plain));
                    keys.push(key);
                }
            }
        }
    }
    let (_, cells) = recorder.into_figures();
    assert_eq!(cells.iter().map(|(key, _)| *key).collect::<Vec<_>>(), keys);
    assert!(cells.iter().all(|(_, cell)| cell.counts.requests == 1));
}

#[test]
fn latency_goes_by_the_intended_instant_and_rate_by_the_reply() {
    let mut recorder = recorder(SECOND, 3 * SECOND, 1, 1);
    recorder.sent(KEY, at(SECOND - 1), false);
    recorder.replied(KEY, at(SECOND - 1), SECOND + 5, Some(LegalReply::Value));
    let late = Instants { intended: 3 * SECOND - 1, dispatched: 3 * SECOND, sent: 3 * SECOND };
    recorder.sent(KEY, late, true);
    recorder.replied(KEY, late, 4 * SECOND, Some(LegalReply::Value));
    assert_eq!(seconds(&mut recorder), [(0, 0, 1), (1, 1, 0)]);
    let (totals, cells) = recorder.into_figures();
    assert_eq!((totals[0].ledger.requests, totals[0].ledger.replies, totals[0].waited), (2, 2, 1));
    assert_eq!(cells[0].1.counts.requests, 1);
    assert_eq!(cells[0].1.latencies.response.len(), 1);
}

#[test]
fn load_time_goes_on_where_the_last_window_ended() {
    let mut recorder = recorder(0, 2 * SECOND, 1, 1);
    // Two windows of half a second, three seconds apart on the clock.
    for origin in [10 * SECOND, 13 * SECOND] {
        let (from, until) = if origin == 10 * SECOND { (0, SECOND / 2) } else { (SECOND / 2, SECOND) };
        recorder.begin_window(origin, until);
        recorder.sent(KEY, at(origin + from), false);
        recorder.replied(KEY, at(origin + from), origin + until - 1, Some(LegalReply::Value));
        // Answered in the gap after the window: its latency counts, but nothing was achieved in the window.
        recorder.sent(KEY, at(origin + from), false);
        recorder.replied(KEY, at(origin + from), origin + until + 5, Some(LegalReply::Value));
        let [guest, manager] = recorder.take_window().unwrap();
        assert_eq!((guest.requests, guest.replies, manager.requests), (2, 2, 0));
        // A histogram holds three digits.
        let max = guest.latencies.response.max().unwrap().ns;
        assert!((max - (until - from + 5) as f64).abs() < SECOND as f64 / 1000.0, "{max}");
    }
    assert_eq!(seconds(&mut recorder), [(0, 4, 2)]);
    let (_, cells) = recorder.into_figures();
    assert_eq!((cells[0].1.counts.requests, cells[0].1.counts.achieved), (4, 2));
}

#[test]
fn errors_and_violations_after_the_end_appear_in_the_last_second() {
    let mut recorder = recorder(SECOND, 3 * SECOND, 1, 1);
    recorder.begin_window(0, 3 * SECOND);
    let request = at(3 * SECOND - 5);
    recorder.sent(KEY, request, false);
    recorder.failed(KEY, request, 5 * SECOND, RequestError::TimedOut);
    recorder.sent(KEY, request, false);
    recorder.replied(KEY, request, 3 * SECOND, None);
    recorder.unasked(0, Some((KEY, request)), 4 * SECOND);
    let seconds = recorder.take_seconds_before(0, u32::MAX);
    let [(1, last)] = &seconds[..] else { panic!("{seconds:?}") };
    assert_eq!((last.offered, last.achieved, last.errors, last.violations), (2, 0, 1, 2));
    let (_, cells) = recorder.into_figures();
    let counts = cells[0].1.counts;
    assert_eq!((counts.requests, counts.achieved, counts.errors, counts.violations), (2, 0, 1, 2));
}

#[test]
fn a_time_out_is_a_latency_of_at_least_so_much_and_a_lost_connection_is_none() {
    let mut recorder = recorder(0, 9 * SECOND, 1, 1);
    let request = Instants { intended: SECOND, dispatched: SECOND, sent: 2 * SECOND };
    for error in [RequestError::TimedOut, RequestError::Lost, RequestError::Broken] {
        recorder.sent(KEY, request, false);
        recorder.failed(KEY, request, 7 * SECOND, error);
    }
    let seconds = recorder.take_seconds_before(0, u32::MAX);
    assert_eq!(seconds.iter().map(|(_, second)| second.latencies.response.len()).sum::<u64>(), 1);
    let [guests, _] = recorder.take_window().unwrap();
    assert_eq!(
        (guests.requests, guests.replies, guests.latencies.service.len(), guests.latencies.response.len()),
        (3, 0, 1, 1)
    );
    let (totals, cells) = recorder.into_figures();
    assert_eq!((totals[0].ledger.errors, totals[0].dispatch_lag.len()), (3, 3));
    let cell = &cells[0].1;
    assert_eq!((cell.counts.errors, cell.counts.unfinished, cell.counts.violations), (3, 0, 1));
    for (latencies, at_least) in
        [(&cell.latencies.response, 6 * SECOND), (&cell.latencies.service, 5 * SECOND)]
    {
        let max = latencies.max().unwrap();
        assert!(max.at_least && (max.ns - at_least as f64).abs() < at_least as f64 / 500.0, "{max:?}");
        assert_eq!(latencies.len(), 1);
    }
}

#[test]
fn a_watch_sees_a_time_out_as_an_error_and_as_a_latency_of_at_least_so_much() {
    let request = Instants { intended: SECOND, dispatched: SECOND, sent: 2 * SECOND };
    for (kind, waited_s) in
        [(LatencyKind::Response, Some(6)), (LatencyKind::Service, Some(5)), (LatencyKind::Lag, None)]
    {
        let metric = Metric::Latency(kind, Statistic::P50);
        let mut recorder = recorder(0, 9 * SECOND, 1, 1);
        recorder.monitors = vec![ThresholdMonitor::new(CellFilter::default(), metric)];
        recorder.sent(KEY, request, false);
        recorder.failed(KEY, request, 7 * SECOND, RequestError::TimedOut);
        let seen = recorder.monitors[0].take();
        let seconds = seen.value(metric, 1.0).map(|ns| (ns / SECOND as f64).round() as u64);
        assert_eq!((seen.errors, seconds), (1, waited_s), "{kind:?}");
        // Of a connection that was lost no latency is known.
        recorder.sent(KEY, request, false);
        recorder.failed(KEY, request, 7 * SECOND, RequestError::Lost);
        let seen = recorder.monitors[0].take();
        assert_eq!((seen.errors, seen.value(metric, 1.0)), (1, None), "{kind:?}");
    }
}

#[test]
fn what_was_never_sent_was_offered_and_has_no_service_time() {
    let mut recorder = recorder(0, SECOND, 1, 1);
    recorder.never_sent(KEY, 100, SECOND, true);
    recorder.never_sent(KEY, 200, SECOND, false);
    let (totals, cells) = recorder.into_figures();
    let Totals { ledger, waited, never_sent, dispatch_lag } = &totals[0];
    assert_eq!((ledger.requests, ledger.unfinished), (2, 2));
    assert_eq!((*waited, *never_sent), (1, 1), "the other one waited for the generator");
    assert!(dispatch_lag.is_empty(), "neither was dispatched");
    let cell = &cells[0].1;
    assert_eq!((cell.counts.requests, cell.counts.unfinished), (2, 2));
    assert_eq!((cell.latencies.service.len(), cell.latencies.response.len()), (0, 2));
    assert!(cell.latencies.response.max().is_some_and(|max| max.at_least));
}
