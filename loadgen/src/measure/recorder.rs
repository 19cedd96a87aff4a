//! What one worker measures: cells for the whole pass, and one row a second. A request takes no lock and no allocation.
//!
//! Callers pass instants of the clock. They are converted to load time, in which a transport's seconds are consecutive
//! even if its load was interrupted. Offered counts and latencies are counted at the intended instant; replies, errors
//! and violations when they happened.

pub use super::figures::{
    CellFigures, CellKey, Instants, LiveCounters, LiveLatency, RequestError, Second, TimeRange, Totals,
    WindowFigures,
};
use twinwire_os::clock::{Nanos, SECOND};

use super::threshold_monitor::ThresholdMonitor;
use crate::domain::{Op, PerKind, Role};
use crate::oracle::LegalReply;
use crate::record::Latencies;

/// One worker's figures of one pass.
#[derive(Debug)]
pub struct Recorder {
    measured: TimeRange,
    /// The clock's instant of load time 0 in the window that runs.
    origin: Nanos,
    /// End of the window that runs, in load time. Later errors and violations count in its last instant; later replies
    /// do not count as achieved.
    until: Nanos,
    cells: Vec<Option<Box<CellFigures>>>,
    groups: usize,
    paced: bool,
    /// By transport, the few seconds that are not handed over yet, the newest last.
    seconds: Vec<Vec<(u32, Box<Second>)>>,
    /// Sums by transport.
    totals: Vec<Totals>,
    /// By role, the figures of the window that runs, if windows are compared.
    window: Option<[WindowFigures; ROLES]>,
    /// Monitors of thresholds that may stop the run; usually none.
    pub monitors: Vec<ThresholdMonitor>,
}

/// What a recorder needs to know of its pass.
#[derive(Debug, Clone, Copy)]
pub struct RecorderConfig {
    /// The measured part, in load time.
    pub measured: TimeRange,
    /// Transports of the pass.
    pub transports: usize,
    /// Groups of the scenario.
    pub groups: usize,
    /// Whether requests are due at instants of their own, so that the generator can be late. Without think time a reply
    /// makes the next request due.
    pub paced: bool,
    /// Whether windows are recorded separately.
    pub windows: bool,
}

const OPS: usize = Op::ALL.len();
const ROLES: usize = 2;

impl Recorder {
    /// A recorder for a pass.
    pub fn new(shape: RecorderConfig) -> Self {
        let RecorderConfig { measured, transports, groups, paced, windows } = shape;
        let cells = std::iter::repeat_with(|| None).take(transports * groups * ROLES * OPS).collect();
        Self {
            measured,
            origin: 0,
            until: Nanos::MAX,
            cells,
            groups,
            paced,
            seconds: std::iter::repeat_with(Vec::new).take(transports).collect(),
            totals: std::iter::repeat_with(Totals::recorder).take(transports).collect(),
            window: windows.then(Default::default),
            monitors: Vec::new(),
        }
    }

    /// A window begins. `origin` is the clock's instant of load time 0, `until` the window's end in load time.
    pub fn begin_window(&mut self, origin: Nanos, until: Nanos) {
        self.origin = origin;
        self.until = until;
    }

    /// The window's figures by role (guest, manager), if windows are compared.
    pub fn take_window(&mut self) -> Option<[WindowFigures; ROLES]> {
        self.window.as_mut().map(std::mem::take)
    }

    /// Number of the measured second that holds this instant; `None` before the first.
    pub fn second_of(&self, at: Nanos) -> Option<u32> {
        let at = self.load_time(at);
        Some((at.checked_sub(self.measured.from)? / SECOND) as u32)
    }

    /// A request was sent. `waited`: it was due before its connection could take it. Its other figures are counted when
    /// it ends, as every request does.
    pub fn sent(&mut self, key: CellKey, at: Instants, waited: bool) {
        let measured = self.measured(at.intended).is_some();
        let totals = &mut self.totals[usize::from(key.transport)];
        totals.ledger.requests += 1;
        totals.waited += u64::from(waited && measured);
    }

    /// A request was answered; `good` is `None` if the reply broke a rule.
    pub fn replied(&mut self, key: CellKey, at: Instants, replied: Nanos, good: Option<LegalReply>) {
        self.note_reply(key, good);
        let (intended_at, replied_at) = (self.measured(at.intended), self.measured(replied));
        let achieved = replied_at.is_some() && !self.is_over(replied);
        // At least 1 ns, as 0 lies below the histograms' range.
        let ns = PerKind {
            lag: at.sent.saturating_sub(at.intended).max(1),
            service: replied.saturating_sub(at.sent).max(1),
            response: replied.saturating_sub(at.intended).max(1),
        };
        let cell = self.cell(key);
        cell.counts.achieved += u64::from(achieved);
        if intended_at.is_some() {
            cell.counts.requests += 1;
            cell.counts.violations += u64::from(good.is_none());
            cell.counts.values +=
                u64::from(matches!(good, Some(LegalReply::Value | LegalReply::ForeignValue)));
            cell.counts.refused += u64::from(good == Some(LegalReply::Refused));
            cell.latencies.lag.record(ns.lag);
            cell.latencies.service.record(ns.service);
            cell.latencies.response.record(ns.response);
        }
        if let Some(at) = replied_at {
            let second = self.second(key.transport, at);
            second.achieved += u64::from(achieved);
            second.violations += u64::from(good.is_none());
        }
        let Some(intended) = intended_at else { return };
        self.note_dispatch(key.transport, intended, at);
        let second = self.second(key.transport, intended);
        second.offered += 1;
        second.latencies.service.record(ns.service);
        second.latencies.response.record(ns.response);
        if let Some(window) = &mut self.window {
            let window = &mut window[role_index(key.role)];
            window.requests += 1;
            window.replies += 1;
            window.latencies.service.record(ns.service);
            window.latencies.response.record(ns.response);
        }
        for monitor in &mut self.monitors {
            monitor.replied(key, ns, good.is_some());
        }
    }

