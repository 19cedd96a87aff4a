use std::num::NonZeroU32;
use std::time::Duration;

use super::*;
use crate::domain::{Arrivals, Model, Op, Rate, Role};
use crate::scenario::model::{Group, KeyDistribution, Keys, Phase, Values};

fn group(name: &str, count: u32) -> Group {
    Group {
        name: name.to_owned(),
        role: Role::Guest,
        count,
        mix: vec![(Op::Get, 1)],
        keys: Keys { count: 1, distribution: KeyDistribution::Uniform },
        values: Values { min: 16, max: 16 },
        preload: 1,
        transport: None,
        reconnect: None,
    }
}

fn scenario(interleave: Option<u64>) -> Scenario {
    Scenario {
        name: "s".to_owned(),
        about: String::new(),
        seed: 42,
        transports: vec![Transport::Tcp, Transport::WebSocket],
        timeout: Duration::from_secs(5),
        loads: vec![Load {
            name: "load".to_owned(),
            model: Model::Open { rate: Some(Rate::PerSecond(10.0)), arrivals: Arrivals::Poisson },
            in_flight: NonZeroU32::MIN,
            warmup: Duration::from_secs(1),
            phases: vec![Phase { duration: Duration::from_millis(2_200), rate: None, clients: None }],
            trials: 8,
            interleave: interleave.map(Duration::from_millis),
            headline: false,
            timing: crate::domain::Timing::Judged,
        }],
        groups: vec![group("many", 8), group("few", 2)],
        sweep: Vec::new(),
        thresholds: Vec::new(),
    }
}

const BOTH: [Transport; 2] = [Transport::Tcp, Transport::WebSocket];

#[test]
fn one_after_the_other_each_transport_has_a_pass_with_the_same_seed() {
    let trials = trials(&scenario(None), 0, &BOTH, Some(10.0));
    assert_eq!(trials.len(), 8);
    for passes in &trials {
        assert_eq!(passes.len(), 2);
        assert_eq!(passes[0].seed, passes[1].seed);
        assert_eq!(passes[0].clients, passes[1].clients);
        assert!(!passes[0].is_interleaved());
    }
    let first: Vec<_> = trials.iter().map(|passes| passes[0].transports[0]).collect();
    assert!(first.contains(&Transport::Tcp) && first.contains(&Transport::WebSocket), "{first:?}");
    assert_ne!(trials[0][0].seed, trials[1][0].seed);
}

#[test]
fn interleaved_both_transports_have_a_cohort_and_windows_in_pairs_that_cover_the_load() {
    let trials = trials(&scenario(Some(500)), 0, &BOTH, Some(10.0));
    let [pass] = &trials[0][..] else { panic!("one pass a trial") };
    assert!(pass.is_interleaved());
    assert_eq!((pass.clients.len(), pass.cohort), (20, 10));
    for number in 0..10 {
        let (tcp, websocket) = (pass.clients[number], pass.clients[number + 10]);
        assert_eq!((tcp.group, tcp.rank), (websocket.group, websocket.rank));
        assert_eq!((tcp.transport, websocket.transport), (0, 1));
        assert_eq!(pass.number(number as u32), pass.number(number as u32 + 10));
    }
    for transport in 0..2 {
        let windows: Vec<_> =
            pass.windows.iter().filter(|window| window.transport == Some(transport)).collect();
        assert_eq!(windows[0].pair, None, "the warm-up is no pair");
        assert_eq!(
            windows.iter().skip(1).map(|window| window.pair).collect::<Vec<_>>(),
            [Some(0), Some(1), Some(2), Some(3), Some(4)]
        );
        assert!(windows.windows(2).all(|pair| pair[0].until == pair[1].from));
        assert_eq!((windows[0].from, windows[5].until), (0, 3_200_000_000));
    }
    let firsts: Vec<_> = pass.windows.chunks(2).map(|pair| pair[0].transport).collect();
    let all: Vec<_> = trials.iter().flatten().flat_map(|pass| pass.windows.chunks(2)).collect();
    assert!(all.iter().all(|pair| pair[0].pair == pair[1].pair && pair[0].transport != pair[1].transport));
    assert!(
        trials.iter().flatten().any(|pass| {
            pass.windows.chunks(2).map(|pair| pair[0].transport).collect::<Vec<_>>() != firsts
        }),
        "the order is drawn anew"
    );
}

#[test]
fn a_single_transport_has_nothing_to_interleave_with() {
    let trials = trials(&scenario(Some(500)), 0, &BOTH[..1], Some(10.0));
    assert_eq!((trials[0].len(), trials[0][0].windows.len()), (1, 1));
}

#[test]
fn groups_become_active_in_proportion() {
    let trials = trials(&scenario(None), 0, &BOTH, None);
    let clients = &trials[0][0].clients;
    let mut by_rank: Vec<_> = clients.iter().map(|client| (client.rank, client.group)).collect();
    by_rank.sort_unstable();
    assert_eq!(by_rank.iter().map(|(rank, _)| *rank).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    for half in by_rank.chunks(5) {
        assert_eq!(half.iter().filter(|(_, group)| *group == 1).count(), 1, "{by_rank:?}");
    }
}
