//! How late a generator may be: one rule for the warning while a load runs and for its verdict.

/// Median lateness in ns that no load minds: a timer's wake-up takes this long on an idle machine.
pub const LAG_NS_FREE: f64 = 20_000.0;

/// Median lateness in terms of the median response: more shifts the headline figure itself.
pub const LAG_P50_SHARE_MAX: f64 = 0.10;

/// Whether a median dispatch lag is too much beside a median response, both in ns.
#[must_use]
pub fn is_late(lag_ns: f64, response_ns: f64) -> bool {
    lag_ns > LAG_NS_FREE.max(LAG_P50_SHARE_MAX * response_ns)
}

/// Nanoseconds as microseconds with one decimal, for people.
#[must_use]
pub fn micros(ns: f64) -> String {
    format!("{:.1} µs", ns / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_microseconds_or_a_tenth_of_the_response_are_allowed() {
        assert!(!is_late(20_000.0, 1_000.0) && is_late(20_001.0, 1_000.0));
        assert!(!is_late(100_000.0, 1_000_000.0) && is_late(100_001.0, 1_000_000.0));
    }
}
