//! When a client's next request is due: arithmetic on instants of load time, without a clock or a timer.
//!
//! An open load's instants follow from the seed alone, a closed load's also from the replies. Nothing is skipped or
//! moved: a request that could not be sent in time stays due, so a backlog is the difference of two counters.

mod curve;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Exp1};
use rand_xoshiro::Xoshiro256PlusPlus;
use twinwire_os::clock::{Nanos, nanos};

pub use self::curve::{Curve, Span};
use crate::domain::{Arrivals, Think};

#[derive(Debug)]
pub enum Schedule {
    /// Each slot sends a request, waits for the reply, thinks, and sends the next one.
    Closed(Closed),
    /// Requests come at instants of their own.
    Open(Open),
}

impl Schedule {
    /// When the next request is due; `None` if no request is due before the end set by [`Self::set_end`], or every slot
    /// waits for a reply.
    pub fn next(&self) -> Option<Nanos> {
        match self {
            Self::Closed(closed) => closed.next(),
            Self::Open(open) => open.next(),
        }
    }

    /// Takes the next request if it is due by `now`, and returns its intended instant.
    pub fn take(&mut self, now: Nanos) -> Option<Nanos> {
        match self {
            Self::Closed(closed) => closed.take(now),
            Self::Open(open) => open.take(now),
        }
    }

    pub fn replied(&mut self, at: Nanos) {
        if let Self::Closed(closed) = self {
            closed.replied(at);
        }
    }

    /// Nothing is due at or after this instant, until another end is set.
    pub fn set_end(&mut self, end: Nanos) {
        match self {
            Self::Closed(closed) => closed.end = end,
            Self::Open(open) => open.set_end(end),
        }
    }

    /// Whether requests that are due and not sent are a backlog. A closed load's requests wait for replies instead.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }
}

#[derive(Debug)]
pub struct Closed {
    think: Think,
    due: SlotQueue,
    spans: Arc<[Span]>,
    random: Xoshiro256PlusPlus,
    end: Nanos,
}

impl Closed {
    /// Every slot thinks before its first request, so that the clients do not start in step. Without think time they
    /// start at once. The client is active during `spans`.
    pub fn new(think: Think, slots: u32, spans: Arc<[Span]>, seed: u64) -> Self {
        let random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut closed =
            Self { think, due: SlotQueue::new(think, slots as usize), spans, random, end: Nanos::MAX };
        let mut firsts: Vec<Nanos> = (0..slots).map(|_| first(think, &mut closed.random)).collect();
        firsts.sort_unstable();
        for first in firsts {
            closed.add(first);
        }
        closed
    }

    fn next(&self) -> Option<Nanos> {
        self.due.first().filter(|&due| due < self.end)
    }

    fn take(&mut self, now: Nanos) -> Option<Nanos> {
        self.next().filter(|&due| due <= now)?;
        self.due.take_first()
    }

    fn replied(&mut self, at: Nanos) {
        let pause = pause(self.think, &mut self.random);
        self.add(at + pause);
    }

    /// A slot is due at `at`, or when the client is next active. If it is never active again, the slot rests.
    fn add(&mut self, at: Nanos) {
        if let Some(span) = self.spans.iter().find(|span| at < span.1) {
            self.due.add(at.max(span.0));
        }
    }
}

/// When each free slot of a closed client is due.
#[derive(Debug)]
enum SlotQueue {
    /// After constant pauses, slots become due in the order of the replies.
    InLine(VecDeque<Nanos>),
    /// After random pauses.
    Heap(BinaryHeap<Reverse<Nanos>>),
}

impl SlotQueue {
    fn new(think: Think, slots: usize) -> Self {
        match think {
            Think::Constant(_) => Self::InLine(VecDeque::with_capacity(slots)),
            Think::Exponential(_) => Self::Heap(BinaryHeap::with_capacity(slots)),
        }
    }

