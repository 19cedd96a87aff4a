//! Finds the rate of an open load that gives it as a share of what the slower transport bears.

use std::time::Duration;

use crate::domain::{Model, Rate, Think};
use crate::record::{Pass, Probe};
use crate::scenario::model::{Load, Phase, Scenario};

/// Length of a probe's measured part: long enough for a rate within a few percent, short beside any load.
const LENGTH: Duration = Duration::from_secs(1);

/// Before it: connections and caches settle.
const WARMUP: Duration = Duration::from_millis(250);

/// The share that a load's rate is given as, if it is.
#[must_use]
pub fn share(load: &Load) -> Option<f64> {
    match load.model {
        Model::Open { rate: Some(Rate::Share(share)), .. } => Some(share),
        Model::Open { .. } | Model::Closed { .. } => None,
    }
}

/// The rate that a load states, requests/s.
#[must_use]
pub fn stated(load: &Load) -> Option<f64> {
    match load.model {
        Model::Open { rate: Some(Rate::PerSecond(rate)), .. } => Some(rate),
        Model::Open { .. } | Model::Closed { .. } => None,
    }
}

/// The scenario with this load made a short closed one without think time, of the same clients and requests.
#[must_use]
pub fn scenario(scenario: &Scenario, load: usize) -> Scenario {
    let mut probing = scenario.clone();
    let load = &mut probing.loads[load];
    load.name = format!("{} (probe)", load.name);
    load.model = Model::Closed { think: Think::Constant(Duration::ZERO) };
    load.warmup = WARMUP;
    load.phases = vec![Phase { duration: LENGTH, rate: None, clients: None }];
    load.trials = 1;
    load.interleave = None;
    // A session's end in mid-probe would measure the handshake.
    probing.groups.iter_mut().for_each(|group| group.reconnect = None);
    probing.thresholds.clear();
    probing
}

/// Tries of a probe in which the harness stands still: what it then reaches is no figure of the server's.
pub const TRIES: usize = 3;

/// How long the harness stood still in these passes, in seconds.
#[must_use]
pub fn paused_s(passes: &[Pass]) -> f64 {
    passes.iter().flat_map(|pass| &pass.pauses).map(|pause| pause.length_s).sum()
}

/// What the probes' passes found, and the rate that follows from them.
///
/// # Errors
/// Where a transport answered nothing.
pub fn found(passes: &[Pass], share: f64) -> Result<Vec<Probe>, String> {
    let reached = |pass: &Pass| {
        let answered: u64 = pass.intervals.iter().map(|interval| interval.achieved).sum();
        if pass.measured_s > 0.0 { answered as f64 / pass.measured_s } else { 0.0 }
    };
    let slowest = passes.iter().map(reached).fold(f64::INFINITY, f64::min);
    if !(slowest.is_finite() && slowest > 0.0) {
        return Err("the probe that finds the load's rate got no reply".to_owned());
    }
    let probe = |pass: &Pass| Probe {
        variant: pass.variant.clone(),
        transports: pass.transports.clone(),
        reached: reached(pass),
        offered: slowest * share,
        clients: pass.clients,
        clients_lost: pass.clients_lost,
        paused_s: paused_s(std::slice::from_ref(pass)),
    };
    Ok(passes.iter().map(probe).collect())
}
