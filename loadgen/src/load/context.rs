//! What all workers of one pass share, and how a wrong reply is put into words.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::flight::{Asked, Incidents};
use super::plan::PassPlan;
use super::requests::GroupMix;
use crate::measure::clock::{self, Nanos};
use crate::measure::recorder::Live;
use crate::oracle::{Finding, Session, World, origin};
use crate::record::Violation;
use crate::scenario::model::{Load, Scenario};
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
    /// Users and registers.
    pub world: World,
    /// Where each of the pass's transports is.
    pub endpoints: Vec<Endpoint>,
    /// One for each worker.
    pub live: Vec<Live>,
    /// Bytes, by worker and transport.
    pub traffic: Vec<Vec<Arc<Traffic>>>,
    /// Start of the measured part; 0 until it is known.
    pub measured_from: AtomicU64,
    /// The first violations, with what led to them.
    pub incidents: Incidents,
}

impl PassContext {
    /// The load.
    #[must_use]
    pub fn load(&self) -> &Load {
        &self.scenario.loads[self.plan.load]
    }

    /// All that a report says of a wrong reply, but for how to show it again.
    #[must_use]
    pub fn violation(
        &self,
        session: &Session,
        finding: Finding,
        asked: &Asked,
        reply: &[u8],
        at: Nanos,
    ) -> Violation {
        let client = session.client();
        let name = &self.world.client(client).name;
        let request = match asked {
            Asked::Login => name.clone(),
            Asked::Request(expect, ..) => session.describe(&self.world, *expect),
            Asked::Nothing(_) => "none".to_owned(),
            Asked::Quit => "q".to_owned(),
        };
        let plan = self.plan.clients[client as usize];
        let from = self.measured_from.load(Ordering::Relaxed);
        let mut seen = shown(reply);
        if let Some(origin) = origin(&self.world, reply) {
            seen = format!("{seen} ({origin})");
        }
        Violation {
            load: self.load().name.clone(),
            variant: self.variant.clone(),
            trial: self.plan.trial,
            transport: self.endpoints[usize::from(plan.transport)].transport().name().to_owned(),
            client: name.clone(),
            group: self.scenario.groups[usize::from(plan.group)].name.clone(),
            role: session.role().name().to_owned(),
            kind: finding.kind.to_owned(),
            rule: finding.rule.to_owned(),
            request,
            expected: finding.expected,
            seen,
            at_s: if from == 0 { 0.0 } else { (at as f64 - from as f64) / clock::SECOND as f64 },
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
