//! What one worker measures: cells for the whole pass, and one row a second. No lock, no allocation a request.
//!
//! Offered counts and latencies go by the intended instant; replies, errors and violations by when they happened.

use std::sync::atomic::{AtomicU64, Ordering};

use super::clock::{Nanos, SECOND};
use crate::oracle::Good;
use crate::record::{Counts, Latencies, Ledger};
use crate::scenario::model::{Op, Role};

/// Where a request's figures go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellKey {
    /// Index of the transport among the pass's.
    pub transport: u8,
    /// Index of the group.
    pub group: u16,
    /// Role at the time of the request.
    pub role: Role,
    /// What was asked.
    pub op: Op,
}

/// The instants of a request, in the clock's nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Instants {
    /// When the schedule wanted it sent.
    pub intended: Nanos,
    /// When the pacer woke for it.
    pub dispatched: Nanos,
    /// When it was handed to the system.
    pub sent: Nanos,
}

/// Figures of one cell.
#[derive(Debug, Default)]
pub struct CellFigures {
    /// Counters.
    pub counts: Counts,
    /// Intended to sent.
    pub lag: Latencies,
    /// Sent to replied.
    pub service: Latencies,
    /// Intended to replied.
    pub response: Latencies,
}

/// One second of one transport.
#[derive(Debug, Default)]
pub struct Second {
    /// Requests intended in it.
    pub offered: u64,
    /// Replies in it.
    pub achieved: u64,
    /// Errors in it.
    pub errors: u64,
    /// Violations in it.
    pub violations: u64,
    /// Response by intended instant.
    pub response: Latencies,
    /// Service by intended instant.
    pub service: Latencies,
    /// Intended to dispatched.
    pub dispatch_lag: Latencies,
}

impl Second {
    /// Adds the other's figures to these.
    pub fn merge(&mut self, other: &Self) {
        self.offered += other.offered;
        self.achieved += other.achieved;
        self.errors += other.errors;
        self.violations += other.violations;
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.dispatch_lag.merge(&other.dispatch_lag);
    }
}

/// Counters that others may read while the worker runs. One worker writes.
#[derive(Debug, Default)]
pub struct Live {
    /// Replies, warm-up included.
    pub replies: AtomicU64,
    /// Errors, warm-up included.
    pub errors: AtomicU64,
    /// Violations, set-up and warm-up included.
    pub violations: AtomicU64,
    /// 99th percentile of the headline latency over the last second, ns; 0: none yet.
    pub p99_ns: AtomicU64,
    /// Clients that have been set up.
    pub ready: AtomicU64,
}

impl Live {
    /// Adds one. A load and a store, as there is one writer.
    pub fn count(counter: &AtomicU64) {
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// The measured part: from `from` until `until`.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// First instant that is measured.
    pub from: Nanos,
    /// First that is not.
    pub until: Nanos,
}

impl Window {
    fn contains(&self, at: Nanos) -> bool {
        (self.from..self.until).contains(&at)
    }
}

/// One worker's figures of one pass.
#[derive(Debug)]
pub struct Recorder {
    window: Window,
    cells: Vec<Option<Box<CellFigures>>>,
    groups: usize,
    paced: bool,
    /// By transport, the seconds that are not handed over yet: a handful, the newest last.
    seconds: Vec<Vec<(u32, Box<Second>)>>,
    /// Sums over all requests, warm-up included.
    pub ledger: Ledger,
    /// Intended to dispatched, over the measured part.
    pub dispatch_lag: Latencies,
}

const OPS: usize = Op::ALL.len();
const ROLES: usize = 2;

impl Recorder {
    /// A recorder for a pass with so many transports and groups. `paced`: requests wait for their instants, so that
    /// the generator can be late; without think time a reply itself makes the next request due.
    #[must_use]
    pub fn new(window: Window, transports: usize, groups: usize, paced: bool) -> Self {
        let cells = std::iter::repeat_with(|| None).take(transports * groups * ROLES * OPS).collect();
        Self {
            window,
            cells,
            groups,
            paced,
            seconds: std::iter::repeat_with(Vec::new).take(transports).collect(),
            ledger: Ledger::default(),
            dispatch_lag: Latencies::recorder(),
        }
    }

