use super::*;

fn recorder(from: Nanos, until: Nanos, transports: usize, groups: usize) -> Recorder {
    Recorder::new(Shape { measured: Window { from, until }, transports, groups, paced: true, windows: true })
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
                    recorder.replied(key, at(1), 2, Some(Good::Plain));
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
    recorder.replied(KEY, at(SECOND - 1), SECOND + 5, Some(Good::Value));
    let late = Instants { intended: 3 * SECOND - 1, dispatched: 3 * SECOND, sent: 3 * SECOND };
    recorder.sent(KEY, late, true);
    recorder.replied(KEY, late, 4 * SECOND, Some(Good::Value));
    assert_eq!(seconds(&mut recorder), [(0, 0, 1), (1, 1, 0)]);
    let (totals, cells) = recorder.into_figures();
    assert_eq!((totals[0].ledger.requests, totals[0].ledger.replies, totals[0].waited), (2, 2, 1));
    assert_eq!(cells[0].1.counts.requests, 1);
    assert_eq!(cells[0].1.response.len(), 1);
}

#[test]
fn load_time_goes_on_where_the_last_window_ended() {
    let mut recorder = recorder(0, 2 * SECOND, 1, 1);
    // Two windows of half a second, three seconds apart on the clock.
    for origin in [10 * SECOND, 13 * SECOND] {
        let (from, until) = if origin == 10 * SECOND { (0, SECOND / 2) } else { (SECOND / 2, SECOND) };
        recorder.begin_window(origin, until - 1);
        recorder.sent(KEY, at(origin + from), false);
        // Answered in the gap after the window: counted at its end.
        recorder.replied(KEY, at(origin + from), origin + until + 5, Some(Good::Value));
        let [guest, manager] = recorder.take_window().unwrap();
        assert_eq!((guest.requests, guest.replies, manager.requests), (1, 1, 0));
        // A histogram holds three digits.
        let max = guest.response.max().unwrap().ns;
        assert!(max.abs_diff(until - from + 5) < SECOND / 1000, "{max}");
    }
    assert_eq!(seconds(&mut recorder), [(0, 2, 2)]);
}

#[test]
fn what_was_never_sent_was_offered_and_has_no_service_time() {
    let mut recorder = recorder(0, SECOND, 1, 1);
    recorder.never_sent(KEY, 100, SECOND);
    let (totals, cells) = recorder.into_figures();
    let Totals { ledger, waited, .. } = &totals[0];
    assert_eq!((ledger.requests, ledger.unfinished, *waited), (1, 1, 1));
    let cell = &cells[0].1;
    assert_eq!((cell.counts.requests, cell.counts.unfinished), (1, 1));
    assert_eq!((cell.service.len(), cell.response.len()), (0, 1));
    assert!(cell.response.max().is_some_and(|max| max.at_least));
}