    fn note_reply(&mut self, key: CellKey, good: Option<LegalReply>) {
        let ledger = &mut self.totals[usize::from(key.transport)].ledger;
        ledger.replies += 1;
        ledger.checked += 1;
        match good {
            Some(LegalReply::Value) => ledger.values_read += 1,
            Some(LegalReply::ForeignValue) => {
                ledger.values_read += 1;
                ledger.foreign_values_read += 1;
            }
            Some(LegalReply::Denied) => ledger.denials += 1,
            Some(LegalReply::Plain | LegalReply::Refused) | None => {}
        }
    }

    /// Records the generator's lateness at a request that was intended at this load time.
    fn note_dispatch(&mut self, transport: u8, intended: Nanos, at: Instants) {
        if self.paced {
            let lag = at.dispatched.saturating_sub(at.intended).max(1);
            self.totals[usize::from(transport)].dispatch_lag.record(lag);
            self.second(transport, intended).dispatch_lag.record(lag);
        }
    }

    /// Counts a request that ends without a reply. Returns its load time, if it is measured.
    fn note_offered(&mut self, key: CellKey, intended: Nanos) -> Option<Nanos> {
        let intended = self.measured(intended)?;
        self.cell(key).counts.requests += 1;
        if let Some(window) = &mut self.window {
            window[role_index(key.role)].requests += 1;
        }
        self.second(key.transport, intended).offered += 1;
        Some(intended)
    }

    /// A request ended in an error.
    pub fn failed(&mut self, key: CellKey, at: Instants, now: Nanos, error: RequestError) {
        let broken = error == RequestError::Broken;
        self.totals[usize::from(key.transport)].ledger.errors += 1;
        if let Some(now) = self.measured(now) {
            let second = self.second(key.transport, now);
            second.errors += 1;
            second.violations += u64::from(broken);
        }
        let Some(intended) = self.note_offered(key, at.intended) else { return };
        self.note_dispatch(key.transport, intended, at);
        let counts = &mut self.cell(key).counts;
        counts.errors += 1;
        counts.violations += u64::from(broken);
        self.monitors.iter_mut().for_each(|monitor| monitor.failed(key));
        if error == RequestError::TimedOut {
            self.note_unanswered(key, intended, at.intended, Some(at.sent), now);
            let since = |from: Nanos| Some(now.saturating_sub(from).max(1));
            let waited = PerKind { lag: None, service: since(at.sent), response: since(at.intended) };
            self.monitors.iter_mut().for_each(|monitor| monitor.waited(key, waited));
        }
    }

    /// A request was still open when the load ended. Its latency is at least the time that it has waited.
    pub fn unfinished(&mut self, key: CellKey, at: Instants, now: Nanos) {
        self.totals[usize::from(key.transport)].ledger.unfinished += 1;
        let Some(intended) = self.note_offered(key, at.intended) else { return };
        self.note_dispatch(key.transport, intended, at);
        self.cell(key).counts.unfinished += 1;
        self.note_unanswered(key, intended, at.intended, Some(at.sent), now);
    }

    /// A request of the schedule was never sent before the load ended, but it was offered. It has no service time and
    /// was not dispatched. `waited`: it waited for the server, not for the generator.
    pub fn never_sent(&mut self, key: CellKey, intended: Nanos, now: Nanos, waited: bool) {
        self.sent(key, Instants { intended, dispatched: intended, sent: intended }, waited);
        let totals = &mut self.totals[usize::from(key.transport)];
        totals.ledger.unfinished += 1;
        let Some(intended_at) = self.note_offered(key, intended) else { return };
        self.totals[usize::from(key.transport)].never_sent += u64::from(waited);
        self.cell(key).counts.unfinished += 1;
        self.note_unanswered(key, intended_at, intended, None, now);
    }

    /// Records lower bounds of the latencies of a measured request that was not answered by `now`. `second` is its load
    /// time.
    fn note_unanswered(
        &mut self,
        key: CellKey,
        second: Nanos,
        intended: Nanos,
        sent: Option<Nanos>,
        now: Nanos,
    ) {
        let response = now.saturating_sub(intended).max(1);
        let service = sent.map(|sent| now.saturating_sub(sent).max(1));
        let cell = self.cell(key);
        if let Some(ns) = service {
            cell.latencies.service.record_unfinished(ns);
        }
        cell.latencies.response.record_unfinished(response);
        if let Some(window) = &mut self.window {
            let window = &mut window[role_index(key.role)];
            if let Some(ns) = service {
                window.latencies.service.record_unfinished(ns);
            }
            window.latencies.response.record_unfinished(response);
        }
        self.second(key.transport, second).latencies.response.record_unfinished(response);
    }