    /// Number of the measured second that holds this instant; `None` before the first.
    #[must_use]
    pub fn second_of(&self, at: Nanos) -> Option<u32> {
        Some((at.checked_sub(self.window.from)? / SECOND) as u32)
    }

    /// A request was sent.
    pub fn sent(&mut self, key: CellKey, at: Instants) {
        self.ledger.requests += 1;
        if self.window.contains(at.intended) {
            self.cell(key).counts.requests += 1;
            let dispatch = self.paced.then(|| at.dispatched.saturating_sub(at.intended).max(1));
            let second = self.second(key.transport, at.intended);
            second.offered += 1;
            if let Some(dispatch) = dispatch {
                second.dispatch_lag.record(dispatch);
                self.dispatch_lag.record(dispatch);
            }
        }
    }

    /// A request was answered; `good` is `None` where the answer broke a rule.
    pub fn replied(&mut self, key: CellKey, at: Instants, replied: Nanos, good: Option<Good>) {
        self.ledger.replies += 1;
        self.ledger.checked += 1;
        match good {
            Some(Good::Value) => self.ledger.values_read += 1,
            Some(Good::ForeignValue) => {
                self.ledger.values_read += 1;
                self.ledger.foreign_values_read += 1;
            }
            Some(Good::Denied) => self.ledger.denials += 1,
            Some(Good::Plain | Good::Refused) | None => {}
        }
        if self.window.contains(replied) {
            let second = self.second(key.transport, replied);
            second.achieved += 1;
            second.violations += u64::from(good.is_none());
        }
        if self.window.contains(at.intended) {
            // Nothing takes no time: 0 would fall below the histograms' range.
            let lag = at.sent.saturating_sub(at.intended).max(1);
            let service = replied.saturating_sub(at.sent).max(1);
            let response = replied.saturating_sub(at.intended).max(1);
            let cell = self.cell(key);
            cell.lag.record(lag);
            cell.service.record(service);
            cell.response.record(response);
            cell.counts.violations += u64::from(good.is_none());
            cell.counts.values += u64::from(matches!(good, Some(Good::Value | Good::ForeignValue)));
            cell.counts.refused += u64::from(good == Some(Good::Refused));
            let second = self.second(key.transport, at.intended);
            second.service.record(service);
            second.response.record(response);
        }
    }

    /// A request ended in an error: a time-out, a reset or a close; `broken`: by a reply that cannot be read, which
    /// is a violation too.
    pub fn failed(&mut self, key: CellKey, at: Instants, now: Nanos, broken: bool) {
        self.ledger.errors += 1;
        if self.window.contains(now) {
            let second = self.second(key.transport, now);
            second.errors += 1;
            second.violations += u64::from(broken);
        }
        if self.window.contains(at.intended) {
            let counts = &mut self.cell(key).counts;
            counts.errors += 1;
            counts.violations += u64::from(broken);
        }
    }

    /// A request was still open when the run ended; its latency is at least what it has waited.
    pub fn unfinished(&mut self, key: CellKey, at: Instants, now: Nanos) {
        self.ledger.unfinished += 1;
        if self.window.contains(at.intended) {
            let cell = self.cell(key);
            cell.counts.unfinished += 1;
            cell.service.record_unfinished(now.saturating_sub(at.sent).max(1));
            cell.response.record_unfinished(now.saturating_sub(at.intended).max(1));
        }
    }

    /// A reply that no request asked for; `cause` is the request that was answered before it.
    pub fn unasked(&mut self, transport: u8, cause: Option<(CellKey, Instants)>, now: Nanos) {
        self.ledger.unasked += 1;
        if let Some((key, at)) = cause
            && self.window.contains(at.intended)
        {
            self.cell(key).counts.violations += 1;
        }
        if self.window.contains(now) {
            self.second(transport, now).violations += 1;
        }
    }

    /// 99th percentile of service over the second before the one of `now`, ns.
    #[must_use]
    pub fn recent_p99_ns(&self, now: Nanos) -> Option<u64> {
        let last = (now.checked_sub(self.window.from)? / SECOND).checked_sub(1)? as u32;
        let seconds = self.seconds.iter().flatten().filter(|(second, _)| *second == last);
        seconds.filter_map(|(_, second)| second.service.quantile_for_curve(0.99)).max()
    }

