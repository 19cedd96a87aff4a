//! Finds the rate of an open load that states it as a share of what the slower transport can take.

use std::time::Duration;

use crate::domain::{Model, Rate, Think};
use crate::record::{Pass, Probe};
use crate::scenario::model::{Load, Phase, Scenario};

/// Length of a probe's measured part: long enough for a rate within a few percent, and short compared with a load.
const LENGTH: Duration = Duration::from_secs(1);

/// Warm-up before it, in which connections and caches settle.
const WARMUP: Duration = Duration::from_millis(250);

/// The share that a load states as its rate, if it does.
pub fn share(load: &Load) -> Option<f64> {
    match load.model {
        Model::Open { rate: Some(Rate::Share(share)), .. } => Some(share),
        Model::Open { .. } | Model::Closed { .. } => None,
    }
}

/// The rate in requests/s that a load states, if it does.
pub fn stated(load: &Load) -> Option<f64> {
    match load.model {
        Model::Open { rate: Some(Rate::PerSecond(rate)), .. } => Some(rate),
        Model::Open { .. } | Model::Closed { .. } => None,
    }
}

/// The scenario with this load turned into a short closed one without think time, with the same clients and requests.
pub fn scenario(scenario: &Scenario, load: usize) -> Scenario {
    let mut probing = scenario.clone();
    let load = &mut probing.loads[load];
    load.name = format!("{} (probe)", load.name);
    load.model = Model::Closed { think: Think::Constant(Duration::ZERO) };
    load.warmup = WARMUP;
    load.phases = vec![Phase { duration: LENGTH, rate: None, clients: None }];
    load.trials = 1;
    load.interleave = None;
    // A session that ends during the probe would measure the handshake.
    probing.groups.iter_mut().for_each(|group| group.reconnect = None);
    probing.thresholds.clear();
    probing
}

/// Most tries of a probe. A try in which the harness stands still says nothing about the server.
pub const TRIES: usize = 3;

/// How long the harness stood still in these passes, in seconds.
pub fn paused_s(passes: &[Pass]) -> f64 {
    passes.iter().flat_map(|pass| &pass.pauses).map(|pause| pause.length_s).sum()
}

/// What the passes of a probe found, and the rate that follows.
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
