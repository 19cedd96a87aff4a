//! What a load must not lose: a client, or the replies to more than a hundredth of its requests. A scenario's own
//! threshold on `lost` or `unfinished` replaces the one here.
//!
//! Passes that were cut are left out: what they lost or left open is the doing of whatever cut them, which the run's
//! outcome names.

use super::verdict::{self, Experiment};
use crate::domain::{Side, Transport};
use crate::record::{Counts, LoadInfo, Pass, Probe, RunRecord, ThresholdResult};
use crate::scenario::model::{Filter, Metric, Threshold};

/// A load that lost too much.
#[derive(Debug)]
pub struct Loss {
    /// The loss as a missed threshold.
    pub result: ThresholdResult,
    /// What happened, and what to do about it.
    pub message: String,
}

/// Every loss that no threshold allows.
#[must_use]
pub fn losses(record: &RunRecord, thresholds: &[Threshold]) -> Vec<Loss> {
    let mut losses = Vec::new();
    for load in &record.loads {
        let passes: Vec<&Pass> =
            record.passes.iter().filter(|pass| pass.load == load.name && pass.complete).collect();
        for experiment in verdict::experiments(&passes) {
            let only = |transport| experiment.passes.iter().all(|pass| pass.transports == [transport]);
            let own = |metric| thresholds.iter().any(|threshold| covers(threshold, metric, load, only));
            losses.extend(clients(load, &experiment).filter(|_| !own(Metric::Lost)));
            losses.extend(requests(record, load, &experiment).filter(|_| !own(Metric::Unfinished)));
        }
        let allowed = |probe: &Probe| {
            let only = |transport| probe.transports == [transport];
            thresholds.iter().any(|threshold| covers(threshold, Metric::Lost, load, only))
        };
        losses.extend(
            load.probes.iter().filter(|probe| !allowed(probe)).filter_map(|probe| of_probe(load, probe)),
        );
    }
    losses
}

/// Whether the threshold judges this metric over all of what ran on `only` one transport.
fn covers(threshold: &Threshold, metric: Metric, load: &LoadInfo, only: impl Fn(Transport) -> bool) -> bool {
    let Filter { load: of_load, transport, group, role, op } = &threshold.filter;
    threshold.metric == metric
        && of_load.as_ref().is_none_or(|name| *name == load.name)
        && transport.is_none_or(only)
        && (group.is_none() && role.is_none() && op.is_none())
}

fn clients(load: &LoadInfo, experiment: &Experiment<'_>) -> Option<Loss> {
    let sum = |of: fn(&Pass) -> u32| experiment.passes.iter().map(|pass| u64::from(of(pass))).sum::<u64>();
    let (lost, all) = (sum(|pass| pass.clients_lost), sum(|pass| pass.clients));
    let message = format!(
        "load `{}` over {}: {lost} of {all} clients lost their connection, or were not answered in time",
        load.name, experiment.name
    );
    (lost > 0).then(|| loss("lost = 0", load, &experiment.name, lost, lost.to_string(), message))
}

/// Clients that the probe of a load's rate lost.
fn of_probe(load: &LoadInfo, probe: &Probe) -> Option<Loss> {
    let Probe { variant, transports, clients, clients_lost: lost, .. } = probe;
    let name = verdict::name(transports, variant);
    let message = format!(
        "load `{}` over {name}: {lost} of {clients} clients lost their connection, or were not answered in time, while its \
         rate was probed",
        load.name
    );
    (*lost > 0).then(|| loss("lost = 0", load, &name, u64::from(*lost), lost.to_string(), message))
}

fn requests(record: &RunRecord, load: &LoadInfo, experiment: &Experiment<'_>) -> Option<Loss> {
    let row = verdict::row(experiment);
    let Counts { requests, unfinished, .. } = row.counts;
    if !verdict::is_unfinished(&row.counts) {
        return None;
    }
    let percent = unfinished as f64 / requests as f64 * 100.0;
    let full = verdict::full_side(record, &experiment.passes) == Some(Side::Generator);
    let why = match (load.model.is_open(), full) {
        (_, true) => "the generator's CPU was full, so it may be the generator that did not keep up",
        (true, false) => "the server did not keep up with the rate",
        (_, false) => "the server did not answer in time",
    };
    let rates = (load.model.is_open() && row.seconds > 0.0).then(|| {
        let (offered, answered) = (requests as f64 / row.seconds, row.rate().unwrap_or(0.0));
        format!(" ({offered:.0} requests/s were offered, {answered:.0} answered)")
    });
    let message = format!(
        "load `{}` over {}: {unfinished} of {requests} requests ({percent:.1} %) were still unanswered at its end: \
         {why}{}; lower the load, or allow it with a threshold on `unfinished`",
        load.name,
        experiment.name,
        rates.unwrap_or_default()
    );
    let measured = format!("{unfinished} of {requests}, {percent:.1} %");
    Some(loss("unfinished ≤ 1 %", load, &experiment.name, unfinished, measured, message))
}