    /// A reply that no request asked for; `cause` is the request that was answered before it.
    pub fn unasked(&mut self, transport: u8, cause: Option<(CellKey, Instants)>, now: Nanos) {
        self.totals[usize::from(transport)].ledger.unasked += 1;
        match cause {
            Some((key, at)) => self.violated(key, at, now),
            None => self.note_violation(transport, now),
        }
    }

    /// The reply to a request turns out to be a violation some time later.
    pub fn violated(&mut self, key: CellKey, at: Instants, now: Nanos) {
        if self.measured(at.intended).is_some() {
            self.cell(key).counts.violations += 1;
            self.monitors.iter_mut().for_each(|monitor| monitor.violated(key));
        }
        self.note_violation(key.transport, now);
    }

    fn note_violation(&mut self, transport: u8, now: Nanos) {
        if let Some(now) = self.measured(now) {
            self.second(transport, now).violations += 1;
        }
    }

    /// The whole second before the one of `now`, of each transport that has it.
    pub fn last_seconds(&self, now: Nanos) -> impl Iterator<Item = &Second> {
        let last = self.second_of(now).and_then(|second| second.checked_sub(1));
        let seconds = self.seconds.iter().flatten();
        seconds.filter(move |(second, _)| Some(*second) == last).map(|(_, figures)| &**figures)
    }

    /// Takes out a transport's seconds before `second`, which should not change any more.
    pub fn take_seconds_before(&mut self, transport: usize, second: u32) -> Vec<(u32, Box<Second>)> {
        self.seconds[transport].extract_if(.., |(at, _)| *at < second).collect()
    }

    /// The sums by transport, and the cells that were used, with their keys.
    pub fn into_figures(self) -> (Vec<Totals>, Vec<(CellKey, Box<CellFigures>)>) {
        let groups = self.groups;
        let cells = self.cells.into_iter().enumerate();
        (self.totals, cells.filter_map(|(index, cell)| Some((key_of(index, groups), cell?))).collect())
    }

    /// The load time of an instant of the clock, if it is measured.
    fn measured(&self, at: Nanos) -> Option<Nanos> {
        let at = self.load_time(at);
        self.measured.contains(at).then_some(at)
    }

    /// The load time of an instant of the clock; after the window's end, the window's last instant.
    fn load_time(&self, at: Nanos) -> Nanos {
        at.saturating_sub(self.origin).min(self.until - 1)
    }

    /// Whether an instant of the clock lies after the window's end.
    fn is_over(&self, at: Nanos) -> bool {
        at.saturating_sub(self.origin) >= self.until
    }

    fn cell(&mut self, key: CellKey) -> &mut CellFigures {
        let index = ((usize::from(key.transport) * self.groups + usize::from(key.group)) * ROLES
            + role_index(key.role))
            * OPS
            + key.op as usize;
        // This allocates once for each cell of a worker, at its first request.
        self.cells[index].get_or_insert_with(|| Box::new(CellFigures::recorder()))
    }

    /// The second of an instant of load time in the measured part.
    fn second(&mut self, transport: u8, at: Nanos) -> &mut Second {
        let number = ((at - self.measured.from) / SECOND) as u32;
        let seconds = &mut self.seconds[usize::from(transport)];
        // It is nearly always the newest one; a late reply needs an older one.
        let index = match seconds.last() {
            Some((newest, _)) if *newest == number => seconds.len() - 1,
            _ => {
                let known = seconds.iter().rposition(|(second, _)| *second == number);
                known.unwrap_or_else(|| {
                    seconds.push((number, Box::default()));
                    seconds.len() - 1
                })
            }
        };
        &mut seconds[index].1
    }
}

fn role_index(role: Role) -> usize {
    usize::from(role == Role::Manager)
}

fn key_of(index: usize, groups: usize) -> CellKey {
    let op = Op::ALL[index % OPS];
    let role = if index / OPS % ROLES == 1 { Role::Manager } else { Role::Guest };
    let group = (index / (OPS * ROLES) % groups) as u16;
    let transport = (index / (OPS * ROLES * groups)) as u8;
    CellKey { transport, group, role, op }
}

/// The quantile over several histograms together, even of few samples; `None` if there are none.
pub fn joint_quantile<'a>(parts: impl Iterator<Item = &'a Latencies>, q: f64) -> Option<Nanos> {
    let mut parts = parts.filter(|part| !part.is_empty()).peekable();
    let first = parts.next()?;
    if parts.peek().is_none() {
        return first.quantile_for_curve(q);
    }
    let mut sum = first.clone();
    parts.for_each(|part| sum.merge(part));
    sum.quantile_for_curve(q)
}

#[cfg(test)]
#[path = "recorder/tests.rs"]
mod tests;
