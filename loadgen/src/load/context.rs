//! What all workers of one pass share, and how a wrong reply is put into words.

use std::sync::Arc;

use super::curve::Curve;
use super::flight::Incidents;
use super::plan::PassPlan;
use super::requests::GroupMix;
use crate::domain::Role;
use crate::measure::recorder::Live;
use crate::measure::watch::WatchFilter;
use crate::oracle::{Finding, World, origin};
use crate::record::Violation;
use crate::scenario::model::{Load, Metric, Scenario};
use crate::wire::{Endpoint, Traffic};

/// Longest request or reply shown in a violation, in characters.
const SHOWN_CHARS: usize = 160;

/// What all workers of a pass share, none of it changing but for the world's atomics.
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
    pub watches: Vec<(WatchFilter, Metric)>,
    /// Users and registers.
    pub world: World,
    /// Where each of the pass's transports is.
    pub endpoints: Vec<Endpoint>,
    /// One for each worker.
    pub live: Vec<Live>,
    /// Bytes, by worker and transport.
    pub traffic: Vec<Vec<Arc<Traffic>>>,
    /// The first violations, with what led to them.
    pub incidents: Incidents,
}

impl PassContext {
    /// The load.
    #[must_use]
    pub fn load(&self) -> &Load {
        &self.scenario.loads[self.plan.load]
    }

    /// Where a client connects to.
    #[must_use]
    pub fn endpoint(&self, client: u32) -> &Endpoint {
        &self.endpoints[usize::from(self.plan.clients[client as usize].transport)]
    }

    /// All that a report says of a wrong reply, but for its instant and how to show it again.
    #[must_use]
    pub fn violation(
        &self,
        client: u32,
        role: Role,
        finding: Finding,
        request: String,
        reply: &[u8],
    ) -> Violation {
        let plan = self.plan.clients[client as usize];
        let mut seen = shown(reply);
        if let Some(origin) = origin(&self.world, reply) {
            seen = format!("{seen} ({origin})");
        }
        Violation {
            load: self.load().name.clone(),
            variant: self.variant.clone(),
            trial: self.plan.trial,
            transport: self.endpoint(client).transport(),
            client: self.world.client(client).name.clone(),
            group: self.scenario.groups[usize::from(plan.group)].name.clone(),
            role,
            kind: finding.kind,
            rule: finding.rule,
            request,
            expected: finding.expected,
            seen,
            at_s: 0.0,
            replay: None,
        }
    }
}

/// Bytes of a target for people: control bytes escaped, long ones cut.
fn shown(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "(empty)".to_owned();
    }
    let text: String = String::from_utf8_lossy(bytes).chars().flat_map(char::escape_debug).collect();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], bytes.len()),
        None => text,
    }
}
