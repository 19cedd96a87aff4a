//! Figures as tables show them: units, ratios, bounds, marks.
//!
//! Files for programs (CSV, JSON) do not come here; they hold plain numbers.

use crate::record::pairs::{PAIRS_MIN, Ratio};
use crate::record::{FLOOR_RATIO_MAX, Latency, LoadInfo, VerdictLevel};
use crate::text;

/// Shown instead of a missing figure.
pub(crate) const MISSING: &str = "–";

/// Marks a figure of a load that is not valid: it is not a result.
pub(crate) const NOT_VALID: char = '?';

/// Marks a figure that is within the harness's own floor.
pub(crate) const FLOOR: char = '†';

/// The marks that may follow a figure.
pub(crate) const MARKS: [char; 2] = [FLOOR, NOT_VALID];

/// Heads a column of ratios.
pub(crate) const RATIO: &str = "ratio";

/// What [`NOT_VALID`] means.
pub(crate) const NOT_VALID_LEGEND: &str = "? not valid: not a result";

/// What [`FLOOR`] means.
pub(crate) fn floor_legend() -> String {
    format!("{FLOOR} ≈ floor: within {FLOOR_RATIO_MAX} × of what the harness itself takes, or can offer")
}

/// The text, marked if it is within the harness's own floor.
pub(crate) fn marked(text: String, within: bool) -> String {
    if within { format!("{text}{FLOOR}") } else { text }
}

/// The text of a figure of this load, marked if the load is not valid.
pub(crate) fn of_load(load: &LoadInfo, mut text: String) -> String {
    let is_figure = text.contains(|c: char| c.is_ascii_digit());
    if is_figure && load.verdict.level == VerdictLevel::Invalid {
        text.push(NOT_VALID);
    }
    text
}

/// A unit for all latencies of one table, so that columns can be compared at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Micros,
    Millis,
    Seconds,
}

/// From here on a table uses milliseconds: five digits of microseconds are hard to compare.
const MILLIS_FROM_NS: f64 = 1e7;

/// From here on a table uses seconds.
const SECONDS_FROM_NS: f64 = 1e10;

impl Unit {
    /// The unit that suits a table with these latencies.
    pub(crate) fn for_all(latencies: impl Iterator<Item = Option<Latency>>) -> Self {
        Self::for_largest(latencies.flatten().map(|latency| latency.ns).fold(0.0, f64::max))
    }

    /// The unit that suits a table whose largest latency is this.
    pub(crate) fn for_largest(ns: f64) -> Self {
        match ns {
            SECONDS_FROM_NS.. => Self::Seconds,
            MILLIS_FROM_NS.. => Self::Millis,
            _ => Self::Micros,
        }
    }

    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::Seconds => "s",
        }
    }

    /// The number without the symbol, as exact as a histogram's three digits are, with "≥" before a lower bound.
    pub(crate) fn latency(self, latency: Option<Latency>) -> String {
        latency.map_or_else(
            || MISSING.to_owned(),
            |latency| format!("{}{}", if latency.at_least { "≥" } else { "" }, self.number(latency.ns)),
        )
    }

    /// The number without the symbol.
    pub(crate) fn number(self, ns: f64) -> String {
        let per_unit = match self {
            Self::Micros => 1e3,
            Self::Millis => 1e6,
            Self::Seconds => 1e9,
        };
        let value = ns / per_unit;
        let decimals = match (self, value) {
            (_, 1000.0..) => 0,
            (Self::Micros, _) | (_, 100.0..) => 1,
            (_, 10.0..) => 2,
            _ => 3,
        };
        text::decimal(value, decimals)
    }
}

/// Requests a second, without the unit.
pub(crate) fn rate(rate: Option<f64>) -> String {
    rate.map_or_else(|| MISSING.to_owned(), |rate| text::decimal(rate, usize::from(rate < 10.0)))
}

/// Any other figure with this many decimals.
pub(crate) fn optional(number: Option<f64>, decimals: usize) -> String {
    number.map_or_else(|| MISSING.to_owned(), |number| text::decimal(number, decimals))
}

/// A ratio over pairs with its interval, or [`NO_DIFFERENCE`].
pub(crate) fn ratio(ratio: Option<Ratio>) -> String {
    let Some(ratio) = ratio else { return MISSING.to_owned() };
    if !ratio.is_difference() {
        return NO_DIFFERENCE.to_owned();
    }
    let number = |ratio: f64| text::decimal(ratio, if ratio < 10.0 { 2 } else { 1 });
    let pairs = if ratio.pairs < PAIRS_MIN { format!(", n={}", ratio.pairs) } else { String::new() };
    format!("{}× ({}–{}{pairs})", number(ratio.median), number(ratio.low), number(ratio.high))
}

/// Shown instead of a ratio if two transports may be alike.
pub(crate) const NO_DIFFERENCE: &str = "no difference shown";

/// Explains ratios, below a table that has some.
pub(crate) fn ratio_legend() -> String {
    format!(
        "ratio: median over pairs of windows or trials, 95 % interval; fewer than {PAIRS_MIN} pairs (n) may be chance"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exactly(ns: f64) -> Latency {
        Latency { ns, at_least: false }
    }

    fn at_least(ns: f64) -> Latency {
        Latency { ns, at_least: true }
    }

    #[test]
    fn a_table_has_one_unit_and_three_digits() {
        assert_eq!(Unit::for_largest(9_999_999.0), Unit::Micros);
        assert_eq!(Unit::Micros.latency(Some(exactly(95_260.0))), "95.3");
        assert_eq!(Unit::Micros.latency(Some(exactly(1_234_500.0))), "1,234");
        assert_eq!(Unit::for_largest(1e7), Unit::Millis);
        assert_eq!(Unit::Millis.latency(Some(exactly(95_260.0))), "0.095");
        assert_eq!(Unit::Millis.latency(Some(at_least(123_456_789.0))), "≥123.5");
        assert_eq!(Unit::Seconds.latency(None), "–");
    }

    #[test]
    fn a_ratio_never_stands_without_its_interval() {
        let of = |ratios: &[f64]| ratio(Ratio::of(ratios.iter().map(|ratio| (1.0, *ratio))));
        assert_eq!(of(&[1.54]), "–");
        assert_eq!(of(&[1.54, 1.2]), "1.37× (1.20–1.54, n=2)");
        assert_eq!(of(&[1.54, 0.9]), "no difference shown");
        assert_eq!(of(&[1.1, 1.2, 1.1, 1.2, 1.1, 1.2]), "1.15× (1.10–1.20)");
        assert_eq!(of(&[12.0, 14.0, 13.0, 12.5, 13.5, 12.0]), "12.8× (12.0–14.0)");
    }
}
