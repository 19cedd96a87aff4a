//! The harness's own floor, from the record of a run against the null target.

use super::verdict;
use crate::domain::{Statistic, Transport};
use crate::record::rows::Selection;
use crate::record::{
    Cost, FloorCost, FloorLayout, Latencies, PacedFloor, RunRecord, SaturatedFloor, Statistics,
    TransportFloor, Verdict, VerdictLevel,
};

/// Name of the open load at the given rate.
pub const PACED: &str = "paced";

/// Name of the closed load without think time.
pub const SATURATED: &str = "saturated";

/// The floor of the layout in which this run was made.
#[must_use]
pub fn layout(record: &RunRecord) -> FloorLayout {
    let verdicts: Vec<_> =
        record.loads.iter().map(|load| (&load.name, verdict::of_floor(record, load))).collect();
    let named = |(load, verdict): &(&String, Verdict)| -> Vec<String> {
        verdict.reasons.iter().map(|reason| format!("{load}: {reason}")).collect()
    };
    FloorLayout {
        environment: record.environment.clone(),
        level: verdicts.iter().map(|(_, verdict)| verdict.level).max().unwrap_or(VerdictLevel::Suspect),
        reasons: verdicts.iter().flat_map(named).collect(),
        transports: record.transports_run().into_iter().map(|over| transport(record, over)).collect(),
    }
}

fn transport(record: &RunRecord, transport: Transport) -> TransportFloor {
    let of = |load| Selection { load: Some(load), ..Selection::default() }.over(transport);
    let passes = |load| of(load).unmixed(&record.passes).collect::<Vec<_>>();
    let row = |load| of(load).row(&record.passes).unwrap_or_default();
    let cost = |load| of(load).cost(&record.passes).as_ref().map(cost).unwrap_or_default();
    let (paced, saturated) = (row(PACED), row(SATURATED));
    let mut dispatch_lag = Latencies::default();
    for pass in passes(PACED) {
        dispatch_lag.merge(&pass.dispatch_lag);
    }
    TransportFloor {
        transport,
        paced: PacedFloor {
            rate: paced.rate(),
            cost: cost(PACED),
            dispatch_lag: quantiles(&dispatch_lag),
            latencies: paced.latencies.map(|latencies| quantiles(&latencies)),
        },
        saturated: SaturatedFloor {
            rate: saturated.rate(),
            limited_by: verdict::full_side(record, &passes(SATURATED)),
            cost: cost(SATURATED),
        },
    }
}

/// Lower bounds are no floor.
fn quantiles(latencies: &Latencies) -> Statistics {
    let exact = |statistic: Statistic| {
        latencies.statistic(statistic).filter(|latency| !latency.at_least).map(|latency| latency.ns)
    };
    let kept = Statistic::ALL.iter().filter(|statistic| statistic.needs_few_samples());
    kept.map(|&statistic| (statistic, exact(statistic))).collect()
}

fn cost(cost: &Cost) -> FloorCost {
    let each = |ns: u64| (cost.replies > 0).then(|| ns as f64 / cost.replies as f64);
    let both = cost.server_cpu_ns.zip(cost.generator_cpu_ns).map(|(server, ours)| server + ours);
    FloorCost {
        both_ns: both.and_then(each),
        server_ns: cost.server_cpu_ns.and_then(each),
        generator_ns: cost.generator_cpu_ns.and_then(each),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Side;
    use crate::record::fixture;

    #[test]
    fn a_floor_holds_the_figures_of_both_loads_by_transport() {
        let mut record = fixture::record();
        for pass in record.passes.iter_mut().filter(|pass| pass.load == SATURATED) {
            pass.cost.generator_cpu_ns = Some(1_950_000_000);
        }
        let layout = layout(&record);
        assert_eq!((layout.level, layout.reasons.len()), (VerdictLevel::Valid, 0));
        assert_eq!(layout.environment, record.environment);
        let transports: Vec<Transport> = layout.transports.iter().map(|floor| floor.transport).collect();
        assert_eq!(transports, [Transport::Tcp, Transport::WebSocket]);
        let tcp = layout.transport(Transport::Tcp).unwrap();
        let all = Selection::of(PACED, "").over(Transport::Tcp).row(&record.passes).unwrap();
        assert_eq!(tcp.paced.rate, Some(1_000.0));
        let ns = |latencies: &Latencies, statistic| latencies.statistic(statistic).map(|latency| latency.ns);
        let (floor, run) = (&tcp.paced.latencies, &all.latencies);
        assert_eq!(floor.response.get(Statistic::P99), ns(&run.response, Statistic::P99));
        assert_eq!(floor.service.get(Statistic::P50), ns(&run.service, Statistic::P50));
        assert_eq!(tcp.paced.dispatch_lag.get(Statistic::P50).map(|ns| ns as u64 / 1_000), Some(5));
        // 2,000 requests cost 6.7 and 6.9 µs each, three times, as the fixture has it.
        assert_eq!(tcp.paced.cost.both_ns, Some(40_800.0));
        assert_eq!(tcp.saturated.rate, Some(4_000.0));
        assert_eq!(tcp.saturated.limited_by, Some(Side::Generator));
        assert_eq!(tcp.saturated.cost.server_ns, Some(6_700.0));
    }

    #[test]
    fn what_was_not_measured_is_missing_not_zero() {
        let mut record = fixture::record();
        record.passes.retain(|pass| pass.load == PACED);
        record.passes.iter_mut().for_each(|pass| pass.cost.server_cpu_ns = None);
        let floor = layout(&record).transports.swap_remove(0);
        assert_eq!((floor.saturated.rate, floor.saturated.limited_by), (None, None));
        assert_eq!((floor.paced.cost.both_ns, floor.paced.cost.server_ns), (None, None));
        assert_eq!(floor.paced.cost.generator_ns, Some(20_700.0));
    }

    #[test]
    fn doubts_about_either_load_are_doubts_about_the_floor() {
        let mut record = fixture::record();
        record.passes[0].cost.steal = Some(0.2);
        for pass in record.passes.iter_mut().filter(|pass| pass.load == SATURATED) {
            pass.ledger.requests += 1;
        }
        let layout = layout(&record);
        assert_eq!(layout.level, VerdictLevel::Invalid);
        assert!(layout.reasons[0].starts_with("paced: tcp: the host took 10.2 %"), "{layout:?}");
        assert!(layout.reasons[1].starts_with("saturated: tcp: the ledger does not balance"), "{layout:?}");
    }
}
