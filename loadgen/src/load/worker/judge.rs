//! Handles the replies of one read: matches each to its request, judges it and records it.

use std::collections::VecDeque;

use super::super::evidence::{Asked, Evidence, LastAnswered, LoggedRequest};
use super::super::schedule::Schedule;
use super::state::{PendingRequest, WorkerState};
use crate::domain::{Rule, ViolationKind};
use crate::measure::recorder::LiveCounters;
use crate::oracle::{Expectation, Finding, LegalReply, SessionModel, texts};
use crate::wire::{Reply, ReplyHandler};

/// Handles a virtual user's replies, with the parts of the user that they change.
pub struct ReplyJudge<'a> {
    /// Index of its transport among the pass's.
    pub transport: u8,
    /// The oracle's model of its session.
    pub session: &'a mut SessionModel,
    pub schedule: &'a mut Schedule,
    /// Open requests, the oldest first.
    pub pending: &'a mut VecDeque<PendingRequest>,
    /// The request that was answered last.
    pub answered: &'a mut Option<PendingRequest>,
    pub state: &'a WorkerState,
}

impl ReplyJudge<'_> {
    fn unasked(&self, reply: Reply<'_>) {
        let cause = self.answered.as_ref().map(|answered| (answered.cell, answered.at));
        self.state.recorder.borrow_mut().unasked(self.transport, cause, reply.at);
        let expected = "nothing: no request was open".to_owned();
        let finding = Finding::new(ViolationKind::UnaskedReply, Rule::Form3, expected);
        let last = self.answered.as_ref().map(|last| LastAnswered {
            expect: last.expect,
            sent: last.at.sent,
            role: last.cell.role,
        });
        self.violated(finding, Asked::Nothing(last), reply);
    }

    fn violated(&self, finding: Finding, asked: Asked, reply: Reply<'_>) {
        self.state
            .violated(|context| Evidence::new(context, self.session, finding, asked, reply.text, reply.at));
    }

    /// Whether exactly this reply is due to another open request.
    fn is_swapped(&self, expect: Expectation, text: &[u8]) -> bool {
        let open: Vec<Expectation> =
            std::iter::once(expect).chain(self.pending.iter().map(|p| p.expect)).collect();
        self.session.due_elsewhere(&self.state.context.reference, &open, text).is_some()
    }
}

impl ReplyHandler for ReplyJudge<'_> {
    fn is_whole(&self, bytes: &[u8]) -> bool {
        let reference = &self.state.context.reference;
        self.pending.front().is_some_and(|oldest| self.session.is_whole(reference, oldest.expect, bytes))
    }

    fn reply(&mut self, reply: Reply<'_>) {
        // A server may send this text without a request (TCP-7), and a request may have crossed it. The close that
        // follows is an error of this client.
        if reply.text == texts::IDLE_TIMEOUT.as_bytes() {
            return;
        }
        let Some(pending) = self.pending.pop_front() else {
            return self.unasked(reply);
        };
        let PendingRequest { cell, expect, at } = pending;
        *self.answered = Some(pending);
        let reference = &self.state.context.reference;
        let mut judged = self.session.judge(reference, expect, reply.text);
        if reply.binary && judged.is_ok() {
            let expected = "a text message".to_owned();
            judged = Err(Finding::new(ViolationKind::BinaryMessage, Rule::Ws1, expected));
        }
        let absent = judged.as_ref().err().and_then(|finding| finding.absent);
        // A reply that is wrong in any case is judged at once.
        let absent = absent.filter(|_| !reply.binary && self.state.verdicts.may_defer());
        let good = judged.as_ref().ok().copied().or(absent.map(|_| LegalReply::Plain));
        self.state.recorder.borrow_mut().replied(cell, at, reply.at, good);
        self.state.verdicts.keep(LoggedRequest::new(
            self.session.client(),
            expect,
            at.sent,
            reply.text,
            reply.at,
        ));
        LiveCounters::count(&self.state.live().replies);
        self.schedule.replied(self.state.clock.load_time(reply.at));
        if let Err(mut finding) = judged {
            if self.is_swapped(expect, reply.text) {
                finding.kind = ViolationKind::SwappedReply;
                finding.rule = Rule::Form3;
            }
            let later = self.pending.iter().map(|later| later.expect).collect();
            let asked = Asked::Request { expect, sent: Some(at.sent), later };
            match absent {
                Some(absent) => {
                    let session = &*self.session;
                    self.state.defer_verdict(absent, &pending, reply.at, |context| {
                        Evidence::new(context, session, finding, asked, reply.text, reply.at)
                    });
                }
                None => self.violated(finding, asked, reply),
            }
        }
    }
}
