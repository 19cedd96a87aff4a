//! A violation with everything that a replay needs.
//!
//! The workers share something here only after a wrong reply: the violation is noted with the puts that matter for it,
//! and each worker adds what its own log has of them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use twinwire_os::clock::{self, Nanos};

use super::super::context::PassContext;
use super::super::plan::SessionEnd;
use super::request_log::{LoggedRequest, RequestLog};
use crate::domain::{Role, Rule, ViolationKind};
use crate::oracle::{
    Expectation, ExpectedReply, Finding, PutId, ReferenceModel, SessionAge, SessionHistory, SessionModel,
    describe_origin, request, writer_of_forbidden,
};
use crate::record::{VIOLATIONS_KEPT, Violation};

/// Longest request or reply shown in a violation, in characters.
const SHOWN_CHARS: usize = 160;

/// Most requests that are shown of those sent after the one with the wrong reply.
const LATER_MAX: usize = 32;

/// What a wrong reply answered.
#[derive(Debug, Clone)]
pub enum Asked {
    Handshake,
    BadLogin(&'static str),
    /// A login under its own name, over the transport of this index, during its session.
    SecondLogin(usize),
    /// The same with its name in another case.
    OtherCase(usize),
    Login,
    NextLogin(SessionEnd),
    /// The first request of a session whose predecessor ended in this way.
    First(SessionEnd, Expectation),
    Request {
        expect: Expectation,
        /// `None` while a client is set up.
        sent: Option<Nanos>,
        /// Requests that were sent after it and are not answered yet.
        later: Vec<Expectation>,
    },
    /// Nothing: the last request, if any, was already answered.
    Nothing(Option<LastAnswered>),
    Quit,
    /// Nothing: `q` was already answered. Holds what was sent right behind `q`, if anything.
    AfterQuit(Option<&'static str>),
    /// Nothing: the close after `exiting` did not come.
    Close,
}

impl Asked {
    /// A request that sets a client up.
    pub fn set_up(expect: Expectation) -> Self {
        Self::Request { expect, sent: None, later: Vec::new() }
    }
}

/// Converts instants of a window to seconds of the load.
#[derive(Debug, Clone, Copy)]
pub struct WindowClock {
    /// The clock's instant of load time 0. It differs between the windows of an interleaved load.
    pub origin: Nanos,
    /// The window's beginning, by the clock.
    pub since: Nanos,
    /// Load time at which the measured part begins.
    pub measured_from: Nanos,
}

impl WindowClock {
    /// Seconds since the measured part began; `None` for an instant before this window.
    pub fn seconds(&self, at: Nanos) -> Option<f64> {
        let from = self.origin + self.measured_from;
        (at >= self.since).then(|| (at as f64 - from as f64) / clock::SECOND as f64)
    }
}

/// A client that sent a request, and its role then.
#[derive(Debug, Clone, Copy)]
pub struct Requester {
    pub client: u32,
    pub role: Role,
}

/// The last request that was answered before a reply that answers nothing.
#[derive(Debug, Clone, Copy)]
pub struct LastAnswered {
    pub expect: Expectation,
    pub sent: Nanos,
    pub role: Role,
}

/// A violation, and what led to it.
#[derive(Debug)]
pub struct Evidence {
    violation: Violation,
    pub requester: Requester,
    pub asked: Asked,
    /// The replies that were due to the request and to those after it.
    pub dues: Vec<ExpectedReply>,
    /// The sessions that these concern.
    pub history: SessionHistory,
    pub replied: Nanos,
    /// How to convert instants; `None` before the load.
    pub timing: Option<WindowClock>,
    /// The client that tried to write the seen value without permission, if one did.
    pub forbidden: Option<u32>,
    /// The role that the client had put as a value, if any.
    pub role_put: Option<Role>,
    /// Whether it was that role that came back.
    pub saw_role: bool,
    /// The puts that have to be shown.
    pub wanted: Vec<PutId>,
    /// Those that are in some worker's log.
    pub puts: BTreeMap<PutId, LoggedRequest>,
    /// For each wanted put, the first read that returned its value.
    pub reads: BTreeMap<PutId, LoggedRequest>,
}

impl Evidence {
    /// A wrong reply to a request, or a reply to none, as its client saw it.
    pub fn new(
        context: &PassContext,
        session: &SessionModel,
        finding: Finding,
        mut asked: Asked,
        reply: &[u8],
        replied: Nanos,
    ) -> Self {
        let reference = &context.reference;
        let client = session.client();
        let seen = PutId::of(reference, reply);
        let refused = finding.rule == Rule::Atom2;
        let request = match &asked {
            Asked::Request { expect, .. } => session.describe(reference, *expect),
            _ => "none".to_owned(),
        };
        if let Asked::Request { expect, later, .. } = &mut asked {
            // Later requests matter only if one of them was answered in its place.
            let put = later.iter().position(|put| seen.is_some() && PutId::put_by(client, *put) == seen);
            let needed = if finding.kind == ViolationKind::SwappedReply {
                let open: Vec<Expectation> = std::iter::once(*expect).chain(later.iter().copied()).collect();
                session.due_elsewhere(reference, &open, reply)
            } else {
                put.map(|at| at + 1)
            };
            later.truncate(needed.filter(|&needed| needed <= LATER_MAX).unwrap_or(0));
        }
        let (batch, role) = match &asked {
            Asked::Request { expect, later, .. } => {
                (std::iter::once(*expect).chain(later.iter().copied()).collect(), session.role())
            }
            Asked::Nothing(Some(last)) => (vec![last.expect], last.role),
            _ => (Vec::new(), session.role()),
        };
        let (dues, history) = session.dues(reference, &batch, role, Some(&finding));
        let own: Vec<PutId> = batch.iter().filter_map(|expect| PutId::put_by(client, *expect)).collect();
        let due = dues
            .iter()
            .filter_map(|due| if let ExpectedReply::Value(origin) = due { Some(*origin) } else { None });
        let mut wanted: Vec<PutId> = due.chain(seen).filter(|origin| !own.contains(origin)).collect();
        if refused {
            // The put was read and then refused, which the read shows.
            wanted.extend(&own);
        }
        // The value that is due would be lost with its session.
        wanted.retain(|origin| history.age(*origin) != SessionAge::Later);
        wanted.sort_unstable();
        wanted.dedup();
        let bare = Self::bare(context, Requester { client, role }, finding, request, reply, replied);
        let forbidden = writer_of_forbidden(reference, reply);
        let role_put = session.role_put();
        let saw_role = role_put.is_some_and(|role| role.name().as_bytes() == reply);
        Self { asked, dues, history, forbidden, role_put, saw_role, wanted, ..bare }
    }

    /// A wrong reply to a handshake, a login or a `q`, for which earlier requests do not matter.
    pub fn of_session(
        context: &PassContext,
        requester: Requester,
        finding: Finding,
        asked: Asked,
        reply: &[u8],
        replied: Nanos,
    ) -> Self {
        let request = match asked {
            Asked::Login | Asked::NextLogin(_) | Asked::SecondLogin(_) => {
                context.reference.client(requester.client).name.clone()
            }
            Asked::BadLogin(text) => text.to_owned(),
            Asked::OtherCase(_) => context.reference.client(requester.client).name.to_ascii_uppercase(),
            Asked::First(_, expect) => {
                let name = |user| context.reference.client(user).name.clone();
                request(&context.reference, requester.client, expect, name, |put| {
                    put.value(&context.reference)
                })
            }
            Asked::Handshake => "the opening handshake".to_owned(),
            _ => "q".to_owned(),
        };
        Self { asked, ..Self::bare(context, requester, finding, request, reply, replied) }
    }

    fn bare(
        context: &PassContext,
        requester: Requester,
        finding: Finding,
        request: String,
        reply: &[u8],
        replied: Nanos,
    ) -> Self {
        Self {
            violation: describe(context, requester, finding, request, reply),
            requester,
            asked: Asked::Nothing(None),
            dues: Vec::new(),
            history: SessionHistory::default(),
            replied,
            timing: None,
            forbidden: None,
            role_put: None,
            saw_role: false,
            wanted: Vec::new(),
            puts: BTreeMap::new(),
            reads: BTreeMap::new(),
        }
    }

    /// Sets when it was seen during the load.
    pub fn during(mut self, timing: WindowClock) -> Self {
        self.violation.at_s = timing.seconds(self.replied).unwrap_or(0.0);
        self.timing = Some(timing);
        self
    }

    /// The violation for a report, without its replay.
    pub fn violation(&self) -> &Violation {
        &self.violation
    }

    /// The same, by value.
    pub fn into_violation(self) -> Violation {
        self.violation
    }

    /// Adds what a worker's log has of the wanted puts: the puts, and the first read that returned each.
    fn add_from(&mut self, log: &RequestLog, reference: &ReferenceModel) {
        for logged in log.entries() {
            if let Some(put) = PutId::put_by(logged.client, logged.expect) {
                if self.wanted.contains(&put) {
                    self.puts.insert(put, *logged);
                }
            } else if let Some(read) = PutId::of(reference, logged.reply())
                && self.wanted.contains(&read)
            {
                let first = self.reads.entry(read).or_insert(*logged);
                if logged.replied < first.replied {
                    *first = *logged;
                }
            }
        }
    }
}

/// The first violations of a pass. All workers share it, but use it only if there are violations.
#[derive(Debug, Default)]
pub struct EvidenceLog {
    noted: AtomicUsize,
    list: Mutex<Vec<Evidence>>,
}

impl EvidenceLog {
    /// Whether another violation would be kept.
    pub fn has_room(&self) -> bool {
        self.noted.load(Ordering::Relaxed) < VIOLATIONS_KEPT
    }

    pub fn note(&self, evidence: Evidence) {
        let mut list = self.list();
        if list.len() < VIOLATIONS_KEPT {
            list.push(evidence);
            self.noted.store(list.len(), Ordering::Release);
        }
    }

    /// Searches a worker's log for the violations that it was not yet searched for.
    pub fn contribute(&self, reference: &ReferenceModel, log: &mut RequestLog) {
        let noted = self.noted.load(Ordering::Acquire);
        if log.searched_for < noted {
            self.list()[log.searched_for..noted]
                .iter_mut()
                .for_each(|evidence| evidence.add_from(log, reference));
            log.searched_for = noted;
        }
    }

    /// Searches it for all violations again: some requests were answered only after the violation.
    pub fn contribute_all(&self, reference: &ReferenceModel, log: &mut RequestLog) {
        log.searched_for = 0;
        self.contribute(reference, log);
    }

    /// Takes all, in the order in which they were seen.
    pub fn take(&self) -> Vec<Evidence> {
        std::mem::take(&mut *self.list())
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Evidence>> {
        self.list.lock().expect("nothing panics while it holds this lock")
    }
}

/// The violation for a report, without its instant and its replay.
fn describe(
    context: &PassContext,
    requester: Requester,
    finding: Finding,
    request: String,
    reply: &[u8],
) -> Violation {
    let plan = context.plan.clients[requester.client as usize];
    let mut seen = shown(reply);
    if let Some(origin) = describe_origin(&context.reference, reply) {
        seen = format!("{seen} ({origin})");
    }
    Violation {
        load: context.load().name.clone(),
        variant: context.variant.clone(),
        trial: context.plan.trial,
        transport: context.endpoint(requester.client).transport(),
        client: context.reference.client(requester.client).name.clone(),
        group: context.scenario.groups[usize::from(plan.group)].name.clone(),
        role: requester.role,
        kind: finding.kind,
        rule: finding.rule,
        request,
        expected: finding.expected,
        seen,
        at_s: 0.0,
        replay: None,
    }
}

/// A target's bytes for people: control bytes are escaped, long texts are cut.
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
