//! What all workers of one pass share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use twinwire_os::clock::Nanos;

use super::plan::PassPlan;
use super::requests::GroupMix;
use super::schedule::Curve;
use crate::measure::recorder::{LiveCounters, LiveLatency};
use crate::measure::threshold_monitor::CellFilter;
use crate::oracle::ReferenceModel;
use crate::scenario::model::{Group, Load, Metric, Scenario};
use crate::wire::{Endpoint, Traffic};

/// What all workers of a pass share. Only the reference model's atomics and the counters change.
#[derive(Debug)]
pub struct PassContext {
    pub scenario: Arc<Scenario>,
    pub plan: PassPlan,
    /// The variant's label.
    pub variant: String,
    pub groups: Vec<GroupMix>,
    /// The load's level over its length.
    pub curve: Arc<Curve>,
    /// What may stop the run: the cells and the metric of each monitor.
    pub monitors: Vec<(CellFilter, Metric)>,
    /// Users and registers.
    pub reference: ReferenceModel,
    pub endpoints: Vec<Endpoint>,
    /// One for each worker.
    pub live: Vec<LiveCounters>,
    /// Bytes, by worker and transport.
    pub traffic: Vec<Vec<Arc<Traffic>>>,
}

impl PassContext {
    pub fn load(&self) -> &Load {
        &self.scenario.loads[self.plan.load]
    }

    /// A live counter's sum over the workers.
    pub fn live_sum(&self, counter: impl Fn(&LiveCounters) -> &AtomicU64) -> u64 {
        self.live.iter().map(|live| counter(live).load(Ordering::Relaxed)).sum()
    }

    /// The largest of the workers' latencies of the last second.
    pub fn live_latency(&self, latency: impl Fn(&LiveCounters) -> &LiveLatency) -> Option<Nanos> {
        self.live.iter().filter_map(|live| latency(live).get()).max()
    }

    pub fn group(&self, client: u32) -> &Group {
        &self.scenario.groups[usize::from(self.plan.clients[client as usize].group)]
    }

    pub fn endpoint(&self, client: u32) -> &Endpoint {
        &self.endpoints[usize::from(self.plan.clients[client as usize].transport)]
    }
}