fn loss(
    bound: &str,
    load: &LoadInfo,
    over: &str,
    measured: u64,
    measured_text: String,
    message: String,
) -> Loss {
    let text = format!("{bound} where load={}, transport={over} (default)", load.name);
    let measured = Some(measured as f64);
    Loss {
        result: ThresholdResult { text, measured, measured_text, met: Some(false), correctness: true },
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Role;
    use crate::record::fixture;
    use crate::scenario::model::Bound;

    /// The fixture with two clients lost over TCP, and so many of 4,000 requests unfinished over WebSocket.
    fn record(unfinished: u64) -> RunRecord {
        let mut record = fixture::record();
        record.passes[0].clients_lost = 2;
        let counts = &mut record.passes[1].cells[0].counts;
        (counts.unfinished, counts.achieved) = (unfinished, counts.achieved.saturating_sub(unfinished));
        record
    }

    fn said(record: &RunRecord, thresholds: &[Threshold]) -> Vec<String> {
        losses(record, thresholds).into_iter().map(|loss| loss.message).collect()
    }

    fn threshold(metric: Metric, filter: Filter) -> Threshold {
        Threshold { metric, filter, bound: Bound::Max(1e9), abort: false }
    }

    #[test]
    fn a_lost_client_and_more_than_a_hundredth_unfinished_are_losses() {
        assert_eq!(said(&fixture::record(), &[]), [""; 0]);
        assert_eq!(said(&record(40), &[]).len(), 1, "a hundredth may be");
        let said = said(&record(41), &[]);
        assert_eq!(
            said,
            [
                "load `paced` over tcp: 2 of 200 clients lost their connection, or were not answered in time",
                "load `paced` over websocket: 41 of 4000 requests (1.0 %) were still unanswered at its end: the server \
                 did not keep up with the rate (1000 requests/s were offered, 990 answered); lower the load, or allow it \
                 with a threshold on `unfinished`",
            ]
        );
    }

    #[test]
    fn a_threshold_of_the_scenarios_takes_the_place_of_the_default_where_it_judges_all_of_the_load() {
        let of = |load: &str| Filter { load: Some(load.to_owned()), ..Filter::default() };
        let over = |transport| Filter { transport: Some(transport), ..Filter::default() };
        let left = |metric, filter| losses(&record(500), &[threshold(metric, filter)]).len();
        assert_eq!(left(Metric::Lost, Filter::default()), 1);
        assert_eq!(left(Metric::Unfinished, of("paced")), 1);
        assert_eq!(left(Metric::Lost, over(Transport::Tcp)), 1);
        assert_eq!(left(Metric::Errors, Filter::default()), 2, "another metric");
        assert_eq!(left(Metric::Lost, of("saturated")), 2, "another load");
        assert_eq!(left(Metric::Unfinished, over(Transport::Tcp)), 2, "another transport");
        let guests = Filter { role: Some(Role::Guest), ..Filter::default() };
        assert_eq!(left(Metric::Unfinished, guests), 2, "managers' requests are nobody's");
    }

    #[test]
    fn a_client_that_the_probe_of_a_rate_lost_is_lost_too() {
        let mut record = fixture::record();
        let probe = |transport, clients_lost| Probe {
            variant: String::new(),
            transports: vec![transport],
            reached: 10_000.0,
            offered: 1_000.0,
            clients: 100,
            clients_lost,
            paused_s: 0.0,
        };
        record.loads[0].probes = vec![probe(Transport::Tcp, 3), probe(Transport::WebSocket, 0)];
        assert_eq!(
            said(&record, &[]),
            [
                "load `paced` over tcp: 3 of 100 clients lost their connection, or were not answered in time, while its rate \
                 was probed"
            ]
        );
        let over = |transport| Filter { transport: Some(transport), ..Filter::default() };
        assert_eq!(said(&record, &[threshold(Metric::Lost, over(Transport::Tcp))]), [""; 0]);
        assert_eq!(said(&record, &[threshold(Metric::Lost, over(Transport::WebSocket))]).len(), 1);
    }

    #[test]
    fn what_a_cut_pass_lost_is_the_cuts_doing() {
        let mut record = record(500);
        record.passes.iter_mut().for_each(|pass| pass.complete = false);
        assert_eq!(said(&record, &[]), [""; 0]);
    }

    #[test]
    fn a_full_generator_is_not_called_a_slow_server() {
        let mut record = record(500);
        for pass in record.passes.iter_mut().filter(|pass| pass.transports == [Transport::WebSocket]) {
            pass.cost.generator_cpu_ns = Some(1_990_000_000);
        }
        assert!(said(&record, &[])[1].contains("the generator's CPU was full"), "{:?}", said(&record, &[]));
    }
}