    fn first(&self) -> Option<Nanos> {
        match self {
            Self::InLine(line) => line.front().copied(),
            Self::Heap(heap) => heap.peek().map(|due| due.0),
        }
    }

    fn take_first(&mut self) -> Option<Nanos> {
        match self {
            Self::InLine(line) => line.pop_front(),
            Self::Heap(heap) => heap.pop().map(|due| due.0),
        }
    }

    fn add(&mut self, at: Nanos) {
        match self {
            Self::InLine(line) => line.push_back(at),
            Self::Heap(heap) => heap.push(Reverse(at)),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Open {
    curve: Arc<Curve>,
    spans: Arc<[Span]>,
    arrivals: Arrivals,
    random: Xoshiro256PlusPlus,
    /// Offset of uniform arrivals between two whole counts, so that those of all clients are evenly spread.
    offset: f64,
    /// Expected arrivals at the next one.
    count: f64,
    piece: usize,
    span: usize,
    next: Option<Nanos>,
    end: Nanos,
}

impl Open {
    /// The schedule of the client of this rank, which is active during `spans`.
    pub fn new(curve: Arc<Curve>, spans: Arc<[Span]>, rank: u32, arrivals: Arrivals, seed: u64) -> Self {
        let offset = (f64::from(rank) + 0.5) / f64::from(curve.clients().max(1));
        let random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut open = Self {
            curve,
            spans,
            arrivals,
            random,
            offset,
            count: 0.0,
            piece: 0,
            span: 0,
            next: None,
            end: Nanos::MAX,
        };
        if let Some(&(from, _)) = open.spans.first() {
            open.enter(from);
            open.settle();
        }
        open
    }

    fn next(&self) -> Option<Nanos> {
        self.next.filter(|&next| next < self.end)
    }

    pub fn set_end(&mut self, end: Nanos) {
        self.end = end;
    }

    /// Takes the next request if it is due by `now`.
    pub fn take(&mut self, now: Nanos) -> Option<Nanos> {
        let next = self.next().filter(|&next| next <= now)?;
        self.count += match self.arrivals {
            Arrivals::Uniform => 1.0,
            Arrivals::Poisson => Exp1.sample(&mut self.random),
        };
        self.settle();
        Some(next)
    }

    /// Goes to the first arrival of a span. A Poisson process has no memory, so it may start again there.
    fn enter(&mut self, from: Nanos) {
        let begun = self.curve.count_at(from);
        self.count = match self.arrivals {
            Arrivals::Uniform => (begun - self.offset).ceil().max(0.0) + self.offset,
            Arrivals::Poisson => begun + Distribution::<f64>::sample(&Exp1, &mut self.random),
        };
    }

    /// Finds the instant of `count`, in a later span if this one ends before it.
    fn settle(&mut self) {
        loop {
            self.next = self.curve.time_of(self.count, &mut self.piece);
            let Some(next) = self.next else { return };
            if next < self.spans[self.span].1 {
                return;
            }
            self.span += 1;
            let Some(&(from, _)) = self.spans.get(self.span) else {
                self.next = None;
                self.span -= 1;
                return;
            };
            // An arrival that already lies in the later span stays.
            if next < from {
                self.enter(from);
            }
        }
    }
}

fn pause(think: Think, random: &mut impl Rng) -> Nanos {
    match think {
        Think::Constant(think) => nanos(think),
        Think::Exponential(mean) => {
            let factor: f64 = Exp1.sample(random);
            (factor * nanos(mean) as f64) as Nanos
        }
    }
}

/// The first pause: exponential as usual, or a random part of a constant one.
fn first(think: Think, random: &mut impl Rng) -> Nanos {
    match think {
        Think::Constant(think) if think.is_zero() => 0,
        Think::Constant(think) => random.next_u64() % nanos(think).max(1),
        Think::Exponential(_) => pause(think, random),
    }
}

#[cfg(test)]
mod tests;
