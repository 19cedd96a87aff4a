//! What all workers of one pass share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::plan::PassPlan;
use super::requests::GroupMix;
use super::schedule::Curve;
use crate::measure::recorder::LiveCounters;
use crate::measure::threshold_monitor::CellFilter;
use crate::oracle::ReferenceModel;
use crate::scenario::model::{Group, Load, Metric, Scenario};
use crate::wire::{Endpoint, Traffic};

/// What all workers of a pass share, none of which changes but for the reference model's atomics and the counters.
#[derive(Debug)]
pub struct PassContext {
    /// The variant's scenario.
    pub scenario: Arc<Scenario>,
    /// The pass.
    pub plan: PassPlan,
    /// The variant's label.
    pub variant: String,
    /// Each group's distributions.
    pub groups: Vec<GroupMix>,
    /// The load's level over its length.
    pub curve: Arc<Curve>,
    /// What may stop the run: for each watch its cells and metric.
    pub monitors: Vec<(CellFilter, Metric)>,
    /// Users and registers.
    pub reference: ReferenceModel,
    /// Where each of the pass's transports is.
    pub endpoints: Vec<Endpoint>,
    /// One for each worker.
    pub live: Vec<LiveCounters>,
    /// Bytes, by worker and transport.
    pub traffic: Vec<Vec<Arc<Traffic>>>,
}

impl PassContext {
    /// The load.
    #[must_use]
    pub fn load(&self) -> &Load {
        &self.scenario.loads[self.plan.load]
    }

    /// A live counter's sum over the workers.
    #[must_use]
    pub fn live_sum(&self, counter: impl Fn(&LiveCounters) -> &AtomicU64) -> u64 {
        self.live_values(counter).sum()
    }

    /// A live counter's largest value among the workers.
    #[must_use]
    pub fn live_max(&self, counter: impl Fn(&LiveCounters) -> &AtomicU64) -> u64 {
        self.live_values(counter).max().unwrap_or(0)
    }

    fn live_values(&self, counter: impl Fn(&LiveCounters) -> &AtomicU64) -> impl Iterator<Item = u64> {
        self.live.iter().map(move |live| counter(live).load(Ordering::Relaxed))
    }

    /// The client's group.
    #[must_use]
    pub fn group(&self, client: u32) -> &Group {
        &self.scenario.groups[usize::from(self.plan.clients[client as usize].group)]
    }

    /// Where a client connects to.
    #[must_use]
    pub fn endpoint(&self, client: u32) -> &Endpoint {
        &self.endpoints[usize::from(self.plan.clients[client as usize].transport)]
    }
}
