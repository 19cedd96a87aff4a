//! When a client's next request is due: arithmetic on instants, no clock and no timer.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::Rng;
use rand_distr::{Distribution, Exp1};

use crate::measure::clock::{Nanos, nanos};
use crate::scenario::model::Think;

/// The schedule of one client of a closed load: each of its slots asks, waits for the reply, thinks, asks again.
#[derive(Debug)]
pub struct Schedule {
    think: Think,
    /// When each free slot is due.
    due: BinaryHeap<Reverse<Nanos>>,
    /// Nothing is due at or after this instant.
    until: Nanos,
}

impl Schedule {
    /// All slots think once before they ask, so that the clients do not start in step. Without think time they
    /// start at once.
    pub fn new(think: Think, slots: u32, from: Nanos, until: Nanos, random: &mut impl Rng) -> Self {
        let due = (0..slots).map(|_| Reverse(from + first(think, random))).collect();
        Self { think, due, until }
    }

    /// When the next request is due; `None` where every slot waits for a reply, or the load is over.
    pub fn next(&self) -> Option<Nanos> {
        self.due.peek().map(|due| due.0).filter(|&due| due < self.until)
    }

    /// Takes the next request, which is due by `now`, and gives its intended instant.
    pub fn take(&mut self, now: Nanos) -> Option<Nanos> {
        self.next().filter(|&due| due <= now)?;
        self.due.pop().map(|due| due.0)
    }

    /// A reply came at `at`: its slot thinks.
    pub fn replied(&mut self, at: Nanos, random: &mut impl Rng) {
        self.due.push(Reverse(at + pause(self.think, random)));
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

/// The first pause: an exponential one as ever; of a constant one a random part.
fn first(think: Think, random: &mut impl Rng) -> Nanos {
    match think {
        Think::Constant(think) if think.is_zero() => 0,
        Think::Constant(think) => random.next_u64() % nanos(think).max(1),
        Think::Exponential(_) => pause(think, random),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    #[test]
    fn a_slot_is_due_a_think_time_after_its_reply_and_not_before() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let think = Think::Constant(Duration::from_nanos(100));
        let mut schedule = Schedule::new(think, 1, 1000, 5000, &mut random);
        let first = schedule.next().unwrap();
        assert!((1000..1100).contains(&first));
        assert_eq!(schedule.take(first - 1), None);
        assert_eq!(schedule.take(first), Some(first));
        assert_eq!(schedule.next(), None, "the only slot waits for its reply");
        schedule.replied(2000, &mut random);
        assert_eq!(schedule.next(), Some(2100));
    }

    #[test]
    fn nothing_is_due_once_the_load_is_over() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut schedule = Schedule::new(Think::Constant(Duration::ZERO), 2, 10, 20, &mut random);
        assert_eq!((schedule.take(10), schedule.take(10), schedule.take(10)), (Some(10), Some(10), None));
        schedule.replied(20, &mut random);
        assert_eq!(schedule.take(30), None);
    }

    #[test]
    fn exponential_pauses_have_their_mean() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
        let think = Think::Exponential(Duration::from_micros(50));
        let sum: u64 = (0..20_000).map(|_| pause(think, &mut random)).sum();
        let mean = sum as f64 / 20_000.0;
        // Standard error is 50,000 / √20,000 = 354 ns: five of them.
        assert!((mean - 50_000.0).abs() < 1_800.0, "{mean}");
    }
}