    /// Takes out the seconds that began before `second`: nothing is expected to change them any more.
    pub fn take_seconds_before(&mut self, second: u32) -> Vec<(u8, u32, Box<Second>)> {
        let mut done = Vec::new();
        for (transport, seconds) in self.seconds.iter_mut().enumerate() {
            let old = seconds.extract_if(.., |(at, _)| *at < second);
            done.extend(old.map(|(at, figures)| (transport as u8, at, figures)));
        }
        done
    }

    /// The cells that were used, with their keys.
    #[must_use]
    pub fn into_cells(self) -> Vec<(CellKey, Box<CellFigures>)> {
        let groups = self.groups;
        let cells = self.cells.into_iter().enumerate();
        cells.filter_map(|(index, cell)| Some((key_of(index, groups), cell?))).collect()
    }

    fn cell(&mut self, key: CellKey) -> &mut CellFigures {
        let index = ((usize::from(key.transport) * self.groups + usize::from(key.group)) * ROLES
            + usize::from(key.role == Role::Manager))
            * OPS
            + key.op as usize;
        // Once for each cell of a worker, at its first request.
        self.cells[index].get_or_insert_with(|| {
            Box::new(CellFigures {
                counts: Counts::default(),
                lag: Latencies::recorder(),
                service: Latencies::recorder(),
                response: Latencies::recorder(),
            })
        })
    }

    fn second(&mut self, transport: u8, at: Nanos) -> &mut Second {
        let number = ((at - self.window.from) / SECOND) as u32;
        let seconds = &mut self.seconds[usize::from(transport)];
        // Nearly always it is the newest; an older one while a late reply is counted.
        let known = seconds.iter().rposition(|(second, _)| *second == number);
        let index = known.unwrap_or_else(|| {
            seconds.push((number, Box::default()));
            seconds.len() - 1
        });
        &mut seconds[index].1
    }
}

fn key_of(index: usize, groups: usize) -> CellKey {
    let op = Op::ALL[index % OPS];
    let role = if index / OPS % ROLES == 1 { Role::Manager } else { Role::Guest };
    let group = (index / (OPS * ROLES) % groups) as u16;
    let transport = (index / (OPS * ROLES * groups)) as u8;
    CellKey { transport, group, role, op }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_keeps_its_key() {
        let mut recorder = Recorder::new(Window { from: 0, until: 10 }, 3, 2, true);
        let at = Instants { intended: 1, dispatched: 1, sent: 1 };
        let mut keys = Vec::new();
        for transport in 0..3 {
            for group in 0..2 {
                for role in [Role::Guest, Role::Manager] {
                    for op in Op::ALL {
                        let key = CellKey { transport, group, role, op };
                        recorder.sent(key, at);
                        keys.push(key);
                    }
                }
            }
        }
        let cells = recorder.into_cells();
        assert_eq!(cells.iter().map(|(key, _)| *key).collect::<Vec<_>>(), keys);
        assert!(cells.iter().all(|(_, cell)| cell.counts.requests == 1));
    }

    #[test]
    fn latency_goes_by_the_intended_instant_and_rate_by_the_reply() {
        let mut recorder = Recorder::new(Window { from: SECOND, until: 3 * SECOND }, 1, 1, true);
        let key = CellKey { transport: 0, group: 0, role: Role::Guest, op: Op::Get };
        let warm = Instants { intended: SECOND - 1, dispatched: SECOND - 1, sent: SECOND - 1 };
        recorder.sent(key, warm);
        recorder.replied(key, warm, SECOND + 5, Some(Good::Value));
        let late = Instants { intended: 3 * SECOND - 1, dispatched: 3 * SECOND, sent: 3 * SECOND };
        recorder.sent(key, late);
        recorder.replied(key, late, 4 * SECOND, Some(Good::Value));
        assert_eq!((recorder.ledger.requests, recorder.ledger.replies), (2, 2));
        let seconds: Vec<_> = recorder
            .take_seconds_before(u32::MAX)
            .into_iter()
            .map(|(_, second, figures)| (second, figures.offered, figures.achieved))
            .collect();
        assert_eq!(seconds, [(0, 0, 1), (1, 1, 0)]);
        let cells = recorder.into_cells();
        assert_eq!(cells[0].1.counts.requests, 1);
        assert_eq!(cells[0].1.response.len(), 1);
    }
}
