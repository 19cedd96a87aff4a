//! Warns while a load runs if the generator does not keep up, so that the user can stop the run.

use twinwire_os::clock::Nanos;
use twinwire_os::process;

use super::super::context::PassContext;
use crate::domain::Timing;
use crate::record::lateness;
use crate::text;

/// A generator that used this share of its CPUs is full.
const FULL_SHARE: f64 = 0.9;

/// Consecutive checks, four a second, at which it must be full: one second, and not the first moment.
const CHECKS_FULL: u32 = 4;

/// Backlog in seconds of replies that counts: less is the usual unevenness of arrivals.
const BACKLOG_SECONDS: f64 = 0.1;

/// Whether the generator of a pass keeps up. It warns once.
#[derive(Debug, Default)]
pub struct GeneratorLag {
    warned: bool,
    last: Option<(Nanos, Nanos)>,
    checks_full: u32,
}

impl GeneratorLag {
    /// Checks an open load at `now`, which is answered at `rate` (requests/s) and has `backlog` requests waiting; the
    /// warning, if there is one.
    pub fn check(&mut self, context: &PassContext, now: Nanos, rate: f64, backlog: u64) -> Option<String> {
        if self.warned || !context.load().is_open() || context.load().timing == Timing::Unjudged {
            return None;
        }
        let text = wakes_late(context).or_else(|| {
            let used = process::own_cpu_ns()?;
            self.is_full(now, used, context.live.len(), rate, backlog)
        });
        self.warned = text.is_some();
        text
    }

    /// `used`: CPU time that this process has used so far, in ns.
    fn is_full(
        &mut self,
        now: Nanos,
        used: Nanos,
        workers: usize,
        rate: f64,
        backlog: u64,
    ) -> Option<String> {
        let (then, before) = self.last.replace((now, used))?;
        let had = now.saturating_sub(then) as f64 * workers as f64;
        let full = had > 0.0 && used.saturating_sub(before) as f64 >= FULL_SHARE * had;
        let behind = backlog as f64 > BACKLOG_SECONDS * rate;
        self.checks_full = if full && behind { self.checks_full + 1 } else { 0 };
        (self.checks_full >= CHECKS_FULL).then(|| {
            format!(
                "the generator does not keep the rate: its CPU is full, and {backlog} requests are due and not sent; \
                 give it more CPUs, or lower the rate"
            )
        })
    }
}

fn wakes_late(context: &PassContext) -> Option<String> {
    let lag = context.live_latency(|live| &live.lag_p50)? as f64;
    let response = context.live_latency(|live| &live.response_p50).unwrap_or(0) as f64;
    lateness::is_late(lag, response).then(|| {
        format!(
            "the generator does not keep the pace: in the last second it turned to requests {} late in the \
             median (median response {}); give it more CPUs, or lower the rate",
            text::micros(lag),
            text::micros(response)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CPU used in each quarter of a second, in ms, with so many requests waiting at 1,000 replies/s.
    fn warned_at(quarters: &[(u64, u64)]) -> Option<usize> {
        let mut generator_lag = GeneratorLag::default();
        let mut used = 0;
        (0..).zip(quarters).find_map(|(quarter, &(ms, backlog))| {
            used += ms * 1_000_000;
            generator_lag.is_full(quarter * 250_000_000, used, 1, 1000.0, backlog).map(|_| quarter as usize)
        })
    }

    #[test]
    fn a_full_generator_with_a_backlog_is_reported_after_a_second() {
        assert_eq!(warned_at(&[(250, 900); 6]), Some(4));
    }

    #[test]
    fn neither_a_busy_moment_nor_a_slow_server_is_the_generators_fault() {
        assert_eq!(
            warned_at(&[(250, 900), (250, 900), (250, 900), (100, 900), (250, 900), (250, 900)]),
            None
        );
        assert_eq!(warned_at(&[(50, 9000); 9]), None, "the server is slow, the generator idle");
        assert_eq!(warned_at(&[(250, 50); 9]), None, "busy, and keeping up");
    }
}
