//! What happens to a wrong reply: it counts as a violation, at once or once it is certain, and its evidence is kept.

use std::rc::Rc;

use twinwire_os::clock::{self, Nanos};

use super::super::context::PassContext;
use super::super::evidence::{Evidence, PendingVerdict, Requester};
use super::super::session::closes_again;
use super::state::{PendingRequest, WorkerState};
use crate::measure::recorder::{CellKey, Instants, LiveCounters};

impl WorkerState {
    /// Counts a violation, and keeps its evidence unless enough is kept already.
    pub fn violated(&self, evidence: impl FnOnce(&PassContext) -> Evidence) {
        LiveCounters::count(&self.live().violations);
        if let Some(evidence) = self.gather(evidence) {
            self.evidence.note(*evidence);
        }
    }

    /// Defers the verdict on a reply that did not find the user `absent` and may be right after all; see
    /// [`super::state::Verdicts::may_defer`].
    pub fn defer_verdict(
        &self,
        absent: u32,
        pending: &PendingRequest,
        replied: Nanos,
        evidence: impl FnOnce(&PassContext) -> Evidence,
    ) {
        let evidence = self.gather(evidence);
        self.verdicts.pending.add(PendingVerdict {
            absent,
            cell: pending.cell,
            at: pending.at,
            replied,
            evidence,
        });
    }

    /// Settles the verdicts that have been pending for long enough.
    pub fn settle_due_verdicts(&self, now: Nanos) {
        self.convict_all(self.verdicts.pending.take_due(&self.context.reference, now));
    }

    /// Settles all pending verdicts.
    pub fn settle_all_verdicts(&self) {
        self.convict_all(self.verdicts.pending.take_all(&self.context.reference));
    }

    fn convict_all(&self, verdicts: Vec<PendingVerdict>) {
        for PendingVerdict { cell, at, evidence, .. } in verdicts {
            self.convict(cell, at, evidence);
        }
    }

    /// Counts a violation if the server also closes on a new client that sends this request; see
    /// [`Self::finish_close_checks`].
    pub fn check_close(
        self: &Rc<Self>,
        client: u32,
        pending: &PendingRequest,
        request: String,
        evidence: impl FnOnce(&PassContext) -> Evidence,
    ) {
        let (state, cell, at) = (self.clone(), pending.cell, pending.at);
        let evidence = self.gather(evidence);
        let requester = Requester { client, role: cell.role };
        self.verdicts.close_checks.borrow_mut().push(tokio::task::spawn_local(async move {
            if closes_again(&state.context, requester, request.as_bytes()).await {
                state.convict(cell, at, evidence);
            }
        }));
    }

    /// Waits until every check of a close is done.
    pub async fn finish_close_checks(&self) {
        let checks = self.verdicts.close_checks.take();
        for check in checks {
            check.await.expect("such tasks are neither cancelled nor panic");
        }
    }

    /// Adds this worker's logged requests to new violations.
    pub fn contribute_evidence(&self) {
        self.evidence.contribute(&self.context.reference, &mut self.verdicts.log.borrow_mut());
    }

    /// Adds this worker's logged requests to all violations, once the load is over.
    pub fn contribute_all_evidence(&self) {
        self.evidence.contribute_all(&self.context.reference, &mut self.verdicts.log.borrow_mut());
    }

    fn gather(&self, evidence: impl FnOnce(&PassContext) -> Evidence) -> Option<Box<Evidence>> {
        let has_room = self.evidence.has_room();
        has_room.then(|| Box::new(evidence(&self.context).during(self.clock.timing())))
    }

    /// Counts a violation whose verdict was pending.
    fn convict(&self, cell: CellKey, at: Instants, evidence: Option<Box<Evidence>>) {
        self.recorder.borrow_mut().violated(cell, at, clock::now());
        LiveCounters::count(&self.live().violations);
        if let Some(evidence) = evidence {
            self.evidence.note(*evidence);
        }
    }
}
