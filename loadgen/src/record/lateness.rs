//! How late a generator may be: one rule for the warning while a load runs and for its verdict.

use super::VerdictLevel;

/// How late a median wake may be: in terms of the median response, and in ns whatever the response. Both must be
/// exceeded, since a share alone condemns fast servers for what it costs to wake an idle CPU (20 to 40 µs in a virtual
/// machine), and an absolute time alone condemns nothing but slow machines.
struct Limit {
    share: f64,
    ns: f64,
}

/// Beyond this, the headline figure must be read with it in mind.
const SUSPECT: Limit = Limit { share: 0.10, ns: 50_000.0 };

/// Beyond this, it is as much the generator's as the server's.
const INVALID: Limit = Limit { share: 0.25, ns: 100_000.0 };

impl Limit {
    fn is_exceeded(&self, lag_ns: f64, response_ns: f64) -> bool {
        lag_ns > self.ns && lag_ns > self.share * response_ns
    }

    fn text(&self) -> String {
        format!("{:.0} %, or {:.0} µs, are allowed", self.share * 100.0, self.ns / 1e3)
    }
}

/// The level of a median response with this median dispatch lag, both in ns, and for people what is allowed.
#[must_use]
pub fn judge(lag_ns: f64, response_ns: f64) -> Option<(VerdictLevel, String)> {
    let limits = [(VerdictLevel::Invalid, INVALID), (VerdictLevel::Suspect, SUSPECT)];
    let exceeded = limits.into_iter().find(|(_, limit)| limit.is_exceeded(lag_ns, response_ns));
    exceeded.map(|(level, limit)| (level, limit.text()))
}

/// Whether a median dispatch lag spoils a median response, both in ns.
#[must_use]
pub fn is_late(lag_ns: f64, response_ns: f64) -> bool {
    INVALID.is_exceeded(lag_ns, response_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_lateness_is_judged_by_its_share_of_the_response_and_by_itself() {
        let level = |lag_us: f64, response_us: f64| {
            judge(lag_us * 1e3, response_us * 1e3).map_or(VerdictLevel::Valid, |(level, _)| level)
        };
        // A fast server on a machine that wakes slowly.
        assert_eq!((level(37.0, 60.0), level(50.0, 60.0)), (VerdictLevel::Valid, VerdictLevel::Valid));
        assert_eq!((level(51.0, 60.0), level(100.0, 110.0)), (VerdictLevel::Suspect, VerdictLevel::Suspect));
        assert_eq!(level(101.0, 110.0), VerdictLevel::Invalid);
        // A slow one: the share decides.
        assert_eq!(
            (level(100.0, 1000.0), level(101.0, 1000.0)),
            (VerdictLevel::Valid, VerdictLevel::Suspect)
        );
        assert_eq!(
            (level(250.0, 1000.0), level(251.0, 1000.0)),
            (VerdictLevel::Suspect, VerdictLevel::Invalid)
        );
        assert!(is_late(101_000.0, 110_000.0) && !is_late(100_000.0, 110_000.0));
    }
}
